"""Clipped gradients against per-patient gradients that are materialised (the oracle).

That no patient adds more than the clip norm is line 8 of tests/checklist.
"""

import copy

import numpy as np
import pytest
import torch

from synthvae.model.clipping import GRADIENT_STEP, MARGIN
from synthvae.model.layout import Layout
from synthvae.model.vae import MaskedLinear
from tests.model.gradients import our_sum, patients_of, per_patient_gradients
from tests.model.random_models import random_model

pytestmark = pytest.mark.filterwarnings("ignore:Full backward hook is firing")


@pytest.mark.parametrize("rows_per_patient", [1, 3])
@pytest.mark.parametrize("clip_norm", [0.5, 5.0, 40.0])
def test_the_clipped_sum_equals_the_oracles(
    layout: Layout, features: np.ndarray, rows_per_patient: int, clip_norm: float
) -> None:
    model = random_model(layout)
    data = patients_of(features, rows_per_patient, layout)
    each = per_patient_gradients(copy.deepcopy(model), data)
    factors = (clip_norm / (each.norm(dim=1) + 1e-6)).clamp(max=1.0)
    expected = (each * factors[:, None]).sum(0)
    found = our_sum(model, data, clip_norm)
    # Each row's gradient is rounded to a lattice that grows with the clip norm.
    rounding = len(features) * GRADIENT_STEP * clip_norm
    largest = 3e-4 * float(expected.abs().max()) + rounding
    assert torch.allclose(found, MARGIN * expected.double(), rtol=2e-3, atol=largest)


def test_masked_weights_get_no_gradient(layout: Layout, features: np.ndarray) -> None:
    model = random_model(layout)
    our_sum(model, patients_of(features, 1, layout), 1.0)
    masked = [layer for layer in model.modules() if isinstance(layer, MaskedLinear)]
    assert (model.loadings.mask == 1).all()
    assert len(masked) == (3 if layout.settings.mixture else 1)
    for layer in masked:
        assert (layer.weight.summed_grad[layer.mask == 0] == 0).all()
        assert (layer.weight.summed_grad[layer.mask == 1] != 0).any()
