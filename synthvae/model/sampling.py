"""Balanced sampling: draw each column so that its table with every earlier column comes out as the
model has it, with less noise than independent draws leave.

Rows are drawn a few at a time. What the rows so far have too few of, in each cell of a table of two
columns, tilts the next draws towards it: a self-balancing walk in the spirit of Alweiss, Liu and
Sawhney (2021, "Discrepancy Minimization via a Self-Balancing Walk"). Each record still comes from
the model's own conditional probabilities, slightly tilted; it is the counts over a whole table that
vary less. It looks at the model alone and costs no privacy.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri

from synthvae._types import Floats, Ints
from synthvae.model.layout import Layout

SMALLEST_STEP = 16  # rows drawn at a time, at least
ROUGH_STEPS = 100  # for populations that only serve a fit
GAIN = 3.2  # tilt a missing row brings, times the rows that a step is worth
MOST_WORTH = 2.0  # rows that a patient counts for at most, relative to the mean
LARGEST_TILT = 3.0
MOST_SEEN = 30  # earlier columns, the latest, that a column is balanced against
SMALLEST_SHARE = 1e-12  # of a stratum's place, so that its normal quantile is finite
RAKING_ROUNDS = 2
RAKING_ROWS = 8  # that keep a few rows, or a rare token, from being forced to a margin
MOST_RAKED = 2.0


def bounded_worth(followers: Ints) -> Floats:
    """Return how many rows each first row of a patient counts for, and 0 for the others.

    Nobody's rows are worth so many that all the others make up for them.
    """
    worth: Floats = np.minimum(followers, MOST_WORTH * followers[followers > 0].mean())
    return worth


class Balance:
    """Draws the columns of one block of rows, in order.

    Parameters
    ----------
    rows
        Number of rows.
    steps
        In about how many steps a column is drawn: more balance better and take longer.
    """

    def __init__(self, rows: int, steps: int) -> None:
        self._rows, self._steps = rows, steps
        self._tokens: list[Ints] = [np.zeros(rows, np.int64)]
        self._sizes = [1]

    def add(self, tokens: Ints, size: int) -> None:
        """Take in the tokens of a finished column, of `size` different ones."""
        self._tokens.append(tokens)
        self._sizes.append(size)

    def draw(self, mass: Floats, uniforms: Floats, followers: Ints | None = None) -> Ints:
        """Return a token for each row.

        Parameters
        ----------
        mass
            Probability of each token, shape (rows, tokens), each row summing to 1.
        uniforms
            One draw from [0, 1) a row.
        followers
            How many rows get a row's token, shape (rows,): where a column is the same in all rows of a
            patient, all of them for the first and 0 for the others, for which nothing is drawn.
        """
        if followers is None:
            return self._walk(mass, uniforms, np.arange(self._rows), None)
        tokens = np.zeros(self._rows, np.int64)
        first = np.flatnonzero(followers)
        worth = bounded_worth(followers)[first]
        tokens[first] = self._walk(mass[first], uniforms[first], first, worth)
        return tokens

    def _walk(self, mass: Floats, uniforms: Floats, drawn: Ints, worth: Floats | None) -> Ints:
        """Draw a token for some of the rows, each counting for as many rows as it is worth, or one."""
        columns = [0, *range(max(1, len(self._tokens) - MOST_SEEN), len(self._tokens))]
        ends = np.cumsum([0, *(self._sizes[i] for i in columns)])
        cells = np.stack([self._tokens[i][drawn] for i in columns], axis=1) + ends[:-1]
        missing = np.zeros((ends[-1], mass.shape[1]))
        step = max(SMALLEST_STEP, len(drawn) // self._steps)
        gain = GAIN / step / len(columns) ** 0.5 / (1.0 if worth is None else worth.mean())
        counted = np.arange(step)
        # Which cells a row of the step is in, as a 0/1 matrix that is filled and cleared in place.
        place = cells + (np.arange(len(drawn)) % step)[:, None] * ends[-1]
        member = np.zeros((step, ends[-1]))
        flat = member.reshape(-1)
        chosen = np.empty(len(drawn), np.int64)
        for first in range(0, len(drawn), step):
            part = slice(first, first + step)
            now, filled = mass[part], place[part]
            flat[filled] = 1.0
            rows = member[: len(now)]
            tilt = np.minimum(np.maximum(gain * (rows @ missing), -LARGEST_TILT), LARGEST_TILT)
            ladder = np.cumsum(now * np.exp(tilt), axis=1)
            below = ladder <= (uniforms[part] * ladder[:, -1])[:, None]
            picked = np.minimum(below.sum(axis=1), mass.shape[1] - 1)
            chosen[part] = picked
            rest = now.copy()
            rest[counted[: len(now)], picked] -= 1.0
            missing += rows.T @ (rest if worth is None else rest * worth[part, None])
            flat[filled] = 0.0
        return chosen


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
