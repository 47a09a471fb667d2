"""Tiny models of a few categorical columns whose every probability can be listed."""

from itertools import product

import numpy as np

from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.marginals.moments import PairMoments
from synthvae.model.coupling import untrained
from synthvae.model.layout import Layout
from tests.model.random_models import earlier_only
from tests.simulated import CLINIC, quick


def marginal_of(mass: list[float] | np.ndarray) -> ColumnMarginal:
    shares = np.asarray(mass, float) / np.sum(mass)
    places = np.arange(len(shares))
    return ColumnMarginal(places, shares, places, shares, len(shares), 0, False)


def tiny_layout(masses: list[list[float]], rank: int = 8, **settings: float) -> Layout:
    """Return the layout of columns with these shares of categories."""
    marginals = tuple(marginal_of(mass) for mass in masses)
    bases = tuple(basis(marginal, False, rank) for marginal in marginals)
    return Layout(marginals, bases, quick(CLINIC, 1.0, **({"parents": len(masses)} | settings)))


def tiny_weights(layout: Layout, size: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Return weights with random couplings and nothing of the latent."""
    generator = np.random.default_rng(seed)
    weights = untrained(layout)
    shape = weights["earlier.weight"].shape
    weights["earlier.weight"] = size * generator.normal(size=shape) * earlier_only(layout)
    return weights


def joint_of(layout: Layout, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return the probability of every record, by the definition, shape (tokens of each column)."""
    sizes = [marginal.tokens for marginal in layout.marginals]
    joint = np.ones(sizes)
    for record in product(*(range(size) for size in sizes)):
        features = layout.record_features(np.array([record]))[0]
        for j, (marginal, phi) in enumerate(zip(layout.marginals, layout.bases, strict=True)):
            own = layout.span(j)
            before = np.where(layout.owner < j, features, 0.0)
            c = weights["earlier.weight"][own] @ before + weights["earlier.bias"][own]
            mass = marginal.mass * np.exp(phi @ c)
            joint[record] *= (mass / mass.sum())[record[j]]
    return joint


def margins_of(joint: np.ndarray) -> list[list[float]]:
    axes = range(joint.ndim)
    return [list(joint.sum(tuple(k for k in axes if k != j))) for j in axes]


def moments_of(layout: Layout, joint: np.ndarray) -> PairMoments:
    """Return the exact moments of listed probabilities."""
    tokens = np.array(list(np.ndindex(*joint.shape)))
    features = layout.record_features(tokens)
    values = features.T @ (joint.reshape(-1, 1) * features)
    values[layout.owner[:, None] == layout.owner[None, :]] = 0.0
    return PairMoments(values, np.zeros_like(values))


def pair_tables(joint: np.ndarray) -> list[np.ndarray]:
    axes = range(joint.ndim)
    return [joint.sum(tuple(k for k in axes if k not in (i, j))) for j in axes for i in range(j)]


def pair_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean total variation between two joints' tables of two columns."""
    both = zip(pair_tables(first), pair_tables(second), strict=True)
    return float(np.mean([0.5 * np.abs(a - b).sum() for a, b in both]))


def shares_of(tokens: np.ndarray, layout: Layout) -> np.ndarray:
    """Return the share of every record among tokens, shape (tokens of each column)."""
    found = np.zeros([marginal.tokens for marginal in layout.marginals])
    np.add.at(found, tuple(tokens.T), 1.0 / len(tokens))
    return found
