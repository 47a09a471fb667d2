from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae._frozen import read_mapping, write_yaml
from synthvae.errors import ConfigError, SchemaError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["yes", "no", "on", "1:30", "007", "1e5", "1e-5", "0x1f", "~", "=", "2012-01-01"]
    )
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


def read(folder: Path, text: str, name: str = "file.yaml") -> dict[str, Any]:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return read_mapping(path, SchemaError, "schema")


@settings(deadline=None)
@given(value=st.dictionaries(st.text(max_size=5), VALUES, max_size=4))
def test_what_is_written_is_read_back_equal(
    tmp_path_factory: pytest.TempPathFactory, value: dict[str, Any]
) -> None:
    assert read(tmp_path_factory.getbasetemp(), write_yaml(value)) == value


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("yes", "yes"), ("no", "no"), ("On", "On"), ("true", True), ("FALSE", False)),
        *(("007", "007"), ("1:30", "1:30"), ("0x1f", "0x1f"), ("1_000", "1_000"), ("-3", -3)),
        *(("1e-5", 1e-5), ("1e5", 1e5), ("1.5e3", 1500.0), (".5", 0.5), ("5.", 5.0), ("0", 0)),
    ],
)
def test_plain_words_mean_what_yaml_1_2_says(tmp_path: Path, word: str, value: object) -> None:
    found = read(tmp_path, f"key: {word}")["key"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x 1\nb: *x", r"aliases \(\*name\) are not allowed \(line 2\)"),
        ("a: 1\nb: 2\na: 3", r"the key 'a' stands twice \(line 3\)"),
        ("a: {b: 1, b: 2}", "the key 'b' stands twice"),
        ("? [a, b]\n: 1", "a key must be a word"),
        ("a: [1, 2", "is not valid"),
        ("a: 2012-02-30", "is not valid: day"),
        ("- 1\n- 2", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("1: 2", "must hold a mapping"),
        ("a: 1\n---\nb: 2", "is not valid"),
        ("a: \0", "is not valid"),
    ],
)
def test_refuses_what_is_no_plain_yaml(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' stands twice"),
        ("{a: 1}", "is not valid"),
        ("[]", "mapping"),
    ],
)
def test_refuses_what_is_no_plain_json(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read(tmp_path, text, "file.JSON")


def test_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"There is no schema file .*absent"):
        read_mapping(tmp_path / "absent.yaml", SchemaError, "schema")
    with pytest.raises(SchemaError, match="cannot be read: Is a directory"):
        read_mapping(tmp_path, SchemaError, "schema")
    with pytest.raises(SchemaError, match=r"cannot be read: .*null"):
        read_mapping(Path("a\0b"), SchemaError, "schema")
    (tmp_path / "latin.yaml").write_bytes("name: café".encode("latin-1"))
    with pytest.raises(SchemaError, match="is not UTF-8 text"):
        read_mapping(tmp_path / "latin.yaml", SchemaError, "schema")
    (tmp_path / "huge.yaml").write_bytes(b"#" * 10_000_001)
    with pytest.raises(SchemaError, match="larger than 10 MB"):
        read_mapping(tmp_path / "huge.yaml", SchemaError, "schema")


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    assert read(tmp_path, "\ufeffa: 1") == {"a": 1}


def test_a_rule_may_begin_with_a_name_between_backquotes(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("rules:\n  - {name: order, then: `end.dt` >= `entry.dt`}\n  - `a b` > 3\n")
    assert read_mapping(path, ConfigError, "config") == {
        "rules": [{"name": "order", "then": "`end.dt` >= `entry.dt`"}, "`a b` > 3"]
    }
