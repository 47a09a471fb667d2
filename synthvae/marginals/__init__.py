"""The private one-way marginals from which the model starts, and the moments of pairs of columns.

codes -> `measure` (grids, noisy counts) -> `ColumnMarginal` (tokens, masses) -> `basis` (features)
"""

from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.marginals.measure import measure_marginals, query_weights
from synthvae.marginals.moments import PairMoments, PairQuery

__all__ = [
    "ColumnMarginal",
    "PairMoments",
    "PairQuery",
    "basis",
    "measure_marginals",
    "query_weights",
]
