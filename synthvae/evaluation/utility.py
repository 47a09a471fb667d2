"""Would an analyst's model, trained on synthetic rows, work on real ones? TSTR beside TRTR."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae.evaluation.codes import number_of
from synthvae.evaluation.intervals import newcombe, percentile, resample_weights, weighted_auc
from synthvae.evaluation.learners import Learner, predict_classes, predict_numbers
from synthvae.evaluation.questions import Question, counted
from synthvae.evaluation.tables import Ints, Table, Tables, at_most
from synthvae.evaluation.values import Interval, Score
from synthvae.field import Field
from synthvae.schema import Target

MOST_ROWS = 20_000
MOST_CLASSES = 20
LEARNERS: tuple[Learner, ...] = ("linear", "boosting")

Floats = NDArray[np.float64]


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

    def rows_of(self, table: Table) -> tuple[Table, NDArray[Any]]:
        """Return the rows whose target is known, and there its class or its number."""
        codes = table.codes[:, self.place]
        if self.is_number:
            numbers = number_of(self.field, codes)
            known = np.isfinite(numbers)
            return table.take(known), numbers[known]
        known = codes >= 0
        return table.take(known), self.classes[codes[known]]


def compare_utility(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return, for each declared target and learner, the skill on holdout rows and what it loses.

    The learners are fitted on the synthetic table (TSTR), on train (TRTR) and on train's columns
    shuffled independently, and scored on the same holdout rows.

    References
    ----------
    Esteban, Hyland & Rätsch 2017, "Real-valued (medical) time series generation with recurrent
    conditional GANs", section 4 (TSTR); Provost & Domingos 2003, Machine Learning 52 (AUROC of
    each class against the rest, weighted by its frequency).
    """
    if not tables.schema.target:
        return (
            Question(
                "tstr",
                "utility",
                "Prediction of a target",
                "How well a model trained on synthetic rows predicts a target of real patients.",
                "higher",
            ).unanswered("the schema declares no target; name one under `target`"),
        )
    scores: list[Score] = []
    for target in tables.schema.target:
        for learner in LEARNERS:
            scores += _compare(tables, target, learner, generator)
    return tuple(scores)


def questions(field: Field, learner: Learner) -> tuple[Question, Question]:
    """Return what is asked of a target and learner: the skill (TSTR), and the loss against TRTR."""
    metric = "R²" if field.is_lattice else "AUROC"
    names = {"linear": "linear regression" if field.is_lattice else "logistic regression"}
    learnt = names.get(learner, "boosted trees")
    tail = f"{field.name}.{learner}"
    return (
        Question(
            f"tstr.{tail}",
            "utility",
            f"{metric} of '{field.name}' ({learnt})",
            f"How well {learnt} trained on synthetic rows predicts '{field.name}' of real patients "
            "whom it never saw (TSTR). The goal is what training on real rows reaches (TRTR).",
            "higher",
        ),
        Question(
            f"tstr_loss.{tail}",
            "utility",
            f"Loss in {metric} of '{field.name}' ({learnt})",
            f"How much {metric} an analyst loses on real patients by training {learnt} on "
            "synthetic instead of real rows (TRTR minus TSTR); 0 or less: nothing is lost.",
            "lower",
            goal=0.0,
        ),
    )


def _compare(
    tables: Tables, target: Target, learner: Learner, generator: np.random.Generator
) -> list[Score]:
    asked = questions(tables.schema[target.column], learner)
    if target.column in tables.schema.identifiers:
        return [ask.unanswered("the target is an identifier, never modelled") for ask in asked]
    task = make_task(tables, target, generator)
    reason = why_not(task, tables)
    if reason is not None:
        return [ask.unanswered(reason) for ask in asked]
    sources = {
        "synthetic": tables.synthetic,
        "real": tables.train,
        "independent": tables.independent,
    }
    fitted = {
        name: predict(learner, task, at_most(table, MOST_ROWS, generator))
        for name, table in sources.items()
    }
    return _answer(asked, task, fitted, tables, generator)


def make_task(tables: Tables, target: Target, generator: np.random.Generator) -> Task:
    """Return what predicting one target takes, with the holdout rows to test it on."""
    modelled = tables.schema.modelled
    names = [field.name for field in modelled]
    hidden = {target.column, *target.without}
    columns = [j for j, name in enumerate(names) if name not in hidden]
    place = names.index(target.column)
    return Task(
        modelled[place],
        place,
        columns,
        [modelled[j] for j in columns],
        _classes(modelled[place], tables.train.codes[:, place]),
        at_most(tables.holdout, MOST_ROWS, generator),
    )


def _classes(field: Field, codes: Ints) -> Ints:
    """Return the class of each category: its own, or one for all but train's most frequent."""
    count = len(field.categories)
    if count <= MOST_CLASSES:
        return np.arange(count)
    frequent = np.argsort(-np.bincount(codes[codes >= 0], minlength=count), kind="stable")
    classes = np.full(count, MOST_CLASSES - 1)
    classes[frequent[: MOST_CLASSES - 1]] = np.arange(MOST_CLASSES - 1)
    return classes


def why_not(task: Task, tables: Tables) -> str | None:
    """Return why a target cannot be scored, None where it can."""
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
    return None


def predict(learner: Learner, task: Task, table: Table) -> Floats:
    """Return what a learner fitted on a table predicts for the task's holdout rows."""
    known, truth = task.rows_of(table)
    asked = task.rows_of(task.test)[0].codes[:, task.columns]
    codes = known.codes[:, task.columns]
    if task.is_number:
        return predict_numbers(learner, task.fields, (codes, truth), asked)
    return predict_classes(learner, task.fields, (codes, truth), asked, int(task.classes.max()) + 1)


def skill(truth: NDArray[Any], predicted: Floats, weights: Floats) -> Floats:
    """Return the AUROC or R² under each set of row weights, shape (sets,); NaN where there is none.

    Parameters
    ----------
    truth
        The class or the number of each row, shape (rows,).
    predicted
        The probability of each class, shape (rows, classes), or the number, shape (rows,).
    weights
        Shape (sets, rows).
    """
    if predicted.ndim == 1:
        return _r2(truth, predicted, weights)
    if predicted.shape[1] == 2:
        return weighted_auc(predicted[:, 1], truth == 1, weights)
    present = [int(label) for label in np.unique(truth)]
    areas = np.stack([weighted_auc(predicted[:, c], truth == c, weights) for c in present])
    shares = np.stack([(weights * (truth == c)).sum(axis=1) for c in present])
    shares[~np.isfinite(areas)] = 0
    total = shares.sum(axis=0)
    summed = (np.nan_to_num(areas) * shares).sum(axis=0)
    return np.asarray(np.divide(summed, total, out=np.full(len(weights), np.nan), where=total > 0))


def _r2(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    total = weights.sum(axis=1)
    centred = truth - truth.mean()
    around = weights @ centred**2 / total - (weights @ centred / total) ** 2
    missed = weights @ (truth - predicted) ** 2 / total
    ratio = np.divide(missed, around, out=np.full(len(weights), np.nan), where=around > 1e-12)
    return np.asarray(1 - ratio)


def _answer(
    asked: tuple[Question, Question],
    task: Task,
    fitted: dict[str, Floats],
    tables: Tables,
    generator: np.random.Generator,
) -> list[Score]:
    test, truth = task.rows_of(task.test)
    weights = np.r_[np.ones((1, len(test))), resample_weights(test.patients, generator)]
    figures = {name: skill(truth, predicted, weights) for name, predicted in fitted.items()}
    synthetic, real = figures["synthetic"], figures["real"]
    at_start = {name: float(figure[0]) for name, figure in figures.items()}
    detail = _detail(task, test, tables)
    return [
        asked[0]
        .with_goal(at_start["real"])
        .answer(
            synthetic[0],
            _interval(synthetic, truth, test, fitted["synthetic"]),
            {
                "real": at_start["real"],
                "independent": at_start["independent"],
                "chance": 0.0 if task.is_number else 0.5,
            },
            detail,
        ),
        asked[1].answer(
            real[0] - synthetic[0],
            percentile(real[1:] - synthetic[1:], "holdout patients"),
            {"independent": at_start["real"] - at_start["independent"], "ideal": 0.0},
            detail,
        ),
    ]


def _detail(task: Task, test: Table, tables: Tables) -> str:
    trained = [min(len(table), MOST_ROWS) for table in (tables.synthetic, tables.train)]
    patients = counted(test.patient_count, "patient")
    text = (
        f"Tested on {counted(len(test), 'holdout row')} of {patients}; trained on "
        f" {counted(trained[0], 'synthetic row')} or {counted(trained[1], 'real row')} "
        "('real': TRTR). 'independent' learns from shuffled columns: anywhere around chance."
    )
    hidden = len(tables.schema.modelled) - len(task.columns) - 1
    if hidden:
        text += f" {counted(hidden, 'column')} that would give the target away left out."
    if len(task.field.categories) > MOST_CLASSES:
        text += f" All but the {MOST_CLASSES - 1} most frequent categories count as one class."
    return text


def _interval(
    figures: Floats, truth: NDArray[Any], test: Table, predicted: Floats
) -> Interval | None:
    found = percentile(figures[1:], "holdout patients")
    if found is None or found.low < found.high or predicted.ndim == 1 or predicted.shape[1] != 2:
        return found
    positive, negative = (len(np.unique(test.patients[truth == label])) for label in (1, 0))
    return newcombe(float(figures[0]), positive, negative)
