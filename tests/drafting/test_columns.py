"""Columns as real files have them: drafted so that they are read, and come out as they went in."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.drafting.columns import draft_column
from synthvae.drafting.draft import draft_table
from synthvae.schema import Dialect, Schema
from synthvae.table import inspect

ROWS = 240
START = pd.Timestamp("2015-03-02")  # a Monday
Cells = Callable[[int], str]


def spread(row: int) -> int:
    """Return a number below 10,000 that differs for each of the first rows, in no order."""
    return row * 7919 % 10_007 % 10_000


def day(row: int, form: str) -> str:
    return (START + pd.Timedelta(days=spread(row) % 900)).strftime(form)


def minute(row: int, form: str, step: int = 1) -> str:
    return (START + pd.Timedelta(minutes=spread(row) * 31 // step * step)).strftime(form)


def euro(row: int) -> str:
    return f"{spread(row) * 3.17 + 1000:,.2f}".translate(str.maketrans(",.", ".,"))


# What stands in the cells, and what the draft says about it.
READ: dict[str, tuple[Cells, dict[str, Any]]] = {
    "decimal comma": (
        lambda i: f"{20 + spread(i) / 500:.1f}".replace(".", ","),
        {"type": "number", "decimalChar": ",", "decimals": 1},
    ),
    "points between thousands": (euro, {"decimalChar": ",", "groupChar": ".", "decimals": 2}),
    "commas between thousands": (
        lambda i: f"{spread(i) * 131:,}",
        {"type": "integer", "groupChar": ","},
    ),
    "blanks between thousands": (
        lambda i: f"{spread(i) * 131:,}".replace(",", "\u00a0"),
        {"type": "integer", "groupChar": " "},
    ),
    "unit": (lambda i: f"{spread(i) % 80 + 40} kg", {"bareNumber": False, "unit": "kg"}),
    "currency": (lambda i: f"${spread(i) % 80 + 40}", {"bareNumber": False, "unit": "$"}),
    "censored below": (
        lambda i: "<3" if i % 4 else f"{spread(i) % 90 / 10 + 3:.1f}",
        {"type": "number", "censored": {"<3": None}, "decimals": 1},
    ),
    "censored with a comma": (
        lambda i: f"{spread(i) % 90 / 10 + 3:.1f}".replace(".", ",") if i % 9 else "<0,5",
        {"decimalChar": ",", "censored": {"<0,5": None}},
    ),
    "top code": (
        lambda i: f"{spread(i) % 70 + 20}" if i % 20 else "90+",
        {"type": "integer", "censored": {"90+": None}},
    ),
    "dipstick": (lambda i: ("neg", "1+", "2+", "3+")[i % 4], {"type": "string"}),
    "doses": (lambda i: ("5 mg", "10 mg", "20 mg")[i % 3], {"type": "string"}),
    "times of day": (
        lambda i: f"{i % 24:02d}:{spread(i) % 60:02d}",
        {"type": "datetime", "format": "%H:%M", "review": False},
    ),
    "two-digit years": (lambda i: day(i, "%d.%m.%y"), {"type": "date", "format": "%d.%m.%y"}),
    "SAS dates": (lambda i: day(i, "%d%b%Y").upper(), {"type": "date", "format": "%d%b%Y"}),
    "whole numbers as dates": (lambda i: day(i, "%Y%m%d"), {"type": "date", "format": "%Y%m%d"}),
    "one offset": (
        lambda i: minute(i, "%Y-%m-%d %H:%M:%S+01:00"),
        {"format": "%Y-%m-%d %H:%M:%S%z", "timezone": "+01:00"},
    ),
    "two offsets": (
        lambda i: minute(i, "%Y-%m-%dT%H:%M:%S") + ("+01:00" if i % 2 else "+02:00"),
        {"format": "%Y-%m-%dT%H:%M:%S%z", "timezone": "UTC"},
    ),
    "midnight": (
        lambda i: day(i, "%Y-%m-%d 00:00:00"),
        {"type": "datetime", "format": "%Y-%m-%d %H:%M:%S", "step": "1 day"},
    ),
    "quarter hours": (
        lambda i: minute(i, "%Y-%m-%d %H:%M:%S", 15),
        {"type": "datetime", "step": "15 min"},
    ),
    "Mondays": (
        lambda i: (START + pd.Timedelta(weeks=spread(i) % 90)).strftime("%Y-%m-%d"),
        {"type": "date", "step": "7 days"},
    ),
    "halves": (lambda i: f"{1 + spread(i) % 9 / 2:.1f}", {"step": 0.5, "decimals": 1}),
    "quarters": (lambda i: f"{0.1 + spread(i) % 40 / 4:.2f}", {"step": 0.25, "decimals": 2}),
    "even numbers": (lambda i: str(spread(i) % 40 * 2), {"type": "integer", "step": 2}),
    "few numbers": (
        lambda i: ("10", "20", "40", "80")[i % 4],
        {"type": "integer", "step": None, "special": ()},
    ),
    "one number": (lambda i: "5", {"type": "integer"}),
    "code for missing": (
        lambda i: str(spread(i) % 60 + 20) if i % 9 else "999",
        {"type": "integer", "special": (999,)},
    ),
    "negative code": (lambda i: str(spread(i) % 30) if i % 9 else "-9", {"special": (-9,)}),
    "one code": (lambda i: str(spread(i) % 60 + 20) if i else "999", {"invalid": "missing"}),
    "many zeros": (
        lambda i: "0" if i % 3 else f"{spread(i) / 7:.2f}",
        {"special": (0,), "decimals": 2},
    ),
    "cap": (
        lambda i: "45.00" if i % 10 else f"{15 + spread(i) % 2999 / 100:.2f}",
        {"special": (45,), "decimals": 2},
    ),
    "computed digits": (lambda i: repr(spread(i) / 7), {"type": "number", "decimals": 0}),
    "few typing errors": (
        lambda i: f"{spread(i) % 97 / 10:.1f}" if i % 40 else "lost",
        {"type": "number", "invalid": "missing"},
    ),
    "no such date": (
        lambda i: day(i, "%Y-%m-%d") if i % 20 else "9999-12-31",
        {"type": "date", "invalid": "missing"},
    ),
    "German truth": (
        lambda i: ("ja", "nein")[i % 2],
        {"type": "boolean", "trueValues": ("ja",), "falseValues": ("nein",)},
    ),
    "French truth": (
        lambda i: ("Oui", "Non", "non")[i % 3],
        {"trueValues": ("Oui",), "falseValues": ("Non", "non")},
    ),
    "Portuguese truth": (lambda i: ("sim", "não")[i % 2], {"trueValues": ("sim",)}),
    "postcodes": (lambda i: f"0{i % 4}067", {"type": "string"}),
    "letters": (lambda i: "MF"[i % 2], {"type": "string"}),
    "rare texts": (
        lambda i: f"C{i % 25}" if i % 20 else f"rare {i}",
        {"type": "string", "invalid": "other"},
    ),
}


@pytest.mark.parametrize("kind", READ)
def test_a_column_is_drafted_as_it_is_read(kind: str) -> None:
    cells, expected = READ[kind]
    frame = pd.DataFrame({"v": [cells(i) for i in range(ROWS)], "flag": ["true", "false"] * 120})
    draft = draft_table(frame)
    field = draft.schema["v"]
    assert {name: getattr(field, name) for name in expected} == expected
    assert fits(draft.value, frame) == []
    if expected.get("review", True):
        assert field.review
        assert any(note.startswith("REVIEW: ") for note in draft_column("v", frame["v"]).notes)


def fits(value: dict[str, Any], frame: pd.DataFrame) -> list[str]:
    """Return what a table breaks of a draft after a hurried steward deleted the marks for review."""
    fields = [{k: v for k, v in f.items() if k != "review"} for f in value["fields"]]
    schema = Schema.from_dict(value | {"patients": 100, "fields": fields})
    return [str(problem) for problem in inspect(frame, schema).problems]


LEFT_OUT: dict[str, tuple[str, Cells, str, str]] = {
    "pressure": ("bp", lambda i: f"{110 + spread(i) % 50}/{60 + i % 30}", "omit", "two numbers"),
    "units": ("dose", lambda i: f"{spread(i) % 90} {('mg', 'g')[i % 2]}", "omit", "several units"),
    "months": ("seen", lambda i: f"{i % 28 + 1}. März {1980 + spread(i) % 40}", "omit", "2012-12-31"),
    "notes": ("note", lambda i: f"seen {i}, well, back on day {spread(i)}", "omit", "every row"),
    "free text": ("note", lambda i: "well " * (50 + i % 3), "omit", "free text"),
    "rare codes": ("icd", lambda i: f"I{i % 120}", "omit", "public ones"),
    "repeated names": ("first_name", lambda i: f"A{spread(i) % 90}", "omit", "repeats"),
    "names": ("surname", lambda i: f"A{i}", "identifier", "made up"),
    "mail": ("contact", lambda i: f"a{i}@b.org", "identifier", "made up"),
    "numbers of persons": ("nhs", lambda i: str(4_000_000_000 + i * 7919), "identifier", "digits"),
    "empty": ("comment", lambda i: "", "empty", "no value"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_what_cannot_be_modelled_is_left_out_and_says_why(kind: str) -> None:
    name, cells, role, reason = LEFT_OUT[kind]
    frame = pd.DataFrame({name: [cells(i) for i in range(ROWS)], "flag": ["true", "false"] * 120})
    draft = draft_table(frame)
    assert draft.schema[name].role == role
    assert reason in draft.text
    assert fits(draft.value, frame) == []
    if role != "identifier":
        assert any(name in line and reason in line for line in draft.summary)
    assert (name in draft.schema.to_review) is (role == "empty")


@pytest.mark.parametrize(
    ("name", "cells", "unit", "bounds"),
    [
        ("sbp", lambda i: str(90 + spread(i) % 80), "mmHg", (50, 250)),
        ("sbp", lambda i: str(90 + spread(i) % 80) if i else "20", "mmHg", (0, 320)),
        ("cholesterol", lambda i: f"{3 + spread(i) % 50 / 10:.1f}", "mmol/L", (1.3, 20)),
        ("creatinine", lambda i: str(50 + spread(i) % 90), "µmol/L", (10, 1800)),
        ("spo2", lambda i: f"{0.88 + spread(i) % 12 / 100:.2f}", "fraction", (0.5, 1)),
        ("ast", lambda i: str(i % 2), None, (None, None)),
        ("bmi", lambda i: str(1 + i % 5), None, (1, 5)),
        ("age", lambda i: str(18 + spread(i) % 80), "years", (0, 122)),
    ],
)
def test_a_dictionary_is_followed_where_values_fit_it(
    name: str, cells: Cells, unit: str | None, bounds: tuple[Any, Any]
) -> None:
    frame = pd.DataFrame({name: [cells(i) for i in range(ROWS)]})
    draft = draft_table(frame)
    field = draft.schema[name]
    assert (field.unit, field.constraints.minimum, field.constraints.maximum) == (unit, *bounds)
    assert field.review is (name != "age")
    assert fits(draft.value, frame) == []


@pytest.mark.parametrize(
    ("name", "cells", "decimals"),
    [
        ("ast", lambda i: f"{spread(i) % 300 / 2 + 5:.1f}", 1),
        ("albumin", lambda i: f"{3 + spread(i) % 150 / 100:.2f}", 2),
        ("age", lambda i: f"{20 + spread(i) % 7001 / 100:.2f}", 2),
    ],
)
def test_no_decimal_is_lost_to_the_dictionary(name: str, cells: Cells, decimals: int) -> None:
    frame = pd.DataFrame({name: [cells(i) for i in range(ROWS)]})
    field = draft_table(frame).schema[name]
    assert (field.decimals, field.review) == (decimals, True)


def test_values_just_outside_public_bounds_are_clipped_and_errors_are_missing() -> None:
    rows = [str(20 + spread(i) % 2900) for i in range(ROWS)]
    high = draft_table(pd.DataFrame({"alp": [*rows, "12000"]})).schema["alp"]
    wrong = draft_table(pd.DataFrame({"alp": [*rows, "1200000"]})).schema["alp"]
    assert (high.invalid, wrong.invalid, high.constraints.maximum) == ("clip", "missing", 10_000)


def test_twins_of_a_category_are_asked_about() -> None:
    notes = "".join(draft_column("ward", pd.Series(["A", "a", "B ", "B"] * 20)).notes)
    assert "in capitals or blanks alone" in notes


def test_labels_of_a_statistical_file_are_categories_with_their_codes() -> None:
    frame = pd.DataFrame({"sex": [1.0, 2.0, None] * 20, "income": [*range(1000, 1059), 97.0]})
    labels = {"sex": {1: "male", 2: "female"}, "income": {97: "refused"}}
    draft = draft_table(frame, labels=labels, titles={"sex": "Sex at birth"})
    sex, income = draft.schema["sex"], draft.schema["income"]
    assert (sex.categories, sex.codes, sex.title) == (("male", "female"), (1, 2), "Sex at birth")
    assert income.special == (97,)
    assert fits(draft.value, frame) == []


def test_the_dialect_stands_in_the_draft_and_decides_on_commas() -> None:
    cells = [f"{1 + i % 9},{spread(i) % 1000:03d}" for i in range(ROWS)]
    frame = pd.DataFrame({"v": cells})
    semicolons = draft_table(frame, dialect=Dialect(delimiter=";"))
    assert semicolons.value["dialect"] == {"delimiter": ";"}
    assert semicolons.schema["v"].decimalChar == ","
    assert draft_table(frame).schema["v"].groupChar == ","


def test_a_declared_field_is_taken_and_widened_only_where_the_table_breaks_it() -> None:
    declared = {"name": "hb", "type": "integer", "constraints": {"minimum": 5, "maximum": 20}}
    good = draft_table(pd.DataFrame({"hb": ["9", "12"]}), known={"hb": declared}).schema["hb"]
    frame = pd.DataFrame({"hb": [*["9"] * 40, "120", ""]})
    broken = draft_table(frame, known={"hb": declared})
    assert (good.review, good.constraints.maximum, good.invalid) == (False, 20, "error")
    assert (broken.schema["hb"].review, broken.schema["hb"].invalid) == (True, "missing")
    assert fits(broken.value, frame) == []


def columns_of(generator: np.random.Generator) -> dict[str, list[str]]:
    """Return some columns of kinds drawn at random, with missing cells and errors among them."""
    names = list(READ)
    columns = {}
    for j in range(6):
        cells = READ[names[generator.integers(len(names))]][0]
        column = [cells(int(row)) for row in generator.permutation(ROWS)]
        for row in generator.integers(0, ROWS, int(generator.integers(0, 30))):
            column[row] = ("", "NA", "999", "-1", "x", "1e400", "0", "31/12/2020")[row % 8]
        columns[f"{('age', 'crea', 'v', 'date')[j % 4]} {j}"] = column
    return columns


@pytest.mark.parametrize("seed", range(12))
def test_drafts_of_soiled_tables_load_and_fit(seed: int) -> None:
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(columns_of(generator))
    if seed % 2:
        frame.insert(0, "patient_id", generator.integers(0, 90, ROWS).astype(str))
    draft = draft_table(frame, has_header=True)
    assert fits(draft.value, frame) == []
