"""Dates and times as columns of text spell them: their format, their zone, and how fine they are."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae.declared import zone_of
from synthvae.field import DEFAULT_FORMATS

DATES = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%d-%b-%Y", "%d %b %Y", "%d%b%Y", "%d %B %Y", "%B %d, %Y", "%b %d, %Y", "%Y%m%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y", "%d-%b-%y", "%d%b%y"),
)
CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
ISO = (
    *("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M"),
    *("%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%fZ"),
)
ZONED = tuple(f"{form}%z" for form in ISO if "Z" not in form)
OTHER_DATES = (
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d-%b-%Y", "%d%b%Y", "%Y/%m/%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%b-%y"),
)
SIGNS = (" ", ":", ", ", "T")  # SAS has 01JAN2020:10:30:00
TIMES = (
    *ISO,
    *ZONED,
    *(f"{day}{s}{clock}" for day in OTHER_DATES for s in SIGNS for clock in CLOCKS),
)
MOSTLY = 0.9
LATEST_YEAR = 2100  # 9999-12-31 and the like stand for no date
NAMED_MONTH = re.compile(
    r"\d{1,2}\.?[\s./-]*[^\W\d_]{3,10}\.?,?[\s./-]*\d{2,4}(\s+\d+:\d\d(:\d\d)?)?"
)


@dataclass(frozen=True)
class Moments:
    """A column's moments.

    Attributes
    ----------
    form
        Their strptime format.
    read
        One moment a distinct value, by the zone's clock; None where it does not follow the format.
    zone
        The zone in whose clock they are, as a schema names it.
    zone_is_sure
        Whether every value has that zone's offset.
    """

    form: str
    read: tuple[datetime | None, ...]
    zone: str | None = None
    zone_is_sure: bool = True


def has_time(form: str) -> bool:
    """Whether a format has the time of day."""
    return "%H" in form or "%I" in form


def has_date(form: str) -> bool:
    """Whether a format has a day, and not only a time of day."""
    return "%d" in form


def finest_seconds(form: str) -> int:
    """Return the seconds between two moments that a format tells apart."""
    if not has_time(form):
        return 86_400
    return 1 if "%S" in form else 60 if "%M" in form else 3600


def typed_moments(items: Sequence[Any], zone: tzinfo | None) -> Moments:
    """Return the moments of cells that are dates or date-times already."""
    zones = {item.tzinfo for item in items if isinstance(item, datetime)} - {None}
    name = None
    if zones:
        name = str(zone or next(iter(zones)))
        name = name if len(zones) == 1 and zone_of(name) is not None else "UTC"
        inside = zone_of(name)
        items = [item.astimezone(inside) if _is_zoned(item) else item for item in items]
    read = [
        item.replace(tzinfo=None)
        if isinstance(item, datetime)
        else datetime(item.year, item.month, item.day)
        for item in items
    ]
    midnight = all(item.time() == time() for item in read) and name is None
    form = DEFAULT_FORMATS["date" if midnight else "datetime"]
    return Moments(form + ("%z" if name else ""), tuple(read), name, len(zones) <= 1)


def _is_zoned(item: Any) -> bool:
    return isinstance(item, datetime) and item.tzinfo is not None


def read_moments(texts: Sequence[str], counts: NDArray[np.int64]) -> Moments | None:
    """Return the moments of texts that nearly all follow one format; the first that fits."""
    some = [text.strip() for text in texts[:60]]
    if sum(any(sign.isdigit() for sign in text) for text in some) * 2 < len(some):
        return None
    for form in (*DATES, *TIMES, *CLOCKS):
        if all(parse_moment(text, form) is None for text in some[:6]):
            continue
        tried = [parse_moment(text, form) for text in some]
        if sum(item is not None for item in tried) < 0.8 * len(some):
            continue
        read = [parse_moment(text, form) for text in texts]
        there = np.array([item is not None for item in read], bool)
        least = MOSTLY if counts.sum() >= 20 else 1
        if counts[there].sum() >= least * counts.sum() and _is_plausible(form, texts, read):
            return _in_one_zone(form, read)
    return None


def parse_moment(text: str, form: str) -> datetime | None:
    """Return text as a moment of one format, or None."""
    try:
        return datetime.strptime(text.strip(), form)
    except ValueError:
        return None


def _is_plausible(form: str, texts: Sequence[str], read: Sequence[datetime | None]) -> bool:
    """Whether 20121231 is a date rather than a number, and 1:30 a time of day."""
    if form != "%Y%m%d":
        return True
    there = [item for item in read if item is not None]
    return len(there) == len(texts) >= 5 and all(
        1900 <= item.year <= LATEST_YEAR and len(text.strip()) == 8
        for item, text in zip(there, texts, strict=True)
    )


def _in_one_zone(form: str, read: Sequence[datetime | None]) -> Moments:
    if "%z" not in form:
        return Moments(form, tuple(read))
    offsets = {item.utcoffset() for item in read if item is not None}
    sure = len(offsets) == 1
    name = _offset_name(next(iter(offsets)) or timedelta()) if sure else "UTC"
    zone = zone_of(name) or UTC
    local = [None if item is None else item.astimezone(zone).replace(tzinfo=None) for item in read]
    return Moments(form, tuple(local), name, sure)


def _offset_name(offset: timedelta) -> str:
    minutes = int(offset.total_seconds()) // 60
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02d}:{rest:02d}" if minutes else "UTC"


def is_two_digit_year(form: str) -> bool:
    """Whether a format's century is a guess."""
    return "%y" in form


def swapped_day(moments: Moments, texts: Sequence[str]) -> bool:
    """Whether the day and the month might as well be the other way around."""
    for first, second in (("%d/%m", "%m/%d"), ("%d.%m", "%m.%d"), ("%d-%m", "%m-%d")):
        if first in moments.form:
            other = moments.form.replace(first, second)
            return all(parse_moment(text, other) is not None for text in texts)
    return False


STEPS = (
    *((f"{days} days" if days > 1 else "1 day", days * 86_400) for days in (7, 1)),
    *((f"{hours} h", hours * 3600) for hours in (12, 6, 4, 3, 2, 1)),
    *((f"{minutes} min", minutes * 60) for minutes in (30, 20, 15, 10, 5, 1)),
)


def step_of(moments: Moments, is_date: bool) -> tuple[str, int] | None:
    """Return the widest usual step that all moments keep, with its seconds; None where there is none.

    Steps of a week count from any day of it, shorter ones from midnight.
    """
    start = datetime(1970, 1, 1)
    seconds = np.array(
        [(item - start) // timedelta(seconds=1) for item in moments.read if item is not None],
        np.int64,
    )
    for name, size in STEPS:
        if is_date and size <= 86_400:
            return None
        offset = int(seconds[0] % size) if size > 86_400 else 0
        if (seconds % size == offset).all():
            return name, size
    return None


def excel_serial(numbers: NDArray[np.float64]) -> bool:
    """Whether whole numbers may be a spreadsheet's days since 1899-12-30, of 1954 to 2064."""
    return bool(((numbers >= 20_000) & (numbers <= 60_000)).all())


def is_named_month(texts: Sequence[str]) -> bool:
    """Whether texts are dates with the names of months."""
    return sum(NAMED_MONTH.fullmatch(text.strip()) is not None for text in texts) * 2 > len(texts)
