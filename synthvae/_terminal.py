"""What is said on a terminal: text from files and data must not steer it."""

import re
import sys

# Control characters but for line feeds, and marks that turn the direction of writing.
STEERING = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """Return text whose control characters are spelled out, so that a terminal only shows it.

    Examples
    --------
    >>> printable("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return STEERING.sub(lambda found: ascii(found.group())[1:-1], text)


def say(text: str, *, error: bool = False) -> None:
    """Print a line on standard output, or on standard error."""
    print(printable(text), file=sys.stderr if error else sys.stdout)
