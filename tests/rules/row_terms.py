"""Statements about one row, as the text of a schema's rule and as plain functions: a judge of its own.

Nothing of the package's language is used. Numbers are decimals and dates are days, whose arithmetic is
exact; None is missing, and what depends on it is None, too: undecided.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd

from synthvae.schema import Schema

Row = dict[str, Any]
FIRST_DAY = date(2020, 1, 1)
OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
    "!=": operator.ne, "+": operator.add, "-": operator.sub, "*": operator.mul,
}  # fmt: skip
PATIENTS, MOST_ROWS = 60, 3


@dataclass(frozen=True)
class Term:
    """A part of a statement: its text, and its value in a row, None where that is undecided."""

    text: str
    of: Callable[[Row], Any]

    def keeps(self, row: Row) -> bool:
        return self.of(row) is not False


@dataclass(frozen=True)
class Column:
    """A column, the values that it may hold, and how it is written in statements."""

    declared: dict[str, Any]  # the schema's field
    kind: str  # number, flag, text, digits or date
    domain: tuple[Any, ...]

    @property
    def name(self) -> str:
        return str(self.declared["name"])

    @property
    def nullable(self) -> bool:
        return not self.declared["constraints"].get("required", True)

    @property
    def term(self) -> Term:
        text = f"`{self.name}`" if " " in self.name else self.name
        return Term(text, lambda row: row[self.name])

    @property
    def number(self) -> Term:
        """The column in arithmetic, where flags are 0 and 1 and digits are numbers."""
        plain = self.term
        return Term(plain.text, lambda row: _int_or_more(plain.of(row)))


@dataclass(frozen=True, repr=False)
class RuledCase:
    """A schema's columns and rules, a function of a row for each rule, and rows that keep them all.

    Where `shared` is given, a patient has up to three rows, which hold the same in these columns, and
    differ in the `unique` one.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    settings: tuple[Any, ...] = ()
    judges: tuple[Callable[[Row], bool], ...] = ()
    shared: tuple[str, ...] | None = None
    unique: str | None = None

    def __repr__(self) -> str:
        fields = "\n".join(str(column.declared) for column in self.columns)
        within = f"shared: {self.shared}, unique: {self.unique}"
        return f"{fields}\nrules: {self.settings}\n{within}\nfirst row: {self.rows[0]}"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Show the schema, where hypothesis would show every row."""
        printer.text(repr(self))

    def schema(self) -> Schema:
        shared = self.shared or ()
        fields = [c.declared | {"perPatient": c.name in shared} for c in self.columns]
        values = {"patients": PATIENTS, "fields": fields, "rules": list(self.settings)}
        if self.shared is not None:
            values |= {"patientKey": "patient", "maxRows": MOST_ROWS}
            values["fields"] = [{"name": "patient"}, *fields]
        if self.unique:
            values["rules"] = [*self.settings, {"unique": ["patient", self.unique]}]
        return Schema.from_dict(values)

    def patients(self) -> list[list[Row]]:
        """Return the rows by patient."""
        if self.shared is None:
            return [[row] for row in self.rows]
        patients: list[list[Row]] = []
        for row in self.rows:
            owner = next((rows for rows in patients if self._may_join(rows, row)), None)
            if owner is None:
                patients.append([row])
            else:
                owner.append(row)
        return patients

    def _may_join(self, rows: list[Row], row: Row) -> bool:
        same = all(rows[0][name] == row[name] for name in self.shared or ())
        differs = self.unique is None or row[self.unique] not in [r[self.unique] for r in rows]
        return same and differs and len(rows) < MOST_ROWS

    def frame(self, rows: Sequence[Row] = ()) -> pd.DataFrame:
        """Return rows, by default those that keep the rules, with patients repeated, as a table."""
        known = [[row] for row in rows] or self.patients()
        patients = known if rows else [known[i % len(known)] for i in range(PATIENTS)]
        cells: dict[str, Any] = {
            c.name: [cell_of(c, row[c.name]) for rows in patients for row in rows]
            for c in self.columns
        }
        if self.shared is not None:
            cells["patient"] = [f"p{i}" for i, rows in enumerate(patients) for _ in rows]
        return pd.DataFrame(cells)

    def broken(self, frame: pd.DataFrame) -> list[tuple[Row, list[Any]]]:
        """Return the rows of a table that break rules, with these, and patients whose rows clash."""
        found = []
        for record in frame.to_dict("records"):
            row = {c.name: value_of(c, record[c.name]) for c in self.columns}
            pairs = zip(self.settings, self.judges, strict=True)
            rules = [setting for setting, keeps in pairs if not keeps(row)]
            if rules:
                found.append((row, rules))
        for whose, rows in [] if self.shared is None else frame.groupby("patient"):
            varying = [name for name in self.shared or () if len(set(map(str, rows[name]))) > 1]
            twice = self.unique is not None and rows[self.unique].dropna().duplicated().any()
            if varying or twice:
                found.append(({"patient": whose}, [*varying, self.unique]))
        return found

    def with_rule(self, setting: Any, keeps: Callable[[Row], bool]) -> "RuledCase":
        """Return the case with one more rule, and the rows that keep it; itself where there is none."""
        rows = tuple(row for row in self.rows if keeps(row))
        if not rows:
            return self
        settings, judges = (*self.settings, setting), (*self.judges, keeps)
        return replace(self, rows=rows, settings=settings, judges=judges)


def cell_of(column: Column, value: Any) -> Any:
    """Return a row's value as a typed cell of a table."""
    if value is None:
        return None
    if column.kind == "date":
        return pd.Timestamp(FIRST_DAY + timedelta(days=int(value)))
    return float(value) if column.kind == "number" else value


def value_of(column: Column, cell: Any) -> Any:
    """Return a table's cell as a row's value."""
    if pd.isna(cell):
        return None
    if column.kind == "date":
        return (pd.Timestamp(cell).date() - FIRST_DAY).days
    if column.kind == "number":
        return Decimal(str(round(float(cell), 1)))
    return bool(cell) if column.kind == "flag" else cell


def _int_or_more(value: Any) -> Any:
    return int(value) if isinstance(value, bool | str) else value


def constant(value: Any, kind: str = "number") -> Term:
    """Return a value that is written out."""
    text = str(value).lower() if kind == "flag" else f"{value}"
    if kind == "date":
        text = f"'{FIRST_DAY + timedelta(days=int(value))}'"
    return Term(f"'{value}'" if kind in ("text", "digits") else text, lambda row: value)


def joined(sign: str, left: Term, right: Term) -> Term:
    """Return two values compared, added, subtracted or multiplied."""

    def of(row: Row) -> Any:
        first, second = left.of(row), right.of(row)
        return None if first is None or second is None else OPERATIONS[sign](first, second)

    return Term(f"{left.text} {sign} {right.text}", of)


def is_missing(column: Column, missing: bool) -> Term:
    word = "is missing" if missing else "is not missing"
    return Term(f"{column.term.text} {word}", lambda row: (column.term.of(row) is None) is missing)


def either(left: Term, right: Term) -> Term:
    """Return whether one of two statements holds: one that does decides it."""

    def of(row: Row) -> Any:
        truths = left.of(row), right.of(row)
        return True if True in truths else None if None in truths else False

    return Term(f"{left.text} or {right.text}", of)


def both(left: Term, right: Term) -> Term:
    def of(row: Row) -> Any:
        truths = left.of(row), right.of(row)
        return False if False in truths else None if None in truths else True

    return Term(f"{left.text} and {right.text}", of)


def opposite(term: Term) -> Term:
    def of(row: Row) -> Any:
        truth = term.of(row)
        return None if truth is None else not truth

    return Term(f"not ({term.text})", of)


def one_of(column: Column, values: list[Any]) -> Term:
    def of(row: Row) -> Any:
        value = row[column.name]
        return None if value is None else value in values

    listed = ", ".join(constant(value, column.kind).text for value in values)
    return Term(f"{column.term.text} in [{listed}]", of)
