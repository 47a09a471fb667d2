"""What is said of one learner's predictions of a target: ranks, probabilities and errors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae.evaluation.calibration import (
    Measure,
    average_precision,
    brier,
    calibration_intercept,
    calibration_slope,
    root_mean_squared_error,
)
from synthvae.evaluation.intervals import (
    jackknife,
    jackknife_groups,
    newcombe,
    percentile,
    resample_weights,
)
from synthvae.evaluation.learners import Learner
from synthvae.evaluation.questions import Question, counted
from synthvae.evaluation.tables import Table, Tables
from synthvae.evaluation.utility import MOST_CLASSES, MOST_ROWS, Task, skill
from synthvae.evaluation.values import Direction, Interval, Score
from synthvae.field import Field

Floats = NDArray[np.float64]

MEASURES: dict[str, tuple[Measure, str, str, Direction]] = {
    "auprc": (
        average_precision,
        "AUPRC",
        "Area under the precision-recall curve: how well the model finds the rarer outcome. Guessing "
        "reaches the outcome's share.",
        "higher",
    ),
    "brier": (
        brier,
        "Brier score",
        "Mean squared error of the predicted probabilities: 0 is perfect. It judges ranks and "
        "probabilities at once.",
        "lower",
    ),
    "calibration_slope": (
        calibration_slope,
        "Calibration slope",
        "Slope of the true log odds on the predicted ones: 1 is right, below 1 the predictions are "
        "too extreme, above 1 too timid.",
        "towards",
    ),
    "calibration_intercept": (
        calibration_intercept,
        "Calibration in the large",
        "By how much the true log odds exceed the predicted ones on average: 0 is right, above 0 the "
        "risk is underestimated.",
        "towards",
    ),
}
GOALS = {"calibration_slope": 1.0, "calibration_intercept": 0.0}


def _learnt(field: Field, learner: Learner) -> str:
    linear = "linear regression" if field.is_lattice else "logistic regression"
    return {"linear": linear, "forest": "random forest"}.get(learner, "boosted trees")


def questions(field: Field, learner: Learner) -> tuple[Question, Question]:
    """Return what is asked of a target and learner: the skill (TSTR), and the loss against TRTR."""
    metric = "R²" if field.is_lattice else "AUROC"
    learnt, tail = _learnt(field, learner), f"{field.name}.{learner}"
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


def more_questions(field: Field, learner: Learner) -> tuple[Question, ...]:
    """Return what else is asked: of probabilities, or of predicted numbers."""
    learnt, tail = _learnt(field, learner), f"{field.name}.{learner}"
    if field.is_lattice:
        unit = f" in {field.unit}" if field.unit else ""
        return (
            Question(
                f"rmse.{tail}",
                "utility",
                f"Error (RMSE) of '{field.name}' ({learnt})",
                f"Root mean squared error{unit} on real patients after training on synthetic rows. "
                "The goal is that of training on real rows.",
                "lower",
            ),
        )
    return tuple(
        Question(
            f"{stem}.{tail}",
            "utility",
            f"{title} of '{field.name}' ({learnt})",
            f"{meaning} Trained on synthetic rows, tested on real patients.",
            direction,
            goal=GOALS.get(stem),
        )
        for stem, (_, title, meaning, direction) in MEASURES.items()
    )


def unanswered(field: Field, learner: Learner, reason: str) -> list[Score]:
    """Return the scores of a target that cannot be predicted."""
    asked = (*questions(field, learner), *more_questions(field, learner))
    return [question.unanswered(reason) for question in asked]


class Judge:
    """Scores predictions of one target for the same holdout rows, with the same resamples."""

    def __init__(self, task: Task, tables: Tables, generator: np.random.Generator) -> None:
        self._task, self._tables = task, tables
        self._test, self._truth = task.rows_of(task.test)
        rows = np.ones((1, len(self._test)))
        self._resamples = np.r_[rows, resample_weights(self._test.patients, generator)]
        groups = jackknife_groups(self._test.patients, generator)
        without = [(groups != group).astype(float) for group in range(int(groups.max()) + 1)]
        self._without = np.stack([rows[0], *without])

    def scores(self, learner: Learner, fitted: dict[str, Floats]) -> list[Score]:
        """Return every score of one learner: fitted on synthetic, real and independent rows."""
        field = self._task.field
        return [
            *self._skills(questions(field, learner), fitted),
            *(self._measure(ask, fitted) for ask in more_questions(field, learner)),
        ]

    def _skills(
        self, asked: tuple[Question, Question], fitted: dict[str, Floats]
    ) -> Sequence[Score]:
        figures = {
            name: skill(self._truth, predicted, self._resamples)
            for name, predicted in fitted.items()
        }
        synthetic, real = figures["synthetic"], figures["real"]
        at_start = {name: float(figure[0]) for name, figure in figures.items()}
        detail = _detail(self._task, self._test, self._tables)
        references: dict[str, float | None] = {
            "real": at_start["real"],
            "independent": at_start["independent"],
            "chance": 0.0 if self._task.is_number else 0.5,
        }
        return (
            asked[0]
            .with_goal(at_start["real"])
            .answer(
                synthetic[0],
                _interval(synthetic, self._truth, self._test, fitted["synthetic"]),
                references,
                detail,
            ),
            asked[1].answer(
                real[0] - synthetic[0],
                percentile(real[1:] - synthetic[1:], "holdout patients"),
                {"independent": at_start["real"] - at_start["independent"], "ideal": 0.0},
                detail,
            ),
        )

    def _measure(self, asked: Question, fitted: dict[str, Floats]) -> Score:
        stem = asked.key.partition(".")[0]
        if self._task.is_number:
            measure: Measure = root_mean_squared_error
            scale, truth = 10.0**self._task.field.places, self._truth
        else:
            if fitted["real"].shape[1] != 2:
                return asked.unanswered(f"'{self._task.field.name}' has more than two classes")
            measure, scale, truth = MEASURES[stem][0], 1.0, (self._truth == 1).astype(float)
        figures = {
            name: measure(truth, of if of.ndim == 1 else of[:, 1], self._without) / scale
            for name, of in fitted.items()
        }
        value = float(figures["synthetic"][0])
        if not np.isfinite(value):
            return asked.unanswered("the holdout's rows allow no such figure")
        asked = asked if asked.goal is not None else asked.with_goal(float(figures["real"][0]))
        bounds = (0.0, 1.0) if stem in ("auprc", "brier") else (-np.inf, np.inf)
        references: dict[str, float | None] = {
            name: float(figures[name][0]) for name in ("real", "independent")
        }
        return asked.answer(
            value,
            jackknife(value, figures["synthetic"][1:], "holdout patients", bounds),
            references | self._chance(stem, truth, scale),
        )

    def _chance(self, stem: str, truth: Floats, scale: float) -> dict[str, float | None]:
        """Return what predicting the same for everybody gives."""
        share = float(truth.mean())
        guessed = {
            "rmse": float(truth.std()) / scale,
            "auprc": share,
            "brier": share * (1 - share),
        }
        return {"chance": guessed[stem]} if stem in guessed else {"ideal": GOALS[stem]}


def _detail(task: Task, test: Table, tables: Tables) -> str:
    trained = [min(len(table), MOST_ROWS) for table in (tables.synthetic, tables.train)]
    patients = counted(test.patient_count, "patient")
    text = (
        f"Tested on {counted(len(test), 'holdout row')} of {patients}; trained on "
        f"{counted(trained[0], 'synthetic row')} or {counted(trained[1], 'real row')} "
        "('real': TRTR). 'independent' learns from shuffled columns: anywhere around chance."
    )
    if max(len(tables.synthetic), len(tables.train)) > MOST_ROWS:
        text += f" Sampled from {len(tables.synthetic):,} synthetic and {len(tables.train):,} real rows."
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
