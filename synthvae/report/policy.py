"""A steward's policy: how large a budget may be, and how good each claim must be."""

from typing import Annotated, Literal

from pydantic import Field

from synthvae._frozen import FrozenSettings
from synthvae.errors import PolicyError
from synthvae.evaluation.levels import Level
from synthvae.report.decision import CLAIMS
from synthvae.report.document import Report
from synthvae.report.judging import ClaimKey
from synthvae.report.levels import WORDS
from synthvae.report.words import exact


class Policy(FrozenSettings):
    """What a report must show.

    Parameters
    ----------
    largest_epsilon, largest_delta
        The most that may have been spent; a report without a valid guarantee has no such figure
        and fails.
    claims
        The level that a claim must have, by its key: `green`; `amber`, which green passes too; or
        `any`.
    fail_on
        What fails of the claims that are not named: `red`, or `amber` (then anything but green
        does).

    Examples
    --------
    >>> Policy(largest_epsilon=2, claims={"validity": "green"}).fail_on
    'red'
    """

    _what = "policy"

    largest_epsilon: Annotated[float | None, Field(gt=0)] = None
    largest_delta: Annotated[float | None, Field(gt=0, lt=1)] = None
    claims: dict[ClaimKey, Literal["green", "amber", "any"]] = {}
    fail_on: Literal["red", "amber"] = "red"

    def failures(self, report: Report) -> tuple[str, ...]:
        """Return what of a report fails this policy, each as a sentence."""
        return (*self._over_budget(report), *self._poor_claims(report))

    def check(self, report: Report) -> None:
        """Raise `PolicyError` where a report fails this policy."""
        found = self.failures(report)
        if found:
            raise PolicyError(f"The policy is not met. {' '.join(found)}")

    def _over_budget(self, report: Report) -> list[str]:
        guarantee = report.guarantee
        valid = guarantee is not None and guarantee.valid
        found = []
        for name, largest in (("epsilon", self.largest_epsilon), ("delta", self.largest_delta)):
            if largest is None:
                continue
            spent = getattr(guarantee, name) if valid else None
            if spent is None:
                found.append(f"No {name} holds, where {exact(largest)} is the most allowed.")
            elif spent > largest:
                found.append(f"{name} is {exact(spent)}, above the {exact(largest)} allowed.")
        return found

    def _poor_claims(self, report: Report) -> list[str]:
        found = []
        for claim in report.decision.claims:
            if claim.level not in self._allowed(claim.key):
                word = WORDS[claim.level].lower()
                found.append(f"'{CLAIMS[claim.key]}' is {word}: {claim.reason}")
        return found

    def _allowed(self, key: ClaimKey) -> tuple[Level, ...]:
        """Return the levels that pass; what nothing shows passes only where nobody asks for it."""
        wanted = self.claims.get(key)
        if wanted == "any":
            return ("green", "amber", "red", "open")
        if wanted is None:
            return ("green",) if self.fail_on == "amber" else ("green", "amber", "open")
        return ("green",) if wanted == "green" else ("green", "amber")
