"""Columns as files of other countries and habits have them: what their draft says."""

from datetime import date

import pandas as pd
import pytest

from synthvae.drafting.draft import draft_table
from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table import inspect
from synthvae.table.codes import encode

ROWS = 240
POINTS = [("1.880", "10.109", "458", "2.031", "77", "3.500")[i % 6] for i in range(ROWS)]
ASKED = "the point may stand before decimals or between thousands"


def drafted(**columns: list[str]) -> tuple[Schema, str]:
    frame = pd.DataFrame(columns | {"flag": ["true", "false"] * (ROWS // 2)})
    draft = draft_table(frame, has_header=True)
    assert inspect(frame, draft.schema).problems == []
    return draft.schema, draft.text


def bounds(field: Field) -> tuple[object, object]:
    return field.constraints.minimum, field.constraints.maximum


def test_points_between_thousands_beside_short_whole_numbers() -> None:
    schema, text = drafted(v=[str(i) if i % 3 else f"{i}.{i:03d}" for i in range(1, ROWS + 1)])
    assert (schema["v"].type, schema["v"].decimalChar, schema["v"].groupChar) == (
        "integer",
        ",",
        ".",
    )
    assert ASKED in text


@pytest.mark.parametrize("commas", [True, False])
def test_points_are_between_thousands_where_another_column_has_decimal_commas(commas: bool) -> None:
    cells = [f"{1 + i % 9}.{i * 37 % 1000:03d}" for i in range(ROWS)]
    other = [f"{i}{',' if commas else '.'}5" for i in range(ROWS)]
    schema, text = drafted(v=cells, w=other)
    assert schema["v"].groupChar == ("." if commas else None)
    assert schema["v"].type == ("integer" if commas else "number")
    assert ASKED in text


@pytest.mark.parametrize("odd", ["0.250", "12.5", "1.25"])
def test_decimals_that_are_sure_are_not_asked_about(odd: str) -> None:
    schema, text = drafted(v=[*POINTS[:-1], odd])
    assert (schema["v"].groupChar, ASKED in text) == (None, False)


def test_whole_numbers_without_points_between_thousands_keep_decimals() -> None:
    schema, text = drafted(v=[*POINTS[:-1], "12045"])
    assert (schema["v"].groupChar, ASKED in text) == (None, True)


@pytest.mark.parametrize(
    "cells", [("-", "+"), ("-", "+", "++", "+++"), ("-", "1+", "2+"), ("?", "pos", "neg")]
)
def test_signs_are_results_beside_signs(cells: tuple[str, ...]) -> None:
    schema, text = drafted(dip=[cells[i % len(cells)] for i in range(ROWS)])
    assert set(schema["dip"].categories) == set(cells)
    assert cells[0] not in schema.missingValues
    assert not schema["dip"].nullable
    assert f"`{cells[0]}` is a result here" in text


def test_a_sign_that_numbers_have_for_missing_is_a_result_elsewhere() -> None:
    schema, text = drafted(
        dip=[("-", "+")[i % 2] for i in range(ROWS)],
        v=["-" if i % 9 == 0 else str(i * 31 % 97) for i in range(ROWS)],
    )
    assert "-" not in schema.missingValues
    assert set(schema["dip"].categories) == {"-", "+"}
    assert (schema["v"].invalid, schema["v"].nullable) == ("missing", True)
    assert "`-` is a result in another column" in text


def test_a_sign_that_another_column_needs_for_missing_stays_missing_and_says_so() -> None:
    schema, text = drafted(
        dip=[("-", "+")[i % 2] for i in range(ROWS)],
        ward=["-" if i % 9 == 0 else "ABC"[i % 3] for i in range(ROWS)],
    )
    assert "-" in schema.missingValues
    assert (schema["dip"].categories, schema["dip"].nullable) == (("+",), True)
    assert "`-` may be a result here, but is read as missing" in text
    assert "Read as missing: `-`" in text


def test_few_question_marks_are_missing() -> None:
    schema, text = drafted(test=["?", "?", *["pos", "neg"] * (ROWS // 2 - 1)])
    assert (schema["test"].categories, schema["test"].nullable) == (("neg", "pos"), True)
    assert "Read as missing: `?`" in text


@pytest.mark.parametrize(
    "cells", [("0,5", "1,5"), ("2,5", "5", "7,5", "10"), ("0,50", "1,00", "1,50")]
)
def test_few_numbers_with_a_decimal_comma_are_categories(cells: tuple[str, ...]) -> None:
    column = [cells[i % len(cells)] for i in range(ROWS)]
    schema, _ = drafted(v=column)
    assert schema["v"].decimalChar == ","
    assert len(schema["v"].categories) == len(cells)
    codes = encode(pd.DataFrame({"v": column, "flag": ["true", "false"] * (ROWS // 2)}), schema)
    place = [field.name for field in schema.modelled].index("v")
    assert set(codes[:, place]) == set(range(len(cells)))


def test_bounds_do_not_lie_beyond_a_limit_of_detection() -> None:
    low = ["<0.1" if i % 5 == 0 else f"{0.1 + i * 37 % 90 / 10:.1f}" for i in range(ROWS)]
    high = [">10" if i % 5 == 0 else f"{i * 37 % 95 / 10:.1f}" for i in range(ROWS)]
    crea = ["<0.3" if i % 5 == 0 else f"{0.4 + i * 37 % 40 / 10:.1f}" for i in range(ROWS)]
    schema, text = drafted(low=low, high=high, crea=crea)
    assert bounds(schema["low"])[0] == 0.1
    assert bounds(schema["high"])[1] == 10
    assert bounds(schema["crea"])[0] == 0.3
    assert "no number lies beyond a limit" in text


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [(0, 7, (0, 10)), (0, 3, (0, 5)), (2, 4, (1, 5)), (1, 8, (1, 10)), (12, 17, (10, 20)),
     (5, 9, (5, 10)), (-13, -6, (-15, -5)), (0, 4, (0, 5)), (1004, 1006, (1000, 1010))],
)  # fmt: skip
def test_narrow_ranges_do_not_end_at_the_extremes(
    least: int, most: int, expected: tuple[int, int]
) -> None:
    cells = [str(least + i % (most - least + 1)) for i in range(ROWS)]
    schema, _ = drafted(score_x=cells)
    assert (bounds(schema["score_x"]), schema["score_x"].review) == (expected, True)


def test_the_bounds_decide_the_century_of_two_digit_years() -> None:
    births = [f"{1 + i % 28:02d}.{1 + i % 12:02d}.{(34 + i % 80) % 100:02d}" for i in range(ROWS)]
    schema, text = drafted(v=births)
    assert bounds(schema["v"]) == ("1930-01-01", f"{date.today().year}-12-31")
    assert schema["v"].review
    assert "for which the bounds decide the century" in text


@pytest.mark.parametrize("name", ["Numéro", "ид", "Fallnr", "lopnummer"])
def test_a_running_number_is_an_identifier_under_any_name(name: str) -> None:
    schema, _ = drafted(**{name: [str(1000 + i) for i in range(ROWS)], "x": ["a", "b"] * 120})
    assert name in schema.identifiers
    schema, _ = drafted(**{name: [f"{i * 7:06d}" for i in range(ROWS)], "x": ["a", "b"] * 120})
    assert name in schema.identifiers


def test_a_nameless_column_of_repeated_values_is_an_ordinary_one() -> None:
    schema, _ = drafted(**{"Unnamed: 2": ["a", "b", "c"] * 80})
    assert schema["Unnamed: 2"].categories == ("a", "b", "c")


def test_counts_without_a_unit_are_not_asked_about_theirs() -> None:
    _, text = drafted(parity=[str(i * 37 % 200) for i in range(ROWS)])
    assert "check the unit" not in text


def test_one_field_is_said_in_the_singular() -> None:
    summary = draft_table(pd.DataFrame({"ward": ["A", "B"] * 30})).summary
    assert summary[0] == "1 field, 1 modelled; 1 marked `review: true` needs a person's word."
