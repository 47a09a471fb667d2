"""Whole patients drawn from a model of visits: static columns, then visit after visit.

The columns are those of a `Timeline`. Three sets of weights over them make a model: what never changes
("static"), a visit given that alone ("first"), and a visit given the one before it too ("later"). A
patient's visits share a latent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.bins import merged_bins
from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.model.layout import PADDED, Layout, rule_masks
from synthvae.model.masks import TokenShares
from synthvae.model.partial_history import Begun, Visit
from synthvae.model.sampling import Draft, draw_latents, places_within
from synthvae.model.visit_conditions import VisitSieve
from synthvae.rules.values import MISSING
from synthvae.settings import Settings
from synthvae.timeline import Timeline

PARTS = ("static", "first", "later")
MOST_MASS = 0.3  # of a token that counts as a way
COUNT_RANK = 3  # functions of numbers of visits and of places among them


@dataclass(frozen=True)
class Histories:
    """Patients drawn from a model, or real ones: each visit with the visit before it.

    Attributes
    ----------
    codes, tokens
        Of the timeline's columns, shape (visits, columns); a first visit has none before it. A patient
        without visits has one entry, which has no place and nothing but static columns.
    rows
        Visits of each patient in order, padded with -1, shape (patients, most visits).
    latents
        Shape (patients, latent); None of real patients.
    stuck
        Visits for which the rules left nothing, shape (visits,).
    """

    codes: Ints
    tokens: Ints
    rows: Ints
    latents: Floats | None = None
    stuck: Bools | None = None

    @property
    def whose(self) -> Ints:
        """The patient of each visit, shape (visits,)."""
        owner = np.zeros(len(self.codes), np.int64)
        present = self.rows >= 0
        owner[self.rows[present]] = np.nonzero(present)[0]
        return owner


def visit_codes(timeline: Timeline, codes: Ints, rows: Ints) -> tuple[Ints, Ints]:
    """Return the timeline's codes of each kept visit, and the visits of each patient among them.

    Parameters
    ----------
    codes
        Of the schema's columns, those that are drawn first, shape (rows, columns).
    rows
        Rows of each patient in the order of time, padded with -1, shape (patients, visits).
    """
    present = rows >= 0
    kept = rows[present]
    places = np.cumsum(present, axis=1)[present] - 1
    numbered = np.full(rows.shape, -1)
    numbered[present] = np.arange(len(kept))
    whole = np.full((len(kept), len(timeline.columns)), MISSING, np.int64)
    whole[:, timeline.of_schema] = codes[kept, : len(timeline.of_schema)]
    entries, time = present.sum(axis=1), whole[:, timeline.time]
    counts = np.where(time == MISSING, 0, np.repeat(entries, entries))
    whole[:, timeline.visits] = counts - timeline.least_visits
    whole[:, timeline.place] = np.where(counts > 0, places, MISSING)
    whole[:, timeline.left] = np.where(counts > 0, counts - 1 - places, MISSING)
    firsts = np.arange(len(kept)) - places
    whole[:, timeline.first] = time[firsts]
    later = np.flatnonzero(places > 0)
    whole[later, timeline.time_before] = time[later - 1]
    for before, own in zip(timeline.before, timeline.own, strict=True):
        whole[later, before] = whole[later - 1, own]
    steps = time[later] - time[later - 1] - timeline.gap_low
    whole[later, timeline.gap] = steps // timeline.gap_step
    return whole, numbered


def moved_codes(layout: Layout, column: int, codes: Ints, move: int) -> Ints:
    """Return codes moved on by so many lattice steps; what is no point of the lattice stays."""
    if not move:
        return codes
    moved = np.clip(codes + move, 0, layout.marginals[column].size - 1)
    return np.where(codes >= 0, moved, codes)


def way_tokens(layout: Layout, column: int, moved: Ints) -> Ints:
    """Return the tokens to which a column's ways lead, by codes moved on; -1 for one that most have.

    Where most values are one and the same, as costs of nothing, its features tell how it stays.
    """
    marginal = layout.marginals[column]
    tokens = marginal.encode(moved)
    return np.where(marginal.mass[tokens] < MOST_MASS, tokens, -1)


def visit_layout(
    timeline: Timeline, measured: Mapping[int, ColumnMarginal], settings: Settings
) -> Layout:
    """Return the layout of the timeline's columns, from the marginals of those that are counted."""
    fields, marginals = timeline.columns, dict(measured)
    marginals[timeline.time_before] = marginals[timeline.time]
    for before, own in zip(timeline.before, timeline.own, strict=True):
        marginals[before] = marginals[own]
    # As many visits have k before them as have k after them.
    visits = marginals[timeline.visits]
    marginals[timeline.place] = _places(visits, timeline.least_visits, settings.bins)
    marginals[timeline.left] = marginals[timeline.place]
    bases = []
    for j, field in enumerate(fields):
        known = j in (timeline.visits, timeline.place, timeline.left)
        in_order = field.is_lattice and j != timeline.left  # the last visit is unlike all others
        rank = settings.rank_of(ordered=in_order)
        part = basis(marginals[j], in_order, min(rank, COUNT_RANK) if known else rank)
        bases.append(part * 0.0 if j == timeline.time_before else part)
    bases[timeline.time_before] = bases[timeline.time_before][:, :1]
    ordered = tuple(marginals[j] for j in range(len(fields)))
    masks = None if timeline.rules.is_empty else rule_masks(ordered, timeline.rules)
    return Layout(ordered, tuple(bases), settings, masks)


def _places(visits: ColumnMarginal, least: int, bins: int) -> ColumnMarginal:
    """Return the marginal of a visit's place, from that of the number of visits, `least` or more."""
    per_point = np.repeat(visits.cell_mass / visits.cell_sizes, visits.cell_sizes)[1 - least :]
    mass = np.cumsum(per_point[::-1])[::-1]
    mass = np.maximum(mass / mass.sum(), 1e-9)
    size = len(mass)
    sizes = np.ones(size, np.int64)
    cell_bin = np.arange(size) if size <= bins else merged_bins(mass, sizes, bins)
    own = np.bincount(cell_bin, mass)
    total = own.sum()
    return ColumnMarginal(np.arange(size), mass / total, cell_bin, own / total, size, 0, False)


def out_of_reach(marginal: ColumnMarginal, last: Ints) -> Bools:
    """Return which tokens are beyond the last code of each row, shape (rows, tokens).

    Where that is missing, nothing else may be drawn; elsewhere, it may not.
    """
    codes = marginal.token_codes()[0]
    later, missing = codes > last[:, None], (codes == MISSING) & (last != MISSING)[:, None]
    return np.asarray(later | missing)


@dataclass(frozen=True)
class Ways:
    """How columns keep to their way from visit to visit, each of shape (columns,).

    Attributes
    ----------
    moves
        By how many lattice steps a column moves on, where it does as most do: a year older.
    tendency
        What the logit of the token to which that leads gains.
    same
        Share of those that keep to that token who keep to the very value.
    """

    moves: Ints
    tendency: Floats
    same: Floats


@dataclass(frozen=True)
class HistorySampler:
    """Draws whole patients."""

    timeline: Timeline
    layout: Layout
    weights: Mapping[str, Mapping[str, Floats]]  # of each part
    offsets: tuple[Floats, ...]  # what calibration adds to each column's logits
    ways: Ways

    def draw(
        self,
        patients: int,
        generator: np.random.Generator,
        steps: int,
        sieve: VisitSieve | None = None,
    ) -> Histories:
        """Draw patients with all their visits.

        Parameters
        ----------
        steps
            Those in which a column is balanced (`balance`); 0 draws independently.
        sieve
            Lets pass who meets conditions, before further columns are drawn: fewer patients are
            returned, or none.
        """
        latent = self.layout.settings.latent
        z = draw_latents(patients, latent, generator, None, stratified=steps > 0)
        drawn = self.static_draft(z, generator, steps)
        self._draw_static(drawn, generator, sieve)
        begun = Begun(z, Visit.of(drawn))
        if sieve is not None:
            begun = begun.take(sieve.passing(begun.static.codes, begun.static.stuck, generator))
            if sieve.asks_first:
                begun = self._passing_first(begun, generator, steps, sieve)
            if not len(begun.latents):
                nothing = np.zeros((0, self.layout.columns), np.int64)
                none = np.zeros((0, self.timeline.schema.rows_per_patient), np.int64)
                return Histories(nothing, nothing, none, stuck=np.zeros(0, bool))
        return self.go_on(begun, generator, steps)

    def _passing_first(
        self, begun: Begun, generator: np.random.Generator, steps: int, sieve: VisitSieve
    ) -> Begun:
        """Draw first visits, and return the patients that pass with them."""
        active = np.flatnonzero(self.visits_of(begun.static) > 0)
        if not len(active):
            return begun.take(active)
        first = self._visit(0, active, begun, begun.static, generator, steps, sieve)
        others = len(begun.latents) - len(active)
        kept = sieve.passing(first.codes, first.stuck, generator, first=True, others=others)
        visits = ((np.arange(len(kept)), first.take(kept)),)
        return replace(begun.take(active[kept]), visits=visits)

    def visits_of(self, static: Visit | Draft) -> Ints:
        """Return the number of visits of each patient, from what never changes."""
        codes = static.codes[:, self.timeline.visits]
        return np.asarray(codes + self.timeline.least_visits)

    def go_on(self, begun: Begun, generator: np.random.Generator, steps: int) -> Histories:
        """Draw the visits that follow those that patients have had, up to their number of visits."""
        counts = self.visits_of(begun.static)
        visits, seen = [*begun.visits], np.zeros(len(counts), np.int64)
        last = begun.static.take(np.arange(len(counts)))
        for whose, visit in visits:
            last.put(whose, visit)
            seen[whose] += 1
        for place in range(self.timeline.most_visits):
            active = np.flatnonzero((counts > place) & (seen <= place))
            if len(active):
                visit = self._visit(place, active, begun, last, generator, steps)
                last.put(active, visit)
                visits.append((active, visit))
        without = np.flatnonzero(counts == 0)
        visits.append((without, begun.static.take(without)))
        return _in_order(visits, self.timeline.schema.rows_per_patient, begun.latents)

    def static_draft(self, z: Floats, generator: np.random.Generator, steps: int) -> Draft:
        """Return a draft of what never changes, the number of visits and the time of the first."""
        draft = self._draft("static", z, generator, steps)
        draft.codes[:] = MISSING
        return draft

    def last_first(self, draft: Draft) -> Ints:
        """Return the last time of a first visit, which leaves time for the others; missing for none."""
        following = self.visits_of(draft) - 1
        last = self._last_time - following * self.timeline.gap_low
        return np.where(following < 0, MISSING, last)

    def _draw_static(
        self, draft: Draft, generator: np.random.Generator, sieve: VisitSieve | None
    ) -> None:
        for j in range(self.timeline.static):
            last = self.last_first(draft) if j == self.timeline.first else None
            self._column(draft, j, generator, last, sieve=sieve)

    def _visit(
        self,
        place: int,
        active: Ints,
        begun: Begun,
        last: Visit,
        generator: np.random.Generator,
        steps: int,
        sieve: VisitSieve | None = None,
    ) -> Visit:
        """Draw the visit at a place of the active patients; `last` is everybody's visit before."""
        before = last.take(active) if place else None
        draft = self.visit_draft(place, active, begun, before, generator, steps)
        time = draft.codes[:, self.timeline.first]
        if before is not None:
            self._column(draft, self.timeline.gap, generator, self.last_gap(draft, place))
            time = self.time_after(draft)
        self.fill_time(draft, time)
        for j in self.timeline.own:
            self._column(draft, j, generator, follows=place > 0, sieve=sieve)
        visit = Visit.of(draft)
        return replace(visit, stuck=visit.stuck | begun.static.stuck[active])

    def visit_draft(
        self,
        place: int,
        active: Ints,
        begun: Begun,
        before: Visit | None,
        generator: np.random.Generator,
        steps: int,
    ) -> Draft:
        """Return a draft of a visit of the active patients, with what is known of it."""
        timeline, static = self.timeline, begun.static
        part = "first" if before is None else "later"
        draft = self._draft(part, begun.latents[active], generator, steps)
        draft.codes[:] = MISSING
        for j in range(timeline.static):
            draft.fill(j, static.tokens[active, j], static.codes[active, j])
        if before is not None:
            known = (timeline.time_before, *timeline.before)
            for j, source in zip(known, (timeline.time, *timeline.own), strict=True):
                draft.fill(j, before.tokens[:, source], before.codes[:, source])
        at = np.full(len(active), place)
        draft.fill(timeline.place, self.layout.marginals[timeline.place].encode(at), at)
        left = self.visits_of(static)[active] - 1 - place
        draft.fill(timeline.left, self.layout.marginals[timeline.left].encode(left), left)
        return draft

    def last_gap(self, draft: Draft, place: int) -> Ints:
        """Return the code of the longest gap that leaves time for the visits that follow."""
        timeline = self.timeline
        following = self.visits_of(draft) - 1 - place
        room = self._last_time - draft.codes[:, timeline.time_before]
        room = room - (following + 1) * timeline.gap_low
        return np.asarray(np.maximum(room, 0) // timeline.gap_step)

    def time_after(self, draft: Draft) -> Ints:
        """Return the time of a visit from that of the visit before and the gap."""
        timeline = self.timeline
        gap = timeline.gap_low + timeline.gap_step * draft.codes[:, timeline.gap]
        return np.asarray(draft.codes[:, timeline.time_before] + gap)

    def fill_time(self, draft: Draft, time: Ints) -> None:
        """Take in the time of a visit."""
        draft.fill(self.timeline.time, self.layout.marginals[self.timeline.time].encode(time), time)

    @property
    def _last_time(self) -> int:
        return self.layout.marginals[self.timeline.time].size - 1

    def _draft(self, part: str, z: Floats, generator: np.random.Generator, steps: int) -> Draft:
        return Draft(self.layout, self.weights[part], len(z), generator, None, steps, z)

    def _column(
        self,
        draft: Draft,
        j: int,
        generator: np.random.Generator,
        last: Ints | None = None,
        *,
        follows: bool = False,
        sieve: VisitSieve | None = None,
    ) -> None:
        """Draw a column: tokens and codes.

        No code is beyond `last`, the largest of each row; `follows` says that there is a visit before.
        """
        marginal, rows = self.layout.marginals[j], len(draft.codes)
        logits, shares, moved, kept = self.chances(draft, j, last, follows=follows)
        mass, left = draft.masses(logits, shares)
        limits = None
        if sieve is not None:
            mass, shares, limits = sieve.conditioned(draft, j, logits, (mass, shares, left))
        draft.draw(j, mass, shares=shares)
        masks = self.layout.masks
        if shares is None and (masks is None or j not in masks.ruled):
            places = places_within(draft.tokens[:, j], generator, spread=True)
            codes = marginal.decode(draft.tokens[:, j], places, limits)
            if moved is not None and kept is not None:
                same = generator.random(rows) < self.ways.same[j]
                codes = np.where(same & (kept == draft.tokens[:, j]), moved, codes)
            draft.codes[:, j] = codes
        if last is not None:
            draft.codes[:, j] = np.minimum(draft.codes[:, j], last)

    def chances(
        self, draft: Draft, j: int, last: Ints | None, *, follows: bool
    ) -> tuple[Floats, TokenShares | None, Ints | None, Ints | None]:
        """Return a column's logits, and what rules leave of its tokens; then where most move on to.

        That is the code and the token of each row, where there is a visit before.
        """
        layout, marginal, rows = self.layout, self.layout.marginals[j], np.arange(len(draft.codes))
        couplings = draft.couplings[layout.span(j)]
        followed = np.flatnonzero(couplings.any(axis=0))
        logits = draft.logits(j, followed, rows[:0]) + np.log(marginal.mass) + self.offsets[j]
        moved = kept = None
        if follows:
            before = draft.codes[:, j - self.timeline.shift]
            moved = moved_codes(layout, j, before, int(self.ways.moves[j]))
            kept = way_tokens(layout, j, moved)
            on = np.flatnonzero(kept >= 0)
            logits[on, kept[on]] += self.ways.tendency[j]
        shares = draft.shares(j, layout.masks)
        logits = logits if shares is None else shares.balanced(logits)
        if last is not None:
            logits = np.where(out_of_reach(marginal, last), PADDED, logits)
        return logits, shares, moved, kept


def _in_order(visits: list[tuple[Ints, Visit]], most: int, latents: Floats) -> Histories:
    """Return visits that were drawn place by place as whole patients, one after the other."""
    whose = np.concatenate([owners for owners, _ in visits])
    order = np.argsort(whose, kind="stable")
    whose = whose[order]
    rows = np.full((len(latents), most), -1, np.int64)
    rows[whose, np.arange(len(whose)) - np.searchsorted(whose, whose)] = np.arange(len(whose))
    codes, tokens, stuck = (
        np.concatenate([getattr(visit, name) for _, visit in visits])[order]
        for name in ("codes", "tokens", "stuck")
    )
    return Histories(codes, tokens, rows, latents, stuck)
