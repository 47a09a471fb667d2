"""Levels: which record a score belongs to, by its key, and whether it is good, poor or between.

A level follows from a score's threshold and its interval, never from taste; that of an attack, from
whether it did better than chance, too.
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
    relations,
    sdmetrics_report,
    significance,
    subgroups,
    survival,
    three_way,
    validity,
)
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.results import Evaluation, GroupFigure, Interval, Score, Threshold

MODULES = (
    *(validity, relations, sdmetrics_report, marginals, pairs, joint),
    *(
        three_way,
        analyses,
        subgroups,
        survival,
        prediction_metrics,
        prediction,
        prediction_task,
        groups,
    ),
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
    person should look. So it is where a further draw from the same model would be judged worse.

    An attack's figure is amber where it is above chance, however little, and red where all of its
    interval is poor, too. Else it is green where the interval has nothing that is poor, and open
    where it has: the attack would have missed a leak. A steward's own limit is judged as any other
    threshold is.

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
    if _is_held_against_chance(score):
        if is_above_chance(score):
            return "red" if level == "red" else "amber"
        worse = _judge_ends(score, score)[1]
        return "open" if "red" in (level, worse) else "green"
    if level == "green" and (is_above_chance(score) or draws_worse(score)):
        return "amber"
    return level


def _is_held_against_chance(score: Score) -> bool:
    """Tell whether a figure is an attack's, which no steward has set a limit for."""
    limit, known = score.threshold, None not in (score.interval, score.goal)
    by_steward = limit is not None and limit.basis == "steward-set"
    return bool(metric_of(score.key).attack) and limit is not None and known and not by_steward


def is_above_chance(score: Score) -> bool:
    """Tell whether an attack did better than chance, with all tests of its evaluation counted.

    That is by its p-value; where there is none, as in the public rendering, by its interval.
    """
    if score.p_value is not None:
        return score.p_value <= significance.ERROR
    if score.goal is None:
        return False
    return bool(metric_of(score.key).attack) and is_above(score.value, score.interval, score.goal)


def is_above(value: float | None, interval: Interval | None, chance: float) -> bool:
    """Tell whether a figure is above chance by its interval, widened for the number of tests."""
    if value is None or interval is None:
        return False
    return significance.lower_end(value, interval) > chance


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
    level = _level_of_value(figure.value, score)
    if level not in ("green", "red") or is_exhausted(score):
        return level
    best, furthest = _judge_ends(figure, score)
    doubtful = ((best if level == "red" else furthest) == "red") != (level == "red")
    return "amber" if doubtful else level


def is_exhausted(score: Score) -> bool:
    """Tell whether a count of the whole table that is released has nothing left to find in it.

    Its interval is about tables that were not made: that all of few rows keep a rule would be in
    doubt by their number alone.
    """
    best = {"higher": 1.0, "lower": 0.0, "towards": None}[score.direction]
    return metric_of(score.key).census and score.value == best


def _judge_ends(figure: Score | GroupFigure, score: Score) -> tuple[Level, Level]:
    """Return how the better and the worse end of a figure's interval stand."""
    interval = figure.interval
    if interval is None:
        level = _level_of_value(figure.value, score)
        return level, level
    best, furthest = interval.low, interval.high
    if score.direction == "higher":
        best, furthest = furthest, best
    elif score.direction == "towards":
        goal = score.goal or 0.0
        best = min(max(goal, interval.low), interval.high)
        furthest = max(interval.low, interval.high, key=lambda end: abs(end - goal))
    return _level_of_value(best, score), _level_of_value(furthest, score)


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


def excess(value: float | None, score: Score) -> float:
    """Return how far a value is beyond good, 1 at poor; 0 where nothing says what is good.

    What is worst among figures of one level is what is furthest beyond its own threshold.
    """
    limit = score.threshold
    if value is None or limit is None or not math.isfinite(value):
        return 0.0
    found, width = value - limit.good, abs(limit.poor - limit.good)
    if score.direction == "higher":
        found = -found
    elif score.direction == "towards":
        found = abs(value - (score.goal or 0.0)) - limit.good
    return found / max(width, 1e-9)


def worst(levels: Sequence[Level]) -> Level:
    """Return the worst of some levels; of none, open.

    Examples
    --------
    >>> worst(["green", "amber", "green"]), worst([])
    ('amber', 'open')
    """
    return max(levels, key=SEVERITY.__getitem__, default="open")
