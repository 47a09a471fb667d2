"""Quick fits for all lines, and the small layout and records of the model's tests for some."""

import pytest

from synthvae.model import calibration, coupling
from tests.model.conftest import features, layout

__all__ = ["features", "layout"]


@pytest.fixture(autouse=True)
def few_simulated_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit couplings and margins to fewer records of the model's own: post-processing, but slow."""
    monkeypatch.setattr(coupling, "POPULATION", 256)
    monkeypatch.setattr(calibration, "POPULATION", 256)
