"""Line 8: no patient adds more than the clip norm, and every trained weight is clipped.

Broken where a layer has no per-patient gradient and so escapes the clipping, where norms are found for
some weights only, and where one overflowing patient spoils, and so shows in, the whole batch.
"""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch

from synthvae.model import training as training_module
from synthvae.model.clipping import (
    MARGIN,
    GhostClippedModule,
    Parts,
    affine_norms,
    masked_linear_norms,
)
from synthvae.model.layout import Layout
from synthvae.model.training import PatientTensor, trainable
from synthvae.model.vae import Affine, MaskedLinear
from synthvae.schema import Schema
from tests.checklist.fitted import ODD, fitted, seed
from tests.model.gradients import losses_of, our_sum, patients_of, per_patient_gradients
from tests.model.random_models import random_model, weights_of
from tests.simulated import CLINIC, PLACES, VISITS, clinic, inserted, visits

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")
COUPLINGS = {"earlier.weight", "earlier.bias", "products.weight"}
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
    add_clipped = GhostClippedModule.add_clipped

    def watch(self: GhostClippedModule, losses: torch.Tensor) -> float:
        before, total = sums_of(self), add_clipped(self, losses)
        parts.append(sums_of(self) - before)
        return total

    monkeypatch.setattr(GhostClippedModule, "add_clipped", watch)
    monkeypatch.setattr(training_module, "chunk_size", lambda *_: 1)
    fitted(frame, schema, test_seed=seed(1), steps=4, clip_norm=0.05)
    norms = np.array([float(part.norm()) for part in parts])
    assert len(norms) > 20
    assert norms.max() <= 0.05 * (1 + 1e-9)
    assert np.median(norms) == pytest.approx(MARGIN * 0.05, rel=3e-3)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("rows_per_patient", [1, 3])
@pytest.mark.parametrize("size", [1.0, 1e6, 1e18, 1e30, 3e38])
def test_line_8_one_patient_more_moves_the_sum_by_the_clip_norm_at_most(
    layout: Layout, features: np.ndarray, size: float, rows_per_patient: int, place: str
) -> None:
    # Everybody keeps their latents, wherever the new patient stands: so says the proof, in which
    # latents are unknown and each patient's are drawn alike.
    alternating = np.where(np.arange(features.shape[1]) % 2, -size, size)
    added = np.stack([alternating, -alternating, np.full_like(alternating, size)])
    patients = features.reshape(-1, rows_per_patient, features.shape[1])
    more = inserted(patients, added[None, :rows_per_patient], place)
    model, draws = random_model(layout), np.random.default_rng(0)
    latents = draws.standard_normal((len(patients), layout.settings.latent))
    others = inserted(latents, draws.standard_normal((1, layout.settings.latent)), place)

    def total(rows: np.ndarray, latent: np.ndarray) -> torch.Tensor:
        places = np.arange(rows.shape[0] * rows.shape[1]).reshape(rows.shape[:2])
        data = PatientTensor(rows.reshape(-1, rows.shape[-1]), places, layout.settings.latent)
        return our_sum(copy.deepcopy(model), data, 0.5, torch.tensor(latent, dtype=torch.float32))

    moved = total(more, others) - total(patients, latents)
    assert torch.isfinite(moved).all()
    assert float(moved.norm()) <= 0.5 * (1 + 1e-6)


def parts_of(layout: Layout, features: np.ndarray, rows: int) -> tuple[GhostClippedModule, Parts]:
    """Return a module and, on its lattice, the clipped gradients of all patients of some rows."""
    clipped = GhostClippedModule(random_model(layout, 1.0), 0.5)
    losses_of(clipped, patients_of(features, rows, layout)).sum().backward()
    return clipped, clipped._clipped_parts()


def summed(clipped: GhostClippedModule, parts: Parts, pieces: list[np.ndarray]) -> torch.Tensor:
    """Return the sum over patients, piece after piece."""
    for weight in trainable(clipped._module):
        weight.summed_grad = None
    for piece in pieces:
        clipped._add_up([(layer, inputs[piece], scaled[piece]) for layer, inputs, scaled in parts])
    return sums_of(clipped)


def sums_of(clipped: GhostClippedModule) -> torch.Tensor:
    weights = trainable(clipped._module)
    zero = torch.zeros(1, dtype=torch.float64)
    return torch.cat(
        [
            zero.expand(w.numel()) if w.summed_grad is None else w.summed_grad.flatten()
            for w in weights
        ]
    )


@pytest.mark.parametrize("rows_per_patient", [1, 3])
def test_line_8_sums_are_the_same_in_any_order_and_grouping(
    layout: Layout, features: np.ndarray, rows_per_patient: int
) -> None:
    clipped, parts = parts_of(layout, features, rows_per_patient)
    draws, patients = np.random.default_rng(0), len(features) // rows_per_patient
    at_once = summed(clipped, parts, [np.tile(np.arange(patients), 50)])
    assert at_once.dtype == torch.float64
    for pieces in (1, 7, 50):
        order = draws.permutation(np.tile(np.arange(patients), 50))
        again = summed(clipped, parts, np.array_split(order, pieces))
        assert torch.equal(again, at_once)


def test_line_8_one_patient_among_four_million_adds_what_they_add(
    layout: Layout, features: np.ndarray
) -> None:
    # In single precision the sum over so many moved by more than the clip norm.
    clipped, parts = parts_of(layout, features, 1)
    crowd = np.tile(np.arange(60), 1000)
    alone = summed(clipped, parts, [np.array([5])])
    before = 67 * summed(clipped, parts, [crowd])
    after = summed(clipped, parts, [np.array([5]), *[crowd] * 67])
    assert 67 * len(crowd) > 4_000_000
    assert torch.equal(after - before, alone)
    assert float(alone.norm()) <= 0.5


def test_line_8_a_patient_who_gets_longer_by_rounding_is_left_out(layout: Layout) -> None:
    # Two rows whose sum is just within the bound before its terms are cut to whole steps, and a step
    # longer afterwards.
    clipped = GhostClippedModule(random_model(layout), 0.5)
    for weight in trainable(clipped._module):
        weight._norm_sample = torch.zeros(2)  # so that nothing is scaled but by the margin
    layer = clipped._module.encoder
    weights = layer.out_features * (layer.in_features + 1)
    bound = 0.5 / clipped._step / weights**0.5
    within = math.floor(bound) + (bound % 1) / 2
    assert 0.1 < bound % 1 < 0.9
    steps = torch.tensor([[20_000.02, within - 20_000.02], [1.5, 1.5]])
    gradient = (steps * (clipped._step / MARGIN))[..., None].repeat(1, 1, layer.out_features)
    # As a pass backward leaves them: layers after the rows are averaged come first, and have none.
    later = clipped._module.loadings
    nothing = (later, torch.zeros(2, later.mask.shape[1]), torch.zeros(2, later.mask.shape[0]))
    clipped._passed = [nothing, (layer, torch.ones(2, 2, layer.in_features), gradient)]
    _, _, scaled = clipped._clipped_parts()[1]
    assert (scaled[0] == 0).all()
    assert (scaled[1] == 1).all()


def test_line_8_no_patient_adds_more_than_the_clip_norm(
    layout: Layout, features: np.ndarray
) -> None:
    for patient in range(0, 60, 7):
        data = PatientTensor(features[[patient]], np.array([[0]]), layout.settings.latent)
        assert our_sum(random_model(layout, 1.0), data, 0.5).norm() <= 0.5 * (1 + 1e-9)


def test_line_8_adversarial_rows_are_clipped_too(layout: Layout, features: np.ndarray) -> None:
    huge = np.full_like(features[:1], 1e12)
    data = PatientTensor(huge, np.array([[0]]), layout.settings.latent)
    assert our_sum(random_model(layout), data, 0.5).norm() <= 0.5 * (1 + 1e-9)


@pytest.mark.parametrize("rows_per_patient", [1, 3])
def test_line_8_every_trained_weight_has_a_gradient_and_a_norm(
    layout: Layout, features: np.ndarray, rows_per_patient: int
) -> None:
    # A weight without a norm sample would escape the clipping.
    model = random_model(layout)
    data = patients_of(features, rows_per_patient, layout)
    clipped = GhostClippedModule(model, 1.0)
    clipped.add_clipped(losses_of(clipped, data))
    norms = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert set(norms) == {name for name, _ in model.named_parameters()} - COUPLINGS
    for name, weight in norms.items():
        assert weight.summed_grad.abs().sum() > 0, name
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
    loss = clipped.add_clipped(losses_of(clipped, everyone))
    with_bad = sums_of(clipped)
    assert torch.isfinite(with_bad).all()
    assert np.isfinite(loss)
    each = per_patient_gradients(
        random_model(layout),
        PatientTensor(features, np.arange(60)[:, None], layout.settings.latent),
    )
    factors = MARGIN * (1.0 / (each.norm(dim=1) + 1e-6)).clamp(max=1.0)
    factors[5] = 0.0
    expected = (each * factors[:, None]).sum(0).double()
    assert torch.allclose(with_bad, expected, rtol=2e-3, atol=1e-3)
