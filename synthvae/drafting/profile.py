"""One column's values as drafts see them: distinct, counted, as text and as numbers, and their form."""

import re
from collections import Counter
from datetime import date
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.drafting import moment_formats
from synthvae.drafting.numerals import (
    Numerals,
    have_decimal_commas,
    may_be_thousands,
    read_numerals,
)
from synthvae.table.cells import RawColumn, as_float, text_of

MISSING_SPELLINGS = (
    *("", "NA", "N/A", "n/a", "NaN", "nan", "NaT", "NULL", "null", "<NA>", "#N/A", ".", "-", "?"),
)
SIGNS = ("-", "?", ".")  # missing, but results beside other signs: -, +, ++
GRADE = re.compile(r"\(?\+{1,5}\)?|[1-5]\+|±|\+/-")
SIGN_WORDS = re.compile(r"pos|neg|(posi|nega)ti(ve?|vo|f)|négatif", re.IGNORECASE)
TRUE_FALSE = (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))
# Words for true and false, whatever their case; the first pair that has all of a column's.
WORDS = (
    *(("1", "0"), ("yes", "no"), ("y", "n"), ("t", "f"), ("true", "false")),
    *(("ja", "nein"), ("j", "n"), ("oui", "non"), ("o", "n"), ("si", "no"), ("sí", "no")),
    *(("sim", "não"), ("sim", "nao"), ("ja", "nee"), ("ja", "nej"), ("tak", "nie"), ("ano", "ne")),
)
LARGEST = 1e12  # what lies beyond is an error of entry and gives no bound
MOSTLY = 0.9  # of the rows must have a form that a column is said to have
MOST_DECIMALS = 6  # beyond, they are the digits of a computation, not of a measurement
FEW = 50  # rows: below, no habit of a column is inferred
COMMON_SIGN = 0.05  # of the rows, and at least
COMMON_SIGNS = 5  # rows
FULL = 1.02  # times as many whole numbers in its range as a running number has
LEAST_RUNNING = 20
FIRST_YEAR, LARGE = 1800, 10_000  # of running numbers, which else start at 0, 1, 100, 101, ...

Kind = Literal["boolean", "number", "date", "datetime", "text", "empty"]


class Profile:
    """A column's present values, and their common form.

    Attributes
    ----------
    distinct, objects, counts
        The distinct values as text and as they came, and how often each stands in the column.
    rows, missing
        How many cells hold a value, and whether any does not.
    signs, blanks
        Which usual spellings of a missing value are results here, and which stand for missing; an
        empty one for an empty cell.
    lost_signs
        Those that might be results, had not another column them for missing.
    commas_elsewhere
        Whether another column of the table has decimal commas; to be set before numbers are read.
    codes
        The place of each row's value among the distinct ones, -1 where it is missing.
    """

    def __init__(
        self, values: pd.Series, comma_decimals: bool = False, keep_signs: bool = True
    ) -> None:
        self.dtype = values.dtype
        self.comma_decimals = comma_decimals
        self.commas_elsewhere = False
        self.lost_signs: tuple[str, ...] = ()
        self.signs = _signs_that_are_results(values) if keep_signs else ()
        spellings = [text for text in MISSING_SPELLINGS if text not in self.signs]
        blank = RawColumn(values).blank(spellings)
        self.blanks = _spellings_among(values[blank]) if blank.any() else ()
        self.missing = bool(blank.any())
        self.rows = int((~blank).sum())
        present = RawColumn(values[~blank])
        present.factorize()
        texts = [text_of(cell) for cell in present.distinct]
        by_text = dict(zip(texts, present.distinct, strict=True))
        order = {text: place for place, text in enumerate(by_text)}
        self.objects: list[Any] = list(by_text.values())
        self.distinct = list(by_text)
        places = present.spread([order[text] for text in texts], -1, np.int64)
        self.counts = np.bincount(places, minlength=len(order))
        self.codes = np.full(len(values), -1, np.int64)
        self.codes[~blank] = places

    @property
    def nearly_unique(self) -> bool:
        return self.rows >= 20 and len(self.distinct) > 0.9 * self.rows

    @property
    def is_unique(self) -> bool:
        """Whether no value repeats, blanks around it aside."""
        return len({text.strip() for text in self.distinct}) == self.rows

    @cached_property
    def is_running_number(self) -> bool:
        """Whether whole numbers, all different, fill their range or have leading zeros."""
        if self.rows < LEAST_RUNNING or not self.is_unique:
            return False
        texts = [text.strip() for text in self.distinct]
        if not all(text.isdecimal() and len(text) <= 15 for text in texts):
            return False
        numbers = [int(text) for text in texts]
        first, last = min(numbers), max(numbers)
        if self.has_leading_zeros or last - first + 1 > FULL * self.rows:
            return self.has_leading_zeros
        years = first >= FIRST_YEAR and last <= moment_formats.LATEST_YEAR
        return not years and (first >= LARGE or first % 100 <= 1)  # and not ages of 20 to 79

    @property
    def has_decimal_commas(self) -> bool:
        """Whether some numbers have a comma that can only stand before decimals."""
        return have_decimal_commas([str(item) for item in self.objects[:1000]])

    @cached_property
    def kind(self) -> Kind:
        if not self.distinct:
            return "empty"
        if pd.api.types.is_bool_dtype(self.dtype) or self.spelling in TRUE_FALSE:
            return "boolean"
        if self._is_numeric():
            return "number"
        if self.moments is not None:
            return "datetime" if moment_formats.has_time(self.moments.form) else "date"
        return "number" if self.numerals is not None else "text"

    def _is_numeric(self) -> bool:
        if isinstance(self.dtype, pd.CategoricalDtype) or self.has_leading_zeros:
            return False
        if self._is_compact_date:
            return False
        plain = self.plain_numbers
        share = self.counts[~np.isnan(plain)].sum() / self.rows
        return bool(share >= MOSTLY and (np.abs(plain[np.isfinite(plain)]) <= LARGEST).any())

    @property
    def _is_compact_date(self) -> bool:
        """Whether whole numbers are dates such as 20121231."""
        if any(len(text.strip()) != 8 for text in self.distinct[:20]):
            return False
        return self.moments is not None and self.moments.form == "%Y%m%d"

    @cached_property
    def has_leading_zeros(self) -> bool:
        """Whether some are codes such as 007, which numbers would shorten."""
        return any(
            text[:1] == "0" and text.strip().isdecimal() for text in self.distinct if text[1:]
        )

    @cached_property
    def plain_numbers(self) -> NDArray[np.float64]:
        """The distinct values as numbers; NaN for other text."""
        return np.array([as_float(text) for text in self.distinct], float)

    @cached_property
    def numerals(self) -> Numerals | None:
        """How text spells numbers, where some are not spelled plainly."""
        if not np.isnan(self.plain_numbers).any() and not may_be_thousands(self.distinct):
            return None
        if any(not isinstance(item, str) for item in self.objects) or self.has_leading_zeros:
            return None
        return read_numerals(self.distinct, self.counts, self.comma_decimals, self.commas_elsewhere)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The distinct values as numbers in the column's own spelling; NaN for other text."""
        return self.plain_numbers if self.numerals is None else self.numerals.numbers

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Which distinct values are numbers that can give a bound."""
        return np.isfinite(self.numbers) & (np.abs(self.numbers) <= LARGEST)

    @cached_property
    def decimals(self) -> int:
        """The most decimals that a value is written with; 10 for more than nine."""
        return decimals_of(self.numbers[self.usable])

    @cached_property
    def spelling(self) -> tuple[str, str] | None:
        """How true and false are spelled, where these are the only values."""
        pair = next((pair for pair in TRUE_FALSE if set(self.distinct) <= set(pair)), None)
        words = self.words
        return pair or (None if words is None else (words[0][0], words[1][0]))

    @cached_property
    def words(self) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
        """The spellings of true and of false, the commonest first, where these are the only values."""
        if not 0 < len(self.distinct) <= 8:
            return None
        plain = [re.sub(r"(?<=^[01])\.0+$", "", text.strip()) for text in self.distinct]
        lowered = {text.casefold() for text in plain}
        pair = next((pair for pair in WORDS if lowered <= set(pair)), None)
        if pair is None:
            return None
        common = sorted(range(len(plain)), key=lambda place: -self.counts[place])
        sides = [
            tuple(dict.fromkeys(plain[i] for i in common if plain[i].casefold() == word))
            for word in pair
        ]
        example = (sides[0] or sides[1])[0]
        cased = [_like(example, word) for word in pair]
        return sides[0] or (cased[0],), sides[1] or (cased[1],)

    @cached_property
    def moments(self) -> moment_formats.Moments | None:
        """The date format of (nearly) every value, and the moments themselves."""
        if all(isinstance(item, date) for item in self.objects):  # a Timestamp is one, too
            zone = getattr(self.dtype, "tz", None)
            return moment_formats.typed_moments(self.objects, zone)
        if any(not isinstance(item, str | int) or isinstance(item, bool) for item in self.objects):
            return None
        return moment_formats.read_moments(self.distinct, self.counts)

    def share_of(self, where: NDArray[np.bool_]) -> float:
        """Return the share of the rows whose distinct values are so."""
        return float(self.counts[where].sum() / max(1, self.rows))


def _signs_that_are_results(values: pd.Series) -> tuple[str, ...]:
    """Return which of `-`, `?` and `.` are results, as beside `+`, and not spellings of missing."""
    if not (
        pd.api.types.is_object_dtype(values.dtype) or pd.api.types.is_string_dtype(values.dtype)
    ):
        return ()
    counts = Counter[str]()
    for cell, times in values.value_counts().items():
        counts[cell.strip() if isinstance(cell, str) else "0"] += int(times)
    others = {text for text in counts if text not in MISSING_SPELLINGS}
    signs = tuple(sign for sign in SIGNS if sign in counts)
    if not others or not signs:
        return ()
    if all(map(GRADE.fullmatch, others)):
        return signs
    asked = counts["?"]
    common = asked >= max(COMMON_SIGNS, COMMON_SIGN * counts.total())
    worded = all(map(SIGN_WORDS.fullmatch, others))
    return ("?",) if worded and common else ()


def _spellings_among(blanks: pd.Series) -> tuple[str, ...]:
    """Return the spellings of missing cells, in the order in which drafts list them."""
    there = {cell.strip() if isinstance(cell, str) else "" for cell in blanks.unique()}
    return tuple(text for text in MISSING_SPELLINGS if text in there)


def _like(example: str, word: str) -> str:
    """Return a word in the case of an example."""
    if example.isupper():
        return word.upper()
    return word.capitalize() if example[:1].isupper() else word


def decimals_of(numbers: NDArray[np.float64]) -> int:
    """Return how many decimals numbers need, 0 to 9, or 10 where nine are too few."""
    for places in range(10):
        scaled = numbers * 10.0**places
        if (np.abs(scaled - np.round(scaled)) <= 1e-11 * np.maximum(1, np.abs(scaled))).all():
            return places
    return 10
