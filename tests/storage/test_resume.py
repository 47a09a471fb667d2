"""A fit that is killed and goes on: the same account, fresh noise, nothing of the real rows."""

import copy
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors import safe_open

import synthvae._files
import synthvae.storage.checkpoint
from synthvae.errors import ArtefactError, ConfigError, DataError, OutputExistsError, StorageError
from synthvae.settings import Settings
from synthvae.storage.checkpoint import FILE, Checkpoint, UnfinishedWork, spent_at_most, stage_in
from synthvae.synthesizer import Synthesizer
from tests.storage.killed_fits import (
    STEPS,
    WARD,
    Killed,
    Moments,
    all_moments,
    go_on,
    kill,
    moment,
    planned,
    through,
    ward,
    ward_settings,
    watched,
)
from tests.storage.killed_fits import whole as uninterrupted


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
    counts, pairs, more, training = whole.guarantee.stages
    measured = counts.queries + pairs.queries + more.queries
    assert names.count("after discrete_gaussian") == measured
    assert names.count("after _take_step") == training.steps == STEPS
    assert names.count("before pack") == 4  # counts, moments, moments of more columns, model
    assert names.count("after replace") == 2 + 4  # and what recognises the table
    assert len(moments.released) == measured + training.steps


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The folder of a fit that was killed in the third of its four steps."""
    folder = tmp_path / "fit"
    kill(folder, "before _take_step", 2)
    return folder


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
    for marginal, other in zip(
        one.state().layout.marginals, two.state().layout.marginals, strict=True
    ):
        assert (marginal.mass == other.mass).all()  # released once, before the stop
    left = b"".join(everything_in(stopped).values())
    assert not any(key in left or key.hex().encode() in left for key in keys)


def test_a_test_mode_that_goes_on_gives_what_it_would_have_given(tmp_path: Path) -> None:
    made = Synthesizer(WARD, 2.0, settings=ward_settings(), test_seed=3)
    found = []
    for folder, kill_at in ((tmp_path / "one", moment("before _take_step", 2)), (None, None)):
        if kill_at is not None:
            with pytest.raises(Killed), watched(Moments(kill_at)):
                copy.copy(made).fit(ward(), lambda *_: None, folder)
        with watched(Moments()):
            found.append(copy.copy(made).fit(ward(), lambda *_: None, folder))
    first, second = (fit.state().weights["encoder.weight"] for fit in found)
    assert (first == second).all()
    assert not found[0].guarantee.valid


def test_a_finished_fit_gives_the_same_model_again_and_spends_nothing(stopped: Path) -> None:
    first = go_on(stopped)
    moments = Moments()
    said: list[str] = []
    with watched(moments):
        again = copy.copy(planned()).fit(ward(), lambda what, _: said.append(what), stopped)
    assert moments.released == []
    assert said[0] == "going on after the fit, which is finished"
    assert again.guarantee == first.guarantee
    for name, weight in first.state().weights.items():
        assert (weight == again.state().weights[name]).all()
    assert first.sample(20, seed=1).equals(again.sample(20, seed=1))
    assert again.training_curve is None  # it is not covered, and not kept


def out_of_room(monkeypatch: pytest.MonkeyPatch, name: str, which: int) -> None:
    """Let the disk be full when something is written for a time, counted from 1, and afterwards."""
    calls = [0]
    usual = getattr(synthvae._files, name)

    def full(path: Path) -> None:
        calls[0] += 1
        if calls[0] >= which:
            raise OSError(28, "No space left on device")
        usual(path)

    monkeypatch.setattr(synthvae._files, name, full)
    monkeypatch.setattr(synthvae.storage.checkpoint, name, full, raising=False)


@pytest.mark.parametrize(
    ("name", "which", "stage"),
    [
        ("_sync", 1, None),
        ("_sync", 3, None),
        ("_sync", 4, "counts"),
        ("_sync", 5, "pairs alone"),
        ("_sync", 6, "moments"),
        ("sync_folder", 1, "counts"),
        ("sync_folder", 3, "pairs alone"),
        ("sync_folder", 5, "moments"),
        ("sync_folder", 7, "model"),
    ],
)
def test_what_cannot_be_kept_is_not_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, which: int, stage: str | None
) -> None:
    folder, made, moments = tmp_path / "fit", copy.copy(planned()), Moments()
    with monkeypatch.context() as patch, watched(moments):
        out_of_room(patch, name, which)
        with pytest.raises(StorageError, match="no room left"):
            made.fit(ward(), lambda *_: None, folder)
    with pytest.raises(ConfigError, match="has not been fitted"):
        made.state()
    assert made.training_curve is None
    assert stage_in(folder) == ("moments" if stage == "pairs alone" else stage)
    assert moments.released or which == 1
    again = Moments()
    with watched(again):
        made.fit(ward(), lambda *_: None, folder)
    # What was kept is not released again, and what was not, was seen by nobody.
    released = uninterrupted()[1].released
    left = {"counts": STEPS + 2, "pairs alone": STEPS + 1, "moments": STEPS, "model": 0}
    begun = 0 if stage is None else len(released) - left[stage]
    assert again.released == released[begun:]
    assert made.guarantee == uninterrupted()[0].guarantee


@pytest.mark.parametrize(
    ("write", "stage"),
    [(2, "counts"), (3, "moments"), (4, "moments"), (5, "model")],  # after two other files
)
def test_one_file_is_kept_and_each_takes_the_place_of_the_one_before(
    tmp_path: Path, write: int, stage: str
) -> None:
    kill(tmp_path / "fit", "after replace", write)
    assert stage_in(tmp_path / "fit") == stage
    assert set(everything_in(tmp_path / "fit")) == ALLOWED_FILES


ALLOWED_FILES = {"NOT_FOR_RELEASE.txt", "table.json", "checkpoint.safetensors"}
ALLOWED_ABOUT = {"format", "version", "identity", "patients", "stage", "arrays_sha256"}


@pytest.mark.parametrize(
    ("moment_of_end", "stage"), [("before _take_step", "moments"), ("after replace", "model")]
)
def test_a_checkpoint_holds_an_allow_list_of_things_and_nothing_of_the_rows(
    tmp_path: Path, moment_of_end: str, stage: str
) -> None:
    folder = tmp_path / "fit"
    kill(folder, moment_of_end, -1)
    files = everything_in(folder)
    assert set(files) == ALLOWED_FILES
    content = b"".join(files.values())
    assert b"secret-patient" not in content
    assert not any(str(value).encode() in content for value in ward()["id"])
    with safe_open(folder / FILE, "np") as file:
        sealed, names = file.metadata(), set(file.keys())
    assert set(sealed) == {"about", "about_sha256"}
    about = json.loads(sealed["about"])
    assert set(about) == ALLOWED_ABOUT
    assert about["stage"] == stage
    settings = {f"setting {name}" for name in Settings.model_fields}
    public = {
        "synthvae",
        "program",
        "version of the model",
        "test mode",
        "schema",
        "patients",
        "epsilon",
        "delta",
        "noise",
    }
    assert set(about["identity"]) == public | settings
    marginals = ("starts", "cell_mass", "cell_bin", "mass")
    expected = {*(f"columns/{j}/{part}" for j in range(3) for part in marginals), "row_shares"}
    if stage == "moments":
        expected |= {"pairs/values", "pairs/noise", "interactions/values", "interactions/noise"}
    else:
        weights = uninterrupted()[0].state().weights
        expected |= {f"weights/{name}" for name in weights} | {"products"}
        expected |= {f"columns/{j}/offset" for j in range(3)}
    assert names == expected
    assert set(json.loads(files["table.json"])) == {"key", "digest"}
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 1.0}, r"begun with epsilon 2\.0, not 1\.0"),
        ({"delta": 1e-6}, "begun with delta 1e-05, not 1e-06"),
        ({"schema": WARD.replace(patients=41)}, "begun with patients 40, not 41"),
        ({"schema": WARD.replace(title="x", maxRows=3)}, "begun with another schema"),
        ({"settings": ward_settings(steps=5)}, "begun with setting steps 4, not 5"),
        ({"settings": ward_settings(hidden=7)}, "begun with setting hidden 4, not 7"),
        ({"test_seed": 1}, "begun with test mode False, not True"),
        (
            {"epsilon": None, "settings": ward_settings(None, steps=3)},
            "begun with a budget, and this one has none",
        ),
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
    unused = ward().assign(note="not in the schema")[["note", *ward().columns]]
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
    assert stage_in(stopped) == "moments"


def test_without_privacy_nothing_is_kept(tmp_path: Path) -> None:
    open_settings = ward_settings(None, steps=3)
    made = Synthesizer(WARD, None, settings=open_settings)
    with watched(Moments()):
        made.fit(ward(), lambda *_: None, tmp_path / "fit")
    assert not (tmp_path / "fit").exists()


def test_two_processes_on_one_folder_get_one_clear_error(stopped: Path) -> None:
    plan = planned()._plan
    assert plan is not None
    with (
        Checkpoint.at(stopped, plan, test_mode=False),
        pytest.raises(OutputExistsError, match="Another process is at work on"),
    ):
        go_on(stopped)
    assert go_on(stopped).guarantee == uninterrupted()[0].guarantee


def test_drafts_of_a_killed_process_go(stopped: Path) -> None:
    draft = stopped / ".checkpoint.safetensors.abcd1234.partial"
    draft.write_bytes(b"half")
    go_on(stopped)
    assert set(everything_in(stopped)) == ALLOWED_FILES
    assert stage_in(stopped) == "model"
    assert spent_at_most(stopped) == "at most epsilon 2 at delta 1e-05"


def test_the_unfinished_fit_of_an_earlier_version_is_refused_and_kept(tmp_path: Path) -> None:
    older = tmp_path / "fit" / "checkpoint-000002.safetensors"
    older.parent.mkdir()
    older.write_bytes(b"of synthvae 0.1.0")
    with pytest.raises(
        OutputExistsError, match=r"begun by synthvae 0\.1\.0, which alone can go on"
    ):
        go_on(tmp_path / "fit")
    assert older.exists()
    assert "only synthvae 0.1.0" in str(spent_at_most(tmp_path / "fit"))
    with pytest.raises(OutputExistsError, match=r"begun by synthvae 0\.1\.0"):
        go_on(tmp_path / "fit", epsilon=None, settings=ward_settings(None, steps=3))
    UnfinishedWork(tmp_path / "fit").forget()
    assert not older.exists()
