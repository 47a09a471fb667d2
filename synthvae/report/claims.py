"""The evidence behind each claim of the decision page: values in, a level and its reason out.

First the judgement of each claim, in the page's order; then its evidence as sentences.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from synthvae import levels
from synthvae._text import counted
from synthvae.evaluation import results, significance
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.tradeoff import Budget, budget_of, ceiling, largest_auc
from synthvae.report import phrases

WEAK_EPSILON = 10.0
WEAK_SOURCE = "Ponomareva et al. 2023, How to DP-fy ML, section 5.2"
BLIND = 0.25  # half the way from chance to certainty: who sees no less has seen nothing
_OWN_CLAIM = ("groups", "interactions")  # families of scores
_NOT_GOOD: dict[levels.Level, str] = {"red": "Poor", "amber": "Not clearly good"}


@dataclass(frozen=True)
class Finding:
    """A level, the reason for it in one or two sentences, and the figures it rests on."""

    level: levels.Level
    reason: str
    evidence: tuple[str, ...] = ()


def judge_claims(
    evaluation: results.Evaluation, guarantee: Guarantee | None
) -> dict[phrases.ClaimKey, Finding]:
    """Judge every claim of the decision page but that about effects within subgroups."""
    return {
        "guarantee": _judge_guarantee(guarantee),
        "attacks": _judge_attacks(evaluation, guarantee),
        "validity": _judge_validity(evaluation),
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
        return Finding("red", phrases.plain(void))
    epsilon, delta = budget
    spent = f"ε = {phrases.epsilon(epsilon)} was spent"
    at_delta = f"δ = {phrases.delta(delta)}"
    limit = f"ε = {phrases.epsilon(guarantee.epsilon_budget)} that was asked"
    evidence = (f"{spent} at {at_delta}", f"per {phrases.plain(guarantee.unit)}")
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


def _judge_attacks(evaluation: results.Evaluation, guarantee: Guarantee | None) -> Finding:
    """Judge the attacks that ran: red above the ceiling or of copied records, amber above chance."""
    budget = budget_of(guarantee)
    attacks = [attack for attack in evaluation.attacks if not attack.tripwire]
    lines = [
        f"{phrases.shorten(attack.title)}: AUC {phrases.number(attack.auc)} "
        f"({phrases.range_text(attack.auc_interval)})"
        for attack in attacks
    ] + [
        f"{phrases.shorten(risk.title)}: gain {phrases.number(risk.gain)} "
        f"({phrases.range_text(risk.gain_interval)})"
        for risk in evaluation.risks
    ]
    private = [score for score in evaluation.scores if score.topic == "privacy"]
    all_of_them: tuple[results.Attack | results.Risk, ...] = (*attacks, *evaluation.risks)
    above_chance = [one for one in all_of_them if _is_above_chance(one, evaluation)]
    alarms = _alarms([score for score in private if phrases.has_run(score)], above_chance)
    shown = (
        s
        for s in evaluation.scores
        if s in alarms or (phrases.is_tripwire(s) and phrases.has_run(s))
    )
    evidence = (*lines, *map(_score_text, shown))
    above = [attack for attack in evaluation.attacks if budget and beaten(attack, budget)]
    if above:
        figure = _worst_text([score for score in private if _is_of(score, above)])
        reason = f"{_titles(above)} went above the ceiling that the guarantee allows; find out why."
        return Finding("red", f"{reason}{figure}", evidence)
    none = None if lines else Finding("open", "No attack was part of this evaluation.")
    chance = _judge_against_chance(above_chance, private, budget)
    scores = _judge_alarms(alarms, bounded=budget is not None)
    findings = [finding for finding in (none, chance, scores) if finding is not None]
    if findings:
        reason = " ".join(finding.reason for finding in findings)
        return Finding(levels.worst([finding.level for finding in findings]), reason, evidence)
    return _judge_quiet(evaluation, private, len(lines), budget, evidence)


def _judge_quiet(
    evaluation: results.Evaluation,
    private: Sequence[results.Score],
    ran: int,
    budget: Budget | None,
    evidence: tuple[str, ...],
) -> Finding:
    """Judge attacks of which none found anything: by what they could have seen, and what is missing."""
    limits = [a.detection_limit - 0.5 for a in evaluation.attacks if not a.tripwire]
    # Guesses that are hardly ever right by chance, such as copies, show no more than those.
    finest = min(limits or [risk.detection_limit for risk in evaluation.risks])
    limits += [risk.detection_limit for risk in evaluation.risks]
    kind = "attack{} of a screen" if evaluation.depth == "screen" else "attack{}"
    ends = phrases.number(min(limits)) + (
        f" to {phrases.number(max(limits))}" if len(limits) > 1 else ""
    )
    reason = (
        f"None of {counted(ran, kind.format(''), kind.format('s'))} did better than chance. "
        f"They would have seen a gain of {ends} over it; smaller leaks may go unnoticed."
    )
    blind = finest > BLIND
    if blind:
        reason += (
            f" Who was in train shows from a gain of {phrases.number(finest)} on: too few patients "
            f"for less than {BLIND:g}."
        )
    missing = [score for score in private if not phrases.has_run(score)]
    withheld = [score for score in missing if is_withheld(score)]
    if not_run := [score for score in missing if not is_withheld(score)]:
        reason += f" Not run: {_list(_names(not_run))}."
    if withheld:
        reason += f" But {_missing_text(withheld)}."
    if budget is None:
        reason += " No guarantee bounds what other attacks could do."
    return Finding("amber" if withheld or blind or budget is None else "green", reason, evidence)


def _is_of(score: results.Score, attacks: Sequence[results.Attack | results.Risk]) -> bool:
    """Tell whether a score sums up one of the attacks, and has a value."""
    keys = {attack.key for attack in attacks}
    return levels.metric_of(score.key).attack in keys and phrases.has_run(score)


def _is_above_chance(attack: results.Attack | results.Risk, evaluation: results.Evaluation) -> bool:
    """Tell whether a figure of an attack is above chance, with all tests counted."""
    scores = [score for score in evaluation.scores if _is_of(score, (attack,))]
    if scores:
        return any(map(levels.is_above_chance, scores))
    if isinstance(attack, results.Risk):
        return levels.is_above(attack.gain, attack.gain_interval, 0.0)
    return levels.is_above(attack.auc, attack.auc_interval, 0.5)


def _judge_against_chance(
    above: Sequence[results.Attack | results.Risk],
    private: Sequence[results.Score],
    budget: Budget | None,
) -> Finding | None:
    """Judge attacks that did better than chance: the guarantee, if any, bounds them, but no copies."""
    if not above:
        return None
    figures = [score for score in private if _is_of(score, above)]
    copied = [s for s in figures if levels.metric_of(s.key).verbatim and levels.is_above_chance(s)]
    if copied:
        return Finding(
            "red",
            f"Records of train stand in the table word for word, more than chance explains: "
            f"{_score_text(copied[0])}. {copied[0].detail} Find out why.",
        )
    better, figure = f"{_titles(above)} did better than chance", _worst_text(figures)
    if budget is None:
        return Finding("red", f"{better}, and no guarantee bounds what others could do.{figure}")
    return Finding(
        "amber",
        f"{better}, below the ceiling of the guarantee. Where nothing leaks, that happens in "
        f"at most {phrases.share(significance.ERROR)} of evaluations.{figure}",
    )


def _worst_text(scores: Sequence[results.Score]) -> str:
    """Return the figure that is furthest beyond its threshold as a sentence, if there is any."""
    above = [score for score in scores if levels.is_above_chance(score)] or scores
    if not above:
        return ""
    worst_of = max(above, key=lambda score: levels.excess(score.value, score))
    return f" Furthest off: {_score_text(worst_of)}."


def _alarms(
    private: Sequence[results.Score], named: Sequence[results.Attack | results.Risk]
) -> list[results.Score]:
    """Return the scores of privacy that are not good, the poor ones first.

    Attacks that are `named` as above chance are left out where they are not poor: their scores
    would say it twice.
    """
    poor = [score for score in private if levels.judge(score) == "red"]
    between = [
        score
        for score in private
        if levels.judge(score) == "amber"
        and (phrases.is_tripwire(score) or not _is_of(score, named))
    ]
    return sorted(poor, key=phrases.is_tripwire) + between


def _judge_alarms(alarms: Sequence[results.Score], *, bounded: bool) -> Finding | None:
    """Judge the scores of privacy that are not good by their thresholds."""
    if not alarms:
        return None
    first = alarms[0]
    level: levels.Level = "amber"
    reason = f"To be looked at: {_score_text(first)}."
    if levels.judge(first) == "red":
        reason = f"Poor: {_score_text(first)}. "
        if phrases.is_tripwire(first):
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


def _judge_topic(evaluation: results.Evaluation, topic: results.Topic) -> Finding:
    """Judge a topic by its worst score, those aside that have a claim of their own."""
    scores = [score for score in evaluation.scores if score.topic == topic]
    return judge_scores([s for s in scores if levels.metric_of(s.key).family not in _OWN_CLAIM])


def judge_scores(scores: Sequence[results.Score]) -> Finding:
    """Judge scores by the worst of them; what did not run keeps them from green."""
    judged = [score for score in scores if score.threshold is not None and phrases.has_run(score)]
    missing = [score for score in scores if not phrases.has_run(score)]
    if not judged:
        reason = "No threshold says what is good."
        if missing or not scores:
            shown = any(map(is_withheld, missing))
            reason = "No figure of it is shown." if shown else "No figure of it ran."
        return Finding("open", reason)
    evidence = tuple(map(_score_text, judged))
    level = levels.worst([levels.judge(score) for score in judged])
    if level == "green":
        reason = f"{counted(len(judged), 'figure')} with a threshold: good."
        if missing:
            return Finding("amber", f"{reason} But {_missing_text(missing)}.", evidence)
        return Finding("green", reason, evidence)
    bad = [score for score in judged if levels.judge(score) == level]
    bad.sort(key=lambda score: -_furthest(score))
    more = f"; also {_list(_names(bad[1:]))}" if len(bad) > 1 else ""
    name = _NOT_GOOD.get(level, "Not clearly good")
    return Finding(level, f"{name}: {_score_text(bad[0])}{more}.", evidence)


def _judge_validity(evaluation: results.Evaluation) -> Finding:
    """Judge what rows obey; relations that real rows keep and synthetic ones break have a sentence."""
    finding = _judge_topic(evaluation, "validity")
    for score in evaluation.scores:
        broken = levels.metric_of(score.key).family == "relations" and phrases.has_run(score)
        if broken and levels.judge(score) in _NOT_GOOD:
            reason = (
                f"{finding.reason} {phrases.share(score.value)} of synthetic rows break a relation that "
                f"nearly all real patients keep. {phrases.shorten(score.detail, 400)}"
            )
            return replace(finding, reason=reason)
    return finding


def _furthest(score: results.Score) -> float:
    """Return how far a score is beyond good, its further draws counted."""
    return max(levels.excess(value, score) for value in (score.value, *score.draws))


def _judge_utility(evaluation: results.Evaluation) -> Finding:
    """Judge declared analyses and predictions; a conclusion turned round is red by itself."""
    scores = _judge_topic(evaluation, "utility")
    level, reason = scores.level, scores.reason
    evidence = (*map(_analysis_text, evaluation.analyses), *scores.evidence)
    reversed_terms = [
        f"{phrases.plain(term.term)} in {phrases.plain(analysis.name)}"
        for analysis in evaluation.analyses
        for term in analysis.coefficients
        if is_reversed(term)
    ]
    missing = [analysis for analysis in evaluation.analyses if analysis.not_run is not None]
    if reversed_terms:
        level = "red"
        reason = (
            f"Synthetic records would turn a conclusion round: {phrases.listed(reversed_terms, 3)}."
        )
    elif missing and level != "red":
        level, reason = (
            "amber",
            f"A declared analysis has no result here: {_missing_text(missing)}.",
        )
    elif level == "green" and not evaluation.analyses:
        level, reason = "amber", f"{reason} No analysis was declared, so none was tried."
    return Finding(level, reason, evidence)


def is_reversed(term: results.Coefficient | results.SubgroupEffect) -> bool:
    """Tell whether real and synthetic intervals both leave out 0, on different sides of it."""
    real, synthetic = term.real_interval, term.synthetic_interval
    if synthetic is None:
        return False
    return (real.low > 0 and synthetic.high < 0) or (real.high < 0 and synthetic.low > 0)


def _judge_groups(evaluation: results.Evaluation) -> Finding:
    """Judge the figures within protected groups, the worst first."""
    if not evaluation.groups:
        missing = [
            s for s in evaluation.scores if phrases.is_of_groups(s) and s.not_run is not None
        ]
        if missing and is_withheld(missing[0]):
            return Finding("open", "Figures of groups of real patients are withheld.")
        reason = f": {phrases.plain(missing[0].not_run or '')}" if missing else ""
        return Finding("open", f"No protected group was looked at{reason}.")
    by_level: dict[levels.Level, list[results.GroupFigure]] = {
        "red": [],
        "amber": [],
        "green": [],
        "open": [],
    }
    for figure in evaluation.groups:
        by_level[levels.judge_group(evaluation, figure)].append(figure)
    unknown = by_level.pop("open")
    scores = {score.key: score for score in evaluation.scores}

    def text(figure: results.GroupFigure) -> str:
        return _group_text(figure, scores.get(figure.key))

    judged = (figure for figures in by_level.values() for figure in figures)
    evidence = tuple(f"{_group(figure)}: {text(figure)}" for figure in judged)
    for level, name in _NOT_GOOD.items():
        if bad := by_level[level]:
            bad.sort(
                key=lambda f: -(levels.excess(f.value, scores[f.key]) if f.key in scores else 0.0)
            )
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


def is_withheld(result: results.Score | results.Analysis) -> bool:
    """Tell whether a result has no figure because this is the public rendering."""
    return result.not_run is not None and result.not_run.startswith(phrases.WITHHELD)


def attack_title(score: results.Score) -> str:
    """Return a score's title; of "Shadow models (AUC)", one of several of an attack, the attack's."""
    return levels.metric_of(score.key).attack_title or score.title


def _score_text(score: results.Score) -> str:
    """Return a score with its threshold, and its other draws where they are worse."""
    notes = [phrases.threshold_text(score)] if score.threshold else []
    if levels.draws_worse(score):
        notes.append(
            f"other draws: {phrases.number(min(score.draws))} to {phrases.number(max(score.draws))}"
        )
    whole = levels.metric_of(score.key).share_of
    text = f"{phrases.shorten(score.title)} is {phrases.number(score.value)}" + (
        f" of {whole}" if whole else ""
    )
    return f"{text} ({'; '.join(notes)})" if notes else text


def _analysis_text(analysis: results.Analysis) -> str:
    result = phrases.sign_agreement(analysis.coefficients)
    if analysis.not_run is not None:
        result = "withheld" if is_withheld(analysis) else "did not run"
    elif not analysis.coefficients:
        result = counted(len(analysis.curves), "curve")
    return f"{phrases.shorten(analysis.name)}: {result}"


def _names(outcomes: Sequence[results.Score | results.Analysis]) -> list[str]:
    """Return what outcomes are called: several scores of one attack once."""
    names = (attack_title(one) if isinstance(one, results.Score) else one.name for one in outcomes)
    return list(dict.fromkeys(names))


def _titles(attacks: Sequence[results.Attack | results.Risk]) -> str:
    return _list(attack.title for attack in attacks)


def _list(names: Iterable[str]) -> str:
    return phrases.listed(list(map(phrases.shorten, names)), 3)


def _missing_text(outcomes: Sequence[results.Score | results.Analysis]) -> str:
    """Return what has no figure, and why: it did not run, or the public rendering withholds it."""
    reason = phrases.plain(outcomes[0].not_run or phrases.NO_REASON)
    if is_withheld(outcomes[0]):
        return f"{_list(_names(outcomes))} {'is' if len(_names(outcomes)) == 1 else 'are'} {reason}"
    return f"{_list(_names(outcomes))} did not run: {reason}"


def _group(figure: results.GroupFigure) -> str:
    return f"{phrases.plain(figure.column)} = {phrases.plain(figure.group)}"


def _group_list(figures: Sequence[results.GroupFigure]) -> str:
    return phrases.listed(list(dict.fromkeys(map(_group, figures))), 4)


def _group_text(figure: results.GroupFigure, score: results.Score | None) -> str:
    """Return a group's figure with its interval and the threshold of its score."""
    title = phrases.shorten(figure.key if score is None else score.title)
    ends = "" if figure.interval is None else f", {phrases.range_text(figure.interval)}"
    limits = "" if score is None else f" ({phrases.threshold_text(score)})"
    return f"{title} is {phrases.number(figure.value)}{ends}{limits}"


def beaten(attack: results.Attack, budget: Budget) -> tuple[float | None, ...]:
    """Return where an attack surely lies above the ceiling: rates, and None for the whole curve."""
    rates: list[float | None] = [
        rate
        for rate, share, interval in attack.tpr_at
        if levels.is_above(share, interval, float(ceiling(rate, *budget)))
    ]
    if levels.is_above(attack.auc, attack.auc_interval, largest_auc(*budget)):
        rates.append(None)
    return tuple(rates)
