"""How numbers and times are spelled in real files: read as declared, and named where they are not."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import DataError
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table import decode, encode, inspect
from synthvae.table.cells import spelled_number

WIDE = {"minimum": -10_000_000, "maximum": 10_000_000, "required": False}


def number(**settings: Any) -> Field:
    rules = settings.pop("constraints", WIDE)
    return Field.from_dict({"name": "x", "type": "number", "constraints": rules} | settings)


@pytest.mark.parametrize(
    ("spelling", "text", "expected"),
    [
        ({"decimalChar": ","}, " 1,5 ", 1.5),
        ({"decimalChar": ","}, "-0,25", -0.25),
        ({"decimalChar": ","}, "1.5", math.nan),  # nobody knows which of the two was meant
        ({"decimalChar": ",", "groupChar": "."}, "1.234.567,5", 1_234_567.5),
        ({"decimalChar": ",", "groupChar": "."}, "1.23", math.nan),
        ({"groupChar": ","}, "1,234", 1234),
        ({"groupChar": ","}, "1,5", math.nan),
        ({"groupChar": " "}, "12\u202f345", 12_345),
        ({"bareNumber": False, "unit": "kg"}, "72 kg", 72),
        ({"bareNumber": False, "unit": "kg"}, "72.5KG", 72.5),
        ({"bareNumber": False, "unit": "kg"}, "72", 72),
        ({"bareNumber": False, "unit": "kg"}, "160 lb", math.nan),
        ({"bareNumber": False}, "-3 %", -3),
        ({"bareNumber": False}, "€ 4.50", 4.5),
        ({"bareNumber": False}, "120/80", math.nan),
        *(
            ({"bareNumber": False}, text, math.nan)
            for text in ("<5", ">100", "no 5", "about 7", "5-")
        ),
        *(({"bareNumber": False, "unit": "kg"}, text, math.nan) for text in ("k72g", "kg72kg")),
        ({"bareNumber": False, "decimalChar": ","}, "7,5 mg/dl", 7.5),
        ({}, "72 kg", math.nan),
        ({"censored": ["<5"], "decimals": 1}, "<5", 4.9),
        ({"censored": ["> 90"], "step": 10}, "> 90", 100),
        ({"censored": ["90+"]}, "90+", 90),
        ({"censored": {"<5": 2.5}}, "<5", 2.5),
        ({"censored": ["<5"]}, "<6", math.nan),
    ],
)
def test_numbers_are_read_as_they_are_spelled(
    spelling: dict[str, Any], text: str, expected: float
) -> None:
    np.testing.assert_equal(spelled_number(number(**spelling), text), expected)


@pytest.mark.parametrize(
    ("cells", "field", "hint"),
    [
        (["1,5", "2,5", "10,25"], {"type": "number"}, 'decimalChar: ","'),
        (["1.234,5", "1.234.567,0"], {"type": "number"}, 'groupChar: "."'),
        (["1,234.5", "12,345"], {"type": "number"}, 'groupChar: ","'),
        (["72 kg", "80 kg"], {"type": "number"}, "bareNumber: false"),
        (["<5", "<0.1", "90+"], {"type": "number"}, "censored"),
        (["177/65", "160/90"], {"type": "number"}, "two numbers in one cell"),
        (["14:35", "9:05"], {"type": "datetime"}, "times of day"),
        (["3/4/71", "12/11/68"], {"type": "date"}, "a year of two digits"),
        (["2020-01-01 00:30:00+01:00"], {"type": "datetime"}, "timezone"),
        (["x", "y"], {"type": "number"}, "missingValues"),
    ],
)
def test_what_cannot_be_read_says_what_it_seems_to_be(
    cells: list[str], field: dict[str, Any], hint: str
) -> None:
    bounds = (
        WIDE if field["type"] == "number" else {"minimum": "1900-01-01", "maximum": "2030-12-31"}
    )
    schema = Schema.from_dict({"fields": [{"name": "x", "constraints": bounds} | field]})
    with pytest.raises(DataError, match=r"column 'x'.*" + hint.replace('"', ".")):
        encode(pd.DataFrame({"x": cells}), schema)


def one(field: dict[str, Any]) -> Schema:
    return Schema.from_dict({"fields": [{"name": "x"} | field]})


@pytest.mark.parametrize(
    ("field", "cells", "back"),
    [
        (
            {"type": "number", "step": 0.5, "constraints": {"minimum": 0.25, "maximum": 3}},
            ["0.25", "0.75", "2.75"],
            [0.25, 0.75, 2.75],
        ),
        (
            {
                "type": "date",
                "format": "%d.%m.%y",
                "constraints": {"minimum": "1926-01-01", "maximum": "2025-12-31"},
            },
            ["13.05.34", "01.01.26", "31.12.25"],
            [pd.Timestamp("1934-05-13"), pd.Timestamp("1926-01-01"), pd.Timestamp("2025-12-31")],
        ),
        (
            {"type": "integer", "step": 2, "constraints": {"minimum": 1, "maximum": 9}},
            ["1", "9", "5"],
            [1, 9, 5],
        ),
        (
            {
                "type": "datetime",
                "step": "15 min",
                "constraints": {"minimum": "2020-01-01T00:05:00", "maximum": "2020-01-02T00:00:00"},
            },
            ["2020-01-01T00:05:00", "2020-01-01T23:50:00"],
            [pd.Timestamp("2020-01-01T00:05"), pd.Timestamp("2020-01-01T23:50")],
        ),
        (
            {
                "type": "datetime",
                "format": "%Y-%m-%d %H:%M:%S%z",
                "timezone": "Europe/Berlin",
                "constraints": {"minimum": "2020-01-01", "maximum": "2020-12-31"},
            },
            ["2020-07-01 00:30:00+02:00", "2020-07-01 00:30:00+0000"],
            [
                pd.Timestamp("2020-07-01 00:30", tz="Europe/Berlin"),
                pd.Timestamp("2020-07-01 02:30", tz="Europe/Berlin"),
            ],
        ),
    ],
)
def test_points_of_a_lattice_come_back(
    field: dict[str, Any], cells: list[str], back: list[Any]
) -> None:
    frame = pd.DataFrame({"x": cells})
    assert decode(encode(frame, one(field)), one(field))["x"].tolist() == back


def test_a_moment_between_two_steps_is_refused_however_far_from_1970() -> None:
    bounds = {"minimum": "1950-01-01T00:00:00", "maximum": "2030-12-31T00:00:00"}
    field = {"type": "datetime", "step": "2 s", "constraints": bounds}
    with pytest.raises(DataError, match=r"2 rows: not .* whole steps of 2 s"):
        encode(pd.DataFrame({"x": ["2025-01-01T00:00:01", "1951-01-01T00:00:03"]}), one(field))


def test_what_is_off_the_lattice_is_refused() -> None:
    field = {"type": "number", "step": 0.5, "constraints": {"minimum": 0, "maximum": 3}}
    with pytest.raises(
        DataError, match=r"column 'x': 1 row: not 0 and whole steps of 0\.5.*'1\.3'"
    ):
        encode(pd.DataFrame({"x": ["1.0", "1.3"]}), one(field))


BOUNDS = {"minimum": 0, "maximum": 5, "required": False}


@pytest.mark.parametrize(
    ("field", "cell", "note"),
    [
        ({"type": "number", "decimals": 1, "constraints": BOUNDS}, "1.25", "rounded to 1 decimal"),
        (
            {"type": "number", "invalid": "clip", "constraints": BOUNDS},
            "9",
            "above 5, and set to it",
        ),
        ({"type": "number", "invalid": "missing", "constraints": BOUNDS}, "9", "taken for missing"),
        ({"constraints": {"enum": ["a"]}, "invalid": "other"}, "b", "merged into 'other'"),
        (
            {"type": "date", "constraints": {"minimum": "2020-01-01", "maximum": "2020-12-31"}},
            pd.Timestamp("2020-07-01", tz="Asia/Tokyo"),
            "the time zone is dropped",
        ),
    ],
)
def test_what_is_changed_in_reading_is_noted(field: dict[str, Any], cell: Any, note: str) -> None:
    read = inspect(pd.DataFrame({"x": [cell]}), one(field))
    assert not read.problems
    assert [note in str(each) for each in read.notes] == [True]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"type": "number", "step": 0.5, "decimals": 0}, "no whole multiple of the last decimal"),
        ({"type": "number", "step": 0}, "must be a number above 0"),
        ({"type": "datetime", "step": "soon"}, "write it as 15 min"),
        ({"type": "date", "step": "12 h"}, "no whole multiple of a day"),
        ({"type": "string", "step": 2, "constraints": {"enum": ["a"]}}, "without an enum"),
        ({"type": "string", "decimalChar": ","}, "decimalChar goes with numbers"),
        ({"type": "number", "decimalChar": ",", "groupChar": ","}, "must not be the same"),
        ({"type": "number", "censored": ["low"]}, "write it as <5"),
        ({"type": "number", "timezone": "UTC"}, "timezone goes with `type: datetime`"),
        ({"type": "datetime", "timezone": "Mars/North"}, "none that is known"),
        ({"codes": [1], "constraints": {"enum": ["a", "b"]}}, "as many as the categories"),
    ],
)
def test_contradictory_spellings_are_refused(field: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        one(field)
