"""The shadow-model attack: does training on a vulnerable record show in what is sampled?"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from synthvae._runtime import Progress
from synthvae._types import Bools, Floats, Ints
from synthvae.attacks import setup
from synthvae.attacks.density import Kernel, closest, embed
from synthvae.attacks.success import membership_attack, membership_metrics, not_run
from synthvae.evaluation.tables import Table, Tables, read_synthetic
from synthvae.schema import Schema
from synthvae.table import decode

Retrain = Callable[[pd.DataFrame, int], pd.DataFrame]

NEIGHBOURS = 5
MOST_SEARCHED = 5000  # patients of the holdout among whom the most vulnerable are sought
MOST_ROWS = 5000  # that a shadow model is trained on
LEAST_POOL = 40  # patients of the holdout who are no targets
WORK = 6_000_000  # cells that all shadow models together are trained on
LEAST_SHADOWS = 16

SHADOW = membership_metrics(
    "shadow",
    "Shadow-model attack on vulnerable records",
    "Trains the same kind of generator again and again on a sample of the population, with and "
    "without the records of its most vulnerable patients, and guesses from what it samples which "
    "were in. It attacks the procedure, on retrained models, not the table that is released; and it "
    "aims at the worst cases, not at the average patient.",
)


def attack_by_shadow_models(
    tables: Tables,
    effort: setup.Effort,
    retrain: Retrain | None,
    generator: np.random.Generator,
    progress: Progress,
) -> setup.AttackFindings:
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
    _, holdout = setup.without_shared(tables)
    needed = LEAST_POOL + effort.targets
    if holdout.patient_count < needed:
        return not_run(
            SHADOW,
            f"needs {needed} patients in the holdout; there are {holdout.patient_count}",
        )
    schema = tables.schema
    targets = vulnerable(holdout, schema, effort.targets, generator)
    aims = np.concatenate([target.patients for target in targets])
    pool = holdout.take(~np.isin(holdout.patients, aims))
    rows = min(len(pool) // 2, MOST_ROWS)
    shadows = shadow_count(rows * len(schema.modelled), effort.shadows)
    inside = _memberships(shadows, len(targets), generator)
    features = _train(schema, targets, pool, inside, retrain, generator, progress)
    sides = _guess(features, inside)
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
    """Return how many models, each of `cells` cells, are trained.

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
    searched = setup.sample_patients(holdout, np.unique(holdout.patients), MOST_SEARCHED, generator)
    patients, first = np.unique(searched.patients, return_index=True)
    points = embed(searched.take(first), searched, schema)
    near = range(1, min(NEIGHBOURS, len(points) - 1) + 1)
    isolation = np.mean([closest(points, points, neighbour) for neighbour in near], axis=0)
    worst = patients[np.argsort(-isolation, kind="stable")[:number]]
    return [searched.take(searched.patients == patient) for patient in worst]


def _memberships(shadows: int, targets: int, generator: np.random.Generator) -> Bools:
    """Return who is in which model, shape (shadows, targets).

    Each target is in half of the models that teach the attack, and in half of those it guesses.
    """
    return np.concatenate(
        [
            generator.random((models, targets)).argsort(axis=0) < models // 2
            for models in (shadows // 2, shadows - shadows // 2)
        ]
    )


def _train(
    schema: Schema,
    targets: list[Table],
    pool: Table,
    inside: Bools,
    retrain: Retrain,
    generator: np.random.Generator,
    progress: Progress,
) -> Floats:
    """Return what each model shows of each target, shape (shadows, targets, features)."""
    patients = np.unique(pool.patients)
    half = min(len(patients) // 2, max(1, MOST_ROWS * len(patients) // len(pool)))
    kernel = Kernel(schema, pool)
    features = []
    for number, present in enumerate(inside):
        progress(f"shadow model {number + 1} of {len(inside)}", number / len(inside))
        drawn = setup.sample_patients(pool, patients, half, generator)
        rows = [drawn, *(target for target, one in zip(targets, present, strict=True) if one)]
        synthetic = retrain(as_frame(rows, schema), int(generator.integers(2**31)))
        features.append(_features(read_synthetic(synthetic, schema), schema, targets, kernel, pool))
    return np.stack(features)


def as_frame(tables: list[Table], schema: Schema) -> pd.DataFrame:
    """Return the rows of several tables as one data frame, with keys that say whose row it is."""
    frame = decode(np.concatenate([table.codes for table in tables]), schema)
    whose = np.concatenate([table.patients for table in tables])
    for name in schema.identifiers.intersection(schema.key_columns):
        frame.insert(0, name, [str(patient) for patient in whose])
    return frame


def _features(
    synthetic: Table, schema: Schema, targets: list[Table], kernel: Kernel, pool: Table
) -> Floats:
    """Return density, distance and counts near each target, shape (targets, features)."""
    known, points = kernel.tokens(synthetic), embed(synthetic, pool, schema)
    features = []
    for target in targets:
        tokens = kernel.tokens(target)
        near = closest(embed(target, pool, schema), points)
        density = kernel.log_density(tokens, known)
        features.append(np.r_[density.mean(), near.mean(), _agreement(kernel, tokens, known)])
    return np.stack(features)


def _agreement(kernel: Kernel, target: Ints, known: Ints) -> Floats:
    """Return the logarithm of how many rows agree with a target in 40, 60 and 80 % of columns."""
    columns = target.shape[1]
    agreeing = sum(
        (kernel.log_weights(target, known, np.array([j])) > 0).astype(np.int64)
        for j in range(columns)
    )
    least = np.ceil(np.array([0.4, 0.6, 0.8]) * columns)
    return np.log1p([float((agreeing >= number).sum(axis=1).mean()) for number in least])


def _guess(features: Floats, inside: Bools) -> tuple[Floats, Floats]:
    """Return the scores of presences and of absences in the models that did not teach the attack."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    half = len(features) // 2
    mean, spread = features[:half].mean(axis=0), features[:half].std(axis=0)
    scaled = np.clip((features - mean) / np.where(spread > 0, spread, 1.0), -5, 5)
    model = LogisticRegression(C=0.1)
    with threadpool_limits(limits=1):
        model.fit(scaled[:half].reshape(-1, scaled.shape[-1]), inside[:half].ravel())
        scores = model.decision_function(scaled[half:].reshape(-1, scaled.shape[-1]))
    present = inside[half:].ravel()
    return scores[present], scores[~present]
