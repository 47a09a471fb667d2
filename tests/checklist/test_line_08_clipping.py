"""Line 8: no patient adds more than the clip norm, and every trained weight is clipped.

Broken where a layer has no per-patient gradient and so escapes the clipping, where norms are found for
some weights only, and where one overflowing patient spoils, and so shows in, the whole batch.
"""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from synthvae.model import training as training_module
from synthvae.model.ghost import GhostClippedModule, affine_norms, masked_linear_norms
from synthvae.model.layout import Layout
from synthvae.model.training import (
    PatientTensor,
    StreamNoiseOptimizer,
    clipped_gradient,
    trained,
)
from synthvae.model.vae import Affine, MaskedLinear
from synthvae.schema import Schema
from tests.checklist.fitted import ODD, fitted, seed
from tests.model.gradients import our_sum, patients_of, per_patient_gradients
from tests.model.random_models import random_model, weights_of
from tests.simulated import CLINIC, VISITS, clinic, visits

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")
COUPLINGS = {"earlier.weight", "earlier.bias"}
TABLES = [
    (CLINIC, pd.concat([clinic(40), *[ODD] * 10], ignore_index=True)),
    (VISITS, visits(40)),
]


@pytest.mark.parametrize(("schema", "frame"), TABLES, ids=["rows", "patients"])
def test_line_8_in_a_fit_each_patients_part_is_within_the_clip_norm(
    schema: Schema, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One patient at a time, so that what is added up is one patient's; a norm that clips them all.
    parts: list[torch.Tensor] = []
    accumulate = StreamNoiseOptimizer.accumulate

    def watch(self: StreamNoiseOptimizer) -> None:
        parts.append(torch.cat([weight.grad.flatten() for weight in self.params]).double())
        accumulate(self)

    monkeypatch.setattr(StreamNoiseOptimizer, "accumulate", watch)
    monkeypatch.setattr(training_module, "chunk_size", lambda *_: 1)
    fitted(frame, schema, test_seed=seed(1), steps=4, clip_norm=0.05)
    norms = np.array([float(part.norm()) for part in parts])
    assert len(norms) > 20
    assert norms.max() <= 0.05 * (1 + 1e-5)
    assert np.median(norms) == pytest.approx(0.05, rel=1e-3)


@pytest.mark.parametrize("rows_per_patient", [1, 3])
@pytest.mark.parametrize("size", [1.0, 1e6, 1e18, 1e30, 3e38])
def test_line_8_one_patient_more_moves_the_sum_by_the_clip_norm_at_most(
    layout: Layout,
    features: np.ndarray,
    size: float,
    rows_per_patient: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "randn", lambda shape, generator: torch.zeros(shape))
    alternating = np.where(np.arange(features.shape[1]) % 2, -size, size)
    added = np.stack([alternating, -alternating, np.full_like(alternating, size)])
    both = np.concatenate((features, added[:rows_per_patient]))
    model = random_model(layout)
    before = our_sum(copy.deepcopy(model), patients_of(features, rows_per_patient, layout), 0.5)
    after = our_sum(model, patients_of(both, rows_per_patient, layout), 0.5)
    assert torch.isfinite(after).all()
    assert float((after - before).double().norm()) <= 0.5 * (1 + 1e-4)


def test_line_8_no_patient_adds_more_than_the_clip_norm(
    layout: Layout, features: np.ndarray
) -> None:
    for patient in range(0, 60, 7):
        data = PatientTensor(features[[patient]], np.array([[0]]), layout.settings.latent)
        assert our_sum(random_model(layout, 1.0), data, 0.5).norm() <= 0.5 * (1 + 1e-5)


def test_line_8_adversarial_rows_are_clipped_too(layout: Layout, features: np.ndarray) -> None:
    huge = np.full_like(features[:1], 1e12)
    data = PatientTensor(huge, np.array([[0]]), layout.settings.latent)
    assert our_sum(random_model(layout), data, 0.5).norm() <= 0.5 * (1 + 1e-5)


@pytest.mark.parametrize("rows_per_patient", [1, 3])
def test_line_8_every_trained_weight_has_a_gradient_and_a_norm(
    layout: Layout, features: np.ndarray, rows_per_patient: int
) -> None:
    # A weight without a norm sample would escape the clipping.
    model = random_model(layout)
    data = patients_of(features, rows_per_patient, layout)
    clipped = GhostClippedModule(model, 1.0)
    generator = torch.Generator().manual_seed(1)
    clipped_gradient(clipped, data, torch.arange(len(data)), 0.7, generator)
    norms = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert set(norms) == {name for name, _ in model.named_parameters()} - COUPLINGS
    for name, weight in norms.items():
        assert weight.grad.abs().sum() > 0, name
        assert weight._norm_sample.shape == (len(data),), name
        assert (weight._norm_sample > 0).all(), name


def test_line_8_couplings_have_no_gradient(layout: Layout, features: np.ndarray) -> None:
    # They are a function of the pair release alone: a gradient would be a second, unpaid look.
    model = random_model(layout)
    before = weights_of(model)
    our_sum(model, patients_of(features, 1, layout), 1.0)
    for name in COUPLINGS:
        weight = model.get_parameter(name)
        assert not weight.requires_grad
        assert weight.grad is None
        assert (weight.numpy() == before[name]).all()


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e9])
def test_line_8_rows_that_cancel_are_not_taken_for_small(size: float) -> None:
    # Two nearly opposite rows: the signed sum loses what is left of them to rounding.
    generator = torch.Generator().manual_seed(0)
    inputs = size * torch.randn(50, 1, 6, generator=generator).repeat(1, 2, 1)
    inputs[:, 1] += 1e-3 * torch.randn(50, 6, generator=generator)
    backprops = torch.randn(50, 1, 4, generator=generator).repeat(1, 2, 1)
    backprops[:, 1] *= -1
    exact = torch.einsum("pto,pti->poi", backprops.double(), inputs.double())
    affine = Affine(6, 4)
    masked = MaskedLinear(torch.ones(4, 6))
    for layer, sampler in ((affine, affine_norms), (masked, masked_linear_norms)):
        found = sampler(layer, [inputs], backprops)[layer.weight].double()
        assert (found >= exact.flatten(1).norm(dim=1) * (1 - 1e-6)).all()
    bias = affine_norms(affine, [inputs], backprops)[affine.bias].double()
    assert (bias >= backprops.double().sum(1).norm(dim=1)).all()


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_line_8_one_overflowing_patient_is_left_out_alone(
    layout: Layout, features: np.ndarray, bad: float
) -> None:
    spoiled = features.copy()
    spoiled[5] = bad
    everyone = PatientTensor(spoiled, np.arange(60)[:, None], layout.settings.latent)
    model = random_model(layout)
    clipped = GhostClippedModule(model, 1.0)
    # The latent noise of the others must be the same: draw it for all, then drop patient 5.
    loss = clipped_gradient(
        clipped, everyone, torch.arange(60), 0.7, torch.Generator().manual_seed(1)
    )
    with_bad = torch.cat([weight.grad.flatten() for weight in trained(model)])
    assert torch.isfinite(with_bad).all()
    assert np.isfinite(loss)
    each = per_patient_gradients(
        random_model(layout),
        PatientTensor(features, np.arange(60)[:, None], layout.settings.latent),
    )
    factors = (1.0 / (each.norm(dim=1) + 1e-6)).clamp(max=1.0)
    factors[5] = 0.0
    expected = (each * factors[:, None]).sum(0)
    assert torch.allclose(with_bad, expected, rtol=1e-4, atol=1e-5)
