"""One small audit of a sound fit, for tests of what is said about audits."""

import functools

import pytest

from synthvae.audit import AuditResult, audit_worlds, tiny_case
from tests.simulated import simulate_fewer


@functools.cache
def small_audit() -> AuditResult:
    """Return the result of ten fits of each world, seen from outside."""
    with pytest.MonkeyPatch.context() as patch:
        simulate_fewer(patch)
        return audit_worlds(tiny_case(4.0), 10, inside=False)
