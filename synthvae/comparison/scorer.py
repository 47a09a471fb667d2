"""What each figure of a comparison says, and what real rows stand for.

Which way a figure is better, its metric's record says. The figures are leaner than an evaluation's, so
they are described in words of their own.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from synthvae._types import Floats
from synthvae.attacks.density import distances
from synthvae.attacks.membership import CLOSEST
from synthvae.comparison.results import Meaning
from synthvae.evaluation.analyses import C_INDEX
from synthvae.evaluation.intervals import delong
from synthvae.evaluation.joint import C2ST, separation
from synthvae.evaluation.learners import ROUNDS, LinearFeatures
from synthvae.evaluation.marginals import DISTANCES, draw_margins, variation
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.prediction_metrics import TSTR
from synthvae.evaluation.prediction_task import (
    EVERY,
    LEAST_SKILL,
    column_skills,
    holdout_skill,
    shares_kept,
    telling,
)
from synthvae.evaluation.regression import ridge_cox
from synthvae.evaluation.survival import concordance, followed, why_not_followed
from synthvae.evaluation.tables import Table, Tables, at_most, binnings, prepare, tokenise
from synthvae.evaluation.validity import CELLS
from synthvae.schema import Schema, Target

MOST_ROWS = 20_000  # that a learner is given
MOST_COMPARED = 4000  # rows of each kind that are told apart
MOST_ATTACKED = 2000
PENALTY = 0.05  # of a Cox model's squared coefficients

Figures = dict[str, float | None]


def meanings(schema: Schema) -> tuple[Meaning, ...]:
    """Return the figures that a table has, in the order of the page."""
    survival = () if why_not_followed(schema) else (_SURVIVAL,)
    return (*_FIDELITY, *_targets(schema), _UTILITY, *survival, *_SAFETY)


def _meaning(metric: Metric, key: str, title: str, meaning: str, reference: str) -> Meaning:
    """Return what a figure says that is measured as a metric is."""
    return Meaning(
        key=key,
        title=title,
        meaning=meaning,
        direction=metric.direction,
        goal=metric.goal,
        reference=reference,
    )


def _targets(schema: Schema) -> list[Meaning]:
    return [
        _meaning(
            TSTR,
            f"tstr.{target.column}",
            f"TSTR {target.column}",
            f"{'R²' if schema[target.column].is_lattice else 'AUROC'} of predicting "
            f"{target.column} of real rows held out, by boosted trees trained on synthetic rows.",
            "trained on real rows (TRTR)",
        )
        for target in schema.target
    ]


_FIDELITY = (
    _meaning(
        DISTANCES[2],
        "tvd2",
        "2-way distance",
        "Mean total variation distance of the margins of pairs of columns from train's: the "
        "share of rows that would have to change.",
        "train drawn again with replacement: the noise of so many rows",
    ),
    _meaning(
        DISTANCES[3],
        "tvd3",
        "3-way distance",
        "The same for triples of columns, a fixed sample of at most 150.",
        "train drawn again with replacement",
    ),
    _meaning(
        C2ST,
        "c2st",
        "told apart",
        "AUC of boosted trees that tell synthetic rows from real rows held out; 0.5 is guessing.",
        "train rows in place of synthetic ones",
    ),
)
_UTILITY = _meaning(
    EVERY,
    "utility",
    "utility",
    "Each column in turn is predicted from the others: skill (R², or AUROC above 0.5) when "
    "trained on synthetic rows over skill when trained on real ones, cut to 0 to 1, and averaged over "
    f"the columns where real rows give a skill above {LEAST_SKILL:g}.",
    "1 by definition",
)
_SURVIVAL = _meaning(
    C_INDEX,
    "c_index",
    "c-index",
    "Concordance, on real rows held out, of a Cox model fitted on synthetic rows.",
    "fitted on real rows",
)
_SAFETY = (
    _meaning(
        CLOSEST[0],
        "membership",
        "membership attack",
        "AUC with which the distance to the closest synthetic record tells train's patients "
        "from others; 0.5 is guessing. A tripwire: finding nothing proves nothing.",
        "guessing",
    ),
    _meaning(
        CELLS, "valid", "valid cells", "Share of cells that the schema allows.", "1 by definition"
    ),
)


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
