"""Figures of visits in time: whether what follows a visit is what follows it among real patients."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import spearmanr

from synthvae._types import Floats, Ints
from synthvae.comparison.results import Meaning
from synthvae.evaluation.marginals import variation
from synthvae.evaluation.tables import Table, binnings, tokenise
from synthvae.rules.steps import rows_before
from synthvae.schema import Schema

FEW_STEPS = 30  # from which on dependence is measured
STEP, LAG = "step", "lag1"
HELD_OUT = "patients held out in place of synthetic ones"
NEXT_VISIT = (
    Meaning(
        key=STEP,
        title="step distance",
        meaning="Mean total variation distance of a column together with itself at the next visit, from "
        "train, over the columns that vary.",
        direction="lower",
        reference=HELD_OUT,
    ),
    Meaning(
        key=LAG,
        title="lag error",
        meaning="Mean difference from train in how a column hangs together with itself at the next "
        "visit (rank correlation of numbers, Cramér's V of categories).",
        direction="lower",
        reference=HELD_OUT,
    ),
)


@dataclass(frozen=True)
class NextVisit:
    """Compares tables with train by what follows a visit."""

    train: Table
    schema: Schema

    @cached_property
    def _varying(self) -> list[int]:
        order = self.schema.orderBy
        assert order is not None
        return [
            j
            for j, field in enumerate(self.schema.modelled)
            if not field.perPatient and field.name != order.column
        ]

    def figures(self, other: Table) -> dict[str, float | None]:
        """Return the figures of a table; None where hardly a patient has two visits."""
        cuts = binnings(self.train, self.schema)
        levels = [cut.levels for cut in cuts]
        steps = [self._steps(table) for table in (self.train, other)]
        if not self._varying or min(len(later) for _, later in steps) < FEW_STEPS:
            return {STEP: None, LAG: None}
        tables = (self.train, other)
        tokens = [tokenise(table, cuts) for table in tables]
        distances, errors = [], []
        for j in self._varying:
            pairs = [
                np.stack([own[j][before], own[j][later]])
                for own, (before, later) in zip(tokens, steps, strict=True)
            ]
            distances.append(variation(pairs[0], pairs[1], [levels[j]] * 2, (0, 1)))
            if self.schema.modelled[j].is_lattice:
                codes = zip(tables, steps, strict=True)
                found = [
                    _rank_correlation(t.codes[before, j], t.codes[later, j])
                    for t, (before, later) in codes
                ]
            else:
                found = [_cramers_v(pair[0], pair[1], levels[j]) for pair in pairs]
            errors.append(abs(found[0] - found[1]))
        return {STEP: float(np.mean(distances)), LAG: float(np.mean(errors))}

    def _steps(self, table: Table) -> tuple[Ints, Ints]:
        """Return the rows that another one of their patient follows, and those that follow."""
        assert self.schema.orderBy is not None
        names = [field.name for field in self.schema.modelled]
        times = table.codes[:, names.index(self.schema.orderBy.column)]
        before = rows_before(times, table.patients)
        later = np.flatnonzero(before >= 0)
        return before[later], later


def _rank_correlation(before: Ints, later: Ints) -> float:
    there = (before >= 0) & (later >= 0)
    pair = before[there], later[there]
    if len(pair[0]) < FEW_STEPS or min(len(np.unique(side)) for side in pair) < 2:
        return 0.0
    return float(spearmanr(*pair)[0])


def _cramers_v(before: Ints, later: Ints, levels: int) -> float:
    """Return Cramér's V of two columns of tokens (Cramér 1946, Mathematical Methods, section 21.9)."""
    table: Floats = np.bincount(before * levels + later, minlength=levels**2).astype(float)
    table = table.reshape(levels, levels)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    square = ((table - expected) ** 2 / expected).sum() / table.sum()
    return float(np.sqrt(square / (min(table.shape) - 1)))
