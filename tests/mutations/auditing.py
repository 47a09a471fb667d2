"""The audit as a second catcher: what it sees of each planted bug by looking at fits alone.

The tests of the checklist know where to look in the code. The audit does not: it fits a tiny table with
one record and without it, and bounds epsilon from below by what it can tell apart. It cannot see a bug
that changes nothing for one record more, or too little for so few fits.
"""

import warnings
from typing import Any

from synthvae.audit import AuditResult, audit_worlds, tiny_case
from tests.mutations.planted import planted
from tests.seeding import fixed_noise

EPSILON = 4.0
# Nearly all of the budget goes to training, which most of these bugs break: what is shown is about that.
SHARES: dict[str, Any] = {"anchor_share": 0.02, "pair_share": 0.02, "interaction_share": 0.02}
AUDITED = {  # and how many fits of each world it takes
    "no noise on one layer": 40,
    "half the noise": 80,
    "no clipping of one parameter": 40,
    "one step unaccounted": 10,
    "fixed noise seed": 10,
    "an anchor released twice": 10,
    "a norm left out": 80,
    "interactions without noise": 20,
}


def audited(bug: str, number: int = 0, *, plant: bool = True) -> AuditResult:
    """Return what the audit finds with a bug, or with as many fits without it.

    Each number has noise of its own, and the same each time: whether an audit passes or catches a bug
    is a draw otherwise.
    """
    case = tiny_case(EPSILON, **SHARES)
    with fixed_noise(number), planted(bug if plant else None), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a planted bug may overflow
        return audit_worlds(case, AUDITED[bug], seed=number)


def how(bug: str, caught: int, repetitions: int) -> str:
    """Return in words with which audit a bug was caught, and how often."""
    return (
        f"two worlds, white box, {AUDITED[bug]} fits of each at epsilon {EPSILON:g}: {caught} of "
        f"{repetitions} audits"
    )
