"""Simulated visits of known truth: nobody's data.

A patient has an effect for good, which is never recorded. It moves the chances of going from state to
state, a laboratory value at every visit, and, by a severity that is recorded, the number of visits. Days
between visits are irregular, and fewer before a visit in the severe state.
"""

import numpy as np
import pandas as pd
import pytest

from synthvae._types import Floats
from synthvae.schema import Schema

STATES = ["well", "ill", "severe"]
MOST, LONGEST = 6, 180  # visits, and days between two
JOURNEYS = Schema.from_dict(
    {
        "name": "journeys",
        "patientKey": "patient",
        "patients": 20_000,
        "maxRows": MOST,
        "orderBy": {"column": "day", "gap": {"minimum": 7, "maximum": LONGEST}},
        "keepRows": "first",
        "fields": [
            {"name": "patient"},
            {
                "name": "severity",
                "constraints": {"enum": ["low", "high"]},
                "perPatient": True,
            },
            {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 1300}},
            {"name": "state", "constraints": {"enum": STATES}},
            {
                "name": "lab",
                "type": "number",
                "decimals": 1,
                "constraints": {"minimum": 0, "maximum": 20},
            },
        ],
    }
)
SHORT = JOURNEYS.replace(patients=200)  # for tests of the way rather than the goal
FIRST = np.array([0.6, 0.3, 0.1])
# From a state (row) to the next, of patients with little of the effect and with much.
MILD = np.array([[0.85, 0.10, 0.05], [0.45, 0.45, 0.10], [0.20, 0.35, 0.45]])
HARD = np.array([[0.55, 0.30, 0.15], [0.20, 0.50, 0.30], [0.05, 0.25, 0.70]])


def journeys(patients: int, seed: int = 0) -> pd.DataFrame:
    """Return a table for `JOURNEYS`, with one to six visits a patient."""
    draws = np.random.default_rng(seed)
    effect = draws.standard_normal(patients)
    high = draws.random(patients) < 1 / (1 + np.exp(0.5 - effect))
    counts = 1 + draws.binomial(MOST - 1, np.where(high, 0.75, 0.4))
    hard = 1 / (1 + np.exp(-1.2 * effect))[:, None]
    chances, day = np.tile(FIRST, (patients, 1)), draws.integers(0, 200, patients)
    visits = []
    for number in range(MOST):
        state = (draws.random(patients)[:, None] > np.cumsum(chances, axis=1)[:, :2]).sum(axis=1)
        if number:
            gap = draws.gamma(2.0, np.where(state == 2, 12, 28)).astype(int)
            day = day + 7 + np.minimum(gap, LONGEST - 7)
        lab = 8 + 1.2 * effect + 0.8 * state + 1.3 * draws.standard_normal(patients)
        chances = (1 - hard) * MILD[state] + hard * HARD[state]
        visit = {
            "patient": [f"p{name}" for name in range(patients)],
            "severity": np.where(high, "high", "low"),
            "day": day,
            "state": np.array(STATES)[state],
            "lab": np.clip(np.round(lab, 1), 0, 20),
        }
        visits.append(pd.DataFrame(visit)[counts > number])
    return pd.concat(visits).sort_index(kind="stable").reset_index(drop=True)


def one_journey(name: str, days: list[int], state: str, lab: float) -> pd.DataFrame:
    """Return the visits of one patient that are alike but for their days."""
    cells = {"patient": name, "severity": "high", "day": days, "state": state, "lab": lab}
    return pd.DataFrame(cells)


def transitions(table: pd.DataFrame) -> Floats:
    """Return the share of each next state among visits in each state that another one follows."""
    ordered = table.sort_values(["patient", "day"], kind="stable")
    following = ordered.groupby("patient")["state"].shift(-1)
    counts = pd.crosstab(ordered["state"], following).reindex(
        index=STATES, columns=STATES, fill_value=0
    )
    found: Floats = counts.to_numpy(float) / counts.to_numpy(float).sum(axis=1, keepdims=True)
    return found


def patients_share(table: pd.DataFrame, column: str) -> float:
    """Return the share of a column's variance that lies between patients, by analysis of variance.

    The estimator for patients of unequal numbers of visits (Searle, Casella and McCulloch 1992,
    "Variance Components", section 3.6).
    """
    by_patient = table.groupby("patient")[column]
    sizes, means = by_patient.size().to_numpy(float), by_patient.mean().to_numpy()
    visits, patients = sizes.sum(), len(sizes)
    between = (sizes * (means - table[column].mean()) ** 2).sum() / (patients - 1)
    within = ((table[column] - by_patient.transform("mean")) ** 2).sum() / (visits - patients)
    usual = (visits - (sizes**2).sum() / visits) / (patients - 1)
    return float((between - within) / (between + (usual - 1) * within))


def draw_fewer(patch: pytest.MonkeyPatch, patients: int = 64) -> None:
    """Let fits draw fewer patients of the model's own: post-processing, and most of a short fit."""
    for name, value in (("PATIENTS", patients), ("FEWEST_PATIENTS", patients), ("ROUNDS", 1)):
        patch.setattr(f"synthvae.model.visit_coupling.{name}", value)
