"""Learners on tables of codes: a linear one, a random forest, boosted trees and a single tree.

scikit-learn is imported when something is fitted: reading a report imports this module.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.rules.values import FIRST_SPECIAL, MISSING

ROUNDS = 100
MOST_DUMMIES = 30
CLIP = 10.0
TREES: dict[str, Any] = {"max_bins": 64, "early_stopping": False, "random_state": 0}
FOREST: dict[str, Any] = {"min_samples_leaf": 5, "max_features": 0.4, "random_state": 0}
FOREST_TREES = 60
TREE: dict[str, Any] = {"max_leaf_nodes": 16, "min_samples_leaf": 20, "random_state": 0}

Learner = Literal["linear", "forest", "boosting", "tree"]


def tree_features(codes: Ints, fields: Sequence[Field]) -> Floats:
    """Return codes, shape (rows, columns), as features for trees, shape (rows, features).

    Missing is NaN, and a number's special values have columns of their own.
    """
    columns = []
    for column, field in zip(codes.T, fields, strict=True):
        columns.append(np.where(column < 0, np.nan, column))
        columns += [(column == FIRST_SPECIAL - i).astype(float) for i in range(len(field.specials))]
    return np.column_stack(columns)


class LinearFeatures:
    """Features for a linear learner, scaled and coded by the rows that it is fitted on.

    Numbers are standardised and clipped at ten standard deviations, their missing and special
    values have indicators; categories have indicators for the 30 most frequent ones.
    """

    def __init__(self, codes: Ints, fields: Sequence[Field]) -> None:
        self._columns = [
            (field.is_lattice, *_scale(column), _levels(column, field))
            for column, field in zip(codes.T, fields, strict=True)
        ]

    def __call__(self, codes: Ints) -> Floats:
        """Return the features of rows, shape (rows, features)."""
        columns = [np.zeros(len(codes))]
        for column, (is_lattice, mean, sd, levels) in zip(codes.T, self._columns, strict=True):
            if is_lattice:
                numbers = np.clip((column - mean) / sd, -CLIP, CLIP)
                columns.append(np.where(column >= 0, numbers, 0.0))
            columns += [(column == level).astype(float) for level in levels]
        return np.column_stack(columns)


def _scale(codes: Ints) -> tuple[float, float]:
    present = codes[codes >= 0]
    if not len(present):
        return 0.0, 1.0
    return float(present.mean()), float(present.std()) or 1.0


def _levels(codes: Ints, field: Field) -> list[int]:
    if field.is_lattice:
        return [MISSING, *(FIRST_SPECIAL - i for i in range(len(field.specials)))]
    counts = np.bincount(codes + 1, minlength=2)
    frequent = np.argsort(-counts, kind="stable")[:MOST_DUMMIES]
    return [int(level) - 1 for level in frequent if counts[level]]


def predict_classes(
    learner: Learner,
    fields: Sequence[Field],
    fit: tuple[Ints, Ints],
    codes: Ints,
    classes: int,
    rounds: int = ROUNDS,
) -> Floats:
    """Return the probability of each class, shape (rows, classes), learnt from (codes, labels).

    A class that the learner never saw has probability zero. `rounds` is how often boosting adds a
    tree for each of up to five classes.
    """
    from sklearn import ensemble, exceptions, linear_model, tree

    features, labels = _features(learner, fields, fit[0]), fit[1]
    trained, tested, seen = features(fit[0]), features(codes), np.unique(labels)
    if len(seen) == 1:
        predicted = np.ones((len(codes), 1))
    elif learner == "boosting":
        rounds = rounds if classes <= 5 else max(10, 5 * rounds // classes)
        predicted = boosted_classes(trained, labels, tested, rounds)
    else:
        models = {
            "linear": linear_model.LogisticRegression(max_iter=300),
            "forest": ensemble.RandomForestClassifier(FOREST_TREES, **FOREST),
            "tree": tree.DecisionTreeClassifier(**TREE),
        }
        # Stopping after 300 steps is good enough for a ranking, and no fault of the caller's.
        with (
            warnings.catch_warnings(action="ignore", category=exceptions.ConvergenceWarning),
            _one_thread(),
        ):
            model = models[learner].fit(trained, labels)
        predicted = model.predict_proba(tested)
    chances = np.zeros((len(codes), classes))
    chances[:, seen] = predicted
    return chances


def predict_numbers(
    learner: Learner,
    fields: Sequence[Field],
    fit: tuple[Ints, Floats],
    codes: Ints,
    rounds: int = ROUNDS,
) -> Floats:
    """Return predicted numbers, shape (rows,), learnt from (codes, numbers)."""
    from sklearn import ensemble, linear_model, tree

    models = {
        "linear": linear_model.Ridge(),
        "forest": ensemble.RandomForestRegressor(FOREST_TREES, **FOREST),
        "boosting": ensemble.HistGradientBoostingRegressor(max_iter=rounds, **TREES),
        "tree": tree.DecisionTreeRegressor(**TREE),
    }
    features = _features(learner, fields, fit[0])
    trained = features(fit[0])
    known = _known(trained) if learner == "boosting" else slice(None)
    with _one_thread():
        model = models[learner].fit(trained[:, known], fit[1])
        return np.asarray(model.predict(features(codes)[:, known]))


def boosted_classes(features: Floats, labels: NDArray[Any], tested: Floats, rounds: int) -> Floats:
    """Return the probability of each class that is in `labels`, shape (tested rows, classes)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    known = _known(features)
    model = HistGradientBoostingClassifier(max_iter=rounds, **TREES)
    with _one_thread():
        return np.asarray(model.fit(features[:, known], labels).predict_proba(tested[:, known]))


def _features(learner: Learner, fields: Sequence[Field], codes: Ints) -> Callable[[Ints], Floats]:
    """Return what makes features of codes for a learner that is fitted on some."""
    if learner == "linear":
        return LinearFeatures(codes, fields)
    if learner == "boosting":
        return lambda codes: tree_features(codes, fields)
    # These trees take no missing value: it is a number below all others.
    return lambda codes: np.nan_to_num(tree_features(codes, fields), nan=-1.0)


def _one_thread() -> Any:
    """Keep a fit to one thread: on a busy machine, more of them wait for each other."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def _known(features: Floats) -> NDArray[np.bool_]:
    """Return the columns that have a value at all: the trees' binning needs one."""
    known = np.asarray(~np.isnan(features).all(axis=0))
    if not known.any():
        features[:, 0], known[0] = 0.0, True
    return known
