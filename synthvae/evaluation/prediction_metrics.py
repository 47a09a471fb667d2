"""More than ranks: are predicted probabilities right, and how far are predicted numbers off?

By hand, since scikit-learn takes one set of weights at a time: for 200 resamples of 2,000 rows it
needs 13 times as long for average precision and 5 times for the slope, and has no offset.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae._text import counted
from synthvae._types import Floats
from synthvae.evaluation import intervals, prediction_task
from synthvae.evaluation.learners import Learner
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Interval, Score
from synthvae.evaluation.tables import Table, Tables
from synthvae.field import Field

SHUFFLES = 5  # of train's columns: one that happens to predict is no reference
CLOSEST = 1e-3  # to 0 and 1 that a probability counts as, so that its log odds are finite
STEPS = 30

Measure = Callable[[NDArray[np.float64], Floats, Floats], Floats]


def average_precision(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return the area under the precision-recall curve under each set of row weights.

    Truth (1 for the class in question, else 0) and its predicted probability have the shape (rows,),
    weights (sets, rows), areas (sets,): NaN where a set has no row of the class.

    References
    ----------
    Davis & Goadrich 2006, "The relationship between precision-recall and ROC curves", ICML; summed in
    steps, not joined by lines.
    """
    order = np.argsort(-predicted, kind="stable")
    ends = np.flatnonzero(np.r_[np.diff(predicted[order]) < 0, True])
    sorted_weights = weights[:, order]
    hits = np.cumsum(sorted_weights * truth[order], axis=1)[:, ends]
    called = np.cumsum(sorted_weights, axis=1)[:, ends]
    precision = np.divide(hits, called, out=np.zeros_like(hits), where=called > 0)
    gained = np.diff(hits, axis=1, prepend=0)
    total = hits[:, -1]
    summed = (gained * precision).sum(axis=1)
    return np.asarray(np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0))


def brier(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return the mean squared error of probabilities (Brier 1950, Monthly Weather Review 78)."""
    return np.asarray(weights @ (predicted - truth) ** 2 / weights.sum(axis=1))


def calibration_slope(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return the slope of the true log odds on the predicted ones: below 1, too extreme.

    References
    ----------
    Cox 1958, Biometrika 45; Van Calster et al. 2016, Journal of Clinical Epidemiology 74, section 3.
    """
    odds = _log_odds(predicted)
    return _solve(np.column_stack([np.ones(len(odds)), odds]), truth, weights, 0 * odds)[:, 1]


def calibration_intercept(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return by how much the true log odds exceed the predicted ones (calibration in the large)."""
    return _solve(np.ones((len(truth), 1)), truth, weights, _log_odds(predicted))[:, 0]


def root_mean_squared_error(truth: Floats, predicted: Floats, weights: Floats) -> Floats:
    """Return the root of the mean squared error of predicted numbers."""
    return np.asarray(np.sqrt(weights @ (predicted - truth) ** 2 / weights.sum(axis=1)))


def _log_odds(predicted: Floats) -> Floats:
    chances = np.clip(predicted, CLOSEST, 1 - CLOSEST)
    return np.asarray(np.log(chances / (1 - chances)))


def _solve(design: Floats, truth: Floats, weights: Floats, offset: Floats) -> Floats:
    """Return a logistic regression's coefficients under each set of weights, by Newton's method."""
    solutions = np.full((len(weights), design.shape[1]), np.nan)
    for row, weight in enumerate(weights):
        if len(np.unique(truth[weight > 0])) != 2:
            continue
        beta = np.zeros(design.shape[1])
        for _ in range(STEPS):
            chances = 1 / (1 + np.exp(-np.clip(design @ beta + offset, -30, 30)))
            gradient = design.T @ (weight * (truth - chances))
            curve = (design * (weight * chances * (1 - chances))[:, None]).T @ design
            step = np.linalg.pinv(curve) @ gradient
            beta = beta + np.clip(step, -5, 5)
            if np.abs(step).max() < 1e-8:
                break
        solutions[row] = beta
    return solutions


_metric = partial(Metric, family="predictions", topic="utility", disclosure="grid", charted=True)
_TESTED = "Trained on synthetic rows, tested on real patients."
_SKILL = "an analyst should lose at most 0.03 against training on real rows; 0.10 is poor"
_LOST = Limits(-0.03, -0.10, _SKILL, beside="real")
_WORSE = Limits(1.05, 1.20, "at most 5 % worse than after real rows", beside="real", times=True)
TSTR = _metric(
    "tstr.<target>.<learner>",
    "{skill} of '{target}' ({model})",
    "How well {model} trained on synthetic rows predicts '{target}' of real patients whom it never "
    "saw (TSTR). The goal is what training on real rows reaches (TRTR).",
    "higher",
    goal_from="real",
    threshold=_LOST,
    headline=True,
)
TSTR_LOSS = _metric(
    "tstr_loss.<target>.<learner>",
    "Loss in {skill} of '{target}' ({model})",
    "How much {skill} an analyst loses on real patients by training {model} on synthetic instead of "
    "real rows (TRTR minus TSTR); 0 or less: nothing is lost.",
    "lower",
    goal=0.0,
    threshold=Limits(0.03, 0.10, _SKILL),
)
RMSE = _metric(
    "rmse.<target>.<learner>",
    "Error (RMSE) of '{target}' ({model})",
    "Root mean squared error{unit} on real patients after training on synthetic rows. The goal is "
    "that of training on real rows.",
    "lower",
    goal_from="real",
    threshold=_WORSE,
)
AUPRC = _metric(
    "auprc.<target>.<learner>",
    "AUPRC of '{target}' ({model})",
    "Area under the precision-recall curve: how well the model finds the rarer outcome. Guessing "
    f"reaches the outcome's share. {_TESTED}",
    "higher",
    goal_from="real",
    threshold=_LOST,
)
BRIER = _metric(
    "brier.<target>.<learner>",
    "Brier score of '{target}' ({model})",
    "Mean squared error of the predicted probabilities: 0 is perfect. It judges ranks and "
    f"probabilities at once. {_TESTED}",
    "lower",
    goal_from="real",
    threshold=Limits(0.01, 0.04, "at most 0.01 worse than after real rows", beside="real"),
)
SLOPE = _metric(
    "calibration_slope.<target>.<learner>",
    "Calibration slope of '{target}' ({model})",
    "Slope of the true log odds on the predicted ones: 1 is right, below 1 the predictions are too "
    f"extreme, above 1 too timid. {_TESTED}",
    "towards",
    goal=1.0,
    threshold=Limits(0.1, 0.3, "a tenth further from 1 than after real rows", beside="real"),
    charted=False,
)
INTERCEPT = _metric(
    "calibration_intercept.<target>.<learner>",
    "Calibration in the large of '{target}' ({model})",
    "By how much the true log odds exceed the predicted ones on average: 0 is right, above 0 the "
    f"risk is underestimated. {_TESTED}",
    "towards",
    goal=0.0,
    threshold=Limits(0.1, 0.3, "a tenth further from 0 than after real rows", beside="real"),
    charted=False,
)
MEASURES: dict[Metric, Measure] = {
    AUPRC: average_precision,
    BRIER: brier,
    SLOPE: calibration_slope,
    INTERCEPT: calibration_intercept,
}
METRICS = (TSTR, TSTR_LOSS, RMSE, *MEASURES)


def _named(metric: Metric, field: Field, learner: Learner) -> Metric:
    linear = "linear regression" if field.is_lattice else "logistic regression"
    models = {"linear": linear, "forest": "random forest"}
    return metric.of(
        target=field.name,
        learner=learner,
        model=models.get(learner, "boosted trees"),
        skill="R²" if field.is_lattice else "AUROC",
        unit=f" in {field.unit}" if field.unit else "",
    )


def _measured(field: Field) -> tuple[Metric, ...]:
    return (RMSE,) if field.is_lattice else tuple(MEASURES)


def unanswered(field: Field, learner: Learner, reason: str) -> list[Score]:
    """Return the scores of a target that cannot be predicted."""
    metrics = (TSTR, TSTR_LOSS, *_measured(field))
    return [_named(metric, field, learner).unanswered(reason) for metric in metrics]


class Judge:
    """Scores predictions of one target for the same holdout rows, with the same resamples."""

    def __init__(
        self, task: prediction_task.Task, tables: Tables, generator: np.random.Generator
    ) -> None:
        self._task, self._field = task, task.field
        self._test, self._truth = task.rows_of(task.test)
        self._classes = [] if task.is_number else prediction_task.tested_classes(self._truth)
        self._averaged = ""
        if not task.is_number and int(task.classes.max()) == 1:
            self._classes = [1]
        elif self._classes:
            classes = counted(len(self._classes), "class", "classes")
            self._averaged = f"Mean over {classes}, each against the rest."
        self._detail = f"{_detail(task, self._test, tables)} {self._averaged}".strip()
        self._resamples = intervals.bootstrap_weights(self._test.patients, generator)
        self._without = intervals.jackknife_sets(self._test.patients, generator).astype(float)

    def scores(self, learner: Learner, fitted: dict[str, Floats]) -> list[Score]:
        """Return every score of one learner: fitted on synthetic, real and independent rows.

        Predictions have the shape (rows,) or (rows, classes), those of independent rows one such for
        each shuffle, whose figures are averaged.
        """
        synthetic, real = (
            prediction_task.skill(self._truth, fitted[name], self._resamples)
            for name in ("synthetic", "real")
        )
        once = np.ones((1, len(self._test)))
        shuffled = [
            prediction_task.skill(self._truth, each, once)[0] for each in fitted["independent"]
        ]
        at_start = {"real": float(real[0]), "independent": float(np.mean(shuffled))}
        return [
            _named(TSTR, self._field, learner).answer(
                synthetic[0],
                _interval(synthetic, self._truth, self._test, fitted["synthetic"]),
                at_start | {"chance": 0.0 if self._task.is_number else 0.5},
                self._detail,
            ),
            _named(TSTR_LOSS, self._field, learner).answer(
                real[0] - synthetic[0],
                intervals.percentile(real - synthetic, "holdout patients"),
                {"independent": at_start["real"] - at_start["independent"], "ideal": 0.0},
                self._detail,
            ),
            *(self._measure(metric, learner, fitted) for metric in _measured(self._field)),
        ]

    def _measure(self, metric: Metric, learner: Learner, fitted: dict[str, Floats]) -> Score:
        named = _named(metric, self._field, learner)
        if self._task.is_number:
            measure: Measure = root_mean_squared_error
            scale, truth = 10.0**self._field.places / self._field.stride, self._truth
        else:
            measure, scale, truth = MEASURES[metric], 1.0, self._truth
        figures = {
            name: self._figures(measure, fitted[name], self._without) / scale
            for name in ("synthetic", "real")
        }
        if not np.isfinite(figures["synthetic"][0]):
            return named.unanswered("the holdout's rows allow no such figure")
        once = np.ones((1, len(self._test)))
        shuffled = [self._figures(measure, each, once)[0] for each in fitted["independent"]]
        references = {
            "real": float(figures["real"][0]),
            "independent": float(np.mean(shuffled)) / scale,
        }
        # What predicting the same for everybody gives.
        shares = np.array([(truth == label).mean() for label in self._classes])
        chance = {
            RMSE: float(truth.std()) / scale if self._task.is_number else 0.0,
            AUPRC: float(shares.mean()) if len(shares) else 0.0,
            BRIER: float((shares * (1 - shares)).mean()) if len(shares) else 0.0,
        }
        if metric in chance:
            references["chance"] = chance[metric]
        else:
            references["ideal"] = 1.0 if metric is SLOPE else 0.0
        bounds = (0.0, 1.0) if metric in (AUPRC, BRIER) else (-np.inf, np.inf)
        interval = intervals.jackknife(figures["synthetic"], "holdout patients", bounds)
        return named.answer(float(figures["synthetic"][0]), interval, references, self._averaged)

    def _figures(self, measure: Measure, predicted: Floats, weights: Floats) -> Floats:
        """Return a measure of a number or of classes, each against the rest, averaged: shape (sets,)."""
        if predicted.ndim == 1:
            return measure(self._truth, predicted, weights)
        return prediction_task.macro_average(
            [
                measure((self._truth == label).astype(float), predicted[:, label], weights)
                for label in self._classes
            ]
        )


def _detail(task: prediction_task.Task, test: Table, tables: Tables) -> str:
    trained = [
        min(len(table), prediction_task.MOST_ROWS) for table in (tables.synthetic, tables.train)
    ]
    patients = counted(test.patient_count, "patient")
    text = (
        f"Tested on {counted(len(test), 'holdout row')} of {patients}; trained on "
        f"{counted(trained[0], 'synthetic row')} or {counted(trained[1], 'real row')} "
        f"('real': TRTR). 'independent' learns from shuffled columns, the mean of {SHUFFLES} shuffles: "
        "near chance."
    )
    if max(len(tables.synthetic), len(tables.train)) > prediction_task.MOST_ROWS:
        text += f" Sampled from {len(tables.synthetic):,} synthetic and {len(tables.train):,} real rows."
    hidden = len(tables.schema.modelled) - len(task.columns) - 1
    if hidden:
        text += f" {counted(hidden, 'column')} that would give the target away left out."
    if len(task.field.categories) > prediction_task.MOST_CLASSES:
        most = prediction_task.MOST_CLASSES - 1
        text += f" All but the {most} most frequent categories count as one class."
    return text


def _interval(
    figures: Floats, truth: NDArray[Any], test: Table, predicted: Floats
) -> Interval | None:
    interval = intervals.percentile(figures, "holdout patients")
    if interval is None or interval.low < interval.high:
        return interval
    if predicted.ndim == 1 or predicted.shape[1] != 2:
        return interval
    positive, negative = (len(np.unique(test.patients[truth == label])) for label in (1, 0))
    return intervals.newcombe(float(figures[0]), positive, negative)
