"""Levels: which record a score belongs to, by its key, and whether it is good, poor or between.

A level follows from a score's threshold and its interval, never from taste.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from synthvae._text import nearest
from synthvae.attacks.suite import attack_metrics
from synthvae.config import Limit
from synthvae.errors import ConfigError
from synthvae.evaluation import (
    analyses,
    groups,
    joint,
    marginals,
    pairs,
    prediction,
    prediction_metrics,
    prediction_task,
    sdmetrics_report,
    survival,
    validity,
)
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.results import Evaluation, GroupFigure, Score, Threshold

MODULES = (
    *(validity, sdmetrics_report, marginals, pairs, joint),
    *(analyses, survival, prediction_metrics, prediction, prediction_task, groups),
)
METRICS: tuple[Metric, ...] = (
    *(metric for module in MODULES for metric in module.METRICS),
    *attack_metrics(),
)
# A score of another version, say: it has no threshold, and nothing of it is published.
UNKNOWN = Metric(
    *("", "", "", "lower"),
    family="unknown",
    topic="fidelity",
    charted=True,
    withheld_as="nobody has judged it",
)
Level = Literal["green", "amber", "red", "open"]
SEVERITY: dict[Level, int] = {"green": 0, "open": 1, "amber": 2, "red": 3}


@cache
def metric_of(key: str) -> Metric:
    """Return the record that a score's key belongs to, `UNKNOWN` where there is none."""
    return next((metric for metric in METRICS if metric.names(key) is not None), UNKNOWN)


def check_limits(limits: Mapping[str, Limit]) -> None:
    """Raise `ConfigError` for a limit of no known figure, or one whose ends are the wrong way round."""
    for key, limit in limits.items():
        metric = metric_of(key)
        if metric is UNKNOWN:
            known = nearest(key, [each.stem for each in METRICS])
            raise ConfigError(f"evaluation: limits names '{key}', which is no score{known}.")
        upwards = metric.direction == "higher"
        if limit.good < limit.poor if upwards else limit.good > limit.poor:
            better = "higher" if upwards else "lower"
            raise ConfigError(
                f"evaluation: the limit of '{key}' has good {limit.good:g} and poor {limit.poor:g}, "
                f"but {better} is better; exchange them."
            )


def with_threshold(score: Score, limits: Mapping[str, Limit]) -> Score:
    """Return a score with the steward's threshold, else its metric's, where it has one."""
    limit = limits.get(score.key)
    if limit is None:
        threshold = metric_of(score.key).threshold_of(score)
    else:
        good, poor, source = limit.good, limit.poor, limit.reason
        threshold = Threshold(good=good, poor=poor, basis="steward-set", source=source)
    return score if threshold is None else score.model_copy(update={"threshold": threshold})


def judge(score: Score) -> Level:
    """Return how a score stands by its own threshold.

    A score that did not run, or that nobody set a threshold for, is open: never a pass. Where there
    is an interval, it is red only if all of it is poor, and green only if none of it is: in doubt, a
    person should look. So it is where a further draw from the same model would be judged worse, and
    where an attack's interval lies above chance, however little.

    Examples
    --------
    >>> limit = Threshold(good=0.05, poor=0.1, basis="project default", source="a reason")
    >>> facts = dict(key="d", topic="fidelity", title="d", meaning="d", direction="lower")
    >>> [judge(Score(value=v, threshold=limit, **facts)) for v in (0.05, 0.07, 0.2)]
    ['green', 'amber', 'red']
    """
    if score.not_run is not None:
        return "open"
    level = judge_figure(score, score)
    if level == "green" and (is_above_chance(score) or draws_worse(score)):
        return "amber"
    return level


def is_above_chance(score: Score) -> bool:
    """Tell whether an attack did better than chance: its whole interval lies above its goal."""
    if not metric_of(score.key).attack or score.interval is None or score.goal is None:
        return False
    return score.interval.low > score.goal


def draws_worse(score: Score) -> bool:
    """Tell whether some further draw would be judged worse than the first, by their values alone."""
    first = SEVERITY[_level_of_value(score.value, score)]
    return any(SEVERITY[_level_of_value(draw, score)] > first for draw in score.draws)


def judge_group(evaluation: Evaluation, figure: GroupFigure) -> Level:
    """Return how one group's figure stands by the threshold of the score it belongs to."""
    score = next((score for score in evaluation.scores if score.key == figure.key), None)
    if figure.not_run is not None or score is None:
        return "open"
    return judge_figure(figure, score)


def judge_figure(figure: Score | GroupFigure, score: Score) -> Level:
    """Return how a figure with its interval stands by the threshold of a score."""
    level, interval = _level_of_value(figure.value, score), figure.interval
    if interval is None or level not in ("green", "red"):
        return level
    best, furthest = interval.low, interval.high
    if score.direction == "higher":
        best, furthest = furthest, best
    elif score.direction == "towards":
        goal = score.goal or 0.0
        best = min(max(goal, interval.low), interval.high)
        furthest = max(interval.low, interval.high, key=lambda end: abs(end - goal))
    end = best if level == "red" else furthest
    doubtful = (_level_of_value(end, score) == "red") != (level == "red")
    return "amber" if doubtful else level


def _level_of_value(value: float | None, score: Score) -> Level:
    """Return how a value stands by the threshold, the direction and the goal of a score."""
    limit = score.threshold
    if value is None or limit is None or not math.isfinite(value):
        return "open"
    found, good, poor = value, limit.good, limit.poor
    if score.direction == "higher":
        found, good, poor = -found, -good, -poor
    elif score.direction == "towards":
        found = abs(value - (score.goal or 0.0))
    if found <= good:
        return "green"
    return "red" if found > poor else "amber"


def worst(levels: Sequence[Level]) -> Level:
    """Return the worst of some levels; of none, open.

    Examples
    --------
    >>> worst(["green", "amber", "green"]), worst([])
    ('amber', 'open')
    """
    return max(levels, key=SEVERITY.__getitem__, default="open")
