"""How numbers, names and scores read: first figures as text, then names, then what a score says."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, get_args

from markupsafe import Markup

from synthvae._text import STEERING, counted, delta_text, epsilon_text, power_text
from synthvae.evaluation.results import Coefficient, Interval, Score, Topic
from synthvae.levels import Level, judge, metric_of

ClaimKey = Literal["guarantee", "attacks", "validity", "fidelity", "utility", "subgroups", "groups"]
TOPICS: dict[Topic, str] = {topic: topic.capitalize() for topic in get_args(Topic)}
LEVEL_NAMES: dict[Level, str] = {"green": "Green", "amber": "Amber", "red": "Red", "open": "Open"}
LEVEL_SIGNS: dict[Level, str] = {"green": "●", "amber": "▲", "red": "■", "open": "○"}
LEVEL_MEANINGS: dict[Level, str] = {
    "green": "all that was checked is good by its threshold",
    "amber": "a person should look: a figure is not clearly good nor clearly poor, or did not run",
    "red": "a figure is poor by its threshold, or the claim does not hold",
    "open": "nothing was tested or could have been seen, or no threshold says what is good; never a "
    "pass",
}
_LEVEL_SHAPES: dict[Level, str] = {
    "green": '<circle cx="10" cy="10" r="9"/><path class="in" d="M5.5 10.5l3 3l6-7"/>',
    "amber": '<path d="M10 1.2L19.4 18H.6z"/><path class="in" d="M10 7.2v5.2M10 14.6v1.2"/>',
    "red": '<path d="M1 1H19V19H1z"/><path class="in" d="M6 6l8 8M14 6l-8 8"/>',
    "open": '<circle class="out" cx="10" cy="10" r="8"/>',
}
NONE = "–"
NO_REASON = "no reason was given"
WITHHELD = "withheld: "  # begins the reason for what the public rendering does not show
REAL = ("real", "train", "trtr", "trained on real")  # references of models trained on real rows
_REFERENCES = {
    "holdout": "real holdout",
    "independent": "independent columns",
    "chance": "chance",
    "ideal": "ideal",
    "bootstrap": "real, resampled",
    **dict.fromkeys(REAL, "trained on real"),
}


def number(value: float | None, decimals: int = 3) -> str:
    """Return a figure with its decimals, or as a power of ten where they would hide it: 0.067, 10⁻⁶."""
    if value is None or not math.isfinite(value):
        return NONE
    if value != 0 and not 0.5 * 10**-decimals <= abs(value) < 1e6:
        return power(value)
    if abs(value) >= 100:
        decimals = min(decimals, 1)
    text = f"{value:,.{decimals}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("-")
    return text.replace("-", "−")


def power(value: float) -> str:
    """Return a number as a power of ten, with two digits: 2.5 × 10⁸."""
    if not math.isfinite(value):
        return NONE if math.isnan(value) else "∞" if value > 0 else "−∞"
    mantissa, exponent = f"{value:.1e}".split("e")
    return power_text(f"{float(mantissa):g}".replace("-", "−"), int(exponent))


def exact(value: float | None) -> str:
    """Return a setting with every digit that it has, short: 1.5, 0.0471, 10⁻⁶."""
    if value is None or not math.isfinite(value):
        return NONE
    if value and not 1e-4 <= abs(value) < 1e6:
        return power(value)
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 1000 else f"{value:,.0f}"


def upper_bound(value: float | None, decimals: int = 4) -> str:
    """Return an upper bound, rounded up so that the text never says less than what is true.

    Examples
    --------
    >>> upper_bound(1.00001), upper_bound(0.99961), upper_bound(1.0), upper_bound(1.2e-6)
    ('1.0001', '0.9997', '1', '1.2 × 10⁻⁶')
    """
    if value is None or not 1e-4 <= abs(value) < 1000:
        return exact(value)
    rounded_up = math.ceil(value * 10**decimals - 1e-6) / 10**decimals
    return f"{rounded_up:.{decimals}f}".rstrip("0").rstrip(".")


def epsilon(value: float | None) -> str:
    """Return an ε as it stands everywhere, rounded up."""
    return NONE if value is None else epsilon_text(value)


def delta(value: float | None) -> str:
    """Return a δ as it stands everywhere, rounded up."""
    return NONE if value is None else delta_text(value)


def count(value: int | None) -> str:
    """Return a whole number with its thousands apart."""
    return NONE if value is None else f"{value:,}"


def share(value: float | None, decimals: int = 1) -> str:
    """Return a share as percent."""
    if value is None or not math.isfinite(value):
        return NONE
    percent = round(100 * value, decimals) + 0.0  # no -0
    return f"{percent:.{decimals}f} %".replace("-", "−")


def range_text(interval: Interval | None) -> str:
    """Return an interval as text, or a dash."""
    return f"{number(interval.low)} to {number(interval.high)}" if interval else NONE


def share_range(interval: Interval) -> str:
    """Return an interval of a share as percent."""
    return f"{share(interval.low)} to {share(interval.high)}"


def plain(text: str) -> str:
    """Return text on one line, without control characters or ones that reorder what is read."""
    return STEERING.sub("\ufffd", re.sub(r"\s+", " ", text).strip())


def shorten(text: str, length: int = 80) -> str:
    """Return text of at most `length` characters, its middle left out: haemogl…sion."""
    text = plain(text)
    if len(text) <= length:
        return text
    tail = (length - 1) * 2 // 5
    return text[: length - 1 - tail] + "…" + text[len(text) - tail :]


def fit(text: str, width: float, size: float = 10.5) -> str:
    """Return text that is at most about `width` px wide in letters of `size` px."""
    text = plain(text)
    length = len(text)
    while length > 1 and sum(map(_em, shorten(text, length))) * size > width:
        length -= 1
    return shorten(text, length)


def _em(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    return 0.76 if char.isupper() or char in "mw%@—…" else 0.56


def bin_label(label: str) -> str:
    """Return what a bin is called where there is little room: "≤ 3" for "up to 3"."""
    for phrase, sign in (("up to ", "≤ "), ("above ", "> ")):
        label = label.replace(phrase, sign, 1) if label.startswith(phrase) else label
    return label.removesuffix(" (special)")


def listed(names: Sequence[str], most: int) -> str:
    """Return names as a list in a sentence, at most `most` of them.

    Examples
    --------
    >>> listed(["age"], 3), listed(["age", "sex"], 3), listed(["a", "b", "c", "d"], 2)
    ('age', 'age and sex', 'a, b and 2 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def level_shape(level: Level) -> Markup:
    """Return the level's shape as SVG; its name stands beside it."""
    return Markup(
        f'<svg class="level {level}" viewBox="0 0 20 20" aria-hidden="true">'
        f"{_LEVEL_SHAPES[level]}</svg>"
    )


def reference_name(name: str) -> str:
    """Return what a reference is called in the report."""
    return _REFERENCES.get(name) or plain(name)


def direction(name: str, goal: float | None) -> str:
    """Return which way a score is better, in words."""
    if name == "towards":
        return "closer to its goal is better" if goal is None else f"best at {number(goal, 2)}"
    return {"higher": "higher is better", "lower": "lower is better"}[name]


def threshold_text(score: Score) -> str:
    """Return a score's threshold as one phrase, or nothing where it has none."""
    limit = score.threshold
    if limit is None:
        return ""
    good, poor, goal = number(limit.good), number(limit.poor), number(score.goal, 2)
    if score.direction == "higher":
        return f"good from {good}, poor below {poor}"
    against_chance = metric_of(score.key).attack and score.goal is not None
    reached = " where chance explains it" if against_chance else ""
    if score.direction == "towards":
        return f"good within {good} of {goal}{reached}, poor beyond {poor}"
    return f"good up to {good}{reached}, poor above {poor}"


def sign_agreement(terms: Sequence[Coefficient]) -> str:
    """Return how many terms keep the real sign: of all, and of those that differ from 0."""
    clear = [term for term in terms if not term.real_interval.low <= 0 <= term.real_interval.high]
    same, same_of_clear = (sum(term.same_sign for term in some) for some in (terms, clear))
    return (
        f"{same} of {counted(len(terms), 'term')} with the real sign, and {same_of_clear} of the "
        f"{len(clear)} that the real rows tell from 0"
    )


def has_run(score: Score) -> bool:
    """Tell whether a score has a value."""
    return score.not_run is None and score.value is not None


def is_of_groups(score: Score) -> bool:
    """Tell whether a score is the worst figure of protected groups."""
    return metric_of(score.key).family == "groups"


def is_tripwire(score: Score) -> bool:
    """Tell whether a score can raise an alarm but is no evidence of privacy when it is quiet."""
    return metric_of(score.key).tripwire


_FILTERS = (
    count,
    counted,
    delta,
    epsilon,
    exact,
    number,
    plain,
    range_text,
    share,
    share_range,
    shorten,
    upper_bound,
)
_FUNCTIONS = (direction, has_run, judge, level_shape, reference_name, threshold_text)
TEMPLATE_FILTERS: dict[str, Any] = {function.__name__: function for function in _FILTERS}
TEMPLATE_GLOBALS: dict[str, Any] = {function.__name__: function for function in _FUNCTIONS}
TEMPLATE_GLOBALS |= {"level_names": LEVEL_NAMES, "level_meanings": LEVEL_MEANINGS}
TEMPLATE_GLOBALS |= {"topic_names": TOPICS, "no_reason": NO_REASON}
