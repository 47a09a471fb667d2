"""Shared bins: real and synthetic cells as the same small whole numbers.

A token is 0 for a missing cell; then come the categories, or the special values and the quantile
bins of a number or date. Edges come from train, so every table is cut in the same places.
"""

from dataclasses import dataclass

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.evaluation.tables import Table
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table.codes import FIRST_SPECIAL, MISSING

BINS = 10


@dataclass(frozen=True)
class Binning:
    """How one column becomes tokens: `edges` are the last codes of all bins but the last one."""

    field: Field
    edges: Ints

    @property
    def levels(self) -> int:
        """Number of tokens, the one for missing cells included."""
        if self.field.is_lattice:
            return 2 + len(self.field.special) + len(self.edges)
        return 1 + len(self.field.categories)

    def tokens(self, codes: Ints) -> Ints:
        """Return the tokens of a column's codes, shape (rows,)."""
        if not self.field.is_lattice:
            return codes + 1
        tokens = 1 + len(self.field.special) + np.searchsorted(self.edges, codes, side="left")
        below = codes < 0
        tokens[below] = MISSING - codes[below]
        return tokens.astype(np.int64)

    @property
    def labels(self) -> tuple[str, ...]:
        """What each token stands for, in words."""
        if not self.field.is_lattice:
            return ("(missing)", *self.field.categories)
        special = (f"{value} (special)" for value in self.field.special)
        return ("(missing)", *special, *self._ranges())

    def _ranges(self) -> tuple[str, ...]:
        if not len(self.edges):
            return ("any value",)
        low = np.r_[-1, self.edges[:-1]] + 1
        middle = (
            say(self.field, first)
            if first == last
            else f"{say(self.field, first)} to {say(self.field, last)}"
            for first, last in zip(low[1:], self.edges[1:], strict=True)
        )
        last = len(self.edges) - 1
        return (
            f"up to {say(self.field, self.edges[0])}",
            *middle,
            f"above {say(self.field, self.edges[last])}",
        )


def say(field: Field, code: int) -> str:
    """Return the value of a lattice point as text."""
    unit = int(code) + field.first_unit
    if field.type in ("date", "datetime"):
        step = 86_400 if field.type == "date" else field.step_seconds
        text = str(np.datetime64(unit * step, "s"))
        return text[:10] if field.type == "date" else text.replace("T", " ")
    return f"{unit / 10**field.places:.{field.places}f}"


def binnings(train: Table, schema: Schema, bins: int = BINS) -> tuple[Binning, ...]:
    """Return how each modelled column is cut: at train's quantiles, equal ones merged."""
    return tuple(
        Binning(
            field, _edges(train.codes[:, j], bins) if field.is_lattice else np.empty(0, np.int64)
        )
        for j, field in enumerate(schema.modelled)
    )


def _edges(codes: Ints, bins: int) -> Ints:
    present = codes[codes >= 0]
    if not len(present):
        return np.empty(0, np.int64)
    cuts = np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.floor(cuts).astype(np.int64))


def tokenise(table: Table, cuts: tuple[Binning, ...]) -> Ints:
    """Return a table's tokens by column, shape (columns, rows)."""
    return np.stack([cut.tokens(table.codes[:, j]) for j, cut in enumerate(cuts)])


def number_of(field: Field, codes: Ints) -> Floats:
    """Return lattice codes as numbers in lattice steps from the minimum; missing ones are NaN.

    Special values take their own place on that scale, which may be outside the bounds.
    """
    numbers = codes.astype(float)
    numbers[codes == MISSING] = np.nan
    for i, value in enumerate(field.special):
        numbers[codes == FIRST_SPECIAL - i] = float(value) * 10.0**field.places - field.first_unit
    return numbers
