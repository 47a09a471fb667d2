"""Synthesizers from noisy marginals: of single columns, and of pairs by a tree (MST) or in rounds (AIM).

`Independent` spends the whole budget on single columns. `MST` and `AIM` choose pairs, `ThreeWayAIM` also
triples, measure these, and leave the estimate to `GraphicalModel`. Against their papers, each of which
measures single columns too:

- numbers come in bins at noisy quantiles, and the marginals' counts are the first measurements;
- rare tokens are merged, as in MST, also for AIM;
- the budget is spent in Gaussian differential privacy instead of zero-concentrated privacy
  (`synthvae.privacy.budget`), which leaves more of it to counts at the same epsilon and delta;
- the sensitivity of a score is that of adding or removing one patient with up to m rows, of which visits
  side by side make one.
"""

import abc
import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.baselines.base import Baseline, TokenTable, tokens_per_patient
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
MOST_CELLS = 10_000  # of a triple's table
MOST_CELLS_TOGETHER = 2**23  # of the tables of all triples, which bounds memory and time


class Independent(Baseline):
    """Every column drawn on its own from its noisy marginal: the floor that others must beat."""

    name = "independent"
    anchor_share = 1.0

    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        del table, mechanisms, budget  # the marginals are the model

    def _draw(self, rows: int, generator: np.random.Generator) -> Ints:
        columns = []
        for marginal in self._marginals:
            ends = np.cumsum(marginal.mass)
            drawn = np.searchsorted(ends / ends[-1], generator.random(rows), side="right")
            columns.append(np.minimum(drawn, marginal.tokens - 1))
        return np.stack(columns, axis=1)


class _Graphical(Baseline):
    """A graphical model over the tokens, fitted to noisy counts of sets of columns."""

    def _learn(self, table: TokenTable, mechanisms: Mechanisms, budget: BudgetFilter) -> None:
        # The number of rows takes a hundredth of the budget: no true number is used.
        rows = np.array(len(table.tokens), np.int64)
        noise_multiplier = noise_for(COUNT_SHARE * budget.whole)
        self._model = GraphicalModel(table, self._measure(rows, (), noise_multiplier, mechanisms))
        tokens, levels = self._model.grouped(table.tokens), self._model.levels
        exact = {s: contingency(tokens, s, levels) for s in self._candidates(levels)}
        self._learn_tables(exact, mechanisms, budget)

    def _candidates(self, levels: Sequence[int]) -> list[Clique]:
        """Return the sets of columns that may be measured, by released facts alone: all pairs."""
        return list(combinations(range(len(levels)), 2))

    @abc.abstractmethod
    def _learn_tables(
        self, exact: dict[Clique, Ints], mechanisms: Mechanisms, budget: BudgetFilter
    ) -> None:
        """Choose among candidates by their private tables, measure the chosen, and fit the model."""

    def _measure(
        self, exact: Ints, columns: Clique, noise_multiplier: float, mechanisms: Mechanisms
    ) -> Measurement:
        """Return noisy counts of a set of columns; of none, the noisy number of rows.

        Guarantee
        ---------
        A patient's rows change the counts by at most their largest number in L2 norm (all may fall into
        one cell), and the noise is `noise_multiplier` times that.
        """
        rows = tokens_per_patient(self.schema)
        noisy = mechanisms.discrete_gaussian(
            exact,
            stage="pairs" if len(columns) > 1 else "columns",
            what=f"counts of the columns {columns}" if columns else "the number of rows",
            sensitivity=rows,
            noise_multiplier=noise_multiplier,
        )
        return Measurement(columns, noisy.astype(float), noise_multiplier * rows)

    def _draw(self, rows: int, generator: np.random.Generator) -> Ints:
        return self._model.sample(rows, generator)


class MST(_Graphical):
    """A tree-shaped graphical model; a third of the budget each buys marginals, the tree, and its pairs.

    R. McKenna, G. Miklau and D. Sheldon 2021, "Winning the NIST Contest: A scalable and general approach
    to differentially private synthetic data", Journal of Privacy and Confidentiality 11(3), Algorithm 2.

    Edges are drawn one after another, as Kruskal's algorithm does, by the exponential mechanism with
    the score ‖M_ij(D) − M_ij(independent columns)‖₁, which one patient of at most m rows changes by
    at most m: the second term is released already, and does not move.
    """

    name = "mst"
    anchor_share = 1 / 3

    def _learn_tables(
        self, exact: dict[Clique, Ints], mechanisms: Mechanisms, budget: BudgetFilter
    ) -> None:
        columns, rows = len(self._model.levels), tokens_per_patient(self.schema)
        expected = self._model.tree.margins(exact)
        scores = {pair: _distance(self._model, exact, expected, pair) for pair in expected}
        epsilon = selection_for(0.5 * budget.left / max(1, columns - 1))
        component = list(range(columns))  # of each column, by one of its columns
        edges: list[Clique] = []
        while len(edges) < columns - 1:
            candidates = [(a, b) for a, b in scores if component[a] != component[b]]
            chosen = mechanisms.exponential(
                np.array([scores[pair] for pair in candidates]),
                what="an edge of the tree",
                sensitivity=rows,
                epsilon=epsilon,
            )
            a, b = candidates[chosen]
            edges.append((a, b))
            component = [component[a] if one == component[b] else one for one in component]
        noise_multiplier = noise_for(budget.left / max(1, len(edges)))
        for edge in edges:
            self._model.measure(self._measure(exact[edge], edge, noise_multiplier, mechanisms))
        self._model.fit(MST_STEPS)


class AIM(_Graphical):
    """An adaptive graphical model: pairs are measured where the model so far is worst.

    R. McKenna, B. Mullins, D. Sheldon and G. Miklau 2022, "AIM: An Adaptive and Iterative Mechanism for
    Differentially Private Synthetic Data", PVLDB 15(11), Algorithms 1 to 3. The workload is all pairs of
    columns, which is also what the authors' own program measures by default.

    A round chooses a candidate r by the exponential mechanism with the score

        w_r (‖M_r(D) − M_r(model)‖₁ − √(2/π) σ n_r),

    where n_r is the number of its cells and σ the noise of its measurement. The paper's weight w_r, the
    columns that r has in common with each set of the workload, summed, is in proportion to the columns
    of r where the workload is all sets of a size; it is taken to be at most 1. The model is released
    already, so one patient of at most m rows changes the score by at most m. Then r is counted with
    noise, and the model is fitted again.
    """

    name = "aim"
    anchor_share = 0.35
    largest = 2  # columns of a set of the workload

    def _learn_tables(
        self, exact: dict[Clique, Ints], mechanisms: Mechanisms, budget: BudgetFilter
    ) -> None:
        model, rows = self._model, tokens_per_patient(self.schema)
        cost = budget.left / (ROUNDS_PER_COLUMN * len(model.levels))
        expected = model.tree.margins(exact)
        for _ in range(MOST_ROUNDS_PER_COLUMN * len(model.levels)):
            if budget.left < LEAST_SHARE * budget.whole:
                break
            if budget.left < 2 * cost:
                cost = budget.left
            noise_multiplier = noise_for(MEASURING * cost)
            cell_error = math.sqrt(2 / math.pi) * noise_multiplier * rows  # mean, of noise alone
            # The model may grow with the share of the budget that is spent (Algorithm 3 of the paper).
            allowed = MOST_MEGABYTES * budget.spent / budget.whole
            candidates = [columns for columns in exact if model.megabytes(columns) <= allowed]
            if not candidates:
                break
            excesses = [
                _distance(model, exact, expected, columns) - cell_error * exact[columns].size
                for columns in candidates
            ]
            weights = [len(columns) / self.largest for columns in candidates]
            chosen = mechanisms.exponential(
                np.multiply(weights, excesses),
                what="a set of columns",
                sensitivity=rows,
                epsilon=selection_for((1 - MEASURING) * cost),
            )
            columns = candidates[chosen]
            model.measure(self._measure(exact[columns], columns, noise_multiplier, mechanisms))
            model.fit(AIM_STEPS)
            before, expected = expected, model.tree.margins(exact)
            moved = model.total * np.abs(expected[columns] - before[columns]).sum()
            if moved <= cell_error * exact[columns].size:
                cost *= 4  # half the noise, twice the epsilon of a choice
        model.fit(AIM_LAST_STEPS)


class ThreeWayAIM(AIM):
    """AIM for all triples: single columns, pairs and triples are measured where the model is worst.

    The workload is all triples of columns, and the candidates are their downward closure, as in the
    paper. Large triples are left out by public limits, as the authors' own program does with its
    `max_cells`; single columns and pairs never are. The weights stay those of all triples.
    """

    name = "aim-3way"
    largest = 3

    def _candidates(self, levels: Sequence[int]) -> list[Clique]:
        """Return all single columns and pairs, and the triples whose tables keep to the limits.

        The smallest are taken first. Levels follow from released marginals.
        """
        smaller = [c for size in (1, 2) for c in combinations(range(len(levels)), size)]
        triples = list(combinations(range(len(levels)), 3))
        cells = np.array([math.prod(levels[c] for c in triple) for triple in triples], np.int64)
        order = np.argsort(cells, kind="stable")
        fits = (cells[order] <= MOST_CELLS) & (np.cumsum(cells[order]) <= MOST_CELLS_TOGETHER)
        kept = [triples[place] for place in np.sort(order[fits])]
        self.notes = self._notes
        if len(kept) < len(triples):
            self.notes += (
                f"{len(triples) - len(kept):,} of {len(triples):,} triples of columns were no "
                f"candidates: a table may have {MOST_CELLS:,} cells, all together "
                f"{MOST_CELLS_TOGETHER:,}, and the smallest came first.",
            )
        return [*smaller, *kept]


def contingency(tokens: Ints, columns: Clique, levels: Sequence[int]) -> Ints:
    """Return exact counts of a set of columns, shape by its columns: private."""
    shape = tuple(levels[c] for c in columns)
    cells = np.ravel_multi_index(tuple(tokens[:, c] for c in columns), shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def _distance(
    model: GraphicalModel,
    exact: dict[Clique, Ints],
    expected: dict[Clique, Floats],
    columns: Clique,
) -> float:
    """Return the L1 distance of a set's table from what a model expects of it: private."""
    return float(np.abs(exact[columns] - model.total * expected[columns]).sum())
