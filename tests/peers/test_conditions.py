"""Sampling under conditions, with seeds, on another day."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from synthvae.errors import ConfigError
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems
from tests.peers.fits import any_of, schema_of, short_fit

FIELDS: list[dict[str, Any]] = [
    {"name": "sex", "constraints": {"enum": ["female", "male"]}},
    {"name": "score", "type": "number", "step": 0.5, "constraints": {"minimum": 0, "maximum": 10}},
    {
        "name": "seen",
        "type": "datetime",
        "step": "15 min",
        "constraints": {"minimum": "2024-01-01T08:00:00", "maximum": "2024-01-01T18:00:00"},
    },
]
HALVES = [i / 2 for i in range(21)]
TIMES = list(pd.date_range("2024-01-01 08:00", "2024-01-01 18:00", freq="15min"))


@pytest.fixture(scope="module")
def model() -> Synthesizer:
    frame = pd.DataFrame(
        {
            "sex": any_of(["female", "male"], p=[0.98, 0.02]),
            "score": any_of(HALVES, seed=1),
            "seen": any_of(TIMES, seed=2),
        }
    )
    return short_fit(schema_of(*FIELDS), frame)


@pytest.mark.parametrize(
    "where",
    [
        {"sex": "male"},
        {"score": 7.5},
        {"sex": "male", "score": 0.5},
        {"sex": "male", "seen": ("2024-01-01T17:20:00", None)},
    ],
    ids=str,
)
def test_all_rows_that_are_asked_for_are_given(model: Synthesizer, where: dict[str, Any]) -> None:
    made = model.sample(10_000, where=where, seed=3)
    assert len(made) == 10_000
    assert find_problems(made, model.schema) == []
    if "sex" in where:
        assert set(made["sex"]) == {"male"}
    if "score" in where:
        assert set(made["score"]) == {where["score"]}
    if "seen" in where:
        assert set(made["seen"].dt.strftime("%H:%M")) == {"17:30", "17:45", "18:00"}


def test_a_condition_keeps_to_the_columns_step(model: Synthesizer) -> None:
    made = model.sample(500, where={"score": (1.2, 3.4)}, seed=3)
    assert set(made["score"]) == {1.5, 2.0, 2.5, 3.0}
    with pytest.raises(ConfigError, match=r"where 'score' is 7\.3, which is not 0 and whole steps"):
        model.sample(10, where={"score": 7.3}, seed=3)


SCRIPT = """
import sys
from synthvae import Synthesizer
model = Synthesizer.load(sys.argv[1])
for where in (None, {"sex": "male"}):
    print(model.sample(3000, where=where, seed=11).to_csv(), end="")
"""


def test_a_seed_gives_the_same_rows_in_another_process(model: Synthesizer, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED")
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model")]
    changed = os.environ | dict.fromkeys(names, "4")
    ran = subprocess.run(command, env=changed, capture_output=True, text=True, check=True)
    conditions: list[dict[str, Any] | None] = [None, {"sex": "male"}]
    with threadpool_limits(1):
        here = [model.sample(3000, where=where, seed=11).to_csv() for where in conditions]
    assert ran.stdout == "".join(here)
