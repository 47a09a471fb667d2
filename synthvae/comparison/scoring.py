"""A compact, fixed set of figures for each synthetic table, the same for every method."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from synthvae.attacks.space import distances
from synthvae.comparison.meanings import LEAST_SKILL
from synthvae.comparison.survival import concordance
from synthvae.comparison.survival import why_not as why_no_survival
from synthvae.evaluation.codes import binnings, tokenise
from synthvae.evaluation.detection import separation
from synthvae.evaluation.intervals import delong
from synthvae.evaluation.margins import draw_margins, variation
from synthvae.evaluation.tables import Table, Tables, at_most, prepare
from synthvae.evaluation.utility import make_task, predict, skill
from synthvae.evaluation.utility import why_not as why_no_target
from synthvae.schema import Schema, Target

MOST_ROWS = 20_000  # that a learner is given
MOST_COMPARED = 4000  # rows of each kind that are told apart
MOST_ATTACKED = 2000

Figures = dict[str, float | None]


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
    def _real_skills(self) -> dict[int, float]:
        found = {
            j: _skill(self._real, Target(column=f.name), self._real.train)
            for j, f in enumerate(self.schema.modelled)
        }
        return {j: s for j, s in found.items() if s is not None and s > LEAST_SKILL}

    def references(self) -> Figures:
        """Return the figures of real rows."""
        real = self._real
        drawn = self._generator()
        whose = drawn.integers(len(real.train), size=self.rows)
        found = self._distances(real.train.take(whose))
        found["c2st"] = self._told_apart(real.train)
        for target in self.schema.target:
            found[f"tstr.{target.column}"] = _measure(real, target, real.train)
        found["utility"] = 1.0
        if why_no_survival(self.schema) is None:
            found["c_index"] = concordance(real.train, real.holdout, self.schema)
        return found | {"membership": 0.5, "valid": 1.0}

    def score(self, synthetic: pd.DataFrame) -> Figures:
        """Return the figures of a synthetic table; None for one that it is unfit for."""
        tables = self._prepare(synthetic)
        made = tables.synthetic
        found = self._distances(made)
        found["c2st"] = self._told_apart(made)
        for target in self.schema.target:
            found[f"tstr.{target.column}"] = _measure(tables, target, made)
        found["utility"] = self._utility(tables)
        if why_no_survival(self.schema) is None:
            found["c_index"] = concordance(made, tables.holdout, self.schema)
        found["membership"] = self._membership(made)
        found["valid"] = 1 - float(made.invalid.mean())
        return {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in found.items()
        }

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
        ratios = []
        for j, real in self._real_skills.items():
            target = Target(column=self.schema.modelled[j].name)
            found = _skill(tables, target, tables.synthetic)
            ratios.append(0.0 if found is None else min(1.0, max(0.0, found / real)))
        return float(np.mean(ratios)) if ratios else None

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


def _measure(tables: Tables, target: Target, learn: Table) -> float | None:
    """Return the AUROC or R² on holdout rows of boosted trees fitted on a table."""
    if target.column in tables.schema.identifiers:
        return None
    drawn = np.random.default_rng(0)
    task = make_task(tables, target, drawn)
    reason = why_no_target(task, tables)
    if reason is not None:
        only = len(np.unique(task.rows_of(learn)[1]))
        known = len(np.unique(task.rows_of(task.test)[1])) > 1
        # A table that holds one class only teaches nothing: chance, rather than no figure.
        return 0.5 if only == 1 and known and task.columns and not task.is_number else None
    predicted = predict("boosting", task, at_most(learn, MOST_ROWS, drawn))
    _, truth = task.rows_of(task.test)
    found = float(skill(truth, predicted, np.ones((1, len(truth))))[0])
    return found if np.isfinite(found) else None


def _skill(tables: Tables, target: Target, learn: Table) -> float | None:
    """Return R², or the AUROC above 0.5 on a scale to 1."""
    found = _measure(tables, target, learn)
    if found is None or tables.schema[target.column].is_lattice:
        return found
    return 2 * found - 1
