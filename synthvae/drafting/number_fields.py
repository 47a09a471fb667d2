"""A draft of a field of numbers: bounds, decimals, step, codes for missing, heaps, few categories."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae.drafting import profile as profiles
from synthvae.drafting.profile import Profile

FINEST = 1e-9  # the finest lattice of a schema
FEW_VALUES = 12  # of numbers, that may be categories
COMMON = 5  # rows: what stands in fewer is a rare exception, and never proposed
LATTICE_VALUES = 6  # distinct values from which on a common step may be inferred
LEAST_ODDS = 30  # against as many values keeping a step by accident
HEAP_SHARE = 0.05
HEAP_VALUES = 20  # other distinct values that a heap stands out from
HEAP_RATIO = 8  # times as common as the fourth commonest value
NARROW = 10  # a range of whole numbers below it shows single patients, if read off the data
ROUND = 5  # what the ends of narrow ranges are multiples of; 1 to 5 and 0 to 1 are usual, too
FAR = 2  # times the bounds' width outside: no measurement beyond the bounds, but an error
# What files write for missing; each counts only where it stands apart from the other values.
MISSING_CODES = frozenset(
    [
        *(float(f"-{code}") for code in (1, 2, 3, 4, 5, 6, 7, 8, 9, 77, 88, 97, 98, 99)),
        *(float(f"-{code}") for code in (777, 888, 999, 9999, 99999)),
        *map(float, (7, 8, 9, 77, 88, 97, 98, 99, 777, 888, 997, 998, 999, 7777, 8888, 9997)),
        *map(float, (9998, 9999, 77777, 88888, 99998, 99999, 999999, 9999999, 99.9, 999.9)),
    ]
)


@dataclass
class Numbers:
    """What the distinct numbers of a column look like.

    Attributes
    ----------
    points, counts
        The distinct usable numbers, sorted, without codes for missing; and their rows.
    special
        Codes for missing that are common, then heaps.
    heaps
        Those among `points` that hold a large share by themselves.
    decimals, step
        Of the values; no step where they have none wider than the last decimal.
    limits
        The number of a censored spelling such as `<5`, and of one such as `>90`; None without one.
    unread
        Whether cells are left that are no usable number, or a rare code.
    reasons
        What a person should check, in words.
    """

    points: NDArray[np.float64]
    counts: NDArray[np.int64]
    special: tuple[float, ...] = ()
    heaps: tuple[float, ...] = ()
    decimals: int = 0
    step: float | None = None
    limits: tuple[float | None, float | None] = (None, None)
    unread: bool = False
    reasons: list[str] = field(default_factory=list)

    @property
    def low(self) -> float:
        return float(self.points[0])

    @property
    def high(self) -> float:
        return float(self.points[-1])

    def share_inside(self, low: float, high: float) -> float:
        """Return the share of the rows whose value lies between two bounds."""
        inside = (self.points >= low) & (self.points <= high)
        return float(self.counts[inside].sum() / self.counts.sum())


def describe_numbers(profile: Profile) -> Numbers:
    """Return what a profile's numbers look like."""
    where = profile.usable
    values, places = np.unique(profile.numbers[where], return_inverse=True)
    counts = np.bincount(places, profile.counts[where], len(values)).astype(np.int64)
    numbers = Numbers(values, counts)
    _note_unread(numbers, profile)
    if profile.rows >= 20:
        _set_codes_aside(numbers)
    numbers.decimals = profiles.decimals_of(numbers.points)
    if profile.rows >= profiles.FEW:
        _find_heaps(numbers)
        numbers.step = _step(numbers)
    return numbers


def _note_unread(numbers: Numbers, profile: Profile) -> None:
    censored = profile.numerals.censored if profile.numerals is not None else None
    unread = np.isnan(profile.numbers)
    if profile.numerals is not None:
        numbers.limits = profile.numerals.limits
    if censored is not None and len(censored) == len(unread):
        unread = unread & ~censored
    if unread.any():
        numbers.unread = True
        numbers.reasons.append(
            "some values are not numbers, and are read as missing: correct them, or list them in "
            "missingValues"
        )
    if (~np.isnan(profile.numbers) & ~profile.usable).any():
        numbers.unread = True
        numbers.reasons.append(
            "some values are infinite or absurdly large, and are read as missing: correct them"
        )


def _set_codes_aside(numbers: Numbers) -> None:
    """Move the codes for missing that stand apart from the values into `special`; drop rare ones."""
    values = numbers.points
    coded = np.isin(values, list(MISSING_CODES))
    if not coded.any() or coded.all():
        return
    rest = values[~coded]
    below = coded & (values < 0) & (rest.min() >= 0)
    above = np.zeros(len(values), bool)
    for place in range(len(values) - 1, 0, -1):  # from the largest down, while a gap may follow
        if not coded[place] or values[place] <= rest.max():
            break
        others = values[:place][~below[:place]]
        gap, width = values[place] - others[-1], others[-1] - others[0]
        if gap >= max(2, width / 2):
            above[place:] = True
    codes = below | above
    if not codes.any():
        return
    common = codes & (numbers.counts >= COMMON)
    numbers.special = tuple(float(value) for value in values[common])
    if common.any():
        numbers.reasons.append(
            "`special` has what are usual codes for missing: if they mean that in every column, list "
            "them under missingValues instead"
        )
    if (codes & ~common).any():
        numbers.unread = True
        numbers.reasons.append(
            "a few values look like a code for missing, and are read as missing: is it so?"
        )
    numbers.points, numbers.counts = values[~codes], numbers.counts[~codes]


def _find_heaps(numbers: Numbers) -> None:
    """Add values that hold a large share by themselves, such as 0 or a limit of detection."""
    counts, total = numbers.counts, numbers.counts.sum()
    if len(counts) <= HEAP_VALUES:
        return
    order = np.argsort(-counts, kind="stable")
    usual = max(counts[order[3]], 1)
    high = [i for i in order[:3] if counts[i] >= max(HEAP_SHARE * total, HEAP_RATIO * usual)]
    numbers.heaps = tuple(sorted(float(numbers.points[i]) for i in high))
    if numbers.heaps:
        numbers.special = tuple(dict.fromkeys((*numbers.special, *numbers.heaps)))
        numbers.reasons.append(
            "`special` has a number that very many rows hold: does it have a meaning of its own, such "
            "as none, a cap or a limit of detection?"
        )


def _step(numbers: Numbers) -> float | None:
    """Return the widest step that all values keep, where it is wider than the last decimal."""
    if len(numbers.points) < LATTICE_VALUES or numbers.decimals > profiles.MOST_DECIMALS:
        return None
    if np.abs(numbers.points).max() * 10.0**numbers.decimals >= 2**53:
        return None
    units = np.round(numbers.points * 10.0**numbers.decimals).astype(np.int64)
    size = int(np.gcd.reduce(units - units[0]))
    if size <= 1 or (len(units) - 1) * math.log(size) < math.log(LEAST_ODDS):
        return None
    return size / 10.0**numbers.decimals


def as_categories(numbers: Numbers) -> bool:
    """Whether few, common values with gaps between them are categories rather than a lattice."""
    values, counts = numbers.points, numbers.counts
    if len(values) > FEW_VALUES or counts.min() < COMMON or counts.sum() < profiles.FEW:
        return False
    if numbers.decimals > profiles.MOST_DECIMALS:
        return False
    if len(values) == 1:
        return True
    places = round((values[-1] - values[0]) / (numbers.step or 10.0**-numbers.decimals)) + 1
    return bool(places > len(values) * (1 if len(values) <= FEW_VALUES / 2 else 1.5))


def category_field(numbers: Numbers) -> dict[str, Any]:
    """Return a field whose categories are the numbers, and its codes for missing."""
    values = sorted({*numbers.points.tolist(), *numbers.special})
    kind = "integer" if all(value == int(value) for value in values) else "number"
    return {"type": kind, "constraints": {"enum": [f"{tidy(value)}" for value in values]}}


def outward_bounds(numbers: Numbers) -> tuple[float, float]:
    """Return the least and largest value, rounded outward; a heap at an end is that end.

    Narrow ranges of whole numbers are the narrowest of 0-1, 0-5, 1-5, 0-10, 1-10, 5-10, ... that holds
    them: rounded to their own last digit, they would show the extremes of the data themselves.
    """
    low, high = numbers.low, numbers.high
    if numbers.decimals == 0 and high - low < NARROW:
        return _narrow_bounds(low, high)
    width = high - low or abs(high) or 1.0
    size = max(10.0 ** math.floor(math.log10(width)), FINEST)
    low, high = math.floor(low / size) * size, math.ceil(high / size) * size
    digits = max(0, -math.floor(math.log10(size)))
    high = high if high > low else low + size
    low, high = round(low, digits), round(high, digits)
    if numbers.heaps and numbers.heaps[0] == numbers.low:
        low = numbers.low
    if numbers.heaps and numbers.heaps[-1] == numbers.high:
        high = numbers.high
    return low, high


def _narrow_bounds(low: float, high: float) -> tuple[float, float]:
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    first = math.floor(low / ROUND) * ROUND
    last = math.ceil(high / ROUND) * ROUND
    if first == last > 0:
        first -= ROUND
    elif first == last:
        last += ROUND
    return float(1 if low >= 1 and first == 0 else first), float(last)


def lattice_field(
    numbers: Numbers, bounds: tuple[float, float], computed_decimals: int | None = None
) -> dict[str, Any]:
    """Return a field on a lattice between two bounds, which a step may move inward to meet values.

    Parameters
    ----------
    computed_decimals
        Decimals to keep of numbers that have more digits than a measurement; by default a thousandth
        of the range.
    """
    low, high = _within_limits(numbers, bounds)
    drafted: dict[str, Any] = {}
    decimals = numbers.decimals
    if decimals > profiles.MOST_DECIMALS:
        finest = min(9, max(0, 3 - math.floor(math.log10(high - low))))
        decimals = max(finest, computed_decimals or 0)
        numbers.reasons.append(
            "the values have the digits of a computation; `decimals` keeps fewer"
        )
    decimals = min(decimals, 14 - math.floor(math.log10(max(abs(low), abs(high), 1))))
    whole = decimals == 0 and numbers.decimals == 0
    drafted["type"] = "integer" if whole else "number"
    if whole:
        low, high = math.ceil(low), math.floor(high)
    else:
        drafted["decimals"] = decimals
    if numbers.step is not None and decimals == numbers.decimals:
        drafted["step"] = tidy(numbers.step)
        low = _met(low, numbers, decimals)
        numbers.reasons.append("every value keeps this `step`: is that how it is recorded?")
    if numbers.special:
        drafted["special"] = [tidy(value) for value in numbers.special]
    drafted["constraints"] = {"minimum": tidy(low), "maximum": tidy(high)}
    if numbers.unread:
        drafted["invalid"] = "missing"
    elif numbers.share_inside(low, high) < 1:
        width = FAR * (high - low)
        near = numbers.share_inside(low - width, high + width) == 1
        drafted["invalid"] = "clip" if near else "missing"
    return drafted


def _within_limits(numbers: Numbers, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return bounds that lie at a censoring limit where no number lies beyond it."""
    low, high = bounds
    least, most = numbers.limits
    if least is not None and low < least <= numbers.low and least < high:
        low = least
    if most is not None and numbers.high <= most < high and most > low:
        high = most
    if (low, high) != bounds:
        numbers.reasons.append(
            "no number lies beyond a limit of the censored ones, so that the bound is that limit: is "
            "it the limit of detection?"
        )
    return low, high


def _met(low: float, numbers: Numbers, decimals: int) -> float:
    """Return the least bound from `low` on from which steps meet the values."""
    assert numbers.step is not None
    scale = 10.0**decimals
    size, first = round(numbers.step * scale), round(numbers.low * scale)
    start = math.ceil(round(low * scale, 6))
    return float(round((start + (first - start) % size) / scale, decimals))


def tidy(value: float) -> float | int:
    """Return a number as a whole one where it is one."""
    return int(value) if value == int(value) else float(value)
