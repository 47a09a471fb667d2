"""Tables of codes: the three given ones and two references made from train, cut into the same bins.

A token is 0 for a missing cell; then come the categories, or the special values and the quantile
bins of a number or date. Edges come from train, so every table is cut in the same places.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthvae._text import counted, nearest
from synthvae._types import Bools, Floats, Ints
from synthvae.errors import EvaluationError
from synthvae.field import Field
from synthvae.rules.values import FIRST_SPECIAL, MISSING
from synthvae.schema import Schema
from synthvae.table import encode, identify_patients, inspect_cells

FEW_ROWS = 50  # from which on two tables are not alike by chance
BINS = 10
REFERENCES = ("holdout", "independent", "bootstrap")  # what stands in for the synthetic table


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
    frames = {"train": train, "holdout": holdout}
    for name, frame in frames.items():
        _require_rows(frame, name)
    scored = read_synthetic(synthetic, schema)
    codes = [encode(frame, schema) for frame in frames.values()]
    if len(train) >= FEW_ROWS and np.array_equal(codes[0], codes[1]):
        raise EvaluationError(
            "train and holdout hold the same rows; the holdout must be rows that the generator "
            "never saw (`synthvae run` splits them off by itself)."
        )
    patients = _patients(train, holdout, schema)
    real, held = (
        Table(codes[i], inspect_cells(frame, schema).invalid, patients[i])
        for i, frame in enumerate(frames.values())
    )
    rows = len(synthetic)
    independent, bootstrap = shuffled(real, rows, generator), resampled(real, rows, generator)
    return Tables(schema, real, held, scored, independent, bootstrap)


def _require_rows(frame: pd.DataFrame, name: str) -> None:
    if not len(frame):
        raise EvaluationError(
            f"The {name} table has no rows; give at least one row, or the right file."
        )


def read_synthetic(frame: pd.DataFrame, schema: Schema) -> Table:
    """Return a synthetic table as codes, in which invalid cells count as missing.

    Raises
    ------
    EvaluationError
        It is empty, or lacks columns of the schema.
    """
    _require_rows(frame, "synthetic")
    names, present = [field.name for field in schema.modelled], list(frame.columns)
    if lacking := [name for name in names if name not in present]:
        spare = {str(name) for name in present} - set(schema.names)
        listed = ", ".join(f"'{name}'{nearest(name, spare)}" for name in lacking)
        raise EvaluationError(
            f"The synthetic table lacks {counted(len(lacking), 'column')} of the schema: {listed}; "
            "add or rename them, or take the fields out of the schema."
        )
    if twice := [name for name in names if present.count(name) > 1]:
        listed = ", ".join(f"'{name}'" for name in twice)
        raise EvaluationError(
            f"The synthetic table has {counted(len(twice), 'column')} more than once: {listed}; keep "
            "one of each."
        )
    read = inspect_cells(frame[names], schema)
    return Table(
        np.where(read.invalid, MISSING, read.codes), read.invalid, _invented_patients(frame, schema)
    )


def _patients(train: pd.DataFrame, holdout: pd.DataFrame, schema: Schema) -> tuple[Ints, Ints]:
    """Number the patients of both tables at once, so that the same patient is the same number."""
    rows = len(train)
    if schema.patientKey is None:
        return np.arange(rows), rows + np.arange(len(holdout))
    keys = [identify_patients(frame, schema) for frame in (train, holdout)]
    numbers = pd.factorize(pd.concat(keys, ignore_index=True))[0].astype(np.int64)
    return numbers[:rows], numbers[rows:]


def _invented_patients(synthetic: pd.DataFrame, schema: Schema) -> Ints:
    """Return whose row each synthetic one is, for intervals; without a usable key, its own."""
    rows, names = np.arange(len(synthetic), dtype=np.int64), list(synthetic.columns)
    if not schema.key_columns or any(names.count(key) != 1 for key in schema.key_columns):
        return rows
    numbers = pd.factorize(identify_patients(synthetic, schema))[0].astype(np.int64)
    return numbers if len(np.unique(numbers)) > 1 else rows


def shuffled(table: Table, rows: int, generator: np.random.Generator) -> Table:
    """Return `rows` rows whose columns are drawn from the table's, each on its own."""
    codes, invalid = (np.empty((rows, table.codes.shape[1]), kind) for kind in (np.int64, bool))
    for j in range(codes.shape[1]):
        if rows <= len(table):
            chosen = generator.permutation(len(table))[:rows]
        else:
            chosen = generator.integers(len(table), size=rows)
        codes[:, j], invalid[:, j] = table.codes[chosen, j], table.invalid[chosen, j]
    return Table(codes, invalid, np.arange(rows, dtype=np.int64))


def resampled(table: Table, rows: int, generator: np.random.Generator) -> Table:
    """Return `rows` rows of patients drawn with replacement (the last patient may be cut)."""
    order = np.argsort(table.patients, kind="stable")
    counts = np.unique(table.patients, return_counts=True)[1]
    first = np.cumsum(counts) - counts
    drawn = generator.integers(len(counts), size=rows)
    chosen = np.concatenate([order[first[i] : first[i] + counts[i]] for i in drawn])[:rows]
    return table.take(chosen)


def at_most(table: Table, rows: int, generator: np.random.Generator) -> Table:
    """Return the table, or `rows` of its rows drawn without replacement where it has more."""
    if len(table) <= rows:
        return table
    return table.take(np.sort(generator.choice(len(table), rows, replace=False)))


@dataclass(frozen=True)
class Binning:
    """How one column becomes tokens: `edges` are the last codes of all bins but the last one."""

    field: Field
    edges: Ints

    @property
    def levels(self) -> int:
        """Number of tokens, the one for missing cells included."""
        if self.field.is_lattice:
            return 2 + len(self.field.specials) + len(self.edges)
        return 1 + len(self.field.categories)

    def tokens(self, codes: Ints) -> Ints:
        """Return the tokens of a column's codes, shape (rows,)."""
        if not self.field.is_lattice:
            return codes + 1
        tokens = 1 + len(self.field.specials) + np.searchsorted(self.edges, codes, side="left")
        below = codes < 0
        tokens[below] = MISSING - codes[below]
        return tokens.astype(np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """What each token stands for, in words."""
        if not self.field.is_lattice:
            return ("(missing)", *self.field.categories)
        special = (f"{value} (special)" for value in self.field.specials)
        if not len(self.edges):
            return ("(missing)", *special, "any value")
        first = [lattice_text(self.field, code + 1) for code in self.edges]
        last = [lattice_text(self.field, code) for code in self.edges]
        middle = (a if a == b else f"{a} to {b}" for a, b in zip(first, last[1:], strict=False))
        ranges = (f"up to {last[0]}", *middle, f"above {last[-1]}")
        return ("(missing)", *special, *ranges)


def lattice_text(field: Field, code: int) -> str:
    """Return the value of a lattice point as text."""
    unit = int(code) + field.first_unit
    if field.is_moment:
        text = str(np.datetime64(field.seconds_at(unit), "s"))
        return text[:10] if field.type == "date" else text.replace("T", " ")
    return f"{field.numbers_at(unit):.{field.places}f}"


def binnings(train: Table, schema: Schema, bins: int = BINS) -> tuple[Binning, ...]:
    """Return how each modelled column is cut: at train's quantiles, equal ones merged."""
    return tuple(
        Binning(field, _edges(field, train.codes[:, j], bins))
        for j, field in enumerate(schema.modelled)
    )


def _edges(field: Field, codes: Ints, bins: int) -> Ints:
    present = codes[codes >= 0]
    if not field.is_lattice or not len(present):
        return np.empty(0, np.int64)
    quantiles = np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.floor(quantiles).astype(np.int64))


def tokenise(table: Table, cuts: tuple[Binning, ...]) -> Ints:
    """Return a table's tokens by column, shape (columns, rows)."""
    return np.stack([cut.tokens(table.codes[:, j]) for j, cut in enumerate(cuts)])


def number_of(field: Field, codes: Ints) -> Floats:
    """Return lattice codes as numbers in lattice steps from the minimum; missing ones are NaN.

    Special values take their own place on that scale, which may be outside the bounds.
    """
    numbers = codes.astype(float)
    numbers[codes == MISSING] = np.nan
    for i, value in enumerate(field.specials):
        numbers[codes == FIRST_SPECIAL - i] = (
            field.numbers_to_units(float(value)) - field.first_unit
        )
    return numbers
