"""Independent columns: one-way marginals, bought with the whole budget, and nothing else."""

import numpy as np

from synthvae.baselines.base import Baseline
from synthvae.baselines.budget import Budget
from synthvae.baselines.start import Ints, Start
from synthvae.privacy.stream import RandomStream


class Independent(Baseline):
    """Every column drawn on its own from its noisy marginal: the floor that others must beat."""

    name = "independent"
    anchor_share = 1.0

    def _learn(self, start: Start, budget: Budget, stream: RandomStream) -> None:
        del start, budget, stream  # the anchors are the model

    def _draw(self, start: Start, rows: int, generator: np.random.Generator) -> Ints:
        columns = []
        for anchor in start.anchors:
            ends = np.cumsum(anchor.mass)
            drawn = np.searchsorted(ends / ends[-1], generator.random(rows), side="right")
            columns.append(np.minimum(drawn, anchor.tokens - 1))
        return np.stack(columns, axis=1)
