"""Hostile evaluation.json, and what lies beside it, given to `synthvae report`."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from synthvae.comparison.results import Log
from synthvae.errors import ArtefactError, InputFileError
from synthvae.pipeline import read_report
from synthvae.report import page_of
from tests.hostile.examples import evaluation
from tests.hostile.pages import check_page

BESIDE = ("context.json", "training_curve.json", "guarantee.json")


def value() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(evaluation().to_json())
    return found


def write(folder: Path, text: str, name: str = "evaluation.json") -> Path:
    (folder / "evaluation.json").write_text(evaluation().to_json(), encoding="utf-8")
    (folder / name).write_text(text, encoding="utf-8")
    return folder / "evaluation.json"


@pytest.mark.parametrize("name", ["evaluation.json", *BESIDE])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}x",
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"version": ' + "9" * 10_000 + "}",
        '{"__class__": "os.system", "' + "k" * 100_000 + '": 1}',
        '{"name": "\\ud800"}',
    ],
)
def test_what_is_no_value_is_refused_in_a_sentence(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputFileError, match=f"{name} is no ") as refused:
        read_report(write(tmp_path, text, name), None)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("name", ["evaluation.json", *BESIDE])
def test_pipes_devices_and_giants_are_not_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "{}", name)
    for make in (os.mkfifo, lambda file: os.symlink("/dev/zero", file)):
        (tmp_path / name).unlink()
        make(tmp_path / name)
        with pytest.raises(InputFileError, match="cannot be read: it is no ordinary file"):
            read_report(path, None)
    (tmp_path / name).unlink()
    with (tmp_path / name).open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(InputFileError, match="larger than 100 MB"):
        read_report(path, None)


@pytest.mark.parametrize(
    ("where", "changed", "message"),
    [
        (("margins", 0, "train"), [1.0], "labels and shares must be as many"),
        (("margins", 0, "labels"), [], "labels and shares must be as many"),
        (("attacks", 0, "tpr"), [0.0], "fpr and tpr must be as many"),
        (("associations", "train"), [[1.0]], "matrices must be square"),
        (("associations", "synthetic"), [[1.0, 0.0], [1.0]], "matrices must be square"),
        (("scores", 0, "topic"), "</script>", "is no evaluation"),
        (("tables", "columns"), 1.5, "is no evaluation"),
        (("evil",), 1, "Extra inputs"),
        (("seed",), 10**400, "it holds a whole number beyond"),
    ],
)
def test_values_that_contradict_themselves_are_refused(
    tmp_path: Path, where: tuple[Any, ...], changed: Any, message: str
) -> None:
    whole = value()
    inner: Any = whole
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = changed
    with pytest.raises(InputFileError, match=message):
        read_report(write(tmp_path, json.dumps(whole)), None)


@pytest.mark.parametrize(
    ("where", "changed"),
    [
        (("scores", 0, "value"), 1e308),
        (("scores", 0, "value"), -1e-320),
        (("scores", 0, "interval", "low"), 1e300),
        (("margins", 0, "train"), [0.0, 0.0]),
        (("margins", 1, "synthetic"), [1e300, -1e300]),
        (("attacks", 0, "fpr"), [2.0, -5.0, 1e300]),
        (("attacks", 0, "auc"), 1e300),
        (("associations", "train"), [[1e300, -1], [0, 0]]),
        (("tables", "train_rows"), -(10**18)),
        (("notes",), ["x" * 1_000_000]),
    ],
)
def test_odd_numbers_make_a_page_or_an_error(
    tmp_path: Path, where: tuple[Any, ...], changed: Any
) -> None:
    whole = value()
    inner: Any = whole
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = changed
    path = write(tmp_path, json.dumps(whole))
    with contextlib.suppress(InputFileError):
        check_page(page_of(read_report(path, None)))


ORIGIN = {"table": "t"}
START = json.dumps({"origin": ORIGIN}).encode() + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\n",
        START + b"\xff\xff\n",
        START + b"[" * 200_000 + b"\n",
        START + b"null\n",
        START + b"[]\n",
        START + b'{"outcome": {"cell": 1}}\n',
        START + b'{"reference": 9e999}\n',
        b"{}\n",
        b"[1]\n",
        b'{"origin": 1}\n',
        b'{"origin": ' + b"9" * 10_000 + b"}\n",
    ],
)
def test_a_log_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runs.jsonl").write_bytes(content)
    with pytest.raises(ArtefactError, match="is no log of a comparison"):
        Log.resume(tmp_path / "runs.jsonl", ORIGIN)


def test_a_torn_last_line_of_a_log_is_cut_off_even_within_a_character(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_bytes(START + '{"outcome": "é'.encode()[:-1])
    assert not Log.resume(tmp_path / "runs.jsonl", ORIGIN).outcomes
    assert (tmp_path / "runs.jsonl").read_bytes() == START
