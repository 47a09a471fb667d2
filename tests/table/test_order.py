"""Rows in time: which are kept of a patient, in which order, and which have no place in it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import DataError
from synthvae.schema import Schema
from synthvae.table import encode, find_problems, group_by_patient, inspect
from synthvae.table.patient_notes import patient_notes

KEY = bytes(32)
FIELDS = [
    {"name": "id"},
    {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
    {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
]
EVENTS = "so events that come"


def schema(most: int = 2, order: Any = "day", **settings: Any) -> Schema:
    table = {"patientKey": "id", "maxRows": most, "orderBy": order} | settings
    return Schema.from_dict(table | {"fields": FIELDS})


def visits(**days: list[Any]) -> pd.DataFrame:
    """Return visits of patients on these days, as a file lists them."""
    rows = [(whose, day) for whose, mine in days.items() for day in mine]
    return pd.DataFrame(rows, columns=["id", "day"]).assign(x=1)


def days_kept(frame: pd.DataFrame, asked: Schema, key: bytes = KEY) -> list[list[int]]:
    rows = group_by_patient(frame, asked, key).rows
    return [frame["day"].to_numpy()[mine[mine >= 0]].tolist() for mine in rows]


def test_rows_come_in_time_and_the_first_or_the_last_are_kept() -> None:
    frame = visits(a=[9, 3, 50, 7], b=[2, 1], c=[4]).sample(frac=1, random_state=2)
    by_name = sorted(zip(frame["id"].unique(), range(3), strict=True))
    kept = {how: days_kept(frame, schema(keepRows=how)) for how in ("first", "last")}
    assert [kept["first"][place] for _, place in by_name] == [[3, 7], [1, 2], [4]]
    assert [kept["last"][place] for _, place in by_name] == [[9, 50], [1, 2], [4]]


def test_rows_of_one_time_stay_in_the_order_of_the_file() -> None:
    order = {"column": "day", "strict": False}
    frame = visits(a=[5, 1, 5, 1, 5])
    rows = group_by_patient(frame, schema(5, order), KEY).rows
    assert rows.tolist() == [[1, 3, 0, 2, 4]]


def test_a_window_is_of_neighbours_and_starts_anywhere_equally_often() -> None:
    days = np.arange(6) * 3
    frame = visits(a=[*np.roll(days, 2)])
    starts = np.zeros(4)
    for seed in range(2_000):
        kept = days_kept(frame, schema(3), seed.to_bytes(32, "little"))[0]
        start = kept[0] // 3
        assert kept == days[start : start + 3].tolist()
        starts[start] += 1
    assert np.allclose(starts / 2_000, 1 / 4, atol=0.05)


@pytest.mark.parametrize(
    ("order", "days", "rows", "message"),
    [
        (
            {"strict": True},
            [4, 9, 4],
            [2],
            "at the time of another row .*: row 3 after row 1.*strict",
        ),
        ({"strict": False}, [4, 9, 4], [], ""),
        ({"gap": {"minimum": 3}}, [9, 4, 2], [1], r"less than 3 .*\(first: 2, row 2 after row 3\)"),
        (
            {"gap": {"maximum": 4}},
            [9, 4, 2],
            [0],
            r"more than 4 .*row 1 after row 2\); .*raise gap.max",
        ),
        ({"gap": {"minimum": 2, "step": 4}}, [2, 4, 11], [2], "not 2 and whole steps of 4 .*row 3"),
        ({"gap": {"minimum": 2, "step": 3}}, [2, 4, 9], [], ""),
    ],
)
def test_rows_without_a_place_are_named(
    order: dict[str, Any], days: list[int], rows: list[int], message: str
) -> None:
    asked = schema(order={"column": "day"} | order)
    frame = visits(a=days, b=[1, 50] if "maximum" not in order.get("gap", {}) else [1])
    if "step" in order.get("gap", {}):
        frame = frame[frame["id"] == "a"]
    found = inspect(frame, asked)
    assert np.flatnonzero(found.invalid.any(axis=1)).tolist() == rows
    assert len(found.problems) == len(rows)
    if rows:
        with pytest.raises(DataError, match=message):
            encode(frame, asked)


def test_all_is_named_at_once_and_a_day_that_cannot_be_read_has_no_neighbours() -> None:
    asked = schema(order={"column": "day", "gap": {"maximum": 5}})
    frame = visits(a=[1, "soon", 10], b=[1, 1], c=[1, 20])
    frame["x"] = [1, 1, 1, 1, 77, 1, 1]
    texts = [str(problem) for problem in find_problems(frame, asked)]
    assert len(texts) == 4
    assert "1 row: at the time" in texts[2]
    assert "row 7 after row 6" in texts[3]
    assert find_problems(frame.assign(id=["", *frame["id"][1:]]), asked)[-1].column == "id"


def test_notes_say_what_was_cut_and_what_was_sorted() -> None:
    frame = visits(a=[1, 2, 3], b=[9, 8], c=[1])

    def notes(asked: Schema) -> dict[str, str]:
        return {n.kind: str(n) for n in patient_notes(frame, encode(frame, asked), asked)}

    first, last = notes(schema(keepRows="first")), notes(schema(keepRows="last"))
    assert f"{EVENTS} late are lost" in first["dropped rows"]
    assert "1 row of 6 will not be used" in first["dropped rows"]
    assert f"{EVENTS} early are lost" in last["dropped rows"]
    assert "neighbours in time are kept" in notes(schema())["dropped rows"]
    assert "the rows of 1 patient in the order of 'day'" in first["unsorted"]
    assert "unsorted" not in notes(schema(order=None))
