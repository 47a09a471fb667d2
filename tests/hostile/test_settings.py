"""Hostile YAML and JSON: what tests/test_frozen.py has not refused in small."""

import os
from pathlib import Path

import pytest

from synthvae._frozen import MOST_VALUES
from synthvae.errors import SchemaError
from synthvae.schema import Schema
from tests.hostile.limits import said_within

FIELD = "name: t\nfields:\n  - "
NUMBER = FIELD + "{name: x, type: number, constraints: {minimum: 0, maximum: %s}}\n"
DATE = (
    FIELD
    + "{name: x, type: date, format: '%s', constraints: {minimum: 2001-01-01, maximum: 2009-01-01}}\n"
)


def load(folder: Path, text: str, name: str = "s.yaml") -> Schema:
    (folder / name).write_text(text, encoding="utf-8")
    return Schema.load(folder / name)


BOMB = "a: &a [x, x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a, *a]\n" for i in range(9))
REFUSED = {
    "aliases .* are not allowed": BOMB,
    r"tags \('tag:yaml.org,2002:python/object/apply:os.system'\)": (
        "a: !!python/object/apply:os.system [touch ran]"
    ),
    r"tags \('tag:yaml.org,2002:python/name:os.system'\)": "a: !!python/name:os.system",
    r"tags \('tag:yaml.org,2002:timestamp'\)": "a: !!timestamp x",
    r"tags \('tag:yaml.org,2002:binary'\)": "a: !!binary eA==",
    r"tags \('!evil'\)": "a: !evil {b: 1}",
    "merge|not valid": FIELD + "{<<: {name: x}, constraints: {enum: [a]}}",
    "nested too deeply": "a: " + "[" * 100_000,
    "Exceeds the limit": NUMBER % ("9" * 5000),
    r"a bound must lie between -1e\+15 and 1e\+15 \(got inf\)": NUMBER % "1e999",
    "bound '0x1f' is text": NUMBER % "0x1f",
    "bound '0o17' is text": NUMBER % "0o17",
    "format .* is no pattern of dates: redefinition": DATE % "%d%d",
    "is too long to be a pattern": DATE % ("x" * 200),
    "is half a character": FIELD + '{name: "\\ud800", constraints: {enum: [a]}}',
    "a name of 1,001 characters": FIELD + "{name: %s, constraints: {enum: [a]}}" % ("n" * 1001),
    "enum must be a list": FIELD + "{name: a, constraints: {enum: 7}}",
    "patients: Input should be less than": "patients: 9" + "9" * 400 + "\nfields: []",
    "and 88 more": "name: t\nfields:\n" + "  - {typ: 1}\n" * 50,
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_hostile_schema_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SchemaError, match=message) as refused:
        load(tmp_path, REFUSED[message])
    assert len(str(refused.value)) < 3000
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"patients": 1e999, "fields": []}', "finite number"),
        ('{"patients": NaN, "fields": []}', "finite number"),
        ('{"patients": ' + "9" * 5000 + "}", "Exceeds the limit"),
        ('{"name": "\\ud800", "fields": []}', "is half a character"),
    ],
)
def test_so_is_hostile_json(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        load(tmp_path, text, "s.json")


def test_a_schema_reads_no_file_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a\nb\n")
    folder = tmp_path / "schema"
    folder.mkdir()
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "codes.txt").write_text("a\nb\n")
    for name in ("../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "/etc/passwd", ".."):
        with pytest.raises(SchemaError, match="does not lie in the schema's folder"):
            load(folder, FIELD + f"{{name: x, constraints: {{enum: {name}}}}}")
    assert load(folder, FIELD + "{name: x, constraints: {enum: codes.txt}}")["x"].categories
    os.mkfifo(folder / "pipe")
    for name, message in {
        "pipe": "no ordinary file",
        ".": "Is a directory",
        '"a\\0b"': "null",
        "y" * 5000: "File name too long",
    }.items():
        with pytest.raises(SchemaError, match=message) as refused:
            load(folder, FIELD + f"{{name: x, constraints: {{enum: {name}}}}}")
        assert len(str(refused.value)) < 500


def test_a_pipe_or_a_device_is_no_settings_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    for path in (tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(SchemaError, match="cannot be read: it is no ordinary file"):
            Schema.load(path)


def test_words_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthvae._frozen.MOST_VALUES", 1000)
    with pytest.raises(SchemaError, match="it holds more than 1,000 words"):
        load(tmp_path, "a: [" + "1," * 2000 + "]")


@pytest.mark.slow
def test_more_words_than_anybody_writes_are_refused_in_time(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("a: [" + "1," * (MOST_VALUES + 10) + "]")
    call = "from synthvae.schema import Schema; Schema.load('s.yaml')"
    assert "more than 250,000 words" in said_within(call, tmp_path, seconds=120, gigabytes=2)


def test_categories_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthvae.schema.MOST_CATEGORIES", 3)
    with pytest.raises(SchemaError, match="have 4 categories together; at most 3"):
        load(tmp_path, FIELD + "{name: x, constraints: {enum: [a, b, c, d]}}")
