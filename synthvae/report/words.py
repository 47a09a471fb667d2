"""Numbers and names as a reader sees them."""

import math
import re
import unicodedata
from collections.abc import Sequence

from synthvae.evaluation.values import Interval

NONE = "–"
REAL = ("real", "train", "trtr", "trained on real")  # references of models trained on real rows
_DIGITS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DIRECTIONS = {"higher": "higher is better", "lower": "lower is better"}
_UNSAFE = re.compile(r"[\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


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
