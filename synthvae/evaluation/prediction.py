"""Would an analyst's models, trained on synthetic rows, work on real ones? TSTR beside TRTR."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from synthvae._types import Floats
from synthvae.evaluation import intervals
from synthvae.evaluation.learners import Learner
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.prediction_metrics import SHUFFLES, Judge, unanswered
from synthvae.evaluation.prediction_task import MOST_ROWS, Task, predict, scored_task, skill
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Table, Tables, at_most, shuffled
from synthvae.schema import Target

LEARNERS: tuple[Learner, ...] = ("linear", "forest", "boosting")
RANKED: tuple[Learner, ...] = (*LEARNERS, "tree")
DRAWN: Learner = "linear"  # the learner that is fitted to further draws, too
SHUFFLED_ROWS = 4000  # at most: of columns without a tie, more rows teach nothing

_metric = partial(Metric, direction="higher", family="predictions", topic="utility")
NO_TARGET = _metric(
    "tstr",
    "Prediction of a target",
    "How well a model trained on synthetic rows predicts a target of real patients.",
    withheld_as="it never has a value",
)
RANK_AGREEMENT = _metric(
    "rank_agreement.<target>",
    "Agreement in the ranking of models of '{target}'",
    "Whether models that are compared on synthetic rows come out in the order in which real rows "
    "put them (Kendall's tau: 1 the same order, 0 none, -1 the reverse), so that an analyst may "
    "choose a model on synthetic rows.",
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


def compare_utility(
    tables: Tables, generator: np.random.Generator
) -> tuple[list[Score], dict[str, Predictions]]:
    """Return, for each declared target and learner, the skill on holdout rows and what it loses.

    The learners are fitted on the synthetic table (TSTR), on train (TRTR) and on train's columns
    shuffled independently, several times, and scored on the same holdout rows. The predictions by
    target come with the scores, for other scores.

    References
    ----------
    Esteban, Hyland & Rätsch 2017, "Real-valued (medical) time series generation with recurrent
    conditional GANs", section 4 (TSTR); Provost & Domingos 2003, Machine Learning 52 (AUROC of
    each class against the rest), averaged with equal weights, so that rare classes count.
    """
    if not tables.schema.target:
        reason = "the schema declares no target; name one under `target`"
        return [NO_TARGET.unanswered(reason)], {}
    scores: list[Score] = []
    predictions = {}
    sources = {"synthetic": tables.synthetic, "real": tables.train}
    shuffles = _shuffles(tables, generator)
    for target in tables.schema.target:
        ranking = RANK_AGREEMENT.of(target=target.column)
        task = scored_task(tables, target, generator)
        if isinstance(task, str):
            for learner in LEARNERS:
                scores += unanswered(tables.schema[target.column], learner, task)
            scores.append(ranking.unanswered(task))
            continue
        rows = {name: at_most(table, MOST_ROWS, generator) for name, table in sources.items()}
        fitted = {
            learner: {
                **{name: predict(learner, task, table) for name, table in rows.items()},
                "independent": np.stack([predict(learner, task, table) for table in shuffles]),
            }
            for learner in RANKED
        }
        judge = Judge(task, tables, generator)
        for learner in LEARNERS:
            scores += judge.scores(learner, fitted[learner])
        scores.append(_compare_ranks(ranking, task, fitted, generator))
        predictions[target.column] = Predictions(task, fitted["boosting"])
    return scores, predictions


def _shuffles(tables: Tables, generator: np.random.Generator) -> list[Table]:
    """Return train's columns, each shuffled on its own, several times; the generator draws no less."""
    rows = min(len(tables.train), len(tables.synthetic), SHUFFLED_ROWS)
    return [shuffled(tables.train, rows, child) for child in generator.spawn(SHUFFLES)]


def drawn_skill(tables: Tables, target: Target, generator: np.random.Generator) -> float | None:
    """Return the skill of one learner fitted on the synthetic rows alone; None without any."""
    task = scored_task(tables, target, generator)
    if isinstance(task, str):
        return None
    test, truth = task.rows_of(task.test)
    predicted = predict(DRAWN, task, at_most(tables.synthetic, MOST_ROWS, generator))
    value = float(skill(truth, predicted, np.ones((1, len(test))))[0])
    return value if np.isfinite(value) else None


def _compare_ranks(
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
    weights = intervals.bootstrap_weights(test.patients, generator)
    skills = {
        name: np.stack([skill(truth, predicted[name], weights) for predicted in fitted.values()])
        for name in ("synthetic", "real")
    }
    taus = _taus(skills["synthetic"], skills["real"])
    once = weights[:1]
    by_chance = [
        np.stack([skill(truth, predicted["independent"][i], once) for predicted in fitted.values()])
        for i in range(SHUFFLES)
    ]
    without = np.mean([_taus(each, skills["real"][:, :1]) for each in by_chance])
    best = {name: list(fitted)[int(np.nanargmax(each[:, 0]))] for name, each in skills.items()}
    same = "the same" if best["synthetic"] == best["real"] else "another"
    return ranking.answer(
        taus[0],
        intervals.percentile(taus, "holdout patients"),
        {"independent": float(without), "ideal": 1.0},
        f"{len(fitted)} models: {', '.join(fitted)}. Synthetic rows put {same} model first "
        f"({best['synthetic']}; real rows: {best['real']}). Where models are equally good, their "
        "order is chance.",
    )


def _taus(first: Floats, second: Floats) -> Floats:
    """Return Kendall's tau-b of each column of two arrays, 0 where one of them has no order."""
    taus = [stats.kendalltau(a, b).statistic for a, b in zip(first.T, second.T, strict=True)]
    return np.asarray(np.nan_to_num(np.array(taus, float)))
