"""Private training: the noise that is accounted for, chunks that change nothing, fixed schedules."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from synthvae.model import training as module
from synthvae.model.coupling import untrained
from synthvae.model.layout import Layout
from synthvae.model.state import WeightAverage
from synthvae.model.training import (
    PatientTensor,
    active_units,
    couplings_alone,
    kl_weight,
    start_model,
    train_openly,
    train_privately,
    trainable,
)
from synthvae.model.vae import AnchoredVAE
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from tests.model.gradients import no_latents
from tests.model.random_models import random_model, weights_of


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
    add_noise = module.GaussianOptimizer.add_noise

    def watch(self: module.GaussianOptimizer) -> None:
        add_noise(self)
        seen.append(torch.cat([weight.grad.flatten() for weight in self.params]))

    monkeypatch.setattr(module.GaussianOptimizer, "add_noise", watch)
    quiet = stage(sampling_rate=1e-12, steps=5)
    train_privately(
        layout,
        data_of(features, layout),
        quiet,
        Mechanisms(RandomStream(test_seed=1)),
        untrained(layout),
    )
    noise = torch.cat(seen).double().numpy()
    statistic = (noise**2).sum() / (factor * 2.0 * 1.5 / 30.0) ** 2
    low, high = chi2.ppf([1e-6, 1 - 1e-6], len(noise))
    assert (low < statistic < high) == fits


def test_chunks_change_nothing(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, couplings = [], weights_of(random_model(layout))
    for chunk in (1000, 7):
        monkeypatch.setattr(module, "chunk_size", lambda *_, size=chunk: size)
        # Latents are drawn chunk by chunk, so that other chunks give others; here they are all 0.
        monkeypatch.setattr(module, "draw_latents", no_latents)
        found, _ = train_privately(
            layout,
            data_of(features, layout),
            stage(),
            Mechanisms(RandomStream(test_seed=1)),
            couplings,
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
        Mechanisms(RandomStream(test_seed=1)),
        untrained(layout),
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
    model.initialise(np.random.default_rng(0).standard_normal)
    average = WeightAverage(model, 0.9)
    for _ in range(3):
        average.update()
    found = average.weights()
    for name, weight in weights_of(model).items():
        assert found[name] == pytest.approx(weight, abs=1e-6), name


def test_training_leaves_the_couplings_as_they_were(layout: Layout, features: np.ndarray) -> None:
    couplings = weights_of(random_model(layout))
    data = data_of(features, layout)
    private, _ = train_privately(
        layout, data, stage(), Mechanisms(RandomStream(test_seed=1)), couplings
    )
    opened, _ = train_openly(layout, data, 1, couplings)
    for found in (private, opened):
        for name in ("earlier.weight", "earlier.bias"):
            # The average over steps is kept in float32.
            assert found[name] == pytest.approx(couplings[name], rel=1e-5, abs=1e-7)
    assert np.abs(private["loadings.weight"]).max() > 1e-3


def test_without_privacy_training_stays_only_where_it_helps_others(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = module._validation_loss
    alone = couplings_alone(
        start_model(layout, RandomStream(test_seed=1).normal, untrained(layout))
    )
    for better, stays in ((-1e-3, True), (1e-3, False)):

        def judged(
            layout: Layout, weights: module.Weights, *rest: Any, by: float = better
        ) -> float:
            return losses(layout, alone, *rest) + by * weights["loadings.weight"].any()

        monkeypatch.setattr(module, "_validation_loss", judged)
        found, _ = train_openly(layout, data_of(features, layout), 1, untrained(layout))
        assert bool(found["loadings.weight"].any()) == stays


def test_a_model_starts_at_its_couplings(layout: Layout) -> None:
    couplings = weights_of(random_model(layout))
    model = start_model(layout, np.random.default_rng(0).standard_normal, couplings)
    assert {id(w) for w in trainable(model)} == {
        id(w)
        for name, w in model.named_parameters()
        if not name.startswith(("earlier", "products"))
    }
    features = torch.zeros(200, layout.features)
    z = torch.randn(200, layout.settings.latent, generator=torch.Generator().manual_seed(1))
    assert torch.equal(model.coefficients(features, z), model.earlier(features))


def test_active_units_are_those_whose_mean_varies(layout: Layout, features: np.ndarray) -> None:
    weights = weights_of(random_model(layout))
    data = data_of(features, layout)
    latent = layout.settings.latent
    weights["posterior.weight"][:latent] = 0.0
    weights["posterior.bias"][:latent] = 5.0  # far from the prior, but the same for everybody
    assert active_units(layout, weights, data) == 0
    for active in range(1, latent + 1):
        weights["posterior.weight"][active - 1] = 10.0 * weights["posterior.weight"][latent]
        assert active_units(layout, weights, data) == active
