"""Sampling against the model's own probabilities, and repeatable."""

import numpy as np
import pytest
import torch

from synthvae.model.calibration import calibrate_margins
from synthvae.model.layout import Layout
from synthvae.model.sampling import Sampler, block_generator
from synthvae.model.vae import AnchoredVAE
from tests.model.random_models import random_model, weights_of


@pytest.fixture(scope="module")
def weights(layout: Layout) -> dict[str, np.ndarray]:
    return weights_of(random_model(layout, seed=3))


def no_offsets(layout: Layout) -> list[np.ndarray]:
    return [np.zeros(anchor.tokens) for anchor in layout.anchors]


def test_conditional_frequencies_are_the_models(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    # The last column given all the others: mean predicted probability equals the frequency.
    sampler = Sampler(layout, weights, no_offsets(layout))
    tokens, _ = sampler.draw(40_000, block_generator(1, 0))
    model = AnchoredVAE(layout)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in weights.items()})
    generator = block_generator(1, 0)
    z = generator.standard_normal((40_000, layout.settings.latent))
    features = torch.tensor(layout.record_features(tokens), dtype=torch.float32)
    c = model.coefficients(features, torch.tensor(z, dtype=torch.float32)).detach().numpy()
    for j in (1, layout.columns - 1):
        own = slice(layout.ends[j], layout.ends[j + 1])
        logits = c[:, own] @ layout.bases[j].T + np.log(layout.anchors[j].mass)
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        seen = np.bincount(tokens[:, j], minlength=p.shape[1]) / len(tokens)
        assert seen == pytest.approx(p.mean(0), abs=4 * 0.5 / np.sqrt(40_000))


def test_the_same_block_gives_the_same_tokens(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    sampler = Sampler(layout, weights, no_offsets(layout))
    first, _ = sampler.draw(100, block_generator(5, 2))
    again, _ = sampler.draw(100, block_generator(5, 2))
    other, _ = sampler.draw(100, block_generator(5, 3))
    assert (first == again).all()
    assert (first != other).any()


def test_a_condition_forces_its_token_and_weighs_its_chance(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    sampler = Sampler(layout, weights, no_offsets(layout))
    free, _ = sampler.draw(40_000, block_generator(1, 0))
    allowed = {1: np.array([0.0, 1.0])}
    tokens, log_weights = sampler.draw(40_000, block_generator(1, 0), allowed)
    assert (tokens[:, 1] == 1).all()
    # The mean weight estimates the chance of the condition.
    assert np.exp(log_weights).mean() == pytest.approx((free[:, 1] == 1).mean(), abs=0.02)


def test_calibration_brings_margins_back_to_the_anchors(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    def worst(offsets: list[np.ndarray]) -> float:
        sampler = Sampler(layout, weights, offsets)
        tokens, _ = sampler.draw(32_768, block_generator(9, 0))
        distances = []
        for j, anchor in enumerate(layout.anchors):
            seen = np.bincount(tokens[:, j], minlength=anchor.tokens) / len(tokens)
            distances.append(0.5 * np.abs(seen - anchor.mass).sum())
        return max(distances)

    before, after = worst(no_offsets(layout)), worst(calibrate_margins(layout, weights))
    assert after < 0.02
    assert after < before / 2


def test_patients_rows_share_their_latent_and_first_columns(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    sampler = Sampler(layout, weights, no_offsets(layout))
    firsts = np.repeat(np.arange(0, 300, 3), 3)
    tokens, _ = sampler.draw(300, block_generator(1, 0), patients=(firsts, 2))
    assert (tokens[:, :2] == tokens[firsts, :2]).all()
    assert (tokens[:, 2:] != tokens[firsts, 2:]).any()
