"""Whole patients of a baseline, from rows of visits side by side: no visit breaks a rule of the schema.

A patient who breaks one is refused, and another with as many visits is taken; those who are left are
repaired visit by visit, as rows are (`synthvae.baselines.ruled`): a value that the rules allow, given
the columns and the visit before, is kept, and others are drawn again. Numbers of visits stay as the
method has them, whichever number breaks rules more often.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from synthvae._types import Bools, Ints
from synthvae.baselines.ruled import (
    FEWEST_DRAWN,
    LEAST_KEPT,
    MOST_CELLS,
    MOST_REPAIRS,
    MOST_ROUNDS,
    RuledRecords,
    repair_error,
    walk,
)
from synthvae.baselines.side_by_side import SideBySide
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.histories import Histories
from synthvae.model.layout import rule_masks
from synthvae.model.masks import RuleMasks
from synthvae.model.people import schema_codes
from synthvae.model.sampling import repeated_rows
from synthvae.rules.values import MISSING
from synthvae.timeline import Timeline


@dataclass(frozen=True)
class Visits:
    """Visits of some patients, each patient's together and in order.

    Attributes
    ----------
    codes
        Of the timeline's columns, shape (visits, columns). A patient without visits has one entry, which
        has no place.
    whose
        The patient of each visit, shape (visits,).
    """

    codes: Ints
    whose: Ints


@dataclass(frozen=True)
class RuledVisits:
    """Makes visits of rows that a method drew; `marginals` are those of the rows' columns."""

    side: SideBySide
    marginals: tuple[ColumnMarginal, ...]

    def draw(
        self, draw: Callable[[int], Ints], rows: int, generator: np.random.Generator
    ) -> RuledRecords:
        """Return whole patients with at most `rows` visits together, one patient at least.

        Parameters
        ----------
        draw
            Returns the codes of rows of a number of new patients, shape (patients, columns).

        Raises
        ------
        ConfigError
            Some could not be drawn in a bounded number of trials.
        """
        flat, denied = self.side.agreed(self._enough(draw, rows), self.marginals, generator)
        refused, rest = 0, np.zeros(0, np.int64)
        if not self.timeline.rules.is_empty:
            flat, rest, refused = self._drawn_again(flat, draw, generator)
        visits = self._visits(flat)
        widest = max(marginal.tokens for marginal in self.marginals)
        size = max(1, MOST_CELLS // widest)
        for first in range(0, len(rest), size):
            part = rest[first : first + size]
            visits.codes[self._entries(flat, part)] = self._repaired(flat[part], generator)
        share = float(denied.mean())
        return RuledRecords(self._completed(visits), refused, len(rest), visits.whose, share)

    @property
    def timeline(self) -> Timeline:
        """The columns of a visit together with those of the visit before it."""
        return self.side.timeline

    def _enough(self, draw: Callable[[int], Ints], rows: int) -> Ints:
        """Return rows of patients with at most `rows` visits together, but for less than one's."""
        mean, parts, left = self.side.mean_entries(self.marginals), list[Ints](), rows
        while left > 0:
            parts.append(draw(math.ceil(left / mean)))
            left -= int(np.maximum(self.side.counts(parts[-1]), 1).sum())
        flat = np.concatenate(parts)
        inside = np.cumsum(np.maximum(self.side.counts(flat), 1)) <= rows
        inside[0] = True
        return flat[inside]

    def _drawn_again(
        self, flat: Ints, draw: Callable[[int], Ints], generator: np.random.Generator
    ) -> tuple[Ints, Ints, int]:
        """Return rows, which of them still break a rule, and how many were refused."""
        side, refused = self.side, 0
        rest = np.flatnonzero(self._broken(self._visits(flat)))
        for _ in range(MOST_ROUNDS):
            if not len(rest):
                break
            refused += len(rest)
            others, _ = side.agreed(draw(max(len(rest), FEWEST_DRAWN)), self.marginals, generator)
            kept, waiting = others[~self._broken(self._visits(others))], len(rest)
            for count in np.unique(side.counts(kept)):
                alike = kept[side.counts(kept) == count]
                mended = rest[side.counts(flat[rest]) == count][: len(alike)]
                flat[mended] = alike[: len(mended)]
                rest = np.setdiff1d(rest, mended)
            if waiting - len(rest) < LEAST_KEPT * waiting:
                break
        return flat, rest, refused

    def _repaired(self, flat: Ints, generator: np.random.Generator) -> Ints:
        """Return the codes of patients' visits, with values that a rule forbids drawn again.

        A patient who runs into a dead end is begun again, with no value in the columns of rules.
        """
        waiting, begun = np.arange(len(flat)), np.ones(len(flat), bool)
        codes = self._visits(flat).codes
        for _ in range(MOST_REPAIRS):
            found, stuck = self._walked(flat[waiting], begun[waiting], generator)
            codes[self._entries(flat, waiting)] = found.codes
            waiting = waiting[stuck | self._broken(found)]
            begun[waiting] = False
            if not len(waiting):
                return codes
        raise repair_error(len(waiting), "patient")

    def _walked(
        self, flat: Ints, begun: Bools, generator: np.random.Generator
    ) -> tuple[Visits, Bools]:
        """Return patients with each ruled column drawn in turn, and who ran into a dead end.

        Their numbers of visits stay.
        """
        timeline, stuck = self.timeline, np.zeros(len(flat), bool)
        static = [j for j in range(timeline.static) if j != timeline.visits]

        def redrawn(visit: Ints, place: int, active: Ints) -> Ints:
            masks, keeps = self.masks[place], begun[active]
            given = [timeline.gap] if place else static
            visit, lost = walk(visit, keeps, masks, generator, given)
            stuck[active] |= lost
            self._keep_time(visit, place)
            there = visit[:, timeline.place] != MISSING
            own = [*timeline.own]
            visit[there], lost = walk(visit[there], keeps[there], masks, generator, own)
            stuck[active[there]] |= lost
            return visit

        return self._visits(flat, redrawn), stuck

    def _keep_time(self, visit: Ints, place: int) -> None:
        """Set the time that follows from the gap, and leave room for the visits to come."""
        at = self.timeline
        last, step = at.columns[at.time].lattice_size - 1, at.gap_step
        if not place:
            without = visit[:, at.place] == MISSING
            latest = last - visit[:, at.left] * at.gap_low
            first = np.minimum(np.maximum(visit[:, at.first], 0), latest)
            visit[:, at.first] = visit[:, at.time] = np.where(without, MISSING, first)
            return
        room = last - visit[:, at.time_before] - (visit[:, at.left] + 1) * at.gap_low
        visit[:, at.gap] = np.minimum(visit[:, at.gap], np.maximum(room, 0) // step)
        visit[:, at.time] = visit[:, at.time_before] + at.gap_low + step * visit[:, at.gap]

    @cached_property
    def masks(self) -> tuple[RuleMasks, ...]:
        """What the rules leave of a visit's columns, by its place."""
        rules = self.timeline.rules
        return tuple(
            rule_masks(self.side.of_visit(self.marginals, place), rules)
            for place in range(self.side.most)
        )

    def _entries(self, flat: Ints, patients: Ints) -> Ints:
        """Return where the visits of some patients stand among those of all."""
        entries = np.maximum(self.side.counts(flat), 1)
        starts, mine = np.cumsum(entries) - entries, entries[patients]
        ranks = np.arange(int(mine.sum())) - np.repeat(np.cumsum(mine) - mine, mine)
        return np.asarray(np.repeat(starts[patients], mine) + ranks)

    def _visits(
        self, flat: Ints, redrawn: Callable[[Ints, int, Ints], Ints] = lambda visit, *_: visit
    ) -> Visits:
        """Return the visits of rows; `redrawn` returns those of one place, before the next follow."""
        timeline, side, counts = self.timeline, self.side, self.side.counts(flat)
        entries = np.maximum(counts, 1)
        starts = np.cumsum(entries) - entries
        codes = np.full((int(entries.sum()), len(timeline.columns)), MISSING, np.int64)
        for place in range(int(entries.max())):
            active = np.flatnonzero(entries > place)
            there = counts[active] > place
            visit = codes[starts[active] + place]
            visit[:, : timeline.static] = flat[active, : timeline.static]
            visit[:, timeline.place] = np.where(there, place, MISSING)
            visit[:, timeline.left] = np.where(there, counts[active] - 1 - place, MISSING)
            visit[:, list(timeline.own)] = flat[active, side.own(place)]
            if place:
                past = codes[starts[active] + place - 1]
                visit[:, : timeline.static] = past[:, : timeline.static]
                visit[:, timeline.time_before] = past[:, timeline.time]
                visit[:, list(timeline.before)] = past[:, list(timeline.own)]
                visit[:, timeline.gap] = flat[active, side.gap(place)]
            self._keep_time(visit, place)
            codes[starts[active] + place] = redrawn(visit, place, active)
        return Visits(codes, np.repeat(np.arange(len(flat)), entries))

    def _broken(self, visits: Visits) -> Bools:
        """Return the patients of whom a visit breaks a rule, or has no value of a derived column."""
        rules, timeline = self.timeline.rules, self.timeline
        codes = rules.completed(visits.codes)
        broken = rules.broken(codes) | rules.broken(codes, rules.sampled)
        without = codes[:, timeline.place] == MISSING
        if without.any():  # of a visit that there is not, no rule says anything
            once = [r for r in rules.declared if max(r.places, default=0) < timeline.static]
            broken[without] = rules.broken(codes[without], once)
        for unique in self.side.schema.rule_set.unique:
            broken |= repeated_rows(visits.whose, self._completed(visits)[:, list(unique)])
        patients = np.zeros(int(visits.whose[-1]) + 1 if len(codes) else 0, bool)
        patients[visits.whose[broken]] = True
        return patients

    def _completed(self, visits: Visits) -> Ints:
        """Return the codes of the columns that the schema models, derived ones computed."""
        nobody = np.zeros((0, 0), np.int64)
        return schema_codes(self.timeline, Histories(visits.codes, visits.codes, nobody))
