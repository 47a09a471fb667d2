"""Is one figure good, poor or between: by its threshold and its interval, never by taste."""

import math
from collections.abc import Sequence
from typing import Literal

from synthvae.evaluation.values import Analysis, Evaluation, GroupFigure, Interval, Score, Threshold
from synthvae.report.words import number, plain

ClaimKey = Literal["guarantee", "attacks", "validity", "fidelity", "utility", "groups"]
Level = Literal["green", "amber", "red", "open"]
WITHHELD = "withheld: "  # how the reason begins for what the public rendering does not show
TRIPWIRES = ("dcr", "copies", "membership_")  # beginnings of keys
_ATTACKS = ("attack.", "membership_")
SEVERITY: dict[Level, int] = {"green": 0, "open": 1, "amber": 2, "red": 3}


def judge(score: Score) -> Level:
    """Return how a score stands by its own threshold.

    A score that did not run, or that nobody set a threshold for, is open: never a pass. Where there
    is an interval, it is red only if all of it is poor, and green only if none of it is: in doubt, a
    person should look. So it is where a further draw from the same model would be judged worse, and
    where an attack's interval lies above chance, however little.

    Examples
    --------
    >>> limit = Threshold(good=0.05, poor=0.1, basis="project default", source="a reason")
    >>> asked = dict(key="d", topic="fidelity", title="d", meaning="d", direction="lower")
    >>> [judge(Score(value=v, threshold=limit, **asked)) for v in (0.05, 0.07, 0.2)]
    ['green', 'amber', 'red']
    """
    if score.not_run is not None:
        return "open"
    level = _judge(score.value, score.interval, score)
    if level == "green" and (is_above_chance(score) or draws_worse(score)):
        return "amber"
    return level


def is_above_chance(score: Score) -> bool:
    """Tell whether an attack did better than chance: its whole interval lies above its goal."""
    if not score.key.startswith(_ATTACKS) or score.interval is None or score.goal is None:
        return False
    return score.interval.low > score.goal


def draws_worse(score: Score) -> bool:
    """Tell whether some further draw would be judged worse than the first, by their values alone."""
    first = SEVERITY[_judge_value(score.value, score)]
    return any(SEVERITY[_judge_value(draw, score)] > first for draw in score.draws)


def is_withheld(one: Score | Analysis) -> bool:
    """Tell whether something has no figure because this is the public rendering."""
    return one.not_run is not None and one.not_run.startswith(WITHHELD)


def is_of_groups(score: Score) -> bool:
    """Tell whether a score is the worst figure of protected groups."""
    return score.key.startswith("group_")


def is_tripwire(score: Score) -> bool:
    """Tell whether a score can raise an alarm but is no evidence of privacy when it is quiet."""
    return score.topic == "privacy" and score.key.startswith(TRIPWIRES)


def attack_title(score: Score) -> str:
    """Return what a score is called, or its attack, of which several scores can be.

    Examples
    --------
    >>> asked = dict(topic="privacy", meaning="m", value=None, direction="lower", not_run="why")
    >>> attack_title(Score(key="attack.shadow.auc", title="Shadow models (AUC)", **asked))
    'Shadow models'
    """
    if not score.key.startswith(_ATTACKS):
        return score.title
    return score.title.partition(" (")[0]


def judge_figure(figure: GroupFigure, score: Score) -> Level:
    """Return how one group's figure stands by the threshold of a score."""
    return _judge(figure.value, figure.interval, score)


def _judge(value: float | None, interval: Interval | None, score: Score) -> Level:
    level = _judge_value(value, score)
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
    doubtful = (_judge_value(end, score) == "red") != (level == "red")
    return "amber" if doubtful else level


def _judge_value(value: float | None, score: Score) -> Level:
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


def limits_in_words(score: Score) -> str:
    """Return a score's threshold as one phrase, or nothing where it has none."""
    limit = score.threshold
    if limit is None:
        return ""
    good, poor = number(limit.good), number(limit.poor)
    goal = number(score.goal, 2)
    if score.direction == "higher":
        return f"good from {good}, poor below {poor}"
    reached = ""
    if score.key.startswith(_ATTACKS) and score.goal is not None:
        reached = f" where the interval reaches {goal}"
    if score.direction == "towards":
        return f"good within {good} of {goal}{reached}, poor beyond {poor}"
    return f"good up to {good}{reached}, poor above {poor}"


def authority(limit: Threshold | None) -> str:
    """Return on whose word a threshold stands, and why."""
    return "" if limit is None else f"{limit.basis}: {plain(limit.source)}"


def of_group(evaluation: Evaluation, figure: GroupFigure) -> Level:
    """Return how one group's figure stands by the threshold of the score it belongs to."""
    if figure.not_run is not None:
        return "open"
    score = next((score for score in evaluation.scores if score.key == figure.key), None)
    return "open" if score is None else judge_figure(figure, score)
