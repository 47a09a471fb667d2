"""AIM: marginals chosen one after another, each time where the model so far is worst.

R. McKenna, B. Mullins, D. Sheldon and G. Miklau 2022, "AIM: An Adaptive and Iterative Mechanism for
Differentially Private Synthetic Data", PVLDB 15(11), Algorithms 1 to 3. The workload is all pairs of
columns, which is also what the authors' own program measures unless told otherwise.

Departures, each of which makes it stronger or is needed here:

- numbers come in bins at noisy quantiles, and the marginals' counts are the first measurements;
- rare tokens are merged, as in MST;
- the budget is spent in Gaussian differential privacy instead of zero-concentrated privacy
  (`synthvae.privacy.budget`), which leaves more of it to counts at the same epsilon and delta;
- the sensitivity of a score is that of adding or removing one patient with up to m rows.
"""

import math
from itertools import combinations

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.baselines.base import Baseline
from synthvae.baselines.choosing import contingency, count_rows, measure
from synthvae.baselines.junction import Clique
from synthvae.baselines.pgm import GraphicalModel
from synthvae.baselines.start import TokenTable
from synthvae.privacy.budget import BudgetFilter, noise_for, selection_for
from synthvae.privacy.mechanisms import Mechanisms

ROUNDS_PER_COLUMN = 8  # that the first rounds' noise would allow for; annealing makes them fewer
MOST_ROUNDS_PER_COLUMN = 16
LEAST_SHARE = 1e-6  # of the budget, below which nothing is left
MEASURING = 0.9  # of a round's budget; the rest chooses
MOST_MEGABYTES = 80.0
STEPS, LAST_STEPS = 250, 1500


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
            model.fit(STEPS)
            before, answers = answers, model.tree.pairs()
            moved = model.total * np.abs(answers[pair] - before[pair]).sum()
            if moved <= _expected(noise * rows, exact[pair].size):
                cost *= 4  # half the noise, twice the epsilon of a choice
        model.fit(LAST_STEPS)

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
