"""The model's arithmetic against a naive second implementation."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from synthvae.model.layout import Layout
from synthvae.model.vae import AnchoredVAE, LogNormaliser
from synthvae.table import encode
from tests.model.random_models import random_model
from tests.simulated import CLINIC, clinic


def model_of(layout: Layout) -> AnchoredVAE:
    return random_model(layout, 0.2, seed=3)


def test_the_loss_is_minus_log_likelihood_up_to_the_anchors(
    layout: Layout, features: np.ndarray
) -> None:
    model = model_of(layout)
    z = torch.zeros(60, layout.settings.latent)
    loss = model.reconstruction(torch.tensor(features, dtype=torch.float32), z).detach()
    c = model.coefficients(torch.tensor(features, dtype=torch.float32), z).detach().numpy()
    tokens = layout.tokens(encode(clinic(60), CLINIC))
    for row in range(0, 60, 11):
        expected = 0.0
        for j, (marginal, phi) in enumerate(zip(layout.marginals, layout.bases, strict=True)):
            own = slice(layout.ends[j], layout.ends[j + 1])
            logits = np.log(marginal.mass) + phi @ c[row, own]
            likelihood = logits[tokens[row, j]] - logsumexp(logits)
            expected -= likelihood - np.log(marginal.mass[tokens[row, j]])
        assert float(loss[row]) == pytest.approx(expected, abs=1e-3)


def test_with_no_coefficients_the_model_is_its_anchors(layout: Layout) -> None:
    model = AnchoredVAE(layout)
    c = torch.zeros(2, layout.features)
    assert LogNormaliser.apply(c, model.groups).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_the_normalisers_gradient_is_right(layout: Layout) -> None:
    groups = [(own, s.double(), m.double(), p) for own, s, m, p in AnchoredVAE(layout).groups]
    c = torch.randn(
        3, layout.features, dtype=torch.double, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LogNormaliser.apply(x, groups), (c,))


def test_the_kl_term_by_hand(layout: Layout, features: np.ndarray) -> None:
    model = model_of(layout)
    x = torch.tensor(features[:4], dtype=torch.float32)
    noise = torch.zeros(4, layout.settings.latent)
    with_kl, without = model(x, noise, 1.0), model(x, noise, 0.0)
    mu, log_var = model.encode(x)
    expected = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(-1)
    assert torch.allclose(with_kl - without, expected, atol=1e-4)
    assert (expected > 0).all()


def test_a_column_sees_earlier_columns_only(layout: Layout, features: np.ndarray) -> None:
    model = model_of(layout)
    z = torch.zeros(1, layout.settings.latent)
    x = torch.tensor(features[:1], dtype=torch.float32, requires_grad=True)
    for feature, column in enumerate(layout.owner):
        (slope,) = torch.autograd.grad(model.coefficients(x, z)[0, feature], x, retain_graph=True)
        later = torch.tensor(layout.owner >= column)
        assert (slope[0, later] == 0).all()


def test_the_latent_noise_enters_through_the_posteriors_spread(
    layout: Layout, features: np.ndarray
) -> None:
    model = model_of(layout)
    x = torch.tensor(features[:1], dtype=torch.float32)
    noise = torch.ones(1, layout.settings.latent)
    mu, log_var = model.encode(x)
    z = mu + torch.exp(0.5 * log_var) * noise
    assert torch.allclose(model(x, noise, 0.0), model.reconstruction(x, z), atol=1e-5)
