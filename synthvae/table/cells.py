"""Cells as they come from a file or a caller, read as numbers, dates or text."""

import contextlib
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.field import DEFAULT_FORMATS, Field

EPOCH = datetime(1970, 1, 1)


class RawColumn:
    """A column as it came: its distinct cells, read once each, unless it is typed already."""

    def __init__(self, values: pd.Series) -> None:
        self.cells = values
        self.is_numeric = pd.api.types.is_numeric_dtype(values)
        self.is_datetime = pd.api.types.is_datetime64_any_dtype(values)
        self.places: NDArray[np.int64] | None = None
        self.distinct: list[Any] = []
        if not self.is_numeric and not self.is_datetime:
            self.factorize()

    def factorize(self) -> None:
        """Find the distinct cells; a missing one has the place -1."""
        if self.places is None:
            objects = self.cells.astype(object)
            try:
                places, distinct = pd.factorize(objects)
            except TypeError:  # lists and mappings, as Parquet may hold
                places, distinct = pd.factorize(objects.map(str))
            self.places, self.distinct = places.astype(np.int64), list(distinct)

    def spread(self, of_distinct: Sequence[Any], absent: Any, dtype: type) -> NDArray[Any]:
        """Return one value a cell from one value a distinct cell."""
        return np.array([*of_distinct, absent], dtype)[self.places]

    def blank(self, missing: Sequence[str]) -> NDArray[np.bool_]:
        """Where cells are missing: null, or spelled like one of the schema's missing values."""
        if self.is_datetime:
            return self.cells.isna().to_numpy(bool)
        if self.is_numeric:
            numbers = self.cells.to_numpy(float, na_value=np.nan)
            marks = [number for number in map(as_float, missing) if not np.isnan(number)]
            return np.asarray(np.isnan(numbers) | np.isin(numbers, marks), bool)
        words = {word.strip() for word in missing}
        return self.spread([str(item).strip() in words for item in self.distinct], True, bool)


def as_numbers(raw: RawColumn) -> NDArray[np.float64]:
    """Return cells as numbers, NaN where they are none."""
    if raw.is_numeric:
        numbers = raw.cells.to_numpy(float, na_value=np.nan)
        return np.where(np.isnan(numbers), np.nan, numbers)  # a file's own NaN may signal errors
    raw.factorize()
    return raw.spread([as_float(item) for item in raw.distinct], np.nan, float)


def as_float(item: Any) -> float:
    """Return a cell as a number, or NaN; the nearest double, as no vectorised parser promises."""
    if isinstance(item, bool) or (isinstance(item, str) and "_" in item):
        return np.nan
    try:
        return float(item)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def as_moments(field: Field, raw: RawColumn) -> NDArray[np.float64]:
    """Return dates as lattice units since 1970, NaN where they are none."""
    if raw.is_datetime:
        zone = raw.cells.dt.tz
        local = raw.cells if zone is None else raw.cells.dt.tz_localize(None)
        moments = local.to_numpy("datetime64[s]")
        units = (moments.astype(np.int64) // field.step_seconds).astype(float)
        units[np.isnat(moments)] = np.nan
        return np.asarray(units)
    raw.factorize()
    return raw.spread([_moment_units(field, item) for item in raw.distinct], np.nan, float)


def _moment_units(field: Field, item: Any) -> float:
    try:
        moment = _as_moment(field, item)
    except (TypeError, ValueError, OverflowError):
        return np.nan
    if moment is None or moment.tzinfo is not None:
        return np.nan
    return float((moment - EPOCH) // timedelta(seconds=field.step_seconds))


def _as_moment(field: Field, item: Any) -> datetime | None:
    if isinstance(item, str | int):  # 20121231 is a date in some tables
        text = str(item).strip()
        if field.format_ in DEFAULT_FORMATS.values():
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(text)
        return datetime.strptime(text, field.format_)
    if isinstance(item, datetime):
        return item.replace(tzinfo=None)
    return datetime(item.year, item.month, item.day) if isinstance(item, date) else None


def identities(values: pd.Series, field: Field) -> pd.Series:
    """Return identifiers as text in which one person has one spelling.

    Blanks around them never count; where the field is a number, neither does its spelling (7, 07
    and 7.0 are one), short of numbers that floating point cannot tell apart.
    """
    text = values.astype(str).str.strip()
    if field.type not in ("integer", "number"):
        return text
    numbers = pd.to_numeric(text, errors="coerce").astype("float64")
    whole = (numbers == numbers.round()) & (numbers.abs() < 2.0**53)
    return text.where(~whole, numbers.where(whole, 0.0).astype("int64").astype(str))
