"""A simulated table with every kind of column, and models fitted to it once for all tests."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.schema import Schema
from synthvae.settings import Settings, settings_for
from synthvae.synthesizer import Synthesizer
from synthvae.table import decode
from tests.simulated import simulate_fewer

FIELDS: list[dict[str, Any]] = [
    {"name": "pat.id"},
    {"name": "visit no", "type": "integer", "role": "identifier"},
    {
        "name": "sex",
        "constraints": {"enum": ["female", "male"]},
        "role": "protected",
        "perPatient": True,
    },
    {
        "name": "âge",
        "type": "integer",
        "constraints": {"minimum": 0, "maximum": 110},
        "perPatient": True,
    },
    {
        "name": 'crea "mg/dL"',
        "type": "number",
        "decimals": 1,
        "unit": "mg/dL",
        "invalid": "clip",
        "constraints": {"minimum": 0, "maximum": 25, "required": False},
    },
    {"name": "weight.kg", "type": "number", "constraints": {"minimum": 2, "maximum": 250}},
    {
        "name": "cost",
        "type": "number",
        "decimals": 2,
        "special": [0, -9],
        "constraints": {"minimum": 1, "maximum": 200000},
    },
    {
        "name": "smoker",
        "type": "boolean",
        "trueValues": ["yes"],
        "falseValues": ["no"],
        "constraints": {"required": False},
    },
    {"name": "ward", "constraints": {"enum": ["A,1", "B|2", "C 'x'"]}, "invalid": "other"},
    {"name": "code", "type": "integer", "constraints": {"enum": [1, 2, 9]}},
    {
        "name": "admitted",
        "type": "date",
        "format": "%d/%m/%Y",
        "constraints": {"minimum": "2000-01-01", "maximum": "2012-12-31", "required": False},
    },
    {
        "name": "seen at",
        "type": "datetime",
        "format": "%Y-%m-%d %H:%M",
        "constraints": {"minimum": "2000-01-01T00:00:00", "maximum": "2012-12-31T23:59:00"},
    },
    {"name": "died", "type": "boolean"},
    {"name": "days", "type": "integer", "constraints": {"minimum": 0, "maximum": 1000}},
]
SCHEMA = Schema.from_dict(
    {
        "name": "hospital",
        "patientKey": "pat.id",
        "maxRows": 3,
        "patients": 400,
        "target": {"column": "died", "without": ["days"]},
        "survival": {"duration": "days", "event": "died"},
        "fields": FIELDS,
    }
)
ONE_ROW = Schema.from_dict(
    {
        "name": "wards",
        "primaryKey": "pat.id",
        "patients": 400,
        "fields": [
            {key: value for key, value in field.items() if key != "perPatient"} for field in FIELDS
        ],
    }
)


def make_table(patients: int = 400, seed: int = 0, schema: Schema = SCHEMA) -> pd.DataFrame:
    """Simulate typed records: from one to three visits a patient where there is a patientKey."""
    draws = np.random.default_rng(seed)
    visits = draws.choice([1, 2, 3], patients, p=[0.6, 0.3, 0.1])
    if schema.patientKey is None:
        visits = np.ones(patients, int)
    whose = np.repeat(np.arange(patients), visits)
    columns = []
    for field in schema.modelled:
        size = field.lattice_size if field.is_lattice else len(field.categories)
        share = (
            draws.beta(2, 4, patients)[whose] if field.perPatient else draws.beta(2, 4, len(whose))
        )
        codes = (share * size).astype(np.int64)
        for i in range(len(field.special)):
            codes[draws.random(len(whose)) < 0.2] = -2 - i
        if field.nullable:
            codes[draws.random(len(whose)) < 0.1] = -1
        columns.append(codes)
    frame = decode(np.stack(columns, axis=1), schema)
    frame["pat.id"] = [f"P{number:05d}" for number in whose]
    frame["visit no"] = np.arange(len(whose)) + 100_000
    return frame[list(schema.names)]


def quick(schema: Schema, epsilon: float | None) -> Settings:
    """Return settings that train in a second."""
    return settings_for(schema, epsilon).model_copy(update={"steps": 20})


@functools.cache
def fitted(kind: str = "private") -> Synthesizer:
    """Return a synthesizer fitted to the table: `private`, `open`, `test` (seeded) or `one row`."""
    schema = ONE_ROW if kind == "one row" else SCHEMA
    epsilon = None if kind == "open" else 3.0
    with pytest.MonkeyPatch.context() as patch:
        simulate_fewer(patch)
        return Synthesizer(
            schema,
            epsilon,
            settings=quick(schema, epsilon),
            test_seed=7 if kind == "test" else None,
        ).fit(make_table(schema=schema))


def write_schema(folder: Path, schema: Schema = SCHEMA, name: str = "schema.yaml") -> Path:
    """Write a schema into a folder and return its path."""
    path = folder / name
    path.write_text(schema.to_yaml(), encoding="utf-8")
    return path
