"""Attacks by likelihood: records that the synthetic table makes likelier than the population does."""

import numpy as np

from synthvae._types import Floats
from synthvae.attacks.density import Kernel, closest, distances, place
from synthvae.attacks.setup import AttackFindings, People, by_patient, one_row_each
from synthvae.attacks.success import (
    Guesses,
    gain_metric,
    membership_attack,
    membership_metrics,
    worst_risk,
)
from synthvae.evaluation.intervals import delong, rounded
from synthvae.evaluation.learners import tree_features
from synthvae.evaluation.tables import Table, Tables, at_most

_DOMIAS = (
    "Guesses that patients were in train whose records are likelier under the synthetic table than "
    "in a reference sample of the population: where a generator has learnt its rows by heart, the "
    "density is raised around them."
)
DOMIAS = membership_metrics("domias", "Membership attack by density ratio", (_DOMIAS, _DOMIAS))
_CLASSIFIER = (
    "Guesses that patients were in train whose records look synthetic to a classifier that has "
    "learnt to tell synthetic rows from a reference sample of the population."
)
CLASSIFIER = membership_metrics(
    "classifier", "Membership attack by classifier", (_CLASSIFIER, _CLASSIFIER)
)
TRIPWIRE = (
    "Distances to the closest record are a tripwire: they catch copying, but finding nothing is no "
    "evidence of privacy (Yao et al. 2025, 'The DCR Delusion')."
)
CLOSEST = membership_metrics(
    "closest_record",
    "Membership attack by closest record",
    (
        "How well the distance to the closest synthetic row tells patients of train from others: 0.5 "
        f"is a coin's toss. {TRIPWIRE}",
        "Share of train's patients that the attack finds while it accuses at most 1 % of others "
        f"wrongly; guessing finds 1 %. {TRIPWIRE}",
    ),
    tripwire=True,
)
_CALIBRATED = (
    "Guesses that patients were in train whose closest synthetic row is closer than the closest "
    "row of a reference sample of the population: a record in a crowd is close to everything, and "
    "that tells nothing."
)
CALIBRATED = membership_metrics(
    "calibrated_neighbour",
    "Membership attack by calibrated neighbour",
    (_CALIBRATED, _CALIBRATED),
)
NEAR = gain_metric(
    "near_copies",
    "Exact and near copies",
    "How much more often a patient of train has a synthetic row that is as close as the closest 1 % "
    "of real strangers than a patient of the holdout has. The holdout's rate is what chance makes "
    "of a table of this size; less than that proves nothing.",
)
METRICS = (*DOMIAS, *CLASSIFIER, *CLOSEST, *CALIBRATED, NEAR)
STRANGERS = 0.01
SMALLEST = 1e-9  # of a distance, so that a copy's logarithm is finite


def attack_by_density(
    people: People, kernel: Kernel, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by log p(record | synthetic) − log p(record | reference).

    A patient's rows count by the mean of their log ratios.

    References
    ----------
    van Breugel et al. 2023, "Membership Inference Attacks against Synthetic Data through
    Overfitting Detection" (DOMIAS), AISTATS, section 4. The density is `Kernel`, which is made for
    mixed columns, in place of theirs.
    """
    known, reference = (kernel.tokens(table) for table in (people.published, people.reference))

    def score(table: Table) -> Floats:
        asked = kernel.tokens(table)
        ratio = kernel.log_density(asked, known) - kernel.log_density(asked, reference)
        return by_patient(ratio, table)

    return membership_attack(
        DOMIAS,
        "Density ratio (DOMIAS)",
        (score(people.members), score(people.others)),
        generator,
        detail=people.sizes,
    )


def attack_by_classifier(
    people: People, trees: int, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by a classifier's odds that their record is synthetic.

    Extremely randomised trees, grown to single rows: they remember where every synthetic row is,
    and so found copies, noisy copies and the rows of an over-fitted VAE where boosted trees found
    little (docs/attacks.md). A patient's rows count by the mean of their log odds.

    References
    ----------
    Hayes et al. 2019, "LOGAN: Membership Inference Attacks Against Generative Models", PoPETs,
    section 4 (a discriminator with auxiliary knowledge); the trees: Geurts, Ernst & Wehenkel 2006,
    Machine Learning 63.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from threadpoolctl import threadpool_limits

    fields = people.schema.modelled
    known, reference = (
        tree_features(table.codes, fields) for table in (people.published, people.reference)
    )
    labels = np.repeat([1, 0], [len(known), len(reference)])
    model = ExtraTreesClassifier(
        trees, class_weight="balanced", random_state=int(generator.integers(2**31)), n_jobs=1
    )
    sides = []
    with threadpool_limits(limits=1):
        model.fit(_filled(np.concatenate((known, reference))), labels)
        for table in (people.members, people.others):
            chance = model.predict_proba(_filled(tree_features(table.codes, fields)))[:, 1]
            smoothed = (chance * trees + 0.5) / (trees + 1)
            sides.append(by_patient(np.log(smoothed / (1 - smoothed)), table))
    return membership_attack(
        CLASSIFIER,
        "Classifier of synthetic against real rows",
        (sides[0], sides[1]),
        generator,
        detail=f"{trees:,} randomised trees. {people.sizes}",
    )


def _filled(features: Floats) -> Floats:
    """Return features with missing cells below every value: codes begin at 0."""
    return np.where(np.isnan(features), -1.0, features)


def attack_by_closest_record(
    people: People, tables: Tables, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by the distance to the closest synthetic row.

    A patient with several rows counts once, by the mean distance of the rows.

    References
    ----------
    Chen et al. 2020, "GAN-Leaks", CCS, section 4 (full black box); true-positive rates at low
    false-positive rates as in Carlini et al. 2022, "Membership inference attacks from first
    principles", section III; what it cannot show: Yao et al. 2025, "The DCR Delusion".
    """
    sides = _sides(people, people.published)
    copying, _ = delong(*_sides(people, people.members))
    shuffled = at_most(tables.independent, len(people.published), generator)
    independent, _ = delong(*_sides(people, shuffled))
    return membership_attack(
        CLOSEST,
        "Distance to the closest synthetic record",
        sides,
        generator,
        detail=f"{people.sizes} On a copy of the members' own rows the same attack reaches "
        f"{copying:.3f}.",
        references={"independent": rounded(independent)},
    )


def _sides(people: People, published: Table) -> tuple[Floats, Floats]:
    members, others = (
        -distances(side, published, people.schema) for side in (people.members, people.others)
    )
    return members, others


def attack_by_calibrated_neighbour(
    people: People, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by the closest synthetic row against the closest reference row.

    The score is log d(reference) − log d(synthetic), averaged over a patient's rows: with the
    closest neighbour alone, it is the ratio of two nearest-neighbour densities.

    References
    ----------
    Watson et al. 2022, "On the Importance of Difficulty Calibration in Membership Inference
    Attacks", ICLR, section 3 (calibration by a reference), for distances as in Chen et al. 2020.
    """
    frame = people.published
    known, reference = (place(t, frame, people.schema) for t in (frame, people.reference))
    sides = []
    for table in (people.members, people.others):
        asked = place(table, frame, people.schema)
        near, usual = (np.log(closest(asked, other) + SMALLEST) for other in (known, reference))
        sides.append(by_patient(usual - near, table))
    return membership_attack(
        CALIBRATED,
        "Closest synthetic record against closest reference record",
        (sides[0], sides[1]),
        generator,
        detail=people.sizes,
    )


def find_near_copies(people: People, generator: np.random.Generator) -> AttackFindings:
    """Count patients with a synthetic row closer than nearly all strangers are to each other.

    "Close" is the distance that 1 % of the reference's patients have to the closest other one. One
    row of each patient is looked at, drawn at random.
    """
    frame = people.published
    strangers = place(one_row_each(people.reference, generator), frame, people.schema)
    close = float(np.quantile(closest(strangers, strangers, neighbour=1), STRANGERS))
    known = place(frame, frame, people.schema)
    apart = [
        closest(place(one_row_each(side, generator), frame, people.schema), known)
        for side in (people.members, people.others)
    ]
    exact = [int((side == 0).sum()) for side in apart]
    return worst_risk(
        "near_copies",
        NEAR,
        "Exact and near copies",
        {"": Guesses(apart[0] <= close, apart[1] <= close)},
        f"Exact copies: {exact[0]:,} among members, {exact[1]:,} among others. {people.sizes}",
    )
