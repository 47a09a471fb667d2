"""The evidence behind each claim of the decision page: values in, a level and its reason out."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthvae._text import counted
from synthvae.evaluation.levels import Level, judge, judge_group, metric_of, worst
from synthvae.evaluation.results import Coefficient, Evaluation, GroupFigure, Score, Topic
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.tradeoff import Budget, beaten, budget_of
from synthvae.report.phrases import (
    analysis_words,
    attack_titles,
    attack_words,
    bound,
    exact,
    figure_words,
    group_list,
    group_name,
    has_run,
    is_of_groups,
    is_tripwire,
    is_withheld,
    listed,
    missing_words,
    number,
    plain,
    risk_words,
    score_words,
    share,
    titled,
)

WEAK_EPSILON = 10.0
ONE_SIDED = 0.975  # how often chance stays below the upper end of a 95 % interval
WEAK_SOURCE = "Ponomareva et al. 2023, How to DP-fy ML, section 5.2"


@dataclass(frozen=True)
class Finding:
    """A level, the reason for it in one or two sentences, and the figures it rests on."""

    level: Level
    reason: str
    evidence: tuple[str, ...] = ()


def guarantee(given: Guarantee | None) -> Finding:
    """Judge the guarantee: it holds and keeps to its budget, or the claim is red."""
    if given is None:
        return Finding("red", "No guarantee came with this table: nothing bounds what it tells.")
    budget = budget_of(given)
    if budget is None:
        return Finding("red", plain(given.why_void or "The guarantee is void; no reason is given."))
    epsilon, delta = budget
    spent = f"ε = {bound(epsilon)} was spent"
    evidence = (f"{spent} at δ = {exact(delta)}", f"per {plain(given.unit)}")
    if given.epsilon_budget is not None and epsilon > given.epsilon_budget:
        asked = exact(given.epsilon_budget)
        return Finding("red", f"{spent}, more than the ε = {asked} that was asked.", evidence)
    if given.declared_patients and delta * given.declared_patients >= 1:
        why = f"δ = {exact(delta)} would allow one whole record to be published."
        return Finding("red", why, evidence)
    within = f"{spent}, within the ε = {exact(given.epsilon_budget)} that was asked"
    if epsilon > WEAK_EPSILON:
        why = f"{within}; above {WEAK_EPSILON:g} the bound says little ({WEAK_SOURCE})."
        return Finding("amber", why, evidence)
    return Finding("green", f"{within}, at δ = {exact(delta)} for each patient.", evidence)


def attacks(evaluation: Evaluation, given: Guarantee | None) -> Finding:
    """Judge the attacks that ran: red above the ceiling, amber above chance."""
    budget = budget_of(given)
    tried = [attack for attack in evaluation.attacks if not attack.tripwire]
    run = (*map(attack_words, tried), *map(risk_words, evaluation.risks))
    alarms = _alarms(evaluation)
    evidence = (*run, *map(score_words, _shown(evaluation, alarms)))
    above = [attack for attack in evaluation.attacks if budget and beaten(attack, budget)]
    if above:
        why = f"{attack_titles(above)} went above the ceiling that the guarantee allows; find out why."
        return Finding("red", why, evidence)
    none = None if run else Finding("open", "No attack was part of this evaluation.")
    found = [
        none,
        _above_chance(evaluation, budget),
        _private_scores(alarms, bounded=budget is not None),
    ]
    worse = [finding for finding in found if finding is not None]
    if worse:
        reason = " ".join(finding.reason for finding in worse)
        return Finding(worst([finding.level for finding in worse]), reason, evidence)
    limits = [attack.detection_limit - 0.5 for attack in tried]
    limits += [risk.detection_limit for risk in evaluation.risks]
    tries = "attack of a screen" if evaluation.depth == "screen" else "attack"
    many = counted(len(run), tries, tries.replace("attack", "attacks"))
    seen = (
        number(min(limits))
        if len(limits) == 1
        else f"{number(min(limits))} to {number(max(limits))}"
    )
    why = (
        f"None of {many} did better than chance. They would have seen a gain of {seen} over it; "
        "smaller leaks may go unnoticed."
    )
    failed = [s for s in evaluation.scores if s.topic == "privacy" and not has_run(s)]
    withheld = [score for score in failed if is_withheld(score)]
    unseen = [score for score in failed if not is_withheld(score)]
    if unseen:
        why += f" Not run: {titled(unseen)}."
    if withheld:
        why += f" But {missing_words(withheld)}."
    if budget is None:
        return Finding("amber", f"{why} No guarantee bounds what other attacks could do.", evidence)
    return Finding("amber" if withheld else "green", why, evidence)


def _above_chance(evaluation: Evaluation, budget: Budget | None) -> Finding | None:
    """Return what was told from chance: bounded by the guarantee where there is one."""
    seen = [a for a in evaluation.attacks if not a.tripwire and a.auc_interval.low > 0.5]
    gained = [risk for risk in evaluation.risks if risk.gain_interval.low > 0]
    if not seen and not gained:
        return None
    told = f"{attack_titles([*seen, *gained])} did better than chance"
    tried = sum(not attack.tripwire for attack in evaluation.attacks) + len(evaluation.risks)
    lucky = 1 - ONE_SIDED**tried
    if budget is None:
        return Finding("red", f"{told}, and no guarantee bounds what others could do.")
    by_luck = (
        f"Of {tried} attacks, at least one does so by luck in {share(lucky, 0)} of evaluations."
    )
    return Finding("amber", f"{told}, below the ceiling of the guarantee. {by_luck}")


def _alarms(evaluation: Evaluation) -> list[Score]:
    """Return the scores of privacy that are not good, the poor ones first."""
    told = {attack.key for attack in evaluation.attacks if attack.auc_interval.low > 0.5}
    told |= {risk.key for risk in evaluation.risks if risk.gain_interval.low > 0}
    scores = [score for score in evaluation.scores if score.topic == "privacy" and has_run(score)]
    poor = [score for score in scores if judge(score) == "red"]
    poor.sort(key=is_tripwire)
    # Attacks above chance are named as such: their scores would say it twice.
    between = [
        score
        for score in scores
        if judge(score) == "amber"
        and (is_tripwire(score) or metric_of(score.key).attack not in told)
    ]
    return poor + between


def _shown(evaluation: Evaluation, alarms: Sequence[Score]) -> list[Score]:
    """Return the scores to show with the attacks: what is not good, and every tripwire."""
    return [
        score
        for score in evaluation.scores
        if score in alarms or (is_tripwire(score) and has_run(score))
    ]


def _private_scores(alarms: Sequence[Score], *, bounded: bool) -> Finding | None:
    """Return what the scores of privacy add: those that are not good by their thresholds."""
    if not alarms:
        return None
    first = alarms[0]
    why = f"To be looked at: {score_words(first)}."
    if judge(first) == "red":
        why = f"Poor: {score_words(first)}. "
        why += (
            "That makes the claim amber, not red: a tripwire can raise an alarm but cannot prove a leak."
            if is_tripwire(first)
            else "That makes the claim amber, not red: it is below the ceiling of the guarantee."
            if bounded
            else "No guarantee bounds what others could do."
        )
    if len(alarms) > 1:
        why += f" Also not good: {titled(alarms[1:])}."
    leak = judge(first) == "red" and not is_tripwire(first) and not bounded
    return Finding("red" if leak else "amber", why)


def topic(evaluation: Evaluation, name: Topic) -> Finding:
    """Judge a topic by its worst score; what did not run keeps it from green."""
    return _by_scores([s for s in evaluation.scores if s.topic == name and not is_of_groups(s)])


def utility(evaluation: Evaluation) -> Finding:
    """Judge declared analyses and predictions; a conclusion turned round is red by itself."""
    scores = [s for s in evaluation.scores if s.topic == "utility" and not is_of_groups(s)]
    by_scores = _by_scores(scores)
    turned = [
        f"{plain(coefficient.term)} in {plain(analysis.name)}"
        for analysis in evaluation.analyses
        for coefficient in analysis.coefficients
        if is_reversed(coefficient)
    ]
    evidence = (*map(analysis_words, evaluation.analyses), *by_scores.evidence)
    if turned:
        why = f"Synthetic records would turn a conclusion round: {listed(turned, 3)}."
        return Finding("red", why, evidence)
    failed = [analysis for analysis in evaluation.analyses if analysis.not_run is not None]
    if failed and by_scores.level != "red":
        why = f"A declared analysis has no result here: {missing_words(failed)}."
        return Finding("amber", why, evidence)
    if by_scores.level == "green" and not evaluation.analyses:
        why = f"{by_scores.reason} No analysis was declared, so none was tried."
        return Finding("amber", why, evidence)
    return Finding(by_scores.level, by_scores.reason, evidence)


def is_reversed(coefficient: Coefficient) -> bool:
    """Tell whether real and synthetic intervals both leave out 0, on different sides of it."""
    real, synthetic = coefficient.real_interval, coefficient.synthetic_interval
    return (real.low > 0 and synthetic.high < 0) or (real.high < 0 and synthetic.low > 0)


def groups(evaluation: Evaluation) -> Finding:
    """Judge the figures within protected groups, the worst first."""
    if not evaluation.groups:
        asked = [s for s in evaluation.scores if is_of_groups(s) and s.not_run is not None]
        if asked and is_withheld(asked[0]):
            return Finding("open", "Figures of groups of real patients are withheld.")
        why = f": {plain(asked[0].not_run or '')}" if asked else ""
        return Finding("open", f"No protected group was looked at{why}.")
    by_level: dict[Level, list[GroupFigure]] = {}
    for figure in evaluation.groups:
        by_level.setdefault(judge_group(evaluation, figure), []).append(figure)
    words = {score.key: score for score in evaluation.scores}

    def said(figure: GroupFigure) -> str:
        return figure_words(figure, words.get(figure.key))

    bad_words: dict[Level, str] = {"red": "Poor", "amber": "Not clearly good"}
    judged = [f for level in (*bad_words, "green") for f in by_level.get(level, [])]
    evidence = tuple(f"{group_name(figure)}: {said(figure)}" for figure in judged)
    for level, word in bad_words.items():
        bad = by_level.get(level, [])
        if bad:
            why = f"{word} for {group_list(bad)}. In {group_name(bad[0])}, {said(bad[0])}."
            return Finding(level, why, evidence)
    good, unknown = by_level.get("green", []), by_level.get("open", [])
    if not good:
        return Finding("open", "Groups were looked at, but no threshold says what is good.")
    many = counted(len({group_name(figure) for figure in good}), "group")
    if unknown:
        why = f"Good in {many}, but not shown for {group_list(unknown)}."
        return Finding("amber", why, evidence)
    return Finding("green", f"Good in each of {many} that were looked at.", evidence)


def _by_scores(scores: Sequence[Score]) -> Finding:
    judged = [score for score in scores if score.threshold is not None and has_run(score)]
    failed = [score for score in scores if not has_run(score)]
    evidence = tuple(map(score_words, judged))
    if not judged:
        why = "No threshold says what is good."
        if failed or not scores:
            shown = any(map(is_withheld, failed))
            why = "No figure of it is shown." if shown else "No figure of it ran."
        return Finding("open", why)
    level = worst([judge(score) for score in judged])
    bad = [score for score in judged if judge(score) == level]
    if level == "green":
        why = f"{counted(len(judged), 'figure')} with a threshold: good."
        if failed:
            return Finding("amber", f"{why} But {missing_words(failed)}.", evidence)
        return Finding("green", why, evidence)
    word = "Poor" if level == "red" else "Not clearly good"
    why = f"{word}: {score_words(bad[0])}" + (
        f"; and {counted(len(bad) - 1, 'further figure')}." if len(bad) > 1 else "."
    )
    return Finding(level, why, evidence)
