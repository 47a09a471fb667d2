"""Audits fit thousands of times; what they observe does not hang on what is simulated within a fit."""

import pytest

from synthvae.audit import AuditResult
from tests.audit.small_audit import small_audit
from tests.simulated import simulate_fewer


@pytest.fixture(autouse=True)
def few_simulated_records(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_fewer(monkeypatch)


@pytest.fixture(scope="session")
def sound() -> AuditResult:
    return small_audit()
