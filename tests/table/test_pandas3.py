"""Tables are read, split and written under pandas 3's defaults: text columns and copy-on-write."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from synthvae.schema import Schema
from synthvae.table import (
    decode,
    encode,
    group_by_patient,
    read_table,
    split_by_patient,
    write_table,
)

SCHEMA = Schema.from_dict(
    {
        "patientKey": "id",
        "maxRows": 2,
        "fields": [
            {"name": "id"},
            {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
            {"name": "ward", "constraints": {"enum": ["A", "B"], "required": False}},
            {"name": "died", "type": "boolean", "constraints": {"required": False}},
            {
                "name": "seen",
                "type": "date",
                "constraints": {
                    "minimum": "2000-01-01",
                    "maximum": "2009-12-31",
                    "required": False,
                },
            },
        ],
    }
)
FRAME = {
    "id": ["a", "a", "b", "c", "c", "c"],
    "age": [1, 2, 3, 4, 5, 6],
    "ward": ["A", None, "B", "A", "B", "A"],
    "died": [True, False, None, True, False, True],
    "seen": [*pd.to_datetime(["2001-02-03", "NaT", "2004-05-06"]), *[pd.NaT] * 3],
}


def journey(path: Path) -> list[NDArray[np.generic]]:
    """Return what becomes of a table on its way: codes, whose rows, who is held out, and back."""
    found: list[NDArray[np.generic]] = []
    write_table(pd.DataFrame(FRAME), path, SCHEMA)
    for frame in (pd.DataFrame(FRAME), read_table(path)):
        before = frame.copy()
        codes = encode(frame, SCHEMA)
        found += [
            codes,
            group_by_patient(frame, SCHEMA, b"key").rows,
            split_by_patient(frame, SCHEMA, 0.5, b"key"),
            encode(decode(codes, SCHEMA).assign(id=frame["id"]), SCHEMA),
        ]
        pd.testing.assert_frame_equal(frame, before)
    return found


@pytest.mark.skipif(not "2.3" <= pd.__version__ < "3", reason="only 2.3 foresees pandas 3")
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_table_takes_the_same_way(tmp_path: Path, ending: str) -> None:
    expected = journey(tmp_path / f"now{ending}")
    assert np.array_equal(expected[0], expected[3])
    with pd.option_context("future.infer_string", True, "mode.copy_on_write", True):
        found = journey(tmp_path / f"then{ending}")
    assert all(map(np.array_equal, found, expected))
    assert all(map(np.array_equal, found[:4], found[4:]))
