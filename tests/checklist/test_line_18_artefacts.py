"""Line 18: artefacts hold an allow-list of things, and no string that was planted in real rows.

Broken where a log, a hash of the table, a list of categories or a pickled object rides along. Whatever
is new in `release/` fails here until somebody has asked who paid for it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.numpy import load

from synthvae.release_folder import write_release
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.synthesizer import Synthesizer
from tests.checklist.fitted import fitted, training_of
from tests.simulated import VISITS, visits

FILES = {
    "README.txt",
    "guarantee.json",
    "schema.yaml",
    "synthetic.csv",
    "model/guarantee.json",
    "model/model.json",
    "model/model.safetensors",
    "model/schema.yaml",
}
ABOUT = {"format", "version", "private", "why_void", "patients", "settings"}
ABOUT |= {"arrays_sha256", "guarantee_sha256"}
PROMISE = {"version", "valid", "why_void", "epsilon", "epsilon_budget", "delta", "unit"}
PROMISE |= {"neighbours", "declared_patients", "rows_per_patient", "accountant", "stages"}
PROMISE |= {"public_inputs", "not_covered", "schema_digest", "software", "code_sha256"}
PROMISE |= {"group_epsilon", *(f"group_epsilon.{size}" for size in (2, 3, 4, 5)), "replace_epsilon"}
PROMISE |= {
    "epsilon_before_fit",
    "assumptions",
    "assumptions.id",
    "assumptions.text",
    "second_opinion",
}
PROMISE |= {f"second_opinion.{name}" for name in ("accountant", "epsilon", "error", "unavailable")}
MEASURED = {"stage", "mechanism", "queries", "noise_multipliers", "rows_per_patient"}
MEASURED |= {"sensitivities", "clipping"}
TRAINED = {"stage", "mechanism", "sampling_rate", "noise_multiplier", "steps", "clip_norm"}
TRAINED |= {"expected_batch", "sensitivity", "clipping", "normaliser"}
SOFTWARE = {"synthvae", "torch", "opacus", "dp-accounting", "opendp", "numpy", "python"}
TENSORS = re.compile(
    r"columns/\d+/(starts|cell_mass|cell_bin|mass|offset)"
    r"|weights/(encoder|posterior|decoder|earlier)\.(weight|bias)"
    r"|weights/(loadings|mixture_in|mixture_out|products)\.weight"
    r"|products|row_shares"
)
# Each with a word that digests, in hexadecimal, and the bytes of weights do not spell by chance.
CANARIES = ["Xanthippe-Quimby", "ward of the drowned", "MRN-Nausicaa-2219"]
SCHEMA = Schema.from_dict(
    VISITS.to_dict()
    | {
        "fields": [
            *VISITS.to_dict()["fields"],
            {"name": "ward", "constraints": {"enum": ["north", "south"]}, "invalid": "other"},
            {"name": "note", "role": "identifier"},
        ]
    }
)


def planted() -> pd.DataFrame:
    """Return visits of which one has a canary in every column that takes a string."""
    frame = visits(120).assign(ward="north", note="")
    frame["patient"] = frame["patient"].replace("p7", CANARIES[0])
    frame.loc[3, "ward"] = CANARIES[1]
    frame["note"] = [f"note {i}" for i in range(len(frame))]
    frame.loc[3, "note"] = CANARIES[2]
    return frame


@pytest.fixture(scope="module")
def model() -> Synthesizer:
    return fitted(planted(), SCHEMA)


@pytest.fixture
def release(tmp_path: Path, model: Synthesizer) -> Path:
    write_release(tmp_path / "release", model, model.sample(500, seed=1))
    return tmp_path / "release"


def read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_line_18_a_release_is_these_files_and_no_others(release: Path) -> None:
    found = {str(f.relative_to(release)) for f in release.rglob("*") if not f.is_dir()}
    assert found == FILES
    assert not any(file.is_symlink() for file in release.rglob("*"))


def test_line_18_no_planted_string_is_in_any_file(release: Path) -> None:
    frame = planted()
    for canary, column in zip(CANARIES, ("patient", "ward", "note"), strict=True):
        assert (frame[column] == canary).any()
    words = [*CANARIES, "Xanthippe", "drowned", "Nausicaa"]
    words += [*frame["note"].unique()]
    for file in release.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for encoding in ("utf-8", "utf-16-le"):
                found = [word for word in words if word.encode(encoding) in content]
                assert found == [], file.name


def keys_of(value: Any, at: str = "") -> Iterator[str]:
    """Return the path of every key in a value of JSON; places in a list do not count."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{at}{key}"
            yield from keys_of(inner, f"{at}{key}.")
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner, at)


def test_line_18_json_holds_these_keys_and_no_others(release: Path) -> None:
    about = set(keys_of(read(release / "model" / "model.json")))
    assert about == ABOUT | {f"settings.{name}" for name in Settings.model_fields}
    promise = set(keys_of(read(release / "guarantee.json")))
    stages = {f"stages.{name}" for name in MEASURED | TRAINED}
    assert promise == PROMISE | stages | {f"software.{name}" for name in SOFTWARE}
    assert (release / "guarantee.json").read_bytes() == (
        release / "model" / "guarantee.json"
    ).read_bytes()


def test_line_18_the_schema_is_as_it_was_given(release: Path) -> None:
    assert Schema.load(release / "schema.yaml") == SCHEMA
    assert (release / "schema.yaml").read_text(encoding="utf-8") == SCHEMA.to_yaml()


def test_line_18_arrays_have_these_names_and_public_sizes(
    release: Path, model: Synthesizer
) -> None:
    content = (release / "model" / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    assert "__metadata__" not in header
    arrays = load(content)
    settings = model.settings
    for name, array in arrays.items():
        assert TENSORS.fullmatch(name), name
        # None has an entry for each row or patient: all are as long as the settings say.
        assert max(array.shape) <= 16 + 8 * 3 * settings.bins, name
    assert arrays["row_shares"].shape == (SCHEMA.rows_per_patient,)


def test_line_18_the_log_holds_what_was_planned_and_nothing_measured(
    release: Path, model: Synthesizer
) -> None:
    *_, logged = read(release / "guarantee.json")["stages"]
    assert logged == training_of(model).model_dump(mode="json")
    content = b"".join(file.read_bytes() for file in release.rglob("*") if file.is_file())
    for word in ('"loss"', "active_units", "batch_sizes", "grad_norm", "table_sha256", "pickle"):
        assert word.encode() not in content, word


def test_line_18_nobodys_record_is_copied_into_arrays(release: Path) -> None:
    content = (release / "model" / "model.safetensors").read_bytes()
    # Scores of all visits in a row, as any of the types that an array may have.
    scores = planted()["score"].to_numpy()[:4]
    for kind in ("<i8", "<i4", "<f8", "<f4"):
        assert scores.astype(kind).tobytes() not in content
