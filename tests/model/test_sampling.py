"""Sampling against the model's own probabilities, and repeatable."""

import numpy as np
import pytest
import torch
from scipy.special import ndtr

from synthvae.model.layout import Layout
from synthvae.model.records import calibrate_margins
from synthvae.model.sampling import (
    Sampler,
    _raked,
    block_generator,
    draw_latents,
    places_within,
    to_mass,
)
from synthvae.model.vae import AnchoredVAE
from tests.model.random_models import random_model, weights_of


@pytest.fixture(scope="module")
def weights(layout: Layout) -> dict[str, np.ndarray]:
    return weights_of(random_model(layout, seed=3))


def no_offsets(layout: Layout) -> list[np.ndarray]:
    return [np.zeros(marginal.tokens) for marginal in layout.marginals]


def test_conditional_frequencies_are_the_models(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    # The last column given all the others: mean predicted probability equals the frequency.
    sampler = Sampler(layout, weights, no_offsets(layout))
    tokens = sampler.draw(40_000, block_generator(1, 0), steps=0).tokens
    model = AnchoredVAE(layout)
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in weights.items()})
    generator = block_generator(1, 0)
    z = generator.standard_normal((40_000, layout.settings.latent))
    features = torch.tensor(layout.record_features(tokens), dtype=torch.float32)
    c = model.coefficients(features, torch.tensor(z, dtype=torch.float32)).detach().numpy()
    for j in (1, layout.columns - 1):
        own = slice(layout.ends[j], layout.ends[j + 1])
        logits = c[:, own] @ layout.bases[j].T + np.log(layout.marginals[j].mass)
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        seen = np.bincount(tokens[:, j], minlength=p.shape[1]) / len(tokens)
        assert seen == pytest.approx(p.mean(0), abs=4 * 0.5 / np.sqrt(40_000))


def test_the_same_block_gives_the_same_tokens(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    sampler = Sampler(layout, weights, no_offsets(layout))
    first = sampler.draw(100, block_generator(5, 2)).tokens
    again = sampler.draw(100, block_generator(5, 2)).tokens
    other = sampler.draw(100, block_generator(5, 3)).tokens
    assert (first == again).all()
    assert (first != other).any()


def test_a_condition_forces_its_token_and_weighs_its_chance(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    sampler = Sampler(layout, weights, no_offsets(layout))
    free = sampler.draw(40_000, block_generator(1, 0)).tokens
    allowed = {1: np.array([0.0, 1.0])}
    drawn = sampler.draw(40_000, block_generator(1, 0), allowed)
    tokens, log_weights = drawn.tokens, drawn.log_weights
    assert (tokens[:, 1] == 1).all()
    # The mean weight estimates the chance of the condition.
    assert np.exp(log_weights).mean() == pytest.approx((free[:, 1] == 1).mean(), abs=0.02)


def test_calibration_brings_margins_back_to_the_anchors(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    def worst(offsets: list[np.ndarray]) -> float:
        sampler = Sampler(layout, weights, offsets)
        tokens = sampler.draw(32_768, block_generator(9, 0)).tokens
        distances = []
        for j, marginal in enumerate(layout.marginals):
            seen = np.bincount(tokens[:, j], minlength=marginal.tokens) / len(tokens)
            distances.append(0.5 * np.abs(seen - marginal.mass).sum())
        return max(distances)

    before, after = worst(no_offsets(layout)), worst(calibrate_margins(layout, weights))
    assert after < 0.02
    assert after < before / 2


def test_patients_rows_share_their_latent_and_first_columns(
    layout: Layout, weights: dict[str, np.ndarray]
) -> None:
    sampler = Sampler(layout, weights, no_offsets(layout))
    firsts = np.repeat(np.arange(0, 300, 3), 3)
    tokens = sampler.draw(300, block_generator(1, 0), patients=(firsts, 2)).tokens
    assert (tokens[:, :2] == tokens[firsts, :2]).all()
    assert (tokens[:, 2:] != tokens[firsts, 2:]).any()


def test_latents_are_normal_and_tables_vary_less_for_their_strata() -> None:
    firsts = np.repeat(np.arange(0, 600, 3), 3)
    means, plain = [], []
    for seed in range(200):
        z = draw_latents(600, 3, block_generator(seed, 0), firsts, stratified=True)
        assert (z == z[firsts]).all()
        own = z[::3]
        # One patient in each stratum, in an order of its own for each dimension.
        for column in own.T:
            assert (np.sort((ndtr(column) * 200).astype(int)) == np.arange(200)).all()
        means.append(np.tanh(own - 0.5).mean(axis=0))
        free = draw_latents(600, 3, block_generator(seed, 0), firsts, stratified=False)
        plain.append(np.tanh(free[::3] - 0.5).mean(axis=0))
    assert np.abs(np.corrcoef(own.T) - np.eye(3)).max() < 0.25
    assert np.std(means) < 0.1 * np.std(plain)
    # Quantiles at the same strata, so the mean is the normal one's.
    grid = np.random.default_rng(0).standard_normal(400_000)
    assert np.mean(means) == pytest.approx(np.tanh(grid - 0.5).mean(), abs=0.004)


def test_one_row_has_a_latent() -> None:
    for stratified in (True, False):
        assert draw_latents(1, 2, block_generator(0, 0), None, stratified=stratified).shape == (
            1,
            2,
        )


# With one row a patient, strata of latents and balance leave raking nothing to do here.
@pytest.mark.parametrize(("several", "ratio"), [(False, 1.1), (True, 0.8)])
def test_rows_that_are_raked_have_the_anchors_margins(
    layout: Layout, weights: dict[str, np.ndarray], several: bool, ratio: float
) -> None:
    sampler = Sampler(layout, weights, calibrate_margins(layout, weights))
    whose = np.repeat(np.arange(1000), np.arange(1000) % 5 + 1 if several else 1)
    firsts = np.searchsorted(whose, whose)

    def error(seed: int, to_margins: bool) -> list[float]:
        tokens = sampler.draw(
            len(whose), block_generator(seed, 0), patients=(firsts, 2), to_margins=to_margins
        ).tokens
        seen = [
            np.bincount(t, minlength=a.tokens)
            for t, a in zip(tokens.T, layout.marginals, strict=True)
        ]
        return [
            0.5 * np.abs(s / len(whose) - a.mass).sum()
            for s, a in zip(seen, layout.marginals, strict=True)
        ]

    raked, plain = (np.mean([error(seed, to) for seed in range(8)]) for to in (True, False))
    assert raked < ratio * plain


def test_raking_keeps_the_impossible_and_meets_a_margin() -> None:
    generator = np.random.default_rng(0)
    mass = to_mass(generator.normal(size=(2000, 4)))
    mass[::2, 3] = 0.0
    mass /= mass.sum(axis=1, keepdims=True)
    goal = mass.mean(axis=0) * np.array([1.1, 0.9, 1.05, 0.8])
    goal /= goal.sum()
    raked = _raked(mass, goal, None)
    assert raked.mean(axis=0) == pytest.approx(goal, abs=0.003)
    assert np.abs(mass.mean(axis=0) - goal).max() > 0.01
    assert (raked[::2, 3] == 0).all()
    assert raked.sum(axis=1) == pytest.approx(np.ones(2000))
    # Rows that are drawn for nobody do not count, and those of a patient of many count for a few.
    worth = np.zeros(2000, np.int64)
    worth[:1000], worth[0] = 1, 5000
    raked = _raked(mass, goal, worth)
    assert raked[1:1000].mean(axis=0) == pytest.approx(goal, abs=0.02)


def test_a_few_rows_are_not_forced_to_a_margin() -> None:
    mass = np.array([[0.9, 0.09, 0.01]])
    assert _raked(mass, np.array([0.1, 0.2, 0.7]), None) == pytest.approx(mass, abs=0.04)


def test_places_are_uniform_and_spread_over_a_tokens_rows() -> None:
    tokens = np.random.default_rng(0).choice(4, 500, p=[0.6, 0.3, 0.098, 0.002])
    drawn = []
    for seed in range(300):
        places = places_within(tokens, block_generator(seed, 0), spread=True)
        for token in range(4):
            own = np.sort(places[tokens == token])
            assert (np.floor(own * len(own)) == np.arange(len(own))).all()
        drawn.append(places[:40])
    every = np.array(drawn)
    assert every.min() >= 0
    assert every.max() < 1
    # Each row's own place is uniform, and rows go their own ways.
    assert every.mean(axis=0) == pytest.approx(0.5, abs=5 * np.sqrt(1 / 12 / 300))
    assert every.std(axis=0) == pytest.approx(np.sqrt(1 / 12), abs=0.06)
    assert np.abs(np.corrcoef(every.T) - np.eye(40)).max() < 0.32
    free = places_within(tokens, block_generator(0, 0), spread=False)
    assert (np.floor(np.sort(free) * 500) != np.arange(500)).any()
