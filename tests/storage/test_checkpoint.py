"""Checkpoints that come from anywhere: one clear error each, nothing run, nothing lost."""

import copy
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from synthvae.errors import ArtefactError
from synthvae.storage.checkpoint import FILE, identity, spent_at_most, stage_in
from synthvae.storage.checkpoint_file import pack, unpack, unpack_about
from tests.storage.killed_fits import Moments, go_on, kill, planned, ward, watched

Change = Callable[[dict[str, Any], dict[str, Any]], object]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """The files of a fit that was killed after its moments, and of one that was finished."""
    found = {}
    for stage, moment in (("moments", "before _take_step"), ("model", "after replace")):
        folder = tmp_path_factory.mktemp("kept") / "fit"
        kill(folder, moment, -1)
        found[stage] = {file.name: file.read_bytes() for file in folder.iterdir()}
    return found


@pytest.fixture(params=["moments"])
def folder(
    kept: dict[str, dict[str, bytes]], tmp_path: Path, request: pytest.FixtureRequest
) -> Path:
    for name, content in kept[request.param].items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


finished = pytest.mark.parametrize("folder", ["model"], indirect=True)
either = pytest.mark.parametrize("folder", ["moments", "model"], indirect=True)


def refuse(folder: Path, message: str) -> None:
    before = {file.name: file.lstat().st_size for file in folder.iterdir()}
    with pytest.raises(ArtefactError, match=message), watched(Moments()):
        copy.copy(planned()).fit(ward(), lambda *_: None, folder)
    assert {file.name: file.lstat().st_size for file in folder.iterdir()} == before


def cut(size: int) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(file.read_bytes()[:size])


def swap(old: bytes, new: bytes) -> Callable[[Path], object]:
    def change(file: Path) -> None:
        content = file.read_bytes()
        assert old in content
        file.write_bytes(content.replace(old, new))

    return change


def flip_last(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def make_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def make_link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


def make_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)  # would wait for a writer for ever


def header(text: str) -> Callable[[Path], object]:
    content = text.encode()
    return lambda file: file.write_bytes(len(content).to_bytes(8, "little") + content)


FILES: list[tuple[str, Callable[[Path], object]]] = [
    ("it is cut short or was altered", cut(0)),
    ("it is cut short or was altered", cut(5)),
    ("it is cut short or was altered", cut(900)),
    ("its arrays are cut short or were altered .*[Ii]ncomplete", cut(-8)),
    ("its arrays are not those that it was written with", flip_last),
    ("its header was altered", swap(b'\\"stage\\": \\"mo', b'\\"stage\\": \\"no')),
    ("its header was altered", swap(b'\\"epsilon\\": 2.0', b'\\"epsilon\\": 9.0')),
    ("it is no ordinary file", make_link),
    ("it is no ordinary file", make_link_to_nothing),
    ("it is no ordinary file", make_pipe),
    ("its header is cut short or was altered", header("[" * 100_000)),
    ("its header is cut short or was altered", header("{}")),
    ("its header is cut short or was altered", header('{"__metadata__": 3}')),
    ("its header is cut short or was altered", header("\xff")),
]


@either
@pytest.mark.parametrize(("message", "change"), FILES)
def test_a_file_that_was_changed(
    folder: Path, message: str, change: Callable[[Path], object]
) -> None:
    change(folder / FILE)
    refuse(folder, message)


def reseal(file: Path, change: Change) -> None:
    """Alter a checkpoint as somebody would who also mends its checksums."""
    content = file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["about"])
    arrays = load(content)
    change(about, arrays)
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    about["arrays_sha256"] = digest.hexdigest()
    text = json.dumps(about)
    sealed = {"about": text, "about_sha256": hashlib.sha256(text.encode()).hexdigest()}
    file.write_bytes(save(arrays, metadata=sealed))


def about(name: str, value: Any) -> Change:
    return lambda found, _: found.__setitem__(name, value)


def array(name: str, value: Any) -> Change:
    return lambda _, arrays: arrays.__setitem__(name, value)


def scaled(name: str, factor: float) -> Change:
    def change(_: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays[name] = (arrays[name] * factor).astype(arrays[name].dtype)

    return change


def largest(name: str, size: float, of: str = "pairs") -> Change:
    """Scale all moments, or all their noise, so that the largest has a size."""

    def change(_: dict[str, Any], arrays: dict[str, Any]) -> None:
        found = arrays[f"{of}/{name}"]
        arrays[f"{of}/{name}"] = found / np.abs(found).max() * size

    return change


def without(name: str) -> Change:
    return lambda _, arrays: arrays.pop(name)


WIDER, MORE = "interactions", "the moments of three and four columns"
CHANGES: list[tuple[str, Change]] = [
    ("it is no synthvae checkpoint", about("format", "synthvae model")),
    ("has version 1, this synthvae reads 4: go on with the synthvae", about("version", 1)),
    ("has version True", about("version", True)),
    ("its header does not say what it is of", about("identity", [])),
    ("its header is cut short", lambda found, _: found.pop("identity")),
    ("'stage' is not in it", lambda found, _: found.pop("stage")),
    ("stage is 'steps', not one of counts, moments, model", about("stage", "steps")),
    (r"stage is \[\], not one of", about("stage", [])),
    ("it holds 'interactions/noise', which no checkpoint does", about("stage", "counts")),
    ("is not in it", about("stage", "model")),
    ("patients is 41, which is not the fit's number", about("patients", 41)),
    ("patients is '40'", about("patients", "40")),
    ("it holds '../../evil', which no checkpoint does", array("../../evil", np.zeros(3))),
    ("it holds 'rows', which no checkpoint does", array("rows", np.zeros((120, 3)))),
    ("'columns/1/mass' is not in it", without("columns/1/mass")),
    ("anchor of column 'sex' does not fit", scaled("columns/0/mass", -1.0)),
    ("'pairs/values' is not in it", without("pairs/values")),
    # Margins of much noise leave the columns no more than one function each: 3 by 3 may fit.
    ("the moments of pairs do not fit the schema", array("pairs/noise", np.zeros((9, 9)))),
    ("the moments of pairs have no noise", scaled("pairs/noise", 0.0)),
    (
        "a moment of pairs, or its noise, is above 1e.09, which no fit rel",
        largest("values", 1.01e9),
    ),
    ("a moment of pairs, or its noise, is above 1e.09", largest("values", -1e300)),
    ("a moment of pairs, or its noise, is above 1e.09", largest("noise", 1e300)),
    ("'interactions/noise' is not in it", without("interactions/noise")),
    ("'interactions/noise', which no checkpoint does", without("interactions/values")),
    (MORE + " do not fit the schema", array("interactions/values", np.zeros(2))),
    (MORE + " do not fit the schema", array("interactions/noise", np.zeros((1, 1)))),
    (MORE + " have no noise", scaled("interactions/noise", 0.0)),
    ("three or four columns, or its noise, is above 1e.09", largest("noise", 1e300, WIDER)),
    ("three or four columns, or its noise, is above 1e.09", largest("values", -1e10, WIDER)),
    ("row_shares goes with patientKey", without("row_shares")),
    ("row_shares are no shares", array("row_shares", np.array([2.0, -1.0]))),
]


@pytest.mark.parametrize(("message", "change"), CHANGES)
def test_a_checkpoint_that_was_changed_together_with_its_checksums(
    folder: Path, message: str, change: Change
) -> None:
    reseal(folder / FILE, change)
    refuse(folder, message)


MODELS: list[tuple[str, Change]] = [
    ("it holds '../../evil', which no checkpoint does", array("../../evil", np.zeros(3))),
    ("it holds 'pairs/values', which no checkpoint", array("pairs/values", np.zeros((2, 2)))),
    ("weights do not fit its settings: evil", array("weights/evil", np.zeros(3))),
    ("'products' is not in it", without("products")),
    ("its products do not fit the schema", array("products", np.zeros((1, 2), np.int64))),
    ("do not fit its settings: encoder.bias", array("weights/encoder.bias", np.zeros(10**6))),
    ("encoder.bias does not hold finite", scaled("weights/encoder.bias", float("nan"))),
    ("decoder.weight holds a number beyond", scaled("weights/decoder.weight", 1e12)),
    ("'columns/1/offset' is not in it", without("columns/1/offset")),
    ("row_shares goes with patientKey", without("row_shares")),
    ("it holds 'columns/0/offset', which no checkpoint", about("stage", "counts")),
]


@finished
@pytest.mark.parametrize(("message", "change"), MODELS)
def test_a_finished_one_that_was_changed_together_with_its_checksums(
    folder: Path, message: str, change: Change
) -> None:
    reseal(folder / FILE, change)
    refuse(folder, message)


def test_moments_that_are_not_of_pairs_are_refused(folder: Path) -> None:
    def shift(_: dict[str, Any], arrays: dict[str, Any]) -> None:
        arrays["pairs/values"] = arrays["pairs/values"] + np.triu(
            np.ones_like(arrays["pairs/values"])
        )

    reseal(folder / FILE, shift)
    refuse(folder, "the moments of pairs are not symmetric")


@pytest.mark.parametrize("of", ["pairs", WIDER])
@pytest.mark.parametrize("name", ["values", "noise"])
def test_the_largest_moments_that_are_taken_can_be_gone_on_from(
    folder: Path, name: str, of: str
) -> None:
    reseal(folder / FILE, largest(name, 9.9e8, of))
    go_on(folder)
    assert stage_in(folder) == "model"


def test_from_a_damaged_one_nothing_goes_on(folder: Path) -> None:
    flip_last(folder / FILE)
    refuse(folder, "Nothing can go on from it; pass --start-over to begin again: what was spent")


def test_a_file_too_large_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthvae.storage.checkpoint_file.LARGEST_BYTES", 1000)
    refuse(folder, r"cannot be read \(it is larger than")


def test_other_files_in_the_folder_are_left_alone(folder: Path) -> None:
    for name in ("checkpoint-1.safetensors", "checkpoint.safetensors.bak", "mine.txt"):
        (folder / name).write_text("precious")
    go_on(folder)
    assert (folder / "mine.txt").read_text() == "precious"
    assert (folder / "checkpoint-1.safetensors").read_text() == "precious"


def test_what_was_spent_is_said_even_of_a_damaged_one(folder: Path, tmp_path: Path) -> None:
    assert spent_at_most(folder) == "at most epsilon 2 at delta 1e-05"
    cut(100)(folder / FILE)
    assert "no longer known" in str(spent_at_most(folder))
    assert stage_in(folder) is None
    assert spent_at_most(tmp_path / "nowhere") is None


@either
def test_what_is_packed_is_what_is_unpacked(folder: Path) -> None:
    plan = planned()._plan
    assert plan is not None
    file = folder / FILE
    about, arrays = unpack_about(file), load(file.read_bytes())
    file.write_bytes(pack(unpack(file, plan), identity(plan, False)))
    assert unpack_about(file) == about  # with the checksum of the arrays
    assert load(file.read_bytes()).keys() == arrays.keys()
