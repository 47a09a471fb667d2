"""What follows from the claims: what is asked, under which conditions, and what to ask back."""

from collections.abc import Mapping

from synthvae._frozen import Frozen
from synthvae._text import counted
from synthvae.evaluation.levels import Level, metric_of
from synthvae.evaluation.results import Evaluation, Margin, Topic
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.tradeoff import budget_of
from synthvae.report import claims
from synthvae.report.phrases import (
    ClaimKey,
    attack_title,
    exact,
    is_of_groups,
    listed,
    plain,
    shorten,
)
from synthvae.report.run_facts import RunContext

TOPICS: dict[Topic, str] = {
    "validity": "Validity",
    "fidelity": "Fidelity",
    "utility": "Utility",
    "privacy": "Privacy",
}
WORST_COLUMN = 0.1  # project default: a tenth of the rows would have to move
_TIMES_HOLDOUT = 2.0
CLAIMS: dict[ClaimKey, str] = {
    "guarantee": "The privacy guarantee holds, within what was asked",
    "attacks": "Attacks find nothing that chance would not",
    "validity": "Records obey the schema and the clinical rules",
    "fidelity": "The table resembles the population",
    "utility": "Declared analyses and predictions survive",
    "groups": "It works for protected groups, too",
}


def request(evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext) -> str:
    """Return what a committee is asked to decide, as one sentence."""
    facts = evaluation.tables
    budget = budget_of(guarantee)
    under = (
        f"under ε = {exact(guarantee.epsilon_budget if guarantee else None)} and "
        f"δ = {exact(budget[1])} for each patient"
        if budget
        else "without a guarantee"
    )
    purpose = plain(context.purpose or "")
    use = f", for this purpose: {purpose.rstrip('.')}" if purpose else "; no purpose was declared"
    return (
        f"May {counted(facts.synthetic_rows, 'synthetic row')} of "
        f"{counted(facts.columns, 'column')} be released, made {under} from the records of "
        f"{counted(facts.train_patients, 'patient')}{use}?"
    )


def conditions(
    levels: Mapping[ClaimKey, Level],
    evaluation: Evaluation,
    guarantee: Guarantee | None,
    context: RunContext,
) -> tuple[str, ...]:
    """Return the conditions that the evidence puts on a release."""
    found = []
    if budget_of(guarantee) is None:
        found.append("Do not release: treat the table as if it held the real records.")
    elif levels["guarantee"] == "red" or levels["attacks"] == "red":
        found.append("Do not release before the red claim about privacy is explained.")
    if context.split_is_predictable:
        found.append(
            "For tests only: the split into train and holdout follows from test_split_seed. Whoever "
            "knows that seed and a patient’s identifier learns on which side the patient is."
        )
    found.append("Label the table as synthetic, in its name and in its documentation.")
    found.append("No row is anybody’s record: none may be used to decide about a person.")
    if levels["utility"] == "green":
        found.append(
            "Results may be explored on it; what is published is confirmed on the real records first."
        )
    else:
        found.append("For developing and testing code only: conclusions need the real records.")
    worst = [shorten(margin.column, 60) for margin in poor_columns(evaluation.margins)]
    if worst:
        found.append(
            f"Not to be used for conclusions, as too far from the real rows: {listed(worst, 12)}."
        )
    if levels["groups"] != "green":
        found.append("Not for statements about small or protected groups.")
    found.append(
        "This report’s figures come from real records: it stays with the custodian, unless the "
        "committee decides otherwise."
    )
    return tuple(found)


def poor_columns(margins: tuple[Margin, ...]) -> tuple[Margin, ...]:
    """Return the columns that are too far off to be used, the worst first.

    Too far is a total variation distance above `WORST_COLUMN` and above twice what other real
    patients show: both are defaults of this project.
    """
    found = [
        margin
        for margin in margins
        if margin.distance > max(WORST_COLUMN, _TIMES_HOLDOUT * margin.holdout_distance)
    ]
    return tuple(sorted(found, key=lambda margin: (-margin.distance, margin.column)))


def questions(
    evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext
) -> tuple[str, ...]:
    """Return what only the steward can answer."""
    found = []
    if guarantee is not None and guarantee.declared_patients:
        found.append(
            f"Is the declared number of patients ({guarantee.declared_patients:,}) public knowledge, "
            "and not a count of this table?"
        )
    found += [
        "Were all bounds and categories of the schema known without looking at these records?",
        "What else was released about the same patients? Budgets of several releases add up.",
        "Was this table chosen among several by its scores? No budget pays for such a choice.",
        "Who receives the table, and where will it be kept?",
    ]
    if not context.purpose:
        found.append("What is the table for? No purpose was declared.")
    if not any(metric_of(score.key).family == "rules" for score in evaluation.scores):
        found.append("Which clinical rules must every record keep? None was declared.")
    if not evaluation.analyses:
        found.append("Which analyses is the table for? None was declared, so none was tried.")
    if not evaluation.groups and not any(is_of_groups(score) for score in evaluation.scores):
        found.append("Which groups need protection? No group was looked at.")
    return tuple(found)


def not_tested(evaluation: Evaluation) -> tuple[tuple[str, str], ...]:
    """Return what this evaluation leaves open, by reason: what has the same one stands together."""
    nothing = "no reason was given"
    found = [
        (plain(attack_title(score)), plain(score.not_run or nothing))
        for score in evaluation.scores
        if score.not_run is not None or score.value is None
    ]
    found += [
        (plain(analysis.name), plain(analysis.not_run))
        for analysis in evaluation.analyses
        if analysis.not_run is not None
    ]
    for topic, title in TOPICS.items():
        if not any(score.topic == topic for score in evaluation.scores) and not (
            topic == "privacy" and evaluation.attacks
        ):
            found.append((title, "the evaluation has no scores on it"))
    if not evaluation.attacks:
        found.append(("Membership attacks", "none was run"))
    if not evaluation.risks:
        found.append(("Attacks that guess facts about patients", "none was run"))
    if not evaluation.analyses:
        found.append(("Declared analyses", "none was declared"))
    if not evaluation.groups and not any(is_of_groups(score) for score in evaluation.scores):
        found.append(("Protected groups", "none was looked at"))
    if evaluation.depth == "screen":
        found.append(("Stronger attacks", "the evaluation was a screen"))
    by_reason: dict[str, list[str]] = {}
    for what, why in dict.fromkeys(found):
        by_reason.setdefault(why, []).append(what)
    return tuple(("; ".join(names), why) for why, names in by_reason.items())


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
        asked=request(evaluation, guarantee, context),
        claims=made,
        conditions=conditions(levels, evaluation, guarantee, context),
        questions=questions(evaluation, guarantee, context),
        not_tested=tuple(Untested(what=what, why=why) for what, why in not_tested(evaluation)),
    )
