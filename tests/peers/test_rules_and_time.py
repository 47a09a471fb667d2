"""Rules between columns, and an order in time."""

from typing import Any

import numpy as np
import pandas as pd

from synthvae.schema import Schema
from synthvae.table import inspect
from tests.peers.fits import any_of, schema_of, short_fit


def number(
    name: str, maximum: float, decimals: int = 0, *, required: bool = True
) -> dict[str, Any]:
    rules = {"minimum": 0, "maximum": maximum, "required": required}
    return {"name": name, "type": "number", "decimals": decimals, "constraints": rules}


def moment(name: str, *, required: bool = True) -> dict[str, Any]:
    rules = {"minimum": "2020-01-01", "maximum": "2021-12-31", "required": required}
    return {"name": name, "type": "date", "constraints": rules}


def made_by(schema: Schema, frame: pd.DataFrame, rows: int = 2000) -> pd.DataFrame:
    return short_fit(schema, frame).sample(rows, seed=1)


def stays(rows: int = 400) -> pd.DataFrame:
    """Return stays: nobody leaves before they come, and one in five is still there."""
    draw = np.random.default_rng(0)
    admitted = pd.Series(
        pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 600, rows), "D")
    )
    left = admitted + pd.to_timedelta(draw.integers(0, 100, rows), "D")
    return pd.DataFrame({"admitted": admitted, "left": left.where(draw.random(rows) > 0.2)})


def test_rounding_keeps_a_strict_inequality() -> None:
    schema = schema_of(number("low", 10, 1), number("high", 10, 1), rules=["low < high"])
    low = np.random.default_rng(0).uniform(0, 9.8, 400).round(1)
    made = made_by(schema, pd.DataFrame({"low": low, "high": (low + 0.1).round(1)}))
    assert (made["low"] < made["high"]).all()


def test_two_rules_on_one_column() -> None:
    schema = schema_of(*(number(name, 100) for name in "abc"), rules=["a <= b", "b <= c"])
    values = np.sort(np.random.default_rng(0).integers(0, 101, (400, 3)), axis=1)
    made = made_by(schema, pd.DataFrame(values, columns=list("abc")))
    assert (made["a"] <= made["b"]).all()
    assert (made["b"] <= made["c"]).all()


def test_an_inequality_keeps_missing_ends() -> None:
    schema = schema_of(
        moment("admitted"), moment("left", required=False), rules=["left >= admitted"]
    )
    made = made_by(schema, stays())
    there = made["left"].notna()
    assert 0.65 < there.mean() < 0.95
    assert (made["left"] >= made["admitted"])[there].all()


def test_a_lab_and_its_date_are_missing_together() -> None:
    schema = schema_of(
        number("crp", 500, 1, required=False),
        moment("taken", required=False),
        rules=[{"together": ["crp", "taken"]}],
    )
    there = any_of([True, False])
    frame = pd.DataFrame({"crp": np.where(there, 12.5, np.nan), "taken": stays()["admitted"]})
    made = made_by(schema, frame.assign(taken=frame["taken"].where(there)))
    assert (made["crp"].isna() == made["taken"].isna()).all()


def test_combinations_that_are_not_allowed_do_not_come() -> None:
    pairs = [["oslo", "norway"], ["bergen", "norway"], ["lund", "sweden"]]
    city = {"name": "city", "constraints": {"enum": ["oslo", "bergen", "lund"]}}
    country = {"name": "country", "constraints": {"enum": ["norway", "sweden"]}}
    rule = {"allowed": ["city", "country"], "values": pairs}
    frame = pd.DataFrame(np.array(pairs)[any_of([0, 1, 2])], columns=["city", "country"])
    made = made_by(schema_of(city, country, rules=[rule]), frame)
    assert set(zip(made["city"], made["country"], strict=True)) == set(map(tuple, pairs))


def test_a_condition_keeps_the_rules() -> None:
    schema = schema_of(number("low", 10, 1), number("high", 10, 1), rules=["low <= high"])
    values = np.sort(np.random.default_rng(0).uniform(0, 10, (400, 2)).round(1), axis=1)
    model = short_fit(schema, pd.DataFrame(values, columns=["low", "high"]))
    made = model.sample(10_000, where={"high": (0, 2)}, seed=1)
    assert len(made) == 10_000
    assert (made["low"] <= made["high"]).all()


def test_a_row_that_breaks_a_rule_is_named() -> None:
    schema = schema_of(moment("admitted"), moment("left"), rules=["left >= admitted"])
    frame = pd.DataFrame({"admitted": ["2020-03-01"] * 2, "left": ["2020-03-02", "2020-02-01"]})
    assert "row 2" in str(inspect(frame, schema).problems[0])


def visits_schema(*fields: dict[str, Any], **settings: Any) -> Schema:
    return schema_of(
        {"name": "patient"}, *fields, patientKey="patient", maxRows=4, patients=200, **settings
    )


def visits() -> pd.DataFrame:
    """Return four visits a patient, in order, on different days; states alternate, some people die."""
    draw = np.random.default_rng(0)
    whose = np.repeat(np.arange(200), 4)
    gaps = draw.integers(1, 60, 800)
    days = pd.Series(gaps).groupby(whose).cumsum()
    return pd.DataFrame(
        {
            "patient": whose,
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(days, "D"),
            "event": np.tile(["in", "out"], 400),
            "died": (np.arange(800) % 4 == 3) & (whose % 3 == 0),
        }
    )


EVENT = {"name": "event", "constraints": {"enum": ["in", "out"]}}
DIED = {"name": "died", "type": "boolean"}
ORDER = {"column": "seen", "strict": True}


def test_no_two_visits_at_one_time() -> None:
    made = made_by(visits_schema(moment("seen"), orderBy=ORDER), visits()[["patient", "seen"]])
    assert not made.duplicated(["patient", "seen"]).any()


def test_a_patients_rows_come_in_order() -> None:
    made = made_by(visits_schema(moment("seen"), orderBy=ORDER), visits()[["patient", "seen"]])
    assert (made.groupby("patient")["seen"].diff().dropna() > pd.Timedelta(0)).all()


def test_an_irregular_series_keeps_its_order_where_values_are_missing() -> None:
    frame = visits()[["patient", "seen"]].assign(score=any_of([1, 2, np.nan], 800))
    schema = visits_schema(moment("seen"), number("score", 9, required=False), orderBy=ORDER)
    made = made_by(schema, frame)
    assert 0.15 < made["score"].isna().mean() < 0.5
    assert (made.groupby("patient")["seen"].diff().dropna() > pd.Timedelta(0)).all()


def test_events_alternate() -> None:
    rules = ["event != event_prev"]
    schema = visits_schema(moment("seen"), EVENT, orderBy=ORDER, rules=rules)
    made = made_by(schema, visits()[["patient", "seen", "event"]])
    before = made.groupby("patient")["event"].shift()
    assert (made["event"] != before)[before.notna()].all()


def test_nothing_happens_after_death() -> None:
    schema = visits_schema(moment("seen"), DIED, orderBy=ORDER, rules=["not died_prev"])
    made = made_by(schema, visits()[["patient", "seen", "died"]])
    died = made.groupby("patient")["died"].shift().fillna(False).astype(bool)
    assert not died.any()
