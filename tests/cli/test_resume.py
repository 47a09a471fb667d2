"""Commands that are stopped, killed, run twice at once, or out of room, and the same command again."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from synthvae._files import locked
from synthvae._frozen import write_yaml
from synthvae._text import epsilon_text
from synthvae.comparison.compare import FOLDER, compare
from synthvae.config import RunConfig
from synthvae.errors import DataError
from synthvae.model.training import PrivateTraining
from synthvae.storage.checkpoint import stage_in, unfinished_folder
from synthvae.synthesizer import Synthesizer
from synthvae.table import write_table
from tests.cli.in_process import Run, everything_in
from tests.simulated import quick, simulate_fewer
from tests.storage.killed_fits import WARD, ward

SCHEMA = WARD.replace(patients=200)
FIT = ("fit", "ward.csv", "--schema", "ward.schema.yaml", "--epsilon", "1", "--out", "model")
STEPS = 12
# A second in the middle of writing a result, so that whoever waits for its draft is not too late by
# chance.
DRIVER = """
import time
import synthvae.pipeline as pipeline
write = pipeline.write_custodian
def write_slowly(*words):
    time.sleep(1)
    write(*words)
pipeline.write_custodian = write_slowly
from synthvae.cli import main
main()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table of two hundred patients; fits in this process take few steps."""
    parts = [ward(i).assign(id=[f"{patient} {i}" for patient in ward(i)["id"]]) for i in range(5)]
    write_table(pd.concat(parts), tmp_path / "ward.csv", SCHEMA)
    (tmp_path / "ward.schema.yaml").write_text(SCHEMA.to_yaml(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    simulate_fewer(monkeypatch)
    monkeypatch.setattr("synthvae.plan.settings_for", lambda s, e: quick(s, e, steps=STEPS))
    return tmp_path


def configured(**changes: Any) -> RunConfig:
    value = {
        "name": "trial",
        "data": {"path": "ward.csv"},
        "schema": "ward.schema.yaml",
        "epsilon": 1,
        "settings": {"steps": 1500},
    } | changes
    Path("run.yaml").write_text(write_yaml(value), encoding="utf-8")
    return RunConfig.load("run.yaml")


@contextlib.contextmanager
def stopping(step: int, cause: BaseException) -> Iterator[None]:
    """Let training end with an exception in one of its steps."""
    usual, taken = PrivateTraining._take_step, [0]

    def stop(*arguments: Any) -> float:
        taken[0] += 1
        if taken[0] == step:
            raise cause
        return usual(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PrivateTraining, "_take_step", stop)
        yield


def guarantee(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "guarantee.json").read_text(encoding="utf-8"))
    return found


def test_a_stopped_fit_goes_on_with_the_same_command(place: Path, run: Run) -> None:
    before = everything_in(place)
    with stopping(8, KeyboardInterrupt("Interrupted; what was there before is untouched.")):
        ended = run(*FIT)
    assert ended.code == 130
    assert ended.message == (
        "Interrupted; what was there before is untouched. What was released so far is kept in "
        f"{place / 'model.unfinished'}: the same command goes on after the moments, with its training."
    )
    assert not (place / "model").exists()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthvae.fit.measure_marginals", lambda *_: 1 / 0)
        ended = run(*FIT)
    assert ended.code == 0, ended.err
    assert "going on after the moments, with its training" in ended.err
    assert set(everything_in(place)) - set(before) == {
        f"model/{name}"
        for name in ("guarantee.json", "model.json", "model.safetensors", "schema.yaml")
    }
    assert not (place / "model.unfinished").exists()
    run(*FIT[:-1], "other")
    assert guarantee(place / "model") == guarantee(place / "other")


def test_a_fit_that_goes_on_with_other_words_is_refused_until_it_starts_over(
    place: Path, run: Run
) -> None:
    with stopping(3, KeyboardInterrupt()):
        assert run(*FIT).message.startswith("Interrupted. What was released so far is kept in")
    kept = everything_in(place)
    ended = run(*FIT[:4], "--epsilon", "2", "--out", "model")
    assert ended.code == 8
    assert "was begun with epsilon 1.0, not 2.0" in ended.message
    assert ended.message.endswith("or pass --start-over; what it has spent counts then too.")
    ended = run(*FIT, "--patients", "201")
    assert "was begun with patients 200, not 201" in ended.message
    write_table(pd.concat([ward(9)] * 2), place / "other.csv", SCHEMA)
    ended = run("fit", "other.csv", *FIT[2:])
    assert ended.code == 6
    assert "The table is not the one that the unfinished fit" in ended.message
    (place / "other.csv").unlink()
    assert everything_in(place) == kept
    ended = run(*FIT, "--start-over")
    assert ended.code == 0, ended.err
    said = "The unfinished fit has spent at most epsilon 1 at delta 1e-05: that counts beside what"
    assert said in ended.out
    assert "going on" not in ended.err
    ended = run(*FIT, "--force", "--start-over")
    assert ended.code == 0
    assert "Starting over" not in ended.out  # nothing was unfinished


def test_force_says_what_the_release_that_it_replaces_has_spent(place: Path, run: Run) -> None:
    assert run(*FIT, "--force").code == 0
    epsilon = epsilon_text(guarantee(place / "model")["epsilon"])
    spent = f"spent epsilon {epsilon} at delta 10⁻⁵ per patient: "
    adds = "what a new fit spends on the same patients adds to it."
    ended = run(*FIT, "--force")
    assert f"The earlier release in model {spent}{adds}" in ended.out
    release = configured().folder / "release"
    release.mkdir(parents=True)
    before = json.dumps(guarantee(place / "model"))
    for content, words in (
        (before, f"The earlier release in {release} {spent}{adds}"),
        (before.replace('"valid": true', '"valid": false'), None),
        ("{", f"What the earlier release in {release} spent cannot be read: {adds}"),
    ):
        (release / "guarantee.json").write_text(content)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("synthvae.pipeline.load_source", lambda *_: 1 / 0)
            said = run("run", "run.yaml", "--force").out
        assert said.replace("\n", " ").strip() == (words or "")


def test_a_failure_before_anything_is_spent_leaves_nothing(place: Path, run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("synthvae.fit.measure_marginals", lambda *_: 1 / 0)
        ended = run(*FIT)
    assert "(ZeroDivisionError: division by zero)" in ended.err
    assert not (place / "model.unfinished").exists()


def test_a_second_process_on_one_output_gets_one_clear_error(place: Path, run: Run) -> None:
    config = configured()
    for output, words in ((Path("model"), FIT), (config.folder, ("run", "run.yaml"))):
        with locked(unfinished_folder(output) / "lock", output):
            ended = run(*words)
        assert ended.code == 8
        assert ended.message.startswith(f"Another process is at work on {output}; wait")
        assert not unfinished_folder(output).exists()
    folder = config.folder / FOLDER / "custodian"
    with locked(folder / ".lock", folder):
        ended = run("compare", "run.yaml")
    assert ended.code == 8
    assert ended.message.startswith(f"Another process is at work on {folder}")


def test_what_a_killed_process_left_is_put_in_order(place: Path, run: Run) -> None:
    draft, other = place / ".model.abcd1234.partial", place / ".model.csv.abcd1234.partial"
    old = place / ".model.efgh5678.replaced"
    for folder in (draft, old):
        folder.mkdir()
        (folder / "model.json").write_text("older")
    other.write_text("somebody else's")
    ended = run(*FIT)
    assert "exists already; pass --force" in ended.message  # the older one is back in its place
    assert not draft.exists()
    assert not old.exists()
    assert (place / "model" / "model.json").read_text() == "older"
    assert other.exists()


def test_a_comparison_removes_what_a_killed_one_left_before_anything_else(place: Path) -> None:
    config = configured(compare={"methods": ["independent"], "runs": 1})
    folder = config.folder / FOLDER / "custodian"
    (folder / ".work.abcd").mkdir(parents=True)
    (folder / ".work.abcd" / "train.parquet").write_bytes(b"real rows")
    (folder / ".runs.jsonl.abcd1234.partial").write_text("half")
    (place / "ward.csv").write_text("id,sex,age\nx,female,-3\n")
    with pytest.raises(DataError):
        compare(config)
    assert everything_in(folder) == {}


def start(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def kill_when(ready: Callable[[], bool], delay: float, *words: str) -> bool:
    """Run a command and kill it a while after something holds; return whether it was alive then."""
    program = start(*words)
    end = time.monotonic() + 120
    while not ready() and program.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    time.sleep(delay)
    alive = program.poll() is None
    program.send_signal(signal.SIGKILL)
    program.communicate()
    return alive


@pytest.mark.slow
def test_a_run_killed_at_nine_moments_ends_with_the_guarantee_of_one_that_was_not(
    place: Path,
) -> None:
    config = configured()
    draws = random.Random(4)
    unfinished = unfinished_folder(config.folder)

    def kept(stage: str) -> Callable[[], bool]:
        return lambda: stage_in(unfinished) == stage

    def drafted() -> bool:
        return any(config.folder.parent.glob(".trial.*.partial/release"))

    moments: list[tuple[Callable[[], bool], float]] = [
        (lambda: True, draws.uniform(0.1, 1.0)),
        ((unfinished / "table.json").exists, draws.uniform(0, 0.05)),
        (kept("counts"), draws.uniform(0, 0.1)),
        (kept("moments"), draws.uniform(0, 0.3)),
        *((kept("moments"), draws.uniform(2, 8)) for _ in range(3)),
        (kept("model"), draws.uniform(0, 2)),
        (drafted, 0.0),
    ]
    killed = [kill_when(ready, delay, "run", "run.yaml") for ready, delay in moments]
    assert sum(killed) >= 7
    assert not config.folder.exists()
    assert stage_in(unfinished) == "model"
    program = start("run", "run.yaml")
    _, err = program.communicate(timeout=300)
    assert program.returncode == 0, err
    assert "going on after the fit, which is finished" in err
    assert {item.name for item in place.iterdir()} >= {"reports", "run.yaml"}
    assert [item.name for item in config.folder.parent.iterdir()] == ["trial"]
    found = guarantee(config.folder / "release")
    settings: dict[str, float] = {"steps": 1500}
    schema = SCHEMA.replace(patients=160)
    with pytest.MonkeyPatch.context() as patch:
        patch.undo()
        from synthvae.pipeline import override_settings
        from synthvae.settings import settings_for

        patch.setattr("synthvae.plan.settings_for", settings_for)
        made = Synthesizer(schema, 1.0, settings=override_settings(schema, 1.0, settings))
    frame = pd.read_csv("ward.csv")
    whole = made.fit(frame, lambda *_: None).guarantee
    assert found == json.loads(whole.model_dump_json())
    assert Synthesizer.load(config.folder / "release" / "model").sample(10, seed=1) is not None


@pytest.mark.slow
def test_a_run_interrupted_while_it_is_scored_goes_on_for_nothing(place: Path) -> None:
    config = configured(settings={"steps": 40})
    driver = "import pathlib, sys, time, synthvae.scoring as module\n"
    driver += "def score(*_, **__):\n    pathlib.Path('scoring').touch()\n    time.sleep(60)\n"
    driver += "module.evaluate = score\nfrom synthvae.cli import main\nmain()\n"
    program = subprocess.Popen(
        [sys.executable, "-c", driver, "run", "run.yaml"], stderr=subprocess.PIPE, text=True
    )
    while not Path("scoring").exists():
        assert program.poll() is None
        time.sleep(0.05)
    time.sleep(
        1
    )  # it sleeps by then: an interrupt on the way there may fall where Python ignores it
    program.send_signal(signal.SIGINT)
    _, err = program.communicate(timeout=60)
    assert program.returncode == 130
    kept = unfinished_folder(config.folder) / "unscored" / "release"
    assert err.endswith(
        f"Error: Interrupted after the fit. The records and the model are in {kept}, not scored; the "
        "same command goes on from there and spends nothing more.\n"
    )
    assert not config.folder.exists()
    before = everything_in(kept)
    program = start("run", "run.yaml")
    _, err = program.communicate(timeout=300)
    assert program.returncode == 0, err
    assert "going on after the fit, which is finished" in err
    assert everything_in(config.folder / "release") == before
    assert [item.name for item in config.folder.parent.iterdir()] == ["trial"]


@pytest.mark.slow
def test_two_processes_at_once_one_works_and_one_is_told(place: Path) -> None:
    first = start(*FIT)
    while not (place / "model.unfinished" / "lock").exists():
        time.sleep(0.01)
    second = start(*FIT)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 8
    assert err == (
        "Error: Another process is at work on model; wait until it is done, or choose another "
        "output.\n"
    )
    assert first.communicate(timeout=120) is not None
    assert first.returncode == 0
    assert Synthesizer.load(place / "model").guarantee.valid
    assert not (place / "model.unfinished").exists()


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        made = False
    if not made:
        pytest.skip("this user cannot mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_fills_up_keeps_what_was_released(place: Path) -> None:
    words = (*FIT[:-1], "disk/model")
    with tiny_disk(place / "disk", "256k"):
        program = start(*words)
        unfinished = place / "disk" / "model.unfinished"
        while program.poll() is None and stage_in(unfinished) is None:
            time.sleep(0.005)
        with contextlib.suppress(OSError), (place / "disk" / "filler").open("wb") as filler:
            while True:
                filler.write(bytes(1024))
                filler.flush()
        _, err = program.communicate(timeout=120)
        assert program.returncode == 10, err
        assert "Traceback" not in err
        assert err.count("Error: ") == 1
        assert "There is no room left on the disk for" in err
        assert f"What was released so far is kept in {unfinished}" in err
        assert stage_in(unfinished)
        (place / "disk" / "filler").unlink()
        program = start(*words)
        _, err = program.communicate(timeout=120)
        assert program.returncode == 0, err
        assert "going on after the" in err
        assert Synthesizer.load(place / "disk" / "model").guarantee.valid
        assert not unfinished.exists()
