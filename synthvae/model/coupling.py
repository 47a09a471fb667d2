"""Fit the decoder's linear couplings to the noisy pair moments: free, since they are paid for.

Column by column, the coefficients A_j and a_j of

    p(x_j | x_<j, z) = softmax(log p_j + Phi_j (A_j f_<j + a_j + g_j(x_<j, z)))

are the ones under which a population drawn from the model itself has the measured moments: a convex
problem (maximum likelihood of an exponential family with the earlier columns' features given, whose
sufficient statistics the moments are). A ridge stands for the moments' noise: each pair of columns
has a prior variance, estimated from its noisy moments against what noise alone would give (empirical
Bayes; Efron and Morris 1973, "Stein's Estimation Rule and Its Competitors"). Where nothing but noise
is left, the pair stays uncoupled.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from synthvae._types import Floats, Ints
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model.layout import Layout
from synthvae.model.products import Aims, without_products
from synthvae.model.sampling import Draft, block_generator, rough_steps
from synthvae.model.unbounding import Cohort, Unbounded, unbounded_moments

COUPLING_SEED = 20_240_301
POPULATION, LARGE_POPULATION = 8192, 65_536
FEW_COMBINATIONS = 16_384  # of tokens of all columns, for the large one
FEWEST_RECORDS = 2048  # of the population, where the moments' noise drowns what more would show
NARROW = 40  # columns up to which the population is whole, since time does not matter there
ITERATIONS = 200
MEMORY = 40  # of the optimiser: near separation makes the likelihood flat in many directions
SMALLEST_RIDGE, LARGEST_RIDGE = 1e-4, 1e9
SAMPLING_PART = 0.5  # of the standard error of exact moments that counts as noise
LARGEST_PRIOR = 1.0  # whitened features cannot have larger moments: under heavy noise it matters
MOST_DETERMINED = 0.98
CLEARLY = 5.0  # standard errors, from which on a share shows that a column determines another
MARGIN_RIDGE = 1e-4
TOLERANCE = 0.005  # of the moments' noise, at which a fit ends
SMALLEST_TOLERANCE = 1e-6
# What a rule determines, a coupling cannot move: without a ridge it would grow at the moments' noise.
RULED_RIDGE = 0.01
BOUND_ROUNDS = 8  # at most, to find the moments before the bound
SETTLED = 1.0  # mean square of what is lacking, in units of noise, that noise explains
# What is lacking beyond that, on average over pairs, and of the worst pair with it, when a search ends.
NEARLY, NEARLY_ALL = 0.2, 3.0
SAME_GOAL = 2.5  # of a moment's noise, by which no moment before the bound then moves any more
LEAST_GAIN, PATIENCE = 0.1, 2  # of a round, and rounds without it
SMALLEST_VARIANCE = 1e-8


def with_sampling_error(moments: PairMoments, rows: int) -> PairMoments:
    """Return exact moments with what a table of so many rows leaves uncertain of them as noise.

    The product of two whitened features varies by about 1. Half of the error counts: all of it would
    leave the records further from the table than noise at a large epsilon does.
    """
    return replace(moments, noise=np.hypot(moments.noise, SAMPLING_PART / np.sqrt(rows)))


def estimate_ridge(layout: Layout, moments: PairMoments) -> Floats:
    """Return the ridge of each coupling, shape (features, features); infinite where uncoupled.

    The prior variance of a coupling is the product of a factor of its pair of columns and a
    factor of the order of its two functions: smooth dependence is common, wiggly is rare.
    """
    variance = np.maximum(moments.noise**2, SMALLEST_VARIANCE)
    excess = moments.values**2 - variance
    by_order = _by_order(layout, excess, variance)
    ridge = np.full(excess.shape, np.inf)
    for j in range(layout.columns):
        energy = np.zeros(j)
        for i in range(j):
            block = np.ix_(layout.span(j), layout.span(i))
            pair = _pair_factor(excess[block], variance[block], by_order[block])
            if pair > 0:
                prior = np.minimum(pair * by_order[block], LARGEST_PRIOR)
                prior = prior / (1 - _determined(excess[block], variance[block])) ** 2
                ridge[block] = np.clip(variance[block] / prior, SMALLEST_RIDGE, LARGEST_RIDGE)
                energy[i] = (prior / (1 + ridge[block])).sum()
        for i in np.argsort(-energy, kind="stable")[layout.settings.parents :]:
            ridge[np.ix_(layout.span(j), layout.span(i))] = np.inf
    return ridge


def _by_order(layout: Layout, excess: Floats, variance: Floats) -> Floats:
    """Return the prior variance that the order of two functions suggests, over all pairs."""
    order = layout.order
    low = np.minimum(order[:, None], order[None, :])
    high = np.maximum(order[:, None], order[None, :])
    between = layout.owner[:, None] > layout.owner[None, :]
    prior = np.zeros(excess.shape)
    for first in range(1, int(order.max()) + 1):
        for second in range(first, int(order.max()) + 1):
            group = between & (low == first) & (high == second)
            if not group.any():
                continue
            precision = 1 / variance[group] ** 2
            mean = (excess[group] * precision).sum() / precision.sum()
            error = np.sqrt(2 / precision.sum())  # of the mean, were there noise alone
            least = max(float(mean), 0.25 * float(error), 1e-7)
            prior[(low == first) & (high == second)] = min(least, LARGEST_PRIOR)
    return prior


def _pair_factor(excess: Floats, variance: Floats, by_order: Floats) -> float:
    """Return how much stronger than usual a pair of columns depends; 0 where noise explains it."""
    precision = 1 / (variance + by_order) ** 2
    factor = (excess * by_order * precision).sum() / (by_order**2 * precision).sum()
    return max(0.0, float(factor))


def _determined(excess: Floats, variance: Floats) -> float:
    """Return how far one of two columns determines a function of the other, from 0 to nearly 1.

    A coupling is the moment where dependence is weak, and grows beyond all bounds where it is whole: of
    two normal columns it is r / (1 - r^2). What noise alone may show does not count.
    """
    shown = 0.0
    for axis in (0, 1):
        error = np.sqrt(2 * np.square(variance).sum(axis=axis))  # of noise alone
        shares = np.minimum(excess.sum(axis=axis), MOST_DETERMINED)
        shown = max(shown, float(np.where(shares > CLEARLY * error, shares - error, 0.0).max()))
    return shown


def untrained(layout: Layout) -> dict[str, Floats]:
    """Return weights of a model whose columns are independent: its marginals."""
    size, settings = layout.features, layout.settings
    weights = {
        "decoder.weight": np.zeros((settings.hidden, settings.latent)),
        "decoder.bias": np.zeros(settings.hidden),
        "loadings.weight": np.zeros((size, settings.hidden)),
        "earlier.weight": np.zeros((size, size)),
        "earlier.bias": np.zeros(size),
        "products.weight": np.zeros((size, len(layout.products))),
    }
    if settings.mixture:
        weights["mixture_in.weight"] = np.zeros((settings.mixture, size))
        weights["mixture_out.weight"] = np.zeros((size, settings.mixture))
    return weights


def population(layout: Layout, moments: PairMoments) -> int:
    """Return how many records of the model's own a fit looks at.

    The error that they leave in a moment is at most a quarter of the moments' noise, or that of the
    largest population. Where columns have few combinations of tokens, many records cost little.
    """
    if layout.columns <= NARROW:
        few = math.prod(marginal.tokens for marginal in layout.marginals) <= FEW_COMBINATIONS
        least, most = POPULATION, LARGE_POPULATION if few else POPULATION
    else:
        least, most = min(FEWEST_RECORDS, POPULATION), POPULATION
    apart = layout.owner[:, None] != layout.owner[None, :]
    if not apart.any():
        return least
    noise = max(float(np.median(moments.noise[apart])), 1e-6)
    return int(np.clip((4 / noise) ** 2, least, max(least, most)))


def couple(
    layout: Layout,
    moments: PairMoments,
    ridge: Floats,
    weights: Mapping[str, Floats],
    progress: Callable[[float], None] = lambda _: None,
    aims: Aims | None = None,
) -> dict[str, Floats]:
    """Return the weights with couplings under which the model has the measured moments.

    Its latent and its masked network stay as they are; the fit begins at the given couplings. `aims`
    are moments of columns with products of earlier ones, if there are any.
    """
    fitted = dict(weights)
    for name in ("earlier.weight", "earlier.bias"):
        fitted[name] = weights[name].copy()
    aims = without_products(layout) if aims is None else aims
    multiplied = weights["products.weight"]
    fitted["products.weight"] = np.zeros(aims.values.shape)
    if multiplied.shape == aims.values.shape:
        fitted["products.weight"][:] = multiplied
    generator = block_generator(COUPLING_SEED, 0)
    rows = population(layout, moments)
    draft = Draft(layout, fitted, rows, generator, None, rough_steps(layout))
    for j in range(layout.columns):
        own, before = layout.span(j), int(layout.ends[j])
        spread, log_mass = layout.classes[j]
        least = 0.0 if layout.masks is None or j not in layout.masks.ruled else RULED_RIDGE
        nonlinear = draft.nonlinear(j)
        alike, share = _alike(draft.tokens[:, :j], layout, nonlinear)
        base = nonlinear @ spread.T + log_mass
        shares = draft.shares(j, layout.masks)
        if shares is not None:  # what a rule forbids is known, and not for couplings to learn
            base += layout.class_log_shares(j, shares)
        followed = np.flatnonzero(np.isfinite(aims.ridge[own]).any(axis=0))
        products = layout.record_products(draft.features, followed)
        given = np.column_stack((draft.features[:, :before], products))
        goal = (moments.values[own, :before], aims.values[np.ix_(own, followed)])
        strength = (ridge[own, :before], aims.ridge[np.ix_(own, followed)])
        start = [
            fitted["earlier.weight"][own, :before],
            fitted["products.weight"][own][:, followed],
        ]
        couplings = fit_column(
            spread,
            base[alike],
            given[alike],
            np.column_stack(goal),
            np.maximum(np.column_stack(strength), least),
            np.column_stack((*start, fitted["earlier.bias"][own])),
            max(MARGIN_RIDGE, least),
            share,
            TOLERANCE * float(np.min(moments.noise[own, :before], initial=1.0)),
        )
        fitted["earlier.weight"][own, :before] = couplings[:, :before]
        fitted["products.weight"][np.ix_(own, followed)] = couplings[:, before:-1]
        fitted["earlier.bias"][own] = couplings[:, -1]
        c = nonlinear + given @ couplings[:, :-1].T + couplings[:, -1]
        logits = c @ layout.bases[j].T + np.log(layout.marginals[j].mass)
        logits = logits if shares is None else shares.balanced(logits)
        draft.draw(j, draft.masses(logits, shares)[0], shares=shares)
        progress((j + 1) / layout.columns)
    return fitted


def couple_untrained(
    layout: Layout,
    measured: PairMoments,
    query: PairQuery | None = None,
    cohort: Cohort | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[dict[str, Floats], PairMoments, Floats]:
    """Return a model without latent that has the measured moments, those moments, and their ridges.

    With the `query` that bounded them, the model's *bounded* moments are the measured ones
    (`unbounding`); patients have rows as those of the `cohort`. Each round fits a model and moves the
    moments of each pair of columns on by what the model lacks. Where that made it worse, the pair goes
    back, and half as far the next time. What comes out is the best round's.
    """
    if query is None:
        ridge = estimate_ridge(layout, measured)
        return couple(layout, measured, ridge, untrained(layout), progress), measured, ridge
    weights, records = untrained(layout), population(layout, measured)
    cohort = Cohort() if cohort is None else cohort
    seen = unbounded_moments(layout, query, measured, cohort.draw(layout, weights, records))
    search = _Search.begin(layout, seen)
    best: tuple[float, dict[str, Floats], PairMoments] = (math.inf, weights, seen.moments)
    idle = 0
    for number in range(BOUND_ROUNDS):
        moments = search.next_moments()
        show = partial(_show_round, progress, number)
        weights = couple(layout, moments, estimate_ridge(layout, moments), weights, show)
        seen = unbounded_moments(layout, query, measured, cohort.draw(layout, weights, records))
        search.learn(moments, seen)
        excess = float(np.maximum(seen.misfit - SETTLED, 0.0).mean())
        idle = 0 if excess < (1 - LEAST_GAIN) * best[0] else idle + 1
        best = min(best, (excess, weights, moments), key=lambda one: one[0])
        nearly = excess < NEARLY and seen.misfit.max() < NEARLY_ALL
        nearly = nearly and seen.furthest(moments) < SAME_GOAL
        if nearly or idle == PATIENCE:
            break
    progress(1.0)
    _, weights, moments = best
    return weights, moments, estimate_ridge(layout, moments)


def _show_round(progress: Callable[[float], None], number: int, done: float) -> None:
    """Show how far a round is: they are few, and each takes half of what is left."""
    progress(1 - 0.5**number * (1 - 0.5 * done))


@dataclass
class _Search:
    """Newton's method on the moments of each pair of columns, with a step of its own."""

    layout: Layout
    base: Floats  # the moments from which the next step is taken
    goal: Floats  # where a whole step leads
    noise: Floats
    step: Floats  # shape (columns, columns), as misfit
    misfit: Floats  # at the base

    @classmethod
    def begin(cls, layout: Layout, seen: Unbounded) -> "_Search":
        """Return the search that first tries what a model of independent columns tells."""
        moments, size = seen.moments, (layout.columns, layout.columns)
        start = np.full(size, np.inf)
        return cls(layout, moments.values, moments.values, moments.noise, np.ones(size), start)

    def next_moments(self) -> PairMoments:
        """Return the moments to try next."""
        values = self.base + self._by_feature(self.step) * (self.goal - self.base)
        return PairMoments(values, self.noise)

    def learn(self, tried: PairMoments, seen: Unbounded) -> None:
        """Take in what a model fitted to some moments tells: a worse pair goes back, half as far."""
        worse = seen.misfit > np.maximum(self.misfit, SETTLED)
        stays = self._by_feature(worse)
        self.step = np.where(worse, self.step / 2, self.step)
        self.misfit = np.where(worse, self.misfit, seen.misfit)
        self.base = np.where(stays, self.base, tried.values)
        self.goal = np.where(stays, self.goal, seen.moments.values)
        self.noise = np.where(stays, self.noise, seen.moments.noise)

    def _by_feature(self, of_columns: NDArray[Any]) -> NDArray[Any]:
        owner = self.layout.owner
        return of_columns[np.ix_(owner, owner)]


def _alike(tokens: Ints, layout: Layout, nonlinear: Floats) -> tuple[Ints, Floats | None]:
    """Return records that stand for all that are alike in some first columns, and their shares."""
    sizes = [marginal.tokens for marginal in layout.marginals[: tokens.shape[1]]]
    if math.prod(sizes) > len(tokens) // 4 or np.ptp(nonlinear, axis=0).any():
        return np.arange(len(tokens)), None
    places = np.ravel_multi_index(tuple(tokens.T), tuple(sizes)) if sizes else np.zeros(len(tokens))
    _, first, counts = np.unique(places, return_index=True, return_counts=True)
    return first, counts / len(tokens)


@dataclass
class Stay:
    """How often a column keeps to the class that the visit before leads to, and its tendency to."""

    before: Ints  # the class that it leads to, -1 for none, shape (rows,)
    share: float  # of visits which have that class
    ridge: float
    tendency: float = 0.0  # what the logit of that class gains

    @property
    def on(self) -> Ints:
        """The rows that have such a class."""
        return np.flatnonzero(self.before >= 0)


def fit_column(
    spread: Floats,
    base: Floats,
    features: Floats,
    moments: Floats,
    ridge: Floats,
    start: Floats,
    margin_ridge: float = MARGIN_RIDGE,
    share: Floats | None = None,
    tolerance: float = 0.0,
    means: Floats | float = 0.0,
    stay: Stay | None = None,
) -> Floats:
    """Return the couplings of one column, shape (functions, features + 1), intercepts last.

    Parameters
    ----------
    spread
        The distinct rows of the column's basis, shape (classes, functions).
    base
        Logits before the couplings, shape (rows, classes).
    features
        Earlier columns' features in the population, shape (rows, features).
    moments, ridge
        Shape (functions, features).
    start
        First couplings, of the shape of the result.
    margin_ridge
        Of the intercepts.
    share
        Of the population that each row stands for, shape (rows,); None for all alike.
    tolerance
        How far the moments may stay from the goal, where `ridge` leaves them there.
    means
        Of the column's functions: zero where the column has its marginal.
    stay
        What is known of values that stay as they were; its tendency is fitted in place.
    """
    rows, functions = len(features), spread.shape[1]
    used = np.flatnonzero(np.isfinite(ridge).any(axis=0))
    weights = np.full(rows, 1 / rows) if share is None else share
    given = np.vstack((features[:, used].T, np.ones(rows)))  # records last: see LogNormaliser
    goal = np.column_stack((moments[:, used], np.zeros(functions) + means))
    weight = np.column_stack((ridge[:, used], np.full(functions, margin_ridge)))
    free = np.isfinite(weight)
    weight = np.where(free, weight, 0.0)
    columns = np.append(used, features.shape[1])
    # Whitened features have a curvature of about 1, and the ridge adds its own: in these units all
    # directions bend alike, and the search takes few steps.
    scale = 1 / np.sqrt(1 + weight[free])
    start_logits = np.ascontiguousarray(base.T)
    on = np.arange(0) if stay is None else stay.on
    before = on if stay is None else stay.before[on]

    def objective(flat: Floats) -> tuple[float, Floats]:
        couplings = np.zeros(weight.shape)
        couplings[free] = scale * flat[: len(scale)]
        logits = spread @ (couplings @ given)
        logits += start_logits
        if stay is not None:
            logits[before, on] += flat[-1]
        top = logits.max(axis=0)
        logits -= top
        mass = np.exp(logits, out=logits)
        norm = mass.sum(axis=0)
        slope = (spread.T @ (mass * (weights / norm))) @ given.T - goal
        penalty = weight * couplings
        value = (np.log(norm) + top) @ weights - (goal * couplings).sum()
        value += 0.5 * (penalty * couplings).sum()
        if stay is None:
            return value, scale * (slope + penalty)[free]
        stays = mass[before, on] / norm[on] @ weights[on]
        value += flat[-1] * (0.5 * stay.ridge * flat[-1] - stay.share)
        return value, np.append(
            scale * (slope + penalty)[free], stays - stay.share + stay.ridge * flat[-1]
        )

    first = start[:, columns][free] / scale
    options = {"maxiter": ITERATIONS, "maxcor": MEMORY, "gtol": max(tolerance, SMALLEST_TOLERANCE)}
    begun = first if stay is None else np.append(first, stay.tendency)
    result = minimize(objective, begun, jac=True, method="L-BFGS-B", options=options)
    if stay is not None:
        stay.tendency = float(result.x[-1])
    couplings = np.zeros((functions, features.shape[1] + 1))
    found = np.zeros(weight.shape)
    found[free] = scale * result.x[: len(first)]
    couplings[:, columns] = found
    return couplings
