"""Bring the model's margins back to its marginals: free, since it looks at the model alone.

Training noise and clipping bias move the margins. Here the model is sampled with common random
numbers, and each column's logits are raked towards its marginal (Deming and Stephan 1940).
"""

from collections.abc import Callable, Mapping

import numpy as np

from synthvae._types import Floats
from synthvae.model.balance import ROUGH_STEPS
from synthvae.model.layout import Layout
from synthvae.model.sampling import Sampler, block_generator

CALIBRATION_SEED = 20_240_229
POPULATION = 16_384
LARGEST = 4.0


def calibrate_margins(
    layout: Layout,
    weights: Mapping[str, Floats],
    progress: Callable[[float], None] | None = None,
) -> list[Floats]:
    """Return, for each column, what to add to its tokens' logits so that margins meet the marginals."""
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    rounds = layout.settings.calibration_rounds
    for done in range(rounds):
        sampler = Sampler(layout, weights, offsets)
        tokens, _ = sampler.draw(
            POPULATION, block_generator(CALIBRATION_SEED, 0), steps=ROUGH_STEPS
        )
        for j, marginal in enumerate(layout.marginals):
            seen = np.bincount(tokens[:, j], minlength=marginal.tokens) / len(tokens)
            # Half a row of mass on either side keeps an empty token from running away.
            half = 0.5 / len(tokens)
            step = np.log((marginal.mass + half) / (seen + half))
            offsets[j] = np.clip(offsets[j] + step, -LARGEST, LARGEST)
        if progress is not None:
            progress((done + 1) / rounds)
    return offsets
