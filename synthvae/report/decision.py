"""The decision page as values: what is asked, what the claims say, and what follows from them.

A claim is as good as its worst figure, and claims are never averaged: nothing outweighs a guarantee
that does not hold.
"""

from collections.abc import Mapping

from synthvae._frozen import Frozen
from synthvae._text import counted
from synthvae.evaluation.results import Evaluation
from synthvae.levels import Level, metric_of
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.tradeoff import budget_of
from synthvae.report import phrases
from synthvae.report.claims import attack_title, judge_claims
from synthvae.report.effect_claim import has_declared_effects, judge_effects
from synthvae.report.run_facts import RunContext

# A column is too far off to be used above both, by its total variation distance: project defaults.
WORST_COLUMN = 0.1  # a tenth of the rows would have to move
_TIMES_HOLDOUT = 2.0  # twice what other real patients show
CLAIMS: dict[phrases.ClaimKey, str] = {
    "guarantee": "The privacy guarantee holds, within what was asked",
    "attacks": "Attacks find nothing that chance would not",
    "validity": "Records obey the schema and the clinical rules",
    "fidelity": "The table resembles the population",
    "utility": "Declared analyses and predictions survive",
    "subgroups": "Effects within subgroups survive",
    "groups": "It works for protected groups, too",
}


_SECTIONS: dict[phrases.ClaimKey, str] = {"validity": "fidelity", "subgroups": "utility-subgroups"}


class Claim(Frozen):
    """One claim about the table: its level, why, and what it rests on.

    `evidence` names the figures that decided, as text; `section` is where the page has them.
    """

    key: phrases.ClaimKey
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

    def claim(self, key: phrases.ClaimKey) -> Claim:
        """Return the claim of that key."""
        return next(claim for claim in self.claims if claim.key == key)


def decide(
    evaluation: Evaluation, guarantee: Guarantee | None = None, context: RunContext | None = None
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
    findings = {**judge_claims(evaluation, guarantee), "subgroups": judge_effects(evaluation)}
    levels = {key: finding.level for key, finding in findings.items()}
    return Decision(
        asked=_request(evaluation, guarantee, context),
        claims=tuple(
            Claim(
                key=key,
                title=title,
                **vars(findings[key]),
                section=_SECTIONS.get(key, key),
            )
            for key, title in CLAIMS.items()
        ),
        conditions=_conditions(levels, evaluation, guarantee, context),
        questions=_questions(evaluation, guarantee, context),
        not_tested=_not_tested(evaluation),
    )


def _request(evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext) -> str:
    facts = evaluation.tables
    budget = budget_of(guarantee)
    under = (
        f"under ε = {phrases.epsilon(guarantee.epsilon_budget)} and "
        f"δ = {phrases.delta(budget[1])} for each patient"
        if guarantee and budget
        else "without a guarantee"
    )
    purpose = phrases.plain(context.purpose or "")
    use = f", for this purpose: {purpose.rstrip('.')}" if purpose else "; no purpose was declared"
    return (
        f"May {counted(facts.synthetic_rows, 'synthetic row')} of "
        f"{counted(facts.columns, 'column')} be released, made {under} from the records of "
        f"{counted(facts.train_patients, 'patient')}{use}?"
    )


def _conditions(
    levels: Mapping[phrases.ClaimKey, Level],
    evaluation: Evaluation,
    guarantee: Guarantee | None,
    context: RunContext,
) -> tuple[str, ...]:
    conditions = []
    if budget_of(guarantee) is None:
        conditions.append("Do not release: treat the table as if it held the real records.")
    elif "red" in (levels["guarantee"], levels["attacks"]):
        conditions.append("Do not release before the red claim about privacy is explained.")
    if context.split_is_predictable:
        conditions.append(
            "For tests only: the split into train and holdout follows from test_split_seed. Whoever "
            "knows that seed and a patient’s identifier learns on which side the patient is."
        )
    conditions += [
        "Label the table as synthetic, in its name and in its documentation.",
        "No row is anybody’s record: none may be used to decide about a person.",
        "Results may be explored on it; what is published is confirmed on the real records first."
        if levels["utility"] == "green"
        else "For developing and testing code only: conclusions need the real records.",
    ]
    far = [
        margin
        for margin in evaluation.margins
        if margin.distance > max(WORST_COLUMN, _TIMES_HOLDOUT * margin.holdout_distance)
    ]
    if far:
        far.sort(key=lambda margin: (-margin.distance, margin.column))
        columns = phrases.listed([phrases.shorten(margin.column, 60) for margin in far], 12)
        conditions.append(
            f"Not to be used for conclusions, as too far from the real rows: {columns}."
        )
    if levels["subgroups"] != "green":
        conditions.append(
            "Not for statements about whom an effect concerns: effects within subgroups need the real "
            "records."
        )
    if levels["groups"] != "green":
        conditions.append("Not for statements about small or protected groups.")
    conditions.append(
        "This report’s figures come from real records: it stays with the custodian, unless the "
        "committee decides otherwise."
    )
    return tuple(conditions)


def _questions(
    evaluation: Evaluation, guarantee: Guarantee | None, context: RunContext
) -> tuple[str, ...]:
    """Return what only the steward can answer."""
    patients = guarantee.declared_patients if guarantee else None
    rules = any(metric_of(score.key).family == "rules" for score in evaluation.scores)
    questions = {
        f"Is the declared number of patients ({patients or 0:,}) public knowledge, "
        "and not a count of this table?": bool(patients),
        "Were all bounds and categories of the schema known without looking at these records?": True,
        "What else was released about the same patients? Budgets of several releases add up.": True,
        "Was this table chosen among several by its scores? No budget pays for such a choice.": True,
        "Who receives the table, and where will it be kept?": True,
        "What is the table for? No purpose was declared.": not context.purpose,
        "Which clinical rules must every record keep? None was declared.": not rules,
        "Which analyses is the table for? None was declared, so none was tried.": (
            not evaluation.analyses
        ),
        "Does an effect depend on who the patient is? No interaction was declared.": (
            not has_declared_effects(evaluation)
        ),
        "Which groups need protection? No group was looked at.": not _has_groups(evaluation),
    }
    return tuple(question for question, applies in questions.items() if applies)


def _has_groups(evaluation: Evaluation) -> bool:
    return bool(evaluation.groups) or any(map(phrases.is_of_groups, evaluation.scores))


def _not_tested(evaluation: Evaluation) -> tuple[Untested, ...]:
    """Return what this evaluation leaves open; what has the same reason stands together."""
    topics = {score.topic for score in evaluation.scores}
    if evaluation.attacks:
        topics.add("privacy")
    absent = {
        ("Membership attacks", "none was run"): not evaluation.attacks,
        ("Attacks that guess facts about patients", "none was run"): not evaluation.risks,
        ("Declared analyses", "none was declared"): not evaluation.analyses,
        ("Protected groups", "none was looked at"): not _has_groups(evaluation),
        (
            "Patients over time: visits of a patient, gaps, what follows from visit to visit",
            "figures are of rows so far",
        ): (evaluation.tables.most_rows or 1) > 1,
        ("Stronger attacks", "the evaluation was a screen"): evaluation.depth == "screen",
    }
    gaps = [
        *(
            (phrases.plain(attack_title(score)), phrases.plain(score.not_run or phrases.NO_REASON))
            for score in evaluation.scores
            if not phrases.has_run(score)
        ),
        *(
            (phrases.plain(a.name), phrases.plain(a.not_run))
            for a in evaluation.analyses
            if a.not_run is not None
        ),
        *(
            (title, "the evaluation has no scores on it")
            for topic, title in phrases.TOPICS.items()
            if topic not in topics
        ),
        *(gap for gap, applies in absent.items() if applies),
    ]
    by_reason: dict[str, list[str]] = {}
    for what, why in dict.fromkeys(gaps):
        by_reason.setdefault(why, []).append(what)
    return tuple(Untested(what="; ".join(whats), why=why) for why, whats in by_reason.items())
