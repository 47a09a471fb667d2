"""What the decision page says: each claim with its level and reason, never one overall score.

A claim is as good as its worst figure, and claims are never averaged: nothing outweighs a guarantee
that does not hold.
"""

from synthvae._frozen import Frozen
from synthvae.evaluation.levels import Level
from synthvae.evaluation.values import Evaluation
from synthvae.privacy.guarantee import Guarantee
from synthvae.report import claims, conditions
from synthvae.report.judging import ClaimKey
from synthvae.report.values import RunContext

CLAIMS: dict[ClaimKey, str] = {
    "guarantee": "The privacy guarantee holds, within what was asked",
    "attacks": "Attacks find nothing that chance would not",
    "validity": "Records obey the schema and the clinical rules",
    "fidelity": "The table resembles the population",
    "utility": "Declared analyses and predictions survive",
    "groups": "It works for protected groups, too",
}


class Claim(Frozen):
    """One claim about the table: its level, why, and what it rests on.

    `evidence` names the figures that decided, as text; `section` is where the page has them.
    """

    key: ClaimKey
    title: str
    level: Level
    reason: str
    evidence: tuple[str, ...] = ()
    section: str


class Untested(Frozen):
    """Something that the evidence leaves open, and why."""

    what: str
    why: str


class Decision(Frozen):
    """Everything that a committee is asked to decide on; the decision itself is theirs."""

    asked: str
    claims: tuple[Claim, ...]
    conditions: tuple[str, ...]
    questions: tuple[str, ...]
    not_tested: tuple[Untested, ...]

    def claim(self, key: ClaimKey) -> Claim:
        """Return the claim of that key."""
        return next(claim for claim in self.claims if claim.key == key)


def decide(
    evaluation: Evaluation,
    guarantee: Guarantee | None = None,
    context: RunContext | None = None,
) -> Decision:
    """Return what the values say about each claim, and the conditions that follow.

    Parameters
    ----------
    evaluation : Evaluation
        What was found out about the synthetic table.
    guarantee : Guarantee, optional
        What is promised about the patients; without one the first claim is red.
    context : RunContext, optional
        Purpose and data dictionary, which some questions hang on.

    Returns
    -------
    Decision
        One claim for each key of `CLAIMS`, in that order.
    """
    context = context or RunContext()
    found: dict[ClaimKey, claims.Finding] = {
        "guarantee": claims.guarantee(guarantee),
        "attacks": claims.attacks(evaluation, guarantee),
        "validity": claims.topic(evaluation, "validity"),
        "fidelity": claims.topic(evaluation, "fidelity"),
        "utility": claims.utility(evaluation),
        "groups": claims.groups(evaluation),
    }
    made = tuple(
        Claim(
            key=key,
            title=title,
            level=found[key].level,
            reason=found[key].reason,
            evidence=found[key].evidence,
            section="fidelity" if key == "validity" else key,
        )
        for key, title in CLAIMS.items()
    )
    levels = {claim.key: claim.level for claim in made}
    return Decision(
        asked=conditions.request(evaluation, guarantee, context),
        claims=made,
        conditions=conditions.conditions(levels, evaluation, guarantee, context),
        questions=conditions.questions(evaluation, guarantee, context),
        not_tested=tuple(
            Untested(what=what, why=why) for what, why in conditions.not_tested(evaluation)
        ),
    )
