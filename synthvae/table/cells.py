"""Cells as they come from a file or a caller, each read by its own value alone.

pandas chooses a column's type by all of its cells: one patient's text or missing value turns
everybody's 7 into 7.0, or numbers into objects. So the type of the column never decides. A cell is
brought to its canonical value first, which is the same in every column that could hold it.
"""

import cmath
import contextlib
import math
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.field import DEFAULT_FORMATS, Field

EPOCH = datetime(1970, 1, 1)
LONGEST = timedelta(days=106_751)  # that pandas counts in nanoseconds
EXACT = 2**53  # from here on, neighbouring whole numbers are the same float
# Money before, or a unit after: 72 kg, € 4.50.
DRESSED = re.compile(
    r"([^\s\d.,+-]*)\s*([+-]?\d[\d.,\s]*?(?:[eE][+-]?\d+)?)\s*([^\s\d.,+<>≤≥~-][^\d<>≤≥~]*)?"
)
MONEY = ("", "$", "€", "£", "¥")
DATE_LIKE = re.compile(r"\s*-?\d+-\d\d-\d\d")

Cell = str | bool | int | float | pd.Timestamp | date | pd.Interval


def canonical(item: Any) -> Cell | None:
    """Return the canonical value of a cell, None where it is absent.

    A number is an `int`, exact, where it came as one or is a whole one that floats tell apart, and
    a `float` otherwise; a moment is a `Timestamp` at the time that its own wall clock shows; an item
    of a kind that no table has is its text.
    """
    return _reader(item.__class__)(item)


@cache
def _reader(kind: type) -> Callable[[Any], Cell | None]:
    return next(reader for kinds, reader in READERS if issubclass(kind, kinds))


def _number(item: Any) -> int | float | None:
    number = _as_double(item)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < EXACT else number


def _as_double(item: Any) -> float:
    """Return the nearest double of a real number; beyond all of them, an infinity."""
    try:
        return float(item)
    except OverflowError:
        return np.inf if item > 0 else -np.inf


def _decimal(item: Decimal) -> int | float | None:
    if item.is_nan():  # of which a signalling one is no float
        return None
    number = float(item)
    if number.is_integer() and item == item.to_integral_value():
        return int(item)  # of as many digits as a float may have
    return _number(number)


def _long_double(item: np.longdouble) -> int | float | None:
    with np.errstate(over="ignore"):
        return _number(float(item))


def _complex(item: Any) -> Cell | None:  # pandas makes them of real numbers beside one
    number = complex(item)
    if number == number.real or cmath.isnan(number):
        return _number(number.real + number.imag)
    return str(number)


def _moment(item: Any) -> pd.Timestamp | str | None:
    try:
        moment = pd.Timestamp(item)
        if pd.isna(moment):
            return None
        if moment.tzinfo is None:
            return moment
        # Times that a clock skips are moved on, as they are in a column of moments.
        return moment.tz_convert("UTC").tz_convert(moment.tzinfo)
    except (ValueError, OverflowError):
        return str(item)


def _duration(item: Any) -> str | None:
    with contextlib.suppress(ValueError, OverflowError):
        item = pd.Series([item], dtype="timedelta64[ns]").iloc[0]
    if pd.isna(item):
        return None
    if isinstance(item, np.timedelta64) or not -LONGEST <= item <= LONGEST:
        with contextlib.suppress(ValueError, OverflowError):  # pandas 3 has them in columns, too
            item = pd.Timedelta(item).to_pytimedelta()
    return str(item)


def _interval(item: pd.Interval) -> pd.Interval:
    if not isinstance(item.left, Real):
        return item
    return pd.Interval(_as_double(item.left), _as_double(item.right), item.closed)


def _decoded(item: bytes) -> str:  # which Parquet may make of text beside some
    try:
        return item.decode()
    except UnicodeDecodeError:
        return str(item)


def _listed(item: Any) -> Cell | None:
    """Return a list as text; Parquet gives floats where a list of another row lacks a number."""
    if isinstance(item, np.ndarray) and not item.ndim:
        return canonical(item.tolist())
    return f"[{', '.join(text_of(canonical(each)) for each in item)}]"


PLAIN = {str, bool, int, date}  # of which `==` tells apart what is not one cell
READERS: tuple[tuple[Any, Callable[[Any], Cell | None]], ...] = (  # the first that fits
    (str, str),
    (float, _number),
    ((type(None), type(pd.NA), type(pd.NaT)), lambda _: None),  # NaT passes for a datetime
    ((bool, np.bool_), bool),
    ((timedelta, np.timedelta64), _duration),  # numpy's passes for an integer
    (Integral, int),
    (np.longdouble, _long_double),
    (Real, _number),
    (Decimal, _decimal),
    ((complex, np.complexfloating), _complex),
    ((datetime, np.datetime64), _moment),
    (date, lambda item: item),
    (pd.Interval, _interval),
    (bytes, _decoded),
    ((list, tuple, np.ndarray), _listed),
    (object, str),
)


def spellings(cell: Cell | None) -> tuple[str, ...]:
    """Return the texts that a canonical value is known by in categories and missing values."""
    if isinstance(cell, str):
        return (cell,)
    if isinstance(cell, pd.Timestamp):
        midnight = cell.tzinfo is None and cell == cell.normalize()
        return (str(cell), str(cell)[: -len(" 00:00:00")]) if midnight else (str(cell),)
    if isinstance(cell, pd.Interval):  # whose ends are floats as soon as one of a column's is
        return re.sub(r"\.0\b", "", str(cell)), str(cell)
    try:
        return ("" if cell is None else str(cell),)
    except ValueError:  # Python writes out no whole number of more than 4,300 digits
        assert isinstance(cell, int)
        return (hex(cell),)


def text_of(cell: Cell | None) -> str:
    """Return the canonical text of a canonical value, empty where it is absent."""
    return spellings(cell)[0]


def number_of(cell: Cell | None) -> float:
    """Return a canonical value as a number, NaN for other text; a truth value is 1 or 0."""
    if isinstance(cell, str):
        return as_float(cell)
    return _as_double(cell) if isinstance(cell, int | float) else np.nan


def as_float(text: str) -> float:
    """Return text as a number, or NaN; the nearest double, as no vectorised parser promises."""
    try:
        return np.nan if "_" in text else float(text)
    except ValueError:
        return np.nan


def is_large(cell: Cell | None) -> bool:
    """Whether a cell is a typed number which a missing cell of the column would make inexact."""
    return isinstance(cell, int | float) and abs(cell) >= EXACT


class RawColumn:
    """A column as it came: its distinct cells, read once each, unless it is typed already.

    `distinct` has canonical values, and `places` the place of each cell among them, -1 for an absent
    one.
    """

    def __init__(self, values: pd.Series) -> None:
        self.cells = _without_wrapping(values)
        kind = "O" if isinstance(self.cells.dtype, pd.CategoricalDtype) else self.cells.dtype.kind
        self.is_bool = kind == "b"
        self.is_numeric = kind in "iuf"
        self.is_float = kind == "f"
        self.is_datetime = kind == "M"
        self.places: NDArray[np.int64] | None = None
        self.distinct: list[Cell | None] = []
        if not self.is_numeric and not self.is_datetime:
            self.factorize()

    def factorize(self) -> None:
        """Find the distinct cells; an absent one has the place -1."""
        if self.places is None:
            places, items = self._distinct_items()
            self.distinct = [item if type(item) is str else canonical(item) for item in items]
            self.places = places.astype(np.int64)
            absent = self.spread([cell is None for cell in self.distinct], True, bool)
            self.places[absent] = -1

    def _distinct_items(self) -> tuple[NDArray[Any], Sequence[Any]]:
        dtype = self.cells.dtype
        if isinstance(dtype, pd.CategoricalDtype):
            return self.cells.cat.codes.to_numpy(), list(dtype.categories)
        if self.is_bool:
            flags = self.numbers()
            return np.where(np.isnan(flags), -1, flags).astype(np.int64), [False, True]
        if self.is_numeric or self.is_datetime:  # of one type, so nothing is merged
            places, items = pd.factorize(self.numbers() if self.is_float else self.cells)
            return places, list(items)
        return _tell_apart(self.cells.astype(object).to_numpy())

    def numbers(self) -> NDArray[np.float64]:
        """Return a column of numbers or truth values as such, NaN where they are absent."""
        numbers = self.cells.to_numpy(float, na_value=np.nan)
        return np.where(np.isnan(numbers), np.nan, numbers)  # a file's own NaN may signal errors

    def spread(self, of_distinct: Sequence[Any], absent: Any, dtype: type) -> NDArray[Any]:
        """Return one value a cell from one value a distinct cell."""
        return np.array([*of_distinct, absent], dtype)[self.places]

    def blank(self, missing: Sequence[str]) -> NDArray[np.bool_]:
        """Where cells are missing: absent, or like one of the schema's missing values.

        A number is like a mark that reads as the same number, everything else like its spelling.
        """
        marks = [number for number in map(as_float, missing) if not math.isnan(number)]
        if self.is_numeric:
            numbers = self.numbers()
            return np.asarray(np.isnan(numbers) | np.isin(numbers, marks), bool)
        if self.is_datetime and not any(map(DATE_LIKE.match, missing)):
            return self.cells.isna().to_numpy(bool)
        self.factorize()
        texts = {text.strip() for text in missing}
        alike = [
            cell.strip() in texts if type(cell) is str else _is_mark(cell, texts, marks)
            for cell in self.distinct
        ]
        return self.spread(alike, True, bool)

    def inexact(self) -> NDArray[np.bool_]:
        """Where cells are floats that may have been other whole numbers before."""
        if self.is_datetime or (self.is_numeric and not self.is_float):
            return np.zeros(len(self.cells), bool)
        if self.is_float:
            return np.asarray(np.abs(self.numbers()) >= EXACT, bool)
        large = [isinstance(cell, float) and is_large(cell) for cell in self.distinct]
        return self.spread(large, False, bool)


def _without_wrapping(values: pd.Series) -> pd.Series:
    """Return a sparse or an Arrow column as one that pandas has types for, or as objects."""
    dtype = values.dtype
    if isinstance(dtype, pd.SparseDtype):
        return pd.Series(values.array.to_dense(), values.index)
    if not isinstance(dtype, pd.ArrowDtype):
        return values
    import pyarrow as pa

    if pa.types.is_timestamp(dtype.pyarrow_dtype):
        unit, zone = dtype.pyarrow_dtype.unit, dtype.pyarrow_dtype.tz
        return values.astype(
            pd.DatetimeTZDtype(unit, zone) if zone else np.dtype(f"datetime64[{unit}]")
        )
    return values if dtype.kind in "iufb" else values.astype(object)


def _tell_apart(items: NDArray[np.object_]) -> tuple[NDArray[Any], Sequence[Any]]:
    """Return which distinct item each one is, and these.

    pandas's own factorize asks `==`, to which True, 1 and 1.0 are one, and so are equal instants of
    two time zones: the first of them to come would be read for all. Of one type it is right, and
    fast.
    """
    kinds = set(map(type, items)) - {type(None)}
    if len(kinds) <= 1 and kinds <= PLAIN:
        places, distinct = pd.factorize(items)
        return places, list(distinct)
    cells = [item if type(item) is str else canonical(item) for item in items]
    keys = [cell if type(cell) is str else (type(cell), text_of(cell)) for cell in cells]
    chosen = dict(zip(keys, cells, strict=True))
    order = dict(zip(chosen, range(len(chosen)), strict=True))
    return np.fromiter(map(order.__getitem__, keys), np.int64, len(keys)), list(chosen.values())


def _is_mark(cell: Cell | None, texts: set[str], marks: Sequence[float]) -> bool:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return number_of(cell) in marks
    return not texts.isdisjoint(spellings(cell))


def as_numbers(field: Field, raw: RawColumn) -> NDArray[np.float64]:
    """Return cells as numbers, as the field spells them; NaN for other cells."""
    if raw.is_numeric or raw.is_bool:
        return raw.numbers()
    if raw.is_datetime:
        return np.full(len(raw.cells), np.nan)
    return raw.spread([field_number(field, cell) for cell in raw.distinct], np.nan, float)


def field_number(field: Field, cell: Cell | None) -> float:
    """Return a canonical value as a number, text as the field spells numbers; NaN for other text."""
    return spelled_number(field, cell) if isinstance(cell, str) else number_of(cell)


def _undressed(field: Field, text: str) -> str:
    """Return a number without the field's unit or, where none is declared, any; other text as it is."""
    parts = DRESSED.fullmatch(text)
    if parts is None:
        return text
    before, after = parts[1].casefold(), (parts[3] or "").strip().casefold()
    if field.unit is None:
        return parts[2] if before in MONEY else text
    unit = field.unit.casefold()
    return parts[2] if (before, after) in (("", ""), ("", unit), (unit, "")) else text


def spelled_number(field: Field, text: str) -> float:
    """Return text as a number in a field's spelling, or NaN: `1.234,5`, `72 kg`, `<5`."""
    text = text.strip()
    censored = field.censored_numbers.get(text)
    if censored is not None:
        return float(censored)
    text = text if field.bareNumber else _undressed(field, text)
    point, group = field.decimalChar, field.groupChar
    if group is not None:
        sign = r"[ \u00a0\u2009\u202f]" if group == " " else re.escape(group)
        if re.search(sign, text):
            if not re.fullmatch(rf"[+-]?\d{{1,3}}({sign}\d{{3}})+({re.escape(point)}\d*)?", text):
                return np.nan
            text = re.sub(sign, "", text)
    if point != ".":
        if "." in text:
            return np.nan
        text = text.replace(point, ".")
    return as_float(text)


def zoned(raw: RawColumn) -> NDArray[np.bool_]:
    """Where cells are moments of a time zone."""
    if raw.is_datetime:
        return np.full(len(raw.cells), raw.cells.dt.tz is not None)
    raw.factorize()
    with_zone = [isinstance(cell, pd.Timestamp) and cell.tz is not None for cell in raw.distinct]
    return raw.spread(with_zone, False, bool)


def as_moments(field: Field, raw: RawColumn) -> NDArray[np.float64]:
    """Return dates as lattice units since 1970, NaN for other cells."""
    if raw.is_datetime:
        local = raw.cells
        if raw.cells.dt.tz is not None:
            shown = raw.cells if field.zone is None else raw.cells.dt.tz_convert(field.zone)
            local = shown.dt.tz_localize(None)
        moments = local.to_numpy("datetime64[s]")
        units = field.seconds_to_units(moments.astype(np.int64)).astype(float)
        units[np.isnat(moments)] = np.nan
        return np.asarray(units)
    raw.factorize()
    return raw.spread([_moment_units(field, cell) for cell in raw.distinct], np.nan, float)


def _moment_units(field: Field, cell: Cell | None) -> float:
    if isinstance(cell, pd.Timestamp):
        shown = cell if field.zone is None or cell.tz is None else cell.tz_convert(field.zone)
        local = shown.tz_localize(None).to_datetime64()
        return float(field.seconds_to_units(int(local.astype("datetime64[s]").astype(np.int64))))
    try:
        moment = _as_moment(field, cell)
    except (TypeError, ValueError, OverflowError):
        return np.nan
    if moment is None:
        return np.nan
    if moment.tzinfo is not None:
        if field.zone is None:
            return np.nan
        moment = moment.astimezone(field.zone).replace(tzinfo=None)
    return float(field.seconds_to_units((moment - EPOCH) // timedelta(seconds=1)))


def _as_moment(field: Field, cell: Cell | None) -> datetime | None:
    if isinstance(cell, int) and (isinstance(cell, bool) or is_large(cell)):
        return None
    if isinstance(cell, str | int):  # 20121231 is a date in some tables
        text = str(cell).strip()
        if field.format_ in DEFAULT_FORMATS.values():
            with contextlib.suppress(ValueError):
                return datetime.fromisoformat(text)
        return field.in_century(datetime.strptime(text, field.format_))
    return datetime(cell.year, cell.month, cell.day) if isinstance(cell, date) else None


def identities(values: pd.Series, field: Field) -> pd.Series:
    """Return identifiers as text in which one person has one spelling; empty where it is absent.

    Blanks around them never count; where the field is a number, neither does its spelling (7, 07
    and 7.0 are one), short of numbers that floating point cannot tell apart.
    """
    raw = RawColumn(values)
    raw.factorize()
    texts = [_identity(cell, field) for cell in raw.distinct]
    return pd.Series(raw.spread(texts, "", object), values.index, object, values.name)


def _identity(cell: Cell | None, field: Field) -> str:
    text = cell.strip() if isinstance(cell, str) else text_of(cell)
    if not field.is_number or not isinstance(cell, str):
        return text
    number = spelled_number(field, cell)
    if not math.isfinite(number) or abs(number) >= EXACT:
        return text
    return text_of(_number(number))
