"""Counts with exact discrete Gaussian noise.

The sampler is OpenDP's, which draws from the discrete Gaussian without floating point (Canonne,
Kamath and Steinke 2020, "The Discrete Gaussian for Differential Privacy"), so the released counts
have no floating-point side channel (Mironov 2012).
"""

import numpy as np
from numpy.typing import NDArray

from synthvae.privacy.stream import RandomStream


def noisy_counts(
    counts: NDArray[np.int64], sigma: float, stream: RandomStream
) -> NDArray[np.int64]:
    """Return counts plus independent discrete Gaussian noise of scale `sigma`.

    Guarantee
    ---------
    For counts of L2 sensitivity Δ, Δ²/(2 σ²)-zCDP (Canonne et al. 2020, Theorem 4).

    Assumes
    -------
    The caller has bounded what one patient adds, and has accounted for this release.
    """
    if not stream.is_secure:  # a test mode: repeatable, and marked void wherever it is used
        noise = np.rint(stream.normal(counts.size) * sigma).astype(np.int64)
        return counts + noise.reshape(counts.shape)
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    mechanism = dp.m.make_gaussian(*space, scale=float(sigma))
    return np.array(mechanism(counts.ravel().tolist()), np.int64).reshape(counts.shape)
