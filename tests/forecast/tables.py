"""Simulated tables to hold a forecast against: two columns, a clinic, and five visits a patient."""

from pathlib import Path

import numpy as np
import pandas as pd

from synthvae.datasets import load_clinic
from synthvae.schema import Schema

ROOT = Path(__file__).parents[2]
NAMES = ("two columns", "clinic", "visits")
ROWS_PER_PATIENT = {"two columns": 1.0, "clinic": 1.0, "visits": 3.0}


def simulate(name: str) -> tuple[pd.DataFrame, Schema]:
    """Return a table and its schema."""
    if name == "clinic":
        schema = Schema.load(ROOT / "configs/clinic.schema.yaml").replace(patients=5000)
        return load_clinic(5000, seed=3), schema
    return _two_columns() if name == "two columns" else _visits()


def _two_columns(patients: int = 2000) -> tuple[pd.DataFrame, Schema]:
    draws = np.random.default_rng(1)
    smoker = draws.random(patients) < 0.3
    pressure = np.clip(draws.normal(125 + 10 * smoker, 15), 60, 240).round().astype(int)
    fields = [
        {"name": "smoker", "constraints": {"enum": ["no", "yes"]}},
        {"name": "sbp", "type": "integer", "constraints": {"minimum": 60, "maximum": 240}},
    ]
    frame = pd.DataFrame({"smoker": np.where(smoker, "yes", "no"), "sbp": pressure})
    return frame, Schema.from_dict({"patients": patients, "fields": fields})


def _visits(patients: int = 3000) -> tuple[pd.DataFrame, Schema]:
    draws = np.random.default_rng(2)
    whose = np.repeat(np.arange(patients), draws.integers(1, 6, patients))
    rows = len(whose)
    female = (draws.random(patients) < 0.5)[whose]
    site = draws.choice(list("abcd"), patients, p=[0.4, 0.3, 0.2, 0.1])[whose]
    stage = draws.choice(list("01234"), rows, p=[0.3, 0.3, 0.2, 0.15, 0.05])
    crp = np.clip(np.exp(draws.normal(1.5, 1, rows) + 0.2 * female), 0, 200).round(1)
    warm = np.clip(draws.normal(37.2 + 0.2 * (stage > "1"), 0.7, rows), 34, 42).round(1)
    pulse = np.clip(draws.normal(80 + 10 * (warm - 37), 12, rows), 30, 200).round().astype(int)
    one = {"type": "number", "decimals": 1}
    fields = [
        {"name": "id"},
        {"name": "sex", "perPatient": True, "constraints": {"enum": ["f", "m"]}},
        {"name": "site", "perPatient": True, "constraints": {"enum": list("abcd")}},
        {"name": "stage", "constraints": {"enum": list("01234")}},
        {"name": "crp", "constraints": {"minimum": 0, "maximum": 200}} | one,
        {"name": "warm", "constraints": {"minimum": 34, "maximum": 42}} | one,
        {"name": "pulse", "type": "integer", "constraints": {"minimum": 30, "maximum": 200}},
    ]
    frame = pd.DataFrame(
        {"id": whose, "sex": np.where(female, "f", "m"), "site": site, "stage": stage}
        | {"crp": crp, "warm": warm, "pulse": pulse}
    )
    schema = {"patients": patients, "patientKey": "id", "maxRows": 5, "fields": fields}
    return frame, Schema.from_dict(schema)
