"""Values as the author of a schema writes them: labels, bounds, spans of time, censored numbers."""

import codecs
import contextlib
import math
import re
from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from synthvae._files import read_ordinary
from synthvae._text import brief, shortened
from synthvae.errors import SchemaError

SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hour": 3600}
SECONDS |= {"d": 86_400, "day": 86_400, "week": 604_800}
STEP = re.compile(r"(\d{1,6})?\s*([a-z]+?)s?", re.IGNORECASE)  # of times: 15 min, 1 day, week
CENSORED = re.compile(r"(?P<sign>[<>≤≥]|<=|>=)?\s*(?P<number>\d+([.,]\d+)?)\s*(?P<plus>\+)?")
DELIMITER_NAMES = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "\\t": "\t",
    "pipe": "|",
    "space": " ",
}
LONGEST_LIST = 10_000_000  # bytes of a list of categories in a file of its own
LARGEST = 1e15  # beyond, neighbouring whole numbers are no longer told apart
Item = TypeVar("Item")


def as_bound(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"bound {value} is a boolean; it must be a number or a date")
    if isinstance(value, int | float) and abs(value) > LARGEST:
        raise ValueError(f"a bound must lie between {-LARGEST:g} and {LARGEST:g}")
    return value.isoformat() if isinstance(value, date | datetime) else value


def as_tuple(value: Any) -> Any:
    """Return one value as a tuple, and None as an empty one."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str | int | float | dict | BaseModel) else value


def as_labels(value: Any) -> Any:
    """Return one label or several as a tuple of text; a boolean or a mapping is refused."""
    items = as_tuple(value)
    return tuple(map(as_label, items)) if isinstance(items, list | tuple) else items


def as_label(item: Any) -> str:
    if isinstance(item, bool):
        raise ValueError(f"{item} is a boolean; put it in quotes or use `type: boolean`")
    if not isinstance(item, str | int | float | date):
        raise ValueError(f"{brief(item)} must be text or a number")
    return str(item)


def as_delimiter(value: Any) -> Any:
    """Return the sign between the cells of a file; some go by a name."""
    sign = DELIMITER_NAMES.get(value.lower(), value) if isinstance(value, str) else value
    if isinstance(sign, str) and len(sign) != 1:
        raise ValueError(
            f"delimiter is {brief(value)}; it must be a single character, or "
            + ", ".join(DELIMITER_NAMES)
        )
    return sign


def as_encoding(value: str) -> str:
    """Return an encoding's name; `ValueError` where Python knows none of it."""
    try:
        if not codecs.lookup(value)._is_text_encoding:
            raise LookupError
    except (LookupError, ValueError):
        raise ValueError(
            f"encoding {brief(value)} is none that is known; write utf-8, cp1252 or latin-1, say"
        ) from None
    return value


def first_repeated(items: Iterable[Item]) -> Item | None:
    """Return the first item that comes again, or None."""
    return next((item for item, times in Counter(items).items() if times > 1), None)


def as_censored(value: Any) -> Any:
    """Return the spellings of censored numbers, with the number of each, None where none is given."""
    items = value if isinstance(value, dict) else dict.fromkeys(as_tuple(value))
    for text, number in items.items():
        if not isinstance(text, str) or CENSORED.fullmatch(text.strip()) is None:
            raise ValueError(f"{brief(text)} is no censored number; write it as <5, >1000 or 90+")
        if isinstance(number, bool) or not isinstance(number, int | float | None):
            raise ValueError(f"{brief(text)} must stand for a number, not {brief(number)}")
    return {text.strip(): number for text, number in items.items()}


def decimals_of(*values: Any) -> int:
    """Return how many decimals the values need."""
    exponents = (Decimal(str(value)).normalize().as_tuple().exponent for value in values)
    return max(0, *(-int(exponent) for exponent in exponents))


def step_seconds(step: Any) -> int | None:
    parts = STEP.fullmatch(step.strip()) if isinstance(step, str) else None
    unit = None if parts is None else SECONDS.get(parts[2].lower())
    return None if parts is None or unit is None else int(parts[1] or 1) * unit or None


def zone_of(name: str) -> tzinfo | None:
    if re.fullmatch(r"[+-]\d\d:\d\d", name):
        return datetime.fromisoformat(f"2000-01-01T00:00{name}").tzinfo
    with contextlib.suppress(Exception):  # whatever a wrong name meets in a folder of zones
        return ZoneInfo(name)
    return None


def is_number_text(text: str, whole: bool) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and (not whole or value == int(value))


def moment_of(value: Any, pattern: str) -> datetime:
    for read in (datetime.fromisoformat, lambda text: datetime.strptime(text, pattern)):
        with contextlib.suppress(ValueError):
            return read(str(value)).replace(tzinfo=None)
    raise ValueError(f"bound {brief(value)} is not a date; write it as 2000-12-31")


def read_list(folder: Path, name: str, what: str = "categories") -> list[str]:
    """Return the lines of a text file that lies in a schema's folder; else raise `SchemaError`."""
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise SchemaError(
                f"The list of {what} {brief(name)} does not lie in the schema's folder; copy it "
                "there."
            )
        lines = read_ordinary(path, LONGEST_LIST).decode("utf-8-sig").splitlines()
    except (OSError, RuntimeError, ValueError) as cause:  # a circle of links is a RuntimeError
        reason = getattr(cause, "strerror", None) or cause
        raise SchemaError(
            f"The list of {what} {shortened(str(folder / name), 200)} cannot be read: {reason}."
        ) from cause
    return [line.strip() for line in lines if line.strip()]
