"""A path, text or a list where a schema, a table or settings belong: one sentence with the way out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from synthvae import Schema, Synthesizer
from synthvae.config import RunConfig
from synthvae.errors import ConfigError
from synthvae.pipeline import run, split
from synthvae.scoring import evaluate
from synthvae.table.arguments import check_frame
from tests.hospital import fitted

SCHEMA = Schema.from_dict({"patients": 40, "fields": [{"name": "x", "type": "boolean"}]})
FRAME = pd.DataFrame({"x": [True, False] * 20})
ANY = cast(Any, "in.csv")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Synthesizer(ANY, 1.0), r"read the file with Schema\.load\('in\.csv'\)"),
        (lambda: Synthesizer(cast(Any, Path("a")), 1.0), r"Schema\.load\('a'\)"),
        (lambda: Synthesizer(cast(Any, {"fields": []}), 1.0), r"a dict, not a Schema; .*from_dict"),
        (lambda: Synthesizer(cast(Any, FRAME), 1.0), "the table comes later, in fit"),
        (lambda: Synthesizer(SCHEMA, 1.0, settings=cast(Any, {"steps": 3})), "not Settings"),
        (lambda: Synthesizer(SCHEMA, 1.0).fit(ANY), r"read_table\('in\.csv'\)"),
        (lambda: Synthesizer(SCHEMA, 1.0).fit(cast(Any, FRAME["x"])), r"series\.to_frame\(\)"),
        (lambda: Synthesizer(SCHEMA, 1.0).fit(cast(Any, [{"x": 1}])), r"pandas\.DataFrame\(rows\)"),
        (lambda: Synthesizer(SCHEMA, 1.0).sample(3), "has not been fitted; call fit first"),
        (lambda: Synthesizer(SCHEMA, 1.0).guarantee, "has not been fitted"),
        (lambda: Synthesizer(SCHEMA, 1.0).save("m"), "has not been fitted"),
        (
            lambda: evaluate(ANY, FRAME, FRAME, SCHEMA),
            "train is the text 'in.csv', not a data frame",
        ),
        (lambda: evaluate(FRAME, FRAME, ANY, SCHEMA), "synthetic is the text"),
        (lambda: evaluate(FRAME, FRAME, FRAME, ANY), r"Schema\.load"),
        (lambda: run(ANY), r"RunConfig\.load\(path\)"),
        (lambda: split(ANY, SCHEMA, cast(RunConfig, None), b""), "read_table"),
    ],
)
def test_the_error_names_the_call_that_makes_what_is_needed(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.assign(id=1).set_index(["id", "x"]), r"MultiIndex \(id, x\), which would be lost"),
        (pd.concat({"one": FRAME}, axis=1), "columns of 2 levels; give each column one name"),
    ],
)
def test_several_levels_are_refused(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_frame(frame, "frame")


def test_conditions_that_are_no_mapping_are_refused() -> None:
    pytest.importorskip("torch")
    with pytest.raises(ConfigError, match=r"where is 'sex=female'; give a mapping of columns"):
        fitted().sample(3, where=cast(Any, "sex=female"))
