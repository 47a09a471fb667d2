"""Cells as whole numbers, checked against the schema.

The code of a cell is the index of its category or lattice point (0 or more), `MISSING` (-1), or
-2, -3, ... for the field's special values in their order. Encoding finds every problem of a table
at once; decoding gives back typed columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field as default
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._checks import nearest
from synthvae.errors import DataError
from synthvae.schema import OTHER, Field, Schema

MISSING = -1
FIRST_SPECIAL = -2
SHOWN = 12  # problems listed in one error message

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a table: where, how often, which rule, and the way out."""

    column: str
    rows: int
    rule: str
    example: str
    way_out: str

    def __str__(self) -> str:
        count = f"{self.rows} row{'' if self.rows == 1 else 's'}: " if self.rows else ""
        example = f" (first: {self.example})" if self.example else ""
        return f"column '{self.column}': {count}{self.rule}{example}; {self.way_out}"


@dataclass
class _Cells:
    """One column while it is being encoded."""

    field: Field
    codes: Ints
    invalid: Bools
    texts: Any
    problems: list[Problem] = default(default_factory=list)

    def reject(self, where: Bools, rule: str, way_out: str) -> None:
        """Apply the field's `invalid` policy to cells for which no bound can stand in."""
        if not where.any():
            return
        self.invalid |= where
        if self.field.invalid == "missing":
            self.codes[where] = MISSING
        elif self.field.invalid == "other":
            self.codes[where] = self.field.categories.index(OTHER)
        else:
            row = int(np.flatnonzero(where)[0])
            shown = str(self.texts[row])
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            self.codes[where] = MISSING
            self.problems.append(
                Problem(
                    self.field.name,
                    int(where.sum()),
                    rule,
                    f"{shown!r} in row {row + 1}",
                    way_out,
                )
            )


def encode(frame: pd.DataFrame, schema: Schema) -> Ints:
    """Return the codes of a table's modelled columns, shape (rows, columns).

    Raises
    ------
    DataError
        The table does not fit the schema; the text lists every problem (column, number of rows,
        the rule, the way out).
    """
    codes, _, problems = inspect(frame, schema)
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems[:SHOWN])
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(f"The table does not fit the schema '{schema.name}':\n{listed}{more}")
    return codes


def find_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    """Return everything that keeps a table from fitting its schema; empty where it fits."""
    return inspect(frame, schema)[2]


def inspect(frame: pd.DataFrame, schema: Schema) -> tuple[Ints, Bools, list[Problem]]:
    """Encode a table without raising: codes, which cells are invalid, and the problems.

    Returns
    -------
    codes
        Shape (rows, columns); a cell that does not fit counts as missing.
    invalid
        Shape (rows, columns); True where a cell breaks its field's rules.
    problems
        What `encode` would raise for.
    """
    problems = _column_problems(frame, schema)
    shape = (len(frame), len(schema.modelled))
    codes, invalid = np.full(shape, MISSING, np.int64), np.zeros(shape, bool)
    for j, field in enumerate(schema.modelled):
        if field.name not in frame.columns or (frame.columns == field.name).sum() != 1:
            invalid[:, j] = True
            continue
        cells = _encode_column(field, frame[field.name], schema.missingValues)
        codes[:, j], invalid[:, j] = cells.codes, cells.invalid
        problems += cells.problems
    return codes, invalid, problems + _identifier_problems(frame, schema)


def _column_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    names = [str(name) for name in frame.columns]
    found = [
        Problem(name, 0, "stands twice in the table", "", "rename or drop one of the columns")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    needed = [field.name for field in schema.modelled]
    needed += [schema.patientKey] if schema.patientKey else []
    found += [
        Problem(
            name,
            0,
            f"is in the schema but not in the table{nearest(name, set(names) - set(schema.names))}",
            "",
            "add the column, or take the field out of the schema",
        )
        for name in needed
        if name not in names
    ]
    return found + [
        Problem(
            name,
            0,
            f"is in the table but not in the schema{nearest(name, schema.names)}",
            "",
            "declare it as a field (`role: identifier` keeps it out of the model), or drop it",
        )
        for name in dict.fromkeys(names)
        if name not in schema.names
    ]


def _identifier_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    key = schema.patientKey
    if key is not None:
        if key not in frame.columns:
            return []
        blank = frame[key].isna() | frame[key].astype(str).isin(schema.missingValues)
        if not blank.any():
            return []
        return [
            Problem(key, int(blank.sum()), "no patient identifier", "", "fill in whose rows they are")
        ]
    found = []
    keys = [[f.name] for f in schema.fields if f.role == "identifier"]
    for names in [*keys, *([list(schema.primaryKey)] if schema.primaryKey else [])]:
        if not set(names) <= set(frame.columns):
            continue
        repeated = frame.duplicated(names)
        if repeated.any():
            found.append(
                Problem(
                    ", ".join(names),
                    int(repeated.sum()),
                    "an identifier repeats, so a patient may have several rows",
                    "",
                    f"set `patientKey: {names[0]}` and `maxRows` so that the guarantee covers "
                    "whole patients, or drop the column if it does not say whose row it is",
                )
            )
    return found


def _encode_column(field: Field, values: pd.Series, missing: Sequence[str]) -> _Cells:
    blank = values.isna().to_numpy()
    if not pd.api.types.is_numeric_dtype(values) and not _is_datetime(values):
        blank = blank | values.astype(object).isin(list(missing)).to_numpy()
    shape = len(values)
    cells = _Cells(
        field, np.full(shape, MISSING, np.int64), np.zeros(shape, bool), values.to_numpy(object)
    )
    if field.is_lattice:
        units, readable = (_numbers if field.type in ("number", "integer") else _moments)(
            field, values, ~blank
        )
        _place_on_lattice(cells, units, readable, ~blank)
    else:
        _place_in_categories(cells, values, ~blank)
    if not field.nullable and blank.any():
        cells.invalid |= blank
        cells.problems.append(
            Problem(
                field.name,
                int(blank.sum()),
                "a missing value where one is required",
                f"row {int(np.flatnonzero(blank)[0]) + 1}",
                "set `required: false` under constraints, or fill in the values",
            )
        )
    return cells


def _is_datetime(values: pd.Series) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(values))


def _numbers(field: Field, values: pd.Series, present: Bools) -> tuple[NDArray[np.float64], Bools]:
    """Return values as floats, and where they are readable as numbers (infinities are)."""
    numbers = np.full(len(values), np.nan)
    if pd.api.types.is_numeric_dtype(values):
        numbers[present] = values[present].astype("float64").to_numpy()
    else:
        # Text repeats a lot: parse each distinct one once.
        places, distinct = pd.factorize(values[present].astype(str).str.strip())
        parsed = pd.to_numeric(pd.Series(distinct, dtype=object), errors="coerce")
        numbers[present] = parsed.to_numpy(float, na_value=np.nan)[places]
    return numbers, present & ~np.isnan(numbers)


def _moments(field: Field, values: pd.Series, present: Bools) -> tuple[NDArray[np.float64], Bools]:
    """Return dates as lattice units since 1970, and where they are readable as dates."""
    units = np.full(len(values), np.nan)
    places, distinct = pd.factorize(values[present].astype(object))
    parsed = np.array([_moment_units(field, item) for item in distinct], float)
    if len(distinct):
        units[present] = parsed[places]
    return units, present & ~np.isnan(units)


def _moment_units(field: Field, item: Any) -> float:
    if isinstance(item, str):
        try:
            item = datetime.strptime(item.strip(), field.format_)
        except ValueError:
            return np.nan
    try:
        return float(field.units_of(item.isoformat()))
    except (AttributeError, ValueError, OverflowError):
        return np.nan


def _place_on_lattice(
    cells: _Cells, values: NDArray[np.float64], readable: Bools, present: Bools
) -> None:
    field = cells.field
    kind = {"date": "date", "datetime": "date-time"}.get(field.type, "number")
    is_number = kind == "number"
    form = f" of the form {field.format_}" if field.format_ else ""
    cells.reject(
        present & ~readable,
        f"not a {kind}{form}",
        "correct them, list their spelling under missingValues"
        + (", or declare `format`" if form else ""),
    )
    special = np.zeros(len(values), bool)
    for i, value in enumerate(field.special):
        here = readable & (values == value)
        cells.codes[here] = FIRST_SPECIAL - i
        special |= here
    rest = readable & ~special
    if field.type == "integer":
        broken = rest & np.isfinite(values) & (values != np.round(values))
        if broken.any() and field.invalid != "clip":
            cells.reject(broken, "not a whole number", "round them, or declare `type: number`")
            rest = rest & ~broken
    low, high = field.constraints.minimum, field.constraints.maximum
    if is_number:
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        bottom, top = float(low), float(high)
    else:
        bottom, top = float(field.first_unit), float(field.first_unit + field.lattice_size - 1)
    cells.invalid |= rest & ((values < bottom) | (values > top))
    if field.invalid != "clip":
        for outside, rule in ((values < bottom, f"below {low}"), (values > top, f"above {high}")):
            cells.reject(
                rest & outside,
                rule,
                "widen the bounds, or set `invalid: clip`"
                + (" or `invalid: missing`" if field.nullable else ""),
            )
        rest = rest & (values >= bottom) & (values <= top)
    inside = np.clip(values[rest], bottom, top)
    units = np.round(inside * 10.0**field.places) if is_number else inside
    index = units.astype(np.int64) - field.first_unit
    cells.codes[rest] = np.clip(index, 0, field.lattice_size - 1)


def _place_in_categories(cells: _Cells, values: pd.Series, present: Bools) -> None:
    field = cells.field
    places, distinct = pd.factorize(values[present].astype(object))
    known = np.array([_category(field, item) for item in distinct], np.int64)
    found = np.full(len(values), -1, np.int64)
    if len(distinct):
        found[present] = known[places]
    cells.codes[found >= 0] = found[found >= 0]
    listed = ", ".join(field.categories[:6]) + (", ..." if len(field.categories) > 6 else "")
    way_out = "declare `trueValues` and `falseValues`"
    if field.type != "boolean":
        way_out = "add the category to enum, or set `invalid: other`"
    cells.reject(present & (found < 0), f"not one of {listed}", way_out)


def _category(field: Field, item: Any) -> int:
    """Return the index of a cell's category, or -1; 1.0 is read as 1 where only that is listed."""
    if field.type == "boolean":
        text = str(item)
        text = text.removesuffix(".0") if text not in field.trueValues + field.falseValues else text
        return 1 if text in field.trueValues else 0 if text in field.falseValues else -1
    labels = field.categories
    text = str(item)
    if text in labels:
        return labels.index(text)
    short = text.removesuffix(".0")
    if short in labels:
        return labels.index(short)
    return labels.index(f"{text}.0") if f"{text}.0" in labels else -1


def decode(codes: Ints, schema: Schema) -> pd.DataFrame:
    """Return typed columns for codes of shape (rows, columns); the inverse of `encode`.

    Numbers become float64, integers Int64, booleans boolean, dates datetime64[s], categories text.
    """
    columns = {
        field.name: _decode_column(field, np.asarray(codes[:, j]))
        for j, field in enumerate(schema.modelled)
    }
    return pd.DataFrame(columns)


def _decode_column(field: Field, codes: Ints) -> Any:
    missing = codes == MISSING
    if not field.is_lattice:
        if field.type == "boolean":
            return pd.arrays.BooleanArray(codes == 1, missing)
        labels = np.array([*field.categories, None], object)
        texts = labels[np.where(missing, len(field.categories), codes)]
        return texts if field.type == "string" else pd.Series(texts).astype(_numeric(field))
    units = codes + field.first_unit
    if field.type in ("date", "datetime"):
        step = 86_400 if field.type == "date" else field.step_seconds
        moments = (units * step).astype("datetime64[s]")
        moments[missing] = np.datetime64("NaT")
        return moments
    specials = [(codes == FIRST_SPECIAL - i, value) for i, value in enumerate(field.special)]
    if field.type == "integer":
        for here, value in specials:
            units[here] = int(value)
        return pd.arrays.IntegerArray(units, missing)
    numbers = units / 10.0**field.places
    for here, value in specials:
        numbers[here] = value
    numbers[missing] = np.nan
    return numbers


def _numeric(field: Field) -> str:
    return "Int64" if field.type == "integer" else "float64"
