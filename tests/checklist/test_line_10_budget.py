"""Line 10: what is spent is at most the budget, and nothing is spent unseen.

Broken where a stage is forgotten in the sum, and where a budget is split into parts of which some
are never used and not given back.
"""

import pytest

from synthvae.errors import BudgetError
from synthvae.plan import make_plan
from synthvae.privacy.accounting import compose
from synthvae.privacy.guarantee import GaussianStage
from synthvae.schema import Schema
from tests.checklist.fitted import fitted, watch_releases
from tests.hospital import ONE_ROW, SCHEMA
from tests.simulated import CLINIC, VISITS, clinic, visits
from tests.simulated_visits import JOURNEYS, SHORT, journeys

SCHEMAS = {
    "rows": CLINIC,
    "patients": VISITS,
    "rows, undeclared": CLINIC.replace(patients=None),
    "patients, undeclared": VISITS.replace(patients=None),
    "many rows": VISITS.replace(maxRows=50),
    "a hospital": SCHEMA,
    "a hospital's rows": ONE_ROW,
    "a million": CLINIC.replace(patients=10**6),
    "visits in time": JOURNEYS,
    "visits in time, undeclared": JOURNEYS.replace(patients=None),
    "first visits": JOURNEYS.replace(maxRows=1),
}
QUICK = [("rows", 0.1, None), ("patients, undeclared", 1.0, None), ("a hospital", 8.0, 1e-9)]
QUICK += [("visits in time", 20.0, None), ("visits in time, undeclared", 1.0, None)]
MANY = [
    pytest.param(name, epsilon, delta, marks=pytest.mark.slow)
    for name in SCHEMAS
    for epsilon, delta in ((0.05, 1e-10), (0.5, None), (3.0, 1e-10), (20.0, None))
]


@pytest.mark.parametrize(("name", "epsilon", "delta"), QUICK + MANY)
def test_line_10_the_sum_is_within_the_budget_and_wastes_little(
    name: str, epsilon: float, delta: float | None
) -> None:
    plan = make_plan(SCHEMAS[name], epsilon, delta)
    assert plan.delta is not None
    spent = plan.spent()
    assert spent is not None
    assert spent <= epsilon
    assert spent >= 0.98 * epsilon
    # A finer grid is a tighter bound, but for the last digits at a delta as small as the tails that
    # each composition counts as infinite losses.
    finer = compose(plan.stages, plan.delta, min(5e-5 * epsilon, 5e-4))
    assert finer <= epsilon
    assert finer <= spent * (1 + 5e-5)


@pytest.mark.parametrize(
    ("schema", "patients", "undeclared"),
    [(CLINIC, 0, 0), (VISITS, 1, 0), (CLINIC.replace(patients=None), 0, 1)],
    ids=["rows", "patients", "undeclared"],
)
def test_line_10_every_query_of_the_log_is_asked_and_none_besides(
    schema: Schema, patients: int, undeclared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_releases(monkeypatch)
    made = fitted(visits(60) if schema.patientKey else clinic(50), schema)
    measured = [part for part in made.guarantee.stages if isinstance(part, GaussianStage)]
    asked = [part.stage for part in seen]
    assert asked.count("patients") == patients + undeclared
    assert len(asked) == sum(part.queries for part in measured)
    assert all(part.sigma > 0 for part in seen)
    assert made.guarantee.epsilon is not None
    assert made.guarantee.epsilon <= made.guarantee.epsilon_budget
    names = [part.stage for part in made.guarantee.stages]
    assert names == ["anchors", "pairs", *["interactions"] * ("interactions" in asked), "training"]


def test_line_10_of_visits_nothing_is_accounted_that_is_not_made_nor_made_unaccounted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = watch_releases(monkeypatch)
    # Moments of three columns and a training are not of visits, whatever the settings say of them.
    schema = SHORT.replace(patients=None)
    made = fitted(journeys(60), schema, interaction_share=0.2, interactions=100, pair_share=0.3)
    stages = made.guarantee.stages
    assert [part.stage for part in stages] == ["anchors", "pairs"]
    assert len(seen) == sum(part.queries for part in stages if isinstance(part, GaussianStage))
    assert made.guarantee.epsilon == pytest.approx(1.0, rel=1e-6)
    assert made.guarantee.epsilon <= 1.0
    with pytest.raises(BudgetError, match=r"anchor_share is 0\.99: the counts alone"):
        fitted(journeys(60), schema, anchor_share=0.99, pair_share=0.005)


def test_line_10_a_stage_that_is_left_out_is_missed() -> None:
    plan = make_plan(CLINIC, 1.0)
    stages, delta = plan.stages, plan.delta or 0.0
    assert len(stages) == 4
    for left_out in range(4):
        rest = stages[:left_out] + stages[left_out + 1 :]
        assert compose(rest, delta) < 0.99 * compose(stages, delta)
