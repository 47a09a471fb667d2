"""A compact, fixed set of figures for each synthetic table, the same for every method."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.attacks.space import distances
from synthvae.evaluation.codes import binnings, tokenise
from synthvae.evaluation.detection import separation
from synthvae.evaluation.every_column import column_skills, shares_kept, telling
from synthvae.evaluation.intervals import delong
from synthvae.evaluation.learners import ROUNDS, LinearFeatures
from synthvae.evaluation.margins import draw_margins, variation
from synthvae.evaluation.regression import ridge_cox
from synthvae.evaluation.survival import concordance, followed, why_not_followed
from synthvae.evaluation.tables import Table, Tables, at_most, prepare
from synthvae.evaluation.utility import holdout_skill
from synthvae.schema import Schema, Target

MOST_ROWS = 20_000  # that a learner is given
MOST_COMPARED = 4000  # rows of each kind that are told apart
MOST_ATTACKED = 2000
PENALTY = 0.05  # of a Cox model's squared coefficients

Figures = dict[str, float | None]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scorer:
    """Scores tables against the same real rows, in the same way each time.

    Parameters
    ----------
    rows
        Rows of each synthetic table, and so of the references made from train.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    schema: Schema
    rows: int
    seed: int

    def _prepare(self, synthetic: pd.DataFrame) -> Tables:
        return prepare(
            self.train, self.holdout, synthetic, self.schema, np.random.default_rng(self.seed)
        )

    @cached_property
    def _real(self) -> Tables:
        """The tables with train in the place of the synthetic one."""
        return self._prepare(self.train)

    @cached_property
    def _real_skills(self) -> dict[str, Floats]:
        names = [field.name for field in self.schema.modelled]
        return telling(column_skills(self._real, self._real.train, names, ROUNDS))

    def references(self) -> Figures:
        """Return the figures of real rows."""
        real = self._real
        drawn = self._generator()
        whose = drawn.integers(len(real.train), size=self.rows)
        found = self._distances(real.train.take(whose))
        found["c2st"] = self._told_apart(real.train)
        for target in self.schema.target:
            found[f"tstr.{target.column}"] = _skill(real, target, real.train)
        found["utility"] = 1.0
        if why_not_followed(self.schema) is None:
            found["c_index"] = cox_concordance(real.train, real.holdout, self.schema)
        return _finite(found | {"membership": 0.5, "valid": 1.0})

    def score(self, synthetic: pd.DataFrame) -> Figures:
        """Return the figures of a synthetic table; None for one that it is unfit for."""
        tables = self._prepare(synthetic)
        made = tables.synthetic
        found = self._distances(made)
        found["c2st"] = self._told_apart(made)
        for target in self.schema.target:
            found[f"tstr.{target.column}"] = _skill(tables, target, made)
        found["utility"] = self._utility(tables)
        if why_not_followed(self.schema) is None:
            found["c_index"] = cox_concordance(made, tables.holdout, self.schema)
        found["membership"] = self._membership(made)
        found["valid"] = 1 - float(made.invalid.mean())
        return _finite(found)

    def _generator(self) -> np.random.Generator:
        # The same draws for every table: what differs between figures is then the tables.
        return np.random.default_rng([self.seed, 1])

    def _distances(self, other: Table) -> Figures:
        cuts = binnings(self._real.train, self.schema)
        levels = [cut.levels for cut in cuts]
        real, made = (tokenise(table, cuts) for table in (self._real.train, other))
        found: Figures = {}
        for size in (2, 3):
            margins = draw_margins(len(cuts), size, self._generator())
            apart = [variation(real, made, levels, margin) for margin in margins]
            found[f"tvd{size}"] = float(np.mean(apart)) if apart else None
        return found

    def _told_apart(self, other: Table) -> float:
        drawn = self._generator()
        rows = min(len(self._real.holdout), len(other), MOST_COMPARED)
        real, made = (at_most(table, rows, drawn) for table in (self._real.holdout, other))
        return float(separation(real, made, self.schema, drawn)[0])

    def _utility(self, tables: Tables) -> float | None:
        made = column_skills(tables, tables.synthetic, self._real_skills, ROUNDS)
        kept = [float(share[0]) for share in shares_kept(self._real_skills, made).values()]
        return float(np.mean(kept)) if kept else None

    def _membership(self, made: Table) -> float | None:
        drawn = self._generator()
        real = self._real
        number = min(real.train.patient_count, real.holdout.patient_count, MOST_ATTACKED)
        sides = []
        for table in (real.train, real.holdout):
            chosen = drawn.choice(np.unique(table.patients), number, replace=False)
            some = table.take(np.isin(table.patients, chosen))
            sides.append(-distances(some, made, self.schema))
        return delong(*sides)[0]


def _finite(figures: Figures) -> Figures:
    return {
        name: value if value is not None and math.isfinite(value) else None
        for name, value in figures.items()
    }


def _skill(tables: Tables, target: Target, learn: Table) -> float | None:
    """Return the AUROC or R² on holdout rows of boosted trees fitted on a table."""
    found = holdout_skill(tables, target, learn, ROUNDS)
    return None if found is None else float(found[0])


def cox_concordance(learn: Table, test: Table, schema: Schema) -> float | None:
    """Return the c-index on `test` of a Cox model fitted on `learn`; None where none can be fitted.

    Columns that a declared target says would give the event away are left out.

    References
    ----------
    Cox 1972, JRSS B 34(2); Harrell, Lee and Mark 1996, Statistics in Medicine 15(4).
    """
    drawn = np.random.default_rng(0)
    known, asked = (followed(at_most(table, MOST_ROWS, drawn), schema) for table in (learn, test))
    columns = _covariates(schema)
    features = LinearFeatures(known.rows.codes[:, columns], [schema.modelled[j] for j in columns])
    fitted = ridge_cox(
        features(known.rows.codes[:, columns]), known.durations, known.happened, PENALTY
    )
    if fitted is None:
        return None
    risk = features(asked.rows.codes[:, columns]) @ fitted
    together = np.zeros(len(risk), np.int64)
    return float(concordance(asked.durations, asked.happened, risk, together)[0])


def _covariates(schema: Schema) -> list[int]:
    assert schema.survival is not None
    hidden = {schema.survival.duration, schema.survival.event}
    for target in schema.target:
        hidden |= {target.column, *target.without} if target.column in hidden else set()
    return [j for j, field in enumerate(schema.modelled) if field.name not in hidden]
