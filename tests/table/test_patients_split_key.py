"""The file with the key of a split: who may read it, and what of it is believed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from synthvae.config import RunConfig
from synthvae.errors import ArtefactError, ConfigError
from synthvae.table.patients import SPLIT, SplitKey, derived_key, kept_split_key


def config(**changes: Any) -> RunConfig:
    asked = {"name": "a", "data": {"dataset": "clinic"}, "schema": "s", "epsilon": 1}
    return RunConfig.model_validate(asked | changes)


def test_keys_are_drawn_anew_and_kept_closed_to_others(tmp_path: Path) -> None:
    drawn = [SplitKey.draw() for _ in range(3)]
    assert len({one.secret for one in drawn}) == 3
    assert {len(one.secret) for one in drawn} == {32}
    drawn[0].write(tmp_path)
    drawn[1].write(tmp_path)  # in place of the first
    assert SplitKey.read(tmp_path, "") == drawn[1]
    assert [item.name for item in tmp_path.iterdir()] == [SPLIT]
    if os.name != "nt":
        assert (tmp_path / SPLIT).stat().st_mode & 0o777 == 0o600
    assert drawn[1].key not in repr(drawn[1])


def test_a_key_that_is_kept_is_used_again(tmp_path: Path) -> None:
    first = kept_split_key(tmp_path, config())
    assert kept_split_key(tmp_path, config()) == first
    assert kept_split_key(tmp_path, config(seed=5), going_on=True) == first
    with pytest.raises(
        ConfigError, match=r"test_split_seed is 3, but .* was begun without one, which is another"
    ):
        kept_split_key(tmp_path, config(test_split_seed=3))


def test_a_test_seeds_key_is_no_secret_and_says_so(tmp_path: Path) -> None:
    kept = kept_split_key(tmp_path, config(test_split_seed=3))
    assert kept.secret == derived_key(3)
    assert kept.about.startswith("FOR TESTS")
    for changes, now in (({}, "not set"), ({"test_split_seed": 4}, "4")):
        with pytest.raises(ConfigError, match=f"test_split_seed is {now}, but .* begun with 3"):
            kept_split_key(tmp_path, config(**changes))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-9],
        lambda text: text.replace('"key"', '"kee"'),
        lambda text: text.replace("null", "3"),  # the key is not that seed's
        lambda text: text.replace("null", "9" * 5000),
        lambda text: json.dumps(json.loads(text) | {"key": "ff"}),
        lambda text: json.dumps(json.loads(text) | {"key": 7}),
        lambda text: json.dumps(json.loads(text) | {"more": 7}),
        lambda _text: "{}",
        lambda _text: "",
        lambda _text: "[" * 9000,
        lambda text: text + " " * 10_001,
    ],
)
def test_a_damaged_key_is_refused_and_not_repeated(tmp_path: Path, change: Any) -> None:
    kept = kept_split_key(tmp_path, config())
    file = tmp_path / SPLIT
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"split\.json .*pass --start-over") as raised:
        kept_split_key(tmp_path, config())
    assert kept.key[:16] not in str(raised.value)
    assert "spent" not in str(raised.value)  # nothing was released yet
    with pytest.raises(
        ArtefactError, match=r"split\.json .*a new key; what was spent so far counts"
    ):
        kept_split_key(tmp_path, config(), going_on=True)


def test_a_key_that_is_no_file_or_missing_is_refused(tmp_path: Path) -> None:
    message = r"There is no .*split\.json, the key of the split: put it back, or pass --start-over"
    with pytest.raises(ArtefactError, match=message):
        kept_split_key(tmp_path, config(), going_on=True)
    (tmp_path / SPLIT).mkdir()
    with pytest.raises(ArtefactError, match=r"split\.json cannot be read \(Is a directory\)"):
        kept_split_key(tmp_path, config())
