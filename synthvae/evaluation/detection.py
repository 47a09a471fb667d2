"""Can a classifier tell synthetic rows from real ones? The classifier two-sample test."""

import numpy as np

from synthvae._types import Floats, Ints
from synthvae.evaluation.intervals import percentile, resample_weights, weighted_auc
from synthvae.evaluation.learners import boosted_classes, tree_features
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.evaluation.values import Score
from synthvae.schema import Schema

FOLDS = 3
ROUNDS = 60
MOST_ROWS = 4000
LEAST_PATIENTS = 30

C2ST = Metric(
    "c2st",
    "Telling synthetic from real (C2ST AUC)",
    "How well a classifier that saw both kinds tells a synthetic row from a real one: 0.5 is a "
    "coin's toss, 1 means that every row gives itself away. It finds any difference, small ones "
    "too; how much a difference matters, the other scores say.",
    "towards",
    family="detection",
    topic="fidelity",
    goal=0.5,
    threshold=Limits(
        0.1,
        0.2,
        "Hosmer, Lemeshow & Sturdivant 2013, Applied Logistic Regression, section 5.2.4: from an AUC "
        "of 0.7 on, discrimination counts as acceptable, here poor; that 0.6 is good is our own line",
        "literature",
    ),
    disclosure="grid",
    headline=True,
)
METRICS = (C2ST,)


def tell_apart(tables: Tables, generator: np.random.Generator) -> tuple[Score, ...]:
    """Return the AUC with which boosted trees tell synthetic rows from holdout rows.

    References
    ----------
    Lopez-Paz & Oquab 2017, "Revisiting Classifier Two-Sample Tests", ICLR.
    """
    everything = (tables.holdout, tables.synthetic, tables.train)
    fewest = min(table.patient_count for table in everything)
    if fewest < LEAST_PATIENTS:
        reason = (
            f"needs {LEAST_PATIENTS} patients (or rows) in each table; the smallest has {fewest}"
        )
        return (C2ST.unanswered(reason),)
    rows = min(*(len(table) for table in everything), MOST_ROWS)
    real, synthetic, train, independent = (
        at_most(table, rows, generator)
        for table in (tables.holdout, tables.synthetic, tables.train, tables.independent)
    )
    schema = tables.schema
    figures = separation(real, synthetic, schema, generator)
    score = C2ST.answer(
        figures[0],
        percentile(figures[1:], "patients and synthetic rows"),
        {
            "holdout": float(separation(real, train, schema, generator)[0]),
            "independent": float(separation(real, independent, schema, generator)[0]),
            "chance": 0.5,
        },
        f"Boosted trees, {FOLDS}-fold cross-validation, {rows:,} holdout rows against as many "
        "others; 'holdout' is the holdout against train, both real.",
    )
    return (score,)


def separation(real: Table, other: Table, schema: Schema, generator: np.random.Generator) -> Floats:
    """Return the cross-validated AUC, and then that of each bootstrap of the patients.

    All rows of a patient are in the same fold.
    """
    features = np.concatenate([tree_features(t.codes, schema.modelled) for t in (real, other)])
    is_other = np.repeat([False, True], [len(real), len(other)])
    whose = np.r_[real.patients, other.patients + 1 + real.patients.max()]
    folds = np.concatenate([_folds(table.patients, generator) for table in (real, other)])
    chances = np.zeros(len(features))
    for fold in range(FOLDS):
        learn, test = folds != fold, folds == fold
        found = boosted_classes(features[learn], is_other[learn], features[test], ROUNDS)
        chances[test] = found[:, 1]
    weights = np.r_[np.ones((1, len(features))), resample_weights(whose, generator)]
    return weighted_auc(chances, is_other, weights)


def _folds(patients: Ints, generator: np.random.Generator) -> Ints:
    whose = np.unique(patients, return_inverse=True)[1]
    return np.asarray(generator.permutation(int(whose.max()) + 1)[whose] % FOLDS)
