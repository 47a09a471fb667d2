"""Attacks that guess who was in train: by density, by classifier, and by distance to synthetic rows."""

from dataclasses import replace

import numpy as np
from scipy import stats

from synthvae._types import Floats, Ints
from synthvae.attacks import setup, success
from synthvae.attacks.density import closest, distances, patient_means
from synthvae.evaluation import intervals
from synthvae.evaluation.learners import tree_features
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.evaluation.validity import copied

STRANGERS = 0.01  # share of strangers who are as close to each other as a near copy is
SMALLEST = 1e-9  # of a distance, so that a copy's logarithm is finite

DOMIAS = success.membership_metrics(
    "domias",
    "Membership attack by density ratio",
    "Guesses that patients were in train whose records are likelier under the synthetic table than "
    "in a reference sample of the population: where a generator has learnt its rows by heart, the "
    "density is raised around them.",
)
CLASSIFIER = success.membership_metrics(
    "classifier",
    "Membership attack by classifier",
    "Guesses that patients were in train whose records look synthetic to a classifier that has "
    "learnt to tell synthetic rows from a reference sample of the population.",
)
TRIPWIRE = (
    "Distances to the closest record are a tripwire: they catch copying, but finding nothing is no "
    "evidence of privacy (Yao et al. 2025, 'The DCR Delusion')."
)
CLOSEST = success.membership_metrics(
    "closest_record",
    "Membership attack by closest record",
    "How well the distance to the closest synthetic row tells patients of train from others: 0.5 "
    f"is a coin's toss. {TRIPWIRE}",
    "Share of train's patients that the attack finds while it accuses at most 1 % of others "
    f"wrongly; guessing finds 1 %. {TRIPWIRE}",
    tripwire=True,
)
CALIBRATED = success.membership_metrics(
    "calibrated_neighbour",
    "Membership attack by calibrated neighbour",
    "Guesses that patients were in train whose closest synthetic row is closer than the closest "
    "row of a reference sample of the population: a record in a crowd is close to everything, and "
    "that tells nothing.",
)
NEAR = success.gain_metric(
    "near_copies",
    "Exact and near copies",
    "How much more often a patient of train has a synthetic row that is as close as the closest 1 % "
    "of real strangers than a patient of the holdout has. The holdout's rate is what chance makes "
    "of a table of this size; less than that proves nothing.",
)
EXACT = replace(
    success.gain_metric(
        "exact_copies",
        "Patients copied",
        "How much larger a share of train's patients than of the holdout's has a record that stands in "
        "the synthetic table word for word. The holdout's share is what chance makes of a table of "
        "this size; where columns are few, it hides copies.",
    ),
    verbatim=True,
)


def attack_by_density(cohort: setup.Cohort, generator: np.random.Generator) -> setup.AttackFindings:
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
    return success.membership_attack(DOMIAS, title, sides, generator, detail=cohort.sizes)


def attack_by_classifier(
    cohort: setup.Cohort, generator: np.random.Generator
) -> setup.AttackFindings:
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
    return success.membership_attack(
        CLASSIFIER, title, sides, generator, detail=f"{detail} {cohort.sizes}"
    )


def attack_by_closest_record(
    cohort: setup.Cohort, generator: np.random.Generator
) -> setup.AttackFindings:
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
    return success.membership_attack(
        CLOSEST,
        "Distance to the closest synthetic record",
        score(cohort.synthetic),
        generator,
        detail=f"{cohort.sizes} On a copy of the members' own rows the same attack reaches "
        f"{copying:.3f}.",
        references={"independent": intervals.rounded(independent)},
    )


def attack_by_calibrated_neighbour(
    cohort: setup.Cohort, generator: np.random.Generator
) -> setup.AttackFindings:
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
    return success.membership_attack(CALIBRATED, title, sides, generator, detail=cohort.sizes)


def find_near_copies(cohort: setup.Cohort, generator: np.random.Generator) -> setup.AttackFindings:
    """Count patients with a synthetic row closer than nearly all strangers are to each other.

    "Close" is the distance that 1 % of the reference's patients have to the closest other one. One
    row of each patient is looked at, drawn at random.
    """
    strangers = cohort.embed(setup.one_row_per_patient(cohort.reference, generator))
    close = float(np.quantile(closest(strangers, strangers, neighbour=1), STRANGERS))
    known = cohort.embed(cohort.synthetic)
    gaps = [
        closest(cohort.embed(setup.one_row_per_patient(side, generator)), known)
        for side in cohort.sides
    ]
    exact = [int((side == 0).sum()) for side in gaps]
    return success.worst_risk(
        NEAR,
        {"": [side <= close for side in gaps]},
        f"Exact copies: {exact[0]:,} among members, {exact[1]:,} among others. {cohort.sizes}",
    )


def find_exact_copies(tables: Tables) -> setup.AttackFindings:
    """Count the patients of train, and of the holdout, who stand in the synthetic table.

    All of them are looked at, and their shares are compared by Fisher's test. But a small holdout says
    little of how rare a record is, and where no two real patients are alike there is a sharper test: a
    new table's rows would equal train's as seldom as real patients' rows do each other's.
    """
    train, holdout = setup.without_shared(tables)
    fewest = min(train.patient_count, holdout.patient_count)
    if fewest < setup.LEAST_PATIENTS:
        reason = (
            f"needs {setup.LEAST_PATIENTS} patients each in train and holdout; there are {fewest}"
        )
        return success.not_run((EXACT,), reason)
    released = tables.synthetic.take(~np.asarray(tables.synthetic.invalid.any(axis=1)))
    sides = [
        np.isin(np.unique(side.patients), side.patients[copied(side, released)])
        for side in (train, holdout)
    ]
    counts = [(int(side.sum()), len(side)) for side in sides]
    return success.worst_risk(
        EXACT,
        {"": sides},
        f"{counts[0][0]:,} of {counts[0][1]:,} patients of train and {counts[1][0]:,} of "
        f"{counts[1][1]:,} of the holdout stand in the table.",
        _coincidence_p_value(train, holdout, released, counts[0][0]),
    )


def _coincidence_p_value(
    train: Table, holdout: Table, released: Table, copies: int
) -> float | None:
    """Return how often chance copies that many patients, given how often real patients are alike.

    Given how many pairs of rows are alike, each is one of a synthetic and a train row with the share
    that such pairs have of all pairs: the binomial test of two Poisson counts (Przyborowski &
    Wilenski 1940, Biometrika 31). Patients and synthetic ones count once in the one, all pairs of
    patients in the other, which makes the test cautious. None where Fisher's test is the sharper one by
    the sizes of the tables.
    """
    codes = np.concatenate([train.codes, holdout.codes])
    patients = np.concatenate([train.patients, holdout.patients])
    pairs, of_real = len(released) * len(train), len(codes) * (len(codes) - 1) / 2
    share = pairs / (pairs + of_real)
    if share >= train.patient_count / (train.patient_count + holdout.patient_count):
        return None
    copying = released.take(copied(released, train)).patient_count
    found = min(copies, copying)
    return float(stats.binom.sf(found - 1, found + _alike_pairs(codes, patients), share))


def _alike_pairs(codes: Ints, patients: Ints) -> int:
    """Count the pairs of patients with rows that are the same in every column."""
    record = np.unique(codes, axis=0, return_inverse=True)[1].ravel()
    each = np.unique(np.column_stack([record, patients]), axis=0)
    holders = np.unique(each[:, 0], return_counts=True)[1]
    return int((holders * (holders - 1) // 2).sum())
