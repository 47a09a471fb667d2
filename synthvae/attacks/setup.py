"""How hard the attacks try at each depth: public numbers, so that the time does too."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.evaluation.results import Attack, Depth, Risk, Score
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.schema import Schema

LEAST_PATIENTS = 5


@dataclass(frozen=True)
class Effort:
    """The sizes of one depth.

    Parameters
    ----------
    patients
        Members, non-members and patients of the reference: at most so many of each.
    published
        Synthetic rows that the attacker looks at, at most.
    secrets
        Columns that attribute inference guesses, at most.
    predicates
        Descriptions of each kind that singling out tries.
    trees
        Trees of the classifier.
    shadows, targets
        Models that the shadow attack trains at most, and records it aims at; 0 leaves it out.
    """

    patients: int
    published: int
    secrets: int
    predicates: int
    trees: int
    shadows: int = 0
    targets: int = 0


EFFORTS: dict[Depth, Effort] = {
    "screen": Effort(patients=1000, published=20_000, secrets=2, predicates=1000, trees=60),
    "standard": Effort(patients=2000, published=40_000, secrets=4, predicates=2000, trees=200),
    "deep": Effort(
        patients=10_000,
        published=100_000,
        secrets=16,
        predicates=5000,
        trees=500,
        shadows=40,
        targets=10,
    ),
}


@dataclass(frozen=True)
class AttackFindings:
    """Curves of membership attacks, gains of the other attacks, and the scores that sum them up."""

    attacks: tuple[Attack, ...] = ()
    risks: tuple[Risk, ...] = ()
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()


def joined(parts: Sequence[AttackFindings]) -> AttackFindings:
    """Return the findings of several attacks as one."""
    return AttackFindings(
        *(
            tuple(item for part in parts for item in getattr(part, kind))
            for kind in ("attacks", "risks", "scores", "notes")
        )
    )


@dataclass(frozen=True)
class People:
    """The attacked patients, and what the attacker has to go on.

    Parameters
    ----------
    members
        Rows of patients of train.
    others
        Rows of patients of the holdout: the non-members.
    reference
        Rows of further patients of the holdout: the attacker's own sample of the population.
    published
        Synthetic rows.
    """

    schema: Schema
    members: Table
    others: Table
    reference: Table
    published: Table

    @property
    def sizes(self) -> str:
        """How many patients there are of each kind, in words."""
        return (
            f"{counted(self.members.patient_count, 'member')} against "
            f"{counted(self.others.patient_count, 'other')}, one value a patient; "
            f"{counted(self.reference.patient_count, 'patient')} as the attacker's reference; "
            f"{counted(len(self.published), 'synthetic row')}."
        )


def without_shared(tables: Tables) -> tuple[Table, Table, int]:
    """Return train and holdout without the patients who are in both, and how many these are."""
    shared = np.intersect1d(tables.train.patients, tables.holdout.patients)
    train, holdout = (
        table.take(~np.isin(table.patients, shared)) for table in (tables.train, tables.holdout)
    )
    return train, holdout, len(shared)


def draw_people(tables: Tables, effort: Effort, generator: np.random.Generator) -> People | str:
    """Return who is attacked, or why there are too few.

    The holdout's patients are divided at random: half are non-members, half are the reference. No
    row of train is ever reference, and no patient is in two roles.
    """
    train, holdout, _ = without_shared(tables)
    half = holdout.patient_count // 2
    if min(train.patient_count, half) < LEAST_PATIENTS:
        return (
            f"needs {LEAST_PATIENTS} patients of train, and in the holdout twice as many, who are "
            f"not in the other; there are {train.patient_count} and {holdout.patient_count}"
        )
    everybody = generator.permutation(np.unique(holdout.patients))
    return People(
        tables.schema,
        some_patients(train, np.unique(train.patients), effort.patients, generator),
        some_patients(holdout, everybody[:half], effort.patients, generator),
        some_patients(holdout, everybody[half:], effort.patients, generator),
        at_most(tables.synthetic, effort.published, generator),
    )


def some_patients(table: Table, patients: Ints, most: int, generator: np.random.Generator) -> Table:
    """Return the rows of so many of the patients, drawn at random."""
    chosen = generator.choice(patients, min(most, len(patients)), replace=False)
    return table.take(np.isin(table.patients, chosen))


def one_row_each(table: Table, generator: np.random.Generator) -> Table:
    """Return one row of each patient, drawn at random."""
    order = generator.permutation(len(table))
    return table.take(order[np.unique(table.patients[order], return_index=True)[1]])


def by_patient(values: Floats, table: Table) -> Floats:
    """Return the mean over each patient's rows, in order of patient."""
    _, whose = np.unique(table.patients, return_inverse=True)
    return np.asarray(np.bincount(whose, weights=values) / np.bincount(whose))
