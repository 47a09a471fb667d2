"""Line 5: nothing but the paid releases sees private rows: no validation, stopping, rule or search.

Broken where training stops when a validation loss rises, where the learning rate falls when the loss
does not, and where settings are searched on the very rows that are to be protected.
"""

import inspect

import numpy as np
import pandas as pd
import pytest
import torch

import synthvae.model.training as open_module
from synthvae.marginals.moments import PairQuery
from synthvae.model import training as training_module
from synthvae.model.clipping import GhostClippedModule
from synthvae.model.coupling import untrained
from synthvae.model.layout import Layout
from synthvae.model.training import PatientTensor, train_privately
from synthvae.plan import make_plan
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.settings import settings_for
from tests.checklist.fitted import fitted, seed, training_of, watch_releases, watch_training
from tests.simulated import CLINIC, clinic

STAGE = TrainingStage(
    sampling_rate=0.3, noise_multiplier=2.0, steps=8, clip_norm=1.5, expected_batch=20.0
)


def constant(rows: int) -> pd.DataFrame:
    """Return a table from which there is nothing to learn: its loss hardly falls."""
    return pd.concat([clinic(1)] * rows, ignore_index=True)


def test_line_5_the_schedule_is_the_same_whatever_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    schedules = []
    for frame in (clinic(300), constant(300), clinic(20, seed=9)):
        with monkeypatch.context() as patch:
            seen = watch_training(patch)
            stage = training_of(fitted(frame, steps=15))
        schedules.append([step.learning_rate for step in seen.steps])
    assert schedules[0] == schedules[1] == schedules[2]
    rate = settings_for(CLINIC, 1.0).learning_rate
    assert schedules[0] == pytest.approx([rate * (1 - i / 15) for i in range(15)])
    assert stage.steps == 15


def test_line_5_the_plan_is_made_without_the_table() -> None:
    for function in (make_plan, settings_for):
        taken = inspect.signature(function).parameters
        assert set(taken) <= {"schema", "epsilon", "delta", "settings"}


class Guarded:
    """Patients of whom nothing can be had but their number and those who are asked for."""

    class _Shape:
        def __init__(self, shape: tuple[int, ...]) -> None:
            self.shape = shape

    def __init__(self, data: PatientTensor) -> None:
        self._take, self._take_shares, self._length = data.take, data.take_shares, len(data)
        self.latent, self.single = data.latent, data.single
        self.rows = self._Shape(tuple(data.rows.shape))
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self._length

    def take(self, patients: torch.Tensor) -> object:
        self.asked += patients.tolist()
        return self._take(patients)

    def take_shares(self, patients: torch.Tensor) -> object:
        assert set(patients.tolist()) <= set(self.asked)
        return self._take_shares(patients)


def guarded(layout: Layout, features: np.ndarray) -> Guarded:
    return Guarded(
        PatientTensor(features, np.arange(len(features))[:, None], layout.settings.latent)
    )


def test_line_5_training_looks_at_the_drawn_patients_alone(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    bernoulli = RandomStream.bernoulli

    def watch(self: RandomStream, count: int, probability: float) -> np.ndarray:
        chosen = bernoulli(self, count, probability)
        drawn.extend(np.flatnonzero(chosen).tolist())
        return chosen

    monkeypatch.setattr(RandomStream, "bernoulli", watch)
    monkeypatch.setattr(training_module, "active_units", lambda *_: 0)  # looks, after training
    data = guarded(layout, features)
    train_privately(layout, data, STAGE, Mechanisms(RandomStream(seed(1))), untrained(layout))  # type: ignore[arg-type]
    assert data.asked == drawn
    assert len(drawn) > 0


def test_line_5_what_the_steward_is_shown_changes_no_weight(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train() -> dict[str, np.ndarray]:
        data = PatientTensor(features, np.arange(60)[:, None], layout.settings.latent)
        mechanisms = Mechanisms(RandomStream(seed(1)))
        return train_privately(layout, data, STAGE, mechanisms, untrained(layout))[0]

    before = train()
    clip = GhostClippedModule.add_clipped
    losses = iter(np.random.default_rng(0).normal(size=1000) * 1e6)

    def with_another_loss(*arguments: object) -> float:
        clip(*arguments)  # type: ignore[arg-type]
        return float(next(losses))

    monkeypatch.setattr(GhostClippedModule, "add_clipped", with_another_loss)
    monkeypatch.setattr(training_module, "active_units", lambda *_: 99)
    for name, weight in train().items():
        assert (weight == before[name]).all(), name


def test_line_5_a_fit_trains_once_and_never_openly(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    train = training_module.train_privately

    def watch(*arguments: object) -> object:
        trained.append(arguments[2])
        return train(*arguments)  # type: ignore[arg-type]

    def never(*arguments: object) -> None:
        raise AssertionError("open training, with its validation rows, in a private fit")

    monkeypatch.setattr(training_module, "train_privately", watch)
    monkeypatch.setattr(open_module, "train_openly", never)
    made = fitted(clinic(50))
    assert [stage.noise_multiplier for stage in trained] == [training_of(made).noise_multiplier]
    assert made.training_curve is not None
    assert made.training_curve.validation is None


def test_line_5_what_follows_training_sees_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Couplings and calibration are functions of what was released: the same releases, the same model.
    seen = watch_releases(monkeypatch)
    calls = []
    release = PairQuery.release

    def blinded(query: PairQuery, features: np.ndarray, *arguments: object) -> object:
        moments = release(query, features, *arguments)  # type: ignore[arg-type]
        calls.append(features)
        return moments

    train = training_module.train_privately

    def then_forget(layout: Layout, data: PatientTensor, *arguments: object) -> object:
        found = train(layout, data, *arguments)  # type: ignore[arg-type]
        calls[-1].fill(np.nan)  # the features of all rows: whoever looks from here on gets nothing
        data.features.fill_(float("nan"))
        return found

    monkeypatch.setattr(PairQuery, "release", blinded)
    monkeypatch.setattr(training_module, "train_privately", then_forget)
    state = fitted(clinic(50)).state()
    assert len(seen) > 0
    assert len(calls) == 1
    for found in (*state.weights.values(), *state.offsets):
        assert np.isfinite(found).all()
