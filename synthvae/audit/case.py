"""What is audited: a configuration of public facts, and neighbours that are worst for its mechanisms.

No real row is used: a record is put together from the schema's bounds and categories, and keeps its
rules: a value that they forbid gives way to one that they allow.
"""

import copy
from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
import pandas as pd

from synthvae._runtime import silent
from synthvae._types import Floats, Ints
from synthvae.audit.bounds import Claim
from synthvae.audit.releases import AuditedSynthesizer, FitReleases
from synthvae.baselines.ruled import repair
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout, rule_masks
from synthvae.plan import Plan, make_plan
from synthvae.privacy.guarantee import Stage, TrainingStage
from synthvae.rules.values import FIRST_SPECIAL, MISSING
from synthvae.schema import Schema
from synthvae.settings import Settings, settings_for
from synthvae.table import decode
from synthvae.table.patients import with_identifiers
from synthvae.table.reading_warnings import without_reading_warnings
from synthvae.timeline import Timeline

DECLARED = 10  # patients of a simulated table's schema: the fewest that a fit takes
MOST = 100_000
EVEN_CELLS = 64  # of a column that is drawn from evenly
CLIP = 0.01  # below every gradient's norm, so that a record always counts in full
# Of the budget, for every kind of release about alike; the rest is for training.
SHARES = {"anchor_share": 0.3, "pair_share": 0.2, "interaction_share": 0.2}


@dataclass(frozen=True)
class Case:
    """A configuration to audit, by public facts alone.

    Attributes
    ----------
    patients
        Patients of the table without the record, all alike: the record makes one more. They may be
        fewer than the schema declares, and than `fit` takes of a real table.
    """

    schema: Schema
    settings: Settings
    epsilon: float
    delta: float | None = None
    patients: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.patients <= MOST:
            raise ConfigError(f"patients is {self.patients}; an audit takes from 1 to {MOST:,}.")

    @cached_property
    def plan(self) -> Plan:
        """What a fit will release, with which noise."""
        return make_plan(self.schema, self.epsilon, self.delta, self.settings)

    @property
    def training(self) -> TrainingStage:
        """The stage of private training, which every plan with a budget has, but of visits in time."""
        assert self.plan.training is not None
        return self.plan.training

    @property
    def steps(self) -> int:
        """Steps of training; none for visits in time."""
        return 0 if self.plan.training is None else self.plan.training.steps

    def claim(self, *stages: Stage) -> Claim:
        """Return what some stages of a fit promise, by default all."""
        assert self.plan.delta is not None
        return Claim(stages or self.plan.stages, self.plan.delta)

    @cached_property
    def _synthesizer(self) -> AuditedSynthesizer:
        return AuditedSynthesizer(self.schema, self.epsilon, self.delta, settings=self.settings)

    def fit(self, table: pd.DataFrame, observer: FitReleases | None = None) -> AuditedSynthesizer:
        """Fit a table by the code that is audited, with an observer of its releases if one is given."""
        synthesizer = copy.copy(self._synthesizer)
        synthesizer.observer = observer
        with without_reading_warnings():  # of made-up records
            synthesizer.fit(table, silent)
        return synthesizer

    @cached_property
    def usual(self) -> Ints:
        """Codes of the record of which the table is full, shape (columns,): each column's first."""
        return self._kept(np.zeros(len(self.schema.modelled), np.int64))

    @cached_property
    def record(self) -> Ints:
        """Codes of the record that is there or not, shape (columns,): each column's last token."""
        last = np.array([last_code(field) for field in self.schema.modelled], np.int64)
        record = self._kept(last)
        if (record == self.usual)[: len(self.schema.drawn)].all():
            raise ConfigError(
                "The rules leave one record alone: no two worlds differ by another one."
            )
        return record

    def _kept(self, codes: Ints) -> Ints:
        """Return a record with as many of its values as keep the rules, in order."""
        rules = self.schema.rule_set
        masks = rule_masks(even_marginals(self.schema), rules)
        kept: Ints = repair(codes[None], rules, masks, np.random.default_rng(0))[0]
        return kept

    @cached_property
    def rows(self) -> Ints:
        """Codes of the record's rows, the most that are used, shape (rows, columns).

        They are alike. In time, the last stands at the end of the time's range, the others before it.
        """
        order, most = self.schema.orderBy, self.schema.rows_per_patient
        if order is None:
            return np.repeat(self.record[None], most, axis=0)
        timeline = Timeline(self.schema)
        rows = np.repeat(self.record[None], timeline.most_visits, axis=0)
        time = [field.name for field in self.schema.modelled].index(order.column)
        rows[:, time] -= timeline.gap_low * np.arange(len(rows))[::-1]
        return rows

    def table(self, with_record: bool) -> pd.DataFrame:
        """Return the table of one world: a row of each usual patient, the most rows of the record's."""
        codes = np.repeat(self.usual[None], self.patients, axis=0)
        patients = np.arange(self.patients)
        if with_record:
            codes = np.concatenate((codes, self.rows))
            patients = np.append(patients, np.full(len(self.rows), self.patients))
        return frame_of(codes, patients, self.schema)


def even_marginals(schema: Schema) -> tuple[ColumnMarginal, ...]:
    """Return marginals of the modelled columns under which all values are as likely: public facts."""
    return tuple(map(_even_marginal, schema.drawn))


def _even_marginal(field: Field) -> ColumnMarginal:
    size = ColumnMarginal.cells_of(field)
    cells = min(size, EVEN_CELLS) if field.is_lattice else size
    starts = np.arange(cells) * size // cells
    tokens = cells + len(field.specials) + field.nullable
    mass = np.full(tokens, 1 / tokens)
    bins = np.arange(cells)
    return ColumnMarginal(
        starts, mass[:cells], bins, mass, size, len(field.specials), field.nullable
    )


def last_code(field: Field) -> int:
    """Return the code of a column's last token: missing, else a special value, else the largest."""
    if field.nullable:
        return MISSING
    if field.specials:
        return FIRST_SPECIAL - (len(field.specials) - 1)
    return ColumnMarginal.cells_of(field) - 1


def frame_of(codes: Ints, patients: Ints, schema: Schema) -> pd.DataFrame:
    """Return a table of codes, with invented identifiers, in the schema's order of columns."""
    return with_identifiers(decode(codes, schema), schema, patients)


def features_of(codes: Ints, layout: Layout) -> Floats:
    """Return the features of records, shape (records, features), from codes (records, columns)."""
    return layout.record_features(layout.tokens(codes))


def tiny_case(epsilon: float, patients: int = 2, *, columns: int = 3, **changes: float) -> Case:
    """Return a case that takes hundredths of a second to fit, and hides nothing.

    Two categories a column, everybody in every step, and a clip norm below every gradient: so the
    record has the largest effect that the account allows, on everything that is released.

    Parameters
    ----------
    changes
        Settings by name.
    """
    sizes = {"rank": 1, "latent": 2, "hidden": 1, "steps": 2, "interactions": comb(columns, 3)}
    return simulated_case("tiny", epsilon, ["usual", "odd"], columns, sizes | changes, patients)


def simulated_case(
    name: str,
    epsilon: float,
    categories: list[str],
    columns: int,
    changes: dict[str, float],
    patients: int = 2,
) -> Case:
    """Return a case whose columns have the same categories, and which clips every gradient.

    There are three columns or more, of which products are measured.
    """
    fields = [
        {"name": f"column{j + 1}", "constraints": {"enum": categories}} for j in range(columns)
    ]
    schema = Schema.from_dict({"name": name, "patients": DECLARED, "fields": fields})
    fixed = {"bins": 2, "sampling_rate": 1.0, "clip_norm": CLIP}
    fixed |= {"calibration_rounds": 0, "balance_steps": 0, "interaction_rank": 1, **SHARES}
    settings = settings_for(schema, epsilon).model_copy(update=fixed | changes)
    return Case(schema, settings, epsilon, patients=patients)
