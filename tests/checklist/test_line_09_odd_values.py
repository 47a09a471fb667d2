"""Line 9: NaN, infinities, huge and mixed values are handled row by row, as the schema says.

Broken where one odd cell changes how a whole column is read (a column of numbers becomes one of
text, a mean becomes infinite): then everybody's records change with one patient's.
"""

from datetime import date
from decimal import Decimal
from itertools import permutations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import DataError
from synthvae.model.visit_goals import visit_query
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.table import encode, identities, inspect
from synthvae.timeline import Timeline
from tests.checklist.fitted import ODD, fitted, watch_releases
from tests.simulated import CLINIC, PLACES, clinic, with_rows
from tests.simulated_visits import SHORT, journeys

COUNTS = {"minimum": 0, "maximum": 99, "required": False}
DAYS = {"minimum": "2012-01-01", "maximum": "2012-12-31", "required": False}
WORDS = {"enum": ["1", "1.0", "True", "7.5", "2012-12-31"], "required": False}
KINDS = Schema.from_dict(
    {
        "missingValues": ["", "-9", "unknown"],
        "fields": [
            {"name": "age", "type": "integer", "constraints": COUNTS, "special": [999]},
            {"name": "lab", "type": "number", "decimals": 3, "constraints": COUNTS},
            {"name": "ward", "invalid": "other", "constraints": WORDS},
            {"name": "flag", "type": "boolean", "constraints": {"required": False}},
            {"name": "day", "type": "date", "format": "%Y%m%d", "constraints": DAYS},
            {"name": "seen", "type": "datetime", "constraints": DAYS},
        ],
    }
)
# Cells that a data frame would bring into one form, or that are equal to Python.
TOGETHER: list[list[Any]] = [
    [True, 1, 1.0],
    [False, 0, -0.0],
    [True, False, "x"],
    [7, 7.5, None],
    [-9, "unknown", "-9"],
    [999, None, "x"],
    [20121231, None, 20121230],
    [Decimal("1.0"), 1, "1.0"],
    [np.float32(0.1), 0.1, "x"],
    [pd.Timestamp("2012-12-31T01:00+02:00"), pd.Timestamp("2012-12-30T23:00Z"), None],
    [np.datetime64("2012-12-31"), pd.Timestamp("2012-12-30"), "2012-12-31"],
    [np.datetime64("2012-12-31"), date(2012, 12, 31), pd.NaT],
    [2**64, 2**53 + 1, "x"],
    [[1], "x", pd.NA],
]


def table(cells: list[Any], dtype: Any) -> pd.DataFrame:
    values = pd.Series(cells, dtype=dtype)
    return pd.DataFrame({field.name: values for field in KINDS.modelled})


VALUES = [np.inf, -np.inf, np.nan, 1e308, -1e308, "", "1e400", "-5", None]


@pytest.mark.parametrize("value", ["twelve", "NaN", "1e999x"])
def test_line_9_what_is_no_number_is_an_error_before_anything_is_spent(value: str) -> None:
    frame = clinic(50).astype(object)
    frame.loc[3, "creatinine"] = value
    with pytest.raises(DataError, match=r"column 'creatinine': 1 row: not a number"):
        fitted(frame)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_line_9_an_odd_cell_changes_no_other_row(value: Any) -> None:
    frame = clinic(60).astype(object)
    odd = frame.copy()
    odd.loc[7, "creatinine"] = value
    odd.loc[8, "ward"] = "a ward that nobody declared"
    before, after = encode(frame, CLINIC), encode(odd, CLINIC)
    others = ~np.isin(np.arange(60), [7, 8])
    assert (before[others] == after[others]).all()
    where = [field.name for field in CLINIC.modelled].index("creatinine")
    assert (np.delete(before[7], where) == np.delete(after[7], where)).all()


@pytest.mark.parametrize("place", PLACES)
def test_line_9_odd_values_are_handled_row_by_row(place: str) -> None:
    odd = pd.concat([ODD.assign(creatinine=x) for x in (-np.inf, np.nan, 1e308)])
    with_odd = fitted(with_rows(clinic(60), odd, place), test_seed=1)
    assert all(np.isfinite(w).all() for w in with_odd.state().weights.values())


@pytest.mark.parametrize("dtype", [object, None], ids=["objects", "as pandas infers it"])
@pytest.mark.parametrize("cells", TOGETHER, ids=repr)
def test_line_9_a_cell_is_read_by_itself(cells: list[Any], dtype: Any) -> None:
    names = pd.Series(cells, dtype=object)
    for order in permutations(range(len(cells))):
        together = inspect(table([cells[i] for i in order], dtype), KINDS)
        for row, i in enumerate(order):
            alone = inspect(table([cells[i]], dtype), KINDS)
            assert (together.codes[row] == alone.codes[0]).all()
            assert (together.invalid[row] == alone.invalid[0]).all()
            name = identities(names.iloc[list(order)], KINDS["age"]).iloc[row]
            assert name == identities(names.iloc[[i]], KINDS["age"]).iloc[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_line_9_odd_features_of_one_patient_spoil_nobody_elses_moments(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = fitted(journeys(60), SHORT).state().layout
    query = visit_query(Timeline(SHORT), layout)
    width = 1 + max(int(block.right.max()) for block in query.blocks.values())
    features = np.random.default_rng(0).normal(0, 1, (24, width))
    odd, rows = features.copy(), np.arange(24).reshape(4, 6)
    odd[12] = value
    exact = []
    for table, people in ((features, rows[[0, 1, 3]]), (odd, rows)):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch, noise=False)
            query.release(table, people, 2.0, Mechanisms(RandomStream(test_seed=0)))
        exact.append(seen[0].exact.astype(float))
    assert np.linalg.norm(exact[1] - exact[0]) <= query.sensitivity
