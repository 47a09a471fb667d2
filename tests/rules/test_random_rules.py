"""Random schemas with random rules: whatever the rules are, no record of a model breaks one."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from synthvae.errors import UnlikelyConditionWarning
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems, inspect
from tests.peers.fits import schema_of, short_fit
from tests.rules.random_rules import any_rows, ruled_cases
from tests.rules.row_terms import Column, RuledCase, cell_of
from tests.rules.ruled_table import number
from tests.simulated import quick, simulate_fewer

# Random rules may leave little, and then many records are drawn again.
pytestmark = pytest.mark.filterwarnings("ignore::synthvae.errors.RedrawnWarning")
RECORDS = 300
few = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
many = settings(few, max_examples=400)


def hardly_fitted(case: RuledCase) -> Synthesizer:
    """Return a model that knows margins and little more, which leaves the rules to sampling."""
    schema = case.schema()
    with pytest.MonkeyPatch.context() as patch:
        simulate_fewer(patch, 64)
        sizes = quick(schema, None, steps=1, balance_steps=20, calibration_rounds=1, latent=2)
        return Synthesizer(schema, None, settings=sizes, test_seed=1).fit(case.frame())


def check_records(case: RuledCase) -> None:
    assume(case.settings)
    assert case.broken(case.frame()) == []
    assert find_problems(case.frame(), case.schema()) == []
    records = hardly_fitted(case).sample(RECORDS, seed=1)
    assert case.broken(records) == []
    assert find_problems(records, case.schema()) == []


@settings(few, max_examples=100)
@given(ruled_cases(), st.integers(0, 2**32))
def test_rules_are_judged_as_by_hand(case: RuledCase, seed: int) -> None:
    rows, schema = any_rows(case.columns, seed), case.schema()
    codes = inspect(case.frame(rows), schema).codes
    pairs = zip(schema.rule_set.declared, case.settings, case.judges, strict=True)
    for rule, setting, keeps in pairs:
        if "derive" not in setting:  # of which real rows may miss a step
            broken = schema.rule_set.broken(codes, [rule])
            assert broken.tolist() == [not keeps(row) for row in rows], setting


@few
@given(ruled_cases())
def test_no_record_breaks_a_rule(case: RuledCase) -> None:
    check_records(case)


@pytest.mark.slow
@many
@given(ruled_cases())
def test_no_record_of_many_schemas_breaks_a_rule(case: RuledCase) -> None:
    check_records(case)


@few
@given(ruled_cases(), st.data())
def test_a_condition_that_the_rules_allow_is_met(case: RuledCase, data: st.DataObject) -> None:
    assume(case.settings)
    column = data.draw(st.sampled_from(case.columns))
    row = data.draw(st.sampled_from(case.rows))
    value = cell_of(column, row[column.name])
    model = hardly_fitted(case)
    with warnings.catch_warnings(action="ignore", category=UnlikelyConditionWarning):
        records = model.sample(50, where={column.name: value}, seed=1)
    assert case.broken(records) == []
    found = records[column.name]
    assert found.isna().all() if value is None else (found == value).all()


def test_a_derived_column_is_unique_within_a_patient() -> None:
    column = Column({"name": "a", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
                    "number", tuple(map(Decimal, range(10))))  # fmt: skip
    half = Column(column.declared | {"name": "half"}, "number", column.domain)
    rows = tuple({"a": Decimal(a), "half": Decimal((a + 1) // 2)} for a in range(10))
    rule = {"derive": "half", "as": "a / 2"}
    case = RuledCase((column, half), rows, (rule,), (lambda _: True,), shared=(), unique="half")
    assert case.broken(hardly_fitted(case).sample(RECORDS, seed=1)) == []


def test_hours_that_are_stated_anew_are_unique_within_a_patient() -> None:
    # The hours are drawn to a hundredth, and those of the two moments come in quarters.
    bounds = {"minimum": "2024-01-01T00:00:00", "maximum": "2024-01-31T00:00:00"}
    moments = [
        {"name": name, "type": "datetime", "step": "15 min", "constraints": dict(bounds)}
        for name in ("came", "seen")
    ]
    rules = [{"derive": "wait", "as": "(seen - came) * 24"}, {"unique": ["p", "wait"]}]
    settings = {"patientKey": "p", "maxRows": 3, "patients": 100, "rules": rules}
    schema = schema_of({"name": "p"}, *moments, number("wait", 0, 2, 2), **settings)
    draw = np.random.default_rng(0)
    whose, wait = (
        np.repeat(np.arange(100), 3),
        draw.permuted(np.tile(np.arange(9), (100, 1)), axis=1),
    )
    came = pd.Timestamp("2024-01-02") + pd.to_timedelta(draw.integers(0, 2000, 300) * 15, "min")
    quarters = wait[:, :3].ravel()
    frame = pd.DataFrame({"p": whose, "came": came, "wait": quarters / 4})
    frame["seen"] = came + pd.to_timedelta(quarters * 15, "min")
    records = short_fit(schema, frame).sample(2000, seed=1)
    assert not records.duplicated(["p", "wait"]).any()
    assert ((records["seen"] - records["came"]) / pd.Timedelta("1h") == records["wait"]).all()
