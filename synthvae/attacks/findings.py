"""What the attacks found, together."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthvae.evaluation.values import Attack, Risk, Score


@dataclass(frozen=True)
class AttackFindings:
    """Curves of membership attacks, gains of the other attacks, and the scores that sum them up."""

    attacks: tuple[Attack, ...] = ()
    risks: tuple[Risk, ...] = ()
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()


def joined(parts: Sequence[AttackFindings]) -> AttackFindings:
    """Return the findings of several attacks as one."""
    return AttackFindings(
        *(
            tuple(item for part in parts for item in getattr(part, kind))
            for kind in ("attacks", "risks", "scores", "notes")
        )
    )
