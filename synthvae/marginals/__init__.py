"""The private one-way marginals from which the model starts, and the moments of pairs of columns.

codes -> `measure` (grids, noisy counts) -> `column` (tokens, masses, features) -> `moments` (of pairs)
"""
