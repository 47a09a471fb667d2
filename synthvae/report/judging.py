"""How a figure stands, in words: its limits, on whose word, and what the public does not see."""

from typing import Literal

from synthvae.evaluation.catalogue import metric_of
from synthvae.evaluation.values import Analysis, Score, Threshold
from synthvae.report.words import number, plain

ClaimKey = Literal["guarantee", "attacks", "validity", "fidelity", "utility", "groups"]
WITHHELD = "withheld: "  # how the reason begins for what the public rendering does not show


def is_withheld(one: Score | Analysis) -> bool:
    """Tell whether something has no figure because this is the public rendering."""
    return one.not_run is not None and one.not_run.startswith(WITHHELD)


def is_of_groups(score: Score) -> bool:
    """Tell whether a score is the worst figure of protected groups."""
    return metric_of(score.key).family == "groups"


def is_tripwire(score: Score) -> bool:
    """Tell whether a score can raise an alarm but is no evidence of privacy when it is quiet."""
    return metric_of(score.key).tripwire


def attack_title(score: Score) -> str:
    """Return what a score is called, or its attack, of which several scores can be.

    Examples
    --------
    >>> asked = dict(topic="privacy", meaning="m", value=None, direction="lower", not_run="why")
    >>> attack_title(Score(key="attack.shadow.auc", title="Shadow models (AUC)", **asked))
    'Shadow models'
    """
    return score.title.partition(" (")[0] if metric_of(score.key).attack else score.title


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
    if metric_of(score.key).attack and score.goal is not None:
        reached = f" where the interval reaches {goal}"
    if score.direction == "towards":
        return f"good within {good} of {goal}{reached}, poor beyond {poor}"
    return f"good up to {good}{reached}, poor above {poor}"


def authority(limit: Threshold | None) -> str:
    """Return on whose word a threshold stands, and why."""
    return "" if limit is None else f"{limit.basis}: {plain(limit.source)}"
