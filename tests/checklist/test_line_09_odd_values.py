"""Line 9: NaN, infinities, huge and mixed values are handled row by row, as the schema says.

Broken where one odd cell changes how a whole column is read (a column of numbers becomes one of
text, a mean becomes infinite): then everybody's records change with one patient's.
"""

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import DataError
from synthvae.table import encode
from tests.checklist.fitted import ODD, fitted
from tests.simulated import CLINIC, clinic

VALUES = [np.inf, -np.inf, np.nan, 1e308, -1e308, "", "1e400", "-5", None]


@pytest.mark.parametrize("value", ["twelve", "NaN", "1e999x"])
def test_line_9_what_is_no_number_is_an_error_before_anything_is_spent(value: str) -> None:
    frame = clinic(50).astype(object)
    frame.loc[3, "creatinine"] = value
    with pytest.raises(DataError, match=r"column 'creatinine': 1 row: not a number"):
        fitted(frame)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_line_9_an_odd_cell_changes_no_other_row(value: object) -> None:
    frame = clinic(60).astype(object)
    odd = frame.copy()
    odd.loc[7, "creatinine"] = value
    odd.loc[8, "ward"] = "a ward that nobody declared"
    before, after = encode(frame, CLINIC), encode(odd, CLINIC)
    others = ~np.isin(np.arange(60), [7, 8])
    assert (before[others] == after[others]).all()
    where = [field.name for field in CLINIC.modelled].index("creatinine")
    assert (np.delete(before[7], where) == np.delete(after[7], where)).all()


def test_line_9_odd_values_are_handled_row_by_row() -> None:
    frame = clinic(60)
    odd = pd.concat([frame, *(ODD.assign(creatinine=x) for x in (-np.inf, np.nan, 1e308))])
    with_odd = fitted(odd.reset_index(drop=True), test_seed=1)
    assert all(np.isfinite(w).all() for w in with_odd.state().weights.values())
