"""Marginals of several columns: exact ones, which are private, and their measurements."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.baselines.base import Baseline, TokenTable
from synthvae.baselines.junction import Clique
from synthvae.baselines.pgm import GraphicalModel, Measurement
from synthvae.privacy.budget import COUNT_SHARE, BudgetFilter, noise_for, selection_for
from synthvae.privacy.mechanisms import Mechanisms

MST_STEPS = 1500
ROUNDS_PER_COLUMN = 8  # that the first rounds' noise would allow for; annealing makes them fewer
MOST_ROUNDS_PER_COLUMN = 16
LEAST_SHARE = 1e-6  # of the budget, below which nothing is left
MEASURING = 0.9  # of a round's budget; the rest chooses
MOST_MEGABYTES = 80.0
AIM_STEPS, AIM_LAST_STEPS = 250, 1500


def contingency(tokens: Ints, columns: Clique, levels: Sequence[int]) -> Ints:
    """Return exact counts of a set of columns, shape by its columns: private."""
    shape = tuple(levels[c] for c in columns)
    cells = np.ravel_multi_index(tuple(tokens[:, c] for c in columns), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def measure(
    exact: Ints, columns: Clique, noise_multiplier: float, rows: int, mechanisms: Mechanisms
) -> Measurement:
    """Return noisy counts of a set of columns; of none, the noisy number of rows.

    Guarantee
    ---------
    A patient's rows change the counts by at most `rows`, their largest number, in L2 norm (all may fall
    into one cell), and the noise is `noise_multiplier` times that.
    """
    noisy = mechanisms.discrete_gaussian(
        exact,
        stage="pairs" if columns else "columns",
        what=f"counts of the columns {columns}" if columns else "the number of rows",
        sensitivity=rows,
        noise_multiplier=noise_multiplier,
    )
    return Measurement(columns, noisy.astype(float), noise_multiplier * rows)


def count_rows(
    table: TokenTable, rows: int, mechanisms: Mechanisms, budget: BudgetFilter
) -> Measurement:
    """Return a noisy number of rows, for a hundredth of the budget: no true number is used."""
    exact = np.array(len(table.tokens), np.int64)
    return measure(exact, (), noise_for(COUNT_SHARE * budget.whole), rows, mechanisms)


class Independent(Baseline):
    """Every column drawn on its own from its noisy marginal: the floor that others must beat."""

    name = "independent"
    anchor_share = 1.0

    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        del table, mechanisms, budget  # the marginals are the model

    def _draw(self, table: TokenTable, rows: int, generator: np.random.Generator) -> Ints:
        columns = []
        for marginal in table.marginals:
            ends = np.cumsum(marginal.mass)
            drawn = np.searchsorted(ends / ends[-1], generator.random(rows), side="right")
            columns.append(np.minimum(drawn, marginal.tokens - 1))
        return np.stack(columns, axis=1)


class MST(Baseline):
    """A tree-shaped graphical model over the tokens.

    Edges are drawn one after another, as Kruskal's algorithm does, by the exponential mechanism with
    the score ‖M_ij(D) − M_ij(independent columns)‖₁, which one patient of at most m rows changes by
    at most m: the second term is released already, and does not move.
    """

    name = "mst"
    anchor_share = 1 / 3

    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        rows = self.schema.rows_per_patient
        self._model = GraphicalModel(table, count_rows(table, rows, mechanisms, budget))
        tokens = self._model.grouped(table.tokens)
        epsilon = selection_for(0.5 * budget.left / max(1, len(self._model.levels) - 1))
        edges = _spanning_tree(tokens, self._model, epsilon, rows, mechanisms)
        unit = budget.left / max(1, len(edges))
        for edge in edges:
            exact = contingency(tokens, edge, self._model.levels)
            self._model.measure(measure(exact, edge, noise_for(unit), rows, mechanisms))
        self._model.fit(MST_STEPS)

    def _draw(self, table: TokenTable, rows: int, generator: np.random.Generator) -> Ints:
        del table
        return self._model.sample(rows, generator)


def _spanning_tree(
    tokens: Ints, model: GraphicalModel, epsilon: float, rows: int, mechanisms: Mechanisms
) -> list[Clique]:
    """Return the edges of a tree over the columns, by noisy dependence."""
    expected = model.tree.pairs()
    scores = {
        pair: float(np.abs(contingency(tokens, pair, model.levels) - model.total * share).sum())
        for pair, share in expected.items()
    }
    columns = len(model.levels)
    joined = list(range(columns))
    edges: list[Clique] = []
    while len(edges) < columns - 1:
        candidates = [pair for pair in scores if joined[pair[0]] != joined[pair[1]]]
        values = np.array([scores[pair] for pair in candidates])
        chosen = mechanisms.exponential(
            values, what="an edge of the tree", sensitivity=rows, epsilon=epsilon
        )
        a, b = candidates[chosen]
        edges.append((a, b))
        joined = [joined[a] if group == joined[b] else group for group in joined]
    return edges


class AIM(Baseline):
    """An adaptive graphical model over the tokens.

    A round chooses a pair r by the exponential mechanism with the score

        ‖M_r(D) − M_r(model)‖₁ − √(2/π) σ n_r,

    where n_r is the number of its cells and σ the noise of its measurement; the paper's weight of r is
    the same for all pairs, and left out. The model is released already, so one patient of at most m
    rows changes the score by at most m. Then r is counted with noise, and the model is fitted again.
    """

    name = "aim"
    anchor_share = 0.35

    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        rows = self.schema.rows_per_patient
        model = GraphicalModel(table, count_rows(table, rows, mechanisms, budget))
        self._model, tokens = model, model.grouped(table.tokens)
        exact = {pair: contingency(tokens, pair, model.levels) for pair in workload(model)}
        cost = budget.left / (ROUNDS_PER_COLUMN * len(model.levels))
        answers = model.tree.pairs()
        for _ in range(MOST_ROUNDS_PER_COLUMN * len(model.levels)):
            if budget.left < LEAST_SHARE * budget.whole:
                break
            if budget.left < 2 * cost:
                cost = budget.left
            noise = noise_for(MEASURING * cost)
            # The model may grow with the share of the budget that is spent (Algorithm 3 of the paper).
            allowed = MOST_MEGABYTES * budget.spent / budget.whole
            candidates = [pair for pair in exact if model.megabytes(pair) <= allowed]
            if not candidates:
                break
            scores = _scores(model, exact, answers, candidates, noise * rows)
            chosen = mechanisms.exponential(
                scores,
                what="a pair of columns",
                sensitivity=rows,
                epsilon=selection_for((1 - MEASURING) * cost),
            )
            pair = candidates[chosen]
            model.measure(measure(exact[pair], pair, noise, rows, mechanisms))
            model.fit(AIM_STEPS)
            before, answers = answers, model.tree.pairs()
            moved = model.total * np.abs(answers[pair] - before[pair]).sum()
            if moved <= _expected(noise * rows, exact[pair].size):
                cost *= 4  # half the noise, twice the epsilon of a choice
        model.fit(AIM_LAST_STEPS)

    def _draw(self, table: TokenTable, rows: int, generator: np.random.Generator) -> Ints:
        del table
        return self._model.sample(rows, generator)


def workload(model: GraphicalModel) -> list[Clique]:
    """Return the candidates: all pairs of columns."""
    return list(combinations(range(len(model.levels)), 2))


def _scores(
    model: GraphicalModel,
    exact: dict[Clique, Ints],
    answers: dict[Clique, Floats],
    candidates: list[Clique],
    sigma: float,
) -> Floats:
    """Return how far the model is off on each candidate: private."""
    total = model.total
    distances = [
        np.abs(exact[pair] - total * answers[pair]).sum() - _expected(sigma, exact[pair].size)
        for pair in candidates
    ]
    return np.array(distances)


def _expected(sigma: float, cells: int) -> float:
    """Return the mean L1 norm of the noise of so many cells."""
    return math.sqrt(2 / math.pi) * sigma * cells
