"""One prediction: a target, the columns that may tell it, the rows that test it, and its skill."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.learners import ROUNDS, Learner, predict_classes, predict_numbers
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Table, Tables, at_most, number_of
from synthvae.field import Field
from synthvae.schema import Target

MOST_ROWS = 20_000
MOST_CLASSES = 20
LEAST_OF_CLASS = 10  # tested rows: a class of fewer would weigh as much as any, and says nothing
MOST_ROWS_EVERY_COLUMN = 4000
COLUMN_ROUNDS = 30
LEAST_SKILL = 0.05  # of real rows, for a column to count
WORST = 5

Skills = dict[str, Floats]  # of columns, by name

EVERY = Metric(
    "all_targets",
    "Every column as a target",
    "Each column is predicted from all others by boosted trees; of the skill that real rows teach "
    "(R², or the AUROC above chance on a scale to 1), this share is learnt from synthetic rows, on "
    "average.",
    "higher",
    family="predictions",
    topic="utility",
    goal=1.0,
    threshold=Limits(0.9, 0.6, "nine tenths of the skill that real rows teach"),
    disclosure="grid",
)
METRICS = (EVERY,)


@dataclass(frozen=True)
class Task:
    """One target, the columns that may predict it, and the real rows that test the prediction.

    `classes` says which class each category counts as; it is empty for numbers.
    """

    field: Field
    place: int
    columns: list[int]
    fields: Sequence[Field]
    classes: Ints
    test: Table

    @property
    def is_number(self) -> bool:
        return self.field.is_lattice

    @property
    def metric(self) -> str:
        return "R²" if self.is_number else "AUROC"

    def known(self, table: Table) -> Bools:
        """Return in which rows the target is known."""
        codes = table.codes[:, self.place]
        return np.isfinite(number_of(self.field, codes)) if self.is_number else codes >= 0

    def rows_of(self, table: Table) -> tuple[Table, NDArray[Any]]:
        """Return the rows whose target is known, and there its class or its number."""
        rows = table.take(self.known(table))
        codes = rows.codes[:, self.place]
        return rows, number_of(self.field, codes) if self.is_number else self.classes[codes]


def make_task(tables: Tables, target: Target, generator: np.random.Generator) -> Task:
    """Return what predicting one target takes, with the holdout rows to test it on."""
    modelled = tables.schema.modelled
    names = [field.name for field in modelled]
    hidden = {target.column, *target.without}
    columns = [j for j, name in enumerate(names) if name not in hidden]
    place = names.index(target.column)
    classes = _classes(modelled[place], tables.train.codes[:, place])
    test = at_most(tables.holdout, MOST_ROWS, generator)
    return Task(modelled[place], place, columns, [modelled[j] for j in columns], classes, test)


def _classes(field: Field, codes: Ints) -> Ints:
    """Return the class of each category: its own, or one for all but train's most frequent."""
    count = len(field.categories)
    if count <= MOST_CLASSES:
        return np.arange(count)
    frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=count), kind="stable")
    classes = np.full(count, MOST_CLASSES - 1)
    classes[frequent[: MOST_CLASSES - 1]] = np.arange(MOST_CLASSES - 1)
    return classes


def scored_task(tables: Tables, target: Target, generator: np.random.Generator) -> Task | str:
    """Return the task of predicting a target, or why it cannot be scored."""
    if target.column in tables.schema.identifiers:
        return "the target is an identifier, never modelled"
    task = make_task(tables, target, generator)
    if not task.columns:
        return "no columns are left to predict from"
    sources = {"holdout": task.test, "train": tables.train, "synthetic": tables.synthetic}
    for name, table in sources.items():
        distinct = len(np.unique(task.rows_of(table)[1]))
        if distinct == 0:
            return f"the {name} table has no known value of '{task.field.name}'"
        if distinct == 1 and (name == "holdout" or not task.is_number):
            what = "value" if task.is_number else "class"
            return f"the {name} table has one {what} only of '{task.field.name}'"
    return task


def predict(learner: Learner, task: Task, table: Table, rounds: int = ROUNDS) -> Floats:
    """Return what a learner fitted on a table predicts for the task's holdout rows."""
    known, truth = task.rows_of(table)
    fit = known.codes[:, task.columns], truth
    tested = task.rows_of(task.test)[0].codes[:, task.columns]
    if task.is_number:
        return predict_numbers(learner, task.fields, fit, tested, rounds)
    classes = int(task.classes.max()) + 1
    return predict_classes(learner, task.fields, fit, tested, classes, rounds)


def holdout_skill(
    tables: Tables, target: Target, learn: Table, rounds: int, weights: Floats | None = None
) -> Floats | None:
    """Return the AUROC or R² on holdout rows of boosted trees fitted on a table, shape (sets,).

    `weights` are sets of weights of the holdout's rows, shape (sets, rows); each row once by default.
    A table of one class teaches nothing: its skill is that of chance. None where nothing can be
    learnt or tested.
    """
    if target.column in tables.schema.identifiers:
        return None
    generator = np.random.default_rng(0)
    task = make_task(tables, target, generator)
    (rows, truth), known = task.rows_of(task.test), task.known(task.test)
    classes = len(np.unique(task.rows_of(learn)[1]))
    if not task.columns or not classes or len(np.unique(truth)) < 2:
        return None
    weights = np.ones((1, len(rows))) if weights is None else weights[:, known]
    if classes == 1 and not task.is_number:
        return np.full(len(weights), 0.5)
    sampled = at_most(learn, MOST_ROWS, generator)
    return skill(truth, predict("boosting", task, sampled, rounds), weights)


def skill(truth: NDArray[Any], predicted: Floats, weights: Floats) -> Floats:
    """Return the AUROC or R² under each set of row weights, shape (sets,); NaN where there is none.

    Of three or more classes it is the mean of the AUROCs of each against the rest.

    Truth is the class or the number of each row, shape (rows,); predicted is the probability of each
    class, shape (rows, classes), or the number, shape (rows,); weights have the shape (sets, rows).
    """
    if predicted.ndim == 1:
        return _r2(truth, predicted, weights)
    if predicted.shape[1] == 2:
        return intervals.weighted_auc(predicted[:, 1], truth == 1, weights)
    return macro_average(
        [
            intervals.weighted_auc(predicted[:, label], truth == label, weights)
            for label in tested_classes(truth)
        ]
    )


def tested_classes(truth: NDArray[Any]) -> list[int]:
    """Return the classes that are averaged over: of 10 tested rows or more; all, if fewer than two are.

    Examples
    --------
    >>> tested_classes(np.repeat([0, 1, 2], [50, 50, 3])), tested_classes(np.array([0, 1, 2]))
    ([0, 1], [0, 1, 2])
    """
    labels, counts = np.unique(truth, return_counts=True)
    large = labels[counts >= LEAST_OF_CLASS]
    return [int(label) for label in (large if len(large) > 1 else labels)]


def macro_average(figures: Sequence[Floats]) -> Floats:
    """Return the mean over classes of figures under sets of weights, shape (sets,); NaN without any.

    A class of which a set has no figure is left out of that set's mean.
    """
    stacked = np.stack(figures)
    finite = np.isfinite(stacked)
    summed, number = np.where(finite, stacked, 0.0).sum(axis=0), finite.sum(axis=0)
    empty = np.full(summed.shape, np.nan)
    return np.asarray(np.divide(summed, number, out=empty, where=number > 0))


def _r2(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1)
    centred = truth - truth.mean()
    around = weights @ centred**2 / total - (weights @ centred / total) ** 2
    missed = weights @ (truth - predicted) ** 2 / total
    ratio = np.divide(missed, around, out=np.full(len(weights), np.nan), where=around > 1e-12)
    return np.asarray(1 - ratio)


def predict_every_column(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the mean share of the real skill that synthetic rows teach, over all columns."""
    names = ("train", "holdout", "synthetic", "independent", "bootstrap")
    sampled = Tables(
        tables.schema,
        *(at_most(getattr(tables, name), MOST_ROWS_EVERY_COLUMN, generator) for name in names),
    )
    weights = intervals.jackknife_sets(sampled.holdout.patients, generator).astype(float)
    columns = [field.name for field in tables.schema.modelled]
    real = learnable(column_skills(sampled, sampled.train, columns, COLUMN_ROUNDS, weights))
    if not real:
        reason = f"no column can be told from the others with a skill of {LEAST_SKILL:g} or more"
        return (EVERY.unanswered(reason),)
    learnt = column_skills(sampled, sampled.synthetic, real, COLUMN_ROUNDS, weights)
    shares = shares_kept(real, learnt)
    figures = np.mean([*shares.values()], axis=0)
    worst = sorted(shares, key=lambda name: float(shares[name][0]))[:WORST]
    named = ", ".join(f"'{name}' ({shares[name][0]:.2f} of {real[name][0]:.2f})" for name in worst)
    note = ""
    if max(len(getattr(tables, name)) for name in names[:3]) > MOST_ROWS_EVERY_COLUMN:
        note = f" At most {MOST_ROWS_EVERY_COLUMN:,} rows of each table, drawn at random."
    score = EVERY.answer(
        figures[0],
        intervals.jackknife(figures, "holdout patients"),
        {"chance": 0.0, "ideal": 1.0},
        f"{counted(len(real), 'column')} of {len(columns)} have a skill above "
        f"{LEAST_SKILL:g} on real rows. Least is kept of: {named}.{note}",
    )
    return (score,)


def learnable(skills: Skills) -> Skills:
    """Return the skills of the columns that can be told from the others at all."""
    return {name: figures for name, figures in skills.items() if figures[0] > LEAST_SKILL}


def shares_kept(real: Skills, synthetic: Skills) -> Skills:
    """Return the share of each real skill that synthetic rows teach, 0 to 1."""
    return {
        name: np.clip(synthetic.get(name, np.zeros(1)) / np.maximum(figures, 1e-9), 0, 1)
        for name, figures in real.items()
    }


def column_skills(
    tables: Tables, learn: Table, names: Iterable[str], rounds: int, weights: Floats | None = None
) -> Skills:
    """Return the skill with which boosted trees fitted on a table predict columns of the holdout.

    That is R², or the AUROC above 0.5 on a scale to 1, under each set of weights of the holdout's
    rows; a column that cannot be learnt or tested is left out.
    """
    skills = {}
    for name in names:
        found = holdout_skill(tables, Target(column=name), learn, rounds, weights)
        if found is not None:
            scaled = found if tables.schema[name].is_lattice else 2 * found - 1
            skills[name] = np.nan_to_num(scaled)
    return skills
