"""Would an analyst's models, trained on synthetic rows, work on real ones? TSTR beside TRTR."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from synthvae._types import Floats
from synthvae.evaluation.intervals import percentile, resample_weights
from synthvae.evaluation.learners import Learner
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.prediction_metrics import Judge, unanswered
from synthvae.evaluation.prediction_task import MOST_ROWS, Task, make_task, predict, skill, why_not
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Tables, at_most
from synthvae.schema import Target

LEARNERS: tuple[Learner, ...] = ("linear", "forest", "boosting")
RANKED: tuple[Learner, ...] = (*LEARNERS, "tree")
DRAWN: Learner = "linear"  # the learner that is fitted to further draws, too


_metric = partial(Metric, family="predictions", topic="utility")
NO_TARGET = _metric(
    "tstr",
    "Prediction of a target",
    "How well a model trained on synthetic rows predicts a target of real patients.",
    "higher",
    withheld_as="it never has a value",
)
RANK_AGREEMENT = _metric(
    "rank_agreement.<target>",
    "Agreement in the ranking of models of '{target}'",
    "Whether models that are compared on synthetic rows come out in the order in which real rows "
    "put them (Kendall's tau: 1 the same order, 0 none, -1 the reverse), so that an analyst may "
    "choose a model on synthetic rows.",
    "higher",
    goal=1.0,
    threshold=Limits(0.6, 0.0, "at most one pair of four models out of order"),
    disclosure="grid",
)
METRICS = (NO_TARGET, RANK_AGREEMENT)


@dataclass(frozen=True)
class Predictions:
    """What boosted trees fitted on synthetic and on real rows predict for the holdout."""

    task: Task
    fitted: dict[str, Floats]


@dataclass(frozen=True)
class UtilityFindings:
    """The scores of every target, and the predictions that other scores look at again."""

    scores: tuple[Score, ...]
    predictions: dict[str, Predictions]


def compare_utility(tables: Tables, generator: np.random.Generator) -> UtilityFindings:
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
        reason = "the schema declares no target; name one under `target`"
        return UtilityFindings((NO_TARGET.unanswered(reason),), {})
    scores: list[Score] = []
    predictions = {}
    for target in tables.schema.target:
        found, seen = _compare(tables, target, generator)
        scores += found
        if seen is not None:
            predictions[target.column] = seen
    return UtilityFindings(tuple(scores), predictions)


def _compare(
    tables: Tables, target: Target, generator: np.random.Generator
) -> tuple[list[Score], Predictions | None]:
    ranking = RANK_AGREEMENT.of(target=target.column)
    task, reason = possible_task(tables, target, generator)
    if task is None or reason is not None:
        reason = reason or ""
        field = tables.schema[target.column]
        missed = [score for learner in LEARNERS for score in unanswered(field, learner, reason)]
        return [*missed, ranking.unanswered(reason)], None
    sources = {
        "synthetic": tables.synthetic,
        "real": tables.train,
        "independent": tables.independent,
    }
    some = {name: at_most(table, MOST_ROWS, generator) for name, table in sources.items()}
    fitted = {
        learner: {name: predict(learner, task, table) for name, table in some.items()}
        for learner in RANKED
    }
    judge = Judge(task, tables, generator)
    scores = [score for learner in LEARNERS for score in judge.scores(learner, fitted[learner])]
    scores.append(_ranks(ranking, task, fitted, generator))
    return scores, Predictions(task, fitted["boosting"])


def possible_task(
    tables: Tables, target: Target, generator: np.random.Generator
) -> tuple[Task | None, str | None]:
    """Return the task of predicting a target, or why there is none."""
    if target.column in tables.schema.identifiers:
        return None, "the target is an identifier, never modelled"
    task = make_task(tables, target, generator)
    return task, why_not(task, tables)


def drawn_skill(tables: Tables, target: Target, generator: np.random.Generator) -> float | None:
    """Return the skill of one learner fitted on the synthetic rows alone; None without any."""
    task, reason = possible_task(tables, target, generator)
    if task is None or reason is not None:
        return None
    test, truth = task.rows_of(task.test)
    predicted = predict(DRAWN, task, at_most(tables.synthetic, MOST_ROWS, generator))
    found = float(skill(truth, predicted, np.ones((1, len(test))))[0])
    return found if np.isfinite(found) else None


def _ranks(
    ranking: Metric,
    task: Task,
    fitted: dict[Learner, dict[str, Floats]],
    generator: np.random.Generator,
) -> Score:
    """Return Kendall's tau between the skills after training on synthetic and on real rows.

    References
    ----------
    Jordon, Yoon & van der Schaar 2018, "Measuring the quality of synthetic data for use in
    competitions", section 3: the ranking of models as the thing to keep.
    """
    test, truth = task.rows_of(task.test)
    weights = np.r_[np.ones((1, len(test))), resample_weights(test.patients, generator)]
    skills = {
        name: np.stack([skill(truth, found[name], weights) for found in fitted.values()])
        for name in ("synthetic", "real", "independent")
    }
    taus = {
        name: _taus(figures, skills["real"]) for name, figures in skills.items() if name != "real"
    }
    best = {
        name: list(fitted)[int(np.nanargmax(skills[name][:, 0]))] for name in taus | {"real": 0}
    }
    same = "the same" if best["synthetic"] == best["real"] else "another"
    return ranking.answer(
        taus["synthetic"][0],
        percentile(taus["synthetic"][1:], "holdout patients"),
        {"independent": float(taus["independent"][0]), "ideal": 1.0},
        f"{len(fitted)} models: {', '.join(fitted)}. Synthetic rows put {same} model first "
        f"({best['synthetic']}; real rows: {best['real']}). Where models are equally good, their "
        "order is chance.",
    )


def _taus(first: Floats, second: Floats) -> Floats:
    """Return Kendall's tau-b of each column of two arrays, 0 where one of them has no order."""
    found = [stats.kendalltau(a, b).statistic for a, b in zip(first.T, second.T, strict=True)]
    return np.asarray(np.nan_to_num(np.array(found, float)))
