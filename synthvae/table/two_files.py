"""A table in two files: the patients, and their visits, joined by `patientKey`.

    patients (a row each) + visits (many rows each) -> join_visits -> one table -> split_visits -> both

The file of patients has the columns that are `perPatient`, that of visits all others, and the key stands
in both. In the joined table a patient without visits, whom `visitsOptional` allows, is one row with
nothing in the columns of visits; these rows come last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synthvae._text import nearest
from synthvae._types import Bools
from synthvae.errors import DataError, SchemaError
from synthvae.schema import Schema
from synthvae.table.arguments import check_frame, check_schema
from synthvae.table.cells import RawColumn
from synthvae.table.codes import cell_problems, identify_patients
from synthvae.table.no_visits import without_visit
from synthvae.table.problems import Problem

PATIENTS, VISITS = "patients", "visits"
SHOWN = 12  # problems listed in one error message
WAYS_OUT = {
    PATIENTS: "move it there, or take `perPatient` off the field",
    VISITS: "move it there, or add `perPatient: true` to the field",
}
# By kind, with room for what is missing.
NULLABLE = {"i": pd.Int64Dtype(), "u": pd.UInt64Dtype(), "b": pd.BooleanDtype()}


def join_visits(patients: pd.DataFrame, visits: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return one table of patients and their visits: a row a visit, those of the visits first.

    Parameters
    ----------
    patients
        One row a patient: `patientKey` and the columns that are `perPatient`.
    visits
        Many rows a patient: `patientKey` and all other columns.

    Raises
    ------
    DataError
        The two do not fit each other or the schema; the text lists every problem.
    SchemaError
        The schema has no patientKey.

    Examples
    --------
    >>> schema = Schema.from_dict({"patientKey": "id", "maxRows": 3, "fields": [
    ...     {"name": "id"}, {"name": "sex", "constraints": {"enum": ["f", "m"]}, "perPatient": True},
    ...     {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}]})
    >>> patients = pd.DataFrame({"id": ["a", "b"], "sex": ["f", "m"]})
    >>> visits = pd.DataFrame({"id": ["b", "a", "b"], "day": [3, 5, 9]})
    >>> join_visits(patients, visits, schema).values.tolist()
    [['b', 'm', 3], ['a', 'f', 5], ['b', 'm', 9]]
    """
    joined, problems = inspect_files(patients, visits, schema)
    if joined is None:
        listed = "\n".join(f"  - {problem}" for problem in problems[:SHOWN])
        more = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DataError(
            f"The patients and the visits do not fit the schema '{schema.name}':\n{listed}{more}"
        )
    return joined


def inspect_files(
    patients: pd.DataFrame, visits: pd.DataFrame, schema: Schema
) -> tuple[pd.DataFrame | None, list[Problem]]:
    """Return what `join_visits` does without raising `DataError`: None where there are problems."""
    check_key(check_schema(schema))
    frames = {
        name: check_frame(frame, name).set_axis([*map(str, frame.columns)], axis=1)
        for name, frame in ((PATIENTS, patients), (VISITS, visits))
    }
    files = _Files(frames[PATIENTS], frames[VISITS], schema)
    problems = [*files.column_problems(), *files.cell_problems()]
    if all(Counter(frame.columns)[key] == 1 for frame in frames.values() for key in files.keys):
        problems += files.key_problems()
    return (None if problems else files.joined()), problems


def split_visits(frame: pd.DataFrame, schema: Schema) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the patients and the visits of one table: the inverse of `join_visits`.

    Patients come in the order of their first rows; what is `perPatient` is that of the first.
    """
    check_key(check_schema(schema))
    frame = check_frame(frame, "frame")
    keys, shared = schema.key_columns, {field.name for field in schema.fields if field.perPatient}
    first = ~identify_patients(frame, schema).duplicated().to_numpy()
    once = [name for name in frame.columns if name in keys or name in shared]
    each = [name for name in frame.columns if name in keys or name not in shared]
    visits = ~without_visit(frame, schema)
    return (
        frame.loc[first, once].reset_index(drop=True),
        frame.loc[visits, each].reset_index(drop=True),
    )


def check_key(schema: Schema) -> None:
    """Raise `SchemaError` where nothing joins patients and visits."""
    if schema.patientKey is None:
        raise SchemaError(
            f"The schema '{schema.name}' has no patientKey, by which a file of patients and one of "
            "visits are joined; name the column that says in both whose row it is."
        )


@dataclass(frozen=True)
class _Files:
    """Two tables whose columns are named by text."""

    patients: pd.DataFrame
    visits: pd.DataFrame
    schema: Schema

    @property
    def keys(self) -> tuple[str, ...]:
        return self.schema.key_columns

    def column_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with which columns stand where."""
        times = {PATIENTS: Counter(self.patients.columns), VISITS: Counter(self.visits.columns)}
        for file, counts in times.items():
            for name in (name for name, number in counts.items() if number > 1):
                yield _of(file, Problem(name, "stands twice", "rename or drop one of the columns"))
            for name in (key for key in self.keys if not counts[key]):
                way_out = "add the column, which says whose row each one is"
                yield _of(file, Problem(name, "of patientKey is not there", way_out))
            yield from self._unknown(file, counts)
        needed = {field.name for field in self.schema.modelled}
        for field in self.schema.fields:
            where = [file for file in times if times[file][field.name]]
            if field.name in self.keys or field.role == "omit":
                continue
            own, other = (PATIENTS, VISITS) if field.perPatient else (VISITS, PATIENTS)
            if len(where) == 2:
                why = (
                    "since it is `perPatient`" if field.perPatient else "unless it is `perPatient`"
                )
                way_out = f"drop it from the {other}, {why}"
                yield Problem(field.name, "stands in both files", way_out)
            elif where == [other]:
                rule = f"belongs to the {own}"
                rule += ", as it is `perPatient`" if field.perPatient else ", not `perPatient`"
                yield _of(other, Problem(field.name, rule, WAYS_OUT[own]))
            elif not where and field.name in needed:
                way_out = f"add it to the {own}, or take the field out of the schema"
                yield Problem(field.name, "is in the schema, but in neither file", way_out)

    def _unknown(self, file: str, counts: Iterable[str]) -> Iterator[Problem]:
        way_out = "declare it as a field (`role: omit` leaves it out), or drop it"
        for name in counts:
            if name not in self.schema.names:
                rule = f"is not in the schema{nearest(name, self.schema.names)}"
                yield _of(file, Problem(name, rule, way_out))

    def cell_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the cells of each file, in its own rows."""
        for file, frame in ((PATIENTS, self.patients), (VISITS, self.visits)):
            once = {name for name, number in Counter(frame.columns).items() if number == 1}
            for problem in cell_problems(frame, [*once], self.schema):
                yield _of(file, problem)

    def key_problems(self) -> Iterator[Problem]:
        """Yield the keys that stand in one file alone, or in two rows of the patients."""
        mine, theirs = (identify_patients(frame, self.schema) for frame in self.frames)
        known, known_theirs = (~self._blank(frame) for frame in self.frames)
        key = ", ".join(self.keys)
        twice = mine.duplicated().to_numpy() & known
        if twice.any():
            rule, way_out = "the key of an earlier row", "keep one row a patient"
            yield _of(PATIENTS, Problem.where(twice, key, rule, way_out))
        strangers = ~theirs.isin(mine[known]).to_numpy() & known_theirs
        if strangers.any():
            rule = "a key that no row of the patients has"
            way_out = "add the patient, or drop these visits"
            if strangers.sum() == known_theirs.sum():
                way_out = "it may be spelled otherwise there, as with or without leading zeros"
            yield _of(VISITS, Problem.where(strangers, key, rule, way_out))
        without = ~mine.isin(theirs[known_theirs]).to_numpy() & known
        if without.any() and not self.schema.visitsOptional:
            way_out = "set `visitsOptional: true`, with orderBy, in the schema, or drop these rows"
            yield _of(PATIENTS, Problem.where(without, key, "a patient without visits", way_out))

    @property
    def frames(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self.patients, self.visits

    def _blank(self, frame: pd.DataFrame) -> Bools:
        missing = self.schema.missingValues
        blank = [RawColumn(frame[key]).blank(missing) for key in self.keys]
        return np.asarray(np.any(blank, axis=0))

    def joined(self) -> pd.DataFrame:
        """Return the joined table, of two files without problems."""
        mine, theirs = (pd.Index(identify_patients(frame, self.schema)) for frame in self.frames)
        whose = mine.get_indexer(theirs)
        without = np.setdiff1d(np.arange(len(mine)), whose)
        rows = np.concatenate((whose, without))
        columns = {
            name: self.patients[name].iloc[rows].reset_index(drop=True)
            if name in self.patients.columns
            else _lengthened(self.visits[name], len(without))
            for name in self.schema.names
            if name in self.patients.columns or name in self.visits.columns
        }
        return pd.DataFrame(columns)


def _lengthened(values: pd.Series, more: int) -> pd.Series:
    """Return a column with missing cells at its end."""
    values = values.reset_index(drop=True)
    if not more:
        return values
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in NULLABLE:
        values = values.astype(NULLABLE[values.dtype.kind])
    longer = values.reindex(range(len(values) + more))
    # Among texts, what is missing is None, not a number.
    return longer.where(longer.notna(), None) if longer.dtype == object else longer


def _of(file: str, problem: Problem) -> Problem:
    """Return a problem of one of the files."""
    return replace(problem, what=f"{file}: {problem.what}")
