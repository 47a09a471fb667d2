"""A fit that is killed and goes on: the same account, fresh noise, nothing of the real rows."""

import copy
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load

import synthvae.checkpoint
from synthvae.checkpoint import newest_in, spent_at_most
from synthvae.errors import ArtefactError, CheckpointWarning, DataError, OutputExistsError
from synthvae.settings import Settings
from synthvae.synthesizer import Synthesizer
from tests.resuming import (
    STEPS,
    WARD,
    Killed,
    Moments,
    all_moments,
    planned,
    through,
    ward,
    watched,
)
from tests.resuming import whole as uninterrupted
from tests.simulated import quick


def assert_as_if_never_stopped(fitted: Synthesizer, released: list[tuple[str, Any]]) -> None:
    whole, moments = uninterrupted()
    assert fitted.guarantee == whole.guarantee
    assert released == moments.released
    assert fitted.default_rows >= 40
    assert len(fitted.sample(20, seed=1)) == 20
    noisy = fitted.state().weights["decoder.weight"]  # as large in every fit
    assert np.abs(noisy - whole.state().weights["decoder.weight"]).max() > 1e-3


@pytest.mark.parametrize("place", [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
def test_killed_at_a_moment_it_goes_on_with_the_same_account(place: float, tmp_path: Path) -> None:
    last = len(all_moments())
    assert_as_if_never_stopped(*through((1 + round(place * (last - 1)),), tmp_path / "fit"))


@pytest.mark.slow
def test_killed_at_every_single_moment_it_goes_on_with_the_same_account(tmp_path: Path) -> None:
    for number in range(1, len(all_moments()) + 1):
        assert_as_if_never_stopped(*through((number,), tmp_path / str(number)))


@hypothesis_settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(kills=st.lists(st.integers(1, 60), min_size=2, max_size=5))
def test_killed_again_and_again_it_goes_on_with_the_same_account(
    tmp_path_factory: pytest.TempPathFactory, kills: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("lives") / "fit"
    assert_as_if_never_stopped(*through(tuple(kills), folder))


def test_the_moments_cover_every_release_and_every_part_of_writing() -> None:
    names = all_moments()
    whole, moments = uninterrupted()
    counts, pairs, training = whole.guarantee.stages
    assert names.count("after noisy_counts") == counts.queries + pairs.queries
    assert names.count("after _accumulate") == training.steps == STEPS
    assert names.count("before pack") == 2 + STEPS
    assert names.count("after replace") == 2 + 2 + STEPS  # and what recognises the table
    assert len(moments.released) == counts.queries + pairs.queries + training.steps


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a fit that was killed after the second of its four steps was kept."""
    folder = tmp_path / "fit"
    names = list(all_moments())
    steps = [number for number, name in enumerate(names, 1) if name == "before _accumulate"]
    with pytest.raises(Killed), watched(Moments(steps[2])):
        copy.copy(planned()).fit(ward(), lambda *_: None, folder)
    return folder


def go_on(folder: Path, frame: pd.DataFrame | None = None, **changes: Any) -> Synthesizer:
    made = copy.copy(planned())
    if changes:
        given = {"schema": WARD, "epsilon": 2.0, "settings": quick(WARD, 2.0, steps=STEPS)}
        made = Synthesizer(**(given | changes))
    with watched(Moments()):
        return made.fit(ward() if frame is None else frame, lambda *_: None, folder)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_noise_after_a_stop_is_fresh_and_no_key_is_kept(
    stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[bytes] = []

    def watch(size: int) -> bytes:
        keys.append(secrets.SystemRandom().randbytes(size))
        return keys[-1]

    shutil.copytree(stopped, tmp_path / "copy")
    monkeypatch.setattr("synthvae.privacy.stream.secrets.token_bytes", watch)
    one, two = go_on(stopped), go_on(tmp_path / "copy")
    assert len(set(keys)) == len(keys) == 2
    first, second = (made.state().weights["encoder.weight"] for made in (one, two))
    assert np.abs(first - second).max() > 1e-3
    for anchor, other in zip(one.state().layout.anchors, two.state().layout.anchors, strict=True):
        assert (anchor.mass == other.mass).all()  # released once, before the stop
    left = b"".join(everything_in(stopped).values())
    assert not any(key in left or key.hex().encode() in left for key in keys)


def test_a_test_mode_that_goes_on_repeats_and_uses_no_noise_twice(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        folder = tmp_path / name
        made = Synthesizer(WARD, 2.0, settings=quick(WARD, 2.0, steps=STEPS), test_seed=3)
        with pytest.raises(Killed), watched(Moments(len(all_moments()) - 8)):
            copy.copy(made).fit(ward(), lambda *_: None, folder)
        with watched(Moments()):
            found.append(copy.copy(made).fit(ward(), lambda *_: None, folder))
    first, second = (made.state().weights["encoder.weight"] for made in found)
    assert (first == second).all()
    assert not found[0].guarantee.valid
    with watched(Moments()):
        whole = made.fit(ward(), lambda *_: None)
    assert (whole.state().weights["encoder.weight"] != first).any()


def test_a_finished_fit_gives_the_same_model_again_and_spends_nothing(stopped: Path) -> None:
    first = go_on(stopped)
    moments = Moments()
    said: list[str] = []
    with watched(moments):
        again = copy.copy(planned()).fit(ward(), lambda what, _: said.append(what), stopped)
    assert moments.released == []
    assert said[0] == f"going on from step {STEPS} of {STEPS}"
    for name, weight in first.state().weights.items():
        assert (weight == again.state().weights[name]).all()
    assert again.training_curve is not None
    assert again.training_curve.steps == ()


def test_the_curve_begins_where_the_fit_went_on(stopped: Path) -> None:
    curve = go_on(stopped).training_curve
    assert curve is not None
    assert curve.steps == (2, 3)


ALLOWED_FILES = {
    "NOT_FOR_RELEASE.txt",
    "table.json",
    "checkpoint-000003.safetensors",
    "checkpoint-000004.safetensors",
}
ALLOWED_ABOUT = {"format", "version", "identity", "patients", "step", "arrays_sha256"}


def test_a_checkpoint_holds_an_allow_list_of_things_and_nothing_of_the_rows(stopped: Path) -> None:
    files = everything_in(stopped)
    assert set(files) == ALLOWED_FILES
    content = b"".join(files.values())
    assert b"secret-patient" not in content
    assert not any(str(value).encode() in content for value in ward()["id"])
    with safe_open(stopped / "checkpoint-000004.safetensors", "np") as file:
        sealed, names = file.metadata(), set(file.keys())
    assert set(sealed) == {"about", "about_sha256"}
    about = json.loads(sealed["about"])
    assert set(about) == ALLOWED_ABOUT
    assert about["step"] == 2
    settings = {f"setting {name}" for name in Settings.model_fields}
    public = {
        "synthvae",
        "version of the model",
        "test mode",
        "schema",
        "patients",
        "epsilon",
        "delta",
        "noise",
    }
    assert set(about["identity"]) == public | settings
    weights = ("encoder", "posterior", "decoder")
    trained = {f"{layer}.{part}" for layer in weights for part in ("weight", "bias")}
    trained |= {"loadings.weight"}
    whole = trained | {"earlier.weight", "earlier.bias"}
    anchors = ("starts", "cell_mass", "cell_bin", "mass")
    assert names == {
        *(f"columns/{j}/{part}" for j in range(2) for part in anchors),
        "row_shares",
        "pairs/values",
        "pairs/noise",
        *(f"training/{part}/{name}" for part in ("model", "average") for name in whole),
        *(f"training/{part}/{name}" for part in ("first", "second") for name in trained),
    }
    assert set(json.loads(files["table.json"])) == {"key", "digest"}
    assert stopped.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 1.0}, r"begun with epsilon 2\.0, not 1\.0"),
        ({"delta": 1e-6}, "begun with delta 1e-05, not 1e-06"),
        ({"schema": WARD.replace(patients=41)}, "begun with patients 40, not 41"),
        ({"schema": WARD.replace(title="x", maxRows=3)}, "begun with another schema"),
        ({"settings": quick(WARD, 2.0, steps=5)}, "begun with setting steps 4, not 5"),
        ({"settings": quick(WARD, 2.0, steps=4, hidden=7)}, "begun with setting hidden 4, not 7"),
        ({"test_seed": 1}, "begun with test mode False, not True"),
    ],
)
def test_another_fit_is_refused_and_the_difference_named(
    stopped: Path, changes: dict[str, Any], message: str
) -> None:
    before = everything_in(stopped)
    with pytest.raises(OutputExistsError, match=message) as refused:
        go_on(stopped, **changes)
    assert "pass --start-over; what it has spent counts then too" in str(refused.value)
    assert everything_in(stopped) == before


def test_another_table_is_refused(stopped: Path) -> None:
    before = everything_in(stopped)
    for frame in (ward(1), ward().iloc[::-1], ward().iloc[:-1]):
        with pytest.raises(DataError, match="is not the one that the unfinished fit in"):
            go_on(stopped, frame)
    assert everything_in(stopped) == before
    unused = ward().assign(note="not in the schema")[["note", "id", "sex", "age"]]
    with pytest.raises(DataError, match="note"):
        go_on(stopped, unused)


def test_the_digest_of_the_table_is_keyed(tmp_path: Path) -> None:
    found = set()
    for name in ("one", "two"):
        with watched(Moments()):
            copy.copy(planned()).fit(ward(), lambda *_: None, tmp_path / name)
        found.add(json.loads((tmp_path / name / "table.json").read_text())["digest"])
    assert len(found) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"key": "aa", "digest": "b"}', "[" * 100_000])
def test_without_what_recognises_the_table_nothing_goes_on(stopped: Path, text: str) -> None:
    (stopped / "table.json").write_text(text)
    with pytest.raises(ArtefactError, match=r"table\.json is missing or damaged"):
        go_on(stopped)
    (stopped / "table.json").unlink()
    with pytest.raises(ArtefactError, match=r"table\.json is missing or damaged"):
        go_on(stopped)
    assert newest_in(stopped) is not None


def test_without_privacy_nothing_is_kept(tmp_path: Path) -> None:
    open_settings = quick(WARD, None, steps=3)
    made = Synthesizer(WARD, None, settings=open_settings)
    with watched(Moments()):
        made.fit(ward(), lambda *_: None, tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


def test_a_full_disk_is_warned_of_once_and_loses_nothing(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything_in(stopped)

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("synthvae._files._sync", full)
        with pytest.warns(CheckpointWarning, match="There is no room left on the disk") as warned:
            fitted = go_on(stopped)
    assert len(warned) == 1
    assert "The fit goes on without keeping where it stands." in str(warned[0].message)
    assert fitted.guarantee == uninterrupted()[0].guarantee
    assert everything_in(stopped) == before
    assert go_on(stopped).guarantee == fitted.guarantee


def test_a_full_disk_at_the_start_stops_before_anything_is_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synthvae._files._sync", full)
    moments = Moments()
    with pytest.raises(synthvae.errors.StorageError, match="no room left"), watched(moments):
        copy.copy(planned()).fit(ward(), lambda *_: None, tmp_path / "fit")
    assert moments.released == []


def test_two_processes_on_one_folder_get_one_clear_error(stopped: Path) -> None:
    with (
        synthvae.checkpoint.Checkpoints.at(stopped, planned()._plan, None),
        pytest.raises(OutputExistsError, match="Another process is at work on"),
    ):
        go_on(stopped)
    assert go_on(stopped).guarantee == uninterrupted()[0].guarantee


def test_checkpoints_take_at_most_their_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("synthvae.checkpoint.time.monotonic", lambda: clock[0])
    kept = synthvae.checkpoint.Checkpoints(tmp_path, planned()._plan, None)
    written: list[float] = []

    def write(_folder: Path) -> None:
        written.append(clock[0])
        clock[0] += 0.2

    monkeypatch.setattr(kept, "_write", write)
    whole = uninterrupted()[0].state()
    kept.keep(synthvae.checkpoint.Released(whole.layout.anchors, whole.row_shares, whole.patients))
    for step in range(1, STEPS):
        for _ in range(1000):
            clock[0] += 0.1
            kept.after_step(step, lambda: None)  # type: ignore[arg-type, return-value]
    assert np.diff(written).min() >= 0.2 / 0.01
    assert 0.2 * len(written) / clock[0] < 0.0101
    before = len(written)
    kept.after_step(STEPS, lambda: None)  # type: ignore[arg-type, return-value]
    assert len(written) == before + 1  # where the budget is spent


def test_the_newest_two_are_kept_and_drafts_of_a_killed_process_go(stopped: Path) -> None:
    draft = stopped / ".checkpoint-000005.safetensors.abcd1234.partial"
    draft.write_bytes(b"half")
    go_on(stopped)
    names = [file.name for file in sorted(stopped.glob("*.safetensors"))]
    assert names == ["checkpoint-000005.safetensors", "checkpoint-000006.safetensors"]
    assert not draft.exists()
    assert load((stopped / names[0]).read_bytes())
    assert spent_at_most(stopped) == "at most epsilon 2 at delta 1e-05"
