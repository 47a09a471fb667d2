"""Training that goes on: the same schedule, moments and average, and nothing but noisy gradients."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from synthvae.artefact import weight_shapes
from synthvae.model import training as module
from synthvae.model.coupling import untrained
from synthvae.model.layout import Layout
from synthvae.model.training import PatientTensor, train_privately
from synthvae.model.training_state import TrainingState, state_shapes
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.stream import RandomStream

STAGE = TrainingStage(
    sampling_rate=1.0, noise_multiplier=1.0, steps=6, clip_norm=1.5, expected_batch=60.0
)


class Notebook:
    """Keeps every state, and begins with a given one."""

    def __init__(self, training: TrainingState | None = None) -> None:
        self.training = training
        self.states: dict[int, TrainingState] = {}

    def after_step(self, step: int, state: Callable[[], TrainingState]) -> None:
        self.states[step] = state()


def train(
    layout: Layout, features: np.ndarray, book: Notebook, stage: TrainingStage = STAGE
) -> dict[str, np.ndarray]:
    data = PatientTensor(features, np.arange(len(features))[:, None], layout.settings.latent)
    weights, _ = train_privately(
        layout, data, stage, RandomStream(test_seed=1), untrained(layout), None, book
    )
    return weights


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every draw out, so that two trainings can be the same to the bit."""
    monkeypatch.setattr(torch, "randn", lambda shape, generator: torch.zeros(shape))
    monkeypatch.setattr(RandomStream, "normal", lambda self, count: np.zeros(count))


@pytest.mark.parametrize("step", range(1, 7))
def test_a_training_in_two_parts_is_that_in_one(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    quiet(monkeypatch)
    first, second = Notebook(), Notebook()
    whole = train(layout, features, first)
    second.training = first.states[step]
    parts = train(layout, features, second)
    assert sorted(second.states) == list(range(step + 1, 7))
    for name, weight in whole.items():
        assert (weight == parts[name]).all(), name
    for later, state in second.states.items():
        for name, found in state.arrays.items():
            assert (found == first.states[later].arrays[name]).all(), name


def test_a_state_is_a_copy(layout: Layout, features: np.ndarray) -> None:
    book = Notebook()
    train(layout, features, book)
    for name, found in book.states[1].arrays.items():
        fixed = name.split("/")[1].startswith("earlier")
        assert (found == book.states[6].arrays[name]).all() == fixed or not found.any(), name
    again = Notebook(book.states[3])
    before = {name: found.copy() for name, found in book.states[3].arrays.items()}
    train(layout, features, again)
    for name, found in book.states[3].arrays.items():
        assert (found == before[name]).all(), name


def test_a_state_depends_on_the_rows_through_noisy_gradients_alone(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With given noisy gradients, other rows, and more of them, leave the same states.
    def same_for_all(self: module.StreamNoiseOptimizer) -> None:
        for weight in self.params:
            weight.grad = torch.sin(torch.arange(weight.numel())).view_as(weight)

    monkeypatch.setattr(module.StreamNoiseOptimizer, "add_noise", same_for_all)
    one, two = Notebook(), Notebook()
    train(layout, features, one)
    train(layout, np.concatenate((features[::-1] * 0.5, features[:7])), two)
    for step, state in one.states.items():
        for name, found in state.arrays.items():
            assert (found == two.states[step].arrays[name]).all(), name


def test_the_shapes_are_those_of_the_model(layout: Layout, features: np.ndarray) -> None:
    book = Notebook()
    train(layout, features, book)
    found = {name: array.shape for name, array in book.states[2].arrays.items()}
    assert found == state_shapes(weight_shapes(layout))
    assert {array.dtype for array in book.states[2].arrays.values()} == {np.dtype(np.float32)}
