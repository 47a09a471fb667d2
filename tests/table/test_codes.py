from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.errors import DataError
from synthvae.schema import Schema
from synthvae.table import decode, encode, encode_with_notes, find_problems, inspect
from tests.random_schemas import random_codes, schemas
from tests.simulated import PLACES, with_rows


def schema_of(*fields: dict[str, Any], **settings: Any) -> Schema:
    return Schema.from_dict({"name": "demo", "fields": list(fields)} | settings)


def number(name: str = "x", low: Any = 0, high: Any = 10, **field: Any) -> dict[str, Any]:
    required = field.pop("required", True)
    rules = {"minimum": low, "maximum": high, "required": required}
    return {"name": name, "type": "number", "decimals": 1, "constraints": rules} | field


def codes_of(cells: Any, field: dict[str, Any], **settings: Any) -> list[int]:
    frame = pd.DataFrame({field["name"]: cells})
    return encode(frame, schema_of(field, **settings))[:, 0].tolist()


@settings(deadline=None)
@given(schema=schemas(), seed=st.integers(0, 2**32 - 1))
def test_decoded_tables_encode_to_the_same_values(schema: Schema, seed: int) -> None:
    frame = decode(random_codes(schema, 8, seed), schema)
    again = decode(encode(frame, schema), schema)
    pd.testing.assert_frame_equal(again, frame)


@settings(deadline=None)
@given(schema=schemas(), seed=st.integers(0, 2**32 - 1))
def test_the_row_order_does_not_matter(schema: Schema, seed: int) -> None:
    frame = decode(random_codes(schema, 8, seed), schema)
    assert np.array_equal(encode(frame[::-1], schema), encode(frame, schema)[::-1])


def test_a_table_by_hand() -> None:
    schema = schema_of(
        number("lab", required=False, special=[0]),
        {"name": "age", "type": "integer", "constraints": {"minimum": 18, "maximum": 20}},
        {"name": "sex", "constraints": {"enum": ["female", "male"], "required": False}},
        {"name": "died", "type": "boolean"},
        {
            "name": "seen",
            "type": "date",
            "constraints": {"minimum": "2020-01-01", "maximum": "2020-01-09"},
        },
        {
            "name": "at",
            "type": "datetime",
            "format": "%d/%m/%Y %H:%M",
            "constraints": {"minimum": "2020-01-01", "maximum": "2020-01-02"},
        },
    )
    frame = pd.DataFrame(
        {
            "lab": ["1.26", "0", "NA"],
            "age": ["18", "20.0", " 19 "],
            "sex": ["male", "", "female"],
            "died": ["1", "FALSE", "true"],
            "seen": ["2020-01-01", "2020-01-09", "2020-01-02"],
            "at": ["01/01/2020 00:00", "02/01/2020 00:00", "01/01/2020 01:01"],
        }
    )
    assert encode(frame, schema).tolist() == [
        [1, 1, 13, 0, 0, 0],
        [-1, 0, -2, 2, 8, 1440],
        [0, 1, -1, 1, 1, 61],
    ]
    typed = decode(encode(frame, schema), schema)[list(frame)]
    assert typed["lab"].tolist()[:2] == [1.3, 0.0]
    assert list(map(str, typed.dtypes)) == [
        *(
            "float64",
            "Int64",
            pd.Series(["male"]).dtype.name,
            "boolean",
            "datetime64[s]",
            "datetime64[s]",
        )
    ]


BOOLEAN = {"name": "x", "type": "boolean", "constraints": {"required": False}}
LABELS = {"name": "x", "constraints": {"enum": ["1", "b"], "required": False}}
DATES = {
    "name": "x",
    "type": "date",
    "constraints": {"minimum": "2020-01-01", "maximum": "2020-12-31", "required": False},
}


@pytest.mark.parametrize(
    ("cells", "field", "expected"),
    [
        (pd.Series([1.5, None]), number(required=False), [15, -1]),
        (pd.Series([1, None], dtype="Int64"), number(required=False), [10, -1]),
        (pd.Series([1.5, None], dtype="Float64"), number(required=False), [15, -1]),
        (
            pd.Series([1.5, None, float("nan")], dtype="double[pyarrow]"),
            number(required=False),
            [15, -1, -1],
        ),
        (pd.Series([1, None], dtype="int64[pyarrow]"), number(required=False), [10, -1]),
        (pd.Series(["1.5", None], dtype="string"), number(required=False), [15, -1]),
        (pd.Series(["1.5", None], dtype="string[pyarrow]"), number(required=False), [15, -1]),
        (pd.Series(["1.5", None], dtype="category"), number(required=False), [15, -1]),
        (pd.Series([1.5, None], dtype="category"), number(required=False), [15, -1]),
        ([Decimal("1.5"), "2", 3, np.float32(4)], number(), [15, 20, 30, 40]),
        ([True, False], BOOLEAN, [1, 0]),
        ([True, None], BOOLEAN, [1, -1]),
        ([1.0, 0.0, None], BOOLEAN, [1, 0, -1]),
        (pd.Series([True, None], dtype="boolean"), BOOLEAN, [1, -1]),
        (pd.Series([True, None], dtype="bool[pyarrow]"), BOOLEAN, [1, -1]),
        ([True, False], BOOLEAN | {"trueValues": ["y"], "falseValues": ["n"]}, [1, 0]),
        (pd.Series(["b", None, "1"], dtype="category"), LABELS, [1, -1, 0]),
        ([1, 1], LABELS, [0, 0]),
        ([1.0, None], LABELS, [0, -1]),
        (["1.0", "b"], LABELS, [0, 1]),
        (pd.to_datetime(["2020-01-02 18:00", "NaT"]), DATES, [1, -1]),
        (pd.to_datetime(["2020-01-02 23:00"]).tz_localize("Asia/Tokyo"), DATES, [1]),
        ([date(2020, 1, 2), datetime(2020, 1, 3, 18), None], DATES, [1, 2, -1]),
        (pd.Series([date(2020, 1, 2), None], dtype="date32[pyarrow]"), DATES, [1, -1]),
        ([20200102, 20200103], DATES | {"format": "%Y%m%d"}, [1, 2]),
        ([20200102, None], DATES | {"format": "%Y%m%d"}, [1, -1]),
        ([np.datetime64("2020-01-02"), "2020-01-03"], DATES, [1, 2]),
        (
            pd.Series(pd.to_datetime(["2020-01-02", "NaT"]), dtype="timestamp[s][pyarrow]"),
            DATES,
            [1, -1],
        ),
        ([True, "2", np.False_], number(), [10, 20, 0]),
        (pd.Series([True, None], dtype="boolean"), number(required=False), [10, -1]),
        ([True, 0], {"name": "x", "type": "integer", "constraints": {"enum": [0, 1]}}, [1, 0]),
        ([Decimal("1.00"), np.int8(1)], LABELS, [0, 0]),
        ([1, 1 + 0j], number(), [10, 10]),
        (pd.arrays.SparseArray([1.5, 0.0]), number(), [15, 0]),
        (["02/01/2020", "NA"], DATES | {"format": "%d/%m/%Y"}, [1, -1]),
    ],
)
def test_every_type_of_column_is_understood(
    cells: Any, field: dict[str, Any], expected: list[int]
) -> None:
    assert codes_of(cells, field) == expected


def test_numbers_are_compared_as_the_nearest_doubles() -> None:
    texts = ["0.3", "0.1", "2.675", "1e-1"]
    assert codes_of(texts, number(low=0.1, high=0.3, special=[2.675])) == [2, 0, -2, 0]


def test_missing_values_may_be_numbers() -> None:
    settings = {"missingValues": ["", "-999"]}
    assert codes_of(pd.Series([1, -999]), number(required=False), **settings) == [10, -1]
    assert codes_of(["1", "-999"], number(required=False), **settings) == [10, -1]
    assert codes_of([1.0, -999.0], LABELS, **settings) == [0, -1]


def test_a_typed_cell_is_missing_where_a_spelling_reads_as_it() -> None:
    settings = {"missingValues": ["-9.00", "True", "2020-01-01", "2020-01-02 10:00:00"]}
    assert codes_of([-9, "-9", Decimal("-9")], LABELS | {"invalid": "other"}, **settings) == [
        *(-1, 2, -1)
    ]
    assert codes_of([True, 1], LABELS, **settings) == [-1, 0]
    moments = pd.Series(pd.to_datetime(["2020-01-01T00", "2020-01-02T10", "2020-01-03T00"]))
    assert codes_of(moments, DATES, **settings) == [-1, -1, 2]
    assert codes_of(moments.astype(object), DATES, **settings) == [-1, -1, 2]
    assert codes_of(moments.dt.tz_localize("Asia/Tokyo"), DATES, **settings) == [0, 1, 2]
    assert codes_of([date(2020, 1, 1)], DATES, **settings) == [-1]


def test_blanks_around_a_missing_value_do_not_count() -> None:
    assert codes_of(["  ", " NA", "1"], number(required=False)) == [-1, -1, 10]


def test_categories_with_leading_zeros_stay_apart() -> None:
    field = {"name": "x", "constraints": {"enum": ["1", "01"]}}
    assert codes_of(["01", "1"], field) == [1, 0]
    with pytest.raises(DataError, match="not one of 1"):
        codes_of(["01"], {"name": "x", "constraints": {"enum": ["1"]}})


def test_numeric_categories_are_compared_as_numbers() -> None:
    field = {
        "name": "x",
        "type": "number",
        "constraints": {"enum": ["0.10", "2"], "required": False},
    }
    assert codes_of(["0.1", "2.00", None], field) == [0, 1, -1]
    schema = schema_of(field)
    assert decode(np.array([[0], [-1]]), schema)["x"].tolist()[0] == 0.1


BAD_CELLS = [
    (["1", "11", "12"], number(), "column 'x': 2 rows: above 10 .*'11' in row 2.*widen the bounds"),
    (["-1"], number(), "column 'x': 1 row: below 0"),
    ([float("inf"), 1], number(), "above 10 .*'inf'"),
    ([1e308], number(), "above 10"),
    (["-inf"], number(), "below 0"),
    (["9" * 400], number(), "above 10"),
    (["nan"], number(), "not a number"),
    ([float("nan")], number(), "a missing value where one is required .*row 1.*`required: false`"),
    (["", "NA"], number(), "2 rows: a missing value where one is required"),
    (["1,5"], number(), "not a number .*'1,5'.*decimalChar"),
    (["1_0"], number(), "not a number"),
    (["", "x\0\n"], number(required=False), r"not a number \(first: 'x\\x00\\n' in row 2\)"),
    ([True, "x"], number(), "1 row: not a number .*'x' in row 2"),
    ([[1], {"a": 2}], number(), "not a number"),
    (["x" * 10**7], number(), r"not a number \(first: 'x{19}\.\.\.x{18}'"),
    (
        ["1.5"],
        {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
        "not a whole number",
    ),
    (["c"], LABELS, "not one of 1, b .*'c'.*`invalid: other`"),
    (
        [2**53, "b"],
        LABELS,
        "1 row: not one of 1, b .*'9007199254740992'.*2\\*\\*53 and more as text",
    ),
    ([1e300], BOOLEAN, "not one of .*as text"),
    (pd.Series([10**5000], dtype=object), number(), "above 10 .*first: '0x"),
    ([timedelta(days=1)], number(), "not a number .*'1 days 00:00:00'"),
    ([1 + 1j], number(), "not a number"),
    ([pd.Interval(0, 1)], number(), "not a number"),
    (pd.Series(pd.to_datetime(["2020-01-01"])), number(), "not a number .*'2020-01-01 00:00:00'"),
    ([True], DATES, "not a date"),
    ([2.0**60], DATES, "not a date"),
    (["2"], BOOLEAN, "not one of .*declare `trueValues`"),
    (["2020-02-30"], DATES, "not a date of the form %Y-%m-%d"),
    (["02/01/2020"], DATES, "not a date"),
    ([5.5], DATES, "not a date"),
    (["2020-01-02T00:00:00+02:00"], DATES, "not a date"),
    (["2021-01-01"], DATES, "above 2020-12-31"),
    (["9999-12-31"], DATES, "above 2020-12-31"),
    (["0001-01-01"], DATES, "below 2020-01-01"),
]


@pytest.mark.parametrize(("cells", "field", "message"), BAD_CELLS)
def test_names_column_rows_rule_and_way_out(
    cells: Any, field: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        codes_of(cells, field)


def test_inspect_marks_what_is_invalid_and_does_not_raise() -> None:
    schema = schema_of(number("a"), number("b"))
    read = inspect(pd.DataFrame({"a": ["1", "x"], "b": ["11", "2"]}), schema)
    codes, invalid, problems = read.codes, read.invalid, read.problems
    assert codes.tolist() == [[10, -1], [-1, 20]]
    assert invalid.tolist() == [[False, True], [True, False]]
    assert [(problem.column, problem.rows) for problem in problems] == [("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("policy", "cells", "expected"),
    [
        ("clip", ["-5", "11", "inf", "-inf", "1e308", "5"], [0, 100, 100, 0, 100, 50]),
        ("missing", ["-5", "11", "inf", "abc", "5"], [-1, -1, -1, -1, 50]),
    ],
)
def test_policies_for_numbers(policy: str, cells: list[str], expected: list[int]) -> None:
    field = number(required=policy != "missing", invalid=policy)
    assert codes_of(cells, field) == expected
    frame = pd.DataFrame({"x": cells})
    assert inspect(frame, schema_of(field)).invalid[:, 0].tolist() == [True] * (len(cells) - 1) + [
        False
    ]


def test_clipping_rounds_broken_integers_and_refuses_text() -> None:
    field = {
        "name": "x",
        "type": "integer",
        "invalid": "clip",
        "constraints": {"minimum": 0, "maximum": 9},
    }
    assert codes_of(["1.4", "99"], field) == [1, 9]
    with pytest.raises(DataError, match="not a number"):
        codes_of(["many"], field)


def test_policies_for_categories() -> None:
    assert codes_of(["c", "b", "é\n"], LABELS | {"invalid": "other"}) == [2, 1, 2]
    assert codes_of(["c", "b"], LABELS | {"invalid": "missing"}) == [-1, 1]


@pytest.mark.parametrize("place", PLACES)
def test_one_bad_record_changes_nobody_elses_codes(place: str) -> None:
    schema = schema_of(
        number("a", invalid="clip"),
        number("b", required=False, invalid="missing"),
        LABELS | {"name": "c", "invalid": "other"},
    )
    frame = pd.DataFrame({"a": ["1", "2"], "b": ["3", "4"], "c": ["1", "b"]})
    more = with_rows(frame, pd.DataFrame({"a": ["1e308"], "b": ["x"], "c": ["new"]}), place)
    others = (more["c"] != "new").to_numpy()
    assert np.array_equal(encode(more, schema)[others], encode(frame, schema))


def test_columns_are_matched_by_name() -> None:
    schema = schema_of(number("glucose"), number("age"))
    frame = pd.DataFrame({"glucsoe": [1.0], "age": [1.0], "ward": ["x"]})
    messages = "\n".join(map(str, find_problems(frame, schema)))
    assert (
        "column 'glucose': is in the schema but not in the table (did you mean 'glucsoe'?)"
        in messages
    )
    assert (
        "column 'glucsoe': is in the table but not in the schema (did you mean 'glucose'?)"
        in messages
    )
    assert "column 'ward': is in the table but not in the schema; declare it" in messages
    twice = pd.DataFrame([[1.0, 2.0, 3.0]], columns=["age", "age", "glucose"])
    with pytest.raises(DataError, match="column 'age': stands twice"):
        encode(twice, schema)


def test_columns_may_be_named_by_numbers() -> None:
    assert encode(pd.DataFrame({1: [2.0]}), schema_of(number("1"))).tolist() == [[20]]


@pytest.mark.parametrize("name", ["a.b", "a b", "café", "it's", 'say "x"', "two\nlines", "x" * 999])
def test_any_name_is_a_name(name: str) -> None:
    assert codes_of(["1"], number(name)) == [10]
    with pytest.raises(DataError) as caught:
        codes_of(["x"], number(name))
    assert repr(name)[:20] in str(caught.value)  # a long one is cut


def test_identifiers_that_repeat_or_are_blank() -> None:
    schema = schema_of(number(), {"name": "id", "role": "identifier"})
    frame = pd.DataFrame({"x": [1, 2, 3, 4], "id": ["a", "a", "", ""]})
    with pytest.raises(
        DataError, match=r"column 'id': 1 row: an identifier repeats.*`patientKey: id`"
    ):
        encode(frame, schema)
    grouped = schema.replace(patientKey="id", maxRows=2)
    with pytest.raises(DataError, match="column 'id': 2 rows: no patient identifier"):
        encode(frame, grouped)
    assert len(encode(frame[:2], grouped)) == 2
    assert len(encode(frame[1:], schema)) == 3
    with pytest.raises(DataError, match="column 'id': is in the schema but not in the table"):
        encode(frame[["x"]], grouped)


def test_identifiers_that_may_have_lost_digits() -> None:
    schema = schema_of(number(), {"name": "id", "role": "identifier"})
    grouped = schema.replace(patientKey="id", maxRows=2)
    whole = pd.DataFrame({"x": [1, 2], "id": [2**53, 2**53 + 1]})
    floats = whole.astype({"id": float})
    for each in (schema, grouped):
        assert find_problems(whole, each) == []
        assert find_problems(whole.astype({"id": str}), each) == []
        assert find_problems(whole.astype({"id": "Int64"}), each) == []
        for cells in (floats, floats.astype(object)):
            with pytest.raises(
                DataError, match=r"column 'id': 2 rows: an identifier of 2\*\*53.*as text"
            ):
                encode(cells, each)


def test_a_primary_key_of_two_columns() -> None:
    keys = [{"name": "id"}, {"name": "visit"}]
    schema = schema_of(number(), *keys, primaryKey=["id", "visit"])
    frame = pd.DataFrame({"x": [1, 2], "id": ["a", "a"], "visit": ["1", "2"]})
    assert find_problems(frame, schema) == []
    with pytest.raises(DataError, match="column 'id, visit': 1 row: an identifier repeats"):
        encode(frame.assign(visit="1"), schema)


def test_a_long_list_of_problems_is_cut() -> None:
    frame = pd.DataFrame({f"c{i}": [1] for i in range(50)} | {"x": [1]})
    with pytest.raises(DataError, match=r"\.\.\. and 38 more"):
        encode(frame, schema_of(number()))


def test_a_hundred_thousand_unknown_columns() -> None:
    frame = pd.DataFrame(np.zeros((1, 100_000)))
    assert len(find_problems(frame, schema_of(number()))) == 100_001


def test_a_table_without_rows() -> None:
    schema = schema_of(number(), LABELS | {"name": "c"}, DATES | {"name": "d"})
    empty = pd.DataFrame({"x": [], "c": [], "d": []})
    assert encode(empty, schema).shape == (0, 3)
    assert decode(encode(empty, schema), schema).shape == (0, 3)


@pytest.mark.parametrize("cells", [["4", " <5", "7", "4.0", ""], [4, "<5", 7, 4.0, None]])
def test_a_number_that_a_censored_spelling_stands_for_is_noted(cells: list[Any]) -> None:
    rules = {"minimum": 5, "maximum": 9, "required": False}
    field = {"name": "crp", "type": "integer", "censored": ["<5"], "constraints": rules}
    schema = Schema.from_dict({"fields": [field]})
    codes, notes = encode_with_notes(pd.DataFrame({"crp": cells}, dtype=object), schema)
    assert codes[:, 0].tolist() == [-2, -2, 2, -2, -1]
    assert [str(note) for note in notes] == [
        "column 'crp': 2 rows: 4 stands for '<5', and is read as it (first: '4' in row 1); "
        "`censored` can name another number"
    ]
    assert encode_with_notes(pd.DataFrame({"crp": ["<5", "7"]}), schema)[1] == []
    assert encode_with_notes(pd.DataFrame({"crp": [4.0, 7]}), schema)[1][0].rows == 1
