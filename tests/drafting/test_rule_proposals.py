"""Rules that a draft proposes: marked for review, without a figure, and resting on many patients."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae.drafting import rule_proposals
from synthvae.drafting.rule_proposals import propose_rules
from synthvae.schema import Schema
from tests.relations.hospital_stays import RULES, STAYS, stays


def amounts(rows: int, **columns: Any) -> tuple[pd.DataFrame, Schema]:
    """Return a table of whole numbers, and its schema."""
    bounds = {"minimum": 0, "maximum": 1000}
    fields = [{"name": name, "type": "integer", "constraints": bounds} for name in columns]
    return pd.DataFrame(columns, index=range(rows)), Schema.from_dict({"fields": fields})


def test_proposals_await_review_and_fit_the_schema_together() -> None:
    proposals = propose_rules(stays(3000), STAYS)
    assert len(proposals) == len(RULES) - 1  # cut-points are numbers of the data
    assert all(proposal.rule["review"] is True for proposal in proposals)
    schema = STAYS.replace(rules=[proposal.rule for proposal in proposals])
    assert len(schema.to_review) == len(proposals)
    assert {"rule": "relapse <= follow_up", "review": True} in [p.rule for p in proposals]


def test_what_a_draft_says_of_a_rule_is_the_same_with_exceptions_and_without() -> None:
    g = np.random.default_rng(0)
    low = g.integers(5, 50, 2000)
    high = low + g.integers(0, 30, 2000)
    frame, schema = amounts(2000, low=low, high=high)
    broken = frame.copy()
    broken.loc[:6, "high"] = 0
    (clean,), (marred,) = propose_rules(frame, schema), propose_rules(broken, schema)
    assert (clean.rule, clean.reason) == (marred.rule, marred.reason)
    assert not any(sign.isdigit() for sign in clean.reason)
    assert clean.evidence == "low <= high: 2,000 patients, no exception"
    assert marred.evidence == "low <= high: 2,000 patients, 7 exceptions"


@pytest.mark.parametrize(("patients", "proposed"), [(99, 0), (101, 1)])
def test_a_rule_rests_on_many_patients(patients: int, proposed: int) -> None:
    g = np.random.default_rng(1)
    low = g.integers(5, 50, 5 * patients)
    frame, schema = amounts(5 * patients, low=low, high=low + g.integers(0, 30, 5 * patients))
    frame["id"] = np.repeat([f"p{i}" for i in range(patients)], 5)
    fields = [{"name": "id"}, *schema.to_dict()["fields"]]
    of_patients = schema.replace(patientKey="id", maxRows=5, fields=fields)
    assert len(propose_rules(frame, of_patients)) == proposed


@pytest.mark.parametrize("rows", [0, 40])
def test_a_category_of_one_patient_gets_into_no_rule_and_keeps_none_out(rows: int) -> None:
    g = np.random.default_rng(2)
    frame = pd.DataFrame({"id": np.repeat([f"p{i}" for i in range(600)], 2)})
    frame["c"] = g.choice(["a", "b"], len(frame))
    frame["u"] = g.integers(0, 1000, len(frame))
    frame["v"] = frame["u"].where(frame["c"] == "a", g.integers(0, 1000, len(frame)))
    equal = pd.DataFrame({"id": "p0", "c": "hiv", "u": range(rows), "v": range(rows)})
    _, schema = amounts(0, u=[], v=[])
    fields = [{"name": "id"}, {"name": "c", "constraints": {"enum": ["a", "b", "hiv"]}}]
    fields += schema.to_dict()["fields"]
    of_patients = schema.replace(patientKey="id", maxRows=5, fields=fields)
    (found,) = propose_rules(pd.concat([frame, equal], ignore_index=True), of_patients)
    assert found.rule == {"if": "c == 'a'", "then": "u == v", "review": True}


def test_what_the_schema_does_not_take_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = stays(3000)
    schema = STAYS.replace(rules=[{"derive": "visits", "as": "v0 + v1 + v2"}])
    derived = [p.rule["derive"] for p in propose_rules(frame, schema) if "derive" in p.rule]
    assert sorted(derived) == ["discharged", "seen"]  # visits is derived already
    monkeypatch.setattr(rule_proposals, "MOST_RULES", 3)
    assert len(propose_rules(frame, schema)) <= 3


def test_rows_are_sampled_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule_proposals, "MOST_ROWS", 1000)
    proposals = propose_rules(stays(3000), STAYS)
    assert "relapse <= follow_up: 1,000 patients, no exception" in [
        proposal.evidence for proposal in proposals
    ]
