"""Rows of one patient: as alike in the synthetic table as in the real one, or less; never more."""

import numpy as np
import pandas as pd
import pytest

from synthvae import Schema, Synthesizer

SCORES = Schema.from_dict(
    {
        "patientKey": "patient",
        "patients": 2000,
        "maxRows": 5,
        "fields": [
            {"name": "patient", "type": "integer"},
            {"name": "score", "type": "integer", "constraints": {"minimum": 0, "maximum": 100}},
            {"name": "other", "type": "integer", "constraints": {"minimum": 0, "maximum": 100}},
        ],
    }
)


def scores(likeness: float) -> pd.DataFrame:
    """Return a table in which two rows of a patient correlate by `likeness` in the score."""
    generator = np.random.default_rng(0)
    whose = np.repeat(np.arange(2000), generator.integers(1, 6, 2000))
    person = generator.normal(size=2000)[whose]
    noise = generator.normal(size=(2, len(whose)))
    score = np.sqrt(likeness) * person + np.sqrt(1 - likeness) * noise[0]
    columns = {"score": score, "other": noise[1]}
    rounded = {name: np.clip(np.round(50 + 10 * x), 0, 100) for name, x in columns.items()}
    return pd.DataFrame({"patient": whose, **rounded}).astype(int)


def likeness_of(frame: pd.DataFrame) -> float:
    """Return the correlation of the first two rows of patients who have two."""
    pairs = (
        frame.groupby("patient")["score"]
        .agg(["first", "size"])
        .assign(
            second=frame.groupby("patient")["score"]  # type: ignore[arg-type]
            .nth([1])
            .set_axis(frame.loc[frame.groupby("patient").cumcount() == 1, "patient"])
        )
    )
    return float(pairs.dropna()["first"].corr(pairs.dropna()["second"]))


@pytest.mark.slow
@pytest.mark.parametrize(("likeness", "low", "high"), [(0.0, -0.1, 0.1), (0.9, 0.3, 0.95)])
def test_rows_of_a_patient_are_alike_where_they_truly_are(
    likeness: float, low: float, high: float
) -> None:
    real = scores(likeness)
    assert likeness_of(real) == pytest.approx(likeness, abs=0.05)
    records = Synthesizer(SCORES, 10.0, test_seed=1).fit(real).sample(6000, seed=1)
    assert low < likeness_of(records) < high
