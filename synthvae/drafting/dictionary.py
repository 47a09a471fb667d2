"""The shipped dictionary of common clinical variables: names, units, plausible ranges, sources."""

import re
import unicodedata
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from pydantic import Field as Setting

from synthvae._frozen import Frozen, read_mapping
from synthvae.errors import ConfigError

DICTIONARY = Path(__file__).with_name("clinical.yaml")
WIDE = 1.5  # times the usual range
MOST_WORDS = 20  # of a name that may stand for a variable


class Range(Frozen):
    """Plausible values of a variable in one unit; `usual` are those of all but rare adults."""

    unit: str | None = None
    decimals: int = 0
    minimum: float
    maximum: float
    usual: tuple[float, float] | None = None

    @property
    def is_wide(self) -> bool:
        """Whether the bounds are far wider than the usual values, so that these cost less noise."""
        if self.usual is None:
            return False
        return self.maximum - self.minimum >= WIDE * (self.usual[1] - self.usual[0])


class Variable(Frozen):
    """What is publicly known about one clinical variable.

    A number has `ranges`, the usual unit first; a category has `enums`, its usual spellings; a
    flag is true or false. `source` names one of the dictionary's sources.
    """

    name: str
    aliases: tuple[str, ...] = ()
    unit: str | None = None
    decimals: int = 0
    minimum: float | None = None
    maximum: float | None = None
    usual: tuple[float, float] | None = None
    others: tuple[Range, ...] = Setting(default=(), alias="or")
    enums: tuple[tuple[str, ...], ...] = ()
    flag: bool = False
    role: str | None = None
    source: str
    note: str | None = None

    @cached_property
    def ranges(self) -> tuple[Range, ...]:
        """Plausible values of a number in each unit in use; empty for what is no number."""
        if self.minimum is None or self.maximum is None:
            return ()
        least, most = self.minimum, self.maximum
        first = Range(
            unit=self.unit,
            decimals=self.decimals,
            minimum=least,
            maximum=most,
            usual=self.usual,
        )
        return (first, *self.others)

    @property
    def basis(self) -> str:
        """What its facts rest on, in words."""
        source = str(_contents()["sources"][self.source])
        return f"{source}; {self.note}" if self.note else source


@cache
def load_words(kind: str) -> frozenset[str]:
    """Return one of the dictionary's lists of words, such as `qualifiers`."""
    return frozenset(_contents()["words"][kind].split())


@cache
def _contents() -> dict[str, Any]:
    return read_mapping(DICTIONARY, ConfigError, "dictionary")


@cache
def load_dictionary() -> dict[str, Variable]:
    """Return every variable of the dictionary under each of its names, written plainly."""
    variables: dict[str, Variable] = {}
    for entry in _contents()["variables"]:
        variable = Variable.model_validate(entry)
        for name in {"".join(_words(name)) for name in (variable.name, *variable.aliases)}:
            if name in variables:
                raise ConfigError(f"The dictionary {DICTIONARY.name} has {name!r} twice.")
            variables[name] = variable
    return variables


def look_up(name: str) -> Variable | None:
    """Return the variable that a column's name stands for, or None.

    Case, accents, spaces and punctuation do not count, nor do words at either end that say when,
    how or in which unit something was measured.

    Examples
    --------
    >>> look_up("Heart-Rate (max)").name
    'heart rate'
    >>> look_up("postcode") is None
    True
    """
    known = load_dictionary()
    words = _words(name)
    size = len(words)
    if size > MOST_WORDS:
        return None
    for length in range(size, 0, -1):
        for start in range(size - length + 1):
            around = words[:start] + words[start + length :]
            inner = "".join(words[start : start + length])
            if inner in known and load_words("qualifiers").issuperset(around):
                return known[inner]
    return None


def _words(name: str) -> list[str]:
    """Return a name's words of plain letters and digits, in small letters and without accents."""
    split = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])", " ", name)
    signs = unicodedata.normalize("NFKD", split)
    plain = "".join(sign for sign in signs if not unicodedata.combining(sign)).lower()
    return re.findall(r"[a-z0-9]+", plain)
