"""One run with canaries: the score finds them, the bound stays below the claim."""

import numpy as np
import pytest

from synthvae._runtime import silent
from synthvae.audit import Case, audit
from synthvae.audit.canaries import audit_one_run, canary_case, draw_records, presence_scores
from synthvae.errors import ConfigError
from synthvae.schema import Schema
from tests.simulated import CLINIC, VISITS, quick


def test_canaries_are_drawn_from_what_the_schema_allows() -> None:
    codes = draw_records(CLINIC, 500, np.random.default_rng(0))
    drawn = {field.name: codes[:, j] for j, field in enumerate(CLINIC.modelled)}
    assert (drawn["age"].min(), drawn["age"].max()) == (0, 82)
    assert set(drawn["sex"]) == {0, 1}
    assert (drawn["creatinine"] == -1).any()  # missing
    assert (drawn["cost"] == -2).any()  # its special value


def test_scores_are_the_posterior_of_a_linear_model() -> None:
    """Two canaries of known effects, against the regression formula written out."""
    effects = np.array([[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    releases = np.array([2.1, -0.2, 0.7])
    prior = effects.T @ np.full(2, 0.5)
    gain = 0.25 * effects @ np.linalg.inv(0.25 * effects.T @ effects + np.eye(3))
    assert presence_scores(effects, releases) == pytest.approx(gain @ (releases - prior))


def test_one_run_is_consistent_at_a_large_epsilon_and_shows_much_of_it() -> None:
    result = audit_one_run(canary_case(20.0, columns=8, steps=2), 60, seed=1)
    assert result.passed
    assert 0.5 < result.lower <= result.ceiling < result.claimed
    assert result.checks[0].passed


@pytest.mark.parametrize("schema", [None, VISITS])
def test_what_one_of_all_audits_cannot_take_is_refused_before_the_first_fit(
    monkeypatch: pytest.MonkeyPatch, schema: Schema | None
) -> None:
    monkeypatch.setattr(audit, "audit_worlds", lambda *_, **__: pytest.fail("fitted"))
    case = None if schema is None else Case(schema, quick(schema, 1.0), 1.0)
    wrong = "trials is 20; one run takes at least 40 canaries: raise trials, or"
    wrong = wrong if schema is None else "audit this one in two worlds"
    with pytest.raises(ConfigError, match=wrong):
        audit.run_audits(audit.KINDS, case=case, trials=20 if case is None else 50, progress=silent)
    with pytest.raises(ConfigError, match="trials is 9; below 10"):
        audit.run_audits(audit.KINDS[:2], case=case, trials=9, progress=silent)


def test_what_one_run_cannot_take_is_refused() -> None:
    with pytest.raises(ConfigError, match="trials is 20; one run takes at least 40 canaries"):
        audit_one_run(canary_case(1.0), 20)
    with pytest.raises(ConfigError, match="one run takes a schema with one row a patient"):
        audit_one_run(Case(VISITS, quick(VISITS, 1.0), 1.0), 50)
