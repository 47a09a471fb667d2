"""Quick fits for all lines, and the small layout and records of the model's tests for some."""

import pytest

from tests.model.conftest import features, layout
from tests.simulated import simulate_fewer
from tests.simulated_visits import draw_fewer

__all__ = ["features", "layout"]


@pytest.fixture(autouse=True)
def few_simulated_records(monkeypatch: pytest.MonkeyPatch) -> None:
    simulate_fewer(monkeypatch)
    draw_fewer(monkeypatch)
