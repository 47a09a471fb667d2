"""The shadow-model attack: does training on a vulnerable record show in what is sampled?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthvae._runtime import Progress
from synthvae._types import Floats, Ints
from synthvae.attacks.density import Kernel, closest, place
from synthvae.attacks.setup import AttackFindings, Effort, some_patients, without_shared
from synthvae.attacks.success import membership_attack, membership_metrics, not_run
from synthvae.evaluation.tables import Table, Tables
from synthvae.schema import Schema
from synthvae.table import MISSING, decode, inspect

Retrain = Callable[[pd.DataFrame, int], pd.DataFrame]

NEIGHBOURS = 5
MOST_SEARCHED = 5000  # patients of the holdout among whom the most vulnerable are sought
MOST_ROWS = 5000  # that a shadow model is trained on
LEAST_POOL = 40
WORK = 6_000_000  # cells that all shadow models together are trained on
LEAST_SHADOWS = 16

_MEANING = (
    "Trains the same kind of generator again and again on a sample of the population, with and "
    "without the records of its most vulnerable patients, and guesses from what it samples which "
    "were in. It attacks the procedure, on retrained models, not the table that is released; and it "
    "aims at the worst cases, not at the average patient."
)
SHADOW = membership_metrics(
    "shadow", "Shadow-model attack on vulnerable records", (_MEANING, _MEANING)
)
METRICS = SHADOW


@dataclass(frozen=True)
class _Worlds:
    """What the shadow models showed: features of shape (shadows, targets, features); who was in."""

    features: Floats
    inside: np.ndarray[tuple[int, int], np.dtype[np.bool_]]


def attack_by_shadow_models(
    tables: Tables,
    effort: Effort,
    retrain: Retrain | None,
    generator: np.random.Generator,
    progress: Progress,
) -> AttackFindings:
    """Guess which vulnerable records a retrained generator saw, from what it sampled.

    Targets are the patients of the holdout with the largest mean distance to their five nearest
    neighbours. Each shadow model is trained on a random half of the other patients of the holdout and
    on each target with probability 1/2. No model is trained on a patient of train: that would be a
    further use of their records, which their budget does not cover. Half of the models teach a
    classifier what the presence of a target does to counts, density and distance near it; the other
    half are guessed. Their number follows from the numbers of rows and columns, never from a clock;
    where the generator's noise cannot be repeated, as under differential privacy, neither can the
    findings.

    References
    ----------
    Meeus, Guépin, Creţu & de Montjoye 2023, "Achilles' Heels: Vulnerable Record Identification in
    Synthetic Data Publishing", ESORICS, section 4; counts of rows like the target as features:
    Houssiau et al. 2022, "TAPAS", section 4; random membership of many targets at once: Carlini et
    al. 2022, section V.
    """
    if not effort.shadows:
        return not_run(SHADOW, "shadow models are trained at depth 'deep' only")
    if retrain is None:
        return not_run(
            SHADOW, "there is a table only, and no generator to train again: `synthvae run` has one"
        )
    _, holdout, _ = without_shared(tables)
    needed = LEAST_POOL + effort.targets
    if holdout.patient_count < needed:
        return not_run(
            SHADOW,
            f"needs {needed} patients in the holdout; there are {holdout.patient_count}",
        )
    schema = tables.schema
    targets = vulnerable(holdout, schema, effort.targets, generator)
    aimed = np.concatenate([target.patients for target in targets])
    pool = holdout.take(~np.isin(holdout.patients, aimed))
    rows = min(len(pool) // 2, MOST_ROWS)
    shadows = shadow_count(rows * len(schema.modelled), effort.shadows)
    worlds = _train(schema, targets, pool, retrain, shadows, generator, progress)
    sides = _guess(worlds)
    return membership_attack(
        SHADOW,
        "Shadow models of the most vulnerable records",
        sides,
        generator,
        detail=f"{len(targets)} targets in {shadows} models of the same kind, each trained on about "
        f"{rows:,} rows of the holdout; half of the models taught the attack, and it guessed "
        f"{len(sides[0]):,} presences and {len(sides[1]):,} absences in the other half.",
    )


def shadow_count(cells: int, most: int) -> int:
    """Return how many models of so many cells each are trained.

    Examples
    --------
    >>> shadow_count(10_000, 40), shadow_count(200_000, 40), shadow_count(10_000_000, 40)
    (40, 30, 16)
    """
    return max(min(LEAST_SHADOWS, most), min(most, WORK // max(cells, 1)))


def vulnerable(
    holdout: Table, schema: Schema, number: int, generator: np.random.Generator
) -> list[Table]:
    """Return the rows of the patients who are farthest from their nearest neighbours.

    References
    ----------
    Meeus et al. 2023, section 4: the mean distance to the five closest records.
    """
    searched = some_patients(holdout, np.unique(holdout.patients), MOST_SEARCHED, generator)
    patients, first = np.unique(searched.patients, return_index=True)
    points = place(searched.take(first), searched, schema)
    near = range(1, min(NEIGHBOURS, len(points) - 1) + 1)
    apart = np.mean([closest(points, points, neighbour) for neighbour in near], axis=0)
    worst = patients[np.argsort(-apart, kind="stable")[:number]]
    return [searched.take(searched.patients == patient) for patient in worst]


def _train(
    schema: Schema,
    targets: list[Table],
    pool: Table,
    retrain: Retrain,
    shadows: int,
    generator: np.random.Generator,
    progress: Progress,
) -> _Worlds:
    patients = np.unique(pool.patients)
    half = min(len(patients) // 2, max(1, MOST_ROWS * len(patients) // len(pool)))
    kernel = Kernel(schema, pool)
    inside = _balanced(shadows, len(targets), generator)
    features = []
    for number, present in enumerate(inside):
        progress(f"shadow model {number + 1} of {shadows}", number / shadows)
        drawn = some_patients(pool, patients, half, generator)
        rows = [drawn, *(target for target, one in zip(targets, present, strict=True) if one)]
        made = retrain(as_frame(rows, schema), int(generator.integers(2**31)))
        features.append(_look(made, schema, targets, kernel, pool))
    return _Worlds(np.stack(features), inside)


def _balanced(
    shadows: int, targets: int, generator: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return who is in which model: each target in half of either half of the models."""
    sides = []
    for models in (shadows // 2, shadows - shadows // 2):
        ranks = generator.random((models, targets)).argsort(axis=0)
        sides.append(ranks < models // 2)
    return np.concatenate(sides)


def as_frame(tables: list[Table], schema: Schema) -> pd.DataFrame:
    """Return the rows of several tables as one data frame, with keys that say whose row it is."""
    frame = decode(np.concatenate([table.codes for table in tables]), schema)
    if schema.patientKey is not None:
        whose = np.concatenate([table.patients for table in tables])
        frame.insert(0, schema.patientKey, [str(patient) for patient in whose])
    return frame


def _look(
    made: pd.DataFrame, schema: Schema, targets: list[Table], kernel: Kernel, pool: Table
) -> Floats:
    """Return what can be seen near each target, shape (targets, features)."""
    cells, invalid, _ = inspect(made[[field.name for field in schema.modelled]], schema)
    codes = np.where(invalid, MISSING, cells)
    published = Table(codes, invalid, np.arange(len(codes)))
    known, points = kernel.tokens(published), place(published, pool, schema)
    seen = []
    for target in targets:
        asked = kernel.tokens(target)
        near = closest(place(target, pool, schema), points)
        density = kernel.log_density(asked, known)
        counts = _alike(kernel, asked, known)
        seen.append(np.r_[density.mean(), near.mean(), counts])
    return np.stack(seen)


def _alike(kernel: Kernel, asked: Ints, known: Ints) -> Floats:
    """Return the logarithm of how many rows agree with a target in 40, 60 and 80 % of columns."""
    columns = asked.shape[1]
    agree = sum(
        (kernel.log_weights(asked, known, np.array([j])) > 0).astype(np.int64)
        for j in range(columns)
    )
    wanted = np.ceil(np.array([0.4, 0.6, 0.8]) * columns)
    return np.log1p([float((agree >= least).sum(axis=1).mean()) for least in wanted])


def _guess(worlds: _Worlds) -> tuple[Floats, Floats]:
    """Return the scores of presences and of absences in the half that was not learnt from."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    taught = len(worlds.features) // 2
    mean, spread = worlds.features[:taught].mean(axis=0), worlds.features[:taught].std(axis=0)
    scaled = np.clip((worlds.features - mean) / np.where(spread > 0, spread, 1.0), -5, 5)
    model = LogisticRegression(C=0.1)
    with threadpool_limits(limits=1):
        model.fit(scaled[:taught].reshape(-1, scaled.shape[-1]), worlds.inside[:taught].ravel())
        scores = model.decision_function(scaled[taught:].reshape(-1, scaled.shape[-1]))
    inside = worlds.inside[taught:].ravel()
    return scores[inside], scores[~inside]
