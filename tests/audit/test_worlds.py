"""Audits in two worlds: what is sound passes, what is broken on purpose is caught."""

import numpy as np
import pytest

from synthvae._runtime import silent
from synthvae.audit import AuditResult, Case, audit_worlds, tiny_case
from synthvae.audit import audit as running_module
from synthvae.audit import worlds as trials_module
from synthvae.audit.audit import KINDS, run_audits
from synthvae.audit.bounds import choose_threshold
from synthvae.audit.case import features_of
from synthvae.audit.observers import INTERACTIONS, PAIRS, expected_log
from synthvae.audit.releases import AuditedSynthesizer, FitReleases, moment_releases
from synthvae.errors import ConfigError
from synthvae.model import training as training_module
from synthvae.schema import Schema
from synthvae.table import encode
from tests.mutations.planted import planted
from tests.seeding import fixed_noise
from tests.simulated import CLINIC, VISITS, quick


def test_neighbours_differ_in_one_patient_and_in_every_column() -> None:
    case = Case(CLINIC, quick(CLINIC, 1.0), 1.0, patients=3)
    without, with_record = (encode(case.table(world), CLINIC) for world in (False, True))
    assert (with_record[:3] == without).all()
    assert (with_record[3] == case.record).all()
    assert (case.record != case.usual).all()
    many = Case(VISITS, quick(VISITS, 1.0), 1.0, patients=2).table(True)
    assert many["patient"].value_counts().tolist() == [3, 1, 1]


def test_a_threshold_parts_what_can_be_parted_whichever_way_round() -> None:
    low, high = np.arange(10.0), np.arange(10.0) + 20
    assert choose_threshold(low, high) == (1.0, 14.5)
    assert choose_threshold(high, low) == (-1.0, -14.5)


def test_an_observer_changes_nothing_and_sees_every_release() -> None:
    case = tiny_case(4.0, 12, steps=3)
    table = case.table(True)
    made = AuditedSynthesizer(case.schema, 4.0, settings=case.settings, test_seed=1)
    plain = made.fit(table).state().weights
    made.observer = seen = FitReleases()
    observed = made.fit(table).state().weights
    assert all((plain[name] == observed[name]).all() for name in plain)
    assert (len(seen.columns), len(seen.pairs), len(seen.interactions)) == (3, 1, 1)
    assert [len(training.steps) for training in seen.trainings] == [3]
    assert [len(step.batches[0].features) for step in seen.trainings[0].steps] == [13, 13, 13]


FIELDS = [{"name": name, "constraints": {"enum": ["usual", "odd"]}} for name in "abcd"]
STAYS = {"patients": 4000, "patientKey": "id", "maxRows": 3, "fields": [{"name": "id"}, *FIELDS]}


def moment_noise(bug: str | None) -> dict[str, float]:
    """Return the deviation of what the observer takes for noise, relative to the claim, by stage."""
    schema = Schema.from_dict(STAYS)
    case, found = Case(schema, quick(schema, 1.0, steps=1), 1.0, patients=20), {}
    with fixed_noise(), planted(bug):
        fits = [trials_module.observe_fit(case, True, (True, seed)) for seed in range(8)]
    assert all(fit.log == expected_log(case) for fit in fits)
    for stage in (PAIRS, INTERACTIONS):
        noise, sigma = zip(*(fit.noise[stage] for fit in fits), strict=True)
        found[stage] = float(np.concatenate(noise).std() / sigma[0])
    return found


def test_what_the_observer_takes_off_moments_leaves_their_noise() -> None:
    assert moment_noise(None) == pytest.approx({PAIRS: 1.0, INTERACTIONS: 1.0}, abs=0.25)


def test_missing_noise_of_interactions_is_seen_there_alone() -> None:
    found = moment_noise("interactions without noise")
    assert found[PAIRS] == pytest.approx(1.0, abs=0.25)
    assert found[INTERACTIONS] < 0.1


def test_the_record_adds_to_moments_what_is_claimed_and_no_more() -> None:
    case = tiny_case(4.0, 50)
    layout = case.fit(case.table(False)).state().layout
    releases = moment_releases(case.plan, layout)
    assert [release.stage for release in releases] == [PAIRS, INTERACTIONS]
    for release in releases:
        moved = np.linalg.norm(release.effect(features_of(case.record[None], layout)))
        assert 0.9 < moved / release.query.sensitivity <= 1


@pytest.mark.slow
def test_noise_that_misses_one_layer_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    original = training_module.GaussianOptimizer.add_noise

    def leaky(self: training_module.GaussianOptimizer) -> None:
        original(self)
        weight = self.params[2]
        weight.grad = (weight.summed_grad / self._stage.expected_batch).float()

    monkeypatch.setattr(training_module.GaussianOptimizer, "add_noise", leaky)
    result = audit_worlds(tiny_case(1.0), 20)
    violated = [one.name for one in result.components if one.violated]
    assert "training: posterior.weight" in violated
    assert any("draws of the noise of training: posterior.weight" in w for w in result.violations)


def test_an_interrupt_keeps_the_trials_that_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    observe, done = trials_module.observe_fit, []

    def stop_later(*arguments: object) -> object:
        done.append(1)
        if len(done) > 21:
            raise KeyboardInterrupt
        return observe(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(trials_module, "observe_fit", stop_later)
    result = audit_worlds(tiny_case(4.0), 50, inside=False)
    assert result.interrupted
    assert result.trials == (11, 10)
    done[:] = [1] * 15
    with pytest.raises(KeyboardInterrupt):
        audit_worlds(tiny_case(4.0), 50, inside=False)


def test_what_cannot_be_audited_is_refused() -> None:
    with pytest.raises(ConfigError, match="trials is 3; below 10 nothing can be shown"):
        audit_worlds(tiny_case(1.0), 3)
    with pytest.raises(ConfigError, match=r"confidence is 1\.5; it must be at least 0\.5"):
        audit_worlds(tiny_case(1.0), 10, confidence=1.5)
    with pytest.raises(ConfigError, match="patients is 0; an audit takes from 1 to"):
        tiny_case(1.0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(  # each value of one with each value of another
    ("epsilon", "patients", "inside"),
    [(1.0, 2, True), (1.0, 50, False), (4.0, 2, False), (4.0, 50, True)],
)
def test_a_hundred_fits_of_each_world_show_no_more_than_is_claimed(
    epsilon: float, patients: int, inside: bool
) -> None:
    with fixed_noise():
        result = audit_worlds(tiny_case(epsilon, patients), 100, inside=inside)
    assert result.passed, result.violations
    assert result.trials == (100, 100)


@pytest.mark.slow
def test_with_poisson_batches_it_shows_no_more_than_is_claimed() -> None:
    with fixed_noise():
        result = audit_worlds(tiny_case(4.0, 50, sampling_rate=0.5), 100)
    assert result.passed, result.violations
    assert result.trials == (100, 100)


@pytest.mark.slow
def test_with_several_rows_a_patient_it_shows_no_more_than_is_claimed() -> None:
    settings = quick(VISITS, 4.0, steps=2, sampling_rate=1.0)
    with fixed_noise():
        result = audit_worlds(Case(VISITS, settings, 4.0, patients=30), 60)
    assert result.passed, result.violations
    assert result.trials == (60, 60)


@pytest.mark.slow
def test_half_the_noise_is_seen() -> None:
    with fixed_noise(), planted("half the noise"):
        result = audit_worlds(tiny_case(8.0, 50), 200)
    assert any(words.startswith("training:") for words in result.violations), result.violations


@pytest.mark.slow
def test_the_deep_audit_has_teeth() -> None:
    """Five hundred fits of each world show at least 55 % of an epsilon of 4."""
    with fixed_noise():
        result = audit_worlds(tiny_case(4.0, 50), 500)
    assert result.passed, result.violations
    assert 0.55 * 4.0 <= result.lower <= result.claimed < result.ceiling


def test_several_audits_together_keep_the_confidence(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def note(*_: object, confidence: float, **__: object) -> AuditResult:
        asked.append(confidence)
        raise KeyboardInterrupt

    monkeypatch.setattr(running_module, "audit_worlds", note)
    for kinds in (KINDS, KINDS[:1]):
        with pytest.raises(KeyboardInterrupt):
            run_audits(kinds, confidence=0.94, progress=silent)
    assert asked == pytest.approx([0.98, 0.94])
