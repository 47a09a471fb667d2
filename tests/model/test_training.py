"""Private training: the noise that is accounted for, chunks that change nothing, fixed schedules."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from synthvae.model import training as module
from synthvae.model.layout import Layout
from synthvae.model.training import (
    PatientTensor,
    WeightAverage,
    kl_weight,
    train_privately,
)
from synthvae.model.vae import AnchoredVAE
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.stream import RandomStream


def stage(**changes: float) -> TrainingStage:
    values = {
        "sampling_rate": 0.5,
        "noise_multiplier": 2.0,
        "steps": 3,
        "clip_norm": 1.5,
        "expected_batch": 30.0,
    }
    return TrainingStage(**(values | changes))


def data_of(features: np.ndarray, layout: Layout) -> PatientTensor:
    return PatientTensor(features, np.arange(len(features))[:, None], layout.settings.latent)


@pytest.mark.parametrize(("factor", "fits"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_gradient_noise_has_the_accounted_scale(
    layout: Layout,
    features: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    factor: float,
    fits: bool,
) -> None:
    # With nobody drawn, a step is pure noise: sigma * C / expected batch in every weight.
    seen: list[torch.Tensor] = []
    add_noise = module.StreamNoiseOptimizer.add_noise

    def watch(self: module.StreamNoiseOptimizer) -> None:
        add_noise(self)
        seen.append(torch.cat([weight.grad.flatten() for weight in self.params]))

    monkeypatch.setattr(module.StreamNoiseOptimizer, "add_noise", watch)
    quiet = stage(sampling_rate=1e-12, steps=5)
    train_privately(layout, data_of(features, layout), quiet, RandomStream(test_seed=1))
    noise = torch.cat(seen).double().numpy()
    statistic = (noise**2).sum() / (factor * 2.0 * 1.5 / 30.0) ** 2
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(noise))
    assert (low < statistic < high) == fits


def test_chunks_change_nothing(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for chunk in (1000, 7):
        monkeypatch.setattr(module, "chunk_size", lambda *_, size=chunk: size)
        monkeypatch.setattr(torch, "randn", lambda shape, generator: torch.zeros(shape))
        found, _ = train_privately(
            layout, data_of(features, layout), stage(), RandomStream(test_seed=1)
        )
        weights.append(found)
    for name, weight in weights[0].items():
        assert weight == pytest.approx(weights[1][name], abs=1e-5), name


def test_training_reports_each_step(layout: Layout, features: np.ndarray) -> None:
    seen: list[tuple[int, int]] = []
    _, curve = train_privately(
        layout,
        data_of(features, layout),
        stage(),
        RandomStream(test_seed=1),
        lambda step, steps: seen.append((step, steps)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert curve.steps == (0, 1, 2)


def test_the_kl_weight_rises_linearly() -> None:
    rise = [kl_weight(2.0, 0.5, step, 8) for step in range(8)]
    assert rise == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
    assert kl_weight(1.0, 0.0, 0, 8) == 1.0


def test_the_average_of_constant_weights_is_that_constant(layout: Layout) -> None:
    model = AnchoredVAE(layout)
    model.initialise(torch.Generator().manual_seed(0))
    average = WeightAverage(model, 0.9)
    for _ in range(3):
        average.update()
    found = average.weights()
    for name, weight in model.named_parameters():
        mask = layout.mask if name == "earlier.weight" else 1.0
        if not name.startswith("mixture"):
            assert found[name] == pytest.approx(weight.detach().numpy() * mask, abs=1e-6)
