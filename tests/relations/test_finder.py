"""Relations that are there are found, each once and as a rule; what chance makes is not."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthvae.relations.finder import SAMPLE, Demands, compiled, find_relations, judged
from synthvae.relations.relation import Relation
from synthvae.relations.view import View
from synthvae.schema import Schema
from synthvae.table import encode, identify_patients
from tests.random_schemas import random_codes, schemas
from tests.relations.hospital_stays import RULES, STAYS, stays


def found(frame: pd.DataFrame, schema: Schema, **demands: Any) -> tuple[Relation, ...]:
    whose = np.arange(len(frame))
    if schema.patientKey:
        whose = pd.factorize(identify_patients(frame, schema))[0]
    return find_relations(
        encode(frame, schema),
        schema.columns,
        whose,
        np.random.default_rng(0),
        order=schema.names,
        demands=Demands(**demands),
    )


def rules(frame: pd.DataFrame, schema: Schema, **demands: Any) -> set[str]:
    return {relation.text for relation in found(frame, schema, **demands)}


def numbers(*names: str, others: Any = (), **more: Any) -> Schema:
    """Return a schema of whole numbers, behind other fields."""
    bounds = {"minimum": 0, "maximum": 10_000}
    fields = [{"name": name, "type": "integer", "constraints": bounds} for name in names]
    return Schema.from_dict({"fields": [*others, *fields]} | more)


@pytest.mark.parametrize("rows", [2500, 2 * SAMPLE])
def test_each_relation_is_found_once_and_no_other(rows: int) -> None:
    relations = found(stays(rows), STAYS)
    texts = [relation.text for relation in relations]
    assert set(texts) == RULES
    assert len(set(texts)) == len(texts)
    assert all(relation.exceptions == 0 for relation in relations)
    assert min(relation.support for relation in relations) >= 100


def test_a_schema_takes_all_of_them_together_and_real_rows_keep_them() -> None:
    frame = stays(2500)
    schema = STAYS.replace(rules=[relation.rule for relation in found(frame, STAYS)])
    assert not schema.rule_set.broken(encode(frame, schema)).any()


def test_where_one_patient_may_not_matter_there_are_no_cut_points_and_no_strict_orders() -> None:
    there, safe = (rules(stays(2500), STAYS, exact=exact) for exact in (True, False))
    assert there - safe == {text for text in RULES if "weight class" in text}
    strict = pd.DataFrame({"a": np.arange(500) % 10, "b": np.arange(500) % 10 + 1})
    assert rules(strict, numbers("a", "b"), exact=False) == {"a <= b"}


@pytest.mark.parametrize(
    "columns",
    [
        lambda g: (g.integers(0, 50, 3000), g.integers(0, 50, 3000)),  # independent
        lambda g: (g.integers(0, 50, 3000), g.integers(200, 400, 3000)),  # always apart
        lambda g: (np.full(3000, 7), g.integers(0, 50, 3000)),  # one is constant
        lambda g: ((g.random(3000) < 0.004) * 3, (g.random(3000) < 0.004) * 3),  # both hardly vary
        # Two that rise together and lie apart, as two measurements of the sick do.
        lambda g: (np.exp(0.3 * (z := g.normal(size=3000))) * 100, np.exp(0.3 * z) * 190 + 9 * z),
    ],
    ids=["independent", "apart", "constant", "sparse", "correlated"],
)
def test_what_could_not_fail_is_no_relation(columns: Any) -> None:
    a, b = (np.asarray(column).astype(int) for column in columns(np.random.default_rng(1)))
    assert rules(pd.DataFrame({"a": a, "b": b}), numbers("a", "b")) == set()


@pytest.mark.parametrize(("patients", "expected"), [(90, set()), (120, {"a <= b"})])
def test_support_counts_patients_not_rows(patients: int, expected: set[str]) -> None:
    g = np.random.default_rng(2)
    a = g.integers(0, 100, 10 * patients)
    frame = pd.DataFrame({"id": np.repeat(np.arange(patients), 10).astype(str), "a": a})
    frame["b"] = a + g.integers(0, 40, len(a))
    schema = numbers("a", "b", others=[{"name": "id"}], patientKey="id", maxRows=10)
    assert rules(frame, schema) == expected


@pytest.mark.parametrize(
    ("patients", "breaking", "expected"),
    [(300, 2, True), (300, 3, False), (2000, 10, True), (2000, 11, False)],
)
def test_a_handful_of_exceptions_removes_no_relation(
    patients: int, breaking: int, expected: bool
) -> None:
    g = np.random.default_rng(3)
    a = g.integers(50, 100, patients)
    frame = pd.DataFrame({"a": a, "b": a + g.integers(0, 40, patients)})
    frame.loc[: breaking - 1, "b"] = 0
    relations = found(frame, numbers("a", "b"))
    assert [relation.exceptions for relation in relations] == [breaking] * expected


def test_what_follows_from_others_is_not_said() -> None:
    g = np.random.default_rng(4)
    parts = g.poisson(5, (4, 2000)).cumsum(axis=0)
    chain = pd.DataFrame(dict(zip("abcd", parts, strict=True)))
    assert rules(chain, numbers(*"abcd")) == {"a <= b", "b <= c", "c <= d"}
    days = np.datetime64("2020-01-01") + parts
    dates = {f"d{i}": days[i].astype(str) for i in range(3)}
    gaps = {f"g{i}{j}": parts[j] - parts[i] for i, j in ((0, 1), (1, 2), (0, 2))}
    bounds = {"minimum": "2020-01-01", "maximum": "2021-01-01"}
    fields = [{"name": name, "type": "date", "constraints": bounds} for name in dates]
    schema = numbers(*gaps, others=fields)
    sums = [r for r in found(pd.DataFrame(dates | gaps), schema) if r.kind == "sum"]
    # Of four that hold, one follows from the rest; no date is computed twice.
    assert [r.derived for r in sums] == ["d1", "d2", "g12"]
    assert schema.replace(rules=[r.rule for r in sums]).drawn  # and none is computed from itself


def test_a_relation_may_be_strict_and_names_may_be_odd() -> None:
    g = np.random.default_rng(5)
    a = g.integers(0, 10, 3000)
    frame = pd.DataFrame({"first day": a, "is": a + 1 + g.integers(0, 5, 3000), "b`c": a})
    schema = numbers("first day", "is", "b`c")
    assert rules(frame, schema) == {"`first day` < `is`"}


def test_what_is_missing_by_itself_is_stated_not_derived() -> None:
    g = np.random.default_rng(6)
    frame = pd.DataFrame({"a": g.poisson(9, 2000), "b": g.poisson(9, 2000)})
    frame["c"] = (frame["a"] + frame["b"]).where(g.random(2000) < 0.5)
    bounds = {"minimum": 0, "maximum": 100, "required": False}
    schema = numbers("a", "b", others=[{"name": "c", "type": "integer", "constraints": bounds}])
    assert rules(frame, schema) == {"c == a + b"}


@pytest.mark.parametrize("kind", ["date", "datetime"])
@pytest.mark.parametrize(
    ("without", "expected"),
    [
        ((), {'{derive: "later", as: "earlier + days"}'}),
        (("later", "days"), {'{derive: "later", as: "earlier + days"}'}),
        (("days",), {"days == later - earlier", "earlier <= later"}),
    ],
    ids=["no cell is missing", "both at once", "days alone"],
)
def test_of_moments_and_days_between_the_later_moment_is_computed(
    kind: str, without: tuple[str, ...], expected: set[str]
) -> None:
    g = np.random.default_rng(7)
    earlier, days = g.integers(0, 300, 2000), g.integers(0, 40, 2000)
    start = np.datetime64("2020-01-01T08:00" if kind == "datetime" else "2020-01-01")
    moments = {"earlier": earlier, "later": earlier + days}
    frame = pd.DataFrame(
        {name: (start + n * np.timedelta64(1, "D")).astype(str) for name, n in moments.items()}
    )
    frame["days"] = days.astype(float)
    frame.loc[g.random(2000) < 0.3, list(without)] = None
    bounds = {"minimum": "2020-01-01", "maximum": "2021-12-31", "required": False}
    fields: list[dict[str, Any]] = [
        {"name": name, "type": kind, "constraints": bounds} for name in moments
    ]
    amount = {"minimum": 0, "maximum": 999, "required": False}
    fields.append({"name": "days", "type": "integer", "constraints": amount})
    found_rules = rules(frame, Schema.from_dict({"fields": fields}))
    assert {rule for rule in found_rules if "together" not in rule} == expected


@given(schemas(), st.integers(0, 99))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_columns_are_rules_can_be_read_and_say_what_was_counted(
    schema: Schema, seed: int
) -> None:
    few = random_codes(schema, 5, seed)
    codes = few[np.random.default_rng(seed).integers(5, size=300)]  # so that much is related
    relations = find_relations(
        codes,
        schema.columns,
        np.arange(300),
        np.random.default_rng(0),
        demands=Demands(support=20, expected=2),
    )
    for relation in relations:
        broken = judged(compiled(relation.rule, schema.columns), View.of(codes, schema.columns))[0]
        assert broken.sum() == relation.exceptions
        assert set(relation.columns) <= {field.name for field in schema.modelled}
