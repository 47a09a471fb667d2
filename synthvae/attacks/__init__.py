"""Attacks on the privacy of a synthetic table: what somebody who holds it can find out about patients.

    tables -> `setup` (members, non-members, reference) -> `membership`, `inference`, `shadow`, by
      `density` and distance -> `success` (curves, gains, intervals); `suite` runs them all

They are screens: they can find a leak and cannot rule one out. docs/attacks.md says what each one
does and what it cannot show.
"""

from synthvae.attacks.setup import AttackFindings
from synthvae.attacks.shadow import Retrain
from synthvae.attacks.suite import run_attacks

__all__ = ["AttackFindings", "Retrain", "run_attacks"]
