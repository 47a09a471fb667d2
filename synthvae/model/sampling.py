"""Sampling in numpy: ancestral, by inverse CDF in float64, from a counter-based generator.

Rows are made in blocks of a fixed size, each from its own stream (Philox; Salmon et al. 2011), so
the same seed gives the same records on every machine, and more rows extend fewer.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthvae.model.layout import Layout

BLOCK = 4096
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Sampler:
    """Draws tokens from the decoder.

    Parameters
    ----------
    layout
        Shape and anchors of the model.
    weights
        The decoder's weights by name; the encoder's are not needed.
    offsets
        One array a column: what calibration adds to its tokens' logits.
    """

    def __init__(
        self, layout: Layout, weights: Mapping[str, Floats], offsets: list[Floats]
    ) -> None:
        self.layout = layout
        self._weights = weights
        self.logits = [
            np.log(anchor.mass) + offset
            for anchor, offset in zip(layout.anchors, offsets, strict=True)
        ]

    def draw(
        self,
        rows: int,
        generator: np.random.Generator,
        allowed: Mapping[int, Floats] | None = None,
        patients: tuple[Ints, int] | None = None,
    ) -> tuple[Ints, Floats]:
        """Draw one block of records.

        Parameters
        ----------
        rows
            How many; about `BLOCK` at a time is fastest.
        allowed
            For conditioned columns, the share of each token that may be drawn, shape (tokens,).
        patients
            The first row of each row's patient, shape (rows,), and how many of the first columns are
            the same in all rows of a patient. These rows share their latent, so that each row alone
            is distributed as without patients.

        Returns
        -------
        tokens
            Shape (rows, columns).
        log_weights
            Shape (rows,): log-likelihood of the conditions for each record (zero without any).
        """
        layout = self.layout
        # Features and coefficients are held as (features, rows): every step touches whole rows.
        z = generator.standard_normal((rows, layout.settings.latent)).T
        firsts, shared = (np.arange(rows), 0) if patients is None else patients
        z = z[:, firsts]
        hidden = np.tanh(self._weights["decoder.weight"] @ z + self._bias("decoder"))
        start = self._weights["loadings.weight"] @ hidden + self._bias("loadings")
        uniforms = generator.random((layout.columns, rows))
        features = np.zeros((layout.features, rows))
        mixture = _Mixture(layout, self._weights, rows)
        tokens = np.empty((layout.columns, rows), np.int64)
        log_weights = np.zeros(rows)
        for j in range(layout.columns):
            own = slice(layout.ends[j], layout.ends[j + 1])
            parents = layout.parents(j)
            seen = slice(layout.ends[parents.start], layout.ends[parents.stop])
            c = start[own] + self._weights["earlier.weight"][own, seen] @ features[seen]
            c += mixture.contribution(j, own, features)
            chosen, evidence = _inverse_cdf(
                layout.bases[j] @ c + self.logits[j][:, None],
                uniforms[j],
                None if allowed is None else allowed.get(j),
            )
            if j < shared:
                chosen = chosen[firsts]
            tokens[j] = chosen
            log_weights += evidence
            features[own] = layout.bases[j].T[:, chosen]
        return tokens.T, log_weights

    def _bias(self, name: str) -> Floats:
        return self._weights[f"{name}.bias"][:, None]


class _Mixture:
    """The masked network over earlier columns, its hidden units computed as columns are drawn."""

    def __init__(self, layout: Layout, weights: Mapping[str, Floats], rows: int) -> None:
        self._width = layout.settings.mixture
        if not self._width:
            return
        self._in, self._out = weights["mixture_in.weight"], weights["mixture_out.weight"]
        first, _ = layout.mixture_masks
        # A unit is ready for column j once every column that it sees has been drawn.
        last_seen = (first * (layout.owner + 1)).max(axis=1).astype(int)
        self._ready = [np.flatnonzero(last_seen == j) for j in range(layout.columns)]
        self._ends = [int(layout.ends[j]) for j in range(layout.columns)]
        self._hidden = np.zeros((self._width, rows))

    def contribution(self, j: int, own: slice, features: Floats) -> Floats | float:
        """Return what the network adds to a column's coefficients."""
        if not self._width:
            return 0.0
        units, seen = self._ready[j], self._ends[j]
        if len(units):
            self._hidden[units] = np.tanh(self._in[units, :seen] @ features[:seen])
        total: Floats = self._out[own] @ self._hidden
        return total


def _inverse_cdf(logits: Floats, uniforms: Floats, allowed: Floats | None) -> tuple[Ints, Floats]:
    """Draw a token a row from logits of shape (tokens, rows); return also log P(allowed)."""
    np.clip(logits, -600.0, 600.0, out=logits)
    mass = np.exp(logits, out=logits)
    evidence = np.zeros(len(uniforms))
    if allowed is not None:
        everything = mass.sum(axis=0)
        mass *= allowed[:, None]
        evidence = np.log(np.maximum(mass.sum(axis=0) / everything, 1e-300))
    aim = uniforms * mass.sum(axis=0)
    # One pass over whole rows a token: twice as fast as a cumulative sum down the columns.
    running, chosen = np.zeros(len(uniforms)), np.zeros(len(uniforms), np.int64)
    for token_mass in mass[:-1]:
        running += token_mass
        chosen += running <= aim
    return chosen, evidence


def block_generator(seed: int, block: int) -> np.random.Generator:
    """Return the generator of one block of rows: counter-based, independent of other blocks."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(block,))
    return np.random.Generator(np.random.Philox(sequence))
