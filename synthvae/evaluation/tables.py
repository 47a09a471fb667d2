"""The tables that are compared, as codes: the three given ones and two made from train."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._text import nearest
from synthvae.errors import EvaluationError
from synthvae.schema import Schema
from synthvae.table import MISSING, encode, identities, inspect

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

FEW_ROWS = 50


@dataclass(frozen=True)
class Table:
    """Rows as codes, shape (rows, columns); which cells were invalid; whose row each one is."""

    codes: Ints
    invalid: Bools
    patients: Ints

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Ints | Bools) -> "Table":
        """Return some of the rows."""
        return Table(self.codes[rows], self.invalid[rows], self.patients[rows])

    @property
    def patient_count(self) -> int:
        """Number of patients whose rows these are."""
        return len(np.unique(self.patients))


@dataclass(frozen=True)
class Tables:
    """Everything that a score may look at.

    `independent` has train's columns, each shuffled on its own; `bootstrap` is train's patients
    drawn again with replacement. Both have as many rows as the synthetic table, because a distance
    between tables shrinks as they grow.
    """

    schema: Schema
    train: Table
    holdout: Table
    synthetic: Table
    independent: Table
    bootstrap: Table


def prepare(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema,
    generator: np.random.Generator,
) -> Tables:
    """Check the three tables and return them as codes, with the references made from train.

    Raises
    ------
    DataError
        `train` or `holdout` does not fit the schema.
    EvaluationError
        A table is empty, or `synthetic` lacks columns of the schema.
    """
    for name, frame in (("train", train), ("holdout", holdout)):
        if not len(frame):
            raise EvaluationError(
                f"The {name} table has no rows; give at least one row, or the right file."
            )
    made = read_synthetic(synthetic, schema)
    codes = [encode(train, schema), encode(holdout, schema)]
    # A few rows may be alike by chance.
    if len(train) >= FEW_ROWS and np.array_equal(codes[0], codes[1]):
        raise EvaluationError(
            "train and holdout hold the same rows; the holdout must be rows that the generator "
            "never saw (`synthvae run` splits them off by itself)."
        )
    whose = _patients(train, holdout, schema)
    real = [
        Table(cells, inspect(frame, schema)[1], patients)
        for cells, frame, patients in zip(codes, (train, holdout), whose, strict=True)
    ]
    rows = len(synthetic)
    return Tables(
        schema,
        real[0],
        real[1],
        made,
        shuffled(real[0], rows, generator),
        resampled(real[0], rows, generator),
    )


def read_synthetic(frame: pd.DataFrame, schema: Schema) -> Table:
    """Return a synthetic table as codes, in which invalid cells count as missing.

    Raises
    ------
    EvaluationError
        It is empty, or lacks columns of the schema.
    """
    if not len(frame):
        raise EvaluationError(
            "The synthetic table has no rows; give at least one row, or the right file."
        )
    modelled = _require_columns(frame, schema)
    cells, invalid, _ = inspect(frame[modelled], schema)
    return Table(np.where(invalid, MISSING, cells), invalid, _made_up_patients(frame, schema))


def _require_columns(synthetic: pd.DataFrame, schema: Schema) -> list[str]:
    names = [field.name for field in schema.modelled]
    present = list(synthetic.columns)
    lacking = [name for name in names if name not in present]
    twice = [name for name in names if present.count(name) > 1]
    if lacking:
        spare = {str(name) for name in present} - set(schema.names)
        listed = ", ".join(f"'{name}'{nearest(name, spare)}" for name in lacking)
        raise EvaluationError(
            f"The synthetic table lacks {_columns(lacking)} of the schema: {listed}; "
            "add or rename them, or take the fields out of the schema."
        )
    if twice:
        listed = ", ".join(f"'{name}'" for name in twice)
        raise EvaluationError(
            f"The synthetic table has {_columns(twice)} more than once: {listed}; keep one of each."
        )
    return names


def _columns(names: list[str]) -> str:
    return f"{len(names)} column{'' if len(names) == 1 else 's'}"


def _patients(train: pd.DataFrame, holdout: pd.DataFrame, schema: Schema) -> tuple[Ints, Ints]:
    """Number the patients of both tables together, so that the same patient is the same number."""
    rows = len(train)
    if schema.patientKey is None:
        return np.arange(rows), rows + np.arange(len(holdout))
    field = schema[schema.patientKey]
    keys = [identities(frame[field.name], field) for frame in (train, holdout)]
    numbers = pd.factorize(pd.concat(keys, ignore_index=True))[0].astype(np.int64)
    return numbers[:rows], numbers[rows:]


def _made_up_patients(synthetic: pd.DataFrame, schema: Schema) -> Ints:
    """Return whose row each synthetic one is, for intervals; without a usable key, its own."""
    rows = np.arange(len(synthetic), dtype=np.int64)
    columns = list(synthetic.columns)
    if schema.patientKey is None or columns.count(schema.patientKey) != 1:
        return rows
    names = identities(synthetic[schema.patientKey], schema[schema.patientKey])
    numbers = pd.factorize(names)[0].astype(np.int64)
    return numbers if len(np.unique(numbers)) > 1 else rows


def shuffled(table: Table, rows: int, generator: np.random.Generator) -> Table:
    """Return so many rows whose columns are drawn from the table's, each on its own."""
    codes, invalid = (np.empty((rows, table.codes.shape[1]), kind) for kind in (np.int64, bool))
    for j in range(codes.shape[1]):
        chosen = (
            generator.permutation(len(table))[:rows]
            if rows <= len(table)
            else generator.integers(len(table), size=rows)
        )
        codes[:, j], invalid[:, j] = table.codes[chosen, j], table.invalid[chosen, j]
    return Table(codes, invalid, np.arange(rows, dtype=np.int64))


def resampled(table: Table, rows: int, generator: np.random.Generator) -> Table:
    """Return so many rows of patients drawn with replacement (the last patient may be cut)."""
    order = np.argsort(table.patients, kind="stable")
    counts = np.unique(table.patients, return_counts=True)[1]
    first = np.cumsum(counts) - counts
    drawn = generator.integers(len(counts), size=rows)
    chosen = np.concatenate([order[first[i] : first[i] + counts[i]] for i in drawn])[:rows]
    return table.take(chosen)


def at_most(table: Table, rows: int, generator: np.random.Generator) -> Table:
    """Return the table, or so many of its rows drawn without replacement where it has more."""
    if len(table) <= rows:
        return table
    return table.take(np.sort(generator.choice(len(table), rows, replace=False)))
