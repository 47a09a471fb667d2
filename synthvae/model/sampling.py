"""Tokens drawn from the decoder, column by column, in numpy: post-processing, which costs no privacy.

`Sampler` draws a block of rows as a `Draft`; without conditions a `Balance` picks the tokens, so that a
column's table with every earlier column comes out as the model has it, with less noise than
independent draws leave.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import logsumexp, ndtri

from synthvae._types import Bools, Floats, Ints
from synthvae.model.balance import BALANCED_COLUMNS, Balance, bounded_weights, inverse_cdf
from synthvae.model.layout import Layout
from synthvae.model.masks import RuleMasks, TokenShares

ROUGH_STEPS, FINE_STEPS = 100, 800  # for populations that only serve a fit; of few columns
ROUGH_PAIRS = 1200  # of columns that are balanced in populations for a fit, about
FEWEST_BALANCED = 4
BALANCED_IN_PAIRS = 6  # columns up to which triples are balanced, too
SMALLEST_SHARE = 1e-12  # of a stratum's place, so that its normal quantile is finite
RAKING_ROUNDS = 2
RAKING_ROWS = 8  # that keep a few rows, or a rare token, from being forced to a margin
LARGEST_RAKE = 2.0
LARGEST_PLACE = 1 - 1e-12
TRIES = 100  # at a value that comes once within a patient, the latter half at any that may come


def rough_steps(layout: Layout) -> int:
    """Return the steps in which populations that only serve a fit are drawn."""
    return FINE_STEPS if layout.columns <= BALANCED_IN_PAIRS else ROUGH_STEPS


@dataclass(frozen=True)
class Drawn:
    """One block of records.

    Attributes
    ----------
    tokens
        Shape (rows, columns).
    codes
        Of the columns that rules name, shape (rows, columns).
    log_weights
        The log-likelihood of conditions for each record: zero without any, minus infinity where it
        cannot meet them, shape (rows,).
    stuck
        Where the columns drawn first left nothing that the rules allow, shape (rows,).
    """

    tokens: Ints
    codes: Ints
    log_weights: Floats
    stuck: Bools


class Sampler:
    """Draws tokens from the decoder, with what calibration adds to each column's logits (`offsets`)."""

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
        products = weights["products.weight"]
        self.multiplied = [
            np.flatnonzero(products[layout.span(j)].any(axis=0)) for j in range(layout.columns)
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
        conditions: RuleMasks | None = None,
    ) -> Drawn:
        """Draw one block of records.

        Parameters
        ----------
        allowed
            For conditioned columns that no rule names, the share of each token that may be drawn, shape
            (tokens,). Rows are then drawn independently; without conditions they are balanced.
        patients
            The first row of each row's patient, shape (rows,), and the number of first columns that
            are the same in all rows of a patient. These rows share their latent, so that each row
            alone is distributed as without patients.
        steps
            In place of the settings' `balance_steps`.
        to_margins
            Whether balanced rows are raked to the marginals, so that the latents and earlier columns of
            these very rows move no margin. For a model whose own margins are the marginals'.
        conditions
            The masks of the rules together with conditions on columns that rules name.
        """
        steps = self.layout.settings.balance_steps if steps is None else steps
        firsts, shared = (None, 0) if patients is None else patients
        steps = 0 if allowed or conditions else steps
        draft = Draft(self.layout, self._weights, rows, generator, firsts, steps)
        log_weights = np.zeros(rows)
        for j in range(self.layout.columns):
            logits = draft.logits(j, self.coupled[j], self.multiplied[j]) + self.logits[j]
            shares = draft.shares(j, self.layout.masks)
            logits = logits if shares is None else shares.balanced(logits)
            mass, left = draft.masses(logits, shares)
            if conditions is not None:
                shares = draft.shares(j, conditions)
                mass, met = draft.masses(logits, shares)
                log_weights += log_evidence(logits, met, left)
            if allowed is not None and j in allowed:
                mass *= allowed[j]
                evidence = mass.sum(axis=1, keepdims=True)
                with np.errstate(divide="ignore"):  # a record that cannot meet the condition
                    log_weights += np.log(evidence[:, 0])
                mass /= np.maximum(evidence, 1e-300)
            goal = self.layout.marginals[j].mass if to_margins else None
            draft.draw(j, mass, shared=j < shared, goal=goal, shares=shares)
        if conditions is not None:
            log_weights[draft.stuck] = -np.inf
        return Drawn(draft.tokens, draft.codes, log_weights, draft.stuck)


def log_evidence(logits: Floats, met: Floats | None, left: Floats | None) -> Floats:
    """Return the log of the share that conditions leave of what rules leave; None: of everything."""
    if met is None:
        return np.zeros(len(logits))
    before = logsumexp(logits, axis=1) if left is None else np.where(np.isfinite(left), left, 0.0)
    return np.minimum(met - before, 0.0)


class Draft:
    """A block of rows, drawn column by column."""

    def __init__(
        self,
        layout: Layout,
        weights: Mapping[str, Floats],
        rows: int,
        generator: np.random.Generator,
        firsts: Ints | None,
        steps: int,
        latents: Floats | None = None,
    ) -> None:
        self._layout, self._weights, self._firsts = layout, weights, firsts
        self._generator, self._masks = generator, layout.masks
        z = latents
        if z is None:
            z = draw_latents(rows, layout.settings.latent, generator, firsts, stratified=steps > 0)
        self.hidden = np.tanh(z @ weights["decoder.weight"].T + weights["decoder.bias"])
        self._start = self.hidden @ weights["loadings.weight"].T
        self._uniforms = generator.random((layout.columns, rows))
        self._mixture = _Mixture(layout, weights, rows) if layout.settings.mixture else None
        # Balancing is most of the time of a fit of a wide table, and there reaches few pairs anyway.
        few = max(FEWEST_BALANCED, ROUGH_PAIRS // layout.columns)
        columns = min(BALANCED_COLUMNS, few) if steps <= ROUGH_STEPS else BALANCED_COLUMNS
        few = layout.columns <= BALANCED_IN_PAIRS
        self._balance = Balance(rows, steps, columns, in_pairs=few) if steps else None
        self.features = np.zeros((rows, layout.features))  # zero in columns not drawn yet
        self.tokens = np.empty((rows, layout.columns), np.int64)
        self.codes = np.zeros_like(self.tokens)  # of the columns that rules name
        self.stuck = np.zeros(rows, bool)

    @property
    def couplings(self) -> Floats:
        """The weights of earlier columns' features, shape (features, features)."""
        return self._weights["earlier.weight"]

    def shares(self, j: int, masks: RuleMasks | None) -> TokenShares | None:
        """Return what rules leave of a column's tokens, given the columns before."""
        return None if masks is None else masks.shares(j, self.codes)

    def masses(self, logits: Floats, shares: TokenShares | None) -> tuple[Floats, Floats | None]:
        """Return the masses of tokens, and under rules the log of their sum before (`TokenShares`)."""
        if shares is None:
            return to_mass(logits), None
        mass, left = shares.masses(logits)
        self.stuck |= np.isneginf(left)
        return mass, left

    def nonlinear(self, j: int) -> Floats:
        """Return what the latent and the masked network add to a column's coefficients."""
        added: Floats = self._start[:, self._layout.span(j)]
        return added if self._mixture is None else added + self._mixture.add(j, self.features)

    def logits(self, j: int, coupled: Ints, multiplied: Ints) -> Floats:
        """Return a column's logits relative to its marginal, shape (rows, tokens).

        `coupled` and `multiplied` are the features and the products that it follows.
        """
        own = self._layout.span(j)
        c = self.nonlinear(j) + self._weights["earlier.bias"][own]
        if len(coupled):
            couplings = self._weights["earlier.weight"][np.ix_(own, coupled)]
            c = c + self.features[:, coupled] @ couplings.T
        if len(multiplied):
            couplings = self._weights["products.weight"][np.ix_(own, multiplied)]
            c = c + self._layout.record_products(self.features, multiplied) @ couplings.T
        logits: Floats = c @ self._layout.bases[j].T
        return logits

    def fill(self, j: int, tokens: Ints, codes: Ints) -> None:
        """Take in a column that is known already."""
        if self._balance is not None:
            self._balance.add(tokens, self._layout.marginals[j].tokens)
        self.tokens[:, j], self.codes[:, j] = tokens, codes
        self.features[:, self._layout.span(j)] = self._layout.bases[j][tokens]

    def draw(
        self,
        j: int,
        mass: Floats,
        *,
        shared: bool = False,
        goal: Floats | None = None,
        shares: TokenShares | None = None,
    ) -> None:
        """Draw a column from each row's probabilities, shape (rows, tokens).

        With a `goal`, shape (tokens,), balanced rows are raked to it. `shares` are what rules leave of
        the tokens, where they name the column.
        """
        firsts = self._firsts if shared else None
        if self._balance is None:
            tokens = inverse_cdf(mass, self._uniforms[j])
        else:
            followers = None if firsts is None else np.bincount(firsts, minlength=len(mass))
            if goal is not None:
                mass = _raked(mass, goal, followers)
            tokens = self._balance.draw(mass, self._uniforms[j], followers)
        if firsts is not None:
            tokens = tokens[firsts]
        if self._masks is not None and (shares is not None or j in self._masks.ruled):
            tokens = self._settle(j, mass, tokens, shares, firsts)
        if self._balance is not None:
            self._balance.add(tokens, mass.shape[1])
        self.tokens[:, j] = tokens
        self.features[:, self._layout.span(j)] = self._layout.bases[j][tokens]

    def _settle(
        self,
        j: int,
        mass: Floats,
        tokens: Ints,
        shares: TokenShares | None,
        firsts: Ints | None,
    ) -> Ints:
        """Draw a point of each token, and return the tokens, some drawn again to be unique."""
        places = places_within(tokens, self._generator, spread=self._balance is not None)
        codes = self._points(j, tokens, places, shares)
        self.codes[:, j] = codes if firsts is None else codes[firsts]
        masks = self._masks
        assert masks is not None
        if self._firsts is None:
            return tokens
        for columns in masks.unique:
            if j != max(columns):
                continue
            for attempt in range(TRIES):
                again = self._repeated(columns)
                if not again.any():
                    break
                weight = mass[again] if attempt < TRIES // 2 else (mass[again] > 0).astype(float)
                uniforms = self._generator.random((2, int(again.sum())))
                tokens[again] = inverse_cdf(weight, uniforms[0])
                part = None if shares is None else shares.take(again)
                self.codes[again, j] = self._points(j, tokens[again], uniforms[1], part)
            self.stuck |= self._repeated(columns)
        return tokens

    def _points(self, j: int, tokens: Ints, places: Floats, shares: TokenShares | None) -> Ints:
        marginal = self._layout.marginals[j]
        if shares is None:
            return marginal.decode(tokens, places)
        return shares.points(marginal, tokens, places)

    def _repeated(self, columns: tuple[int, ...]) -> Bools:
        """Return the rows whose values in some columns an earlier row of the patient has."""
        assert self._firsts is not None
        return repeated_rows(self._firsts, self.codes[:, list(columns)])


def repeated_rows(owners: Ints, codes: Ints) -> Bools:
    """Return the rows whose values, shape (rows, columns), an earlier row of the same owner has."""
    return pd.DataFrame(np.column_stack((owners, codes))).duplicated().to_numpy()


def places_within(tokens: Ints, generator: np.random.Generator, *, spread: bool) -> Floats:
    """Return the place of each row in its token, uniform on [0, 1), shape (rows,).

    Spread, the rows of one token have as many strata, and one place in each: the values inside a bin
    come out as its cells have them.
    """
    places = generator.random(len(tokens))
    if not spread:
        return places
    order = generator.permutation(len(tokens))
    order = order[np.argsort(tokens[order], kind="stable")]
    counts = np.bincount(tokens)
    rank = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    places[order] = (rank + places[order]) / np.repeat(counts, counts)
    return np.minimum(places, LARGEST_PLACE)


def draw_latents(
    rows: int, size: int, generator: np.random.Generator, firsts: Ints | None, *, stratified: bool
) -> Floats:
    """Return a latent for each row, the same for all rows of a patient, shape (rows, size).

    Stratified, each dimension has as many strata of equal mass as there are patients, and one patient
    in each (a Latin hypercube; McKay, Beckman and Conover 1979, "A Comparison of Three Methods for
    Selecting Values of Input Variables in the Analysis of Output from a Computer Code"): each latent
    is still normal, and tables vary less than with independent ones.
    """
    own = np.arange(rows) if firsts is None else np.flatnonzero(firsts == np.arange(rows))
    if stratified:
        strata = np.stack([generator.permutation(len(own)) for _ in range(size)], axis=1)
        shares = (strata + generator.random(strata.shape)) / len(own)
        drawn = ndtri(np.clip(shares, SMALLEST_SHARE, 1 - SMALLEST_SHARE))
    else:
        drawn = generator.standard_normal((len(own), size))
    latents = np.zeros((rows, size))
    latents[own] = drawn
    return latents if firsts is None else np.asarray(latents[firsts])


class _Mixture:
    """The masked network over earlier columns, its hidden units computed as columns are drawn."""

    def __init__(self, layout: Layout, weights: Mapping[str, Floats], rows: int) -> None:
        self._layout = layout
        self._in, self._out = weights["mixture_in.weight"], weights["mixture_out.weight"]
        # A unit is ready for column j once every column that it sees has been drawn.
        self._ready = (layout.mixture_masks[0] * (layout.owner + 1)).max(axis=1).astype(int)
        self._hidden = np.zeros((rows, layout.settings.mixture))

    def add(self, j: int, features: Floats) -> Floats:
        """Return what the network adds to a column's coefficients, shape (rows, functions)."""
        units, seen = np.flatnonzero(self._ready == j), int(self._layout.ends[j])
        if len(units):
            self._hidden[:, units] = np.tanh(features[:, :seen] @ self._in[units, :seen].T)
        total: Floats = self._hidden @ self._out[self._layout.span(j)].T
        return total


def to_mass(logits: Floats) -> Floats:
    """Return the softmax of logits of shape (rows, tokens)."""
    mass: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    mass /= mass.sum(axis=1, keepdims=True)
    return mass


def _raked(mass: Floats, goal: Floats, followers: Ints | None) -> Floats:
    """Return rows' probabilities, shape (rows, tokens), with the mean that a margin has.

    `followers` are the rows that get a row's token; None for one each.
    """
    shares = np.ones(len(mass)) if followers is None else bounded_weights(followers)
    shares /= shares.sum()
    few = RAKING_ROWS / np.count_nonzero(shares)
    for _ in range(RAKING_ROUNDS):
        factor = (goal + few) / (shares @ mass + few)
        mass = mass * np.clip(factor, 1 / LARGEST_RAKE, LARGEST_RAKE)
        mass /= mass.sum(axis=1, keepdims=True)
    return mass


def block_generator(seed: int, block: int) -> np.random.Generator:
    """Return the generator of one block of rows, independent of other blocks.

    It is counter-based (Philox; Salmon et al. 2011), so that the same seed and number of rows give the
    same records on every machine.
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(block,))
    return np.random.Generator(np.random.Philox(sequence))
