"""Compare methods on one table: the same patients, the same budget, the same scores, the same clock.

    config -> `compare` (every run in order) -> `worker` (a process a fit) -> `scorer`
      -> `results` (a log, so that a killed job is resumed; summaries) -> `page`

Everything here is computed from real rows, by fits whose budgets add up: it stays with the custodian.
"""

from synthvae.comparison.results import Comparison, Outcome

__all__ = ["Comparison", "Outcome"]
