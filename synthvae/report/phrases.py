"""Numbers and names as a reader sees them."""

import math
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.levels import Level, draws_worse, metric_of
from synthvae.evaluation.results import (
    Analysis,
    Attack,
    Coefficient,
    GroupFigure,
    Interval,
    Risk,
    Score,
    Threshold,
)

NONE = "–"
REAL = ("real", "train", "trtr", "trained on real")  # references of models trained on real rows
_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIRECTIONS = {"higher": "higher is better", "lower": "lower is better"}
_UNSAFE = re.compile(r"[\u202a-\u202e\u2066-\u2069\ufffe\uffff]")
WORDS: dict[Level, str] = {"green": "Green", "amber": "Amber", "red": "Red", "open": "Open"}
SIGNS: dict[Level, str] = {"green": "●", "amber": "▲", "red": "■", "open": "○"}
MEANINGS: dict[Level, str] = {
    "green": "all that was checked is good by its threshold",
    "amber": "a person should look: a figure is not clearly good nor clearly poor, or did not run",
    "red": "a figure is poor by its threshold, or the claim does not hold",
    "open": "nothing was tested, or no threshold says what is good; never a pass",
}
_SHAPES: dict[Level, str] = {
    "green": '<circle cx="10" cy="10" r="9"/><path class="in" d="M5.5 10.5l3 3l6-7"/>',
    "amber": '<path d="M10 1.2L19.4 18H.6z"/><path class="in" d="M10 7.2v5.2M10 14.6v1.2"/>',
    "red": '<path d="M1 1H19V19H1z"/><path class="in" d="M6 6l8 8M14 6l-8 8"/>',
    "open": '<circle class="out" cx="10" cy="10" r="8"/>',
}
ClaimKey = Literal["guarantee", "attacks", "validity", "fidelity", "utility", "groups"]
WITHHELD = "withheld: "  # how the reason begins for what the public rendering does not show


def number(value: float | None, decimals: int = 3) -> str:
    """Return a figure with its decimals, or as a power of ten where they would hide it.

    Examples
    --------
    >>> number(0.0672), number(-1.5, 1), number(1e-6), number(None)
    ('0.067', '−1.5', '10⁻⁶', '–')
    """
    if value is None or not math.isfinite(value):
        return NONE
    if value != 0 and abs(value) < 0.5 * 10**-decimals:
        return power(value)
    if abs(value) >= 1e6:
        return power(value)
    if abs(value) >= 100:
        decimals = min(decimals, 1)
    text = f"{value:,.{decimals}f}"
    if not float(text.replace(",", "")):
        text = text.lstrip("-")
    return text.replace("-", "−")


def power(value: float) -> str:
    """Return a number as a power of ten.

    Examples
    --------
    >>> power(1e-6), power(2.5e8)
    ('10⁻⁶', '2.5 × 10⁸')
    """
    if not math.isfinite(value):
        return NONE if math.isnan(value) else "∞" if value > 0 else "−∞"
    mantissa, exponent = f"{value:.2g}".partition("e")[::2] if value else ("0", "0")
    if not exponent:
        mantissa, exponent = f"{value:.1e}".split("e")
    raised = "10" + str(int(exponent)).translate(_DIGITS)
    factor = f"{float(mantissa):g}".replace("-", "−")
    return raised if factor == "1" else f"{factor} × {raised}"


def raised(value: float, digits: int = 2) -> float:
    """Return a number rounded up to so many digits, for upper bounds.

    Examples
    --------
    >>> raised(1043.1), raised(1000.0)
    (1100.0, 1000.0)
    """
    if value == 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return math.ceil(value / step - 1e-6) * step


def exact(value: float | None) -> str:
    """Return a setting with every digit that it has, short: 1.5, 0.0471, 10⁻⁶."""
    if value is None or not math.isfinite(value):
        return NONE
    if value and not 1e-4 <= abs(value) < 1e6:
        return power(value)
    return f"{value:,.4g}".replace("-", "−") if abs(value) < 1000 else f"{value:,.0f}"


def bound(value: float | None, decimals: int = 4) -> str:
    """Return an upper bound, rounded up so that what is said is never less than what is true.

    Examples
    --------
    >>> bound(1.00001), bound(0.99961), bound(1.0), bound(1.2e-6)
    ('1.0001', '0.9997', '1', '1.2 × 10⁻⁶')
    """
    if value is None or not 1e-4 <= abs(value) < 1000:
        return exact(value)
    steps = value * 10**decimals
    raised = math.ceil(steps - 1e-6) / 10**decimals
    return f"{raised:.{decimals}f}".rstrip("0").rstrip(".")


def count(value: int | None) -> str:
    """Return a whole number with its thousands apart."""
    return NONE if value is None else f"{value:,}"


def listed(names: Sequence[str], most: int) -> str:
    """Return names as a list in a sentence, at most so many of them.

    Examples
    --------
    >>> listed(["age"], 3), listed(["age", "sex"], 3), listed(["a", "b", "c", "d"], 2)
    ('age', 'age and sex', 'a, b and 2 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def share(value: float | None, decimals: int = 1) -> str:
    """Return a share as percent."""
    if value is None or not math.isfinite(value):
        return NONE
    return f"{100 * value:.{decimals}f} %"


def reference_name(name: str) -> str:
    """Return what a reference is called in the report."""
    known = {
        "holdout": "real holdout",
        "independent": "independent columns",
        "chance": "chance",
        "ideal": "ideal",
        "bootstrap": "real, resampled",
        **dict.fromkeys(REAL, "trained on real"),
    }
    return known.get(name, plain(name))


def range_text(interval: Interval | None) -> str:
    """Return an interval as text, or a dash."""
    if interval is None:
        return NONE
    return f"{number(interval.low)} to {number(interval.high)}"


def direction(name: str, goal: float | None) -> str:
    """Return which way a score is better, in words."""
    if name == "towards":
        return "closer to its goal is better" if goal is None else f"best at {number(goal, 2)}"
    return _DIRECTIONS[name]


def plain(text: str) -> str:
    """Return text on one line, without control characters or ones that reorder what is read.

    Examples
    --------
    >>> plain("a\\nb\\x00c\\u202ed")
    'a b�c�d'
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = re.sub(r"\s+", " ", text).strip()
    text = "".join("\ufffd" if unicodedata.category(char) == "Cc" else char for char in text)
    return _UNSAFE.sub("\ufffd", text)


def bin_label(label: str) -> str:
    """Return what a bin is called where there is little room: "≤ 3" for "up to 3"."""
    for words, sign in (("up to ", "≤ "), ("above ", "> ")):
        label = label.replace(words, sign, 1) if label.startswith(words) else label
    return label.removesuffix(" (special)")


def fit(text: str, width: float, size: float = 10.5) -> str:
    """Return text that is at most about so many px wide in letters of so many px.

    Examples
    --------
    >>> fit("Cirrhosis", 80), fit("ARF/MOSF w/Sepsis", 80)
    ('Cirrhosis', 'ARF/MO…psis')
    """
    text = plain(text)
    length = len(text)
    while length > 1 and sum(map(_em, shorten(text, length))) * size > width:
        length -= 1
    return shorten(text, length)


def _em(char: str) -> float:
    if unicodedata.east_asian_width(char) in "WF":
        return 1.0
    return 0.76 if char.isupper() or char in "mw%@—…" else 0.56


def shorten(text: str, length: int) -> str:
    """Return text of at most so many characters, its middle left out.

    Examples
    --------
    >>> shorten("haemoglobin_at_admission", 12)
    'haemogl…sion'
    """
    text = plain(text)
    if len(text) <= length:
        return text
    tail = (length - 1) * 2 // 5
    return text[: length - 1 - tail] + "…" + text[len(text) - tail :]


def shape(level: Level) -> Markup:
    """Return the level's shape as SVG; its word stands beside it."""
    return Markup(
        f'<svg class="level {level}" viewBox="0 0 20 20" aria-hidden="true">{_SHAPES[level]}</svg>'
    )


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


def has_run(score: Score) -> bool:
    """Tell whether a score has a value."""
    return score.not_run is None and score.value is not None


def score_words(score: Score) -> str:
    """Return a score with its limits, and its other draws where they are worse."""
    said = [limits_in_words(score)] if score.threshold else []
    if draws_worse(score):
        said.append(f"other draws: {number(min(score.draws))} to {number(max(score.draws))}")
    share_of = metric_of(score.key).share_of
    of = f" of {share_of}" if share_of else ""
    return f"{shorten(score.title, 80)} is {number(score.value)}{of}" + (
        f" ({'; '.join(said)})" if said else ""
    )


def attack_words(attack: Attack) -> str:
    """Return a membership attack with its AUC."""
    found = f"AUC {number(attack.auc)} ({range_text(attack.auc_interval)})"
    return f"{shorten(attack.title, 80)}: {found}"


def risk_words(risk: Risk) -> str:
    """Return a guess about patients with its gain."""
    return f"{shorten(risk.title, 80)}: gain {number(risk.gain)} ({range_text(risk.gain_interval)})"


def analysis_words(analysis: Analysis) -> str:
    """Return what became of a declared analysis."""
    name = shorten(analysis.name, 80)
    if analysis.not_run is not None:
        return f"{name}: {'withheld' if is_withheld(analysis) else 'did not run'}"
    terms = analysis.coefficients
    if not terms:
        return f"{name}: {counted(len(analysis.curves), 'curve')}"
    return f"{name}: {signs_in_words(terms)}"


def signs_in_words(terms: Sequence[Coefficient]) -> str:
    """Return how many terms keep the real sign: of all, and of those that are told from 0."""
    told = [term for term in terms if not term.real_interval.low <= 0 <= term.real_interval.high]
    alike, kept = (sum(term.same_sign for term in some) for some in (terms, told))
    return (
        f"{alike} of {counted(len(terms), 'term')} with the real sign, and {kept} of the "
        f"{len(told)} that the real rows tell from 0"
    )


def attack_titles(found: Sequence[Attack | Risk]) -> str:
    """Return the titles of some attacks as a list."""
    return listed([shorten(one.title, 80) for one in found], 3)


def titled(found: Sequence[Score | Analysis]) -> str:
    """Return scores and analyses as a list, an attack with several scores once."""
    return listed([shorten(name, 80) for name in names_of(found)], 3)


def names_of(found: Sequence[Score | Analysis]) -> list[str]:
    """Return what scores and analyses are called, each name once."""
    names = (attack_title(one) if isinstance(one, Score) else one.name for one in found)
    return list(dict.fromkeys(names))


def missing_words(found: Sequence[Score | Analysis]) -> str:
    """Return what has no figure, and why: it did not run, or the public rendering withholds it."""
    reason = plain(found[0].not_run or "no reason was given")
    verb = "is" if len(names_of(found)) == 1 else "are"
    if is_withheld(found[0]):
        return f"{titled(found)} {verb} {reason}"
    return f"{titled(found)} did not run: {reason}"


def group_name(figure: GroupFigure) -> str:
    """Return which group a figure is of."""
    return f"{plain(figure.column)} = {plain(figure.group)}"


def group_list(figures: Sequence[GroupFigure]) -> str:
    """Return which groups some figures are of, each once."""
    return listed(list(dict.fromkeys(map(group_name, figures))), 4)


def figure_words(figure: GroupFigure, score: Score | None) -> str:
    """Return a group's figure with its interval and the limits of its score."""
    title = shorten(figure.key if score is None else score.title, 80)
    ends = "" if figure.interval is None else f", {range_text(figure.interval)}"
    limits = "" if score is None else f" ({limits_in_words(score)})"
    return f"{title} is {number(figure.value)}{ends}{limits}"
