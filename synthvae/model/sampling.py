"""Sampling in numpy: ancestral, by inverse CDF in float64, from a counter-based generator.

Rows are made in blocks, each from its own stream (Philox; Salmon et al. 2011), so the same seed and
number of rows give the same records on every machine.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from synthvae.model.balance import Balance, bounded_worth
from synthvae.model.layout import Layout

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
SMALLEST_SHARE = 1e-12  # of a stratum's place, so that its normal quantile is finite
RAKING_ROUNDS = 2
RAKING_ROWS = 8  # that keep a few rows, or a rare token, from being forced to a margin
MOST_RAKED = 2.0


class Sampler:
    """Draws tokens from the decoder.

    Parameters
    ----------
    layout
        Shape and marginals of the model.
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
            np.log(marginal.mass) + offset
            for marginal, offset in zip(layout.marginals, offsets, strict=True)
        ]
        couplings = weights["earlier.weight"]
        # Columns that are not coupled have weights of exactly zero: leave them out of the products.
        self.coupled = [
            np.flatnonzero(couplings[layout.span(j)].any(axis=0)) for j in range(layout.columns)
        ]

    def draw(
        self,
        rows: int,
        generator: np.random.Generator,
        allowed: Mapping[int, Floats] | None = None,
        patients: tuple[Ints, int] | None = None,
        steps: int | None = None,
        *,
        to_margins: bool = False,
    ) -> tuple[Ints, Floats]:
        """Draw one block of records.

        Parameters
        ----------
        rows
            How many.
        allowed
            For conditioned columns, the share of each token that may be drawn, shape (tokens,).
            Rows are then drawn independently; without conditions they are balanced.
        patients
            The first row of each row's patient, shape (rows,), and how many of the first columns are
            the same in all rows of a patient. These rows share their latent, so that each row alone
            is distributed as without patients.
        steps
            How finely the rows are balanced, in place of the settings' `balance_steps`.
        to_margins
            Whether balanced rows are raked to the marginals: the latents and earlier columns of these
            very rows then move no margin. For a model whose own margins are the marginals'.

        Returns
        -------
        tokens
            Shape (rows, columns).
        log_weights
            Shape (rows,): log-likelihood of the conditions for each record (zero without any).
        """
        steps = self.layout.settings.balance_steps if steps is None else steps
        firsts, shared = (None, 0) if patients is None else patients
        draft = Draft(self.layout, self._weights, rows, generator, firsts, 0 if allowed else steps)
        log_weights = np.zeros(rows)
        for j in range(self.layout.columns):
            mass = to_mass(draft.logits(j, self.coupled[j]) + self.logits[j])
            if allowed is not None and j in allowed:
                mass *= allowed[j]
                evidence = mass.sum(axis=1, keepdims=True)
                log_weights += np.log(np.maximum(evidence[:, 0], 1e-300))
                mass /= np.maximum(evidence, 1e-300)
            goal = self.layout.marginals[j].mass if to_margins else None
            draft.draw(j, mass, shared=j < shared, goal=goal)
        return draft.tokens, log_weights


class Draft:
    """A block of rows, drawn column by column.

    Attributes
    ----------
    tokens
        Shape (rows, columns).
    features
        Of the columns drawn so far, zero elsewhere, shape (rows, features).
    """

    def __init__(
        self,
        layout: Layout,
        weights: Mapping[str, Floats],
        rows: int,
        generator: np.random.Generator,
        firsts: Ints | None,
        steps: int,
    ) -> None:
        self._layout, self._weights, self._firsts = layout, weights, firsts
        z = _latents(rows, layout.settings.latent, generator, firsts, stratified=steps > 0)
        hidden = np.tanh(z @ weights["decoder.weight"].T + weights["decoder.bias"])
        self._start = hidden @ weights["loadings.weight"].T
        self._uniforms = generator.random((layout.columns, rows))
        self._mixture = _Mixture(layout, weights, rows)
        self._balance = Balance(rows, steps) if steps else None
        self.features = np.zeros((rows, layout.features))
        self.tokens = np.empty((rows, layout.columns), np.int64)

    def nonlinear(self, j: int) -> Floats:
        """Return what the latent and the masked network add to a column's coefficients."""
        own = self._layout.span(j)
        added: Floats = self._start[:, own] + self._mixture.contribution(j, own, self.features)
        return added

    def logits(self, j: int, coupled: Ints) -> Floats:
        """Return a column's logits relative to its marginal, shape (rows, tokens)."""
        own = self._layout.span(j)
        c = self.nonlinear(j) + self._weights["earlier.bias"][own]
        if len(coupled):
            couplings = self._weights["earlier.weight"][np.ix_(own, coupled)]
            c = c + self.features[:, coupled] @ couplings.T
        logits: Floats = c @ self._layout.bases[j].T
        return logits

    def draw(
        self, j: int, mass: Floats, *, shared: bool = False, goal: Floats | None = None
    ) -> None:
        """Draw a column from each row's probabilities, shape (rows, tokens).

        With a `goal`, shape (tokens,), balanced rows are raked to it.
        """
        if self._balance is None:
            chosen = _inverse_cdf(mass, self._uniforms[j])
        else:
            followers = None
            if shared and self._firsts is not None:
                followers = np.bincount(self._firsts, minlength=len(mass))
            if goal is not None:
                mass = _raked(mass, goal, followers)
            chosen = self._balance.draw(mass, self._uniforms[j], followers)
        if shared and self._firsts is not None:
            chosen = chosen[self._firsts]
        if self._balance is not None:
            self._balance.add(chosen, mass.shape[1])
        self.tokens[:, j] = chosen
        self.features[:, self._layout.span(j)] = self._layout.bases[j][chosen]


def _latents(
    rows: int,
    size: int,
    generator: np.random.Generator,
    firsts: Ints | None,
    *,
    stratified: bool,
) -> Floats:
    """Return a latent for each row, the same for all rows of a patient, shape (rows, size).

    Stratified, each dimension has one patient in each of as many strata of equal mass as there are
    patients (a Latin hypercube; McKay, Beckman and Conover 1979, "A Comparison of Three Methods for
    Selecting Values of Input Variables in the Analysis of Output from a Computer Code"): each latent is
    still normal, and tables vary less than with independent ones.
    """
    own = np.arange(rows) if firsts is None else np.flatnonzero(firsts == np.arange(rows))
    if stratified:
        strata = np.stack([generator.permutation(len(own)) for _ in range(size)], axis=1)
        shares = (strata + generator.random(strata.shape)) / len(own)
        drawn = ndtri(np.clip(shares, SMALLEST_SHARE, 1 - SMALLEST_SHARE))
    else:
        drawn = generator.standard_normal((len(own), size))
    if firsts is None:
        return np.asarray(drawn, np.float64)
    latents = np.zeros((rows, size))
    latents[own] = drawn
    shared: Floats = latents[firsts]
    return shared


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
        self._hidden = np.zeros((rows, self._width))

    def contribution(self, j: int, own: Ints, features: Floats) -> Floats | float:
        """Return what the network adds to a column's coefficients, shape (rows, functions)."""
        if not self._width:
            return 0.0
        units, seen = self._ready[j], self._ends[j]
        if len(units):
            self._hidden[:, units] = np.tanh(features[:, :seen] @ self._in[units, :seen].T)
        total: Floats = self._hidden @ self._out[own].T
        return total


def to_mass(logits: Floats) -> Floats:
    """Return the softmax of logits of shape (rows, tokens)."""
    mass: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    mass /= mass.sum(axis=1, keepdims=True)
    return mass


def _raked(mass: Floats, goal: Floats, worth: Ints | None) -> Floats:
    """Return rows' probabilities, shape (rows, tokens), with the mean that a margin has.

    `worth` is how many rows get a row's token; None for one each.
    """
    shares = np.ones(len(mass)) if worth is None else bounded_worth(worth)
    shares /= shares.sum()
    few = RAKING_ROWS / np.count_nonzero(shares)
    for _ in range(RAKING_ROUNDS):
        factor = (goal + few) / (shares @ mass + few)
        mass = mass * np.clip(factor, 1 / MOST_RAKED, MOST_RAKED)
        mass /= mass.sum(axis=1, keepdims=True)
    return mass


def _inverse_cdf(mass: Floats, uniforms: Floats) -> Ints:
    """Draw a token a row from probabilities of shape (rows, tokens)."""
    ladder = np.cumsum(mass, axis=1)
    below = ladder <= (uniforms * ladder[:, -1])[:, None]
    chosen: Ints = np.minimum(below.sum(axis=1), mass.shape[1] - 1)
    return chosen


def block_generator(seed: int, block: int) -> np.random.Generator:
    """Return the generator of one block of rows: counter-based, independent of other blocks."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(block,))
    return np.random.Generator(np.random.Philox(sequence))
