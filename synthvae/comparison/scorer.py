"""The figures of a comparison: what each says, and its value for synthetic and for real rows.

The record of a figure's metric says what it means and which way it is better.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from synthvae._types import Floats
from synthvae.attacks.density import distances
from synthvae.attacks.membership import CLOSEST
from synthvae.attacks.setup import sample_patients
from synthvae.comparison.next_visit import NEXT_VISIT, NextVisit
from synthvae.comparison.results import Meaning, Reference
from synthvae.evaluation import intervals, joint, learners, marginals, prediction_task, regression
from synthvae.evaluation.analyses import C_INDEX
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.prediction_metrics import TSTR
from synthvae.evaluation.survival import concordance, follow_up, why_no_survival
from synthvae.evaluation.tables import Table, Tables, at_most, binnings, prepare, tokenise
from synthvae.evaluation.validity import CELLS
from synthvae.privacy.budget import checked_delta
from synthvae.schema import Schema

MOST_ROWS = 20_000  # that a learner is given
MOST_COMPARED = 4000  # rows of each kind that are told apart
MOST_ATTACKED = 2000
PENALTY = 0.05  # of a Cox model's squared coefficients

Figures = dict[str, float | None]


def _meaning(
    metric: Metric, title: str, reference: str, *, key: str | None = None, text: str | None = None
) -> Meaning:
    """Return what a figure says that is measured as a metric is.

    Its title is short, as the head of a column; key and text are the metric's where none are given.
    """
    return Meaning(
        key=key or metric.key,
        title=title,
        meaning=text or metric.meaning,
        direction=metric.direction,
        goal=metric.goal,
        reference=reference,
    )


# Keys of saved comparisons, where they are not the metric's own.
UTILITY, MEMBERSHIP, VALID = "utility", "membership", "valid"
CONCORDANCE = C_INDEX.stem
_FIDELITY = (
    _meaning(
        marginals.DISTANCES[2],
        "2-way distance",
        "train drawn again with replacement: the noise of so many rows",
    ),
    _meaning(marginals.DISTANCES[3], "3-way distance", "train drawn again with replacement"),
    _meaning(joint.C2ST, "told apart", "train rows in place of synthetic ones"),
)
_UTILITY = _meaning(prediction_task.EVERY, "utility", "1 by definition", key=UTILITY)
# Leaner than an evaluation's: one ridge Cox model of every column, and one learner for each target.
_SURVIVAL = _meaning(
    C_INDEX,
    "c-index",
    "fitted on real rows",
    key=CONCORDANCE,
    text="Concordance, on real rows held out, of a Cox model fitted on synthetic rows.",
)
_SAFETY = (
    _meaning(CLOSEST[0], "membership attack", "guessing", key=MEMBERSHIP),
    _meaning(CELLS, "valid cells", "1 by definition", key=VALID),
)


def _tstr(column: str) -> str:
    """Return the key of what is predicted of a target."""
    return f"{TSTR.stem}.{column}"


def meanings(schema: Schema) -> tuple[Meaning, ...]:
    """Return the figures that a table has, in the order of the page."""
    targets = (
        _meaning(
            TSTR,
            f"TSTR {target.column}",
            "trained on real rows (TRTR)",
            key=_tstr(target.column),
            text=f"{'R²' if schema[target.column].is_lattice else 'AUROC'} of predicting "
            f"{target.column} of real rows held out, by boosted trees trained on synthetic rows.",
        )
        for target in schema.target
    )
    survival = () if why_no_survival(schema) else (_SURVIVAL,)
    visits = () if schema.orderBy is None else NEXT_VISIT
    return (*_FIDELITY, *visits, *targets, _UTILITY, *survival, *_SAFETY)


@dataclass(frozen=True)
class Scorer:
    """Scores tables against the same real rows, in the same way each time."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    schema: Schema
    rows: int  # of each synthetic table, and so of the references made from train
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
        return prediction_task.learnable(
            prediction_task.column_skills(self._real, self._real.train, names, learners.ROUNDS)
        )

    def reference(self, size: int | None, delta: float | None) -> Reference:
        """Return the figures of real rows, at a size of the table."""
        real = self._real
        whose = self._generator().integers(len(real.train), size=self.rows)
        distances = self._distances(real.train.take(whose)) | self._next_visit(real.holdout)
        return Reference(
            size=size,
            patients=self.schema.patients,
            delta=checked_delta(1.0, delta, self.schema.patients),
            train_rows=len(self.train),
            holdout_rows=len(self.holdout),
            figures=self._figures(real, real.train, distances, utility=1.0, membership=0.5),
        )

    def score(self, synthetic: pd.DataFrame) -> Figures:
        """Return the figures of a synthetic table; None for one that it is unfit for."""
        tables = self._prepare(synthetic)
        rows = tables.synthetic
        utility, membership = self._utility(tables), self._membership(rows)
        distances = self._distances(rows) | self._next_visit(rows)
        return self._figures(tables, rows, distances, utility, membership)

    def _figures(
        self,
        tables: Tables,
        rows: Table,
        distances: Figures,
        utility: float | None,
        membership: float | None,
    ) -> Figures:
        """Return all figures in order, those that depend on real rows having been computed."""
        figures = distances | {joint.C2ST.key: self._separation(rows)}
        for target in self.schema.target:
            skill = prediction_task.holdout_skill(tables, target, rows, learners.ROUNDS)
            figures[_tstr(target.column)] = None if skill is None else float(skill[0])
        figures[UTILITY] = utility
        if why_no_survival(self.schema) is None:
            figures[CONCORDANCE] = cox_concordance(rows, tables.holdout, self.schema)
        figures |= {MEMBERSHIP: membership, VALID: 1 - float(rows.invalid.mean())}
        return {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in figures.items()
        }

    def _generator(self) -> np.random.Generator:
        # The same draws for every table: what differs between figures is then the tables.
        return np.random.default_rng([self.seed, 1])

    def _distances(self, other: Table) -> Figures:
        cuts = binnings(self._real.train, self.schema)
        levels = [cut.levels for cut in cuts]
        real, tokens = (tokenise(table, cuts) for table in (self._real.train, other))
        figures: Figures = {}
        for size in (2, 3):
            margins = marginals.draw_margins(len(cuts), size, self._generator())
            values = [marginals.variation(real, tokens, levels, margin) for margin in margins]
            figures[marginals.DISTANCES[size].key] = float(np.mean(values)) if values else None
        return figures

    def _next_visit(self, other: Table) -> Figures:
        if self.schema.orderBy is None:
            return {}
        return NextVisit(self._real.train, self.schema).figures(other)

    def _separation(self, other: Table) -> float:
        generator = self._generator()
        number = min(len(self._real.holdout), len(other), MOST_COMPARED)
        real, compared = (at_most(one, number, generator) for one in (self._real.holdout, other))
        return float(joint.separation(real, compared, self.schema, generator)[0])

    def _utility(self, tables: Tables) -> float | None:
        skills = prediction_task.column_skills(
            tables, tables.synthetic, self._real_skills, learners.ROUNDS
        )
        shares = [
            float(share[0])
            for share in prediction_task.shares_kept(self._real_skills, skills).values()
        ]
        return float(np.mean(shares)) if shares else None

    def _membership(self, synthetic: Table) -> float:
        generator = self._generator()
        sides = (self._real.train, self._real.holdout)
        number = min(*(side.patient_count for side in sides), MOST_ATTACKED)
        scores = []
        for side in sides:
            patients = sample_patients(side, np.unique(side.patients), number, generator)
            scores.append(-distances(patients, synthetic, self.schema))
        return intervals.delong(*scores)[0]


def cox_concordance(learn: Table, test: Table, schema: Schema) -> float | None:
    """Return the c-index on `test` of a Cox model fitted on `learn`; None where the fit fails.

    Columns that a declared target says would give the event away are left out.

    References
    ----------
    Cox 1972, JRSS B 34(2); Harrell, Lee and Mark 1996, Statistics in Medicine 15(4).
    """
    generator = np.random.default_rng(0)
    known, held = (follow_up(at_most(one, MOST_ROWS, generator), schema) for one in (learn, test))
    if not known.happened.any() or not held.happened.any():
        return None
    columns = _covariates(schema)
    codes = known.rows.codes[:, columns]
    features = learners.LinearFeatures(codes, [schema.modelled[j] for j in columns])
    coefficients = regression.ridge_cox(features(codes), known.durations, known.happened, PENALTY)
    if coefficients is None:
        return None
    risk = features(held.rows.codes[:, columns]) @ coefficients
    one_group = np.zeros(len(risk), np.int64)
    return float(concordance(held.durations, held.happened, risk, one_group)[0])


def _covariates(schema: Schema) -> list[int]:
    assert schema.survival is not None
    hidden = {schema.survival.duration, schema.survival.event}
    for target in schema.target:
        hidden |= {target.column, *target.without} if target.column in hidden else set()
    return [j for j, field in enumerate(schema.modelled) if field.name not in hidden]
