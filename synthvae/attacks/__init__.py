"""Attacks on the privacy of a synthetic table: what somebody who holds it can find out about patients.

    tables -> `people` (members, non-members, reference) -> one module per attack -> `running`

They are screens: they can find a leak and cannot rule one out. docs/attacks.md says what each one
does and what it cannot show.
"""

from synthvae.attacks.findings import AttackFindings
from synthvae.attacks.running import run_attacks
from synthvae.attacks.shadow import Retrain

__all__ = ["AttackFindings", "Retrain", "run_attacks"]
