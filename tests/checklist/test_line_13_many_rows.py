"""Line 13: a patient with many rows moves the result no more than they are accounted for.

Broken where rows, not patients, are the unit: a patient with 500 visits then counts 500 times.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synthvae.marginals.column import LIMIT
from synthvae.marginals.interactions import InteractionQuery, affordable_factors
from synthvae.marginals.moments import PairQuery
from synthvae.marginals.visit_moments import UNIT, VisitQuery
from synthvae.model.histories import Histories, visit_codes
from synthvae.model.visit_goals import history_features, visit_query
from synthvae.precedence import DeclaredUses
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.synthesizer import Synthesizer
from synthvae.table import encode
from synthvae.table import patients as patients_module
from synthvae.timeline import Timeline
from tests.checklist.fitted import fitted, seed, watch_releases, watch_training
from tests.simulated import PLACES, VISITS, clinic, visits, with_rows
from tests.simulated_visits import MOST, SHORT, journeys, one_journey

KEY = bytes(32)


def with_new_patient(rows: int, place: str, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    new = pd.DataFrame({"patient": "new", "sex": "male", "score": 40}, index=range(rows))
    return with_rows(visits(60) if frame is None else frame, new, place)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rows", [1, 3, 500])
def test_line_13_a_patient_with_many_rows_moves_counts_no_more_than_their_cap(
    rows: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for frame in (visits(60), with_new_patient(rows, place)):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            fitted(frame, VISITS, test_seed=seed(1))
        found.append(seen)
    most = VISITS.rows_per_patient
    columns = [[part.exact for part in seen if part.stage == "columns"] for seen in found]
    # Later grids follow the counts; the first of each column is on a public one.
    for before, after in list(zip(*columns, strict=True))[:2]:
        assert np.linalg.norm(after - before) == min(rows, most)
    # How many patients have 1, 2, 3 rows: one entry moves, by one.
    before, after = (
        next(part.exact for part in seen if part.stage == "patients") for seen in found
    )
    assert np.abs(after - before).sum() == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rows", [1, 3, 500])
def test_line_13_a_patient_with_many_rows_moves_the_pair_sums_no_more_than_they_are_accounted_for(
    rows: int, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = fitted(visits(60), VISITS).state().layout
    query = PairQuery.build(layout.owner, layout.order, 0.5, VISITS.rows_per_patient)

    def exact_sums(frame: pd.DataFrame) -> np.ndarray:
        seen: list[np.ndarray] = []

        def record(counts: np.ndarray, sigma: float, stream: object) -> np.ndarray:
            assert sigma == 2.0 * query.sensitivity
            seen.append(counts.copy())
            return counts

        monkeypatch.setattr("synthvae.privacy.mechanisms.add_discrete_gaussian", record)
        patients = patients_module.group_by_patient(frame, VISITS, KEY)
        features = layout.record_features(layout.tokens(encode(frame, VISITS)))
        query.release(features, patients.rows, 2.0, Mechanisms(RandomStream(test_seed=0)))
        return seen[0]

    moved = exact_sums(with_new_patient(rows, place)) - exact_sums(visits(60))
    assert 0 < np.linalg.norm(moved.astype(float)) <= query.sensitivity


@pytest.mark.parametrize("place", PLACES)
def test_line_13_the_kept_rows_of_a_patient_hang_on_nobody_else(place: str) -> None:
    many = pd.concat([visits(200).assign(visit=n) for n in range(5)], ignore_index=True)
    many["line"] = np.arange(len(many))

    def kept(frame: pd.DataFrame) -> dict[str, list[int]]:
        rows = patients_module.group_by_patient(frame, VISITS, KEY).rows
        lines = [frame["line"].to_numpy()[mine[mine >= 0]].tolist() for mine in rows]
        whose = frame["patient"].to_numpy()[rows[:, 0]]
        return dict(zip(whose, lines, strict=True))

    before, after = kept(many), kept(with_new_patient(7, place, many))
    assert len(after.pop("new")) == 3
    assert after == before
    other = patients_module.group_by_patient(many, VISITS, bytes([1] * 32)).rows
    assert (other != patients_module.group_by_patient(many, VISITS, KEY).rows).any()


@pytest.mark.parametrize("keep", ["first", "last", "window"])
@pytest.mark.parametrize("place", PLACES)
def test_line_13_the_kept_visits_of_a_patient_hang_on_nobody_else(place: str, keep: str) -> None:
    draws = np.random.default_rng(seed(0))
    many = pd.concat([visits(200).assign(line=n) for n in range(5)], ignore_index=True)
    many["day"] = draws.integers(0, 1000, len(many))  # a patient may come twice in a day
    days = {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 999}}
    schema = VISITS.replace(
        fields=[*VISITS.to_dict()["fields"], days],
        orderBy={"column": "day", "strict": False},
        keepRows=keep,
    )
    new = pd.DataFrame({"patient": "new", "sex": "male", "score": 40, "day": 990}, range(60))

    def kept(frame: pd.DataFrame) -> dict[str, list[tuple[int, int]]]:
        rows = patients_module.group_by_patient(frame, schema, KEY).rows
        cells = list(zip(frame["day"], frame["score"], strict=True))
        whose = frame["patient"].to_numpy()[rows[:, 0]]
        lines = [[cells[row] for row in mine if row >= 0] for mine in rows]
        return dict(zip(whose, lines, strict=True))

    before, after = kept(many), kept(with_rows(many, new, place))
    assert len(after.pop("new")) == 3
    assert after == before


def test_line_13_training_draws_patients_and_not_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = watch_training(monkeypatch)
    fitted(with_new_patient(500, "middle"), VISITS, sampling_rate=1.0, steps=2)
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
            mechanisms = Mechanisms(RandomStream(test_seed=0))
            query.release(features, np.array([[0, 1, 2]]), 2.0, mechanisms)
        moved = seen[0].exact.astype(float)
        assert 0.9 * query.sensitivity < np.linalg.norm(moved) <= query.sensitivity


@pytest.mark.parametrize("size", [LIMIT, 1e3])
def test_line_13_an_unusual_patient_moves_no_sum_of_products_further(
    size: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rows that agree, rows of which two cancel, and a single row.
    layout = fitted(clinic(50)).state().layout
    factors = affordable_factors(layout.smooth_first, 2, 1000, DeclaredUses())
    query = InteractionQuery.build(factors, layout.order, 0.5, 3, 0.7)
    features = np.full((3, layout.features), size)
    features[1] *= -1
    for rows in ([0, 0, 0], [0, 1, 2], [2, -1, -1]):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            mechanisms = Mechanisms(RandomStream(test_seed=0))
            query.release(features, np.array([rows]), 2.0, mechanisms)
        moved = seen[0].exact.astype(float)
        assert 0.9 * query.sensitivity < np.linalg.norm(moved) <= query.sensitivity


# Patients who weigh as much as anybody can: all visits alike, or each as far from the last as may be.
LIVES = {
    "one visit": one_journey("new", [1300], "severe", 20.0),
    "two visits": one_journey("new", [0, 180], "severe", 20.0),
    "all alike": one_journey("new", list(range(0, 1300, 7)), "severe", 20.0),
    "to and fro": one_journey("new", [7 * n for n in range(MOST)], "well", 0.0).assign(
        state=["well", "severe"] * 3, lab=[0.0, 20.0] * 3
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("life", LIVES)
def test_line_13_a_patients_visits_move_counts_no_more_than_they_are_accounted_for(
    life: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for frame in (journeys(60), with_rows(journeys(60), LIVES[life], place)):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            fitted(frame, SHORT, test_seed=seed(1))
        first = {part.what: part for part in reversed(seen)}  # later grids follow the counts
        found.append({what: part for what, part in first.items() if part.stage == "columns"})
    before, after = found
    assert before.keys() == after.keys()
    kept = min(len(LIVES[life]), MOST)
    for what, part in after.items():
        moved = np.linalg.norm(part.exact - before[what].exact)
        assert moved <= part.sensitivity
        if what in ("counts of severity", "counts of number of visits", "counts of day first"):
            assert moved == part.sensitivity == 1
        elif "gap" in what or "from visit to visit" in what:
            assert part.sensitivity == MOST - 1
            assert life == "to and fro" or moved == kept - 1
        else:
            assert part.sensitivity == MOST
            assert life == "to and fro" or what == "counts of day" or moved == kept


def moments_of(made: Synthesizer, frame: pd.DataFrame) -> tuple[VisitQuery, np.ndarray, np.ndarray]:
    """Return what a fit measures of visits, their features, and the visits of each patient."""
    timeline, state = Timeline(made.schema), made.state()
    rows = patients_module.group_by_patient(frame, made.schema, KEY).rows
    codes, rows = visit_codes(timeline, encode(frame, made.schema), rows)
    histories = Histories(codes, state.layout.tokens(codes), rows)
    moves = np.zeros(state.layout.columns, np.int64)
    features = history_features(timeline, state.layout, histories, moves)
    return visit_query(timeline, state.layout), features, rows


def exact_sums(query: VisitQuery, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the whole numbers of a release before their noise."""
    with pytest.MonkeyPatch.context() as patch:
        seen = watch_releases(patch, noise=False)
        query.release(features, rows, 2.0, Mechanisms(RandomStream(test_seed=0)))
    assert seen[0].sigma == 2.0 * query.sensitivity
    return seen[0].exact


@pytest.fixture
def travelled() -> Synthesizer:
    return fitted(journeys(60), SHORT)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("life", LIVES)
def test_line_13_a_patients_visits_move_the_moments_no_more_than_they_are_accounted_for(
    life: str, place: str, travelled: Synthesizer
) -> None:
    frame = journeys(60)
    query, *before = moments_of(travelled, frame)
    _, *after = moments_of(travelled, with_rows(frame, LIVES[life], place))
    moved = exact_sums(query, *after) - exact_sums(query, *before)
    assert 0 < np.linalg.norm(moved.astype(float)) <= query.sensitivity
    # Nobody else's part is another one for the company.
    alone = exact_sums(query, *moments_of(travelled, LIVES[life])[1:])
    assert (moved == alone).all()
    # A count is of at most one patient, and all blocks of the sums together are within the bound.
    blocks = len(query.blocks)
    assert moved[-blocks:].max() <= query.sensitivity / math.hypot(10, math.sqrt(blocks))
    assert np.linalg.norm(moved[:-blocks].astype(float)) <= query.bound * UNIT


@pytest.mark.parametrize("size", [LIMIT, 1e3])
def test_line_13_an_unusual_patient_moves_no_moment_of_visits_further(
    size: float, travelled: Synthesizer
) -> None:
    query, features, _ = moments_of(travelled, journeys(60))
    signs = {"alike": np.ones(MOST), "to and fro": np.resize([1.0, -1.0], MOST)}
    for turns in signs.values():
        odd = size * turns[:, None] * np.ones(features.shape[1])
        for number in (1, 2, 3, MOST):
            rows = np.where(np.arange(MOST) < number, np.arange(MOST), -1)[None]
            moved = exact_sums(query, odd, rows).astype(float)
            assert 0.9 * query.sensitivity < np.linalg.norm(moved) <= query.sensitivity
    # Each block by itself, the others zero: none escapes the norm.
    for name in query.blocks:
        alone = replace(query, blocks={name: query.blocks[name]})
        moved = exact_sums(alone, odd, rows).astype(float)
        assert np.linalg.norm(moved) <= alone.sensitivity, name


def test_line_13_of_visits_too_sums_are_the_same_in_any_company(travelled: Synthesizer) -> None:
    query, features, rows = moments_of(travelled, journeys(60))
    draws = np.random.default_rng(seed(0))
    features = draws.normal(0, 2, features.shape)
    together = exact_sums(query, features, rows)
    for pieces in (2, 7, len(rows)):
        parts = np.array_split(rows[draws.permutation(len(rows))], pieces)
        assert (sum(exact_sums(query, features, part) for part in parts) == together).all()


def test_line_13_a_patient_without_visits_counts_once_for_what_never_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema, more = SHORT.replace(visitsOptional=True), journeys(60).astype(object)
    more.loc[len(more)] = ["new", "high", None, None, None]
    found = []
    for frame in (more[:-1], more):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            fitted(frame, schema, test_seed=seed(1))
        counts = [part for part in reversed(seen) if part.stage == "columns"]
        found.append({part.what: part for part in counts})
    before, after = found
    moved = {what: np.abs(part.exact - before[what].exact).sum() for what, part in after.items()}
    once = {"counts of severity", "counts of number of visits", "counts of day first"}
    assert {what for what, by in moved.items() if by} == once
    assert all(moved[what] == after[what].sensitivity == 1 for what in once)
    # Of the moments, only those of what never changes have a part of such a patient.
    query, *alone = moments_of(fitted(more, schema), more[-1:])
    part, blocks = exact_sums(query, *alone), list(query.blocks)
    static = np.concatenate([np.full(query.sizes[name], name == "static") for name in blocks])
    shown = np.append(static, [name == "static" for name in blocks])
    assert (part[~shown] == 0).all()
    assert 0 < np.linalg.norm(part.astype(float)) <= query.sensitivity
