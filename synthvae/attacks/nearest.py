"""Attacks by distance: the closest synthetic row, alone and against the closest real one."""

import numpy as np

from synthvae._types import Floats
from synthvae.attacks.findings import AttackFindings
from synthvae.attacks.gains import Guesses, gain_metric, worst_risk
from synthvae.attacks.people import People, by_patient, one_row_each
from synthvae.attacks.roc import membership_attack, membership_metrics
from synthvae.attacks.space import closest, distances, place
from synthvae.evaluation.intervals import delong, rounded
from synthvae.evaluation.tables import Table, Tables, at_most

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
METRICS = (*CLOSEST, *CALIBRATED, NEAR)
STRANGERS = 0.01
SMALLEST = 1e-9  # of a distance, so that a copy's logarithm is finite


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
