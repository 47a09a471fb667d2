"""Keep small matrix products on one thread."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold numpy's BLAS to one thread.

    The products here are small: more threads gain nothing and wait for each other (sampling took
    three times as long on two), and one thread adds numbers in one order whatever the machine.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
