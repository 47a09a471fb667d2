"""Fit a model of visits to its noisy moments: free, since they are paid for.

Three fits of the kind of `coupling`, column by column, each a convex problem: of what never changes; of
a visit given that alone; and of a visit given the one before it too, for which the second fit draws the
visit before. So no fit feeds on itself, which would explode where a column follows itself closely. What
a patient keeps for good is a latent, whose moments with a visit's columns are a factor of those of
visits further apart.

Then whole patients are drawn from the model. What the bound takes from them, and what visits far apart
lack, moves the goals of the next round; the best round's model is kept.
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.moments import PairMoments
from synthvae.marginals.visit_moments import BlockMoments, VisitQuery
from synthvae.model.coupling import (
    MARGIN_RIDGE,
    RULED_RIDGE,
    TOLERANCE,
    Stay,
    estimate_ridge,
    fit_column,
    untrained,
)
from synthvae.model.histories import (
    PARTS,
    Histories,
    HistorySampler,
    Ways,
    moved_codes,
    out_of_reach,
    way_tokens,
)
from synthvae.model.layout import PADDED, Layout
from synthvae.model.sampling import Draft, block_generator, places_within, rough_steps, to_mass
from synthvae.model.visit_goals import UNMEASURED, Goals, history_features
from synthvae.rules.values import MISSING
from synthvae.timeline import Timeline

SEED, LATENT_SEED, CALIBRATION_SEED = 20_240_304, 20_240_305, 20_240_306
ROUNDS = 3
PATIENTS, VISITS = 4096, 12_000  # of the model's own that a fit looks at, at most
FEWEST_PATIENTS = 256
# Noisy goals may be beyond what any model has: couplings that would chase them stay small.
LEAST_RIDGE = 2.0  # of a coupling, in squares of its moment's noise
STAY_RIDGE, SMALLEST_STAY_RIDGE = 4.0, 1e-4  # of a tendency to stay, and its floor
LEAST_MOVING = 0.003  # share of visits that do not keep to their way, at which a fit stops
LATENT_SCALE = 0.5  # of a latent under the hyperbolic tangent: nearly linear
LATENT_RIDGE = 0.02
MOST_LATENT = 0.85  # of a function's standard deviation that a patient's latent explains
CALIBRATION_ROUNDS, CALIBRATION_STEP, LARGEST_OFFSET = 4, 0.7, 4.0


def _unit_scale() -> float:
    """Return the standard deviation of a latent's hidden unit."""
    points, weights = np.polynomial.hermite_e.hermegauss(40)
    squares = np.tanh(LATENT_SCALE * points) ** 2
    return float((weights @ squares / weights.sum()) ** 0.5)


UNIT_SCALE = _unit_scale()


@dataclass
class VisitFit:
    """A fit of the three parts of a model of visits, round by round.

    `bounded` says whether the moments were measured under the query's bound, as private ones are.
    """

    timeline: Timeline
    layout: Layout
    query: VisitQuery
    measured: Mapping[str, BlockMoments]
    ways: Ways
    bounded: bool
    weights: dict[str, dict[str, Floats]] = field(default_factory=dict)
    offsets: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        units = np.arange(self.units)
        for part in PARTS:
            self.weights[part] = untrained(self.layout)
            self.weights[part]["decoder.weight"][units, units] = LATENT_SCALE
        self.offsets = [np.zeros(marginal.tokens) for marginal in self.layout.marginals]

    def run(self, progress: Callable[[float], None] = lambda _: None) -> HistorySampler:
        """Fit all parts, calibrate the margins, and return what draws patients."""
        layout = self.layout
        measured = goals = Goals.of(self.query, self.measured, layout.features)
        factors = np.zeros((layout.features, self.units))
        best, kept = math.inf, (self.weights, self.ways)
        for number in range(ROUNDS):
            _Round(self, goals, self._ridge(goals), factors).fit()
            histories = self._drawn(block_generator(SEED, number + 1))
            features = history_features(self.timeline, layout, histories, self.ways.moves)
            excess = self._excess(histories, features)
            if excess < best:
                best, kept = excess, copy.deepcopy((self.weights, self.ways))
            if self.bounded:
                goals = measured.before_bound(
                    self.timeline, layout, self.query, histories, features
                )
            factors = self._factors(goals, histories, features, factors)
            progress((number + 1) / (ROUNDS + 1))
        self.weights, self.ways = kept
        self._calibrate()
        progress(1.0)
        return self.sampler()

    @property
    def units(self) -> int:
        """Number of hidden units that stand for a patient's latent."""
        return min(self.layout.settings.hidden, self.layout.settings.latent)

    def sampler(self) -> HistorySampler:
        """Return what draws patients from the model as it is."""
        return HistorySampler(
            self.timeline, self.layout, self.weights, tuple(self.offsets), self.ways
        )

    @property
    def patients(self) -> int:
        """How many patients of the model's own a fit looks at."""
        visits = self.layout.marginals[self.timeline.visits]
        points = np.repeat(visits.cell_mass / visits.cell_sizes, visits.cell_sizes)
        mean = float((points / points.sum()) @ np.arange(len(points))) + self.timeline.least_visits
        return max(FEWEST_PATIENTS, min(PATIENTS, round(VISITS / max(mean, 1.0))))

    def _drawn(self, generator: np.random.Generator) -> Histories:
        return self.sampler().draw(self.patients, generator, rough_steps(self.layout))

    def _ridge(self, goals: Goals) -> Floats:
        noise = goals.moments.noise
        ridge = np.maximum(estimate_ridge(self.layout, goals.moments), LEAST_RIDGE * noise**2)
        ridge[noise >= UNMEASURED] = np.inf
        return ridge

    def _excess(self, histories: Histories, features: Floats) -> float:
        """Return the mean square of what a model's moments lack, in units of noise."""
        whole, bounded = self.query.means(features, histories.rows)
        excess = 0.0
        for name, found in self.measured.items():
            lacking = (bounded if self.bounded else whole)[name] - found.values
            excess += float(np.square(lacking / np.maximum(found.noise, 1e-9)).mean())
        return excess / len(self.measured)

    def _factors(
        self, goals: Goals, histories: Histories, features: Floats, before: Floats
    ) -> Floats:
        """Return the moments of features with the latent's units, shape (features, units).

        They are the largest factors of what the model lacks of the moments of visits far apart, those
        of noise left out (a symmetric matrix of noise has eigenvalues up to about twice the root of its
        size; Wigner 1955, "Characteristic Vectors of Bordered Matrices With Infinite Dimensions").
        """
        if "far" not in self.query.blocks:
            return before
        block = self.query.blocks["far"]
        few = np.unique(np.concatenate((block.left, block.right)))
        model = np.zeros_like(goals.far)
        model[block.left, block.right] = self.query.means(features, histories.rows)[0]["far"]
        model[block.right, block.left] = model[block.left, block.right]
        lacking = (goals.far - model)[np.ix_(few, few)] + before[few] @ before[few].T
        least = float(np.median(goals.far_noise[np.ix_(few, few)])) * math.sqrt(2 * len(few))
        sizes, vectors = np.linalg.eigh(lacking)
        largest = np.argsort(-sizes)[: self.units]
        strength = np.where(sizes[largest] > least, sizes[largest] - 0.5 * least, 0.0)
        found = np.zeros(before.shape)
        found[few[:, None], np.arange(len(largest))] = vectors[:, largest] * np.sqrt(strength)
        norms = np.sqrt((found**2).sum(axis=1, keepdims=True))
        return np.asarray(found * np.minimum(1.0, MOST_LATENT / np.maximum(norms, 1e-9)))

    def _calibrate(self) -> None:
        """Rake the margins of whole patients' visits to the marginals (`records.calibrate_margins`)."""
        for _ in range(CALIBRATION_ROUNDS):
            histories = self._drawn(block_generator(CALIBRATION_SEED, 0))
            tokens = histories.tokens[histories.codes[:, self.timeline.place] >= 0]
            half = 0.5 / max(len(tokens), 1)
            for j in self.timeline.own if len(tokens) else ():
                mass = self.layout.marginals[j].mass
                drawn = np.bincount(tokens[:, j], minlength=len(mass))
                step = np.log((mass + half) / (drawn / len(tokens) + half))
                moved = self.offsets[j] + CALIBRATION_STEP * step
                self.offsets[j] = np.clip(moved, -LARGEST_OFFSET, LARGEST_OFFSET)


@dataclass
class _Round:
    """One round of the three fits, towards some goals."""

    fit_: VisitFit
    goals: Goals
    ridge: Floats
    factors: Floats  # moments of features with the latent's units, shape (features, units)
    generator: np.random.Generator = field(default_factory=lambda: block_generator(SEED, 0))

    def fit(self) -> None:
        """Fit static columns, then a visit by itself, then one that follows another."""
        timeline, layout = self.fit_.timeline, self.fit_.layout
        patients = self.fit_.patients
        static = self._draft("static", patients, None)
        for j in range(timeline.static):
            self._column("static", static, j, np.arange(layout.ends[j]))
        counts = static.codes[:, timeline.visits] + timeline.least_visits
        whose = np.repeat(np.arange(patients), counts)
        if not len(whose):  # noise has left nobody a visit
            return
        places = np.arange(len(whose)) - np.repeat(np.cumsum(counts) - counts, counts)
        latents = block_generator(LATENT_SEED, 0).standard_normal(
            (patients, layout.settings.latent)
        )
        times = self._times(static, whose, places)
        visit = self._draft("first", len(whose), latents[whose])
        self._fill(visit, static, whose, places, times)
        hidden = (*timeline.before, timeline.time_before, timeline.gap)
        seen = np.flatnonzero(~np.isin(layout.owner, hidden))
        for j in timeline.own:
            self._column("first", visit, j, seen[seen < layout.ends[j]])
        later = np.flatnonzero(places > 0)
        if len(later):
            following = self._draft("later", len(later), latents[whose[later]])
            self._fill(following, static, whose[later], places[later], times[later])
            following.codes[:, timeline.time_before] = times[later - 1]
            for before, own in zip(timeline.before, timeline.own, strict=True):
                following.fill(before, visit.tokens[later - 1, own], visit.codes[later - 1, own])
            self._fit_later(following, visit.features[places == 0], 1 - len(later) / len(whose))

    def _fit_later(self, following: Draft, firsts: Floats, share: float) -> None:
        """Fit the visits that follow others: what first visits, a share of all, have is taken off."""
        timeline, layout, moments = self.fit_.timeline, self.fit_.layout, self.goals.moments
        own = np.flatnonzero(layout.owner >= timeline.own.start)
        known = (timeline.place, timeline.left, timeline.time)
        is_known = (layout.owner < timeline.static) | np.isin(layout.owner, known)
        beside = np.flatnonzero(is_known | (layout.owner >= timeline.own.start))
        values = moments.values.copy()
        block, turned = np.ix_(beside, own), np.ix_(own, beside)
        first = firsts[:, beside].T @ firsts[:, own] / len(firsts)
        values[block] = (moments.values[block] - share * first) / (1 - share)
        values[turned] = values[block].T
        means = -share / (1 - share) * firsts.mean(axis=0)
        goals = replace(self.goals, moments=PairMoments(values, moments.noise))
        after = replace(self, goals=goals)
        gap = timeline.gap
        after._column("later", following, gap, np.arange(layout.ends[gap]))
        for number, j in enumerate(timeline.own):
            stay = self._stay(number, following.codes[:, j - timeline.shift])
            features = np.arange(layout.ends[j])
            after._column("later", following, j, features, means[layout.span(j)], stay)

    def _draft(self, part: str, rows: int, latents: Floats | None) -> Draft:
        layout = self.fit_.layout
        steps, weights = rough_steps(layout), self.fit_.weights[part]
        return Draft(layout, weights, rows, self.generator, None, steps, latents)

    def _fill(self, draft: Draft, static: Draft, whose: Ints, places: Ints, times: Ints) -> None:
        """Take in what is known of visits before they are drawn."""
        timeline, marginals = self.fit_.timeline, self.fit_.layout.marginals
        draft.codes[:] = MISSING
        for j in range(timeline.static):
            draft.fill(j, static.tokens[whose, j], static.codes[whose, j])
        draft.fill(timeline.place, marginals[timeline.place].encode(places), places)
        left = static.codes[whose, timeline.visits] + timeline.least_visits - 1 - places
        draft.fill(timeline.left, marginals[timeline.left].encode(left), left)
        draft.fill(timeline.time, marginals[timeline.time].encode(times), times)

    def _times(self, static: Draft, whose: Ints, places: Ints) -> Ints:
        """Return times of visits, shape (visits,), whose gaps are drawn from their marginal."""
        timeline, marginals = self.fit_.timeline, self.fit_.layout.marginals
        gaps = marginals[timeline.gap]
        tokens = self.generator.choice(gaps.tokens, len(whose), p=gaps.mass)
        low, step = timeline.gap_low, timeline.gap_step
        steps = low + step * gaps.decode(tokens, self.generator.random(len(whose)))
        steps[places == 0] = static.codes[whose[places == 0], timeline.first]
        total, firsts = np.cumsum(steps), np.arange(len(whose)) - places
        times = total - total[firsts] + steps[firsts]
        return np.asarray(np.minimum(times, marginals[timeline.time].size - 1))

    def _stay(self, number: int, before: Ints) -> Stay | None:
        """Return what is known of visits in which an own column keeps to its way."""
        fit, goals = self.fit_, self.goals
        if not len(goals.stay):
            return None
        j, count = fit.timeline.own[number], len(fit.timeline.own)
        share = float(np.clip(goals.stay[number], LEAST_MOVING, 1 - LEAST_MOVING))
        fit.ways.same[j] = float(np.clip(goals.stay[count + number] / share, 0.0, 1.0))
        ridge = max(STAY_RIDGE * float(goals.stay_noise[number]) ** 2, SMALLEST_STAY_RIDGE)
        moved = moved_codes(fit.layout, j, before, int(fit.ways.moves[j]))
        return Stay(way_tokens(fit.layout, j, moved), share, ridge, float(fit.ways.tendency[j]))

    def _column(
        self,
        part: str,
        draft: Draft,
        j: int,
        features: Ints,
        means: Floats | float = 0.0,
        stay: Stay | None = None,
    ) -> None:
        """Fit a column to earlier features and to the latent, and draw it."""
        fit, layout = self.fit_, self.fit_.layout
        own, weights, moments = layout.span(j), fit.weights[part], self.goals.moments
        used = features[np.isfinite(self.ridge[np.ix_(own, features)]).any(axis=0)]
        ridge = self.ridge[np.ix_(own, used)]
        if stay is not None:
            # Where most visits keep to the way of the one before, that tells its moments.
            alike = np.isin(used, layout.span(j - fit.timeline.shift))
            ridge = np.where(alike, ridge / (1 - stay.share + LEAST_MOVING), ridge)
        units = np.arange(self.factors.shape[1] if self.factors[own].any() else 0)
        units = units if part != "static" else units[:0]
        given = np.column_stack((draft.features[:, used], draft.hidden[:, units] / UNIT_SCALE))
        goal = np.column_stack(
            (moments.values[np.ix_(own, used)], self.factors[np.ix_(own, units)])
        )
        strength = np.column_stack((ridge, np.full((len(own), len(units)), LATENT_RIDGE)))
        loadings = weights["loadings.weight"]
        start = (
            weights["earlier.weight"][np.ix_(own, used)],
            loadings[np.ix_(own, units)] * UNIT_SCALE,
            weights["earlier.bias"][own],
        )
        is_ruled = layout.masks is not None and j in layout.masks.ruled
        least = RULED_RIDGE if is_ruled else 0.0
        unreached = self._unreached(draft, j)
        spread, base = self._base(draft, j, whole=stay is not None or unreached is not None)
        base = base if unreached is None else np.where(unreached, PADDED, base)
        if stay is not None and stay.tendency == 0.0:
            stay.tendency = _first_tendency(stay, base)
        couplings = fit_column(
            spread,
            base,
            given,
            goal,
            np.maximum(strength, least),
            np.column_stack(start),
            max(MARGIN_RIDGE, least),
            None,
            TOLERANCE * float(np.min(moments.noise[np.ix_(own, used)], initial=1.0)),
            means,
            stay,
        )
        weights["earlier.weight"][own], loadings[own] = 0.0, 0.0
        weights["earlier.weight"][np.ix_(own, used)] = couplings[:, : len(used)]
        loadings[np.ix_(own, units)] = couplings[:, len(used) : -1] / UNIT_SCALE
        weights["earlier.bias"][own] = couplings[:, -1]
        if stay is not None:
            fit.ways.tendency[j] = stay.tendency
        self._draw(draft, j, given @ couplings[:, :-1].T + couplings[:, -1], stay)

    def _base(self, draft: Draft, j: int, *, whole: bool) -> tuple[Floats, Floats]:
        """Return a column's classes and their logits before couplings; its tokens, if `whole`."""
        layout = self.fit_.layout
        spread, log_mass = layout.classes[j]
        if whole:
            spread, log_mass = layout.bases[j], np.log(layout.marginals[j].mass)
        base = np.zeros((len(draft.features), len(log_mass))) + log_mass
        shares = draft.shares(j, layout.masks)
        if shares is not None and whole:
            with np.errstate(divide="ignore"):
                base += np.maximum(np.log(shares.weights), PADDED)[shares.combination]
        elif shares is not None:
            base += layout.class_log_shares(j, shares)
        return spread, base

    def _unreached(self, draft: Draft, j: int) -> Bools | None:
        """Return the tokens of a first time that the number of visits excludes, missing or others."""
        timeline = self.fit_.timeline
        if timeline.least_visits or j != timeline.first:
            return None
        marginal = self.fit_.layout.marginals[j]
        visits = draft.codes[:, timeline.visits]
        return out_of_reach(marginal, np.where(visits > 0, marginal.size, MISSING))

    def _draw(self, draft: Draft, j: int, c: Floats, stay: Stay | None) -> None:
        """Draw a column from its coefficients, and the values of its tokens."""
        fit, layout = self.fit_, self.fit_.layout
        marginal, rows = layout.marginals[j], np.arange(len(c))
        logits = c @ layout.bases[j].T + np.log(marginal.mass)
        if stay is not None:
            logits[stay.on, stay.before[stay.on]] += stay.tendency
        shares, unreached = draft.shares(j, layout.masks), self._unreached(draft, j)
        logits = logits if shares is None else shares.balanced(logits)
        logits = logits if unreached is None else np.where(unreached, PADDED, logits)
        draft.draw(j, draft.masses(logits, shares)[0], shares=shares)
        if layout.masks is not None and j in layout.masks.ruled:
            return
        codes = marginal.decode(
            draft.tokens[:, j], places_within(draft.tokens[:, j], self.generator, spread=True)
        )
        if stay is not None:
            before = draft.codes[:, j - fit.timeline.shift]
            moved = moved_codes(layout, j, before, int(fit.ways.moves[j]))
            kept = (draft.tokens[:, j] == stay.before) & (
                self.generator.random(len(rows)) < fit.ways.same[j]
            )
            codes = np.where(kept, moved, codes)
        draft.codes[:, j] = codes


def _first_tendency(stay: Stay, base: Floats) -> float:
    """Return what the logit of the class before gains where a column follows nothing else."""
    if not len(stay.on):
        return 0.0
    mass = to_mass(base[stay.on])[np.arange(len(stay.on)), stay.before[stay.on]].mean()
    share = min(stay.share * len(base) / len(stay.on), 1 - LEAST_MOVING)
    odds = share / (1 - share) * (1 - mass) / max(mass, 1e-9)
    return math.log(max(odds, 1e-9))
