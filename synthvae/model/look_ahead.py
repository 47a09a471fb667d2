"""What later columns may still hold, given those before: so that no record runs into a dead end.

One rule at a time, a column looks ahead by itself: a later column may hold anything in its domain. Where
several rules meet in a later column, they may leave nothing of it together. So what earlier values leave
of such columns is found first (bounds consistency; Van Hentenryck, Saraswat and Deville 1998, "Design,
Implementation, and Evaluation of the Constraint Language cc(FD)").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.domains import Domain, known_of
from synthvae.rules.ranges import Range
from synthvae.rules.values import MISSING, Columns

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
    for _ in range(ROUNDS if len(reach.meeting) > 1 else 1):
        for place in reach.meeting:
            about = [rule for rule in reach.rules if place in rule.places]

            def may(own: Range, about: list[CompiledRule] = about, place: int = place) -> Bools:
                known = known_of(columns, domains, exact | left | {place: own})
                fine = np.ones(count, bool)
                for rule in about:
                    fine &= rule.judge(known).keeps
                return fine

            left[place] = _left(columns, domains[place], place, may, count)
    return left


def _left(
    columns: Columns, domain: Domain, place: int, may: Callable[[Range], Bools], count: int
) -> Range:
    """Return the range of a column's values that may be, shape (count,)."""
    values = columns.meanings[place]
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
        fine = may(own)
        if code == MISSING:
            none |= fine
            continue
        low = np.where(fine, np.minimum(low, own.low), low)
        high = np.where(fine, np.maximum(high, own.high), high)
    if values.points is None and domain.low <= domain.high:
        first, last, fine = _ends(domain, lambda a, b: may(values.between(a, b)), count)
        low = np.where(fine, np.minimum(low, values.at(first)), low)
        high = np.where(fine, np.maximum(high, values.at(last)), high)
    some = low <= high
    return Range(np.where(some, low, 0.0), np.where(some, high, 0.0), some, none)


def _ends(
    domain: Domain, may: Callable[[Ints, Ints], Bools], count: int
) -> tuple[Ints, Ints, Bools]:
    """Return the outermost points that may be, and whether any may, each of shape (count,)."""
    start, stop = np.full(count, domain.low), np.full(count, domain.high)
    fine = may(start, stop)
    low, end = start.copy(), stop.copy()
    while (low < end).any():
        middle = low + (end - low) // 2
        ok = may(low, middle)
        low, end = np.where(ok, low, np.minimum(middle + 1, end)), np.where(ok, middle, end)
    high, end = stop.copy(), low.copy()
    while (end < high).any():
        middle = end + (high - end + 1) // 2
        ok = may(middle, high)
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
