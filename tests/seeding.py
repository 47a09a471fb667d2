"""Fixed noise for code that fits by itself and takes no test seed, such as an audit."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from synthvae.privacy.stream import RandomStream


@contextmanager
def fixed_noise(seed: int = 0) -> Iterator[None]:
    """Let every stream that is begun inside be a test mode's: other noise in each, the same each time.

    A bound that holds with 95 % may be exceeded by chance, and a bug may be missed by chance: what a
    test says about either has to be one outcome, not a draw in every build. Counts are drawn as in
    any test mode; that those of a real fit have the noise that is accounted for has tests of its own.
    """
    seeds = itertools.count(seed * 10**9)
    begin = RandomStream.__init__

    def seeded(self: RandomStream, test_seed: int | None = None) -> None:
        begin(self, next(seeds) if test_seed is None else test_seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RandomStream, "__init__", seeded)
        yield
