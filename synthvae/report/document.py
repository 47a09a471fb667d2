"""The whole report as values: what the page, the terminal, the notebook and machines all read."""

from typing import Annotated, Literal

from pydantic import Field

from synthvae._frozen import Frozen, FrozenSettings
from synthvae.errors import PolicyError
from synthvae.evaluation.results import Evaluation
from synthvae.privacy.guarantee import Guarantee
from synthvae.report import phrases
from synthvae.report.decision import CLAIMS, Claim, Decision, decide
from synthvae.report.disclosure import for_public
from synthvae.report.disclosure_rules import Profile
from synthvae.report.run_facts import RunContext, TrainingCurve


class Report(Frozen):
    """One report, ready to be drawn.

    `rendering` says for whom: the custodian's has everything; the public one went through the
    disclosure control of `profile`, and has no training curve. Both are computed from real records.
    """

    version: int = 1
    rendering: Literal["custodian", "public"]
    profile: Profile | None = None
    decision: Decision
    evaluation: Evaluation
    guarantee: Guarantee | None = None
    training: TrainingCurve | None = None
    context: RunContext = RunContext()

    def to_json(self) -> str:
        """Return the report as JSON, the same text for the same values."""
        return self.model_dump_json(indent=1) + "\n"


def custodian_report(
    evaluation: Evaluation,
    guarantee: Guarantee | None = None,
    training: TrainingCurve | None = None,
    context: RunContext | None = None,
) -> Report:
    """Return the custodian's report: every value, and what follows for the decision."""
    return Report(
        rendering="custodian",
        decision=decide(evaluation, guarantee, context),
        evaluation=evaluation,
        guarantee=guarantee,
        training=training,
        context=context or RunContext(),
    )


def public_report(report: Report, profile: Profile) -> Report:
    """Return the public rendering of a custodian's report.

    *Guarantee*: none of differential privacy. It is a function of the public evaluation, of the
    guarantee and of the run's context: two reports whose evaluations are published as the same one
    are rendered as the same bytes. So claims, conditions and questions are those of the public
    evaluation, and a figure that is withheld decides none of them.
    """
    declared = 1 if report.guarantee is None else report.guarantee.rows_per_patient
    evaluation = for_public(report.evaluation, profile, declared)
    return Report(
        rendering="public",
        profile=profile,
        decision=decide(evaluation, report.guarantee, report.context),
        evaluation=evaluation,
        guarantee=report.guarantee,
        context=report.context,
    )


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
    claims: dict[phrases.ClaimKey, Literal["green", "amber", "any"]] = {}
    fail_on: Literal["red", "amber"] = "red"

    def failures(self, report: Report) -> tuple[str, ...]:
        """Return what of a report fails this policy, each as a sentence."""
        guarantee = report.guarantee
        valid = guarantee is not None and guarantee.valid
        failures = []
        for name, text in (("epsilon", phrases.epsilon), ("delta", phrases.delta)):
            most: float | None = getattr(self, f"largest_{name}")
            spent: float | None = getattr(guarantee, name) if valid else None
            if most is not None and spent is None:
                failures.append(f"No {name} holds, where {text(most)} is the most allowed.")
            elif most is not None and spent is not None and spent > most:
                failures.append(f"{name} is {text(spent)}, above the {text(most)} allowed.")
        failures += [
            f"'{CLAIMS[claim.key]}' is {phrases.LEVEL_NAMES[claim.level].lower()}: {claim.reason}"
            for claim in report.decision.claims
            if not self._allows(claim)
        ]
        return tuple(failures)

    def check(self, report: Report) -> None:
        """Raise `PolicyError` where a report fails this policy."""
        if failures := self.failures(report):
            raise PolicyError(f"The policy is not met. {' '.join(failures)}")

    def _allows(self, claim: Claim) -> bool:
        """Tell whether a claim passes; an open one does only where the policy does not name it."""
        required = self.claims.get(claim.key)
        if required is None:
            return claim.level == "green" or (self.fail_on == "red" and claim.level != "red")
        levels = {"green": ("green",), "amber": ("green", "amber")}
        return required == "any" or claim.level in levels[required]
