"""Audits of a schema with rules: records that keep them, and the masks of the likelihood as they are."""

from typing import Any

import numpy as np
import pytest

from synthvae.audit import audit_worlds
from synthvae.audit.canaries import draw_records
from synthvae.audit.case import Case, features_of
from synthvae.audit.releases import FitReleases, Replay
from synthvae.errors import ConfigError
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.table import find_problems


def whole(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "integer", "constraints": {"minimum": 0, "maximum": 8} | more}


FIELDS = [
    whole("first"),
    whole("second"),
    {"name": "sex", "constraints": {"enum": ["f", "m"]}},
    whole("births", required=False),
    whole("apart"),
]
RULES = [
    "second >= first + 1",
    {"if": "sex == 'm'", "then": "births is missing"},
    {"if": "sex == 'f'", "then": "births is not missing"},
    {"derive": "apart", "as": "second - `first`"},
]
RULED = Schema.from_dict({"patients": 40, "fields": FIELDS, "rules": RULES})


def case_of(schema: Schema, epsilon: float) -> Case:
    changes = {"steps": 3, "sampling_rate": 1.0, "calibration_rounds": 0, "hidden": 4, "latent": 2}
    settings = settings_for(schema, epsilon).model_copy(update=changes)
    return Case(schema, settings, epsilon, patients=10)


def test_records_and_canaries_keep_the_rules() -> None:
    case = case_of(RULED, 4.0)
    assert find_problems(case.table(True), RULED) == []
    assert (case.usual != case.record)[:4].all()
    codes = draw_records(RULED, 300, np.random.default_rng(0))
    assert not RULED.rule_set.broken(codes).any()
    assert len(np.unique(codes, axis=0)) > 100


def test_what_the_observer_takes_off_gradients_leaves_the_noise() -> None:
    case, seen = case_of(RULED, 80.0), FitReleases()
    layout = case.fit(case.table(True), seen).state().layout
    stage, noise = case.training, []
    replay = Replay(layout, seen.trainings[0])
    record = features_of(case.record[None], layout)[0]
    for step in replay:
        others, latent = step.without(record)
        assert latent is not None
        assert sum(len(batch.features) for batch in others) == case.patients
        known = [replay.clipped_sum(batch) for batch in step.batches]
        for place, gradient in enumerate(step.gradients):
            rest = gradient.double().numpy() * stage.expected_batch
            noise.append((rest - sum(sums[place] for sums in known)).ravel())
    deviation = np.concatenate(noise).std() / (stage.noise_multiplier * stage.clip_norm)
    assert deviation == pytest.approx(1, abs=0.1)


def test_a_sound_fit_is_not_refuted() -> None:
    for inside in (True, False):
        found = audit_worlds(case_of(RULED, 4.0), 10, inside=inside)
        assert found.passed


def test_rules_that_leave_one_record_leave_nothing_to_tell_apart() -> None:
    fields = [{"name": name, "constraints": {"enum": ["x", "y"]}} for name in "ab"]
    only = Schema.from_dict({"patients": 40, "fields": fields, "rules": ["a == 'x'", "b == 'y'"]})
    with pytest.raises(ConfigError, match="The rules leave one record alone"):
        case_of(only, 4.0).table(True)
