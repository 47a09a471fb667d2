"""Learners on tables of codes: a linear one, a random forest, boosted trees and a single tree.

scikit-learn is imported when something is fitted: reading a report imports this module.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from synthvae._types import Floats, Ints
from synthvae.field import Field
from synthvae.table.codes import FIRST_SPECIAL, MISSING

ROUNDS = 100
MOST_DUMMIES = 30
CLIP = 10.0
TREES: dict[str, Any] = {"max_bins": 64, "early_stopping": False, "random_state": 0}
FOREST: dict[str, Any] = {"min_samples_leaf": 5, "max_features": 0.4, "random_state": 0}
FOREST_TREES = 60
TREE: dict[str, Any] = {"max_leaf_nodes": 16, "min_samples_leaf": 20, "random_state": 0}

Learner = Literal["linear", "forest", "boosting", "tree"]


def tree_features(codes: Ints, fields: Sequence[Field]) -> Floats:
    """Return codes as features for trees: missing is NaN, a number's special values have columns.

    Parameters
    ----------
    codes
        Shape (rows, columns).

    Returns
    -------
    ndarray
        Shape (rows, features).
    """
    columns = []
    for j, field in enumerate(fields):
        values = codes[:, j].astype(float)
        values[codes[:, j] < 0] = np.nan
        columns.append(values)
        for i in range(len(field.special)):
            columns.append((codes[:, j] == FIRST_SPECIAL - i).astype(float))
    return np.column_stack(columns)


class LinearFeatures:
    """Features for a linear learner, scaled and coded by the rows that it is fitted on.

    Numbers are standardised and clipped at ten standard deviations, their missing and special
    values have indicators; categories have indicators for the 30 most frequent ones.
    """

    def __init__(self, codes: Ints, fields: Sequence[Field]) -> None:
        self._scales = [_scale(codes[:, j]) for j in range(len(fields))]
        self._levels = [_levels(codes[:, j], field) for j, field in enumerate(fields)]
        self._lattice = [field.is_lattice for field in fields]

    def __call__(self, codes: Ints) -> Floats:
        """Return the features of rows, shape (rows, features)."""
        columns = [np.zeros(len(codes))]
        for j, (mean, spread) in enumerate(self._scales):
            if self._lattice[j]:
                numbers = np.clip((codes[:, j] - mean) / spread, -CLIP, CLIP)
                columns.append(np.where(codes[:, j] >= 0, numbers, 0.0))
            columns += [(codes[:, j] == level).astype(float) for level in self._levels[j]]
        return np.column_stack(columns)


def _scale(codes: Ints) -> tuple[float, float]:
    present = codes[codes >= 0]
    if not len(present):
        return 0.0, 1.0
    return float(present.mean()), float(present.std()) or 1.0


def _levels(codes: Ints, field: Field) -> list[int]:
    if field.is_lattice:
        return [MISSING, *(FIRST_SPECIAL - i for i in range(len(field.special)))]
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
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.tree import DecisionTreeClassifier

    seen_codes, labels = fit
    seen = np.unique(labels)
    rounds = rounds if classes <= 5 else max(10, 5 * rounds // classes)
    model: Any
    if learner == "linear":
        prepare = LinearFeatures(seen_codes, fields)
        model = LogisticRegression(max_iter=300)
        with warnings.catch_warnings(), _one_thread():
            # Stopping after 300 steps is good enough for a ranking, and no fault of the caller's.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(prepare(seen_codes), labels)
        found = model.predict_proba(prepare(codes))
    elif learner == "boosting":
        found = boosted_classes(
            tree_features(seen_codes, fields), labels, tree_features(codes, fields), rounds
        )
    elif len(seen) == 1:
        found = np.ones((len(codes), 1))
    else:
        forest = RandomForestClassifier(FOREST_TREES, **FOREST)
        model = forest if learner == "forest" else DecisionTreeClassifier(**TREE)
        found = _fitted(model, fields, fit).predict_proba(_filled(codes, fields))
    chances = np.zeros((len(codes), classes))
    chances[:, seen] = found
    return chances


def predict_numbers(
    learner: Learner,
    fields: Sequence[Field],
    fit: tuple[Ints, Floats],
    codes: Ints,
    rounds: int = ROUNDS,
) -> Floats:
    """Return predicted numbers, shape (rows,), learnt from (codes, numbers)."""
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
    from sklearn.linear_model import Ridge
    from sklearn.tree import DecisionTreeRegressor

    seen_codes, numbers = fit
    if learner == "linear":
        prepare = LinearFeatures(seen_codes, fields)
        with _one_thread():
            return np.asarray(Ridge().fit(prepare(seen_codes), numbers).predict(prepare(codes)))
    if learner != "boosting":
        forest = RandomForestRegressor(FOREST_TREES, **FOREST)
        grown = forest if learner == "forest" else DecisionTreeRegressor(**TREE)
        found = _fitted(grown, fields, fit).predict(_filled(codes, fields))
        return np.asarray(found)
    features, asked = tree_features(seen_codes, fields), tree_features(codes, fields)
    known = _known(features)
    model = HistGradientBoostingRegressor(max_iter=rounds, **TREES)
    with _one_thread():
        return np.asarray(model.fit(features[:, known], numbers).predict(asked[:, known]))


def _filled(codes: Ints, fields: Sequence[Field]) -> Floats:
    """Return features for trees that take no missing value: it is a number below all others."""
    return np.nan_to_num(tree_features(codes, fields), nan=-1.0)


def _fitted(model: Any, fields: Sequence[Field], fit: tuple[Ints, NDArray[Any]]) -> Any:
    with _one_thread():
        return model.fit(_filled(fit[0], fields), fit[1])


def boosted_classes(features: Floats, labels: NDArray[Any], asked: Floats, rounds: int) -> Floats:
    """Return the probability of each class that is in `labels`, shape (rows asked, classes)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    known = _known(features)
    model = HistGradientBoostingClassifier(max_iter=rounds, **TREES)
    with _one_thread():
        return np.asarray(model.fit(features[:, known], labels).predict_proba(asked[:, known]))


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
