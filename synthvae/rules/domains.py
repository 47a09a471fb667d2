"""What a column may still hold: codes between two, and single ones for missing and special values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthvae._types import Bools, Ints
from synthvae.rules.compiled import CompiledRule
from synthvae.rules.ranges import Range
from synthvae.rules.values import FIRST_SPECIAL, MISSING, Columns, ColumnValues, Known

FEW_CODES = 512  # that are tried one by one; of more, the ends are moved inward
ROUNDS = 12
MOST_TRIES = 200


@dataclass(frozen=True)
class Domain:
    """Codes from `low` to `high`, both included, and the codes below 0 in `others`."""

    low: int
    high: int
    others: tuple[int, ...] = ()

    @classmethod
    def whole(cls, values: ColumnValues) -> "Domain":
        """Return all codes of a column."""
        field = values.field
        others = [FIRST_SPECIAL - i for i in range(len(field.specials))]
        return cls(0, values.size - 1, tuple(others + [MISSING] * field.nullable))

    @property
    def is_empty(self) -> bool:
        """Whether no code is left."""
        return self.low > self.high and not self.others

    @property
    def size(self) -> int:
        """Number of codes that are left."""
        return max(0, self.high - self.low + 1) + len(self.others)

    def hull(self, values: ColumnValues) -> Range:
        """Return the range of the values that are left."""
        codes = np.array([code for code in self.others if code != MISSING], np.int64)
        some = self.low <= self.high or len(codes) > 0
        held = list(values.exact(codes).low) if len(codes) else []
        if self.low <= self.high and values.points is None:
            held += list(values.at(np.array([self.low, self.high])))
        elif self.low <= self.high and values.points is not None:
            held += list(values.points[self.low : self.high + 1])
        low, high = (min(held), max(held)) if held else (0.0, 0.0)
        return Range(
            np.asarray(low, float),
            np.asarray(high, float),
            np.asarray(some),
            np.asarray(MISSING in self.others),
        )


def known_of(columns: Columns, domains: Sequence[Domain], given: Mapping[int, Range]) -> Known:
    """Return what is known where some columns have values, and all others a domain."""
    found = dict(given)

    def column(place: int) -> Range:
        if place not in found:
            found[place] = domains[place].hull(columns.meanings[place])
        return found[place]

    return column


def tightened(
    columns: Columns, domains: Sequence[Domain], rules: Sequence[CompiledRule]
) -> list[Domain]:
    """Return domains without what breaks a rule whatever the other columns hold.

    Rule by rule, until nothing changes (arc consistency; Mackworth 1977, "Consistency in Networks of
    Relations"), so that what remains may still clash.
    """
    left = list(domains)
    named = sorted({place for rule in rules for place in rule.places})
    for _ in range(ROUNDS):
        before = list(left)
        for place in named:
            about = [rule for rule in rules if place in rule.places]
            left[place] = _shaved(columns, left, place, about)
        if left == before:
            break
    return left


def _shaved(
    columns: Columns, domains: Sequence[Domain], place: int, rules: Sequence[CompiledRule]
) -> Domain:
    domain, values = domains[place], columns.meanings[place]

    def kept(given: Range, count: int) -> Bools:
        known = known_of(columns, domains, {place: given})
        fine = np.ones(count, bool)
        for rule in rules:
            fine &= rule.judge(known).keeps
        return fine

    def each(codes: Ints) -> Bools:
        return kept(values.exact(codes), len(codes))

    others = np.array(domain.others, np.int64)
    if len(others):
        domain = replace(domain, others=tuple(int(code) for code in others[each(others)]))
    if domain.high - domain.low < FEW_CODES:
        codes = np.arange(domain.low, domain.high + 1)
        fine = codes[each(codes)] if len(codes) else codes
        if not len(fine):
            return replace(domain, low=0, high=-1)
        return replace(domain, low=int(fine[0]), high=int(fine[-1]))

    def may_hold(low: int, high: int) -> bool:
        ends = np.array([low]), np.array([high])
        return bool(kept(values.between(*ends), 1)[0])

    low = _outermost(may_hold, domain.low, domain.high, lowest=True)
    if low is None:
        return replace(domain, low=0, high=-1)
    high = _outermost(may_hold, low, domain.high, lowest=False)
    return replace(domain, low=low, high=domain.high if high is None else high)


def _outermost(
    may_hold: Callable[[int, int], bool], low: int, high: int, *, lowest: bool
) -> int | None:
    """Return the lowest, or the highest, point that may hold; None where none does.

    After `MOST_TRIES` the end of what was not tried yet stands in for it.
    """
    waiting = [(low, high)]
    for _ in range(MOST_TRIES):
        if not waiting:
            return None
        first, last = waiting.pop()
        if not may_hold(first, last):
            continue
        if first == last:
            return first
        middle = (first + last) // 2
        halves = [(middle + 1, last), (first, middle)]
        waiting += halves if lowest else halves[::-1]
    return waiting[-1][0 if lowest else 1] if waiting else None
