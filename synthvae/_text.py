"""Text for a reader: shortened, safe for a terminal, and with the nearest known word.

What stands in a file or a table may come from anywhere, so it is shown shortened, and it must not
steer the terminal that shows it.
"""

import difflib
import re
import sys
from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal
from typing import Any

# Control characters but for line feeds, marks that turn the direction of writing, and what is no
# character; a report shows none of them either.
STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_NOISE = 12  # digits, beyond which a float is its arithmetic's


def brief(item: Any) -> str:
    """Return a value's representation in at most 60 characters."""
    return shortened(repr(item), 60)


def shortened(text: str, most: int) -> str:
    """Return a text of at most `most` characters: its middle gives way."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[: most - 3 - half]}...{text[len(text) - half :]}"


def one_line(text: object, most: int = 300) -> str:
    """Return text on one line, shortened and without a full stop: such as why something failed.

    Examples
    --------
    >>> one_line(ValueError("at line 3:\\n  no number."))
    'at line 3: no number'
    """
    return shortened(" ".join(str(text).split()).rstrip("."), most)


def printable(text: str) -> str:
    """Return text whose control characters are spelled out, so that a terminal only shows it.

    Examples
    --------
    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return STEERING.sub(lambda match: ascii(match.group())[1:-1], text)


def say(text: str, *, error: bool = False) -> None:
    """Print a line on standard output, or on standard error."""
    print(printable(text), file=sys.stderr if error else sys.stdout)


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the choice closest to `word`, or an empty string."""
    lowered = {choice.lower(): choice for choice in choices}
    match = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    if not match:
        return ""
    choice = lowered[match[0]]
    # Letters of other alphabets may look the same.
    look_alike = any(not sign.isascii() for sign in set(word) ^ set(choice))
    spelling = f", which is {choice!a} and not {word!a}" if look_alike else ""
    return f" (did you mean '{choice}'{spelling}?)"


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(2000, "row"), counted(2, "synthesis", "syntheses")
    ('1 row', '2,000 rows', '2 syntheses')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def epsilon_text(epsilon: float) -> str:
    """Return an ε to three digits, rounded up: no text says less than what was spent.

    What differs from a short number in the twelfth digit alone counts as that number.

    Examples
    --------
    >>> epsilon_text(0.99975), epsilon_text(1), epsilon_text(1.2341), epsilon_text(0.0471)
    ('1', '1', '1.24', '0.0471')
    """
    return _rounded_up(epsilon, 3)


def delta_text(delta: float) -> str:
    """Return a δ to two digits, rounded up.

    Examples
    --------
    >>> delta_text(1e-5), delta_text(4.12e-6), delta_text(0.01)
    ('10⁻⁵', '4.2 × 10⁻⁶', '0.01')
    """
    return _rounded_up(delta, 2)


def _rounded_up(value: float, digits: int) -> str:
    number = Decimal(f"{value:.{_NOISE}g}")
    if not number or not number.is_finite():
        return "0" if not number else "∞" if number > 0 else "–"
    number = number.quantize(Decimal(1).scaleb(number.adjusted() + 1 - digits), ROUND_CEILING)
    if 1e-4 <= abs(number) < 10**6:
        whole = f"{number:,f}"
        return whole.rstrip("0").rstrip(".") if "." in whole else whole
    return power_text(f"{number.scaleb(-number.adjusted()):g}", number.adjusted())


def power_text(mantissa: str, exponent: int) -> str:
    """Return a number as a power of ten: `power_text("2.5", 8)` is 2.5 × 10⁸."""
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    magnitude = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return magnitude if mantissa == "1" else f"{mantissa} × {magnitude}"
