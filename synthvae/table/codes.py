"""Cells as whole numbers, checked against the schema.

The code of a cell is the index of its category or lattice point (0 or more), `MISSING` (-1), or
-2, -3, ... for the field's special values in their order. Encoding finds every problem of a table
at once; `decode` gives back typed columns.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as default

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._text import counted, nearest, shortened
from synthvae._types import Bools, Ints
from synthvae.errors import DataError
from synthvae.field import OTHER, Field
from synthvae.rules.values import FIRST_SPECIAL, MISSING
from synthvae.schema import Schema
from synthvae.table import cells
from synthvae.table.no_visits import misplaced_rows, without_visit
from synthvae.table.order_problems import with_order
from synthvae.table.problems import Inspection, Problem
from synthvae.table.rule_problems import with_rules
from synthvae.table.spelling import spelling_hint

KEY_LIKE = re.compile(  # a name that may say whose row it is
    r"(?i)(^|[^a-z])(id|ids|nr|no|num|number|key|mrn|nhs|ssn|pid|code)([^a-z]|$)|id$|Id|ID"
    r"|pati?ent|person|subject|participant|case|member|client|respondent|enrolid|seqn|ident|key|pseudo"
)
SHOWN = 12  # problems listed in one error message


@dataclass
class _Column:
    """One column while it is being encoded."""

    field: Field
    codes: Ints
    invalid: Bools
    values: pd.Series
    problems: list[Problem] = default(default_factory=list)
    notes: list[Problem] = default(default_factory=list)

    def reject(self, where: Bools, rule: str, way_out: str) -> None:
        """Apply the field's `invalid` policy to cells for which no bound can stand in."""
        if not where.any():
            return
        self.invalid |= where
        if self.field.invalid == "missing":
            self.codes[where] = MISSING
            self.note(where, f"{rule}, and taken for missing", "`invalid: missing` asks for it")
        elif self.field.invalid == "other":
            self.codes[where] = self.field.categories.index(OTHER)
            self.note(where, f"{rule}, and merged into '{OTHER}'", "`invalid: other` asks for it")
        else:
            self.codes[where] = MISSING
            cell = self._shown(int(where.argmax()))
            self.problems.append(Problem.where(where, self.field.name, rule, way_out, cell))

    def note(self, where: Bools, what: str, why: str) -> None:
        """Keep in mind what was done to cells that are read as something else than they hold."""
        if where.any():
            cell = self._shown(int(where.argmax()))
            self.notes.append(Problem.where(where, self.field.name, what, why, cell))

    def examples(self, where: Bools) -> list[str]:
        """Return the first of some cells, as text."""
        return [self._text(int(row)) for row in np.flatnonzero(where)[:SHOWN]]

    def _shown(self, row: int) -> str:
        text = self._text(row)
        return repr(shortened(text, 40)) if text else "a value that cannot be shown"

    def _text(self, row: int) -> str:
        try:
            return cells.text_of(cells.canonical(self.values.iloc[row]))
        except (OverflowError, ValueError):  # such as a year that Python's dates do not reach
            return ""


def encode(frame: pd.DataFrame, schema: Schema) -> Ints:
    """Return the codes of a table's modelled columns, shape (rows, columns).

    Raises
    ------
    DataError
        The table does not fit the schema; the text lists every problem.
    """
    return encode_with_notes(frame, schema)[0]


def encode_with_notes(frame: pd.DataFrame, schema: Schema) -> tuple[Ints, list[Problem]]:
    """Return what `encode` does, and what was rounded, clipped, emptied or merged on the way."""
    read = inspect(frame, schema)
    problems = read.problems
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems[:SHOWN])
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(f"The table does not fit the schema '{schema.name}':\n{listed}{more}")
    return read.codes, read.notes


def find_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    """Return everything that keeps a table from fitting its schema; empty where it fits."""
    return inspect(frame, schema).problems


def inspect(frame: pd.DataFrame, schema: Schema) -> Inspection:
    """Encode a table without raising: its cells, and whether its rows keep the rules."""
    read = inspect_cells(frame, schema)
    if not schema.rules and schema.orderBy is None:
        return read
    times = Counter(map(str, frame.columns))
    whose = None
    if schema.key_columns and all(times[name] == 1 for name in schema.key_columns):
        whose = identify_patients(frame.set_axis([*map(str, frame.columns)], axis=1), schema)
    if schema.orderBy is not None and whose is not None:
        read = with_order(read, schema, schema.orderBy, whose)
    return with_rules(read, schema, whose) if schema.rules else read


def column_codes(frame: pd.DataFrame, schema: Schema, name: str) -> Ints:
    """Return the codes of one column, shape (rows,): those that `encode` gives it."""
    return _encode_column(schema[name], frame[name], schema.missingValues).codes


def inspect_cells(frame: pd.DataFrame, schema: Schema) -> Inspection:
    """Encode a table's cells without raising."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    problems, notes = _column_problems(frame, schema), list[Problem]()
    times = Counter(frame.columns)
    shape, absent = (len(frame), len(schema.modelled)), without_visit(frame, schema)
    codes, invalid = np.full(shape, MISSING, np.int64), np.zeros(shape, bool)
    for j, field in enumerate(schema.modelled):
        if times[field.name] != 1:
            invalid[:, j] = True
            continue
        there = ~absent | field.perPatient
        column = _encode_column(field, frame[field.name], schema.missingValues, there)
        codes[:, j], invalid[:, j] = column.codes, column.invalid
        problems += column.problems
        notes += column.notes
    problems += _identifier_problems(frame, schema)
    problems += _left_out_problems(frame, schema)
    problems = problems or _patient_problems(frame, codes, schema, absent)
    return Inspection(codes, invalid, problems, notes)


def cell_problems(frame: pd.DataFrame, names: Sequence[str], schema: Schema) -> list[Problem]:
    """Return what is wrong with the keys, and with the cells of some columns that stand in a table."""
    fields = [field for field in schema.modelled if field.name in names]
    read = [_encode_column(field, frame[field.name], schema.missingValues) for field in fields]
    return [*_identifier_problems(frame, schema), *(p for column in read for p in column.problems)]


def _column_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    times = Counter(frame.columns)
    declared = dict.fromkeys(schema.names)
    needed = [field.name for field in schema.modelled]
    needed += schema.key_columns
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
        way_out = "declare it as a field (`role: omit` leaves it out), or drop it"
        problems.append(Problem(name, rule, way_out))
    return problems


def _identifier_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    times = Counter(frame.columns)
    if schema.key_columns:
        if any(times[key] != 1 for key in schema.key_columns):
            return []
        problems = []
        for key in schema.key_columns:
            blank, lossy = _identifier_blanks(frame[key], schema)
            problems += lossy
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
            key = f"[{', '.join(names)}]" if len(names) > 1 else names[0]
            way_out = (
                f"set `patientKey: {key}` and `maxRows` so that the guarantee covers "
                "whole patients, or `role: omit` if it does not say whose row it is"
            )
            if not any(map(KEY_LIKE.search, names)):
                way_out = (
                    "its name does not sound like a patient's: set `role: omit` to leave it out, or "
                    "declare its bounds or categories; only if it says whose row it is, name it under "
                    "patientKey"
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


def _patient_problems(
    frame: pd.DataFrame, codes: Ints, schema: Schema, absent: Bools
) -> list[Problem]:
    """Return the per-patient columns whose values differ between rows of a patient, and odd rows."""
    if not schema.key_columns or not set(schema.key_columns) <= set(frame.columns):
        return []
    whose, _ = pd.factorize(identify_patients(frame, schema))
    first = np.full(whose.max(initial=-1) + 1, -1)
    first[whose[::-1]] = np.arange(len(whose))[::-1]
    rule = "another value than in the patient's first row"
    way_out = "correct them, or take `perPatient` off the field"
    return misplaced_rows(absent, whose, schema) + [
        Problem.where(differs, field.name, rule, way_out)
        for j, field in enumerate(schema.modelled)
        if field.perPatient and (differs := codes[:, j] != codes[first[whose], j]).any()
    ]


def _left_out_problems(frame: pd.DataFrame, schema: Schema) -> list[Problem]:
    """Return the columns that are declared empty and hold values."""
    problems = []
    for field in schema.fields:
        if field.role == "empty" and list(frame.columns).count(field.name) == 1:
            held = ~cells.RawColumn(frame[field.name]).blank(schema.missingValues)
            if held.any():
                way_out = "declare its bounds or categories, or set `role: omit` to leave it out"
                problems.append(
                    Problem.where(held, field.name, "a value in an empty column", way_out)
                )
    return problems


def _encode_column(
    field: Field, values: pd.Series, missing: Sequence[str], there: Bools | None = None
) -> _Column:
    """Return a column's codes; a value is required where there is a visit that it could be of."""
    raw = cells.RawColumn(values)
    blank = raw.blank(missing)
    codes = np.full(len(values), MISSING, np.int64)
    column = _Column(field, codes, np.zeros(len(values), bool), values)
    if not field.is_lattice:
        _place_in_categories(column, raw, ~blank)
    elif field.is_number:
        numbers = cells.as_numbers(field, raw)
        _place_on_lattice(column, numbers, ~blank)
        _note_stand_ins(column, raw, numbers)
    else:
        _place_on_lattice(column, cells.as_moments(field, raw), ~blank)
        if field.zone is None:
            zoned = cells.zoned(raw) & ~blank
            why = "to keep the zone, declare `timezone`"
            column.note(zoned, "the time zone is dropped; the clock's own time is kept", why)
    blank = blank if there is None else blank & there
    if not field.nullable and blank.any():
        column.invalid |= blank
        rule = "a missing value where one is required"
        way_out = "set `required: false` under constraints, or fill in the values"
        column.problems.append(Problem.where(blank, field.name, rule, way_out))
    return column


def _note_stand_ins(column: _Column, raw: cells.RawColumn, values: NDArray[np.float64]) -> None:
    """Note numbers that are read as a censored spelling, since it stands for them."""
    censored = column.field.censored_numbers
    plain = np.ones(len(values), bool)
    if censored and raw.places is not None:
        is_plain = [cells.text_of(cell).strip() not in censored for cell in raw.distinct]
        plain = raw.spread(is_plain, True, bool)
    for text, value in censored.items():
        if value not in column.field.special:
            what = f"{value:g} stands for {text!r}, and is read as it"
            column.note(plain & (values == value), what, "`censored` can name another number")


def _place_on_lattice(column: _Column, values: NDArray[np.float64], present: Bools) -> None:
    field = column.field
    readable = present & ~np.isnan(values)
    unreadable = present & ~readable
    if unreadable.any():
        kind = {"date": "date", "datetime": "date-time"}.get(field.type, "number")
        form = f" of the form {field.format_}" if field.format_ else ""
        way_out = "correct them, list their spelling under missingValues"
        way_out += ", or declare `format`" if form else ""
        seems = spelling_hint(column.examples(unreadable))
        column.reject(unreadable, f"not a {kind}{form}", seems or way_out)
    special = np.zeros(len(values), bool)
    for i, value in enumerate(field.specials):
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
    else:
        column.note(
            rest & (values < bottom), f"below {low}, and set to it", "`invalid: clip` asks for it"
        )
        column.note(
            rest & (values > top), f"above {high}, and set to it", "`invalid: clip` asks for it"
        )
    inside = np.clip(np.where(rest, values, bottom), bottom, top)
    units = field.numbers_to_units(inside) if field.is_number else inside
    between = rest & (np.abs(units - np.round(units)) > _tolerance(field, units))
    if field.step is not None and field.invalid != "clip":
        way_out = "correct the step, or leave it out"
        column.reject(between, f"not {low} and whole steps of {field.step}", way_out)
        rest = rest & ~between
    else:
        to = (
            f"the step of {field.step}"
            if field.step is not None
            else counted(field.places, "decimal")
        )
        column.note(between, f"rounded to {to}", "`decimals` keeps more")
    index = np.round(units[rest]).astype(np.int64) - field.first_unit
    column.codes[rest] = np.clip(index, 0, field.lattice_size - 1)


def _tolerance(field: Field, units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much of a step floats, of single precision too, miss a point; moments do not."""
    size = np.abs(units) if field.is_number else np.zeros(len(units))
    return np.minimum(1e-9 + 1e-7 * size, 0.01) + 8 * np.finfo(float).eps * size


def _place_in_categories(column: _Column, raw: cells.RawColumn, present: Bools) -> None:
    field = column.field
    raw.factorize()
    index = _index(field)
    by_number = dict(zip(map(float, field.codes), range(len(field.codes)), strict=True))
    if field.is_number:
        by_number |= {cells.as_float(label): code for label, code in index.items()}
    distinct = [_category(field, index, by_number, cell) for cell in raw.distinct]
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


def identify_patients(frame: pd.DataFrame, schema: Schema) -> pd.Series:
    """Return whose row each one is, as text in which one patient has one spelling.

    What is modelled of a key of several columns is known by its code, so that two spellings of a
    category are one. No two different combinations give the same text.
    """
    columns = [_key_texts(frame[name], schema[name], schema) for name in schema.key_columns]
    if len(columns) == 1:
        return columns[0]
    rows = zip(*columns, strict=True)
    texts = ["".join(f"{len(part)}:{part}" for part in row) for row in rows]
    return pd.Series(texts, frame.index, object, ", ".join(schema.key_columns))


def _key_texts(values: pd.Series, field: Field, schema: Schema) -> pd.Series:
    texts = cells.identities(values, field)
    if field.name in schema.identifiers:
        return texts
    codes = pd.Series(_encode_column(field, values, schema.missingValues).codes, values.index)
    return texts.where(codes < 0, "code " + codes.astype(str))


def _category(
    field: Field, index: dict[str, int], by_number: dict[float, int], cell: cells.Cell | None
) -> int:
    """Return the code of a cell, or -1; 1.0 is read as 1 where only one of them is listed."""
    if cells.is_large(cell):
        return -1
    if field.codes and not isinstance(cell, str | bool) and cells.number_of(cell) in by_number:
        return by_number[cells.number_of(cell)]  # as a file of SAS, Stata or SPSS has it
    for text in cells.spellings(cell):
        for spelling in (text, text.removesuffix(".0"), f"{text}.0"):
            if spelling in index:
                return index[spelling]
    return by_number.get(cells.field_number(field, cell), -1) if by_number else -1
