"""Whole patients drawn from a model of visits: static columns, then visit after visit.

The columns are those of a `Timeline`. Three sets of weights over them make a model: what never changes
("static"), a visit given that alone ("first"), and a visit given the one before it too ("later"). A
patient's visits share a latent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.bins import merged_bins
from synthvae.marginals.column import ColumnMarginal, basis
from synthvae.model.layout import PADDED, Layout, rule_masks
from synthvae.model.sampling import Draft, draw_latents, places_within
from synthvae.rules.values import MISSING
from synthvae.settings import Settings
from synthvae.timeline import Timeline

PARTS = ("static", "first", "later")
COUNT_RANK = 3  # functions of numbers of visits and of places among them


@dataclass(frozen=True)
class Histories:
    """Patients drawn from a model, or real ones: each visit with the visit before it.

    Attributes
    ----------
    codes, tokens
        Of the timeline's columns, shape (visits, columns); a first visit has none before it.
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
    counts = present.sum(axis=1)
    whole[:, timeline.visits] = np.repeat(counts, counts) - 1
    whole[:, timeline.place] = places
    time = whole[:, timeline.time]
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


def visit_layout(
    timeline: Timeline, measured: Mapping[int, ColumnMarginal], settings: Settings
) -> Layout:
    """Return the layout of the timeline's columns, from the marginals of those that are counted."""
    fields, marginals = timeline.columns, dict(measured)
    marginals[timeline.time_before] = marginals[timeline.time]
    for before, own in zip(timeline.before, timeline.own, strict=True):
        marginals[before] = marginals[own]
    marginals[timeline.place] = _places(marginals[timeline.visits], settings.bins)
    bases = []
    for j, field in enumerate(fields):
        known = j in (timeline.visits, timeline.place)
        rank = settings.rank_of(ordered=field.is_lattice)
        rank = min(rank, COUNT_RANK) if known else rank
        part = basis(marginals[j], field.is_lattice, rank)
        bases.append(part * 0.0 if j == timeline.time_before else part)
    bases[timeline.time_before] = bases[timeline.time_before][:, :1]
    ordered = tuple(marginals[j] for j in range(len(fields)))
    masks = None if timeline.rules.is_empty else rule_masks(ordered, timeline.rules)
    return Layout(ordered, tuple(bases), settings, masks)


def _places(visits: ColumnMarginal, bins: int) -> ColumnMarginal:
    """Return the marginal of a visit's place, from that of the number of visits."""
    per_point = np.repeat(visits.cell_mass / visits.cell_sizes, visits.cell_sizes)
    mass = np.cumsum(per_point[::-1])[::-1]
    mass = np.maximum(mass / mass.sum(), 1e-9)
    size = len(mass)
    sizes = np.ones(size, np.int64)
    cell_bin = np.arange(size) if size <= bins else merged_bins(mass, sizes, bins)
    own = np.bincount(cell_bin, mass)
    total = own.sum()
    return ColumnMarginal(np.arange(size), mass / total, cell_bin, own / total, size, 0, False)


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

    def draw(self, patients: int, generator: np.random.Generator, steps: int) -> Histories:
        """Draw patients with all their visits.

        `steps` are those in which a column is balanced (`balance`); 0 draws independently.
        """
        latent = self.layout.settings.latent
        z = draw_latents(patients, latent, generator, None, stratified=steps > 0)
        begun = self._static(z, generator, steps)
        counts = begun.codes[:, self.timeline.visits] + 1
        before = _Visit(begun.codes, begun.tokens, begun.stuck)
        visits: list[_Visit] = []
        owners: list[Ints] = []
        for place in range(self.timeline.most_visits):
            active = np.flatnonzero(counts > place)
            if not len(active):
                break
            known = before.take(np.searchsorted(owners[-1], active)) if place else None
            draft = self._draft("later" if place else "first", z[active], generator, steps)
            self._fill(draft, place, begun, known, active)
            self._time(draft, place, known, generator)
            for j in self.timeline.own:
                self._column(draft, j, generator, follows=place > 0)
            before = _Visit(draft.codes, draft.tokens, draft.stuck | begun.stuck[active])
            visits.append(before)
            owners.append(active)
        return _in_order(visits, owners, self.timeline.schema.rows_per_patient, z)

    def _static(self, z: Floats, generator: np.random.Generator, steps: int) -> Draft:
        """Draw what never changes, the number of visits and the time of the first."""
        timeline = self.timeline
        draft = self._draft("static", z, generator, steps)
        draft.codes[:] = MISSING
        for j in range(timeline.static):
            last = None
            if j == timeline.first:  # which leaves time for the visits that follow
                last = self._last_time - draft.codes[:, timeline.visits] * timeline.gap_low
            self._column(draft, j, generator, last)
        return draft

    def _fill(
        self, draft: Draft, place: int, begun: Draft, before: "_Visit | None", active: Ints
    ) -> None:
        """Take in what is known of a visit of the active patients."""
        timeline = self.timeline
        draft.codes[:] = MISSING
        for j in range(timeline.static):
            draft.fill(j, begun.tokens[active, j], begun.codes[active, j])
        if before is not None:
            known = (timeline.time_before, *timeline.before)
            for j, source in zip(known, (timeline.time, *timeline.own), strict=True):
                draft.fill(j, before.tokens[:, source], before.codes[:, source])
        at = np.full(len(active), place)
        draft.fill(timeline.place, self.layout.marginals[timeline.place].encode(at), at)

    def _time(
        self, draft: Draft, place: int, before: "_Visit | None", generator: np.random.Generator
    ) -> None:
        """Draw the time since the visit before, which leaves time for those that follow."""
        timeline = self.timeline
        time = draft.codes[:, timeline.first]
        if before is not None:
            low, step = timeline.gap_low, timeline.gap_step
            following = draft.codes[:, timeline.visits] - place
            room = self._last_time - draft.codes[:, timeline.time_before] - (following + 1) * low
            self._column(draft, timeline.gap, generator, np.maximum(room, 0) // step)
            time = before.codes[:, timeline.time] + low + step * draft.codes[:, timeline.gap]
        draft.fill(timeline.time, self.layout.marginals[timeline.time].encode(time), time)

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
    ) -> None:
        """Draw a column: tokens and codes.

        No code is beyond `last`, the largest of each row; `follows` says that there is a visit before.
        """
        layout, marginal, rows = self.layout, self.layout.marginals[j], np.arange(len(draft.codes))
        couplings = draft.couplings[layout.span(j)]
        followed = np.flatnonzero(couplings.any(axis=0))
        logits = draft.logits(j, followed, rows[:0]) + np.log(marginal.mass) + self.offsets[j]
        moved = kept = None
        if follows:
            before = draft.codes[:, j - self.timeline.shift]
            moved = moved_codes(layout, j, before, int(self.ways.moves[j]))
            kept = marginal.encode(moved)
            logits[rows, kept] += self.ways.tendency[j]
        shares = draft.shares(j, layout.masks)
        logits = logits if shares is None else shares.balanced(logits)
        if last is not None:
            logits = np.where(marginal.token_codes()[0] > last[:, None], PADDED, logits)
        mass, _ = draft.masses(logits, shares)
        draft.draw(j, mass, shares=shares)
        if layout.masks is None or j not in layout.masks.ruled:
            places = places_within(draft.tokens[:, j], generator, spread=True)
            codes = marginal.decode(draft.tokens[:, j], places)
            if moved is not None and kept is not None:
                same = generator.random(len(rows)) < self.ways.same[j]
                codes = np.where(same & (kept == draft.tokens[:, j]), moved, codes)
            draft.codes[:, j] = codes
        if last is not None:
            draft.codes[:, j] = np.minimum(draft.codes[:, j], last)


@dataclass(frozen=True)
class _Visit:
    """One visit of some patients: codes and tokens of the timeline's columns, and who is stuck."""

    codes: Ints
    tokens: Ints
    stuck: Bools

    def take(self, which: Ints) -> "_Visit":
        """Return the visit of some of the patients."""
        return _Visit(self.codes[which], self.tokens[which], self.stuck[which])


def _in_order(visits: list[_Visit], owners: list[Ints], most: int, latents: Floats) -> Histories:
    """Return visits that were drawn place by place as whole patients, one after the other."""
    whose = np.concatenate(owners)
    order = np.argsort(whose, kind="stable")
    whose = whose[order]
    rows = np.full((len(latents), most), -1, np.int64)
    rows[whose, np.arange(len(whose)) - np.searchsorted(whose, whose)] = np.arange(len(whose))
    codes, tokens, stuck = (
        np.concatenate([getattr(visit, name) for visit in visits])[order]
        for name in ("codes", "tokens", "stuck")
    )
    return Histories(codes, tokens, rows, latents, stuck)
