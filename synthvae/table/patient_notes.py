"""What a steward should know of a table's patients before a fit: for the terminal, since it is private.

Every note is computed from real rows and paid for by nobody: it is shown to whoever prepares the table,
and written nowhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._text import counted
from synthvae._types import Bools, Ints
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table.cells import identities
from synthvae.table.codes import identify_patients

Kind = Literal[
    "empty rows",
    "dropped rows",
    "noise",
    "varying",
    "constant",
    "repeated",
    "order",
    "unsorted",
    "duplicates",
]
FIXED = re.compile(  # names of what hardly changes in a patient
    r"(?i)(^|[^a-z])(sex|gender|birth|dob|yob|race|ethnic\w*|blood.?(group|type)|rhesus)([^a-z]|$)|birth"
)
ORDER = re.compile(  # names of what tells a patient's rows apart
    r"(?i)(^|[^a-z])(visits?|waves?|days?|weeks?|months?|years?|dates?|time\w*|cycles?|rounds?|seq\w*"
    r"|periods?|exams?|sessions?|episodes?|event.?name|follow.?up)([^a-z]|$)"
)
FEWEST = 10  # patients with several rows from which on something is said of them
EXPECTED = 5.0  # patients that chance alone should show before their absence means anything
FEW_VARY = 0.05  # of the patients with several rows
MOSTLY = 0.95  # of the patients
DISTINCT = 0.9  # of the rows, above which equal rows hardly come by chance
SHOWN = 12
MANY = 50_000  # rows that tell a column's shares well enough
MIXERS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class PatientNote:
    """One thing about a table's patients, as a sentence or two for its steward."""

    kind: Kind
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class _Rows:
    """A table's rows by patient: whose each row is, shape (rows,), and the rows of each patient."""

    whose: Ints
    counts: Ints  # shape (patients,)
    first_row: Ints  # that of each row's patient, shape (rows,)

    @property
    def several(self) -> int:
        """How many patients have several rows."""
        return int((self.counts > 1).sum())

    def varying(self, codes: Ints) -> int:
        """Return within how many patients a column's codes differ, shape (rows,)."""
        return self.touched(codes != codes[self.first_row])

    def touched(self, where: Bools) -> int:
        """Return how many patients some rows belong to."""
        flags = np.zeros(len(self.counts), bool)
        flags[self.whose[where]] = True
        return int(flags.sum())

    def expected(self, codes: Ints) -> float:
        """Return in how many patients two rows would differ if rows knew nothing of their patient."""
        some = codes[:: 1 + len(codes) // MANY]
        shares = np.unique(some, return_counts=True)[1] / len(some)
        return float(self.several * (1 - np.square(shares).sum()))


@dataclass(frozen=True)
class _Column:
    """A modelled column: within how many patients it varies, and would if rows came by chance."""

    name: str
    codes: Ints
    varying: int
    expected: float
    is_fixed: bool  # whether it hardly can vary, by its name or role
    is_order: bool  # whether it tells a patient's rows apart, by its name or type


def patient_notes(frame: pd.DataFrame, codes: Ints, schema: Schema) -> list[PatientNote]:
    """Return what is odd about a table's patients, and what will not be used of their rows.

    Parameters
    ----------
    frame
        The table as it came, which fits the schema.
    codes
        Its codes, shape (rows, columns), as `encode` returns them.
    """
    if not schema.key_columns:
        return [*_empty(codes), *_duplicates_without_key(frame, codes, schema)]
    whose, _ = pd.factorize(identify_patients(frame, schema))
    counts = np.bincount(whose)
    first = np.full(len(counts), -1)
    first[whose[::-1]] = np.arange(len(whose))[::-1]
    rows = _Rows(whose, counts, first[whose])
    equal = _repeats(_row_hashes(codes, whose))
    notes = [*_empty(codes), *_dropped(rows, schema)]
    notes += [*_noise(rows, schema, equal), *_duplicates(rows, equal)]
    notes += _unsorted(rows, codes, schema)
    if rows.several >= FEWEST:
        columns = _columns(rows, codes, schema)
        notes += [*_varying(rows, columns), *_constant(rows, columns)]
        notes += _order(rows, columns, is_ordered=schema.orderBy is not None)
    return notes


def _empty(codes: Ints) -> Iterator[PatientNote]:
    """Say how many rows hold nothing; of an only column that is no news."""
    many = int((codes == MISSING).all(axis=1).sum()) if codes.shape[1] > 1 else 0
    if many:
        yield PatientNote(
            "empty rows",
            f"{counted(many, 'row has', 'rows have')} no value in any modelled column: remove "
            f"{'it' if many == 1 else 'them'} unless patients without any value belong to the table",
        )


def _dropped(rows: _Rows, schema: Schema) -> Iterator[PatientNote]:
    most = schema.rows_per_patient
    beyond = rows.counts > most
    if beyond.any():
        many = int(beyond.sum())
        lost = int((rows.counts[beyond] - most).sum())
        yield PatientNote(
            "dropped rows",
            f"maxRows is {most}, and {counted(many, 'patient')} of {len(rows.counts):,} "
            f"{'has' if many == 1 else 'have'} more rows (up to {int(rows.counts.max()):,}): "
            f"{counted(lost, 'row')} of {len(rows.whose):,} will not be used. {_lost(schema)}A larger "
            "maxRows uses them, at the price of noise that grows with it",
        )


def _lost(schema: Schema) -> str:
    """Return what the rows that are kept leave out, where they are kept by their time."""
    if schema.orderBy is None:
        return ""
    return {
        "first": "The first of each patient are kept, so events that come late are lost. ",
        "last": "The last of each patient are kept, so events that come early are lost. ",
        "window": "Of each patient neighbours in time are kept, so some events before or after are "
        "lost. ",
    }[schema.keepRows]


def _unsorted(rows: _Rows, codes: Ints, schema: Schema) -> Iterator[PatientNote]:
    """Say where the file's order of a patient's rows is not their order in time."""
    if schema.orderBy is None:
        return
    name = schema.orderBy.column
    times = codes[:, [field.name for field in schema.modelled].index(name)]
    order = np.argsort(rows.whose, kind="stable")
    earlier = (np.diff(times[order]) < 0) & (np.diff(rows.whose[order]) == 0)
    if earlier.any():
        patients = rows.touched(order[1:][earlier])
        yield PatientNote(
            "unsorted",
            f"the file does not list the rows of {counted(patients, 'patient')} in the order of "
            f"{name!r}: they are put in that order, and those of one time stay as they are",
        )


def _noise(rows: _Rows, schema: Schema, equal: Bools) -> Iterator[PatientNote]:
    most = schema.rows_per_patient
    single = np.bincount(rows.whose[~equal], minlength=len(rows.counts))
    enough = _enough(single)
    if enough < most:
        without = " (equal rows counted once)" if _enough(rows.counts) > enough else ""
        yield PatientNote(
            "noise",
            f"maxRows is {most}, and at least {MOSTLY:.0%} of the patients have at most "
            f"{counted(enough, 'row')}{without}. The noise of each count grows with maxRows: "
            f"`maxRows: {enough}` would divide it by {most / enough:.3g}. Choose a number that is "
            "known from outside the data",
        )


def _enough(counts: Ints) -> int:
    """Return the least number of rows that most patients do not exceed."""
    return int(np.quantile(counts, MOSTLY, method="inverted_cdf"))


def _duplicates(rows: _Rows, equal: Bools) -> Iterator[PatientNote]:
    if equal.any():
        patients = rows.touched(equal)
        yield PatientNote(
            "duplicates",
            f"{counted(int(equal.sum()), 'row')} of {counted(patients, 'patient')} equal an earlier row "
            "of the same patient in every modelled column: remove them if they were entered twice",
        )


def _duplicates_without_key(
    frame: pd.DataFrame, codes: Ints, schema: Schema
) -> Iterator[PatientNote]:
    named = [name for name in schema.identifiers if list(frame.columns).count(name) == 1]
    texts = [pd.factorize(identities(frame[name], schema[name]))[0] for name in named]
    equal = _repeats(_row_hashes(codes, *texts))
    # In a table of few columns equal rows come by chance.
    if equal.any() and equal.mean() <= 1 - DISTINCT:
        yield PatientNote(
            "duplicates",
            f"{counted(int(equal.sum()), 'row')} of {len(frame):,} equal an earlier row in every "
            "column: without a patientKey each counts as a patient of its own. Remove them if they were "
            "entered twice, or name the patientKey",
        )


def _columns(rows: _Rows, codes: Ints, schema: Schema) -> list[_Column]:
    settled = {name for rule in schema.rules for name in rule.unique}
    settled |= set() if schema.orderBy is None else {schema.orderBy.column}
    return [
        _Column(
            field.name,
            codes[:, j],
            rows.varying(codes[:, j]),
            rows.expected(codes[:, j]),
            is_fixed=bool(FIXED.search(field.name)) or field.role == "protected",
            is_order=field.name not in settled
            and (bool(ORDER.search(field.name)) or field.is_moment),
        )
        for j, field in enumerate(schema.modelled)
        if not field.perPatient
    ]


def _varying(rows: _Rows, columns: list[_Column]) -> Iterator[PatientNote]:
    """Say which columns vary within few patients, though their values could differ in many."""
    for column in columns:
        share = column.varying / rows.several
        few = share <= FEW_VARY and column.expected >= EXPECTED * max(1, column.varying)
        if column.varying and (few or column.is_fixed):
            way_out = (
                "it hardly can: correct these rows, then add `perPatient: true`. If each centre numbers "
                "its patients anew, name the centre in patientKey, too"
                if column.is_fixed
                else "if it cannot change, correct these rows and add `perPatient: true`"
            )
            yield PatientNote(
                "varying",
                f"column {column.name!r} varies within {counted(column.varying, 'patient')} of "
                f"{rows.several:,} with several rows; {way_out}",
            )


def _constant(rows: _Rows, columns: list[_Column]) -> Iterator[PatientNote]:
    names = [each.name for each in columns if not each.varying and each.expected >= EXPECTED]
    if names:
        verb = "varies" if len(names) == 1 else "vary"
        yield PatientNote(
            "constant",
            f"{_listed(names)} {verb} within no patient of {rows.several:,} with several rows, and "
            "`perPatient` is not declared: synthetic patients may then have two sexes or two years of "
            "birth. Add `perPatient: true` where it is known that a patient has one value",
        )


def _order(rows: _Rows, columns: list[_Column], *, is_ordered: bool) -> Iterator[PatientNote]:
    """Say of columns that tell visits apart where a value repeats, or that none does."""
    no_order = "" if is_ordered else "; and their rows are in no order, unless `orderBy` names one"
    for column in columns:
        if not column.is_order or not column.varying:
            continue
        repeated = _repeats(_row_hashes(column.codes[:, None], rows.whose)) & (column.codes >= 0)
        patients = rows.touched(repeated)
        by_chance = rows.several - column.expected
        if not patients and by_chance >= EXPECTED:
            yield PatientNote(
                "order",
                f"column {column.name!r} holds no value twice in any patient: synthetic patients may "
                f"have one twice, unless a rule says `unique`{no_order}",
            )
        elif 0 < patients <= FEW_VARY * rows.several:
            yield PatientNote(
                "repeated",
                f"column {column.name!r} holds a value twice in {counted(patients, 'patient')} of "
                f"{rows.several:,} with several rows: look whether a visit was entered twice",
            )


def _row_hashes(codes: Ints, *others: Ints) -> NDArray[np.uint64]:
    """Return one number a row that, but for a chance of about 2**-64 a pair, tells rows apart."""
    columns = (*codes.T, *others)
    hashes = np.zeros(len(codes), np.uint64)
    for column in columns:  # a round of SplitMix64 for each column
        hashes ^= column.view(np.uint64)
        hashes *= MIXERS[0]
        hashes ^= hashes >> np.uint64(29)
        hashes *= MIXERS[1]
        hashes ^= hashes >> np.uint64(32)
    return hashes


def _repeats(hashes: NDArray[np.uint64]) -> Bools:
    """Where a row equals an earlier one, shape (rows,)."""
    return pd.Series(hashes).duplicated().to_numpy(bool)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    what = "column" if len(names) == 1 else "columns"
    return f"{what} {', '.join(f'{name!r}' for name in names[:SHOWN])}{more}"
