import warnings

import pandas as pd

from synthvae.errors import ReadingWarning
from synthvae.schema import Schema
from synthvae.table import encode_with_notes
from synthvae.table.reading_warnings import (
    cell_notes,
    reading_notes,
    warn_of_reading,
    without_reading_warnings,
)

NUMBER = {"type": "number", "decimals": 1, "constraints": {"minimum": 0, "maximum": 9}}
SCHEMA = Schema.from_dict(
    {
        "fields": [
            {"name": "a", **NUMBER, "invalid": "clip"},
            {"name": "b", **NUMBER},
            {"name": "c", **NUMBER},
            {"name": "ward", "constraints": {"enum": ["A"]}, "invalid": "other"},
        ]
    }
)
FRAME = pd.DataFrame(
    {
        "a": ["12", "1", "2", "3"],
        "b": ["0.25", "1", "2.55", "3"],
        "c": ["1", "0.75", "2", "3"],
        "ward": ["A", "A", "B", "C"],
    }
)


def test_what_was_done_to_cells_is_said_once_for_each_kind() -> None:
    texts = cell_notes(encode_with_notes(FRAME, SCHEMA)[1])
    assert set(texts) == {
        "column 'a': 1 row: above 9, and set to it (first: '12' in row 1); `invalid: clip` asks for it",
        "columns 'b', 'c': 3 cells: rounded to 1 decimal; `decimals` keeps more",
        "column 'ward': 2 rows: not one of A, other, and merged into 'other' (first: 'B' in row 3); "
        "`invalid: other` asks for it",
    }


def test_notes_come_as_warnings_unless_they_were_given_before() -> None:
    codes, notes = encode_with_notes(FRAME, SCHEMA)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_reading(FRAME, codes, notes, SCHEMA)
        with without_reading_warnings():
            warn_of_reading(FRAME, codes, notes, SCHEMA)
    assert [str(one.message) for one in caught] == reading_notes(FRAME, codes, notes, SCHEMA)
    assert {one.category for one in caught} == {ReadingWarning}


def test_a_plain_table_gets_none() -> None:
    frame = FRAME.assign(a="1", b=["1", "2", "3", "4"], c="1", ward="A")
    codes, notes = encode_with_notes(frame, SCHEMA)
    assert reading_notes(frame, codes, notes, SCHEMA) == []
