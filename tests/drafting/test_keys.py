"""Whose row is whose in a draft: keys of one and several columns, maxRows, perPatient, doubles."""

import numpy as np
import pandas as pd
import pytest

from synthvae.drafting.draft import Draft, draft_table
from tests.drafting.test_columns import fits

PATIENTS = 120


def visits(rows: int = 3, patients: int = PATIENTS) -> pd.DataFrame:
    """Return `rows` visits of each patient, with sex and birth year, and a value a visit."""
    whose = np.repeat(np.arange(patients), rows)
    return pd.DataFrame(
        {
            "id": whose,
            "sex": np.where(whose * 7 % 3 > 0, "F", "M"),
            "birth_year": 1930 + whose * 31 % 60,
            "visit": np.tile(np.arange(rows) + 1, patients),
            "lab": (np.arange(len(whose)) * 7919 % 997) / 10,
        }
    ).astype(str)


def numbered_within_sites(rows: int) -> pd.DataFrame:
    """Return two sites that each number their patients from 0."""
    sites = [visits(rows).assign(centre=site) for site in ("A", "B")]
    sites[1]["sex"] = np.where(sites[1]["id"].astype(int) % 2, "F", "M")
    return pd.concat(sites, ignore_index=True)


def drafted(frame: pd.DataFrame) -> Draft:
    draft = draft_table(frame)
    assert fits(draft.value, frame) == []
    return draft


def test_what_no_patient_varies_in_is_proposed_as_constant() -> None:
    schema = drafted(visits()).schema
    constant = [field.name for field in schema.fields if field.perPatient]
    assert (schema.patientKey, constant) == ("id", ["sex", "birth_year"])
    assert set(constant) <= set(schema.to_review)


def test_what_puts_rows_in_time_is_proposed_for_review() -> None:
    frame = visits()
    draft = drafted(frame)
    assert draft.value["orderBy"] == {"column": "visit"}
    assert "`orderBy` names it, since each patient's rows come in its order and no" in draft.text
    assert "visit" in draft.schema.to_review
    # A date comes in any order of the rows, if it tells them apart; a number does not.
    day = pd.Timestamp("2020-03-01") + pd.to_timedelta(frame["visit"].astype(int) * 9, "D")
    mixed = frame.assign(seen=day.astype(str)).sample(frac=1, random_state=0, ignore_index=True)
    assert drafted(mixed).value["orderBy"] == {"column": "seen"}
    assert "orderBy" not in drafted(mixed.drop(columns="seen")).value
    # Days on which a patient came twice: in order still, where the rows are.
    twice = frame.assign(seen=day.astype(str)).drop(columns="visit")
    twice.loc[:1, "seen"] = "2020-03-10"
    assert drafted(twice).value["orderBy"] == {"column": "seen", "strict": False}
    assert "orderBy" not in drafted(twice.sample(frac=1, random_state=0)).value
    assert "orderBy" not in drafted(visits(patients=99)).value


def test_one_patient_who_varies_is_asked_about_and_counted_on_the_terminal_alone() -> None:
    frame = visits()
    frame.loc[4, "sex"] = "M" if frame.loc[4, "sex"] == "F" else "F"
    draft = drafted(frame)
    assert not draft.schema["sex"].perPatient
    assert "differs between rows of few patients" in draft.text
    assert "1 patient:" in "".join(draft.summary)
    assert "1 patient:" not in draft.text


@pytest.mark.parametrize("rows", [1, 3])
def test_ids_of_a_site_need_the_site_in_the_key(rows: int) -> None:
    draft = drafted(numbered_within_sites(rows))
    schema = draft.schema
    assert schema.key_columns == ("centre", "id")
    assert (schema.maxRows, schema["centre"].perPatient) == (rows, True)
    assert "id" in schema.to_review
    assert "patientKey has centre, too" in draft.text


def test_ids_that_sites_hardly_share_are_asked_about() -> None:
    frame = visits()
    frame["site"] = np.where(frame["id"].astype(int) < 60, "A", "B")
    frame.loc[frame["id"].eq("3") & frame["visit"].eq("2"), "site"] = "B"
    draft = drafted(frame)
    assert draft.schema.key_columns == ("id",)
    assert "Some id stand under several site" in draft.text


@pytest.mark.parametrize(("rows", "expected"), [(1, None), (2, 2), (4, 4), (30, 30)])
def test_max_rows_holds_nearly_all_patients_and_is_for_review(
    rows: int, expected: int | None
) -> None:
    draft = drafted(visits(rows))
    assert draft.schema.maxRows == expected
    if expected is not None:
        assert "id" in draft.schema.to_review
        assert "100 % within" in draft.text or rows > 10
        assert "noise grows" in draft.text


def test_few_patients_give_a_default_that_no_data_chose() -> None:
    schema = drafted(visits(2, patients=20)).schema
    assert (schema.maxRows, "id" in schema.to_review) == (5, False)


def test_exact_doubles_do_not_raise_max_rows() -> None:
    frame = visits(1)
    draft = drafted(pd.concat([frame, frame[:5]], ignore_index=True))
    assert draft.schema.maxRows == 1
    assert not any(field.perPatient for field in draft.schema.fields)
    assert "5 rows are exact copies" in "".join(draft.summary)
    assert "Some rows are exact copies" in draft.text


def test_rows_without_a_key_that_are_doubles_are_remarked_on() -> None:
    frame = visits(1).drop(columns="id").assign(a="1", b="2")
    draft = drafted(pd.concat([frame, frame[:2]], ignore_index=True))
    assert "exact copies" in draft.text
    assert "2 rows are exact copies" in "".join(draft.summary)


def test_a_flag_that_is_called_patient_is_no_key() -> None:
    frame = pd.DataFrame({"patient": ["in", "out"] * 60, "lab": [str(i % 50) for i in range(120)]})
    assert drafted(frame).schema.patientKey is None
