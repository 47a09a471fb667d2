"""The whole report as values: what the page, the terminal, the notebook and machines all read."""

from typing import Literal

from synthvae._frozen import Frozen
from synthvae.evaluation.values import Evaluation
from synthvae.privacy.guarantee import Guarantee
from synthvae.report.decision import Decision, decide
from synthvae.report.disclosure import for_public
from synthvae.report.profiles import Profile
from synthvae.report.values import RunContext, TrainingCurve


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
