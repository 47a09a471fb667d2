"""Line 13: a patient with many rows moves the result no more than they are accounted for.

Broken where rows, not patients, are the unit: a patient with 500 visits then counts 500 times.
"""

import numpy as np
import pandas as pd
import pytest

from synthvae.anchors import PairQuery
from synthvae.anchors import pairs as pairs_module
from synthvae.anchors.basis import LIMIT
from synthvae.privacy.stream import RandomStream
from synthvae.table import encode, group_by_patient
from tests.checklist.fitted import fitted, watch_releases, watch_training
from tests.simulated import VISITS, visits


def capped() -> pd.DataFrame:
    """Return visits of which all are kept, so that a new patient changes nobody's choice of rows."""
    return visits(60).groupby("patient", sort=False).head(3).reset_index(drop=True)


def with_new_patient(rows: int) -> pd.DataFrame:
    new = pd.DataFrame({"patient": "new", "sex": "male", "score": 40}, index=range(rows))
    return pd.concat([capped(), new], ignore_index=True)


@pytest.mark.parametrize("rows", [1, 3, 500])
def test_line_13_a_patient_with_many_rows_moves_counts_no_more_than_their_cap(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for frame in (capped(), with_new_patient(rows)):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            fitted(frame, VISITS)
        found.append(seen)
    most = VISITS.rows_per_patient
    columns = [[part.exact for part in seen if part.place == "anchors"] for seen in found]
    # Later grids follow the counts; the first of each column is on a public one.
    for before, after in list(zip(*columns, strict=True))[:2]:
        assert np.linalg.norm(after - before) == min(rows, most)
    # How many patients have 1, 2, 3 rows: one entry moves, by one.
    before, after = (
        next(part.exact for part in seen if part.place == "patients") for seen in found
    )
    assert np.abs(after - before).sum() == 1


@pytest.mark.parametrize("rows", [1, 3, 500])
def test_line_13_a_patient_with_many_rows_moves_the_pair_sums_no_more_than_they_are_accounted_for(
    rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = fitted(visits(60), VISITS).state().layout
    query = PairQuery.build(layout.owner, layout.order, 0.5, VISITS.rows_per_patient)

    def exact_sums(frame: pd.DataFrame) -> np.ndarray:
        seen: list[np.ndarray] = []

        def record(counts: np.ndarray, sigma: float, stream: object) -> np.ndarray:
            assert sigma == 2.0 * query.sensitivity
            seen.append(counts.copy())
            return counts

        monkeypatch.setattr(pairs_module, "noisy_counts", record)
        patients = group_by_patient(frame, VISITS, np.random.default_rng(0))
        features = layout.record_features(layout.tokens(encode(frame, VISITS)))
        query.release(features, patients.rows, 2.0, RandomStream(test_seed=0))
        return seen[0]

    moved = exact_sums(with_new_patient(rows)) - exact_sums(capped())
    assert 0 < np.linalg.norm(moved.astype(float)) <= query.sensitivity


def test_line_13_training_draws_patients_and_not_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_training(monkeypatch)
    fitted(with_new_patient(500), VISITS, sampling_rate=1.0, steps=2)
    for step in seen.steps:
        assert step.patients == tuple(range(61))


def test_line_13_an_unusual_patient_moves_the_pair_sums_no_more_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Features as large as a basis permits, and beyond, in every row that is kept.
    layout = fitted(visits(60), VISITS).state().layout
    query = PairQuery.build(layout.owner, layout.order, 0.5, VISITS.rows_per_patient)
    for size in (LIMIT, 1e3):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            features = np.full((3, layout.features), size)
            query.release(features, np.array([[0, 1, 2]]), 2.0, RandomStream(test_seed=0))
        moved = seen[0].exact.astype(float)
        assert 0.9 * query.sensitivity < np.linalg.norm(moved) <= query.sensitivity
