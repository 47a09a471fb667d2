"""A membership-inference attack: are train's patients closer to the synthetic rows than others?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from synthvae.evaluation.intervals import clopper_pearson, delong, rounded
from synthvae.evaluation.questions import Question, counted
from synthvae.evaluation.tables import Ints, Table, Tables, at_most
from synthvae.evaluation.values import Attack, Interval, Score
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table.codes import FIRST_SPECIAL, MISSING

MOST_PATIENTS = 2000
MOST_PUBLISHED = 100_000
MOST_INDICATORS = 50
LEAST_PATIENTS = 5
FALSE_POSITIVE_RATES = (0.001, 0.01, 0.1)
CURVE_POINTS = 200
POWER = 0.8

Floats = NDArray[np.float64]

TRIPWIRE = (
    "Distances to the closest record are a tripwire: they catch copying, but finding nothing is no "
    "evidence of privacy (Yao et al. 2025, 'The DCR Delusion')."
)
AREA = Question(
    "membership_auc",
    "privacy",
    "Membership attack by closest record (AUC)",
    "How well the distance to the closest synthetic row tells patients of train from others: 0.5 "
    f"is a coin's toss. {TRIPWIRE}",
    "towards",
    goal=0.5,
)
FOUND = Question(
    "membership_tpr",
    "privacy",
    "Membership attack by closest record (found at 1 % false alarms)",
    "Share of train's patients that the attack finds while it accuses at most 1 % of others "
    f"wrongly; guessing finds 1 %. {TRIPWIRE}",
    "lower",
    goal=0.01,
)


@dataclass(frozen=True)
class AttackFindings:
    """The attack's curve, and the scores that summarise it."""

    attacks: tuple[Attack, ...]
    scores: tuple[Score, ...]
    notes: tuple[str, ...]


def infer_membership(tables: Tables, generator: np.random.Generator) -> AttackFindings:
    """Attack the synthetic table: guess who was in train by the distance to its closest rows.

    The attacker has the records of as many members (patients of train) as non-members (patients of
    the holdout) and claims membership for the closest. A patient with several rows counts once, by
    the mean distance of the rows.

    References
    ----------
    Chen et al. 2020, "GAN-Leaks", CCS, section 4 (full black box); true-positive rates at low
    false-positive rates as in Carlini et al. 2022, "Membership inference attacks from first
    principles", section III; what it cannot show: Yao et al. 2025, "The DCR Delusion".
    """
    shared = np.intersect1d(tables.train.patients, tables.holdout.patients)
    notes = (_shared_note(len(shared)),) if len(shared) else ()
    members, others = (
        table.take(~np.isin(table.patients, shared)) for table in (tables.train, tables.holdout)
    )
    number = min(members.patient_count, others.patient_count, MOST_PATIENTS)
    if number < LEAST_PATIENTS:
        reason = (
            f"needs {LEAST_PATIENTS} patients each in train and holdout who are not in the other; "
            f"there are {number}"
        )
        return AttackFindings((), (AREA.unanswered(reason), FOUND.unanswered(reason)), notes)
    members, others = (_some_patients(table, number, generator) for table in (members, others))
    published = at_most(tables.synthetic, MOST_PUBLISHED, generator)
    closeness = [-distances(table, published, tables.schema) for table in (members, others)]
    copying, _ = delong(*(-distances(t, members, tables.schema) for t in (members, others)))
    references = _references(tables, members, others, generator)
    broken = _break_ties(closeness[0], closeness[1], generator)
    return AttackFindings(*_describe(closeness, broken, copying, references), notes)


def _shared_note(patients: int) -> str:
    return (
        f"{counted(patients, 'patient')} in both train and holdout: the membership attack leaves "
        "them out, the other scores do not and flatter the synthetic table by that much."
    )


def _some_patients(table: Table, number: int, generator: np.random.Generator) -> Table:
    chosen = generator.choice(np.unique(table.patients), number, replace=False)
    return table.take(np.isin(table.patients, chosen))


def distances(queries: Table, published: Table, schema: Schema) -> Floats:
    """Return each patient's mean distance to the closest published row, in order of patient.

    A number enters by its rank among published values and by its place between the bounds, a
    category by an indicator; a missing or special value by an indicator of its own.
    """
    known, asked = (
        np.column_stack(
            [
                coordinate
                for j, field in enumerate(schema.modelled)
                for coordinate in _coordinates(field, published.codes[:, j], table.codes[:, j])
            ]
        )
        for table in (published, queries)
    )
    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(known)
    closest = search.kneighbors(asked, return_distance=False)[:, 0]
    # Computed afresh: the search's own distances are not exactly zero for copies.
    apart = np.sqrt(((asked - known[closest]) ** 2).sum(axis=1))
    _, whose = np.unique(queries.patients, return_inverse=True)
    return np.asarray(np.bincount(whose, weights=apart) / np.bincount(whose))


def _coordinates(field: Field, published: Ints, codes: Ints) -> list[Floats]:
    half = 0.5**0.5
    if not field.is_lattice:
        counts = np.bincount(published + 1, minlength=len(field.categories) + 1)
        levels = np.argsort(-counts, kind="stable")[:MOST_INDICATORS] - 1
        return [half * (codes == level) for level in levels]
    present = np.sort(published[published >= 0])
    inside = codes >= 0
    rank = np.full(len(codes), 0.5)
    if len(present):
        below, upto = (np.searchsorted(present, codes, side) for side in ("left", "right"))
        rank = (below + upto) / (2 * len(present))
    place = codes / max(1, field.lattice_size - 1)
    apart = [MISSING, *(FIRST_SPECIAL - i for i in range(len(field.special)))]
    return [
        half * np.where(inside, rank, 0.5),
        half * np.where(inside, place, 0.5),
        *(half * (codes == level) for level in apart),
    ]


def _references(
    tables: Tables, members: Table, others: Table, generator: np.random.Generator
) -> dict[str, float | None]:
    """Return the AUC against shuffled columns, and against real rows of nobody in the attack."""
    shuffled = at_most(tables.independent, MOST_PUBLISHED, generator)
    independent, _ = delong(
        *(-distances(table, shuffled, tables.schema) for table in (members, others))
    )
    everybody = generator.permutation(np.unique(others.patients))
    published = others.take(np.isin(others.patients, everybody[: len(everybody) // 2]))
    rest = others.take(np.isin(others.patients, everybody[len(everybody) // 2 :]))
    holdout, _ = delong(*(-distances(table, published, tables.schema) for table in (members, rest)))
    return {"holdout": rounded(holdout), "independent": rounded(independent), "chance": 0.5}


def _break_ties(
    members: Floats, others: Floats, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return both sides' places in their common order, ties in random order.

    Where many distances are zero, an attacker who may accuse few still can, by drawing among them;
    without this, such a table would seem safe at low false-positive rates.
    """
    both = np.concatenate((members, others))
    places = np.empty(len(both))
    places[np.lexsort((generator.random(len(both)), both))] = np.arange(len(both))
    return places[: len(members)], places[len(members) :]


def _describe(
    closeness: list[Floats],
    broken: tuple[Floats, Floats],
    copying: float,
    references: dict[str, float | None],
) -> tuple[tuple[Attack, ...], tuple[Score, ...]]:
    members, others = closeness
    auc, bounds = delong(members, others)
    limit = detection_limit(len(members), len(others))
    fpr, tpr = roc(members, others)
    at = tuple((rate, *true_positives(*broken, rate)) for rate in FALSE_POSITIVE_RATES)
    attack = Attack(
        key="closest_record",
        title="Distance to the closest synthetic record",
        meaning=f"Guesses that the patients closest to a synthetic row were in train. {TRIPWIRE}",
        members=len(members),
        non_members=len(others),
        auc=rounded(auc),
        auc_interval=bounds,
        fpr=fpr,
        tpr=tpr,
        tpr_at=at,
        detection_limit=limit,
    )
    sizes = f"{len(members):,} members against {len(others):,} others, one distance a patient."
    area = AREA.answer(
        auc,
        bounds,
        references,
        f"{sizes} An AUC of {limit:.3f} would be told from 0.5 four times out of five; on a copy "
        f"of the members' own rows the same attack reaches {copying:.3f}. 'holdout' is the attack "
        "on real rows of people who are neither.",
    )
    rate, found, share_bounds = at[1]
    return (attack,), (area, FOUND.answer(found, share_bounds, {"chance": rate}, sizes))


def roc(members: Floats, others: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return false- and true-positive rates from (0, 0) to (1, 1), thinned to a drawable number."""
    thresholds = np.unique(np.r_[members, others])[::-1]
    rates = [
        np.r_[0, len(side) - np.searchsorted(np.sort(side), thresholds, side="left")] / len(side)
        for side in (others, members)
    ]
    kept = np.unique(np.linspace(0, len(rates[0]) - 1, CURVE_POINTS).round().astype(int))
    fpr, tpr = (tuple(rounded(rate) for rate in side[kept]) for side in rates)
    return fpr, tpr


def true_positives(members: Floats, others: Floats, rate: float) -> tuple[float, Interval]:
    """Return the share of members found at a false-positive rate of at most `rate`."""
    allowed = int(rate * len(others))
    threshold = np.sort(others)[::-1][min(allowed, len(others) - 1)]
    found = int((members > threshold).sum())
    return rounded(found / len(members)), clopper_pearson(found, len(members))


def detection_limit(members: int, others: int) -> float:
    """Return the AUC that a two-sided 5 % test would tell from 0.5 four times out of five.

    The standard error under chance is that of the Mann-Whitney statistic.
    """
    error = ((members + others + 1) / (12 * members * others)) ** 0.5
    return rounded(min(1.0, 0.5 + (stats.norm.ppf(0.975) + stats.norm.ppf(POWER)) * error))
