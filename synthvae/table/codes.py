"""Cells as whole numbers, checked against the schema.

The code of a cell is the index of its category or lattice point (0 or more), `MISSING` (-1), or
-2, -3, ... for the field's special values in their order. Encoding finds every problem of a table
at once; decoding gives back typed columns.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as default
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._text import brief, nearest, shortened
from synthvae._types import Bools, Ints
from synthvae.errors import DataError
from synthvae.field import OTHER, Field
from synthvae.schema import Schema
from synthvae.table import cells

MISSING = -1
FIRST_SPECIAL = -2
SHOWN = 12  # problems listed in one error message


@dataclass(frozen=True)
class Problem:
    """What is wrong with a column: in how many rows, which rule, and the way out."""

    column: str
    rule: str
    way_out: str
    rows: int = 0
    example: str = ""

    @classmethod
    def where(cls, rows: Bools, column: str, rule: str, way_out: str, cell: str = "") -> "Problem":
        """Return the problem of some rows; the example is the first, with its cell if that is given."""
        example = f"{cell and f'{cell} in '}row {int(rows.argmax()) + 1}"
        return cls(column, rule, way_out, int(rows.sum()), example)

    def __str__(self) -> str:
        count = f"{self.rows} row{'' if self.rows == 1 else 's'}: " if self.rows else ""
        example = f" (first: {self.example})" if self.example else ""
        return f"column {brief(self.column)}: {count}{self.rule}{example}; {self.way_out}"


@dataclass
class _Column:
    """One column while it is being encoded."""

    field: Field
    codes: Ints
    invalid: Bools
    values: pd.Series
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
            self.codes[where] = MISSING
            cell = self._shown(int(where.argmax()))
            self.problems.append(Problem.where(where, self.field.name, rule, way_out, cell))

    def _shown(self, row: int) -> str:
        try:
            text = cells.text_of(cells.canonical(self.values.iloc[row]))
        except (OverflowError, ValueError):  # such as a year that Python's dates do not reach
            return "a value that cannot be shown"
        return repr(shortened(text, 40))


def encode(frame: pd.DataFrame, schema: Schema) -> Ints:
    """Return the codes of a table's modelled columns, shape (rows, columns).

    Raises
    ------
    DataError
        The table does not fit the schema; the text lists every problem.
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
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    problems = _column_problems(frame, schema)
    times = Counter(frame.columns)
    shape = (len(frame), len(schema.modelled))
    codes, invalid = np.full(shape, MISSING, np.int64), np.zeros(shape, bool)
    for j, field in enumerate(schema.modelled):
        if times[field.name] != 1:
            invalid[:, j] = True
            continue
        column = _encode_column(field, frame[field.name], schema.missingValues)
        codes[:, j], invalid[:, j] = column.codes, column.invalid
        problems += column.problems
    problems += _identifier_problems(frame, schema)
    return codes, invalid, problems or _patient_problems(frame, codes, schema)


def _column_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    times = Counter(frame.columns)
    declared = dict.fromkeys(schema.names)
    needed = [field.name for field in schema.modelled]
    needed += [schema.patientKey] if schema.patientKey else []
    absent = [name for name in needed if name not in times]
    unknown = [name for name in times if name not in declared]
    problems = [
        Problem(name, "stands twice in the table", "rename or drop one of the columns")
        for name in times
        if times[name] > 1
    ]
    for i, name in enumerate(absent):
        hint = nearest(name, unknown) if i < SHOWN else ""
        rule = f"is in the schema but not in the table{hint}"
        problems.append(Problem(name, rule, "add the column, or take the field out of the schema"))
    for i, name in enumerate(unknown):
        hint = nearest(name, declared) if i < SHOWN else ""
        rule = f"is in the table but not in the schema{hint}"
        way_out = "declare it as a field (`role: identifier` keeps it out of the model), or drop it"
        problems.append(Problem(name, rule, way_out))
    return problems


def _identifier_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    times = Counter(frame.columns)
    key = schema.patientKey
    if key is not None:
        if times[key] != 1:
            return []
        blank, problems = _identifier_blanks(frame[key], schema)
        if blank.any():
            way_out = "fill in whose rows they are"
            problems.append(Problem(key, "no patient identifier", way_out, int(blank.sum())))
        return problems
    keys: list[tuple[str, ...]] = [
        (field.name,) for field in schema.fields if field.role == "identifier"
    ]
    keys += [schema.primaryKey] if schema.primaryKey else []
    single = dict.fromkeys(name for names in keys for name in names if times[name] == 1)
    read = {name: _identifier_blanks(frame[name], schema) for name in single}
    problems = [problem for _, lossy in read.values() for problem in lossy]
    for names in dict.fromkeys(keys):
        if any(times[name] != 1 for name in names):
            continue
        blank = np.any([read[name][0] for name in names], axis=0)
        whose = {name: cells.identities(frame.loc[~blank, name], schema[name]) for name in names}
        repeated = pd.DataFrame(whose).duplicated()
        if repeated.any():
            rule = "an identifier repeats, so a patient may have several rows"
            way_out = (
                f"set `patientKey: {names[0]}` and `maxRows` so that the guarantee covers "
                "whole patients, or drop the column if it does not say whose row it is"
            )
            problems.append(Problem(", ".join(names), rule, way_out, int(repeated.sum())))
    return problems


def _identifier_blanks(values: pd.Series, schema: Schema) -> tuple[Bools, list[Problem]]:
    """Return where identifiers are missing, and the problem of those that may have lost digits."""
    raw = cells.RawColumn(values)
    blank = raw.blank(schema.missingValues)
    lossy = raw.inexact() & ~blank
    if not lossy.any():
        return blank, []
    rule = "an identifier of 2**53 or more came as a float, which may have lost its last digits"
    way_out = "give identifiers as text, or as whole numbers in a column without missing cells"
    return blank, [Problem.where(lossy, str(values.name), rule, way_out)]


def _patient_problems(frame: pd.DataFrame, codes: Ints, schema: Schema) -> list[Problem]:
    """Return the per-patient columns whose values differ between rows of a patient."""
    if schema.patientKey is None or schema.patientKey not in frame.columns:
        return []
    whose, _ = pd.factorize(cells.identities(frame[schema.patientKey], schema[schema.patientKey]))
    first = np.full(whose.max(initial=-1) + 1, -1)
    first[whose[::-1]] = np.arange(len(whose))[::-1]
    rule = "another value than in the patient's first row"
    way_out = "correct them, or take `perPatient` off the field"
    return [
        Problem.where(differs, field.name, rule, way_out)
        for j, field in enumerate(schema.modelled)
        if field.perPatient and (differs := codes[:, j] != codes[first[whose], j]).any()
    ]


def _encode_column(field: Field, values: pd.Series, missing: Sequence[str]) -> _Column:
    raw = cells.RawColumn(values)
    blank = raw.blank(missing)
    codes = np.full(len(values), MISSING, np.int64)
    column = _Column(field, codes, np.zeros(len(values), bool), values)
    if not field.is_lattice:
        _place_in_categories(column, raw, ~blank)
    elif field.is_number:
        _place_on_lattice(column, cells.as_numbers(raw), ~blank)
    else:
        _place_on_lattice(column, cells.as_moments(field, raw), ~blank)
    if not field.nullable and blank.any():
        column.invalid |= blank
        rule = "a missing value where one is required"
        way_out = "set `required: false` under constraints, or fill in the values"
        column.problems.append(Problem.where(blank, field.name, rule, way_out))
    return column


def _place_on_lattice(column: _Column, values: NDArray[np.float64], present: Bools) -> None:
    field = column.field
    readable = present & ~np.isnan(values)
    kind = {"date": "date", "datetime": "date-time"}.get(field.type, "number")
    form = f" of the form {field.format_}" if field.format_ else ""
    way_out = "correct them, list their spelling under missingValues"
    way_out += ", or declare `format`" if form else ""
    column.reject(present & ~readable, f"not a {kind}{form}", way_out)
    special = np.zeros(len(values), bool)
    for i, value in enumerate(field.special):
        here = readable & (values == value)
        column.codes[here] = FIRST_SPECIAL - i
        special |= here
    rest = readable & ~special
    if field.type == "integer":
        broken = rest & np.isfinite(values) & (values != np.round(values))
        if broken.any() and field.invalid != "clip":
            column.reject(broken, "not a whole number", "round them, or declare `type: number`")
            rest = rest & ~broken
    low, high = field.constraints.minimum, field.constraints.maximum
    if field.is_number:
        bottom, top = float(low or 0), float(high or 0)
    else:
        bottom, top = float(field.first_unit), float(field.first_unit + field.lattice_size - 1)
    column.invalid |= rest & ((values < bottom) | (values > top))
    if field.invalid != "clip":
        way_out = "widen the bounds, or set `invalid: clip`"
        way_out += " or `invalid: missing`" if field.nullable else ""
        column.reject(rest & (values < bottom), f"below {low}", way_out)
        column.reject(rest & (values > top), f"above {high}", way_out)
        rest = rest & (values >= bottom) & (values <= top)
    inside = np.clip(values[rest], bottom, top)
    units = np.round(inside * 10.0**field.places) if field.is_number else inside
    index = units.astype(np.int64) - field.first_unit
    column.codes[rest] = np.clip(index, 0, field.lattice_size - 1)


def _place_in_categories(column: _Column, raw: cells.RawColumn, present: Bools) -> None:
    field = column.field
    raw.factorize()
    index = _index(field)
    by_number = (
        {cells.as_float(label): code for label, code in index.items()} if field.is_number else {}
    )
    distinct = [_category(index, by_number, cell) for cell in raw.distinct]
    codes = np.where(present, raw.spread(distinct, -1, np.int64), -1)
    column.codes[codes >= 0] = codes[codes >= 0]
    outside = present & (codes < 0)
    rule = f"not one of {field.first_categories}"
    large = outside & raw.spread([*map(cells.is_large, raw.distinct)], False, bool)
    column.reject(large, rule, "give numbers of 2**53 and more as text, since floats round them")
    way_out = "declare `trueValues` and `falseValues`"
    if field.type != "boolean":
        way_out = "add the category to enum, or set `invalid: other`"
    column.reject(outside & ~large, rule, way_out)


def _index(field: Field) -> dict[str, int]:
    """Return the code of each spelling that a categorical field knows."""
    if field.type == "boolean":
        typed = {"False": 0, "True": 1}  # cells that are booleans already
        return typed | dict.fromkeys(field.falseValues, 0) | dict.fromkeys(field.trueValues, 1)
    return {label: code for code, label in enumerate(field.categories)}


def _category(index: dict[str, int], by_number: dict[float, int], cell: cells.Cell | None) -> int:
    """Return the code of a cell, or -1; 1.0 is read as 1 where only one of them is listed."""
    if cells.is_large(cell):
        return -1
    for text in cells.spellings(cell):
        for spelling in (text, text.removesuffix(".0"), f"{text}.0"):
            if spelling in index:
                return index[spelling]
    return by_number.get(cells.number_of(cell), -1)


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
        if field.type == "string":
            return texts
        values = np.array([*map(float, field.categories), np.nan])
        numbers = pd.Series(values[np.where(missing, len(field.categories), codes)])
        return numbers.astype("Int64") if field.type == "integer" else numbers
    units = codes + field.first_unit
    if field.is_moment:
        moments = (units * field.step_seconds).astype("datetime64[s]")
        moments[missing] = np.datetime64("NaT", "s")
        return moments
    specials = [(codes == FIRST_SPECIAL - i, value) for i, value in enumerate(field.special)]
    if field.type == "integer":
        for here, value in specials:
            units[here] = int(value)
        return pd.arrays.IntegerArray(units, missing)
    floats = units / 10.0**field.places
    for here, value in specials:
        floats[here] = value
    floats[missing] = np.nan
    return floats
