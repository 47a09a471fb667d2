"""What is known about models of earlier versions: the table, and the check of a model's files."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

import synthvae.defects
from synthvae.defects import DATE, DEFECTS, NEWEST, check_model, defects_of, raise_for_defects
from synthvae.errors import ArtefactError, DefectError
from synthvae.storage import model_folder
from synthvae.synthesizer import Synthesizer
from tests.hostile.examples import model_files, write_model

HOUSE = Path(__file__).parent.parent
IDS = [
    "latent-noise-from-a-32-bit-seed",
    "cells-read-beside-others",
    "a-fit-released-twice",
    "kept-rows-hang-on-others",
    "split-key-published",
    "float32-sums",
]


def about(**changes: Any) -> bytes:
    return json.dumps(json.loads(model_files()["model.json"]) | changes).encode()


def model(folder: Path, **changes: Any) -> Path:
    return write_model(folder / "model", about=about(**changes))


def test_the_table_knows_the_version_that_is_written() -> None:
    assert NEWEST == model_folder.VERSION, "has the new version defects of the one before?"


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_versions_until_4_have_all_six(version: int) -> None:
    assert [one.id for one in defects_of(version)] == IDS


@pytest.mark.parametrize("version", [-1, 0, 5, 6, 10**9])
def test_other_versions_have_none_in_the_table(version: int) -> None:
    assert defects_of(version) == ()


def test_each_defect_is_told_once_and_in_full() -> None:
    assert len({one.id for one in DEFECTS}) == len(DEFECTS)
    for one in DEFECTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id)
        assert re.fullmatch(r"20\d\d-\d\d", one.found)
        assert one.found <= DATE
        assert 1 <= one.first <= one.last < NEWEST
        assert 2 <= one.meaning.count(". ") + 1 <= 4
        assert one.title
        assert one.advice.endswith(".")


def as_markdown() -> str:
    """Return the table as the security policy shows it."""
    lines = ["| defect | what it means for a model or run | what to do |", "|---|---|---|"]
    for one in DEFECTS:
        assert "|" not in one.meaning + one.advice
        lines.append(f"| `{one.id}` | {one.meaning} | {one.advice} |")
    return "\n".join(lines) + "\n"


def policy_with_table(text: str) -> str:
    """Return the security policy's text with the table in its place."""
    before, begin, rest = text.partition("<!-- known defects: begin -->\n")
    _, end, after = rest.partition("<!-- known defects: end -->")
    assert end, "SECURITY.md has no place for the table"
    return f"{before}{begin}{as_markdown()}{end}{after}"


def test_the_security_policy_shows_the_table() -> None:
    text = (HOUSE / "SECURITY.md").read_text(encoding="utf-8")
    assert text == policy_with_table(text), "write policy_with_table(text) to SECURITY.md"


def test_the_changelog_names_each_defect_once() -> None:
    text = (HOUSE / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [text.count(f"`{one.id}`") for one in DEFECTS] == [1] * len(DEFECTS)


def test_a_model_that_is_written_now_has_no_known_defect(tmp_path: Path) -> None:
    found = check_model(model(tmp_path))
    assert (found.version, found.defects, found.is_known) == (model_folder.VERSION, (), True)
    raise_for_defects(tmp_path, found)


@pytest.mark.parametrize("version", [1, 4])
def test_an_older_model_has_its_defects_and_its_arrays_are_not_read(
    tmp_path: Path, version: int
) -> None:
    # Version 1 had no digest of the guarantee, and other settings.
    path = model(tmp_path, version=version, guarantee_sha256=None, settings={"depth": 3})
    (path / "guarantee.json").write_text('{"valid": true}')
    (path / "model.safetensors").unlink()
    (path / "schema.yaml").unlink()
    found = check_model(path)
    assert [one.id for one in found.defects] == IDS
    with pytest.raises(DefectError, match=r"has version \d; 6 known defects concern it: latent"):
        raise_for_defects(path, found)


@pytest.mark.parametrize("version", [1, 4])
def test_a_model_without_a_guarantee_has_no_defects_of_guarantees(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(tmp_path, version=version, guarantee_sha256=None)
    (path / "guarantee.json").write_text('{"valid": false, "why_void": "NOT PRIVATE"}')
    found = check_model(path)
    assert [one.id for one in found.defects] == ["split-key-published"]
    with pytest.raises(DefectError, match="1 known defect concerns it: split-key-published"):
        raise_for_defects(path, found)
    of_guarantees = tuple(one for one in DEFECTS if one.of_guarantee)
    monkeypatch.setattr(synthvae.defects, "DEFECTS", of_guarantees)
    assert check_model(path).defects == ()
    raise_for_defects(path, check_model(path))


def test_a_newer_model_is_neither_cleared_nor_blamed(tmp_path: Path) -> None:
    path = model(tmp_path, version=NEWEST + 1, novelty={"a": [1]})
    found = check_model(path)
    assert (found.defects, found.is_known) == ((), False)
    with pytest.raises(ArtefactError, match=f"this one knows defects up to version {NEWEST}"):
        raise_for_defects(path, found)


def test_a_guarantee_of_any_version_is_read_for_who_made_it(tmp_path: Path) -> None:
    path = model(tmp_path, version=4, guarantee_sha256=None)
    for text, promises, made_by in (
        ('{"valid": true, "version": 1, "software": {"synthvae": "0.1.0"}}', True, "0.1.0"),
        ('{"valid": false, "version": 99, "why_void": "NOT PRIVATE", "new": [1]}', False, None),
    ):
        (path / "guarantee.json").write_text(text)
        found = check_model(path)
        assert (found.promises, found.synthvae) == (promises, made_by)
    endless = {"valid": False, "why_void": "x" * 10**6, "software": {"synthvae": "9" * 10**6}}
    (path / "guarantee.json").write_text(json.dumps(endless))
    assert len(json.dumps(check_model(path).to_dict())) < 10_000


def test_a_guarantee_that_was_altered_is_not_believed(tmp_path: Path) -> None:
    path = model(tmp_path)
    (path / "guarantee.json").write_text('{"valid": true}')
    with pytest.raises(ArtefactError, match=r"guarantee\.json is not the one"):
        check_model(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 0}, "model.json: Input should be greater than or equal to 1 at version"),
        ({"version": -4}, "greater than or equal to 1 at version"),
        ({"version": True}, "valid integer at version"),
        ({"version": "4"}, "valid integer at version"),
        ({"version": 4.0}, "valid integer at version"),
        ({"version": None}, "valid integer at version"),
        ({"version": 10**400}, "at version"),
        ({"version": 10**7}, "less than or equal to 1000000 at version"),
        ({"format": "<script>"}, "holds no synthvae model"),
        ({"format": ["synthvae model"]}, "valid string at format"),
        ({"guarantee_sha256": 7}, "valid string at guarantee_sha256"),
    ],
)
def test_odd_settings_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ArtefactError, match=message) as refused:
        check_model(model(tmp_path, **change))
    assert len(str(refused.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["model.json", "guarantee.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"null", b"[]", b"{}", b"\xff\xfe", b"{}x", b"[" * 200_000, b'{"a":' * 100_000,
     b'{"version": ' + b"9" * 10_000 + b"}", b'{"valid": "yes", "format": 4}',
     b'{"valid": true, "software": [], "format": null}'],
)  # fmt: skip
def test_what_is_no_model_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes
) -> None:
    path = model(tmp_path, guarantee_sha256=None)
    (path / name).write_bytes(content)
    with pytest.raises(ArtefactError, match=r"is damaged|holds no synthvae model") as refused:
        check_model(path)
    assert len(str(refused.value)) < 500 + len(str(tmp_path))


@pytest.mark.parametrize("name", ["model.json", "guarantee.json"])
def test_what_is_missing_huge_or_no_file_is_not_read(tmp_path: Path, name: str) -> None:
    path = model(tmp_path)
    (path / name).unlink()
    with pytest.raises(ArtefactError, match=f"no {name}|{name} cannot be read"):
        check_model(path)
    os.mkfifo(path / name)
    with pytest.raises(ArtefactError, match="no ordinary file"):
        check_model(path)
    (path / name).unlink()
    (path / name).symlink_to("/dev/zero")
    with pytest.raises(ArtefactError, match="no ordinary file"):
        check_model(path)
    (path / name).unlink()
    with (path / name).open("wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(ArtefactError, match="larger than 10 MB"):
        check_model(path)


def test_no_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="There is no model"):
        check_model(tmp_path / "none")
    (tmp_path / "file").write_text("{}")
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(ArtefactError, match=r"no model\.json in it; name the .* release/model"):
            check_model(path)


@pytest.mark.parametrize(("version", "pointed"), [(4, True), (1, True), (0, False), (99, False)])
def test_loading_points_to_the_check_where_something_is_known(
    tmp_path: Path, version: int, pointed: bool
) -> None:
    with pytest.raises(ArtefactError, match="use the synthvae that fitted it") as refused:
        Synthesizer.load(model(tmp_path, version=version))
    assert ("`synthvae check-model`" in str(refused.value)) == pointed
