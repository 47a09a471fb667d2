"""The private one-way marginals from which the model starts, and the moments of pairs of columns.

codes -> `measure` (grids, noisy counts) -> `ColumnMarginal` (tokens, masses) -> `basis` (features)
"""

from synthvae.anchors.basis import basis
from synthvae.anchors.column import ColumnMarginal
from synthvae.anchors.measure import measure_marginals, query_weights
from synthvae.anchors.pairs import PairMoments, PairQuery

__all__ = [
    "ColumnMarginal",
    "PairMoments",
    "PairQuery",
    "basis",
    "measure_marginals",
    "query_weights",
]
