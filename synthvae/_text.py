"""Text for a reader: shortened, safe for a terminal, and with the nearest known word.

What stands in a file or a table may come from anywhere, so it is shown shortened, and it must not
steer the terminal that shows it.
"""

import difflib
import re
import sys
from collections.abc import Iterable
from typing import Any

# Control characters but for line feeds, marks that turn the direction of writing, and what is no
# character; a report shows none of them either.
STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


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
