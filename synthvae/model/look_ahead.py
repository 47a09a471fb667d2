"""What later columns may still hold, given those before: so that no record runs into a dead end.

One rule at a time, a column looks ahead by itself: a later column may hold anything in its domain. Where
several rules meet in a later column, they may leave nothing of it together. So what earlier values leave
of such columns is found first (bounds consistency; Van Hentenryck, Saraswat and Deville 1998, "Design,
Implementation, and Evaluation of the Constraint Language cc(FD)").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.domains import Domain
from synthvae.rules.inverse import Span
from synthvae.rules.ranges import Range
from synthvae.rules.values import MISSING, Columns, Known

ROUNDS = 2
MOST_CATEGORIES = 64  # that are tried one by one


@dataclass(frozen=True)
class Reach:
    """The rules that a column's own lead to, by way of columns that are still open.

    `earlier` are the drawn columns that they name, `meeting` the open ones in which several meet.
    """

    rules: tuple[CompiledRule, ...]
    earlier: tuple[int, ...]
    meeting: tuple[int, ...]

    @classmethod
    def of(cls, column: int, rules: Sequence[CompiledRule], tight: frozenset[int]) -> "Reach":
        """Return the reach of a column that rules name; of open columns, `tight` ones count."""
        reached: list[CompiledRule] = []
        places, seen = {column}, {column}
        while places:
            found = [rule for rule in rules if rule.places & places and rule not in reached]
            reached += found
            later = {p for rule in found for p in rule.places if p > column}
            places = later - seen
            seen |= later
        own = [rule for rule in reached if column in rule.places]
        counts = {p: sum(p in rule.places for rule in reached) for p in seen - {column}}
        meeting = tuple(sorted(p for p, count in counts.items() if count > 1 and p in tight))
        kept = [rule for rule in reached if rule in own or rule.places & set(meeting)]
        earlier = {p for rule in kept for p in rule.places if p < column}
        return cls(tuple(kept), tuple(sorted(earlier)), meeting[::-1])


def narrowed(
    columns: Columns, domains: Sequence[Domain], reach: Reach, given: Mapping[int, Ints], count: int
) -> dict[int, Range]:
    """Return what is left of the columns in which rules meet, for each of some earlier values.

    Parameters
    ----------
    given
        Codes of the earlier columns, shape (count,).

    Returns
    -------
    dict
        Ranges by place, whose parts have the shape (count,).
    """
    left: dict[int, Range] = {}
    exact = {place: columns.meanings[place].exact(codes) for place, codes in given.items()}
    named = {p for rule in reach.rules for p in rule.places} - given.keys()
    hulls = {place: domains[place].hull(columns.meanings[place]) for place in named}
    for _ in range(ROUNDS if len(reach.meeting) > 1 else 1):
        for place in reach.meeting:
            about = [rule for rule in reach.rules if place in rule.places]
            view = View(columns, place, about, hulls, exact | left, count)
            left[place] = _left(view, domains[place])
    return left


@dataclass(frozen=True)
class View:
    """What some rules say of one column, for what is known of the others.

    `hulls` are what all records' columns lie in, `known` what is known of each record, shape (count,).
    """

    columns: Columns
    place: int
    rules: Sequence[CompiledRule]
    hulls: Mapping[int, Range]
    known: Mapping[int, Range]
    count: int

    def take(self, rows: Ints) -> "View":
        """Return the same for some of the records."""
        return replace(self, known=taken(self.known, rows), count=len(rows))

    def may(self, own: Range) -> Bools:
        """Return whether the column may hold a value, shape (count,)."""
        known = self._with(own)
        fine = np.ones(self.count, bool)
        for rule in self.rules:
            fine &= rule.judge(known).keeps
        return fine

    def may_between(self, low: Ints, high: Ints) -> Bools:
        """Return whether the column may hold a lattice point between two."""
        return self.may(self.columns.meanings[self.place].between(low, high))

    def estimate(self, low: int, high: int) -> tuple[Ints, Ints] | None:
        """Return the outermost points between two that may be, as the rules are solved for the column.

        The last comes before the first where none may be. None where the rules cannot be solved. The
        points may be out by one or so; `excludes` tells.
        """
        values = self.columns.meanings[self.place]
        known = self._with(values.between(np.asarray(low), np.asarray(high)))
        span = Span(np.full(self.count, -np.inf), np.full(self.count, np.inf))
        for rule in self.rules:
            own = rule.solve(self.place, known)
            if own is None:
                return None
            span &= own
        first, last = values.points_between(span.low, span.high)
        first, last = np.maximum(first, low), np.minimum(last, high)
        nothing = first > last
        return np.where(nothing, high + 1, first), np.where(nothing, high, last)

    def excludes(self, low: int, high: int, first: Ints, last: Ints) -> Bools:
        """Return whether the rules surely leave nothing of a column outside two of its points.

        That is of the points between `low` and `high`.
        """
        fine = first <= low
        if not fine.all():
            fine |= ~self.may_between(np.full(self.count, low), np.maximum(first - 1, low))
        above = last >= high
        if not above.all():
            above |= ~self.may_between(np.minimum(last + 1, high), np.full(self.count, high))
        return fine & above

    def _with(self, own: Range) -> Known:
        found = {**self.hulls, **self.known, self.place: own}
        return found.__getitem__


def _left(view: View, domain: Domain) -> Range:
    """Return the range of a column's values that may be, shape (count,)."""
    values, count = view.columns.meanings[view.place], view.count
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    none = np.zeros(count, bool)
    singles = list(domain.others)
    if values.points is not None and domain.high - domain.low < MOST_CATEGORIES:
        singles += range(domain.low, domain.high + 1)
    elif values.points is not None:
        hull = domain.hull(values)
        low, high = np.minimum(low, hull.low), np.maximum(high, hull.high)
    for code in singles:
        own = values.exact(np.array([code]))
        fine = view.may(own)
        if code == MISSING:
            none |= fine
            continue
        low = np.where(fine, np.minimum(low, own.low), low)
        high = np.where(fine, np.maximum(high, own.high), high)
    if values.points is None and domain.low <= domain.high:
        first, last, fine = _ends(view, domain)
        low = np.where(fine, np.minimum(low, values.at(first)), low)
        high = np.where(fine, np.maximum(high, values.at(last)), high)
    some = low <= high
    return Range(np.where(some, low, 0.0), np.where(some, high, 0.0), some, none)


def _ends(view: View, domain: Domain) -> tuple[Ints, Ints, Bools]:
    """Return the outermost points that may be, and whether any may, each of shape (count,)."""
    estimate = view.estimate(domain.low, domain.high)
    if estimate is None:
        return _searched_ends(view, domain)
    first, last = estimate
    some = first <= last
    right = view.excludes(domain.low, domain.high, first, last)
    for end in (first, last):
        right &= ~some | view.may_between(*(np.minimum(end, domain.high),) * 2)
    rest = np.flatnonzero(~right)
    if len(rest):
        first[rest], last[rest], some[rest] = _searched_ends(view.take(rest), domain)
    return np.minimum(first, domain.high), last, some


def _searched_ends(view: View, domain: Domain) -> tuple[Ints, Ints, Bools]:
    """Return the same by halving what is left of the domain."""
    start, stop = np.full(view.count, domain.low), np.full(view.count, domain.high)
    fine = view.may_between(start, stop)
    low, end = start.copy(), stop.copy()
    while (low < end).any():
        middle = low + (end - low) // 2
        ok = view.may_between(low, middle)
        low, end = np.where(ok, low, np.minimum(middle + 1, end)), np.where(ok, middle, end)
    high, end = stop.copy(), low.copy()
    while (end < high).any():
        middle = end + (high - end + 1) // 2
        ok = view.may_between(middle, high)
        high, end = np.where(ok, high, np.maximum(middle - 1, end)), np.where(ok, middle, end)
    return low, high, fine


def taken(known: Mapping[int, Range], whose: Ints) -> dict[int, Range]:
    """Return what is known for some of the earlier values, of the shape of `whose`."""
    found = {}
    for place, one in known.items():
        low = one.low[whose]
        high = low if one.is_exact else one.high[whose]
        found[place] = Range(low, high, one.some[whose], one.none[whose])
    return found
