"""Simulated tables for tests: small, with every kind of column, nobody's data."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae._types import Floats
from synthvae.evaluation import learners
from synthvae.schema import Schema
from synthvae.settings import Settings, settings_for

PLACES = ("first", "middle", "last")
CLINIC = Schema.from_dict(
    {
        "name": "clinic",
        "patients": 400,
        "missingValues": ["", "NA"],
        "target": "died",
        "fields": [
            {"name": "age", "type": "integer", "constraints": {"minimum": 18, "maximum": 100}},
            {"name": "sex", "constraints": {"enum": ["female", "male"]}, "role": "protected"},
            {
                "name": "creatinine",
                "type": "number",
                "decimals": 1,
                "constraints": {"minimum": 0, "maximum": 25, "required": False},
                "invalid": "clip",
            },
            {
                "name": "cost",
                "type": "number",
                "decimals": 0,
                "special": [0],
                "constraints": {"minimum": 0, "maximum": 100000},
                "invalid": "clip",
            },
            {
                "name": "ward",
                "constraints": {"enum": ["north", "south", "east"]},
                "invalid": "other",
            },
            {"name": "died", "type": "boolean"},
        ],
    }
)


def clinic(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return a table for `CLINIC`, in which death follows age and creatinine."""
    generator = np.random.default_rng(seed)
    age = np.clip(generator.normal(62, 15, rows), 18, 100).round().astype(int)
    creatinine = np.round(np.clip(np.exp(generator.normal(0.1, 0.5, rows)), 0, 25), 1)
    cost = np.where(generator.random(rows) < 0.3, 0, np.round(np.exp(generator.normal(8, 1, rows))))
    risk = 1 / (1 + np.exp(4 - 0.04 * age - 0.8 * creatinine))
    return pd.DataFrame(
        {
            "age": age,
            "sex": generator.choice(["female", "male"], rows),
            "creatinine": np.where(generator.random(rows) < 0.1, np.nan, creatinine),
            "cost": np.clip(cost, 0, 100000),
            "ward": generator.choice(["north", "south", "east"], rows, p=[0.6, 0.3, 0.1]),
            "died": generator.random(rows) < risk,
        }
    )


VISITS = Schema.from_dict(
    {
        "name": "visits",
        "patientKey": "patient",
        "patients": 200,
        "maxRows": 3,
        "fields": [
            {"name": "patient", "type": "string"},
            {
                "name": "sex",
                "constraints": {"enum": ["female", "male"]},
                "perPatient": True,
            },
            {
                "name": "score",
                "type": "integer",
                "constraints": {"minimum": 0, "maximum": 40},
            },
        ],
    }
)


def visits(patients: int, seed: int = 0) -> pd.DataFrame:
    """Return a table for `VISITS`, with one to five rows a patient."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(1, 6, patients)
    whose = np.repeat(np.arange(patients), counts)
    sex = generator.choice(["female", "male"], patients)[whose]
    score = generator.binomial(40, np.where(sex == "male", 0.6, 0.3))
    return pd.DataFrame({"patient": [f"p{i}" for i in whose], "sex": sex, "score": score})


def quick(schema: Schema, epsilon: float | None, **changes: float) -> Settings:
    """Return settings of the public rule with few steps, for tests of the way rather than the goal."""
    return settings_for(schema, epsilon).model_copy(update={"steps": 12, **changes})


def simulate_fewer(patch: pytest.MonkeyPatch, records: int = 256) -> None:
    """Let fits simulate fewer records of the model's own: post-processing, and half of a short fit."""
    patch.setattr("synthvae.model.coupling.POPULATION", records)
    patch.setattr("synthvae.model.coupling.LARGE_POPULATION", records)
    patch.setattr("synthvae.model.records.POPULATION", records)


def learn_less(patch: pytest.MonkeyPatch, rounds: int = 5) -> None:
    """Let the learners of scores learn little, for tests of what is scored and not of how well."""
    boost = learners.boosted_classes

    def fewer(features: Floats, labels: Any, tested: Floats, most: int) -> Floats:
        return boost(features, labels, tested, min(rounds, most))

    patch.setattr(learners, "boosted_classes", fewer)
    patch.setattr(learners, "FOREST_TREES", 2 * rounds)
    patch.setattr("synthvae.evaluation.joint.ROUNDS", rounds)
    patch.setattr("synthvae.evaluation.prediction_task.COLUMN_ROUNDS", rounds)


def inserted(array: np.ndarray, more: np.ndarray, place: str) -> np.ndarray:
    """Return an array with further entries at a place: whoever comes after them moves on."""
    where = {"first": 0, "middle": len(array) // 2, "last": len(array)}[place]
    return np.concatenate((array[:where], more, array[where:]))


def with_rows(frame: pd.DataFrame, rows: pd.DataFrame, place: str) -> pd.DataFrame:
    """Return a table with further rows at a place."""
    order = inserted(np.arange(len(frame)), len(frame) + np.arange(len(rows)), place)
    return pd.concat([frame, rows], ignore_index=True).iloc[order].reset_index(drop=True)
