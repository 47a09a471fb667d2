"""The bound that holds whatever the mechanism: weaker than an audit's, which knows its claim."""

import math

from synthvae.audit.bounds import Errors


def plain_epsilon(errors: Errors, delta: float, level: float) -> float:
    """Return the largest epsilon that is refuted at a delta, whatever the mechanism.

    A test with false-positive rate a and false-negative rate b shows epsilon >= log((1 - delta - b) / a)
    and the same with a and b exchanged (Kairouz, Oh and Viswanath 2015, Theorem 2.1), at the upper
    limits of both rates.
    """
    first, second = errors.upper(level)
    odds = max((1 - delta - second) / first, (1 - delta - first) / second)
    return math.log(max(odds, 1.0))
