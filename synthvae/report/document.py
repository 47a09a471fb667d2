"""The whole report as values: what the page, the terminal, the notebook and machines all read."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from synthvae.evaluation.values import Evaluation
from synthvae.privacy.guarantee import Guarantee
from synthvae.report.decision import Claim, Decision, decide
from synthvae.report.disclosure import for_public
from synthvae.report.judging import SEVERITY
from synthvae.report.profiles import Profile
from synthvae.report.values import RunContext, TrainingCurve


class Report(BaseModel):
    """One report, ready to be drawn.

    `rendering` says for whom: the custodian's has everything; the public one went through the
    disclosure control of `profile`, and has no training curve. Both are computed from real records.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

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

    Levels are the custodian's wherever rounding would have made them better.
    """
    declared = 1 if report.guarantee is None else report.guarantee.rows_per_patient
    evaluation = for_public(report.evaluation, profile, declared)
    decision = decide(evaluation, report.guarantee, report.context)
    hidden = {"groups"} if report.evaluation.groups else set()
    claims = tuple(
        _of_custodian(full) if full.key in hidden else _worse(claim, full)
        for claim, full in zip(decision.claims, report.decision.claims, strict=True)
    )
    return report.model_copy(
        update={
            "rendering": "public",
            "profile": profile,
            "decision": decision.model_copy(
                update={
                    "claims": claims,
                    "conditions": report.decision.conditions,
                    "questions": report.decision.questions,
                }
            ),
            "evaluation": evaluation,
            "training": None,
        }
    )


def _of_custodian(full: Claim) -> Claim:
    reason = "The custodian’s figures, which are not shown, give this level."
    return full.model_copy(update={"reason": reason, "evidence": ()})


def _worse(public: Claim, full: Claim) -> Claim:
    if SEVERITY[public.level] >= SEVERITY[full.level]:
        return public
    reason = "The custodian’s figures, which are not rounded, give this level."
    return public.model_copy(update={"level": full.level, "reason": reason})
