"""Cells that other tools lost, changed or choked on."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import DataError
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.synthesizer import Synthesizer
from synthvae.table import decode, encode, find_problems, inspect, read_table, write_table
from tests.peers.fits import any_of, forbid_releases, schema_of, short_fit

SEX = {"name": "sex", "constraints": {"enum": ["female", "male"]}}
VISITS = pd.date_range("2024-01-01", "2024-03-31 23:00", freq="h")


def test_a_date_that_nine_in_ten_lack() -> None:
    bounds = {"minimum": "2020-01-01", "maximum": "2024-12-31", "required": False}
    schema = schema_of({"name": "relapse", "type": "date", "constraints": bounds}, SEX)
    days = pd.Series(any_of(list(pd.date_range("2020-01-01", "2024-12-31"))))
    there = np.arange(400) % 10 == 0
    frame = pd.DataFrame({"relapse": days.where(there), "sex": any_of(["female", "male"])})
    made = short_fit(schema, frame).sample(2000, seed=1)
    assert 0.8 < made["relapse"].isna().mean() < 0.98
    assert find_problems(made, schema) == []
    assert made["relapse"].dropna().nunique() > 20


def test_a_lab_and_its_date_are_missing_in_the_same_rows_for_the_most() -> None:
    schema = schema_of(
        {
            "name": "crp",
            "type": "number",
            "decimals": 1,
            "constraints": {"minimum": 0, "maximum": 500, "required": False},
        },
        {
            "name": "crp_date",
            "type": "date",
            "constraints": {"minimum": "2023-01-01", "maximum": "2023-12-31", "required": False},
        },
        patients=5000,
    )
    taken = any_of([True, False], 5000, 1)
    values = pd.Series(np.random.default_rng(2).gamma(2, 20, 5000).round(1).clip(0, 500))
    days = pd.Series(any_of(list(pd.date_range("2023-01-01", "2023-12-31")), 5000, 3))
    frame = pd.DataFrame({"crp": values.where(taken), "crp_date": days.where(taken)})
    made = short_fit(schema, frame).sample(5000, seed=1)
    # Independent, half of the rows would agree. That all do is what a rule will say.
    assert (made["crp"].isna() == made["crp_date"].isna()).mean() > 0.85


@pytest.mark.parametrize(("step", "minutes"), [("10 min", 10), ("1 h", 60)])
def test_times_stay_on_their_grid(step: str, minutes: int) -> None:
    bounds = {"minimum": "2024-01-01T00:00:00", "maximum": "2024-03-31T23:00:00"}
    seen = {"name": "seen", "type": "datetime", "step": step, "constraints": bounds}
    schema = schema_of(seen)
    made = short_fit(schema, pd.DataFrame({"seen": any_of(list(VISITS))})).sample(500, seed=1)
    times = made["seen"].dt
    assert ((times.minute % minutes == 0) & (times.second == 0)).all()
    assert times.hour.nunique() == 24


def test_a_time_beside_its_grid_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_releases(monkeypatch)
    bounds = {"minimum": "2024-01-01T00:00:00", "maximum": "2024-03-31T23:00:00"}
    schema = schema_of(
        {"name": "seen", "type": "datetime", "step": "10 min", "constraints": bounds}
    )
    frame = pd.DataFrame({"seen": ["2024-01-01T10:20:00"] * 399 + ["2024-01-01T10:25:00"]})
    with pytest.raises(DataError, match=r"column 'seen': 1 row: .*step.*'2024-01-01T10:25:00'"):
        Synthesizer(schema, 1.0).fit(frame)


def test_whole_numbers_with_missing_cells_stay_whole() -> None:
    bounds = {"minimum": 0, "maximum": 40, "required": False}
    schema = schema_of({"name": "parity", "type": "integer", "constraints": bounds})
    frame = pd.DataFrame({"parity": any_of([0, 1, 2, np.nan])})  # floats, as pandas makes them
    made = short_fit(schema, frame).sample(500, seed=1)["parity"]
    assert made.dtype == "Int64"
    assert 0.1 < made.isna().mean() < 0.4
    assert made.dropna().isin([0, 1, 2]).mean() > 0.8


def test_a_column_of_a_code_and_missing_values_alone() -> None:
    field: dict[str, Any] = {"name": "income", "type": "number", "decimals": 0, "special": [-7]}
    field["constraints"] = {"minimum": 0, "maximum": 10000, "required": False}
    frame = pd.DataFrame({"income": any_of(["-7", "NA"])})
    made = short_fit(schema_of(field), frame).sample(500, seed=1)["income"]
    assert ((made == -7) | made.isna()).mean() > 0.95
    assert 0.35 < (made == -7).mean() < 0.65


def test_fifty_thousand_different_floats() -> None:
    bounds = {"minimum": 0, "maximum": 1}
    field = {"name": "saturation", "type": "number", "decimals": 9, "constraints": bounds}
    values = np.random.default_rng(0).beta(2, 5, 50_000)
    assert len(np.unique(values)) == 50_000
    schema = schema_of(field, patients=50_000)
    made = short_fit(schema, pd.DataFrame({"saturation": values})).sample(5000, seed=1)
    quantiles = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(
        made["saturation"].quantile(quantiles), np.quantile(values, quantiles), atol=0.02
    )


def test_categories_of_one_per_cent_are_kept() -> None:
    labels = ["common", *(f"rare {i}" for i in range(10))]
    chances = [0.9, *[0.01] * 10]
    schema = schema_of({"name": "diagnosis", "constraints": {"enum": labels}}, patients=5000)
    frame = pd.DataFrame({"diagnosis": any_of(labels, 5000, p=chances)})
    made = short_fit(schema, frame).sample(5000, seed=1)
    shares = made["diagnosis"].value_counts(normalize=True).reindex(labels).fillna(0)
    np.testing.assert_allclose(shares, chances, atol=0.006)


def test_a_category_may_be_called_minus_one_or_nan() -> None:
    labels = ["-1", "0", "1", "nan", "None"]
    schema = schema_of({"name": "code", "constraints": {"enum": labels}})
    frame = pd.DataFrame({"code": any_of(labels)})
    made = short_fit(schema, frame).sample(500, seed=1)
    assert set(made["code"]) == set(labels)
    numbers = pd.DataFrame({"code": [-1, 0, 1]})  # as a file's reader may give them
    assert decode(encode(numbers, schema), schema)["code"].tolist() == ["-1", "0", "1"]


def test_a_category_that_is_not_declared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_releases(monkeypatch)
    frame = pd.DataFrame({"sex": [*any_of(["female", "male"], 399), "intersex"]})
    with pytest.raises(DataError, match=r"column 'sex': 1 row: .*'intersex' in row 400"):
        Synthesizer(schema_of(SEX), 1.0).fit(frame)


@pytest.mark.parametrize("cell", [np.inf, -np.inf, "inf", "1e999"])
def test_an_infinity_is_refused_clipped_or_emptied(
    cell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_releases(monkeypatch)
    frame = pd.DataFrame({"dose": [1.0] * 399 + [cell]})

    def declared(**policy: str) -> Schema:
        bounds = {"minimum": 0, "maximum": 50, "required": False}
        field = {"name": "dose", "type": "number", "decimals": 1, "constraints": bounds}
        return schema_of(field | policy)

    with pytest.raises(DataError, match="column 'dose': 1 row"):
        Synthesizer(declared(), 1.0).fit(frame)
    clipped = decode(encode(frame, declared(invalid="clip")), declared())["dose"].iloc[-1]
    assert clipped == (0 if cell == -np.inf else 50)
    assert np.isnan(decode(encode(frame, declared(invalid="missing")), declared())["dose"].iloc[-1])


@pytest.mark.parametrize("absent", [None, np.nan, pd.NA, pd.NaT, "", "NA"])
def test_a_column_without_any_value(absent: Any) -> None:
    frame = pd.DataFrame({"sex": any_of(["female", "male"]), "genotype": [absent] * 400})
    empty = schema_of(SEX, {"name": "genotype", "role": "empty"})
    assert find_problems(frame, empty) == []
    enum = {"enum": ["aa", "ab", "bb"], "required": False}
    nullable = schema_of(SEX, {"name": "genotype", "constraints": enum})
    assert (inspect(frame, nullable).codes[:, 1] == -1).all()
    assert "a missing value" in str(
        find_problems(frame, schema_of(SEX, {"name": "genotype", "constraints": {"enum": ["a"]}}))
    )


def test_a_column_without_any_value_stays_so() -> None:
    enum = {"enum": ["aa", "ab", "bb"], "required": False}
    schema = schema_of(
        SEX,
        {"name": "genotype", "constraints": enum},
        {"name": "comment", "role": "empty"},
    )
    frame = pd.DataFrame({"sex": any_of(["female", "male"]), "genotype": None, "comment": None})
    made = short_fit(schema, frame).sample(500, seed=1)
    assert made["comment"].isna().all()
    assert made["genotype"].isna().mean() > 0.95


ENDS = {"minimum": "0001-01-01", "maximum": "9999-12-31"}
YEARS = ["0001-01-01", "1066-10-14", "1970-01-01", "2262-04-12", "9999-12-31"]


@pytest.mark.parametrize("kind", ["text", "date", "datetime64[s]"])
def test_the_years_one_and_9999(kind: str, tmp_path: Path) -> None:
    schema = schema_of({"name": "until", "type": "date", "constraints": ENDS})
    cells: Any = np.array(YEARS, "datetime64[s]") if kind == "datetime64[s]" else YEARS
    if kind == "date":
        cells = [pd.Timestamp(year).to_pydatetime().date() for year in YEARS]
    codes = encode(pd.DataFrame({"until": cells}), schema)
    write_table(decode(codes, schema), tmp_path / "years.csv", schema)
    assert (tmp_path / "years.csv").read_text().split()[1:] == YEARS
    np.testing.assert_array_equal(encode(read_table(tmp_path / "years.csv"), schema), codes)


def test_years_without_end_are_modelled_or_refused_by_name() -> None:
    frame = pd.DataFrame({"until": any_of(["2024-05-01", "2024-09-30", "9999-12-31"])})
    schema = schema_of({"name": "until", "type": "date", "constraints": ENDS})
    made = short_fit(schema, frame).sample(300, seed=1)
    assert find_problems(made, schema) == []
    narrow = {"minimum": "2024-01-01", "maximum": "2024-12-31"}
    schema = schema_of({"name": "until", "type": "date", "constraints": narrow})
    with pytest.raises(DataError, match=r"column 'until': .*above 2024-12-31.*'9999-12-31'"):
        encode(frame, schema)


@pytest.mark.parametrize("name", ["name", "address", "first_name", "email", "ssn"])
def test_a_categorys_text_is_not_taken_for_a_persons(name: str) -> None:
    labels = ["Dr Smith", "10 Downing Street", "a@b.example"]
    schema = schema_of({"name": name, "constraints": {"enum": labels}})
    assert [field.name for field in schema.modelled] == [name]
    frame = pd.DataFrame({name: labels})
    assert decode(encode(frame, schema), schema)[name].tolist() == labels


def test_a_rare_class_beside_an_identifier_of_every_row() -> None:
    schema = schema_of(
        {"name": "record"},
        {"name": "outcome", "constraints": {"enum": ["home", "died"]}},
        primaryKey="record",
        patients=1000,
    )
    outcome = np.where(np.arange(1000) % 50 == 0, "died", "home")
    frame = pd.DataFrame({"record": [f"r{i}" for i in range(1000)], "outcome": outcome})
    model = short_fit(schema, frame)
    made = model.sample(3000, seed=1)
    assert made["record"].is_unique
    assert 0.005 < (made["outcome"] == "died").mean() < 0.05
    rare = model.sample(1000, where={"outcome": "died"}, seed=1)
    assert rare["record"].is_unique
    assert len(rare) == 1000


def test_a_bad_row_is_named_before_anything_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_releases(monkeypatch)
    age = {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}}
    frame = pd.DataFrame({"age": any_of([40, 60]), "sex": any_of(["female", "male"])})
    frame.loc[17, "age"] = 999
    said = r"column 'age': 1 row: above 110 \(first: '999' in row 18\); widen the bounds, or set"
    with pytest.raises(DataError, match=said):
        Synthesizer(schema_of(age, SEX), 1.0).fit(frame)


def test_a_small_budget_takes_no_longer() -> None:
    # The public rule bounds the steps of training, whatever the noise has to be.
    few, many = (settings_for(schema_of(SEX), epsilon) for epsilon in (0.01, 3.0))
    assert few.steps <= many.steps
    frame = pd.DataFrame({"sex": any_of(["female", "male"])})
    model = short_fit(schema_of(SEX), frame, 0.01)
    assert model.guarantee.epsilon is not None
    assert model.guarantee.epsilon <= 0.01
