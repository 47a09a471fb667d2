"""Anchors: the private one-way marginals from which the model starts.

codes -> `measure` (grids, noisy counts) -> `ColumnAnchor` (tokens, masses) -> `basis` (features)
"""

from synthvae.anchors.basis import basis
from synthvae.anchors.column import ColumnAnchor
from synthvae.anchors.measure import measure_anchors, query_weights
from synthvae.anchors.pairs import PairMoments, PairQuery

__all__ = [
    "ColumnAnchor",
    "PairMoments",
    "PairQuery",
    "basis",
    "measure_anchors",
    "query_weights",
]
