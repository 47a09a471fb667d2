from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.field import Field
from synthvae.table.cells import canonical, identities, spellings

PARIS = pd.Timestamp("2012-12-31", tz="Europe/Paris")


@pytest.mark.parametrize(
    ("item", "value", "texts"),
    [
        *((item, None, [""]) for item in (None, np.nan, pd.NaT, pd.NA, Decimal("sNaN"))),
        *(
            (item, None, [""])
            for item in (np.datetime64("NaT", "s"), complex(0, np.nan), np.ma.masked)
        ),
        *(
            (item, 7, ["7"])
            for item in (7, 7.0, np.int8(7), np.float32(7), Decimal("7.00"), 7 + 0j)
        ),
        (-0.0, 0, ["0"]),
        (np.float32(0.1), 0.10000000149011612, ["0.10000000149011612"]),
        (Decimal("0.1"), 0.1, ["0.1"]),
        (2**53 + 1, 2**53 + 1, ["9007199254740993"]),
        (Decimal(2**53 + 1), 2**53 + 1, ["9007199254740993"]),
        (2.0**53, 2.0**53, ["9007199254740992.0"]),
        (Decimal("-1E+5000"), -np.inf, ["-inf"]),
        (np.True_, True, ["True"]),
        (np.str_("1.0"), "1.0", ["1.0"]),
        (
            np.datetime64("2012-12-31"),
            pd.Timestamp("2012-12-31"),
            ["2012-12-31 00:00:00", "2012-12-31"],
        ),
        (datetime(2012, 12, 31, 1), pd.Timestamp("2012-12-31 01:00"), ["2012-12-31 01:00:00"]),
        (PARIS, PARIS, ["2012-12-31 00:00:00+01:00"]),
        (date(2012, 12, 31), date(2012, 12, 31), ["2012-12-31"]),
        (np.timedelta64(1, "D"), "1 days 00:00:00", ["1 days 00:00:00"]),
        (timedelta(days=10**6), "1000000 days, 0:00:00", ["1000000 days, 0:00:00"]),
        (np.timedelta64(10**6, "D"), "1000000 days, 0:00:00", ["1000000 days, 0:00:00"]),
        (pd.Period("2012-12"), "2012-12", ["2012-12"]),
        (pd.Interval(0, 1), pd.Interval(0.0, 1.0), ["(0, 1]", "(0.0, 1.0]"]),
        (np.array([1.0, np.nan]), "[1, ]", ["[1, ]"]),
        (np.array(1.0), 1, ["1"]),
        (b"5", "5", ["5"]),
        (b"\xff", r"b'\xff'", [r"b'\xff'"]),
    ],
    ids=repr,
)
def test_canonical_values_and_their_spellings(item: Any, value: Any, texts: list[str]) -> None:
    cell = canonical(item)
    assert (cell, type(cell)) == (value, type(value))
    assert list(spellings(cell)) == texts


def test_a_time_that_the_clock_skips_is_moved_on_as_in_a_column() -> None:
    skipped = datetime(2012, 3, 25, 2, 30, tzinfo=PARIS.tzinfo)
    assert canonical(skipped) == pd.Series([skipped]).iloc[0]
    assert spellings(canonical(skipped)) == ("2012-03-25 03:30:00+02:00",)


def test_identities_are_the_same_text_in_every_type() -> None:
    text = Field(name="id", type="string")
    forms: list[Any] = [[7, 8], [7.0, 8.0], [np.int8(7), Decimal("8.0")], ["7", " 8 "]]
    for cells in forms:
        assert identities(pd.Series(cells), text).tolist() == ["7", "8"]
    holes = pd.Series([7, None, "x"], index=[2, 0, 1], name="id")
    expected = pd.Series(["7", "", "x"], index=[2, 0, 1], name="id", dtype=object)
    pd.testing.assert_series_equal(identities(holes, text), expected)
    days = pd.Series(pd.to_datetime(["2012-12-31", "2012-12-30"]))
    assert identities(days, text).tolist() == ["2012-12-31 00:00:00", "2012-12-30 00:00:00"]
