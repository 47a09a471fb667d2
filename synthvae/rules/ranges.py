"""Values and truths that are known in part: interval arithmetic with missing values.

A `Range` says between which numbers a value lies, and whether it may be missing; a `Truth`, which of
holding, failing and being undecided may come about. An exact value is a range of one point, so that
the same arithmetic (Moore 1966, *Interval Analysis*) judges a record that is known in full, and a
record of which some columns are still to be drawn. What it says of exact values is exact; of wider
ranges it may hold possible what is not, never the other way round.

Truth has three values (Kleene 1952, *Introduction to Metamathematics*, section 64): what depends on a
missing value is undecided, unless the rest decides it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from synthvae._types import Bools, Floats

TOLERANCE = 1e-9  # relative, of numbers: 0.1 + 0.2 equals 0.3
MOST_TOLERANCE = (
    1e-4  # absolute, but for what arithmetic rounds off: of 2,000,000,000, too, 1 more is more
)
ROUNDING = 1e-14
MOMENT = 1e-3  # seconds, of dates
UNBOUNDED = 1e300


@dataclass(frozen=True)
class Range:
    """Values between `low` and `high`, both included; `some` and `none`: may be there, may be missing.

    The parts are arrays of shapes that broadcast together. Where the value is surely missing, the ends
    mean nothing. A range of exact values has the same array as both ends.
    """

    low: Floats
    high: Floats
    some: Bools
    none: Bools

    @classmethod
    def exact(cls, values: Floats, missing: Bools) -> "Range":
        """Return known values, some of which are missing."""
        return cls(values, values, ~missing, missing)

    @classmethod
    def constant(cls, value: float) -> "Range":
        """Return one value, for all rows."""
        return cls.exact(np.asarray(float(value)), np.asarray(False))

    @property
    def is_exact(self) -> bool:
        """Whether both ends are the same for all rows."""
        return self.low is self.high

    def mapped(self, function: Callable[[Floats], Floats]) -> "Range":
        """Return a function of the value that never falls."""
        low = function(self.low)
        return Range(low, low if self.is_exact else function(self.high), self.some, self.none)

    def turned(self) -> "Range":
        """Return the value with the other sign."""
        low = -self.high
        return Range(low, low if self.is_exact else -self.low, self.some, self.none)


@dataclass(frozen=True)
class Truth:
    """Whether a statement may hold, may fail, and may be undecided."""

    yes: Bools
    no: Bools
    unknown: Bools

    @classmethod
    def constant(cls, holds: bool) -> "Truth":
        """Return a truth that is known."""
        return cls(np.asarray(holds), np.asarray(not holds), np.asarray(False))

    def __and__(self, other: "Truth") -> "Truth":
        unknown = (self.unknown & (other.unknown | other.yes)) | (other.unknown & self.yes)
        return Truth(self.yes & other.yes, self.no | other.no, unknown)

    def __or__(self, other: "Truth") -> "Truth":
        return ~(~self & ~other)

    def __invert__(self) -> "Truth":
        return Truth(self.no, self.yes, self.unknown)

    @property
    def keeps(self) -> Bools:
        """Whether the statement may be kept: what is undecided is not broken."""
        return self.yes | self.unknown

    @property
    def as_range(self) -> Range:
        """The truth as the number 1 or 0."""
        low = (~self.no).astype(float)
        high = self.yes.astype(float)
        exact = not np.any(self.yes & self.no)
        return Range(low, low if exact else high, self.yes | self.no, self.unknown)


def _both(left: Range, right: Range) -> tuple[Bools, Bools]:
    return left.some & right.some, left.none | right.none


def _finite(low: Floats, high: Floats, some: Bools, none: Bools) -> Range:
    """Return a range, which is missing where a value is not finite, as after dividing by 0."""
    there = np.isfinite(low) & np.isfinite(high)
    none = none | (some & ~there)
    if low is high:
        low = np.where(there, low, 0.0)
        return Range(low, low, some & there, none)
    # Of one value, too, which stands beside ranges: what a row gives depends on that row alone.
    some = some & (there | ((low != high) & ~(np.isnan(low) & np.isnan(high))))
    clipped = np.clip(np.nan_to_num(low, nan=-UNBOUNDED), -UNBOUNDED, UNBOUNDED)
    return Range(
        clipped, np.clip(np.nan_to_num(high, nan=UNBOUNDED), -UNBOUNDED, UNBOUNDED), some, none
    )


@np.errstate(all="ignore")  # what is not finite is missing
def add(left: Range, right: Range) -> Range:
    """Return the sum."""
    low = left.low + right.low
    exact = left.is_exact and right.is_exact
    return _finite(low, low if exact else left.high + right.high, *_both(left, right))


def subtract(left: Range, right: Range) -> Range:
    """Return the difference."""
    return add(left, right.turned())


@np.errstate(all="ignore")  # what is not finite is missing
def multiply(left: Range, right: Range) -> Range:
    """Return the product."""
    if left.is_exact and right.is_exact:
        low = left.low * right.low
        return _finite(low, low, *_both(left, right))
    if right.is_exact and right.low.ndim == 0:
        return _scaled(left, right, left.low * right.low, left.high * right.low)
    products = np.broadcast_arrays(
        left.low * right.low, left.low * right.high, left.high * right.low, left.high * right.high
    )
    low, high = np.minimum.reduce(products), np.maximum.reduce(products)
    return _finite(low, high, *_both(left, right))


def _scaled(value: Range, constant: Range, first: Floats, last: Floats) -> Range:
    """Return a range of a value times a constant, from what becomes of its two ends."""
    if constant.low < 0:
        first, last = last, first
    return _finite(first, last, *_both(value, constant))


@np.errstate(all="ignore")  # what is not finite is missing
def divide(left: Range, right: Range) -> Range:
    """Return the quotient, which is missing where the divisor is 0."""
    if left.is_exact and right.is_exact:
        low = left.low / right.low
        return _finite(low, low, *_both(left, right))
    if right.is_exact and right.low.ndim == 0 and right.low != 0:
        return _scaled(left, right, left.low / right.low, left.high / right.low)
    # Not by way of 1 / right, whose rounding would take 49 / 49 below 1, and its floor to 0.
    zero = (right.low <= 0) & (right.high >= 0)
    first, last = (np.where(zero, 1.0, end) for end in (right.low, right.high))
    quotients = np.broadcast_arrays(
        left.low / first, left.low / last, left.high / first, left.high / last
    )
    low = np.where(zero, -UNBOUNDED, np.minimum.reduce(quotients))
    high = np.where(zero, UNBOUNDED, np.maximum.reduce(quotients))
    some, none = _both(left, right)
    only = zero & (right.low == right.high)
    return _finite(low, high, some & ~only, none | (some & zero))


@np.errstate(all="ignore")  # what is not finite is missing
def power(base: Range, exponent: float) -> Range:
    """Return the base to a constant power, which is missing where that is no number."""
    if base.is_exact:
        low = np.power(base.low, exponent)
        return _finite(low, low, base.some, base.none)
    ends = np.broadcast_arrays(np.power(base.low, exponent), np.power(base.high, exponent))
    low, high = np.minimum(*ends), np.maximum(*ends)
    across = (base.low <= 0) & (base.high >= 0)
    broken = np.isnan(ends[0]) | np.isnan(ends[1]) | (across & (exponent < 0))
    if exponent >= 0:
        low = np.where(across & ~broken, np.minimum(low, 0.0 if exponent else 1.0), low)
    low, high = np.where(broken, -UNBOUNDED, low), np.where(broken, UNBOUNDED, high)
    never = broken & (base.low == base.high)
    return _finite(low, high, base.some & ~never, base.none | (base.some & broken))


def absolute(value: Range) -> Range:
    """Return the value without its sign."""
    if value.is_exact:
        low = np.abs(value.low)
        return Range(low, low, value.some, value.none)
    ends = np.abs(value.low), np.abs(value.high)
    low = np.where((value.low <= 0) & (value.high >= 0), 0.0, np.minimum(*ends))
    return Range(low, np.maximum(*ends), value.some, value.none)


def floor(value: Range) -> Range:
    """Return the largest whole number that is at most the value."""
    return value.mapped(np.floor)


def rounded(value: Range) -> Range:
    """Return the nearest whole number, of two the even one."""
    return value.mapped(np.round)


def extreme(choose: Callable[..., Floats], left: Range, right: Range) -> Range:
    """Return the smaller or the larger of two values, for `choose` np.minimum or np.maximum."""
    low = choose(left.low, right.low)
    exact = left.is_exact and right.is_exact
    high = low if exact else choose(left.high, right.high)
    return Range(low, high, *_both(left, right))


def half_up(values: Floats) -> Floats:
    """Return the nearest whole numbers; halves go up, as people round."""
    return np.floor(values + 0.5 + 1e-9)


def year(moment: Range) -> Range:
    """Return the calendar year of seconds since 1970."""

    def years(seconds: Floats) -> Floats:
        days = np.clip(np.floor(seconds), -6e10, 2.5e11).astype("datetime64[s]")
        return days.astype("datetime64[Y]").astype(float) + datetime.fromtimestamp(0, UTC).year

    return moment.mapped(years)


def either(condition: Truth, left: Range, right: Range) -> Range:
    """Return the left value where the condition holds, the right one where it fails."""
    use_left, use_right = condition.yes & left.some, condition.no & right.some
    low = np.where(
        use_left,
        np.where(use_right, np.minimum(left.low, right.low), left.low),
        right.low,
    )
    none = condition.unknown | (condition.yes & left.none) | (condition.no & right.none)
    if left.is_exact and right.is_exact and not np.any(use_left & use_right):
        return Range(low, low, use_left | use_right, none)
    high = np.where(
        use_left,
        np.where(use_right, np.maximum(left.high, right.high), left.high),
        right.high,
    )
    return Range(low, high, use_left | use_right, none)


def is_missing(value: Range) -> Truth:
    """Return whether a value is missing, which is never undecided."""
    return Truth(value.none, value.some, np.zeros_like(value.none))


def tolerance(left: Floats, right: Floats) -> Floats:
    """Return how far two numbers that count as equal may be apart: less than a step of large ones."""
    largest = np.maximum(np.maximum(np.abs(left), np.abs(right)), 1.0)
    slack = largest * TOLERANCE
    if np.max(slack, initial=0.0) > MOST_TOLERANCE:
        slack = np.minimum(slack, np.maximum(MOST_TOLERANCE, largest * ROUNDING))
    return np.asarray(slack)


def _slack(left: Floats, right: Floats, absolute_slack: float | None) -> Floats | float:
    return tolerance(left, right) if absolute_slack is None else absolute_slack


def at_most(left: Range, right: Range, slack: float | None = None) -> Truth:
    """Return whether left <= right, with the tolerance of numbers, or an absolute one."""
    some, none = _both(left, right)
    best = left.low - right.high <= _slack(left.low, right.high, slack)
    if left.is_exact and right.is_exact:
        return Truth(some & best, some & ~best, none)
    worst = left.high - right.low <= _slack(left.high, right.low, slack)
    return Truth(some & best, some & ~worst, none)


def equal(left: Range, right: Range, slack: float | None = None) -> Truth:
    """Return whether two values are the same."""
    some, none = _both(left, right)
    below = left.low - right.high <= _slack(left.low, right.high, slack)
    above = right.low - left.high <= _slack(right.low, left.high, slack)
    if left.is_exact and right.is_exact:
        same = below & above
        return Truth(some & same, some & ~same, none)
    apart = (left.high - right.low > _slack(left.high, right.low, slack)) | (
        right.high - left.low > _slack(right.high, left.low, slack)
    )
    return Truth(some & below & above, some & apart, none)
