"""What is audited: a configuration of public facts, and neighbours that are worst for its mechanisms.

No real row is used: a record is put together from the schema's bounds and categories.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from synthvae._types import Floats, Ints
from synthvae.audit.releases import AuditedSynthesizer
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout
from synthvae.plan import Plan, make_plan
from synthvae.schema import Schema
from synthvae.settings import Settings, settings_for
from synthvae.table import decode
from synthvae.table.codes import FIRST_SPECIAL, MISSING
from synthvae.table.patients import with_identifiers

DECLARED = 10  # patients of the tiny table's schema: the fewest that a fit takes
FEWEST, MOST = 1, 100_000
TINY_CLIP = 0.01  # below every gradient's norm, so that the record always counts in full


@dataclass(frozen=True)
class Case:
    """A configuration to audit, by public facts alone.

    Attributes
    ----------
    patients
        Patients of the table without the record, all alike: the record makes one more. They need
        not be as many as the schema declares, nor as many as `fit` asks of a real table.
    """

    schema: Schema
    settings: Settings
    epsilon: float
    delta: float | None = None
    patients: int = 2

    def __post_init__(self) -> None:
        if not FEWEST <= self.patients <= MOST:
            raise ConfigError(
                f"patients is {self.patients}; an audit takes from {FEWEST} to {MOST:,}."
            )

    @cached_property
    def plan(self) -> Plan:
        """What a fit will release, with which noise."""
        return make_plan(self.schema, self.epsilon, self.delta, self.settings)

    @cached_property
    def synthesizer(self) -> AuditedSynthesizer:
        """A synthesizer that has not been fitted; copies of it are."""
        return AuditedSynthesizer(self.schema, self.epsilon, self.delta, settings=self.settings)

    @cached_property
    def usual(self) -> Ints:
        """Codes of the record of which the table is full, shape (columns,)."""
        return np.zeros(len(self.schema.modelled), np.int64)

    @cached_property
    def record(self) -> Ints:
        """Codes of the record that is there or not, shape (columns,): the last token of each column."""
        return np.array([last_code(field) for field in self.schema.modelled], np.int64)

    def table(self, with_record: bool) -> pd.DataFrame:
        """Return the table of one world: usual patients have one row, the record's as many as may be."""
        rows = [1] * self.patients + [self.schema.rows_per_patient] * with_record
        codes = np.concatenate(
            [np.tile(self.usual, (self.patients, 1))]
            + [np.tile(self.record, (self.schema.rows_per_patient, 1))] * with_record
        )
        return frame_of(codes, np.repeat(np.arange(len(rows)), rows), self.schema)


def last_code(field: Field) -> int:
    """Return the code of a column's last token: missing, else a special value, else the largest."""
    if field.nullable:
        return MISSING
    if field.special:
        return FIRST_SPECIAL - (len(field.special) - 1)
    return ColumnMarginal.cells_of(field) - 1


def frame_of(codes: Ints, patients: Ints, schema: Schema) -> pd.DataFrame:
    """Return a table of codes, with identifiers made up, in the schema's order of columns."""
    return with_identifiers(decode(codes, schema), schema, patients)


def features_of(codes: Ints, layout: Layout) -> Floats:
    """Return the features of records, shape (records, features), of codes (records, columns)."""
    return layout.record_features(layout.tokens(codes))


def tiny_case(
    epsilon: float,
    patients: int = 2,
    *,
    columns: int = 2,
    steps: int = 2,
    sampling_rate: float = 1.0,
    **changes: float,
) -> Case:
    """Return a case that takes hundredths of a second to fit, and hides nothing.

    Two categories a column, everybody in every step, and a clip norm below every gradient: so the
    record has the largest effect that the account allows, on everything that is released.

    Parameters
    ----------
    changes
        Further settings, by name.
    """
    schema = Schema.from_dict(
        {
            "name": "tiny",
            "patients": DECLARED,
            "fields": [
                {"name": f"column{j + 1}", "constraints": {"enum": ["usual", "odd"]}}
                for j in range(columns)
            ],
        }
    )
    small = {
        "bins": 2,
        "rank": 1,
        "latent": 2,
        "hidden": 1,
        "steps": steps,
        "sampling_rate": sampling_rate,
        "clip_norm": TINY_CLIP,
        "calibration_rounds": 0,
        "balance_steps": 0,
    }
    settings = settings_for(schema, epsilon).model_copy(update=small | changes)
    return Case(schema, settings, epsilon, patients=patients)
