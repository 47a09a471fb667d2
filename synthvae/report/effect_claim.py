"""The claim about effects within subgroups: declared ones, and dependence of three columns."""

from collections.abc import Sequence

from synthvae import levels
from synthvae._text import counted
from synthvae.evaluation import results
from synthvae.evaluation.subgroups import OVERLAP
from synthvae.evaluation.three_way import THREE_WAY
from synthvae.report import phrases
from synthvae.report.claims import Finding, is_reversed, judge_scores

_NAMED = 3
_NOTHING = "No figure of effects within subgroups is here: none was looked at, or it is withheld."


def judge_effects(evaluation: results.Evaluation) -> Finding:
    """Judge whether whom an effect concerns can be seen in the synthetic rows.

    Declared interactions by their conclusions; what nobody declared by the share of the three-way
    dependence that survives. A conclusion turned round is red by itself.
    """
    scores = [score for score in evaluation.scores if _is_of_interactions(score)]
    if not scores:
        return Finding("open", _beyond_pairs(evaluation) or _NOTHING)
    finding = judge_scores(scores)
    effects = _effects(evaluation)
    turned = [text for text, effect in effects if is_reversed(effect)]
    told = [_conclusions(effects), _beyond_pairs(evaluation), finding.reason]
    if turned:
        first = f"Synthetic records would turn effects round: {phrases.listed(turned, _NAMED)}."
        told.insert(0, first)
    level = "red" if turned else finding.level
    return Finding(level, " ".join(filter(None, told)), finding.evidence)


def has_declared_effects(evaluation: results.Evaluation) -> bool:
    """Tell whether an interaction was declared."""
    scores = filter(_is_of_interactions, evaluation.scores)
    return any(score.key != THREE_WAY.key for score in scores)


def is_lost(effect: results.SubgroupEffect) -> bool:
    """Tell whether real rows tell an effect from 0, and synthetic ones do not."""
    synthetic = effect.synthetic_interval
    return _is_clear(effect.real_interval) and (synthetic is None or not _is_clear(synthetic))


def is_invented(effect: results.SubgroupEffect) -> bool:
    """Tell whether synthetic rows tell an effect from 0, and real ones do not."""
    synthetic = effect.synthetic_interval
    return synthetic is not None and _is_clear(synthetic) and not _is_clear(effect.real_interval)


def has_other_size(effect: results.SubgroupEffect) -> bool:
    """Tell whether both rows tell an effect from 0 alike, but their intervals overlap poorly.

    Of two samples of one population, about 5 % of effects do, whatever the sizes of the samples.
    """
    if is_lost(effect) or is_reversed(effect) or not _is_clear(effect.real_interval):
        return False
    assert OVERLAP.threshold is not None
    return _overlap(effect) < OVERLAP.threshold.poor


def _overlap(effect: results.SubgroupEffect) -> float:
    """Return how far the intervals of an effect cover each other: 1 all, 0 or less nothing."""
    real, synthetic = effect.real_interval, effect.synthetic_interval
    if synthetic is None:
        return 0.0
    shared = min(real.high, synthetic.high) - max(real.low, synthetic.low)
    widths = (real.high - real.low, synthetic.high - synthetic.low)
    return sum(shared / width if width > 0 else float(shared >= 0) for width in widths) / 2


def _is_clear(interval: results.Interval) -> bool:
    return not interval.low <= 0 <= interval.high


def _is_of_interactions(score: results.Score) -> bool:
    return levels.metric_of(score.key).family == "interactions"


def _effects(evaluation: results.Evaluation) -> list[tuple[str, results.SubgroupEffect]]:
    """Return each effect within a subgroup with its name: arm = 1 within marker = 0."""
    return [
        (f"{phrases.plain(effect.term)} within {phrases.plain(effect.subgroup)}", effect)
        for analysis in evaluation.analyses
        for interaction in analysis.subgroups
        for effect in interaction.effects
    ]


def _conclusions(effects: Sequence[tuple[str, results.SubgroupEffect]]) -> str:
    """Return how many conclusions about subgroups are kept, and which are lost, as a sentence."""
    clear = [(text, effect) for text, effect in effects if _is_clear(effect.real_interval)]
    if not clear:
        return ""
    lost = [text for text, effect in clear if is_lost(effect)]
    kept = sum(not is_lost(effect) and not is_reversed(effect) for _, effect in clear)
    text = (
        f"Of {counted(len(clear), 'effect')} within subgroups that the real rows tell from 0, the "
        f"synthetic ones show {kept or 'none'}"
    )
    if others := _other_sizes(clear):
        of = "another size" if len(others) == 1 else "other sizes"
        text += f", though {len(others)} of {of}: {phrases.listed(others, _NAMED)}"
    return f"{text}; lost: {phrases.listed(lost, _NAMED)}." if lost else f"{text}."


def _other_sizes(effects: Sequence[tuple[str, results.SubgroupEffect]]) -> list[str]:
    """Return the effects that are kept with another size, the furthest off first."""
    others = [(text, effect) for text, effect in effects if has_other_size(effect)]
    others.sort(key=lambda other: _overlap(other[1]))
    return [
        f"{text} is {phrases.exact(effect.synthetic)} instead of {phrases.exact(effect.real)}"
        for text, effect in others
    ]


def _beyond_pairs(evaluation: results.Evaluation) -> str:
    """Return what is left of three-way dependence as a sentence."""
    found = evaluation.three_way
    if found is None or not found.compared:
        return ""
    if not found.standing_out:
        return (
            f"No interaction of three columns stands out in the real rows, of "
            f"{counted(found.compared, 'triple')} looked at."
        )
    score = next((score for score in evaluation.scores if score.key == THREE_WAY.key), None)
    if score is None or score.value is None:
        return ""
    text = (
        f"Of what {counted(found.standing_out, 'triple')} of columns show beyond their pairs in the "
        f"real rows, {phrases.share(score.value, 0)} is in the synthetic ones"
    )
    if found.declared_share is None:
        return f"{text}."
    return f"{text}; of what declared interactions show, {phrases.share(found.declared_share, 0)}."
