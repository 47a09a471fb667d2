"""How a column of text spells its numbers: decimal commas, thousands, units in the cell, `<5`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae.declared import CENSORED
from synthvae.field import Field
from synthvae.table.cells import DRESSED, as_float, spelled_number

MOSTLY = 0.9  # of the rows must be numbers
FEW_TEXTS = 12  # up to so many, numbers with a unit are categories, such as doses
MOST_CENSORED = 20
FEWEST_NUMBERS = 5  # distinct ones beside censored numbers, which else are categories: neg, 1+, 2+
CURRENCIES = "$€£¥"
UNIT = re.compile(r"[^\W\d_%°µ][\w%°µ/²³^.]{0,14}(\s[\w%°µ/²³^.]{1,10})?|[%°µ‰][\w/]{0,10}")
SPACES = " \u00a0\u2009\u202f"
NUMERAL = re.compile(r"[+-]?\d[\d.,'’ \u00a0\u2009\u202f]*([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+")
POINTED = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+")
SHORT = re.compile(r"[+-]?[1-9]\d{0,2}")  # a whole number that no sign would part
COMMA_DECIMAL = re.compile(r"[+-]?\d+,(?:\d{1,2}|\d{4,})")
SEVERAL_UNITS = "numbers in several units: bring them to one unit first"


@dataclass(frozen=True)
class Numerals:
    """Numbers in a spelling of their own.

    Attributes
    ----------
    settings
        What a field says so that they are read: `decimalChar`, `groupChar`, `bareNumber`, `unit`,
        `censored`.
    numbers
        One number a distinct text; NaN for other text and for censored numbers.
    censored
        Which distinct texts are censored numbers.
    reasons
        What a person should check, in words.
    """

    settings: dict[str, Any]
    numbers: NDArray[np.float64]
    censored: NDArray[np.bool_]
    reasons: tuple[str, ...]

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """The largest number of spellings such as `<5`, and the least of such as `>90` and `90+`."""
        field = Field.model_validate({"name": "x", "type": "number"} | self._bare)
        below, above = list[float](), list[float]()
        for text in self.settings.get("censored", ()):
            number = spelled_number(field, text.lstrip("<>≤≥= ").removesuffix("+").strip())
            if not np.isnan(number):
                (below if text[0] in "<≤" else above).append(number)
        return max(below, default=None), min(above, default=None)

    @property
    def _bare(self) -> dict[str, Any]:
        return {key: value for key, value in self.settings.items() if key != "censored"}


def read_numerals(
    texts: Sequence[str],
    counts: NDArray[np.int64],
    comma_decimals: bool = False,
    commas_elsewhere: bool = False,
) -> Numerals | None:
    """Return how texts spell numbers; None where they are something else, or plain numbers.

    Parameters
    ----------
    texts, counts
        The distinct texts of a column, and how often each occurs.
    comma_decimals
        Whether the file is of a kind that has decimal commas, as one separated by semicolons: decides
        where 1,234 might be either.
    commas_elsewhere
        Whether another column has decimal commas: decides where 1.234 might be either.
    """
    stripped = [text.strip() for text in texts]
    censored = np.array([_is_censored(text) for text in stripped], bool)
    open_ended = {text for text, ends in zip(stripped, censored, strict=True) if ends}
    if len(open_ended) > MOST_CENSORED or (open_ended and (~censored).sum() < FEWEST_NUMBERS):
        return None
    plain = [text for text, ends in zip(stripped, censored, strict=True) if not ends]
    undressed = _undress_most(plain, counts[~censored])
    if undressed is None:
        return None
    numerals, units = undressed
    if len({unit.casefold() for unit in units}) > 1 or (units and len(texts) <= FEW_TEXTS):
        return None
    settings, reasons = dict[str, Any](), list[str]()
    if units:
        settings |= {"unit": units.most_common(1)[0][0], "bareNumber": False}
        reasons.append("the unit stands in the cells; synthetic ones hold the number alone")
    settings |= _separators(numerals, comma_decimals, commas_elsewhere, reasons)
    if open_ended:
        settings["censored"] = sorted(open_ended)
        reasons.append(
            "some values are censored, as <5 is: are those the limits of detection, and which number "
            "should each be read as?"
        )
    if not settings and not reasons:
        return None
    return _numbers_of(stripped, counts, censored, settings, reasons)


def _undress_most(
    texts: Sequence[str], counts: NDArray[np.int64]
) -> tuple[list[str], Counter[str]] | None:
    """Return the digits of numbers and how often each unit stands beside; None where few are numbers."""
    parts = [_undress(text) for text in texts]
    if counts[[part is not None for part in parts]].sum() < MOSTLY * counts.sum():
        return None
    units = Counter[str]()
    for part, times in zip(parts, counts, strict=True):
        if part is not None and part[1]:
            units[part[1]] += int(times)
    return [part[0] for part in parts if part is not None], units


def _numbers_of(
    texts: Sequence[str],
    counts: NDArray[np.int64],
    censored: NDArray[np.bool_],
    settings: dict[str, Any],
    reasons: Sequence[str],
) -> Numerals | None:
    bare = {key: value for key, value in settings.items() if key != "censored"}
    field = Field.model_validate({"name": "x", "type": "number"} | bare)
    numbers = np.array([spelled_number(field, text) for text in texts], float)
    numbers[censored] = np.nan
    read = ~np.isnan(numbers) | censored
    if counts[read].sum() < MOSTLY * counts.sum() or not np.isfinite(numbers).any():
        return None
    return Numerals(settings, numbers, censored, tuple(reasons))


def has_several_units(texts: Sequence[str]) -> bool:
    """Whether texts are numbers with one unit or another."""
    parts = [_undress(text.strip()) for text in texts]
    units = {part[1].casefold() for part in parts if part is not None and part[1]}
    return 1 < len(units) <= 4 and sum(part is not None for part in parts) >= MOSTLY * len(parts)


def _is_censored(text: str) -> bool:
    parts = CENSORED.fullmatch(text)
    return parts is not None and bool(parts["sign"] or parts["plus"])


def _undress(text: str) -> tuple[str, str] | None:
    """Return a number's digits and the unit beside them; None for other text."""
    if not np.isnan(as_float(text)) and any(sign.isdigit() for sign in text):
        return text, ""
    parts = DRESSED.fullmatch(text)
    if parts is None or NUMERAL.fullmatch(parts[2]) is None:
        return None
    before, after = parts[1].strip(), (parts[3] or "").strip()
    if before and (before not in CURRENCIES or after):
        return None
    unit = before or after
    if unit and unit not in CURRENCIES and UNIT.fullmatch(unit) is None:
        return None
    return parts[2], unit


def _separators(
    numerals: Sequence[str], comma_decimals: bool, commas_elsewhere: bool, reasons: list[str]
) -> dict[str, Any]:
    """Return the signs before decimals and between thousands, where they are not as in 1234.5."""
    grouped: dict[str, Any] = {}
    for signs in (SPACES, "'", "’"):
        if any(any(sign in text for sign in signs) for text in numerals):
            grouped = {"groupChar": " " if signs == SPACES else signs}
    commas = [text for text in numerals if "," in text]
    points = [text for text in numerals if "." in text]
    if not commas:
        parted = _are_thousands(numerals, points, commas_elsewhere, reasons)
        return grouped | ({"decimalChar": ",", "groupChar": "."} if parted else {})
    mixed = next((text for text in commas if "." in text), None)
    if mixed is not None:
        comma_last = mixed.rindex(",") > mixed.rindex(".")
        return {"decimalChar": ",", "groupChar": "."} if comma_last else {"groupChar": ","}
    if points or any(text.count(",") > 1 for text in commas):
        return {"groupChar": ","}
    if grouped or not all(map(THOUSANDS.fullmatch, commas)):
        return grouped | {"decimalChar": ","}
    reasons.append(
        "the comma may stand before decimals or between thousands: is it `decimalChar` or `groupChar`?"
    )
    decimal = comma_decimals or any(text.lstrip("+-").startswith("0") for text in commas)
    return {"decimalChar": ","} if decimal else {"groupChar": ","}


def _are_thousands(
    numerals: Sequence[str], points: Sequence[str], commas_elsewhere: bool, reasons: list[str]
) -> bool:
    """Whether points stand between thousands, in numbers without commas; decimals where unsure."""
    if any(text.count(".") > 1 for text in points):
        return True
    if not may_be_thousands(points):
        return False
    reasons.append(
        "the point may stand before decimals or between thousands: is it `decimalChar` or `groupChar`?"
    )
    whole = [text for text in numerals if "." not in text]
    long = any(len(text.lstrip("+-")) > 3 for text in whole)
    return not long and (commas_elsewhere or any(map(SHORT.fullmatch, whole)))


def may_be_thousands(texts: Sequence[str]) -> bool:
    """Whether the points in texts, where there are any, might all stand between thousands."""
    points = [text.strip() for text in texts if "." in text]
    return bool(points) and all(
        POINTED.fullmatch(text) and not text.lstrip("+-").startswith("0") for text in points
    )


def have_decimal_commas(texts: Sequence[str]) -> bool:
    """Whether texts are numbers, some with a comma that can only stand before decimals."""
    stripped = [text.strip() for text in texts]
    numbers = sum(NUMERAL.fullmatch(text) is not None for text in stripped)
    return numbers >= MOSTLY * len(stripped) and any(map(COMMA_DECIMAL.fullmatch, stripped))
