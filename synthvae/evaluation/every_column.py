"""Every column as a target: how much of what real rows can tell do synthetic rows still tell?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from synthvae.evaluation.intervals import jackknife, jackknife_groups
from synthvae.evaluation.questions import Question, counted
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.evaluation.utility import Task, make_task, predict, skill, why_not
from synthvae.evaluation.values import Score
from synthvae.schema import Target

MOST_ROWS = 4000
ROUNDS = 30
LEAST_SKILL = 0.05
WORST = 5

EVERY = Question(
    "all_targets",
    "utility",
    "Every column as a target",
    "Each column is predicted from all others by boosted trees; of the skill that real rows teach "
    "(R², or the AUROC above chance on a scale to 1), this share is learnt from synthetic rows, on "
    "average.",
    "higher",
    goal=1.0,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """One column's skill after training on real and on synthetic rows: all rows, then without groups."""

    name: str
    real: Floats
    synthetic: Floats

    @property
    def kept(self) -> Floats:
        """The share of the real skill that is kept, 0 to 1."""
        return np.asarray(np.clip(self.synthetic / np.maximum(self.real, 1e-9), 0, 1))


def predict_every_column(tables: Tables, generator: np.random.Generator) -> Score:
    """Return the mean share of the real skill that synthetic rows teach, over all columns."""
    some = Tables(
        tables.schema,
        *(
            at_most(table, MOST_ROWS, generator)
            for table in (
                tables.train,
                tables.holdout,
                tables.synthetic,
                tables.independent,
                tables.bootstrap,
            )
        ),
    )
    groups = jackknife_groups(some.holdout.patients, generator)
    found = [
        column
        for field in tables.schema.modelled
        if (column := _measure(some, field.name, groups, generator)) is not None
    ]
    told = [column for column in found if column.real[0] > LEAST_SKILL]
    if not told:
        return EVERY.unanswered(
            f"no column can be told from the others with a skill of {LEAST_SKILL:g} or more"
        )
    kept = np.stack([column.kept for column in told]).mean(axis=0)
    worst = sorted(told, key=lambda column: float(column.kept[0]))[:WORST]
    named = ", ".join(f"'{c.name}' ({c.kept[0]:.2f} of {c.real[0]:.2f})" for c in worst)
    sampled = ""
    if max(len(tables.train), len(tables.synthetic), len(tables.holdout)) > MOST_ROWS:
        sampled = f" At most {MOST_ROWS:,} rows of each table, drawn at random."
    return EVERY.answer(
        kept[0],
        jackknife(float(kept[0]), kept[1:], "holdout patients"),
        {"chance": 0.0, "ideal": 1.0},
        f"{counted(len(told), 'column')} of {len(tables.schema.modelled)} have a skill above "
        f"{LEAST_SKILL:g} on real rows. Least is kept of: {named}.{sampled}",
    )


def _measure(
    tables: Tables, name: str, groups: NDArray[np.int64], generator: np.random.Generator
) -> _Column | None:
    task = make_task(tables, Target(column=name), generator)
    if why_not(task, tables) is not None:
        return None
    groups = groups[task.known(task.test)]
    rows = (np.arange(groups.max() + 1)[:, None] != groups).astype(float)
    weights = np.r_[np.ones((1, len(groups))), rows]
    return _Column(
        name, *(_skill(task, table, weights) for table in (tables.train, tables.synthetic))
    )


def _skill(task: Task, table: Table, weights: Floats) -> Floats:
    """Return R², or the AUROC above 0.5 on a scale to 1, under each set of weights."""
    predicted = predict("boosting", task, table, ROUNDS)
    found = np.nan_to_num(skill(task.rows_of(task.test)[1], predicted, weights), nan=0.5)
    return found if task.is_number else 2 * found - 1
