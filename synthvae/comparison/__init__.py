"""Compare methods on one table: the same patients, the same budget, the same scores, the same clock.

    config -> `cells` (what to run) -> `running` (a process each, `worker` inside it) -> `scoring`
      -> `log` (a line each, so that a killed job is resumed) -> `summary` -> `page`

Everything here is computed from real rows, by fits whose budgets add up: it stays with the custodian.
"""

from synthvae.comparison.results import Comparison, Outcome

__all__ = ["Comparison", "Outcome"]
