"""MST: a tree of pairs of columns, chosen and measured privately.

R. McKenna, G. Miklau and D. Sheldon 2021, "Winning the NIST Contest: A scalable and general approach
to differentially private synthetic data", Journal of Privacy and Confidentiality 11(3), Algorithm 2.
A third of the budget each buys the columns' marginals, the choice of the tree, and
its pairs.
"""

import numpy as np

from synthvae._types import Ints
from synthvae.baselines.base import Baseline
from synthvae.baselines.choosing import contingency, count_rows, measure
from synthvae.baselines.junction import Clique
from synthvae.baselines.pgm import GraphicalModel
from synthvae.baselines.start import TokenTable
from synthvae.privacy.budget import BudgetFilter, noise_for, selection_for
from synthvae.privacy.mechanisms import Mechanisms

STEPS = 1500


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
        self._model.fit(STEPS)

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
