"""Visits side by side: a row a patient, back to visits that keep order and rules."""

from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from synthvae.baselines import NAMES, NEEDS_PGM, make
from synthvae.baselines.ruled_visits import RuledVisits
from synthvae.baselines.side_by_side import SideBySide, columns_side_by_side, why_unfit
from synthvae.field import Field
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.histories import visit_codes
from synthvae.privacy.guarantee import GaussianStage, SelectionStage
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from synthvae.table import encode, find_problems, group_by_patient
from tests.simulated_visits import SHORT, journeys, one_journey

NEEDED = pytest.mark.skipif(find_spec("mbi") is None, reason="the extra pgm (mbi) is not installed")
METHODS = [pytest.param(n, marks=NEEDED) if n in NEEDS_PGM else n for n in NAMES]
# A state that ends everything, a step that must follow, and a column that is computed.
STEPS = SHORT.replace(
    maxRows=3,
    rules=[
        {"if": "state_prev == 'severe'", "then": "state == 'severe'"},
        "number == number_prev + 1",
        {"derive": "high", "as": "lab >= 10"},
    ],
    fields=[
        *SHORT.to_dict()["fields"],
        {"name": "number", "type": "integer", "constraints": {"minimum": 0, "maximum": 20}},
        {"name": "high", "type": "boolean"},
    ],
)


def stepwise(patients: int) -> pd.DataFrame:
    """Return a table for `STEPS`."""
    frame = journeys(patients)
    severe = (frame["state"] == "severe").groupby(frame["patient"]).cummax()
    return frame.assign(
        state=frame["state"].mask(severe, "severe"),
        number=1 + frame.groupby("patient").cumcount(),
        high=frame["lab"] >= 10,
    )


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """How well a method learns does not matter here, and takes the time."""
    monkeypatch.setattr("synthvae.baselines.pgm.GraphicalModel.fit", lambda *_: None)
    monkeypatch.setattr("synthvae.baselines.marginal_methods.ROUNDS_PER_COLUMN", 1)
    monkeypatch.setattr("synthvae.baselines.marginal_methods.MOST_ROUNDS_PER_COLUMN", 1)
    monkeypatch.setattr("synthvae.baselines.plain_vae.STEPS", 5)


def even(field: Field) -> ColumnMarginal:
    """Return a marginal by which every cell is as likely."""
    cells, apart = ColumnMarginal.cells_of(field), len(field.specials) + field.nullable
    mass = np.full(cells + apart, 1 / (cells + apart))
    points = np.arange(cells)
    return ColumnMarginal(
        points, mass[:cells], points, mass, cells, len(field.specials), field.nullable
    )


def rows_of(frame: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    codes = encode(frame, schema)
    return codes, group_by_patient(frame, schema, b"k").rows


def test_two_patients_by_hand() -> None:
    frame = pd.concat(
        [one_journey("a", [30, 10], "ill", 2.0), one_journey("b", [7], "severe", 5.0)]
    )
    side = SideBySide(SHORT)
    flat = side.flatten(*rows_of(frame.reset_index(drop=True), SHORT))
    assert [field.name for field in side.fields][:8] == [
        *("severity", "number of visits", "day first", "state 1", "lab 1", "gap 2", "state 2"),
        "lab 2",
    ]
    assert flat.shape == (2, columns_side_by_side(SHORT))
    # A gap of 20 days is the thirteenth above the least, which is 7.
    assert flat[:, :8].tolist() == [[1, 1, 10, 1, 20, 13, 1, 20], [1, 0, 7, 2, 50, -1, -1, -1]]
    assert (flat[:, 8:] == MISSING).all()


def test_rows_become_the_visits_that_they_were_made_of() -> None:
    codes, rows = rows_of(journeys(60), SHORT)
    side = SideBySide(SHORT)
    flat = side.flatten(codes, rows)
    marginals = tuple(map(even, side.fields))
    agreed, denied = side.agreed(flat, marginals, np.random.default_rng(0))
    assert not denied.any()
    visits = RuledVisits(side, marginals)._visits(agreed)
    expected, numbered = visit_codes(side.timeline, codes, rows)
    assert (visits.codes == expected[numbered[numbered >= 0]]).all()


def test_visits_agree_with_their_number_and_with_the_end_of_time() -> None:
    side = SideBySide(SHORT)
    flat = side.flatten(*rows_of(journeys(200), SHORT))
    generator = np.random.default_rng(0)
    # Each column drawn on its own: visits that there are not, and gaps beyond the end.
    torn = np.stack([generator.permutation(column) for column in flat.T], axis=1)
    torn[:, side.timeline.first] = side.timeline.columns[side.timeline.first].lattice_size - 1
    agreed, denied = side.agreed(torn, tuple(map(even, side.fields)), generator)
    assert denied.all()
    assert (side.counts(agreed) == side.counts(torn)).all()
    for place in range(side.most):
        there = (agreed[:, side.own(place)] != MISSING).all(axis=1)
        assert (there == (side.counts(agreed) > place)).all()
    visits = RuledVisits(side, tuple(map(even, side.fields)))._visits(agreed)
    assert visits.codes[:, side.timeline.time].max() < side.timeline.order.lattice_size


@pytest.mark.filterwarnings("ignore::synthvae.errors.RedrawnWarning")
@pytest.mark.parametrize("name", METHODS)
def test_no_visit_breaks_order_or_a_rule(name: str) -> None:
    made = make(name, STEPS, 5.0, 1e-5, test_seed=1).fit(stepwise(200)).sample(500, seed=2)
    assert find_problems(made, STEPS) == []
    assert 500 - 3 < len(made) <= 500
    steps = made.groupby("patient")["number"].diff().dropna()
    assert len(steps) > 100
    assert (steps == 1).all()
    assert made.groupby("patient")["day"].diff().dropna().between(7, 180).all()
    ended = made.groupby("patient")["state"].shift() == "severe"
    assert (made["state"][ended] == "severe").all()
    assert (made["high"].astype(bool) == (made["lab"] >= 10)).all()


@pytest.mark.filterwarnings("ignore::synthvae.errors.RedrawnWarning")
def test_patients_without_visits_are_drawn_too() -> None:
    schema = STEPS.replace(visitsOptional=True)
    frame = stepwise(200)
    alone = pd.DataFrame({"patient": [f"q{i}" for i in range(100)], "severity": "low"})
    whole = pd.concat([frame, alone], ignore_index=True)
    made = make("independent", schema, 20.0, 1e-5, test_seed=1).fit(whole).sample(900, seed=3)
    assert find_problems(made, schema) == []
    without = made["day"].isna()
    assert 0.2 < without.sum() / made["patient"].nunique() < 0.45
    assert made.loc[without, ["state", "lab", "number", "high"]].isna().all(axis=None)


@pytest.mark.parametrize("name", METHODS)
def test_a_patient_is_one_row_whatever_the_visits(name: str) -> None:
    record = make(name, SHORT.replace(maxRows=3), 1.0, 1e-5, test_seed=1).fit(journeys(200)).record
    changes = [
        change
        for stage in record.stages
        if isinstance(stage, GaussianStage | SelectionStage)
        for change in stage.sensitivities or ()
    ]
    assert changes
    assert set(changes) == {1.0}
    assert record.epsilon <= 1.0


def test_visits_by_another_patient_change_no_row() -> None:
    codes, rows = rows_of(journeys(40), SHORT)
    side = SideBySide(SHORT)
    assert (side.flatten(codes, rows)[:-1] == side.flatten(codes, rows[:-1])).all()


def test_too_many_columns_are_no_table_for_a_graph() -> None:
    long = SHORT.replace(maxRows=60)
    assert why_unfit("mst", SHORT) is None
    assert why_unfit("aim", SHORT.replace(orderBy=None, keepRows="window")) is None
    columns = columns_side_by_side(long)
    assert columns == 2 + 60 * 3
    assert (why_unfit("aim", long) or "").startswith(f"visits side by side are {columns} columns")
    assert why_unfit("independent", long) is None
