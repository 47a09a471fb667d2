"""Columns whose pandas type other tools did not know."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synthvae.table import decode, encode
from tests.peers.fits import schema_of

SCHEMA = schema_of(
    {"name": "ward", "constraints": {"enum": ["north", "south"], "required": False}},
    {
        "name": "count",
        "type": "integer",
        "constraints": {"minimum": 0, "maximum": 9, "required": False},
    },
    {
        "name": "dose",
        "type": "number",
        "decimals": 1,
        "constraints": {"minimum": 0, "maximum": 9, "required": False},
    },
    {"name": "died", "type": "boolean", "constraints": {"required": False}},
    {
        "name": "seen",
        "type": "datetime",
        "constraints": {
            "minimum": "2024-01-01T00:00:00",
            "maximum": "2024-12-31T00:00:00",
            "required": False,
        },
    },
)
CELLS: dict[str, list[Any]] = {
    "ward": ["north", None, "south"],
    "count": [7, None, 0],
    "dose": [2.5, None, 9.0],
    "died": [True, None, False],
    "seen": [pd.Timestamp("2024-02-29 12:30"), None, pd.Timestamp("2024-12-31")],
}
PLAIN = {name: np.array(cells, object) for name, cells in CELLS.items()}


def arrow(kind: pa.DataType) -> pd.ArrowDtype:
    return pd.ArrowDtype(kind)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("ward", "string"),
        ("ward", "string[pyarrow]"),
        ("ward", "category"),
        ("ward", arrow(pa.string())),
        ("ward", arrow(pa.large_string())),
        ("ward", arrow(pa.dictionary(pa.int8(), pa.string()))),
        ("count", "Int64"),
        ("count", "UInt8"),
        ("count", "float32"),
        ("count", "category"),
        ("count", arrow(pa.int16())),
        ("dose", "Float64"),
        ("dose", "float32"),
        ("dose", arrow(pa.float64())),
        ("dose", arrow(pa.decimal128(5, 2))),
        ("died", "boolean"),
        ("died", arrow(pa.bool_())),
        ("seen", "datetime64[ns]"),
        ("seen", "datetime64[s]"),
        ("seen", arrow(pa.timestamp("us"))),
        ("seen", arrow(pa.timestamp("s", "UTC"))),
    ],
    ids=str,
)
def test_a_columns_type_does_not_matter(name: str, dtype: Any) -> None:
    cells = pa.array(CELLS[name]) if isinstance(dtype, pd.ArrowDtype) else CELLS[name]
    if isinstance(dtype, pd.ArrowDtype):
        typed = pd.Series(pd.arrays.ArrowExtensionArray(_cast(cells, dtype.pyarrow_dtype)))
    else:
        typed = pd.Series(cells, dtype=dtype)
    frame = pd.DataFrame(PLAIN).assign(**{name: typed})
    codes = encode(frame, SCHEMA)
    np.testing.assert_array_equal(codes, encode(pd.DataFrame(PLAIN), SCHEMA))
    assert decode(codes, SCHEMA)["ward"].tolist() == CELLS["ward"]


def _cast(cells: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return cells.dictionary_encode().cast(kind)
    return cells.cast(kind)
