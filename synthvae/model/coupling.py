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

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from synthvae._types import Floats
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model.layout import Layout
from synthvae.model.records import draw_patients
from synthvae.model.sampling import ROUGH_STEPS, Draft, Sampler, block_generator

COUPLING_SEED = 20_240_301
POPULATION = 8192
FEWEST_RECORDS = 2048  # of the population, where the moments' noise drowns what more would show
NARROW = 40  # columns up to which the population is whole, since time does not matter there
ITERATIONS = 60
SMALLEST_RIDGE, LARGEST_RIDGE = 1e-4, 1e9
LARGEST_PRIOR = 1.0  # whitened features cannot have larger moments: under heavy noise it matters
MARGIN_RIDGE = 1e-4
# What a rule determines, a coupling cannot move: without a ridge it would grow at the moments' noise.
RULED_RIDGE = 0.01
BOUND_BLOCKS = 4  # of patients that show what bounding takes
BOUND_ROUNDS = 3  # a model has what bounding took from its moments only as far as it has them
SMALLEST_VARIANCE = 1e-8


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


def untrained(layout: Layout) -> dict[str, Floats]:
    """Return weights of a model whose columns are independent: its marginals."""
    size, settings = layout.features, layout.settings
    weights = {
        "decoder.weight": np.zeros((settings.hidden, settings.latent)),
        "decoder.bias": np.zeros(settings.hidden),
        "loadings.weight": np.zeros((size, settings.hidden)),
        "earlier.weight": np.zeros((size, size)),
        "earlier.bias": np.zeros(size),
    }
    if settings.mixture:
        weights["mixture_in.weight"] = np.zeros((settings.mixture, size))
        weights["mixture_out.weight"] = np.zeros((size, settings.mixture))
    return weights


def population(layout: Layout, moments: PairMoments) -> int:
    """Return how many records of the model's own a fit looks at.

    The error that they leave in a moment is at most a quarter of the moments' noise, or that of the
    largest population.
    """
    if layout.columns <= NARROW:
        return POPULATION
    apart = layout.owner[:, None] != layout.owner[None, :]
    noise = max(float(np.median(moments.noise[apart])), 1e-6)
    return int(np.clip((4 / noise) ** 2, min(FEWEST_RECORDS, POPULATION), POPULATION))


def couple(
    layout: Layout,
    moments: PairMoments,
    ridge: Floats,
    weights: Mapping[str, Floats],
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, Floats]:
    """Return the weights with couplings under which the model has the measured moments.

    Its latent and its masked network stay as they are; the fit begins at the given couplings.
    """
    fitted = dict(weights)
    fitted["earlier.weight"] = weights["earlier.weight"].copy()
    fitted["earlier.bias"] = weights["earlier.bias"].copy()
    generator = block_generator(COUPLING_SEED, 0)
    rows = population(layout, moments)
    draft = Draft(layout, fitted, rows, generator, None, ROUGH_STEPS)
    for j in range(layout.columns):
        own, before = layout.span(j), int(layout.ends[j])
        spread, log_mass = layout.classes[j]
        least = 0.0 if layout.masks is None or j not in layout.masks.ruled else RULED_RIDGE
        nonlinear = draft.nonlinear(j)
        base = nonlinear @ spread.T + log_mass
        shares = draft.shares(j, layout.masks)
        if shares is not None:  # what a rule forbids is known, and not for couplings to learn
            base += layout.class_log_shares(j, shares)
        couplings = fit_column(
            spread,
            base,
            draft.features[:, :before],
            moments.values[own, :before],
            np.maximum(ridge[own, :before], least),
            np.column_stack((fitted["earlier.weight"][own, :before], fitted["earlier.bias"][own])),
            max(MARGIN_RIDGE, least),
        )
        fitted["earlier.weight"][own, :before] = couplings[:, :-1]
        fitted["earlier.bias"][own] = couplings[:, -1]
        c = nonlinear + draft.features[:, :before] @ couplings[:, :-1].T + couplings[:, -1]
        logits = c @ layout.bases[j].T + np.log(layout.marginals[j].mass)
        logits = logits if shares is None else shares.balanced(logits)
        draft.draw(j, draft.masses(logits, shares)[0], shares=shares)
        progress((j + 1) / layout.columns)
    return fitted


@dataclass(frozen=True)
class Bounding:
    """The bound on patients' moments and the shape of patients, from public numbers and releases."""

    query: PairQuery
    row_shares: Floats | None = None  # of patients with 1, 2, ...; None where a row is a patient
    shared: int = 0  # first columns that are the same in all rows of a patient


def couple_untrained(
    layout: Layout,
    measured: PairMoments,
    bounding: Bounding | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[dict[str, Floats], PairMoments, Floats]:
    """Return a model without latent that has the measured moments, those moments, and their ridges.

    With a `bounding`, the model's *bounded* moments are the measured ones. Each round fits a model,
    sees what the bound takes from its moments, and adds that much to the measured ones for the next;
    what is returned includes what the last round added.
    """
    weights, moments, ridge = untrained(layout), measured, estimate_ridge(layout, measured)
    rounds = 1 if bounding is None else BOUND_ROUNDS
    for number in range(rounds):

        def show(done: float, number: int = number) -> None:
            progress((number + done) / rounds)

        weights = couple(layout, moments, ridge, weights, show)
        if bounding is not None:
            moments = undo_bound(layout, bounding, measured, weights)
            ridge = estimate_ridge(layout, moments)
    return weights, moments, ridge


def undo_bound(
    layout: Layout, bounding: Bounding, measured: PairMoments, weights: Mapping[str, Floats]
) -> PairMoments:
    """Return the measured moments with what bounding takes from those of a model added.

    Patients drawn from the model show it; it looks at the model alone. What their number leaves
    uncertain counts as noise.
    """
    sampler = Sampler(layout, weights, [np.zeros(marginal.tokens) for marginal in layout.marginals])
    blocks = range(1, BOUND_BLOCKS + 1)
    records = population(layout, measured)
    taken = np.stack([_taken(layout, sampler, bounding, block, records) for block in blocks])
    error = taken.std(axis=0, ddof=1) / BOUND_BLOCKS**0.5
    return PairMoments(measured.values + taken.mean(axis=0), np.hypot(measured.noise, error))


def _taken(
    layout: Layout, sampler: Sampler, bounding: Bounding, block: int, records: int
) -> Floats:
    """Return what bounding takes from the moments of one block of the model's patients."""
    generator = block_generator(COUPLING_SEED, block)
    shares = bounding.row_shares
    whose = draw_patients(shares, records if shares is None else 2 * records, generator)
    firsts, places = np.searchsorted(whose, whose), np.arange(len(whose))
    patients = (firsts, bounding.shared)
    tokens = sampler.draw(len(whose), generator, None, patients, ROUGH_STEPS).tokens
    rows = np.full((int(whose[-1]) + 1, 1 if shares is None else len(shares)), -1)
    rows[whose, places - firsts] = places
    return bounding.query.taken_by_bound(layout.record_features(tokens), rows)


def fit_column(
    spread: Floats,
    base: Floats,
    features: Floats,
    moments: Floats,
    ridge: Floats,
    start: Floats,
    margin_ridge: float = MARGIN_RIDGE,
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
    """
    rows, functions = len(features), spread.shape[1]
    used = np.flatnonzero(np.isfinite(ridge).any(axis=0))
    given = np.vstack((features[:, used].T, np.ones(rows)))  # records last: see LogNormaliser
    goal = np.column_stack((moments[:, used], np.zeros(functions)))
    weight = np.column_stack((ridge[:, used], np.full(functions, margin_ridge)))
    columns = np.append(used, features.shape[1])
    start_logits = np.ascontiguousarray(base.T)

    def objective(flat: Floats) -> tuple[float, Floats]:
        couplings = flat.reshape(functions, -1)
        logits = spread @ (couplings @ given)
        logits += start_logits
        top = logits.max(axis=0)
        logits -= top
        mass = np.exp(logits, out=logits)
        norm = mass.sum(axis=0)
        slope = (spread.T @ (mass / norm)) @ given.T / rows - goal
        penalty = weight * couplings
        value = (np.log(norm) + top).mean() - (goal * couplings).sum()
        return value + 0.5 * (penalty * couplings).sum(), (slope + penalty).ravel()

    first = start[:, columns].ravel()
    options = {"maxiter": ITERATIONS}
    result = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
    couplings = np.zeros((functions, features.shape[1] + 1))
    couplings[:, columns] = result.x.reshape(functions, -1)
    return couplings
