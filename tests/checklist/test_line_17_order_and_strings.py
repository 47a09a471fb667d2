"""Line 17: the order of rows does not matter; identifiers, rare strings and dates do not pass.

Broken where somebody's place in the table decides their weight, and where a category, a name or a
date of one person is copied into what is made.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthvae.model import training as training_module
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from tests.checklist.fitted import fitted, seed, watch_releases
from tests.model.gradients import no_latents
from tests.simulated import CLINIC, VISITS, clinic, visits
from tests.simulated_visits import SHORT, journeys

# Every number begins with so many letters that the bytes of weights do not spell them by chance.
NUMBER = "NHS number"
RARE_WARD, RARE_DAY = "leprosarium of Saint Giles", "1987-06-05"
RARE_ID = f"{NUMBER} 943 476 5919"
STAYS = Schema.from_dict(
    {
        "name": "stays",
        "primaryKey": "patient",
        "patients": 300,
        "fields": [
            {"name": "patient"},
            {"name": "ward", "constraints": {"enum": ["north", "south"]}, "invalid": "other"},
            {
                "name": "admitted",
                "type": "date",
                "constraints": {"minimum": "1950-01-01", "maximum": "2020-12-31"},
            },
        ],
    }
)
DAYS = 25_933  # from the first of January 1950 to the end of 2020


def stays() -> pd.DataFrame:
    """Return stays around 2015, but for one patient of a rare ward, day and number."""
    draws = np.random.default_rng(seed(0))
    days = pd.Timestamp("2015-01-01") + pd.to_timedelta(draws.integers(0, 365, 300), unit="D")
    frame = pd.DataFrame(
        {
            "patient": [f"{NUMBER} 100 000 {i:04d}" for i in range(300)],
            "ward": draws.choice(["north", "south"], 300),
            "admitted": days.strftime("%Y-%m-%d"),
        }
    )
    frame.loc[17] = [RARE_ID, RARE_WARD, RARE_DAY]
    return frame


@pytest.fixture(scope="module")
def model() -> Synthesizer:
    return fitted(stays(), STAYS, epsilon=3.0)


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    order = np.random.default_rng(1).permutation(len(frame))
    return frame.iloc[order].reset_index(drop=True)


TABLES = [
    (CLINIC, clinic(80)),
    # Of whom all rows are kept: which ones would be, otherwise, is a draw of its own.
    (VISITS, visits(60).groupby("patient", sort=False).head(3).reset_index(drop=True)),
]
IN_TIME = (SHORT, journeys(60))


@pytest.mark.parametrize(
    ("schema", "frame"), [*TABLES, IN_TIME], ids=["rows", "patients", "in time"]
)
def test_line_17_permuted_rows_give_the_same_counts_and_moments(
    schema: Schema, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = []
    for table in (frame, shuffled(frame)):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch)
            fitted(table, schema, test_seed=seed(1))
        exact.append([part.exact.tolist() for part in seen])
    assert exact[0] == exact[1]


@pytest.mark.parametrize(("schema", "frame"), TABLES, ids=["rows", "patients"])
def test_line_17_permuted_rows_give_the_same_model(
    schema: Schema, frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With everybody in every step and the same latent noise, order is all that is left.
    monkeypatch.setattr(training_module, "draw_latents", no_latents)
    first, second = (
        fitted(table, schema, test_seed=seed(1), sampling_rate=1.0).state().weights
        for table in (frame, shuffled(frame))
    )
    for name, weight in first.items():
        assert weight == pytest.approx(second[name], abs=1e-3), name


def test_line_17_rare_strings_and_identifiers_do_not_pass(
    tmp_path: Path, model: Synthesizer
) -> None:
    made = model.sample(3000, seed=1)
    assert set(made["ward"]) <= {"north", "south", "other"}
    assert made["patient"].str.fullmatch(r"synthetic-\d{7}").all()
    model.save(tmp_path / "model")
    saved = b"".join(file.read_bytes() for file in (tmp_path / "model").iterdir())
    text = made.to_csv().encode() + saved
    for planted in (RARE_WARD, RARE_ID, "leprosarium", NUMBER, "943 476"):
        assert planted.encode() not in text, planted


def test_line_17_a_rare_date_is_no_more_likely_than_its_neighbours(model: Synthesizer) -> None:
    # The day is on the calendar, so it may be drawn: as seldom as other days of its years.
    marginal = model.state().layout.marginals[-1]
    code = (pd.Timestamp(RARE_DAY) - pd.Timestamp("1950-01-01")).days
    assert marginal.size == DAYS
    cell = int(np.searchsorted(marginal.starts, code, side="right")) - 1
    assert marginal.cell_sizes[cell] > 100
    days = pd.to_datetime(model.sample(20_000, seed=1)["admitted"])
    assert (days == RARE_DAY).sum() < 20
    assert (days.dt.year == 2015).mean() > 0.5  # what many share does pass
