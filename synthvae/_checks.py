"""Argument checks that name the argument, its value and the rule."""

import difflib
from collections.abc import Iterable

from synthvae.errors import ConfigError


def check_positive_integer(name: str, value: object) -> int:
    """Return `value` as a whole number of at least 1, or raise `ConfigError` naming it."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1.")
    return value


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the choice closest to `word`, or an empty string."""
    lowered = {choice.lower(): choice for choice in choices}
    match = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    if not match:
        return ""
    found = lowered[match[0]]
    return f" (did you mean '{found}'{_unlike(word, found)}?)"


def _unlike(word: str, found: str) -> str:
    """Return how two words that look the same are spelled, or an empty string."""
    others = {sign for sign in set(word) ^ set(found) if not sign.isascii()}
    return f", which is {found!a} and not {word!a}" if others else ""
