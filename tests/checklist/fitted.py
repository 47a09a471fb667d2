"""What the tests of the checklist share: quick fits, and watching what a fit does."""

import copy
import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import synthvae.privacy.mechanisms as mechanisms_module
from synthvae.model.training import GaussianOptimizer, PatientTensor
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.synthesizer import Synthesizer
from tests.simulated import CLINIC, quick

ODD = pd.DataFrame(
    {
        "age": [100],
        "sex": ["male"],
        "creatinine": [1e308],
        "cost": [np.inf],
        "ward": ["a ward that nobody declared"],
        "died": [True],
    }
)
_repetition = 0


def seed(number: int) -> int:
    """Return a fixed seed: another one in each repetition of the mutation tests."""
    return number + 1000 * _repetition


@contextmanager
def repetition(number: int) -> Iterator[None]:
    """Run tests with other seeds than their usual ones, and with fresh plans."""
    global _repetition  # noqa: PLW0603  (the tests' one setting: which seeds they fix)
    before, _repetition = _repetition, number
    planned.cache_clear()
    try:
        yield
    finally:
        _repetition = before
        planned.cache_clear()


@functools.cache
def planned(
    schema: Schema, epsilon: float, delta: float | None, settings: Settings, test_seed: int | None
) -> Synthesizer:
    """Return an unfitted synthesizer; finding its noise takes longer than a small fit."""
    return Synthesizer(schema, epsilon, delta, settings=settings, test_seed=test_seed)


def fitted(
    frame: pd.DataFrame,
    schema: Schema = CLINIC,
    *,
    epsilon: float = 1.0,
    delta: float | None = None,
    test_seed: int | None = None,
    **changes: float,
) -> Synthesizer:
    """Return a synthesizer fitted in a few steps, with some of the rule's settings changed."""
    settings = quick(schema, epsilon, **changes)
    return copy.copy(planned(schema, epsilon, delta, settings, test_seed)).fit(frame)


def training_of(synthesizer: Synthesizer) -> TrainingStage:
    """Return the training stage of a fit's log."""
    stage = synthesizer.guarantee.stages[-1]
    assert isinstance(stage, TrainingStage)
    return stage


@dataclass(frozen=True)
class Release:
    """Whole numbers on their way through the noise: of which stage, exact, with which scale, noisy."""

    stage: str
    exact: np.ndarray
    sigma: float
    noisy: np.ndarray
    what: str = ""
    sensitivity: float = 0.0


def watch_releases(monkeypatch: pytest.MonkeyPatch, *, noise: bool = True) -> list[Release]:
    """Record everything that is released with discrete noise; without `noise`, add none."""
    seen: list[Release] = []
    release, add = Mechanisms.discrete_gaussian, mechanisms_module.add_discrete_gaussian
    asked: list[dict[str, Any]] = []

    def watch_stage(self: Mechanisms, exact: np.ndarray, **facts: Any) -> np.ndarray:
        asked.append(facts)
        return release(self, exact, **facts)

    def watch(exact: np.ndarray, sigma: float, stream: RandomStream) -> np.ndarray:
        noisy, facts = add(exact, sigma, stream) if noise else exact, asked[-1]
        what, sensitivity = facts["what"], facts["sensitivity"]
        seen.append(Release(facts["stage"], exact.copy(), sigma, noisy.copy(), what, sensitivity))
        return noisy

    monkeypatch.setattr(Mechanisms, "discrete_gaussian", watch_stage)
    monkeypatch.setattr(mechanisms_module, "add_discrete_gaussian", watch)
    return seen


@dataclass(frozen=True)
class Step:
    """One noisy step of training: who was drawn, their clipped sum, what it became, how fast."""

    patients: tuple[int, ...]
    clipped: tuple[torch.Tensor, ...]
    noisy: tuple[torch.Tensor, ...]
    learning_rate: float

    def noise(self, expected_batch: float) -> list[np.ndarray]:
        """Return what was added to each weight's clipped sum, if the sum was divided so."""
        return [
            (after.double() * expected_batch - before.double()).flatten().numpy()
            for before, after in zip(self.clipped, self.noisy, strict=True)
        ]


@dataclass(frozen=True)
class Watched:
    """What a training did: its noisy steps, and the normal draws that it asked for."""

    steps: list[Step] = field(default_factory=list)
    normals: list[np.ndarray] = field(default_factory=list)

    @property
    def sizes(self) -> list[int]:
        """How many patients each step drew."""
        return [len(step.patients) for step in self.steps]


def watch_training(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Record every noisy step of private training from now on."""
    seen, taken = Watched(), []
    take, add_noise, normal = (
        PatientTensor.take,
        GaussianOptimizer.add_noise,
        RandomStream.normal,
    )

    def watch_take(self: PatientTensor, patients: torch.Tensor) -> object:
        taken.extend(patients.tolist())
        return take(self, patients)

    def watch_noise(self: GaussianOptimizer) -> None:
        clipped = tuple(weight.summed_grad.detach().clone() for weight in self.params)
        add_noise(self)
        noisy = tuple(weight.grad.detach().clone() for weight in self.params)
        rate = self.param_groups[0]["lr"]
        seen.steps.append(Step(tuple(taken), clipped, noisy, rate))
        taken.clear()

    def watch_normal(self: RandomStream, count: int) -> np.ndarray:
        drawn = normal(self, count)
        seen.normals.append(drawn)
        return drawn

    monkeypatch.setattr(PatientTensor, "take", watch_take)
    monkeypatch.setattr(GaussianOptimizer, "add_noise", watch_noise)
    monkeypatch.setattr(RandomStream, "normal", watch_normal)
    return seen
