import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from synthvae.errors import ArtefactError, ConfigError
from synthvae.model.sampling import Sampler
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems
from tests.hospital import SCHEMA
from tests.hostile.examples import model_files, write_model


def arrays() -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in load(model_files()["model.safetensors"]).items()}


def about(**changes: Any) -> bytes:
    return json.dumps(json.loads(model_files()["model.json"]) | changes).encode()


def refused(folder: Path, message: str, **changes: bytes) -> None:
    with pytest.raises(ArtefactError, match=message) as found:
        Synthesizer.load(write_model(folder / "model", **changes))
    assert len(str(found.value)) < 1000


@pytest.mark.parametrize("size", [1e7, 1e150, -1e300, 1.7e308])
@pytest.mark.parametrize(
    "name", ["weights/loadings.weight", "columns/3/offset", "weights/earlier.bias"]
)
def test_finite_numbers_that_would_overflow_are_refused(
    tmp_path: Path, name: str, size: float
) -> None:
    changed = arrays()
    changed[name].flat[0] = size
    refused(tmp_path, f"{name} holds a number beyond 1,000,000", arrays=save(changed))


def test_masses_that_are_no_shares_are_refused(tmp_path: Path) -> None:
    for value in (1e-320, 0.4, 1e5):
        changed = arrays()
        changed["columns/0/mass"][:] = value
        refused(tmp_path, "anchor of column 'sex' does not fit", arrays=save(changed))


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_whatever_the_weights_records_fit_the_schema(tmp_path: Path, data: st.DataObject) -> None:
    changed = arrays()
    weights = sorted(name for name in changed if name.startswith(("weights/", "columns/0/offset")))
    name = data.draw(st.sampled_from(weights))
    size = data.draw(st.floats(-1e6, 1e6))
    every = data.draw(st.booleans())
    changed[name].flat[slice(None) if every else 0] = size
    model = Synthesizer.load(write_model(tmp_path / "model", arrays=save(changed)))
    frame = model.sample(20, seed=1, progress=lambda _what, _done: None)
    assert not find_problems(frame, SCHEMA)


def header(change: Any) -> bytes:
    """Return the arrays' file with another header."""
    content = model_files()["model.safetensors"]
    (size,) = struct.unpack("<Q", content[:8])
    value = json.loads(content[8 : 8 + size])
    text = change if isinstance(change, bytes) else json.dumps(change(value)).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def with_entry(**entry: Any) -> Any:
    return lambda value: value | {"weights/evil": entry}


@pytest.mark.parametrize(
    "change",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"a": ' * 50_000,
        with_entry(dtype="F64", shape=[2**60], data_offsets=[0, 8]),
        with_entry(dtype="F64", shape=[2**32, 2**32], data_offsets=[0, 0]),
        with_entry(dtype="F64", shape=[-1], data_offsets=[0, 8]),
        with_entry(dtype="F64", shape=[1], data_offsets=[0, 2**62]),
        with_entry(dtype="F64", shape=[1], data_offsets=[8, 0]),
        with_entry(dtype="pickle", shape=[1], data_offsets=[0, 8]),
        with_entry(dtype="BF16", shape=[4], data_offsets=[0, 8]),
        with_entry(dtype="F64", shape=[0] * 5000, data_offsets=[0, 0]),
        lambda value: {name: each | {"dtype": "I64"} for name, each in value.items()},
    ],
)
def test_a_changed_header_is_refused(tmp_path: Path, change: Any) -> None:
    refused(tmp_path, "is damaged", arrays=header(change))


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    for size in (2**63, 2**40, 0, 7):
        content = struct.pack("<Q", size) + b"{}      "
        refused(tmp_path, "is damaged", arrays=content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": 10**400}, "patients is"),
        ({"patients": 10**12}, "which is no number of patients"),
        ({"patients": True}, "patients is True"),
        ({"version": "9" * 10_000}, "has version '999"),
        ({"version": ["x"] * 5000}, "has version"),
        ({"settings": {"latent": 10**9}}, "is damaged"),
        ({"settings": "../../etc/passwd"}, "is damaged"),
        ({"arrays_sha256": None}, "was altered"),
        ({"format": "<script>"}, "holds no synthvae model"),
    ],
)
def test_hostile_settings_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    refused(tmp_path, message, about=about(**change))


def test_names_of_arrays_are_no_paths(tmp_path: Path) -> None:
    changed = arrays() | {"weights/../../../etc/passwd": np.zeros(2), "/abs": np.zeros(1)}
    refused(tmp_path, "do not fit its settings", arrays=save(changed))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["model"]


def test_links_in_the_folder_show_nothing_of_what_they_lead_to(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root:x:0:0: [SECRET\n")
    for name in model_files():
        folder = write_model(tmp_path / name.replace(".", "_"))
        (folder / name).unlink()
        (folder / name).symlink_to(secret)
        with pytest.raises(ArtefactError) as found:
            Synthesizer.load(folder)
        assert "SECRET" not in str(found.value).replace(str(secret), "")


@pytest.mark.parametrize(
    "name", ["model.json", "model.safetensors", "guarantee.json", "schema.yaml"]
)
def test_pipes_and_devices_are_not_read(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "model")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(ArtefactError, match=r"no ordinary file|no model\.json"):
        Synthesizer.load(folder)
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(ArtefactError, match=r"no ordinary file|no model\.json"):
        Synthesizer.load(folder)


def wide_schema(categories: int) -> bytes:
    value = SCHEMA.to_dict()
    value["fields"][2]["constraints"]["enum"] = [f"c{i}" for i in range(categories)]
    return Schema.from_dict(value).to_yaml().encode()


def test_another_schema_in_the_folder_still_decides_what_records_are(tmp_path: Path) -> None:
    fewer = SCHEMA.to_dict()
    fewer["fields"] = [field for field in fewer["fields"] if field["name"] != "ward"]
    refused(tmp_path, "anchor of column", schema=Schema.from_dict(fewer).to_yaml().encode())
    more = SCHEMA.to_dict()
    more["fields"][3]["constraints"]["maximum"] = 10**15
    more["fields"][8]["constraints"]["enum"] = [f"c{i}" for i in range(1000)]
    content = Schema.from_dict(more).to_yaml().encode()
    try:
        model = Synthesizer.load(write_model(tmp_path / "huge", schema=content))
    except ArtefactError:
        return
    frame = model.sample(10, seed=1, progress=lambda _what, _done: None)
    assert not find_problems(frame, model.schema)


def test_rows_are_drawn_in_smaller_blocks_where_columns_have_many_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Synthesizer.load(write_model(tmp_path / "model"))
    widest = max(marginal.tokens for marginal in model.state().layout.marginals)
    monkeypatch.setattr("synthvae.model.records.MOST_CELLS", 16 * widest)
    usual, sizes = Sampler.draw, []

    def watched(self: Sampler, rows: int, *words: Any, **more: Any) -> Any:
        sizes.append(rows)
        return usual(self, rows, *words, **more)

    monkeypatch.setattr(Sampler, "draw", watched)
    quiet: dict[str, Any] = {"seed": 1, "progress": lambda _what, _done: None}
    assert len(model.sample(100, **quiet)) == 100
    assert len(model.sample(5, where={"sex": "female"}, **quiet)) == 5
    assert max(sizes) <= 16


def test_more_rows_than_memory_are_refused(tmp_path: Path) -> None:
    model = Synthesizer.load(write_model(tmp_path / "model", about=about(patients=10**11)))
    with pytest.raises(ConfigError, match="draw fewer at a time"):
        model.sample(seed=1)


def test_the_checksum_is_of_the_content_that_is_read(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert json.loads((folder / "model.json").read_text())["arrays_sha256"] == digest
