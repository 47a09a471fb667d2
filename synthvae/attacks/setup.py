"""What the attacks share: the effort of each depth, the patients attacked, and the form of findings.

Efforts are public numbers, so that the running time depends on the depth and not on the rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.attacks.density import Kernel, embed
from synthvae.config import Depth
from synthvae.evaluation.results import Attack, Risk, Score
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.schema import Schema

LEAST_PATIENTS = 5


@dataclass(frozen=True)
class Effort:
    """The sizes of one depth."""

    patients: int  # the most members, the most non-members and the most patients of the reference
    synthetic_rows: int  # the most that the attacker looks at
    secrets: int  # the most columns that attribute inference guesses
    predicates: int  # the most of each kind that singling out tries
    trees: int  # of the classifier
    shadows: int = 0  # the most models that the shadow attack trains; 0 leaves it out
    targets: int = 0  # patients that the shadow attack aims at


EFFORTS: dict[Depth, Effort] = {
    "screen": Effort(1000, 20_000, secrets=2, predicates=1000, trees=60),
    "standard": Effort(2000, 40_000, secrets=4, predicates=2000, trees=200),
    "deep": Effort(10_000, 100_000, secrets=16, predicates=5000, trees=500, shadows=40, targets=10),
}


@dataclass(frozen=True)
class AttackFindings:
    """Curves of membership attacks, gains of the other attacks, and the scores that sum them up."""

    attacks: tuple[Attack, ...] = ()
    risks: tuple[Risk, ...] = ()
    scores: tuple[Score, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cohort:
    """The attacked patients, and what the attacker has to go on."""

    schema: Schema
    effort: Effort
    sides: tuple[Table, Table]  # members, of train, and non-members, of the holdout
    reference: Table  # further patients of the holdout: the attacker's sample of the population
    synthetic: Table
    independent: Table  # train's columns, each shuffled on its own

    @cached_property
    def kernel(self) -> Kernel:
        """The density of mixed records, with the margins of all rows that the attacker has."""
        tables = (self.synthetic, self.reference)
        pooled = Table(
            np.concatenate([table.codes for table in tables]),
            np.concatenate([table.invalid for table in tables]),
            np.concatenate([table.patients for table in tables]),
        )
        return Kernel(self.schema, pooled)

    def embed(self, table: Table) -> Floats:
        """Return rows as points on the scale that the synthetic rows set."""
        return embed(table, self.synthetic, self.schema)

    @property
    def sizes(self) -> str:
        """How many patients there are of each kind, in words."""
        members, non_members = self.sides
        return (
            f"{counted(members.patient_count, 'member')} against "
            f"{counted(non_members.patient_count, 'other')}, one value a patient; "
            f"{counted(self.reference.patient_count, 'patient')} as the attacker's reference; "
            f"{counted(len(self.synthetic), 'synthetic row')}."
        )


def shared_patients(tables: Tables) -> Ints:
    """Return the patients who are in both train and holdout."""
    return np.intersect1d(tables.train.patients, tables.holdout.patients)


def without_shared(tables: Tables) -> tuple[Table, Table]:
    """Return train and holdout without the patients who are in both."""
    shared = shared_patients(tables)
    train, holdout = (
        table.take(~np.isin(table.patients, shared)) for table in (tables.train, tables.holdout)
    )
    return train, holdout


def draw_cohort(tables: Tables, effort: Effort, generator: np.random.Generator) -> Cohort | str:
    """Return the cohort, or why there are too few patients for one.

    The holdout's patients are divided at random: half are non-members, half are the reference. No
    row of train is ever reference, and no patient is in two roles.
    """
    train, holdout = without_shared(tables)
    half = holdout.patient_count // 2
    if min(train.patient_count, half) < LEAST_PATIENTS:
        return (
            f"needs {LEAST_PATIENTS} patients of train, and in the holdout twice as many, who are "
            f"not in the other; there are {train.patient_count} and {holdout.patient_count}"
        )
    held = generator.permutation(np.unique(holdout.patients))
    members = sample_patients(train, np.unique(train.patients), effort.patients, generator)
    non_members, reference = (
        sample_patients(holdout, part, effort.patients, generator)
        for part in (held[:half], held[half:])
    )
    synthetic = at_most(tables.synthetic, effort.synthetic_rows, generator)
    return Cohort(
        tables.schema, effort, (members, non_members), reference, synthetic, tables.independent
    )


def sample_patients(
    table: Table, patients: Ints, number: int, generator: np.random.Generator
) -> Table:
    """Return the rows of `number` of the patients drawn at random, of all where they are fewer."""
    chosen = generator.choice(patients, min(number, len(patients)), replace=False)
    return table.take(np.isin(table.patients, chosen))


def one_row_per_patient(table: Table, generator: np.random.Generator) -> Table:
    """Return one row of each patient, drawn at random."""
    order = generator.permutation(len(table))
    return table.take(order[np.unique(table.patients[order], return_index=True)[1]])
