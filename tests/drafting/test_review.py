"""The review of a draft: each answer in the file at once, and nothing else in it touched."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from synthvae._frozen import write_yaml
from synthvae.drafting import draft_yaml
from synthvae.drafting.review import SchemaReview, evidence, facts, kind_of
from synthvae.errors import SchemaError
from synthvae.field import Field
from synthvae.rows_release import RowsRelease
from synthvae.schema import Schema
from tests.random_schemas import field_values

TODAY = date(2026, 11, 30)
DRAFT = """\
# A head that stays.
name: ward   # and so does this
# patients:   # how many, from outside
patientKey: id
# Rows kept per patient, more or less.
maxRows: 5

fields:
  - name: id
  # REVIEW: the bounds are the least and largest value
  # dictionary: nothing of the kind
  - name: "stay"   # in days
    type: integer
    # half of them are short
    constraints: {minimum: 0, maximum: 90}
    review: true

  # REVIEW: these are the categories that stand in the data
  - {name: unit, review: true, constraints: {enum: units.txt}}
  - name: died
    type: boolean      # 1 is yes
    review: true
# The end.
"""


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    (tmp_path / "units.txt").write_text("ICU\nward\n")
    path = tmp_path / "draft.yaml"
    path.write_text(DRAFT)
    return path


def begin(path: Path) -> SchemaReview:
    return SchemaReview(path, "Ann", TODAY)


def test_an_accepted_field_has_its_basis_and_all_else_stands_as_it_was(draft: Path) -> None:
    begin(draft).accept(["stay"], "protocol, page 3")
    new = """\
  # dictionary: nothing of the kind
  # in days
  # half of them are short
  - name: stay
    type: integer
    constraints: {minimum: 0, maximum: 90}
    basis: {source: 'protocol, page 3', by: Ann, 'on': 2026-11-30}
"""
    start, end = DRAFT.index("  # REVIEW: the bounds"), DRAFT.index("\n  # REVIEW: these")
    assert draft.read_text() == DRAFT[:start] + new + DRAFT[end:]
    basis = Schema.load(draft)["stay"].basis
    assert basis is not None
    assert (basis.source, basis.by, basis.on, basis.fromData) == (
        *("protocol, page 3", "Ann", TODAY),
        False,
    )


def test_going_on_later_begins_at_the_first_open_field(draft: Path) -> None:
    begin(draft).accept(["stay"], "protocol")
    again = begin(draft)
    assert again.open == ("unit", "died")
    again.accept(again.open, "the data themselves", from_data=True)
    assert begin(draft).open == ()
    assert "enum: units.txt" in draft.read_text()
    assert [f.name for f in Schema.load(draft).fields if f.basis and f.basis.fromData] == [
        *("unit", "died")
    ]


def test_what_the_draft_says_of_a_field_comes_with_it(draft: Path) -> None:
    review = begin(draft)
    assert review.remarks("stay") == (
        "the bounds are the least and largest value",
        "dictionary: nothing of the kind",
    )
    assert review.alike("stay") == ("stay",)
    assert facts(review.field("stay")) == "integer; 0 to 90"
    assert kind_of(review.field("unit")) == "lists of categories"


def test_a_change_is_written_and_leaves_the_field_open(draft: Path) -> None:
    review = begin(draft)
    review.change("stay", {"maximum": 365, "required": False, "perPatient": True})
    field = Schema.load(draft)["stay"]
    assert (field.constraints.maximum, field.nullable, field.perPatient) == (365, True, True)
    assert field.review
    assert "# REVIEW: the bounds" in draft.read_text()
    review.change("stay", {"perPatient": None, "maximum": 30})
    assert not Schema.load(draft)["stay"].perPatient


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("stay", {"minimum": 91}, "'stay': minimum 91 is above maximum 90"),
        ("stay", {"maximum": None}, "'stay': an integer needs minimum and maximum"),
        ("unit", {"enum": []}, "'unit', constraints, enum: enum must name at least one category"),
        ("unit", {"enum": ["a", "a"]}, "enum names 'a' twice"),
        ("died", {"type": "bool"}, "'died', type"),
    ],
)
def test_a_change_that_contradicts_itself_is_refused_and_the_file_is_as_it_was(
    draft: Path, name: str, change: dict[str, Any], message: str
) -> None:
    review = begin(draft)
    with pytest.raises(SchemaError, match=message):
        review.change(name, change)
    assert draft.read_text() == DRAFT
    review.accept([name], "protocol")  # and the review goes on
    assert name not in Schema.load(draft).to_review


def test_an_omitted_column_is_left_out(draft: Path) -> None:
    begin(draft).omit("stay")
    assert Schema.load(draft)["stay"].role == "omit"


def test_patients_and_rows_are_declared_in_their_places(draft: Path) -> None:
    review = begin(draft)
    assert review.row_remarks == "Rows kept per patient, more or less."
    review.declare_patients(400)
    review.declare_rows(2)
    text = draft.read_text()
    assert "\npatients: 400   # how many, from outside\n" in text
    assert (
        "\n# Rows used of a patient at most: declared by Ann on 2026-11-30.\nmaxRows: 2\n" in text
    )
    schema = Schema.load(draft)
    assert (schema.patients, schema.maxRows) == (400, 2)
    assert begin(draft).row_remarks == ""


@pytest.mark.parametrize("text", ["name: a\nfields:\n- {name: x, type: boolean}\n", "{}"])
def test_patients_are_declared_where_the_draft_has_no_place_for_them(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text if text != "{}" else "{name: a, fields: [{name: x, type: boolean}]}")
    review = begin(path)
    review.declare_patients(40)
    review.declare_patients(50)
    assert Schema.load(path).patients == 50


@pytest.mark.parametrize(
    "text",
    [
        "name: a\npatientKey: x\nmaxRows: 4 # four\nfields:\n- {name: x}\n- {name: y, type: boolean}\n",
        "fields:\r\n- name: x\r\n- name: y\r\n  type: boolean\r\npatientKey: x\r\nmaxRows: 4\r\n",
        "  patientKey: x\n  maxRows: 4\n  # of old\n  releases: []\n  # all\n"
        "  'fields': [{name: x}, {name: y, type: boolean}]\n",
        "{patientKey: x, maxRows: 4, fields: [{name: x}, {name: y, type: boolean}]}",
    ],
    ids=["before the fields", "after them, CRLF", "in place of others", "between braces"],
)
def test_releases_are_recorded_one_after_another(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(text.encode())
    before = Schema.load(path)
    asked = {"what": "rows per patient", "patientKey": before.patientKey, "epsilon": 0.2}
    release = RowsRelease.model_validate(asked | {"delta": 1e-6, "on": TODAY, "beyond": 0.05})
    for rows in (2, 3):
        begin(path).record_release(release)
        assert Schema.load(path).releases[-1] == release
        begin(path).settle_rows({1: 20, rows: -4}, rows)
    after = Schema.load(path)
    assert [each.maxRows for each in after.releases] == [2, after.maxRows] == [2, 3]
    assert after.releases[0].counts == {1: 20, 2: -4}
    assert after.replace(releases=[], maxRows=4) == before
    kept = [part for part in ("# of old", "# all") if part in text]
    assert all(path.read_text().count(part) == 1 for part in kept)
    assert (b"\r\n" in path.read_bytes()) == ("\r\n" in text)


def test_one_source_may_cover_all_columns_without_a_value(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    frame = pd.DataFrame({"a": [""] * 9, "b": [None] * 9, "seen": ["0", "1", "1"] * 3})
    path.write_text(draft_yaml(frame))
    review = begin(path)
    assert review.open == ("a", "b", "seen")
    assert (review.alike("a"), review.alike("seen")) == (("a", "b"), ("seen",))
    review.accept(review.alike("a"), "case report form")
    assert begin(path).open == ("seen",)
    assert {Schema.load(path)[name].role for name in "ab"} == {"empty"}


def test_a_file_that_somebody_else_has_changed_is_left_to_them(draft: Path) -> None:
    review = begin(draft)
    draft.write_text(DRAFT.replace("90", "91"))
    with pytest.raises(SchemaError, match="was changed by another program during the review"):
        review.accept(["died"], "protocol")
    assert draft.read_text() == DRAFT.replace("90", "91")


@st.composite
def drafts(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True))
    return [draw(field_values(name)) | {"review": draw(st.booleans())} for name in names]


@given(fields=drafts(), form=st.sampled_from(["block", "flow", "json", "crlf"]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_schema_is_the_same_but_for_its_marks(
    tmp_path: Path, fields: list[dict[str, Any]], form: str
) -> None:
    value = {"name": "any", "fields": fields, "title": "at the end"}
    path = tmp_path / ("s.json" if form == "json" else "s.yaml")
    if form == "json":
        text = json.dumps(value)
    elif form == "flow":
        listed = yaml.safe_dump(fields, default_flow_style=True, width=float("inf"))
        # Text such as 0E0, which PyYAML writes plain, is a number in YAML 1.2.
        assume(not re.search(r"[{ ,\[]\d+[eE]\d+[,}\]]", listed))
        text = f"name: any\nfields: {listed}title: at the end\n"
    else:
        text = write_yaml(value)
    path.write_bytes(text.replace("\n", "\r\n" if form == "crlf" else "\n").encode())
    before = Schema.load(path)
    review = begin(path)
    review.accept(review.open, "protocol: §1")
    after = Schema.load(path)
    assert after.to_review == ()
    bases = [field.basis for field in after.fields]
    assert [basis is not None for basis in bases] == [field.review for field in before.fields]
    bare = {"review": False, "basis": None}
    assert [f.model_copy(update=bare) for f in after.fields] == [
        f.model_copy(update=bare) for f in before.fields
    ]


def test_a_draft_of_a_table_can_be_accepted_whole(tmp_path: Path) -> None:
    rows = 60
    frame = pd.DataFrame(
        {
            "age": [str(20 + i % 50) for i in range(rows)],
            "odd": [f"{i / 7:.2f}" for i in range(rows)],
            "day": [f"2020-01-{1 + i % 28:02d}" for i in range(rows)],
            "ward": ["A", "B", "C"] * 20,
            "empty": [""] * rows,
        }
    )
    path = tmp_path / "s.yaml"
    path.write_text(draft_yaml(frame))
    remarks = [line for line in path.read_text().splitlines() if line.startswith("# -")]
    review = begin(path)
    review.accept(review.open, "protocol")
    assert Schema.load(path).to_review == ()
    assert all(line in path.read_text() for line in remarks)
    assert yaml.safe_load(path.read_text())["fields"][0]["name"] == "age"


@pytest.mark.parametrize(
    ("field", "cells", "lines"),
    [
        (
            {
                "type": "number",
                "decimals": 1,
                "decimalChar": ",",
                "constraints": {"minimum": 0, "maximum": 2},
            },
            ["0,5", "0,5", "1,5", "9,9", "", "?"],
            [
                "6 rows, 1 missing, 4 different values",
                "1%: 0.5, 25%: 0.5, 50%: 0.5, 75%: 1.5, 99%: 9.9",
                "1 value outside the bounds",
                "most often: '0,5' 2, '1,5' 1, '9,9' 1, '?' 1",
            ],
        ),
        (
            {"type": "date", "constraints": {"minimum": "2020-01-01", "maximum": "2020-12-31"}},
            ["2020-03-01", "2020-03-03"],
            [
                "2 rows, 0 missing, 2 different values",
                "1%: 2020-03-01, 25%: 2020-03-01, 50%: 2020-03-01, 75%: 2020-03-03, 99%: 2020-03-03",
                "most often: '2020-03-01' 1, '2020-03-03' 1",
            ],
        ),
        (
            {"constraints": {"enum": ["a", "b"]}},
            ["a", "b", "b"],
            ["3 rows, 0 missing, 2 different values", "most often: 'b' 2, 'a' 1"],
        ),
    ],
)
def test_evidence_is_what_the_field_reads(
    field: dict[str, Any], cells: list[str], lines: list[str]
) -> None:
    found = evidence(pd.Series(cells), Field.model_validate({"name": "x"} | field), ["", "NA"])
    assert found == lines


def test_what_rests_on_the_data_says_so_however_it_is_accepted(draft: Path) -> None:
    begun = begin(draft)
    name = begun.open[0]
    begun.accept((name,), "The data themselves")
    basis = Schema.load(draft)[name].basis
    assert basis is not None
    assert basis.fromData


def test_a_field_that_is_changed_later_is_open_again(draft: Path) -> None:
    begun = begin(draft)
    name = begun.open[0]
    begun.accept((name,), "protocol")
    begun.change(name, {"description": "changed"})
    again = Schema.load(draft)[name]
    assert again.review
    assert again.basis is None
