"""Line 1: a record with odd values and a new category changes no bound, width or category.

Broken where ranges are read off the table (a scaler fitted to it, categories listed from it): one
extreme record then shows in every bin and in every value that is made.
"""

import numpy as np
import pandas as pd
import pytest

from synthvae import Synthesizer
from synthvae.marginals.measure import query_weights
from tests.checklist.fitted import ODD, fitted, watch_releases
from tests.simulated import CLINIC, PLACES, clinic, with_rows
from tests.simulated_visits import SHORT, one_journey


def public_shape(synthesizer: Synthesizer) -> dict[str, object]:
    """Return everything about a model that must not depend on a single record."""
    state = synthesizer.state()
    return {
        "schema": synthesizer.schema,
        "guarantee": synthesizer.guarantee,
        "settings": synthesizer.settings,
        "size": [marginal.size for marginal in state.layout.marginals],
        "extras": [(marginal.specials, marginal.nullable) for marginal in state.layout.marginals],
        "first": [int(marginal.starts[0]) for marginal in state.layout.marginals],
        "categories": [
            marginal.tokens
            for marginal, field in zip(state.layout.marginals, CLINIC.modelled, strict=True)
            if not field.is_lattice
        ],
        "rows": synthesizer.default_rows,
    }


@pytest.mark.parametrize("place", PLACES)
def test_line_1_an_odd_record_changes_no_bound_and_no_category(place: str) -> None:
    frame = clinic(300)
    with_odd = fitted(with_rows(frame, ODD, place))
    assert public_shape(fitted(frame)) == public_shape(with_odd)
    records = with_odd.sample(3000, seed=1)
    assert records["creatinine"].max() <= 25
    assert records["cost"].max() <= 100_000
    assert set(records["ward"]) <= {"north", "south", "east", "other"}


@pytest.mark.parametrize("value", [0.9, 17.3])
def test_line_1_the_first_grid_lies_between_the_declared_bounds(
    value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A table of one value has no range of its own: where its count lands shows whose bounds are used.
    seen = watch_releases(monkeypatch, noise=False)
    made = fitted(clinic(50).assign(creatinine=value))
    place = CLINIC.modelled.index(CLINIC["creatinine"])
    before = [len(query_weights(f, made.settings.bins)) for f in CLINIC.modelled[:place]]
    cells = seen[sum(before)].exact[:-1]  # the last entry counts the missing
    starts = np.linspace(0, 251, 17).astype(int)[:-1]  # 16 cells over 0.0, 0.1, ..., 25.0
    assert len(cells) == 16
    assert cells[np.searchsorted(starts, round(10 * value), side="right") - 1] == 50


@pytest.mark.parametrize("days", [140, 150])
def test_line_1_the_grid_of_gaps_lies_between_the_declared_bounds(
    days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [one_journey(f"p{n}", [0, days, 2 * days], "ill", 5.0) for n in range(50)]
    seen = watch_releases(monkeypatch, noise=False)
    fitted(pd.concat(people, ignore_index=True), SHORT)
    cells = next(part.exact for part in seen if part.what == "counts of gap")
    starts = np.linspace(0, 174, 17).astype(int)[:-1]  # 16 cells over 7, 8, ..., 180 days
    assert len(cells) == 16
    assert cells[np.searchsorted(starts, days - 7, side="right") - 1] == 2 * 50
