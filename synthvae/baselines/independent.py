"""Independent columns: one-way marginals, bought with the whole budget, and nothing else."""

import numpy as np

from synthvae._types import Ints
from synthvae.baselines.base import Baseline
from synthvae.baselines.start import TokenTable
from synthvae.privacy.budget import BudgetFilter
from synthvae.privacy.mechanisms import Mechanisms


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
