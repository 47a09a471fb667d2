from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.field import Field
from synthvae.schema import Schema
from synthvae.table import (
    decode,
    encode,
    find_problems,
    group_by_patient,
    identify_patients,
    identities,
    split_by_patient,
    with_identifiers,
)
from tests.simulated import PLACES, with_rows

X = {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}}
ROWS = Schema.from_dict({"fields": [X]})
KEY = bytes(range(32))
VISITS = Schema.from_dict({"fields": [X, {"name": "id"}], "patientKey": "id", "maxRows": 2})


def visits(ids: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(len(ids)) % 10, "id": ids})


def test_without_a_key_each_row_is_a_patient() -> None:
    assert group_by_patient(pd.DataFrame({"x": [1, 2]}), ROWS).rows.tolist() == [[0], [1]]


def test_keeps_at_most_the_declared_rows_of_each_patient() -> None:
    frame = visits(["a", "b", "a", "a", "c", "a", "b"])
    grouped = group_by_patient(frame, VISITS, bytes(32))
    assert grouped.rows.shape == (3, 2)
    assert grouped.present.sum(axis=1).tolist() == [2, 2, 1]
    for rows, name in zip(grouped.rows, "abc", strict=True):
        assert set(frame["id"].iloc[rows[rows >= 0]]) == {name}
    assert len(set(grouped.kept)) == 5
    assert grouped.kept.tolist() == sorted(grouped.kept)


def test_every_row_of_a_patient_is_kept_equally_often() -> None:
    frame = visits(["a"] * 4)
    kept = np.zeros(4)
    for seed in range(2_000):
        kept[group_by_patient(frame, VISITS, seed.to_bytes(32, "little")).kept] += 1
    assert np.allclose(kept / 2_000, 0.5, atol=0.05)


def test_draws_differ_without_a_key() -> None:
    frame = visits(["a"] * 200 + ["b"] * 200)  # by chance alike once in hundreds of millions
    assert not np.array_equal(
        group_by_patient(frame, VISITS).kept, group_by_patient(frame, VISITS).kept
    )


def test_a_table_without_rows() -> None:
    assert len(group_by_patient(visits([]), VISITS)) == 0
    assert len(split_by_patient(visits([]), VISITS, 0.2, KEY)) == 0


IDS = [f"p{i}" for i in range(300) for _ in range(1 + i % 3)]


def test_a_split_holds_out_whole_patients_at_about_the_given_rate() -> None:
    ids = [f"p{i}" for i in range(5_000) for _ in range(2)]
    held = split_by_patient(visits(ids), VISITS, 0.2, KEY)
    by_patient = pd.Series(held).groupby(ids).agg(["min", "max"])
    assert (by_patient["min"] == by_patient["max"]).all()
    assert by_patient["max"].mean() == pytest.approx(0.2, abs=0.025)  # four standard errors


def test_a_split_does_not_depend_on_the_order() -> None:
    frame = visits(IDS)
    order = np.random.default_rng(0).permutation(len(frame))
    held = split_by_patient(frame, VISITS, 0.3, KEY)
    assert np.array_equal(split_by_patient(frame.iloc[order], VISITS, 0.3, KEY), held[order])


@pytest.mark.parametrize("place", PLACES)
def test_adding_a_patient_changes_nobody_elses_side(place: str) -> None:
    frame = visits(IDS)
    more = with_rows(frame, visits(["new"]), place)
    held = split_by_patient(frame, VISITS, 0.3, KEY)
    others = (more["id"] != "new").to_numpy()
    assert np.array_equal(split_by_patient(more, VISITS, 0.3, KEY)[others], held)


def test_rows_without_a_key_are_split_by_content() -> None:
    frame = pd.DataFrame({"x": np.arange(2_000) % 10})
    held = split_by_patient(frame, ROWS, 0.5, KEY)
    assert held.mean() == pytest.approx(0.5, abs=0.05)
    order = np.random.default_rng(0).permutation(len(frame))
    shuffled = split_by_patient(frame.iloc[order], ROWS, 0.5, KEY)
    assert sorted(frame["x"][held]) == sorted(frame["x"].iloc[order][shuffled])


def test_the_same_key_repeats_a_split_and_keys_that_differ_in_a_bit_share_none() -> None:
    ids = [f"p{i}" for i in range(5_000)]
    first = split_by_patient(visits(ids), VISITS, 0.5, KEY)
    assert np.array_equal(first, split_by_patient(visits(ids), VISITS, 0.5, KEY))
    other = split_by_patient(visits(ids), VISITS, 0.5, KEY[:-1] + bytes([KEY[-1] ^ 1]))
    assert (first == other).mean() == pytest.approx(0.5, abs=0.03)  # four standard errors


def test_one_person_has_one_identity_however_it_is_spelled() -> None:
    numbers = Field(name="id", type="integer")
    text = Field(name="id", type="string")
    spelled = pd.Series(["7", " 7", "7.0", "07", "8", "x"])
    assert identities(spelled, numbers).tolist() == ["7", "7", "7", "7", "8", "x"]
    assert identities(spelled, text).tolist() == ["7", "7", "7.0", "07", "8", "x"]
    large = pd.Series(["9007199254740993", "9007199254740992"])
    assert identities(large, numbers).nunique() == 2


CENTRES = Schema.from_dict(
    {
        "patientKey": ["centre", "id"],
        "maxRows": 2,
        "fields": [
            {"name": "centre", "constraints": {"enum": ["A", "B"]}, "perPatient": True},
            {"name": "id"},
            {"name": "score", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
        ],
    }
)


def test_a_key_of_two_columns_tells_patients_apart() -> None:
    frame = pd.DataFrame(
        {"centre": list("AABB"), "id": ["1", "1", "1", "11"], "score": list("1234")}
    )
    assert group_by_patient(frame, CENTRES).rows.tolist() == [[0, 1], [2, -1], [3, -1]]
    assert [field.name for field in CENTRES.modelled] == ["centre", "score"]


def test_keys_of_two_columns_are_never_run_together() -> None:
    frame = pd.DataFrame({"centre": ["A", "A1"], "id": ["11", "1"]})
    assert identify_patients(frame, CENTRES).nunique() == 2


def test_synthetic_patients_of_a_key_of_two_columns_have_numbers_of_their_own() -> None:
    drawn = pd.DataFrame({"centre": ["A", "A", "B"], "score": [1, 2, 3]})
    named = with_identifiers(drawn, CENTRES, np.array([0, 0, 1]))
    assert list(named.columns) == ["centre", "id", "score"]
    assert identify_patients(named, CENTRES).nunique() == 2


def test_columns_that_are_left_out_or_empty() -> None:
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": "note", "role": "omit"},
                {"name": "fax", "role": "empty"},
                {"name": "sex", "constraints": {"enum": ["f", "m"]}},
            ]
        }
    )
    frame = pd.DataFrame({"note": ["x", "x"], "fax": ["", ""], "sex": ["f", "m"]})
    assert not find_problems(frame, schema)
    assert not find_problems(frame[["sex"]], schema)
    named = with_identifiers(decode(encode(frame, schema), schema), schema, np.arange(2))
    assert list(named.columns) == ["fax", "sex"]
    assert named["fax"].isna().all()
    with_value = frame.assign(fax=["", "030 1"])
    assert "column 'fax': 1 row: a value in an empty column" in str(
        find_problems(with_value, schema)[0]
    )


@pytest.mark.parametrize(
    ("site", "spellings"),
    [
        ({"type": "boolean", "trueValues": ["true", "1"]}, ["true", "1"]),
        ({"type": "integer", "constraints": {"enum": [1, 2]}}, ["1", "1.0", "01"]),
        ({"constraints": {"enum": ["A", "B"]}, "codes": [1, 2]}, ["A", "1", "1.0"]),
        (
            {"type": "date", "constraints": {"minimum": "1900-01-01", "maximum": "2000-01-01"}},
            ["1950-01-01", "19500101"],
        ),
        ({"role": "identifier", "type": "integer", "groupChar": ","}, ["1,234", "1234", "01234"]),
        ({"role": "identifier", "type": "number", "decimalChar": ","}, ["7,50", "7,5"]),
        ({"role": "identifier", "type": "number", "bareNumber": False, "unit": "x"}, ["1 x", "1"]),
    ],
)
def test_one_patient_spelled_in_several_ways_is_one(
    site: dict[str, Any], spellings: list[str]
) -> None:
    modelled = {} if site.get("role") else {"perPatient": True}
    schema = Schema.from_dict(
        {
            "patientKey": ["site", "nr"],
            "maxRows": 9,
            "fields": [
                {"name": "site"} | site | modelled,
                {"name": "nr"},
                {"name": "sex", "constraints": {"enum": ["f", "m"]}},
            ],
        }
    )
    frame = pd.DataFrame({"site": spellings, "nr": "5", "sex": "f"})
    assert len(set(identify_patients(frame, schema))) == 1
