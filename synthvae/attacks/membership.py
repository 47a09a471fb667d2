"""Attacks that guess who was in train: by density, by classifier, and by distance to synthetic rows."""

import numpy as np

from synthvae._types import Floats
from synthvae.attacks.density import closest, distances, patient_means
from synthvae.attacks.setup import AttackFindings, Cohort, one_row_per_patient
from synthvae.attacks.success import gain_metric, membership_attack, membership_metrics, worst_risk
from synthvae.evaluation import intervals
from synthvae.evaluation.learners import tree_features
from synthvae.evaluation.tables import Table, at_most

STRANGERS = 0.01  # share of strangers who are as close to each other as a near copy is
SMALLEST = 1e-9  # of a distance, so that a copy's logarithm is finite

DOMIAS = membership_metrics(
    "domias",
    "Membership attack by density ratio",
    "Guesses that patients were in train whose records are likelier under the synthetic table than "
    "in a reference sample of the population: where a generator has learnt its rows by heart, the "
    "density is raised around them.",
)
CLASSIFIER = membership_metrics(
    "classifier",
    "Membership attack by classifier",
    "Guesses that patients were in train whose records look synthetic to a classifier that has "
    "learnt to tell synthetic rows from a reference sample of the population.",
)
TRIPWIRE = (
    "Distances to the closest record are a tripwire: they catch copying, but finding nothing is no "
    "evidence of privacy (Yao et al. 2025, 'The DCR Delusion')."
)
CLOSEST = membership_metrics(
    "closest_record",
    "Membership attack by closest record",
    "How well the distance to the closest synthetic row tells patients of train from others: 0.5 "
    f"is a coin's toss. {TRIPWIRE}",
    "Share of train's patients that the attack finds while it accuses at most 1 % of others "
    f"wrongly; guessing finds 1 %. {TRIPWIRE}",
    tripwire=True,
)
CALIBRATED = membership_metrics(
    "calibrated_neighbour",
    "Membership attack by calibrated neighbour",
    "Guesses that patients were in train whose closest synthetic row is closer than the closest "
    "row of a reference sample of the population: a record in a crowd is close to everything, and "
    "that tells nothing.",
)
NEAR = gain_metric(
    "near_copies",
    "Exact and near copies",
    "How much more often a patient of train has a synthetic row that is as close as the closest 1 % "
    "of real strangers than a patient of the holdout has. The holdout's rate is what chance makes "
    "of a table of this size; less than that proves nothing.",
)


def attack_by_density(cohort: Cohort, generator: np.random.Generator) -> AttackFindings:
    """Guess who was in train by log p(record | synthetic) − log p(record | reference).

    A patient's rows count by the mean of their log ratios.

    References
    ----------
    van Breugel et al. 2023, "Membership Inference Attacks against Synthetic Data through
    Overfitting Detection" (DOMIAS), AISTATS, section 4. The density is that of `Kernel`, for mixed
    columns, in place of theirs.
    """
    kernel = cohort.kernel
    known, reference = (kernel.tokens(table) for table in (cohort.synthetic, cohort.reference))
    sides = []
    for table in cohort.sides:
        tokens = kernel.tokens(table)
        ratio = kernel.log_density(tokens, known) - kernel.log_density(tokens, reference)
        sides.append(patient_means(ratio, table))
    title = "Density ratio (DOMIAS)"
    return membership_attack(DOMIAS, title, sides, generator, detail=cohort.sizes)


def attack_by_classifier(cohort: Cohort, generator: np.random.Generator) -> AttackFindings:
    """Guess who was in train by a classifier's odds that their record is synthetic.

    Extremely randomised trees, grown to single rows, remember where every synthetic row is, and so
    found copies, noisy copies and the rows of an over-fitted VAE where boosted trees found little
    (docs/attacks.md). A patient's rows count by the mean of their log odds.

    References
    ----------
    Hayes et al. 2019, "LOGAN: Membership Inference Attacks Against Generative Models", PoPETs,
    section 4 (a discriminator with auxiliary knowledge); the trees: Geurts, Ernst & Wehenkel 2006,
    Machine Learning 63.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from threadpoolctl import threadpool_limits

    trees = cohort.effort.trees

    def features_of(table: Table) -> Floats:
        """Return the trees' features, with missing cells below every value: codes begin at 0."""
        return np.nan_to_num(tree_features(table.codes, cohort.schema.modelled), nan=-1.0)

    known, reference = features_of(cohort.synthetic), features_of(cohort.reference)
    labels = np.repeat([1, 0], [len(known), len(reference)])
    model = ExtraTreesClassifier(
        trees, class_weight="balanced", random_state=int(generator.integers(2**31)), n_jobs=1
    )
    sides = []
    with threadpool_limits(limits=1):
        model.fit(np.concatenate((known, reference)), labels)
        for table in cohort.sides:
            share = model.predict_proba(features_of(table))[:, 1]
            smoothed = (share * trees + 0.5) / (trees + 1)
            sides.append(patient_means(np.log(smoothed / (1 - smoothed)), table))
    title, detail = "Classifier of synthetic against real rows", f"{trees:,} randomised trees."
    return membership_attack(CLASSIFIER, title, sides, generator, detail=f"{detail} {cohort.sizes}")


def attack_by_closest_record(cohort: Cohort, generator: np.random.Generator) -> AttackFindings:
    """Guess who was in train by the distance to the closest synthetic row.

    A patient with several rows counts once, by the mean distance of the rows.

    References
    ----------
    Chen et al. 2020, "GAN-Leaks", CCS, section 4 (full black box); true-positive rates at low
    false-positive rates as in Carlini et al. 2022, "Membership inference attacks from first
    principles", section III; what it cannot show: Yao et al. 2025, "The DCR Delusion".
    """

    def score(synthetic: Table) -> list[Floats]:
        return [-distances(side, synthetic, cohort.schema) for side in cohort.sides]

    copying, _ = intervals.delong(*score(cohort.sides[0]))
    shuffled = at_most(cohort.independent, len(cohort.synthetic), generator)
    independent, _ = intervals.delong(*score(shuffled))
    return membership_attack(
        CLOSEST,
        "Distance to the closest synthetic record",
        score(cohort.synthetic),
        generator,
        detail=f"{cohort.sizes} On a copy of the members' own rows the same attack reaches "
        f"{copying:.3f}.",
        references={"independent": intervals.rounded(independent)},
    )


def attack_by_calibrated_neighbour(
    cohort: Cohort, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by the closest synthetic row against the closest reference row.

    The score is log d(reference) − log d(synthetic), averaged over a patient's rows: with the
    closest neighbour alone, it is the ratio of two nearest-neighbour densities.

    References
    ----------
    Watson et al. 2022, "On the Importance of Difficulty Calibration in Membership Inference
    Attacks", ICLR, section 3 (calibration by a reference), for distances as in Chen et al. 2020.
    """
    known, reference = cohort.embed(cohort.synthetic), cohort.embed(cohort.reference)
    sides = []
    for table in cohort.sides:
        points = cohort.embed(table)
        near, usual = (np.log(closest(points, rows) + SMALLEST) for rows in (known, reference))
        sides.append(patient_means(usual - near, table))
    title = "Closest synthetic record against closest reference record"
    return membership_attack(CALIBRATED, title, sides, generator, detail=cohort.sizes)


def find_near_copies(cohort: Cohort, generator: np.random.Generator) -> AttackFindings:
    """Count patients with a synthetic row closer than nearly all strangers are to each other.

    "Close" is the distance that 1 % of the reference's patients have to the closest other one. One
    row of each patient is looked at, drawn at random.
    """
    strangers = cohort.embed(one_row_per_patient(cohort.reference, generator))
    close = float(np.quantile(closest(strangers, strangers, neighbour=1), STRANGERS))
    known = cohort.embed(cohort.synthetic)
    gaps = [
        closest(cohort.embed(one_row_per_patient(side, generator)), known) for side in cohort.sides
    ]
    exact = [int((side == 0).sum()) for side in gaps]
    return worst_risk(
        NEAR,
        {"": [side <= close for side in gaps]},
        f"Exact copies: {exact[0]:,} among members, {exact[1]:,} among others. {cohort.sizes}",
    )
