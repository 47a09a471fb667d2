"""Whether any record can keep some rules, and if none can, a smallest set of them that clashes.

Boxes of records are divided until one is found whose records all keep the rules, or none is left that
may (branch and prune; Van Hentenryck, McAllester and Kapur 1997, "Solving Polynomial Systems Using a
Branch and Prune Approach"). The search is bounded: what it has not decided then counts as possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.domains import Domain, known_of, tightened
from synthvae.rules.ranges import Range
from synthvae.rules.values import MISSING, Columns

BATCH = 256  # boxes that are judged together
LARGE_BATCH = 2**15  # to show a clash along all of a diagonal: a < b and b < a
MOST_BATCHES = 60


@dataclass(frozen=True)
class _Boxes:
    """Some boxes: between two codes of each named column; `open` ones hold its other codes, too."""

    low: Ints  # shape (boxes, named columns)
    high: Ints
    open: Bools

    def take(self, index: Ints | slice | Bools) -> "_Boxes":
        return _Boxes(self.low[index], self.high[index], self.open[index])

    def within(self, k: int, low: Ints | int, high: Ints | int) -> "_Boxes":
        """Return the boxes between other codes of one column, whose other codes are left out."""
        lows, highs, is_open = self.low.copy(), self.high.copy(), self.open.copy()
        lows[:, k], highs[:, k], is_open[:, k] = low, high, False
        return _Boxes(lows, highs, is_open)

    @classmethod
    def joined(cls, parts: Sequence["_Boxes"]) -> "_Boxes":
        return cls(
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.open for part in parts]),
        )


def can_be_kept(
    columns: Columns,
    domains: Sequence[Domain],
    rules: Sequence[CompiledRule],
    largest: int = BATCH,
) -> bool | None:
    """Return whether a record can keep all rules; None where the search has not decided it.

    In its second half the search judges `largest` boxes at a time.
    """
    if not rules:
        return True
    domains = tightened(columns, domains, rules)
    named = sorted({place for rule in rules for place in rule.places})
    if any(domains[place].is_empty for place in named):
        return False
    start = np.array([[domains[place].low for place in named]])
    stop = np.array([[domains[place].high for place in named]])
    waiting = _Boxes(start, stop, np.array([[len(domains[p].others) > 0 for p in named]]))
    for count in range(MOST_BATCHES):
        if not len(waiting.low):
            return False
        size = BATCH if count < MOST_BATCHES // 2 else largest
        batch, waiting = waiting.take(slice(-size, None)), waiting.take(slice(0, -size))
        known = known_of(columns, domains, _ranges(columns, domains, named, batch))
        may, sure = np.ones(len(batch.low), bool), np.ones(len(batch.low), bool)
        for rule in rules:
            truth = rule.judge(known)
            may &= truth.keeps
            sure &= ~truth.no
        single = ((batch.low == batch.high) & ~batch.open).all(axis=1)
        if (may & (sure | single)).any():
            return True
        waiting = _Boxes.joined((waiting, _divided(batch.take(may), domains, named)))
    return None


def _ranges(
    columns: Columns, domains: Sequence[Domain], named: Sequence[int], boxes: _Boxes
) -> dict[int, Range]:
    ranges = {}
    for k, place in enumerate(named):
        values, low, high = columns.meanings[place], boxes.low[:, k], boxes.high[:, k]
        inside = values.between(low, high)
        hull = domains[place].hull(values)
        # Categories lie in no order, unless there is one alone.
        wide = boxes.open[:, k] | ((low < high) & (values.points is not None)) | (low > high)
        ranges[place] = Range(
            np.where(wide, hull.low, inside.low),
            np.where(wide, hull.high, inside.high),
            np.where(wide, hull.some, inside.some),
            np.where(boxes.open[:, k], hull.none, inside.none & (low == MISSING)),
        )
    return ranges


def _divided(boxes: _Boxes, domains: Sequence[Domain], named: Sequence[int]) -> _Boxes:
    """Return parts of each box: what is missing or special apart, else halves of its widest column."""
    width = np.where(boxes.open, np.iinfo(np.int64).max, boxes.high - boxes.low)
    widest = width.argmax(axis=1)
    is_open = boxes.open[np.arange(len(widest)), widest]
    parts = []
    for k in np.unique(widest[is_open]):
        some = boxes.take(is_open & (widest == k))
        parts += [some.within(k, code, code) for code in domains[named[k]].others]
        inside = some.take(some.low[:, k] <= some.high[:, k])
        parts.append(inside.within(k, inside.low[:, k], inside.high[:, k]))
    for k in np.unique(widest[~is_open]):
        some = boxes.take(~is_open & (widest == k))
        middle = some.low[:, k] + (some.high[:, k] - some.low[:, k]) // 2
        parts.append(some.within(k, middle + 1, some.high[:, k]))
        parts.append(some.within(k, some.low[:, k], middle))
    return _Boxes.joined([boxes.take(slice(0, 0)), *parts])


def clashing(
    columns: Columns, domains: Sequence[Domain], rules: Sequence[CompiledRule]
) -> tuple[CompiledRule, ...]:
    """Return a smallest set of rules that no record can keep together; empty where one can.

    Each of the set is needed: without it, the others can be kept (or that is undecided).
    """
    needed = _suspects(columns, domains, rules)
    for rule in needed:
        rest = [other for other in needed if other is not rule]
        if can_be_kept(columns, domains, rest, LARGE_BATCH) is False:
            needed = rest
    return tuple(needed)


def _suspects(
    columns: Columns, domains: Sequence[Domain], rules: Sequence[CompiledRule]
) -> list[CompiledRule]:
    """Return rules that clash: all, or those about the columns of one, which are looked at longer."""
    kept = can_be_kept(columns, domains, rules)
    if kept is not None:
        return [] if kept else list(rules)
    for places in dict.fromkeys(rule.places for rule in rules):
        about = [rule for rule in rules if rule.places <= places]
        if len(about) > 1 and can_be_kept(columns, domains, about, LARGE_BATCH) is False:
            return about
    return []
