"""The evidence behind each claim of the decision page: values in, a level and its reason out.

First the judgement of each claim, in the page's order; then its evidence as sentences.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthvae._text import counted
from synthvae.evaluation.results import (
    Analysis,
    Attack,
    Coefficient,
    Evaluation,
    GroupFigure,
    Risk,
    Score,
    Topic,
)
from synthvae.levels import Level, draws_worse, judge, judge_group, metric_of, worst
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.tradeoff import Budget, budget_of, ceiling, largest_auc
from synthvae.report.phrases import (
    NO_REASON,
    WITHHELD,
    ClaimKey,
    exact,
    has_run,
    is_of_groups,
    is_tripwire,
    listed,
    number,
    plain,
    range_text,
    share,
    shorten,
    sign_agreement,
    threshold_text,
    upper_bound,
)

WEAK_EPSILON = 10.0
WEAK_SOURCE = "Ponomareva et al. 2023, How to DP-fy ML, section 5.2"
ONE_SIDED = 0.975  # how often chance stays below the upper end of a 95 % interval
_NOT_GOOD: dict[Level, str] = {"red": "Poor", "amber": "Not clearly good"}


@dataclass(frozen=True)
class Finding:
    """A level, the reason for it in one or two sentences, and the figures it rests on."""

    level: Level
    reason: str
    evidence: tuple[str, ...] = ()


def judge_claims(evaluation: Evaluation, guarantee: Guarantee | None) -> dict[ClaimKey, Finding]:
    """Judge every claim of the decision page."""
    return {
        "guarantee": _judge_guarantee(guarantee),
        "attacks": _judge_attacks(evaluation, guarantee),
        "validity": _judge_topic(evaluation, "validity"),
        "fidelity": _judge_topic(evaluation, "fidelity"),
        "utility": _judge_utility(evaluation),
        "groups": _judge_groups(evaluation),
    }


def _judge_guarantee(guarantee: Guarantee | None) -> Finding:
    """Judge the guarantee: it holds and keeps to its budget, or the claim is red."""
    if guarantee is None:
        return Finding("red", "No guarantee came with this table: nothing bounds what it tells.")
    budget = budget_of(guarantee)
    if budget is None:
        void = guarantee.why_void or "The guarantee is void; no reason is given."
        return Finding("red", plain(void))
    epsilon, delta = budget
    spent = f"ε = {upper_bound(epsilon)} was spent"
    at_delta = f"δ = {exact(delta)}"
    limit = f"ε = {exact(guarantee.epsilon_budget)} that was asked"
    evidence = (f"{spent} at {at_delta}", f"per {plain(guarantee.unit)}")
    if guarantee.epsilon_budget is not None and epsilon > guarantee.epsilon_budget:
        return Finding("red", f"{spent}, more than the {limit}.", evidence)
    if guarantee.declared_patients and delta * guarantee.declared_patients >= 1:
        reason = f"{at_delta} would allow one whole record to be published."
        return Finding("red", reason, evidence)
    within = f"{spent}, within the {limit}"
    if epsilon > WEAK_EPSILON:
        reason = f"{within}; above {WEAK_EPSILON:g} the bound says little ({WEAK_SOURCE})."
        return Finding("amber", reason, evidence)
    return Finding("green", f"{within}, at {at_delta} for each patient.", evidence)


def _judge_attacks(evaluation: Evaluation, guarantee: Guarantee | None) -> Finding:
    """Judge the attacks that ran: red above the ceiling, amber above chance."""
    budget = budget_of(guarantee)
    attacks = [attack for attack in evaluation.attacks if not attack.tripwire]
    results = [
        f"{shorten(attack.title)}: AUC {number(attack.auc)} ({range_text(attack.auc_interval)})"
        for attack in attacks
    ] + [
        f"{shorten(risk.title)}: gain {number(risk.gain)} ({range_text(risk.gain_interval)})"
        for risk in evaluation.risks
    ]
    private = [score for score in evaluation.scores if score.topic == "privacy"]
    alarms = _alarms(evaluation, [score for score in private if has_run(score)])
    shown = (s for s in evaluation.scores if s in alarms or (is_tripwire(s) and has_run(s)))
    evidence = (*results, *map(_score_text, shown))
    above = [attack for attack in evaluation.attacks if budget and beaten(attack, budget)]
    if above:
        reason = f"{_titles(above)} went above the ceiling that the guarantee allows; find out why."
        return Finding("red", reason, evidence)
    none = None if results else Finding("open", "No attack was part of this evaluation.")
    chance = _judge_against_chance(evaluation, attacks, budget)
    scores = _judge_alarms(alarms, bounded=budget is not None)
    findings = [finding for finding in (none, chance, scores) if finding is not None]
    if findings:
        reason = " ".join(finding.reason for finding in findings)
        return Finding(worst([finding.level for finding in findings]), reason, evidence)
    kind = "attack{} of a screen" if evaluation.depth == "screen" else "attack{}"
    limits = [attack.detection_limit - 0.5 for attack in attacks]
    limits += [risk.detection_limit for risk in evaluation.risks]
    ends = number(min(limits)) + (f" to {number(max(limits))}" if len(limits) > 1 else "")
    reason = (
        f"None of {counted(len(results), kind.format(''), kind.format('s'))} did better than chance. "
        f"They would have seen a gain of {ends} over it; smaller leaks may go unnoticed."
    )
    missing = [score for score in private if not has_run(score)]
    withheld = [score for score in missing if is_withheld(score)]
    if not_run := [score for score in missing if not is_withheld(score)]:
        reason += f" Not run: {_list(_names(not_run))}."
    if withheld:
        reason += f" But {_missing_text(withheld)}."
    if budget is None:
        reason += " No guarantee bounds what other attacks could do."
    return Finding("amber" if withheld or budget is None else "green", reason, evidence)


def _judge_against_chance(
    evaluation: Evaluation, attacks: Sequence[Attack], budget: Budget | None
) -> Finding | None:
    """Judge attacks whose intervals lie above chance: the guarantee, if any, bounds them."""
    above: list[Attack | Risk] = [a for a in attacks if a.auc_interval.low > 0.5]
    above += [risk for risk in evaluation.risks if risk.gain_interval.low > 0]
    if not above:
        return None
    better = f"{_titles(above)} did better than chance"
    if budget is None:
        return Finding("red", f"{better}, and no guarantee bounds what others could do.")
    tried = len(attacks) + len(evaluation.risks)
    by_luck = share(1 - ONE_SIDED**tried, 0)
    return Finding(
        "amber",
        f"{better}, below the ceiling of the guarantee. Of {tried} attacks, at least one does so "
        f"by luck in {by_luck} of evaluations.",
    )


def _alarms(evaluation: Evaluation, private: Sequence[Score]) -> list[Score]:
    """Return the scores of privacy that are not good, the poor ones first."""
    named = {attack.key for attack in evaluation.attacks if attack.auc_interval.low > 0.5}
    named |= {risk.key for risk in evaluation.risks if risk.gain_interval.low > 0}
    poor = [score for score in private if judge(score) == "red"]
    # Attacks above chance are named as such: their scores would say it twice.
    between = [
        score
        for score in private
        if judge(score) == "amber"
        and (is_tripwire(score) or metric_of(score.key).attack not in named)
    ]
    return sorted(poor, key=is_tripwire) + between


def _judge_alarms(alarms: Sequence[Score], *, bounded: bool) -> Finding | None:
    """Judge the scores of privacy that are not good by their thresholds."""
    if not alarms:
        return None
    first = alarms[0]
    level: Level = "amber"
    reason = f"To be looked at: {_score_text(first)}."
    if judge(first) == "red":
        reason = f"Poor: {_score_text(first)}. "
        if is_tripwire(first):
            reason += (
                "That makes the claim amber, not red: a tripwire can raise an alarm but cannot "
                "prove a leak."
            )
        elif bounded:
            reason += (
                "That makes the claim amber, not red: it is below the ceiling of the guarantee."
            )
        else:
            level = "red"
            reason += "No guarantee bounds what others could do."
    if len(alarms) > 1:
        reason += f" Also not good: {_list(_names(alarms[1:]))}."
    return Finding(level, reason)


def _judge_topic(evaluation: Evaluation, topic: Topic) -> Finding:
    """Judge a topic by its worst score; what did not run keeps it from green."""
    scores = [s for s in evaluation.scores if s.topic == topic and not is_of_groups(s)]
    judged = [score for score in scores if score.threshold is not None and has_run(score)]
    missing = [score for score in scores if not has_run(score)]
    if not judged:
        reason = "No threshold says what is good."
        if missing or not scores:
            shown = any(map(is_withheld, missing))
            reason = "No figure of it is shown." if shown else "No figure of it ran."
        return Finding("open", reason)
    evidence = tuple(map(_score_text, judged))
    level = worst([judge(score) for score in judged])
    if level == "green":
        reason = f"{counted(len(judged), 'figure')} with a threshold: good."
        if missing:
            return Finding("amber", f"{reason} But {_missing_text(missing)}.", evidence)
        return Finding("green", reason, evidence)
    bad = [score for score in judged if judge(score) == level]
    more = f"; and {counted(len(bad) - 1, 'further figure')}" if len(bad) > 1 else ""
    name = _NOT_GOOD.get(level, "Not clearly good")
    return Finding(level, f"{name}: {_score_text(bad[0])}{more}.", evidence)


def _judge_utility(evaluation: Evaluation) -> Finding:
    """Judge declared analyses and predictions; a conclusion turned round is red by itself."""
    scores = _judge_topic(evaluation, "utility")
    level, reason = scores.level, scores.reason
    evidence = (*map(_analysis_text, evaluation.analyses), *scores.evidence)
    reversed_terms = [
        f"{plain(term.term)} in {plain(analysis.name)}"
        for analysis in evaluation.analyses
        for term in analysis.coefficients
        if is_reversed(term)
    ]
    missing = [analysis for analysis in evaluation.analyses if analysis.not_run is not None]
    if reversed_terms:
        level = "red"
        reason = f"Synthetic records would turn a conclusion round: {listed(reversed_terms, 3)}."
    elif missing and level != "red":
        level, reason = (
            "amber",
            f"A declared analysis has no result here: {_missing_text(missing)}.",
        )
    elif level == "green" and not evaluation.analyses:
        level, reason = "amber", f"{reason} No analysis was declared, so none was tried."
    return Finding(level, reason, evidence)


def is_reversed(term: Coefficient) -> bool:
    """Tell whether real and synthetic intervals both leave out 0, on different sides of it."""
    real, synthetic = term.real_interval, term.synthetic_interval
    return (real.low > 0 and synthetic.high < 0) or (real.high < 0 and synthetic.low > 0)


def _judge_groups(evaluation: Evaluation) -> Finding:
    """Judge the figures within protected groups, the worst first."""
    if not evaluation.groups:
        missing = [s for s in evaluation.scores if is_of_groups(s) and s.not_run is not None]
        if missing and is_withheld(missing[0]):
            return Finding("open", "Figures of groups of real patients are withheld.")
        reason = f": {plain(missing[0].not_run or '')}" if missing else ""
        return Finding("open", f"No protected group was looked at{reason}.")
    by_level: dict[Level, list[GroupFigure]] = {"red": [], "amber": [], "green": [], "open": []}
    for figure in evaluation.groups:
        by_level[judge_group(evaluation, figure)].append(figure)
    unknown = by_level.pop("open")
    scores = {score.key: score for score in evaluation.scores}

    def text(figure: GroupFigure) -> str:
        return _group_text(figure, scores.get(figure.key))

    judged = (figure for figures in by_level.values() for figure in figures)
    evidence = tuple(f"{_group(figure)}: {text(figure)}" for figure in judged)
    for level, name in _NOT_GOOD.items():
        if bad := by_level[level]:
            reason = f"{name} for {_group_list(bad)}. In {_group(bad[0])}, {text(bad[0])}."
            return Finding(level, reason, evidence)
    good = by_level["green"]
    if not good:
        return Finding("open", "Groups were looked at, but no threshold says what is good.")
    groups = counted(len(set(map(_group, good))), "group")
    if unknown:
        reason = f"Good in {groups}, but not shown for {_group_list(unknown)}."
        return Finding("amber", reason, evidence)
    return Finding("green", f"Good in each of {groups} that were looked at.", evidence)


def is_withheld(result: Score | Analysis) -> bool:
    """Tell whether a result has no figure because this is the public rendering."""
    return result.not_run is not None and result.not_run.startswith(WITHHELD)


def attack_title(score: Score) -> str:
    """Return a score's title; of "Shadow models (AUC)", one of several of an attack, the attack's."""
    return metric_of(score.key).attack_title or score.title


def _score_text(score: Score) -> str:
    """Return a score with its threshold, and its other draws where they are worse."""
    notes = [threshold_text(score)] if score.threshold else []
    if draws_worse(score):
        notes.append(f"other draws: {number(min(score.draws))} to {number(max(score.draws))}")
    whole = metric_of(score.key).share_of
    text = f"{shorten(score.title)} is {number(score.value)}" + (f" of {whole}" if whole else "")
    return f"{text} ({'; '.join(notes)})" if notes else text


def _analysis_text(analysis: Analysis) -> str:
    result = sign_agreement(analysis.coefficients)
    if analysis.not_run is not None:
        result = "withheld" if is_withheld(analysis) else "did not run"
    elif not analysis.coefficients:
        result = counted(len(analysis.curves), "curve")
    return f"{shorten(analysis.name)}: {result}"


def _names(results: Sequence[Score | Analysis]) -> list[str]:
    """Return what results are called: several scores of one attack once."""
    names = (attack_title(one) if isinstance(one, Score) else one.name for one in results)
    return list(dict.fromkeys(names))


def _titles(attacks: Sequence[Attack | Risk]) -> str:
    return _list(attack.title for attack in attacks)


def _list(names: Iterable[str]) -> str:
    return listed(list(map(shorten, names)), 3)


def _missing_text(results: Sequence[Score | Analysis]) -> str:
    """Return what has no figure, and why: it did not run, or the public rendering withholds it."""
    reason = plain(results[0].not_run or NO_REASON)
    if is_withheld(results[0]):
        return f"{_list(_names(results))} {'is' if len(_names(results)) == 1 else 'are'} {reason}"
    return f"{_list(_names(results))} did not run: {reason}"


def _group(figure: GroupFigure) -> str:
    return f"{plain(figure.column)} = {plain(figure.group)}"


def _group_list(figures: Sequence[GroupFigure]) -> str:
    return listed(list(dict.fromkeys(map(_group, figures))), 4)


def _group_text(figure: GroupFigure, score: Score | None) -> str:
    """Return a group's figure with its interval and the threshold of its score."""
    title = shorten(figure.key if score is None else score.title)
    ends = "" if figure.interval is None else f", {range_text(figure.interval)}"
    limits = "" if score is None else f" ({threshold_text(score)})"
    return f"{title} is {number(figure.value)}{ends}{limits}"


def beaten(attack: Attack, budget: Budget) -> tuple[float | None, ...]:
    """Return where an attack surely lies above the ceiling: rates, and None for the whole curve."""
    rates: list[float | None] = [
        rate for rate, _, interval in attack.tpr_at if interval.low > float(ceiling(rate, *budget))
    ]
    if attack.auc_interval.low > largest_auc(*budget):
        rates.append(None)
    return tuple(rates)
