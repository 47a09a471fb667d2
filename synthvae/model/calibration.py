"""Bring the model's margins back to its anchors: free, since it looks at the model alone.

Training noise and clipping bias move the margins. Here the model is sampled with common random
numbers, and each column's logits are raked towards its anchor (Deming and Stephan 1940).
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from synthvae.model.balance import ROUGH_STEPS
from synthvae.model.layout import Layout
from synthvae.model.sampling import Sampler, block_generator

Floats = NDArray[np.float64]
CALIBRATION_SEED = 20_240_229
POPULATION = 16_384
LARGEST = 4.0


def calibrate_margins(
    layout: Layout,
    weights: Mapping[str, Floats],
    progress: Callable[[float], None] | None = None,
) -> list[Floats]:
    """Return, for each column, what to add to its tokens' logits so that margins meet the anchors."""
    offsets = [np.zeros(anchor.tokens) for anchor in layout.anchors]
    rounds = layout.settings.calibration_rounds
    for done in range(rounds):
        sampler = Sampler(layout, weights, offsets)
        tokens, _ = sampler.draw(
            POPULATION, block_generator(CALIBRATION_SEED, 0), steps=ROUGH_STEPS
        )
        for j, anchor in enumerate(layout.anchors):
            seen = np.bincount(tokens[:, j], minlength=anchor.tokens) / len(tokens)
            # Half a row of mass on either side keeps an empty token from running away.
            half = 0.5 / len(tokens)
            step = np.log((anchor.mass + half) / (seen + half))
            offsets[j] = np.clip(offsets[j] + step, -LARGEST, LARGEST)
        if progress is not None:
            progress((done + 1) / rounds)
    return offsets
