"""The evidence behind each claim of the decision page: values in, a level and its reason out."""

from collections.abc import Sequence
from dataclasses import dataclass

from synthvae.evaluation.values import Analysis, Attack, Coefficient, Evaluation, Risk, Score, Topic
from synthvae.privacy.guarantee import Guarantee
from synthvae.report.ceiling import Budget, beaten, budget_of
from synthvae.report.judging import Level, judge, limits_in_words, of_group, worst
from synthvae.report.words import (
    bound,
    counted,
    exact,
    listed,
    number,
    plain,
    range_text,
    share,
    shorten,
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
    evidence = (*map(_attack_words, tried), *map(_risk_words, evaluation.risks))
    above = [attack for attack in evaluation.attacks if budget and beaten(attack, budget)]
    if above:
        why = f"{_named(above)} went above the ceiling that the guarantee allows; find out why."
        return Finding("red", why, evidence)
    if not evidence:
        return Finding("open", "No attack was part of this evaluation.")
    worse = _above_chance(evaluation, budget) or _private_scores(evaluation)
    if worse is not None:
        return Finding(worse.level, worse.reason, evidence)
    limits = [attack.detection_limit - 0.5 for attack in tried]
    limits += [risk.detection_limit for risk in evaluation.risks]
    tries = "attack of a screen" if evaluation.depth == "screen" else "attack"
    many = counted(len(evidence), tries, tries.replace("attack", "attacks"))
    seen = (
        number(min(limits))
        if len(limits) == 1
        else f"{number(min(limits))} to {number(max(limits))}"
    )
    why = (
        f"None of {many} did better than chance. They would have seen a gain of {seen} over it; "
        "smaller leaks may go unnoticed."
    )
    failed = [s for s in evaluation.scores if s.topic == "privacy" and not _ran(s)]
    if failed:
        why += f" Not run: {_titled(failed)}."
    if budget is None:
        return Finding("amber", f"{why} No guarantee bounds what other attacks could do.", evidence)
    return Finding("green", why, evidence)


def _above_chance(evaluation: Evaluation, budget: Budget | None) -> Finding | None:
    """Return what was told from chance: bounded by the guarantee where there is one."""
    seen = [a for a in evaluation.attacks if not a.tripwire and a.auc_interval.low > 0.5]
    gained = [risk for risk in evaluation.risks if risk.gain_interval.low > 0]
    if not seen and not gained:
        return None
    told = f"{_named([*seen, *gained])} did better than chance"
    tried = sum(not attack.tripwire for attack in evaluation.attacks) + len(evaluation.risks)
    lucky = 1 - ONE_SIDED**tried
    if budget is None:
        return Finding("red", f"{told}, and no guarantee bounds what others could do.")
    by_luck = (
        f"Of {tried} attacks, at least one does so by luck in {share(lucky, 0)} of evaluations."
    )
    return Finding("amber", f"{told}, below the ceiling of the guarantee. {by_luck}")


def _private_scores(evaluation: Evaluation) -> Finding | None:
    """Return what the scores of privacy add: one that is not good by its threshold."""
    scores = [score for score in evaluation.scores if score.topic == "privacy"]
    for level in ("red", "amber"):
        bad = [score for score in scores if judge(score) == level]
        if bad:
            return Finding("amber", f"To be looked at: {_score_words(bad[0])}.")
    return None


def topic(evaluation: Evaluation, name: Topic) -> Finding:
    """Judge a topic by its worst score; what did not run keeps it from green."""
    return _by_scores([s for s in evaluation.scores if s.topic == name and not _of_groups(s)])


def utility(evaluation: Evaluation) -> Finding:
    """Judge declared analyses and predictions; a conclusion turned round is red by itself."""
    scores = [s for s in evaluation.scores if s.topic == "utility" and not _of_groups(s)]
    by_scores = _by_scores(scores)
    turned = [
        f"{plain(coefficient.term)} in {plain(analysis.name)}"
        for analysis in evaluation.analyses
        for coefficient in analysis.coefficients
        if is_reversed(coefficient)
    ]
    evidence = (*map(_analysis_words, evaluation.analyses), *by_scores.evidence)
    if turned:
        why = f"Synthetic records would turn a conclusion round: {listed(turned, 3)}."
        return Finding("red", why, evidence)
    failed = [analysis for analysis in evaluation.analyses if analysis.not_run is not None]
    if failed and by_scores.level != "red":
        why = f"A declared analysis has no result ({_titled(failed)}): {plain(failed[0].not_run or '')}."
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
        asked = [s for s in evaluation.scores if _of_groups(s) and s.not_run is not None]
        why = f": {plain(asked[0].not_run or '')}" if asked else ""
        return Finding("open", f"No protected group was looked at{why}.")
    by_level: dict[Level, list[str]] = {}
    for figure in evaluation.groups:
        name = f"{plain(figure.column)} = {plain(figure.group)}"
        by_level.setdefault(of_group(evaluation, figure), []).append(name)
    bad, between = by_level.get("red", []), by_level.get("amber", [])
    good, unknown = by_level.get("green", []), by_level.get("open", [])
    if bad:
        return Finding("red", f"Poor for {listed(_once(bad), 4)}.")
    if between:
        return Finding("amber", f"Not clearly good for {listed(_once(between), 4)}.")
    if not good:
        return Finding("open", "Groups were looked at, but no threshold says what is good.")
    many = counted(len(_once(good)), "group")
    if unknown:
        why = f"Good in {many}, but not shown for {listed(_once(unknown), 4)}."
        return Finding("amber", why)
    return Finding("green", f"Good in each of {many} that were looked at.")


def _by_scores(scores: Sequence[Score]) -> Finding:
    judged = [score for score in scores if score.threshold is not None and _ran(score)]
    failed = [score for score in scores if not _ran(score)]
    evidence = tuple(map(_score_words, judged))
    if not judged:
        why = "No figure of it ran." if failed or not scores else "No threshold says what is good."
        return Finding("open", why)
    level = worst([judge(score) for score in judged])
    bad = [score for score in judged if judge(score) == level]
    if level == "green":
        why = f"{counted(len(judged), 'figure')} with a threshold: good."
        if failed:
            rest = f"{_titled(failed)} did not run"
            return Finding(
                "amber", f"{why} But {rest}: {plain(failed[0].not_run or '')}.", evidence
            )
        return Finding("green", why, evidence)
    word = "Poor" if level == "red" else "Not clearly good"
    why = f"{word}: {_score_words(bad[0])}" + (
        f"; and {counted(len(bad) - 1, 'further figure')}." if len(bad) > 1 else "."
    )
    return Finding(level, why, evidence)


def _of_groups(score: Score) -> bool:
    return score.key.startswith("group_")


def _ran(score: Score) -> bool:
    return score.not_run is None and score.value is not None


def _score_words(score: Score) -> str:
    return f"{shorten(score.title, 80)} is {number(score.value)} ({limits_in_words(score)})"


def _attack_words(attack: Attack) -> str:
    found = f"AUC {number(attack.auc)} ({range_text(attack.auc_interval)})"
    return f"{shorten(attack.title, 80)}: {found}"


def _risk_words(risk: Risk) -> str:
    return f"{shorten(risk.title, 80)}: gain {number(risk.gain)} ({range_text(risk.gain_interval)})"


def _analysis_words(analysis: Analysis) -> str:
    name = shorten(analysis.name, 80)
    if analysis.not_run is not None:
        return f"{name}: did not run"
    terms = analysis.coefficients
    if not terms:
        return f"{name}: {counted(len(analysis.curves), 'curve')}"
    alike = sum(term.same_sign for term in terms)
    return f"{name}: {alike} of {counted(len(terms), 'term')} with the real sign"


def _named(found: Sequence[Attack | Risk | Score]) -> str:
    return listed([shorten(one.title, 80) for one in found], 3)


def _titled(found: Sequence[Score | Analysis]) -> str:
    names = [shorten(one.title if isinstance(one, Score) else one.name, 80) for one in found]
    return listed(names, 3)


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
