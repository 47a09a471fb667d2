"""Simulated courses of illness under rules: nobody's data, and a model of them."""

import functools

import numpy as np
import pandas as pd
import pytest

from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from tests.simulated_visits import draw_fewer

PATIENTS = 300
COURSES = Schema.from_dict(
    {
        "name": "courses",
        "patientKey": "patient",
        "patients": PATIENTS,
        "maxRows": 5,
        "orderBy": {"column": "year", "gap": {"minimum": 1, "maximum": 3}},
        "rules": [
            "age - age_prev == year - year_prev",
            {"if": "sex == 'male'", "then": "births == 0"},
            {"derive": "twice", "as": "2 * births"},
        ],
        "fields": [
            {"name": "patient"},
            {"name": "sex", "constraints": {"enum": ["female", "male"]}, "perPatient": True},
            {"name": "first:site", "constraints": {"enum": ["a", "b", "c"]}, "perPatient": True},
            {"name": "year", "type": "integer", "constraints": {"minimum": 2000, "maximum": 2012}},
            {"name": "age", "type": "integer", "constraints": {"minimum": 20, "maximum": 99}},
            {"name": "births", "type": "integer", "constraints": {"minimum": 0, "maximum": 3}},
            {
                "name": "lab",
                "type": "number",
                "decimals": 1,
                "constraints": {"minimum": 0, "maximum": 20, "required": False},
            },
            {"name": "admitted", "type": "boolean"},
            {"name": "twice", "type": "integer", "constraints": {"minimum": 0, "maximum": 6}},
        ],
    }
)


def courses(patients: int = PATIENTS, seed: int = 0) -> pd.DataFrame:
    """Return a table for `COURSES`: a hidden effect moves the laboratory value and the admissions."""
    draws = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        effect, male = draws.normal(), draws.random() < 0.5
        site = draws.choice(["a", "b", "c"], p=[0.7, 0.25, 0.05])
        year, age = 2000 + int(draws.integers(0, 3)), int(np.clip(draws.normal(60, 12), 20, 80))
        for _ in range(min(5, 1 + draws.poisson(1.5 + (effect > 0)))):
            lab = round(float(np.clip(8 + 3 * effect + draws.normal(), 0, 20)), 1)
            births = 0 if male else int(draws.integers(0, 4))
            rows.append(
                {
                    "patient": f"p{number}",
                    "sex": "male" if male else "female",
                    "first:site": site,
                    "year": year,
                    "age": age,
                    "births": births,
                    "lab": None if draws.random() < 0.1 else lab,
                    "admitted": bool(draws.random() < 1 / (1 + np.exp(3 - 1.5 * effect))),
                    "twice": 2 * births,
                }
            )
            step = int(draws.integers(1, 3))
            year, age = year + step, age + step
    return pd.DataFrame(rows)


@functools.cache
def fitted() -> Synthesizer:
    """Return a model of these courses, without privacy."""
    with pytest.MonkeyPatch.context() as patch:
        draw_fewer(patch, 512)
        return Synthesizer(COURSES, None, test_seed=1).fit(courses())
