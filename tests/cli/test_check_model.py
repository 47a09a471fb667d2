"""`synthvae check-model`: what it prints, and how it ends."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import synthvae.defects
from synthvae.defects import DEFECTS, NEWEST
from synthvae.errors import DefectError
from tests.cli.in_process import Run
from tests.hostile.examples import model_files, write_model


def written(folder: Path, *, guarantee: dict[str, Any] | None = None, **changes: Any) -> Path:
    about = json.loads(model_files()["model.json"]) | changes
    if guarantee is not None:
        about["guarantee_sha256"] = None
    path = write_model(folder / "model", about=json.dumps(about).encode())
    if guarantee is not None:
        (path / "guarantee.json").write_text(json.dumps(guarantee))
    return path


PRIVATE = {"version": 1, "valid": True, "software": {"synthvae": "0.1.0"}}


def test_a_model_without_a_known_defect_is_said_to_have_none(run: Run, tmp_path: Path) -> None:
    ended = run("check-model", written(tmp_path, guarantee=PRIVATE))
    assert (ended.code, ended.err) == (0, "")
    assert f"has version {NEWEST}, made by synthvae 0.1.0." in ended.out
    assert "No known defect, as of 2026-11 and for models up to version" in ended.out
    assert "promises nothing" not in ended.out


def test_a_model_with_defects_has_its_exit_code_and_is_told_each(run: Run, tmp_path: Path) -> None:
    ended = run("check-model", written(tmp_path, guarantee=PRIVATE, version=4))
    assert ended.code == DefectError.exit_code == 14
    assert "has version 4; 6 known defects concern it" in ended.message
    words = " ".join(ended.out.split())
    for one in DEFECTS:
        assert f"{one.id} {one.title}. Found 2026-11, mended in model version 5" in words
        assert one.meaning in words
        assert f"What to do: {one.advice}" in words
    assert "No known defect" not in ended.out
    assert max(map(len, ended.out.splitlines()[1:])) <= 100


def test_a_void_guarantee_promises_nothing_anyway(run: Run, tmp_path: Path) -> None:
    void = {"valid": False, "why_void": "NOT PRIVATE: \x1b[2J.", "software": {}}
    ended = run("check-model", written(tmp_path, guarantee=void))
    assert ended.code == 0
    assert "made by an unnamed synthvae." in ended.out
    assert "so it promises nothing anyway: NOT PRIVATE: \\x1b[2J.\n" in ended.out
    assert "No other known defect, as of 2026-11" in ended.out


def test_defects_of_guarantees_are_not_held_against_a_model_without_one(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    void = {"version": 1, "valid": False, "why_void": "NOT PRIVATE", "software": {}}
    path = written(tmp_path, guarantee=void, version=4)
    ended = run("check-model", path)
    assert ended.code == 14
    assert "promises nothing anyway: NOT PRIVATE.\nDefects that matter only to whoever" in ended.out
    assert re.findall(r"^[a-z0-9-]+$", ended.out, flags=re.M) == ["split-key-published"]
    monkeypatch.setattr(synthvae.defects, "DEFECTS", tuple(d for d in DEFECTS if d.of_guarantee))
    ended = run("check-model", path)
    assert (ended.code, ended.err) == (0, "")
    assert "promises nothing anyway" in ended.out
    assert "No other known defect" in ended.out


def test_a_newer_model_is_not_cleared(run: Run, tmp_path: Path) -> None:
    ended = run("check-model", written(tmp_path, guarantee=PRIVATE, version=NEWEST + 1))
    assert ended.code == 9
    assert (
        f"made by a newer synthvae; this one knows defects up to version {NEWEST}" in ended.message
    )
    assert "No known defect" not in ended.out


@pytest.mark.parametrize(("version", "code"), [(4, 14), (NEWEST, 0), (NEWEST + 1, 9)])
def test_a_program_gets_json(run: Run, tmp_path: Path, version: int, code: int) -> None:
    ended = run("check-model", written(tmp_path, guarantee=PRIVATE, version=version), "--json")
    assert ended.code == code
    found = json.loads(ended.out)
    assert found["checked_for"] == {"date": "2026-11", "newest_version": NEWEST}
    assert (found["version"], found["synthvae"], found["promises"]) == (version, "0.1.0", True)
    assert found["is_known"] == (version <= NEWEST)
    names = [one["id"] for one in found["defects"]]
    assert names == ([one.id for one in DEFECTS] if version == 4 else [])


def test_what_is_no_model_is_one_error(run: Run, tmp_path: Path) -> None:
    ended = run("check-model", tmp_path / "none")
    assert (ended.code, ended.out) == (9, "")
    assert "There is no model" in ended.message
    path = written(tmp_path)
    (path / "model.json").write_bytes(b"[" * 100_000)
    ended = run("check-model", path, "--json")
    assert (ended.code, ended.out) == (9, "")
    assert "is damaged: model.json" in ended.message
