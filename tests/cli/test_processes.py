"""The program as a program: exit codes, signals, a full disk, and other machines."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from numpy._core._multiarray_umath import (  # type: ignore[import-not-found]
    __cpu_dispatch__,
    __cpu_features__,
)

from synthvae import console
from synthvae._frozen import write_yaml
from synthvae.cli import app
from synthvae.storage.checkpoint import unfinished_folder
from tests.cli.in_process import everything_in
from tests.hospital import fitted

PROGRAM = [sys.executable, "-m", "synthvae.cli"]
FIT = ("fit", "train.csv", "--schema", "schema.yaml", "--epsilon", "1", "--out", "model")


def start(*words: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def test_exit_codes_and_one_sentence(work: Path) -> None:
    program = start("sample", "nowhere", "--out", "made.csv")
    out, err = program.communicate(timeout=60)
    assert program.returncode == 9
    assert out == ""
    assert err == "Error: There is no model nowhere; name the folder that fit wrote.\n"


def test_debug_may_stand_anywhere(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_stop_on_signals", lambda: None)
    words = ["synthvae", "sample", "nowhere", "--out", "made.csv", "--debug"]
    monkeypatch.setattr(sys, "argv", words)
    assert console.run_program(app) == 9
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("Error: There is no model nowhere; name the folder that fit wrote.\n")


def test_a_terminal_without_accents_and_a_reader_that_leaves(model: Path) -> None:
    words = ("sample", model, "--rows", "5", "--out", "made.csv", "--where", "âge=old")
    program = start(*words, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    _, err = program.communicate(timeout=60)
    assert program.returncode == 3
    assert r"where '\xe2ge' is 'old'" in err
    (model.parent / "wrong.csv").write_text("a\n1\n")
    program = start("schema", "check", "schema.yaml", "wrong.csv")
    assert program.stdout is not None
    program.stdout.close()
    assert program.wait(60) in (1, 6)
    assert program.stderr is not None
    assert "Exception ignored" not in program.stderr.read()
    program.stderr.close()


def stop(program: subprocess.Popen[str], sent: int, output: Path) -> str:
    """Send a signal while the model trains, and return what was said about it."""
    lock = unfinished_folder(output) / "lock"
    end = time.monotonic() + 60
    while not lock.exists() and program.poll() is None and time.monotonic() < end:
        time.sleep(0.05)  # starting up takes longer where other programs are at work
    time.sleep(2)
    program.send_signal(sent)
    _, err = program.communicate(timeout=60)
    return err


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
        (signal.SIGTERM, 143),
        pytest.param(signal.SIGHUP, 129, marks=pytest.mark.slow),
    ],
)
def test_a_stopped_fit_leaves_what_was_there(model: Path, sent: int, code: int) -> None:
    before = everything_in(model.parent)
    # A budget-less fit of two thousand steps: long enough to be caught in the middle.
    program = start(*FIT[:5], "none", *FIT[6:], "--force")
    err = stop(program, sent, model)
    assert program.returncode == code, err
    assert "Traceback" not in err
    assert err.rstrip().endswith("what was there before is untouched.")
    assert everything_in(model.parent) == before


@pytest.mark.slow
def test_a_stopped_run_leaves_what_was_there(work: Path) -> None:
    settings = {"name": "trial", "data": {"path": "train.csv"}, "schema": "schema.yaml"}
    more = {"epsilon": "none", "settings": {"steps": 100_000}}
    (work / "run.yaml").write_text(write_yaml(settings | more), encoding="utf-8")
    older = work / "reports" / "trial" / "release"
    older.mkdir(parents=True)
    (older / "synthetic.csv").write_text("older")
    before = everything_in(work)
    program = start("run", "run.yaml", "--force")
    err = stop(program, signal.SIGINT, older.parent)
    assert program.returncode == 130, err
    assert "Interrupted; what was there before is untouched." in err
    assert everything_in(work) == before


# BLAS kernels and vector units of other processors, and other numbers of threads.
VECTOR_UNITS = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
MACHINES = [
    {"OPENBLAS_NUM_THREADS": "1"},
    {"OPENBLAS_NUM_THREADS": "2"},
    {"OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": " ".join(VECTOR_UNITS[1:])},
    {"OPENBLAS_CORETYPE": "Prescott"},
    {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": " ".join(VECTOR_UNITS)},
]
SAMPLE = """
import hashlib, sys
from synthvae import Synthesizer
digest = hashlib.sha256()
for folder in sys.argv[1:]:
    model = Synthesizer.load(folder)
    for where in (None, {"sex": "male", "cost": (0, 50_000)}):
        frame = model.sample(20_000 if where is None else 1_500, seed=11, where=where)
        digest.update(frame.to_csv().encode())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_records_on_other_machines(tmp_path: Path) -> None:
    for kind in ("private", "open"):
        fitted(kind).save(tmp_path / kind)
    words = [
        sys.executable,
        "-W",
        "error",
        "-c",
        SAMPLE,
        str(tmp_path / "private"),
        str(tmp_path / "open"),
    ]
    found = {
        subprocess.run(
            words, env=os.environ | machine, capture_output=True, text=True, check=True
        ).stdout
        for machine in MACHINES
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == 2 * hashlib.sha256().digest_size
