"""How many visits may follow a value: what rules let come after it, and after that, and so on.

The values of a column, or of several together, are the states of a graph, whose arrows are what all
rules let follow, other columns being free. A state has so long a life as there is a walk from it; walks
are found backwards, one step after the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.rules import ranges
from synthvae.rules.combinations import GAP, with_missing
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.domains import Domain
from synthvae.rules.inverse import Span
from synthvae.rules.ranges import Range, Truth
from synthvae.rules.values import MISSING, Columns, Known

FEW_STATES = 2048  # of which every pair is judged
MOST_CODES = 2**20  # of one column, for which rules are solved
MOST_PAIRS = 2**20  # that are judged at once
MOST_CELLS = 2**24  # of the table of lives


@dataclass(frozen=True)
class State:
    """The columns whose values make a state: by place, with that of the visit before.

    A column that is the same in all visits stands in both.
    """

    own: tuple[int, ...]
    before: tuple[int, ...]


@dataclass(frozen=True)
class Lives:
    """How many visits may follow each state.

    `values` are those of each column, ascending, missing first as `GAP`; `lives` has an axis for each.
    A life of `most`, the largest number of visits, has no end.
    """

    values: tuple[Floats, ...]
    lives: Ints
    most: int

    def of_first(self, axes: tuple[int, ...]) -> "Lives":
        """Return how many visits may follow at best, given the values of some of the columns."""
        others = tuple(axis for axis in range(self.lives.ndim) if axis not in axes)
        return Lives(
            tuple(self.values[axis] for axis in axes), self.lives.max(axis=others), self.most
        )

    @cached_property
    def _sums(self) -> Ints:
        """For 0, 1, ... visits, how many states outlive them in each box that begins at the first."""
        finite = self.lives[self.lives < self.most]
        thresholds = np.arange(int(finite.max(initial=0)) + 2)
        outlive = self.lives >= thresholds.reshape(-1, *[1] * self.lives.ndim)
        sums: Ints = np.pad(outlive.astype(np.int64), [(0, 0), *[(1, 0)] * self.lives.ndim])
        for axis in range(1, sums.ndim):
            sums = np.cumsum(sums, axis=axis)
        return sums

    def outliving(self, visits: Floats, spans: Sequence[Range]) -> tuple[Ints, Ints]:
        """Return how many states in a box outlive some visits, and how many there are in it."""
        held = [with_missing(span) for span in spans]
        pairs = list(zip(self.values, held, strict=True))
        first = [np.searchsorted(values, span.low, "left") for values, span in pairs]
        last = [np.searchsorted(values, span.high, "right") for values, span in pairs]
        last = [np.maximum(low, high) for low, high in zip(first, last, strict=True)]
        at = np.clip(np.ceil(visits), 0, len(self._sums) - 1).astype(np.int64)
        found: Ints = np.zeros_like(at)
        for corner in product((0, 1), repeat=len(held)):
            ends = (b if bit else a for bit, a, b in zip(corner, first, last, strict=True))
            sign = (-1) ** (len(held) - sum(corner))
            found = found + sign * self._sums[at, *ends]
        widths = (high - low for low, high in zip(first, last, strict=True))
        return found, np.asarray(np.prod(np.broadcast_arrays(*widths), axis=0))

    @cached_property
    def ends(self) -> tuple[Floats, Floats] | None:
        """The ends of the values of one column that 0, 1, ... visits may follow.

        None where there are several columns, or some values between that may not be followed so often.
        """
        if self.lives.ndim > 1:
            return None
        there = self.values[0] > GAP
        values, lives = self.values[0][there], self.lives[there]
        low, high = [], []
        for life in range(int(lives.max(initial=0)) + 1):
            places = np.flatnonzero(lives >= life)
            if len(places) and places[-1] - places[0] + 1 > len(places):
                return None
            low.append(values[places[0]] if len(places) else np.inf)
            high.append(values[places[-1]] if len(places) else -np.inf)
        return np.array([*low, np.inf]), np.array([*high, -np.inf])


@dataclass(frozen=True)
class LifeRule(CompiledRule):
    """That as many visits may follow a state as do; where no place is given, a first visit's."""

    lives: Lives = field(kw_only=True, compare=False)
    own: tuple[int, ...] = field(kw_only=True)
    visits: int = field(kw_only=True)
    place: int | None = field(kw_only=True)

    @classmethod
    def of(
        cls,
        source: CompiledRule,
        lives: Lives,
        own: tuple[int, ...],
        visits: int,
        place: int | None = None,
    ) -> "LifeRule":
        """Return the rule about columns, the number of visits, and a visit's place among them."""

        def judge(known: Known) -> Truth:
            left = _left(known, visits, place)
            spans = [known(place) for place in own]
            some, _ = lives.outliving(left.low, spans)
            outlived, all_of_them = lives.outliving(left.high, spans)
            yes, no = some > 0, outlived < all_of_them
            return Truth(yes, no, np.zeros_like(yes))

        return cls(
            source.title,
            frozenset((*own, visits)) | (frozenset() if place is None else {place}),
            judge,
            setting=source.setting,
            lives=lives,
            own=own,
            visits=visits,
            place=place,
        )

    def solve(self, place: int, known: Known) -> Span | None:
        """Return the values of the column after which as many visits may follow as there surely are."""
        ends = self.lives.ends
        if self.own != (place,) or ends is None:
            return None
        left = _left(known, self.visits, self.place).low
        at = np.clip(np.ceil(left), 0, len(ends[0]) - 1).astype(np.int64)
        return Span(ends[0][at], ends[1][at])


def _left(known: Known, visits: int, place: int | None) -> Range:
    """Return how many visits are to come."""
    return ranges.subtract(known(visits), Range.constant(1.0) if place is None else known(place))


def _codes_of(columns: Columns, place: int) -> Ints:
    """Return all codes of a column."""
    domain = Domain.whole(columns.meanings[place])
    return np.concatenate([np.arange(domain.size - len(domain.others)), domain.others]).astype(int)


def lives_of(
    columns: Columns,
    state: State,
    rules: Sequence[CompiledRule],
    hulls: Sequence[Range],
    most: int,
) -> Lives | None:
    """Return how many of `most - 1` visits may follow each state; None where no state ends anything.

    Parameters
    ----------
    hulls
        What each column may hold.
    """
    codes = [_codes_of(columns, place) for place in state.own]
    shape = tuple(map(len, codes))
    size = int(np.prod(shape))
    if size <= FEW_STATES:
        states = np.stack([part.ravel() for part in np.meshgrid(*codes, indexing="ij")])
        follows = _pairs(columns, state, rules, hulls, states)
        lives = _walks(lambda ends: np.asarray((follows & ends).any(axis=1)), size, most)
    elif len(shape) == 1 and columns.meanings[state.own[0]].size == size <= MOST_CODES:
        spans = _spans(columns, state, rules, hulls, codes[0])
        lives = _walks(lambda ends: _any_within(ends, *spans), size, most)
    else:
        return None
    if (lives == most).all() or size * len(np.unique(lives)) > MOST_CELLS:
        return None
    lives, values = lives.reshape(shape), []
    for axis, (place, part) in enumerate(zip(state.own, codes, strict=True)):
        numbers = np.where(part == MISSING, GAP, columns.meanings[place].exact(part).low)
        order = np.argsort(numbers, kind="stable")
        lives = np.take(lives, order, axis=axis)
        values.append(numbers[order])
    return Lives(tuple(values), lives, most)


def _walks(step: Callable[[Bools], Bools], states: int, most: int) -> Ints:
    """Return of each state how many visits may follow it, `most` where there is no end."""
    lives, ends = np.zeros(states, np.int64), np.ones(states, bool)
    for length in range(1, most):
        before, ends = ends, step(ends)
        lives[ends] = length
        if (before == ends).all():
            break
    lives[ends] = most
    return lives


def _known_of(hulls: Sequence[Range], given: Mapping[int, Range]) -> Known:
    return lambda place: given[place] if place in given else hulls[place]


def _pairs(
    columns: Columns,
    state: State,
    rules: Sequence[CompiledRule],
    hulls: Sequence[Range],
    states: Ints,
) -> Bools:
    """Return which states may follow each, shape (states, states), from shape (columns, states)."""
    count = states.shape[1]
    follows, rows = np.ones((count, count), bool), max(1, MOST_PAIRS // count)
    for first in range(0, count, rows):
        some, given = slice(first, first + rows), dict[int, Range]()
        for before, own, codes in zip(state.before, state.own, states, strict=True):
            given[before] = columns.meanings[before].exact(codes[some, None])
            if own == before:  # which is the same in all visits
                follows[some] &= codes[some, None] == codes[None, :]
            else:
                given[own] = columns.meanings[own].exact(codes[None, :])
        for rule in rules:
            follows[some] &= rule.judge(_known_of(hulls, given)).keeps
    return follows


def _spans(
    columns: Columns,
    state: State,
    rules: Sequence[CompiledRule],
    hulls: Sequence[Range],
    codes: Ints,
) -> tuple[Ints, Ints]:
    """Return the first and the last lattice point that may follow each.

    Rules that cannot be solved count where they forbid one of these.
    """
    own, before = (columns.meanings[places[0]] for places in (state.own, state.before))
    past = {state.before[0]: before.exact(codes)}
    whole = own.between(np.asarray(0), np.asarray(own.size - 1))
    known = _known_of(hulls, past | {state.own[0]: whole})
    span = Span(np.full(len(codes), -np.inf), np.full(len(codes), np.inf))
    for rule in rules:
        solved = rule.solve(state.own[0], known)
        span = span if solved is None else span & solved
    first, last = own.points_between(span.low, span.high)

    def moved(points: Ints, move: int) -> Ints:
        """Return the next point that may follow, from one before the end that was solved for."""
        points = points - move
        for _ in range(3):
            inside = (points >= 0) & (points < own.size)
            exact = own.exact(np.clip(points, 0, own.size - 1))
            known = _known_of(hulls, past | {state.own[0]: exact})
            kept = np.logical_and.reduce([rule.judge(known).keeps for rule in rules])
            points = np.where(inside & kept, points, points + move)
        return points

    return np.clip(moved(first, 1), 0, own.size), np.clip(moved(last, -1), -1, own.size - 1)


def _any_within(ends: Bools, first: Ints, last: Ints) -> Bools:
    sums = np.concatenate([[0], np.cumsum(ends)])
    return np.asarray(sums[np.maximum(last + 1, first)] > sums[first])
