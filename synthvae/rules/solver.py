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
MOST_BATCHES = 60


@dataclass(frozen=True)
class _Boxes:
    """Some boxes: between two codes of each named column; `open` ones hold its other codes, too."""

    low: Ints  # shape (boxes, named columns)
    high: Ints
    open: Bools

    def take(self, index: Ints | slice | Bools) -> "_Boxes":
        return _Boxes(self.low[index], self.high[index], self.open[index])

    @classmethod
    def joined(cls, parts: Sequence["_Boxes"]) -> "_Boxes":
        return cls(
            np.concatenate([part.low for part in parts]),
            np.concatenate([part.high for part in parts]),
            np.concatenate([part.open for part in parts]),
        )


def can_be_kept(
    columns: Columns, domains: Sequence[Domain], rules: Sequence[CompiledRule]
) -> bool | None:
    """Return whether a record can keep all rules; None where the search has not decided it."""
    if not rules:
        return True
    domains = tightened(columns, domains, rules)
    named = sorted({place for rule in rules for place in rule.places})
    if any(domains[place].is_empty for place in named):
        return False
    start = np.array([[domains[place].low for place in named]])
    stop = np.array([[domains[place].high for place in named]])
    waiting = _Boxes(start, stop, np.array([[len(domains[p].others) > 0 for p in named]]))
    for _ in range(MOST_BATCHES):
        if not len(waiting.low):
            return False
        batch, waiting = waiting.take(slice(-BATCH, None)), waiting.take(slice(0, -BATCH))
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
        values, low, high = columns.values[place], boxes.low[:, k], boxes.high[:, k]
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
    parts = [boxes.take(slice(0, 0))]
    for box in range(len(boxes.low)):
        one = boxes.take(slice(box, box + 1))
        width = np.where(one.open[0], np.iinfo(np.int64).max, one.high[0] - one.low[0])
        k = int(width.argmax())
        if one.open[0, k]:
            codes = domains[named[k]].others
            pieces = [(code, code) for code in codes]
            if one.low[0, k] <= one.high[0, k]:
                pieces.append((int(one.low[0, k]), int(one.high[0, k])))
        else:
            middle = int(one.low[0, k] + width[k] // 2)
            pieces = [(middle + 1, int(one.high[0, k])), (int(one.low[0, k]), middle)]
        for low, high in pieces:
            part = _Boxes(one.low.copy(), one.high.copy(), one.open.copy())
            part.low[0, k], part.high[0, k], part.open[0, k] = low, high, False
            parts.append(part)
    return _Boxes.joined(parts)


def clashing(
    columns: Columns, domains: Sequence[Domain], rules: Sequence[CompiledRule]
) -> tuple[CompiledRule, ...]:
    """Return a smallest set of rules that no record can keep together; empty where one can.

    Each of the set is needed: without it, the others can be kept (or that is undecided).
    """
    if can_be_kept(columns, domains, rules) is not False:
        return ()
    needed = list(rules)
    for rule in rules:
        rest = [other for other in needed if other is not rule]
        if can_be_kept(columns, domains, rest) is False:
            needed = rest
    return tuple(needed)
