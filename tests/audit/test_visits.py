"""Audits of visits in time: what is sound passes, and what is counted for too few visits is caught."""

import numpy as np
import pytest

from synthvae.audit import Case, audit_worlds
from synthvae.audit.audit import run_audits
from synthvae.audit.observers import expected_log
from synthvae.errors import ConfigError
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.table import encode
from tests.mutations.planted import planted
from tests.seeding import fixed_noise
from tests.simulated_visits import MOST, SHORT, draw_fewer

STATES = {"enum": ["usual", "odd"]}
TINY = Schema.from_dict(
    {
        "name": "tiny visits",
        "patientKey": "id",
        "patients": 10,
        "maxRows": 3,
        "orderBy": {"column": "day", "gap": {"minimum": 2, "maximum": 5}},
        "fields": [
            {"name": "id"},
            {"name": "kind", "constraints": STATES, "perPatient": True},
            {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
            {"name": "state", "constraints": STATES},
        ],
    }
)


@pytest.fixture(autouse=True)
def few_histories(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_fewer(monkeypatch, 16)


def tiny_visits(epsilon: float = 4.0, **changes: float) -> Case:
    settings = settings_for(TINY, epsilon).model_copy(update={"rank": 1, "latent": 2, **changes})
    return Case(TINY, settings, epsilon, patients=12)


def test_the_record_has_the_most_visits_and_keeps_the_order() -> None:
    case = Case(SHORT, settings_for(SHORT, 1.0), 1.0, patients=3)
    without, with_record = (encode(case.table(world), SHORT) for world in (False, True))
    assert (with_record[:3] == without).all()
    days = [field.name for field in SHORT.modelled].index("day")
    assert with_record[3:, days].tolist() == [1300 - 7 * n for n in range(MOST)][::-1]
    assert (np.delete(with_record[3:], days, axis=1) == np.delete(case.record, days)).all()


def test_an_audit_of_visits_shows_no_more_than_is_claimed() -> None:
    case = tiny_visits(16.0, pair_bound=0.05)
    with fixed_noise(1):
        result = audit_worlds(case, 16)
    assert result.passed, result.violations
    assert [one.name for one in result.components] == ["everything", "counts", "pairs"]
    assert result.components[0].lower > 1.0  # it sees the record
    assert result.steps == expected_log(case)["trainings"] == 0


@pytest.mark.slow
def test_an_audit_of_visits_sees_moments_without_a_bound() -> None:
    case = tiny_visits(anchor_share=0.1, pair_bound=0.05)
    with fixed_noise(2), planted("moments of visits without a bound"):
        violations = audit_worlds(case, 60).violations
    assert any(words.startswith("pairs: ") for words in violations), violations
    with fixed_noise(2):
        assert audit_worlds(case, 60).passed


def test_one_run_refuses_visits_in_time() -> None:
    case = Case(TINY.replace(maxRows=1), settings_for(TINY, 4.0), 4.0)
    with pytest.raises(ConfigError, match=r"one row a patient, without orderBy"):
        run_audits(("one-run",), case=case, progress=lambda *_: None)
