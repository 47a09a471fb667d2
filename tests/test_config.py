from pathlib import Path
from typing import Any

import pytest

from synthvae._frozen import write_yaml
from synthvae.config import RunConfig
from synthvae.errors import ConfigError

PLAIN: dict[str, Any] = {
    "name": "run",
    "data": {"path": "train.csv"},
    "schema": "schema.yaml",
    "epsilon": 1.0,
}


def load(folder: Path, **changes: Any) -> RunConfig:
    values = {name: value for name, value in (PLAIN | changes).items() if value != "left out"}
    (folder / "run.yaml").write_text(write_yaml(values), encoding="utf-8")
    return RunConfig.load(folder / "run.yaml")


def test_paths_are_relative_to_the_file_and_results_to_the_working_folder(tmp_path: Path) -> None:
    config = load(tmp_path, seed=3)
    assert config.data.path == tmp_path / "train.csv"
    assert config.schema_path == tmp_path / "schema.yaml"
    assert config.folder == Path("reports/run")
    assert (config.holdout, config.delta, config.rows, config.seed) == (0.2, None, None, 3)
    assert config.test_split_seed is None  # real use splits by a secret


def test_a_table_may_be_two_files(tmp_path: Path) -> None:
    two = {"patients": "p.csv", "visits": "/data/v.csv", "delimiter": ";"}
    data = load(tmp_path, data=two).data
    assert data.files == (tmp_path / "p.csv", Path("/data/v.csv"))
    assert data.of_visits.files == (Path("/data/v.csv"),)
    assert data.of_patients.delimiter == ";"
    wrong = [
        ({"patients": "p.csv"}, "patients is given without visits; name both files, or one under"),
        (
            {"path": "t.csv", "patients": "p.csv", "visits": "v.csv"},
            "give either path .* or patients",
        ),
        ({"patients": "p.csv", "visits": "p.csv"}, "patients and visits name one file"),
    ]
    for given, message in wrong:
        with pytest.raises(ConfigError, match=message):
            load(tmp_path, data=given)


def test_absolute_paths_and_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = load(tmp_path, data={"path": "/data/t.parquet"}, schema="~/s.yaml", out="~/results")
    assert config.data.path == Path("/data/t.parquet")
    assert config.schema_path == Path("/home/somebody/s.yaml")
    assert config.folder == Path("/home/somebody/results/run")


def test_no_privacy_must_be_said_in_a_word(tmp_path: Path) -> None:
    assert load(tmp_path, epsilon="none").epsilon is None
    with pytest.raises(ConfigError, match="epsilon: must be a number above 0, or the word none"):
        load(tmp_path, epsilon=None)
    with pytest.raises(ConfigError, match="epsilon: missing"):
        load(tmp_path, epsilon="left out")


def test_json_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(
        '{"name": "a", "data": {"dataset": "randhie"}, "schema": "s", "epsilon": "none"}'
    )
    assert RunConfig.load(tmp_path / "run.json").data.dataset == "randhie"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilom": 1}, r"unknown key 'epsilom' \(did you mean 'epsilon'\?\)"),
        ({"schemas": "x"}, r"unknown key 'schemas'"),
        ({"data": {"pth": "t.csv"}}, r"data, pth: unknown key 'pth' \(did you mean 'path'\?\)"),
        ({"data": {"path": "t.csv", "dataset": "randhie"}}, "data: give either path"),
        ({"data": {}}, "data: give either path"),
        ({"data": "t.csv"}, "data: must be a mapping of names to values"),
        ({"data": {"dataset": "mimic"}}, r"data, dataset: .*'randhie' \(got 'mimic'\)"),
        ({"epsilon": "much"}, r"epsilon: .* \(got 'much'\)"),
        ({"epsilon": True}, "epsilon: must be a number"),
        ({"delta": [1]}, "delta: "),
        ({"holdout": 0}, r"holdout: .* \(got 0\)"),
        ({"holdout": 1}, r"holdout: .* \(got 1\)"),
        ({"rows": 0}, r"rows: .* \(got 0\)"),
        ({"rows": 2.5}, r"rows: .* \(got 2.5\)"),
        ({"rows": True}, "rows: must be a number"),
        ({"seed": -1}, r"seed: .* \(got -1\)"),
        ({"test_split_seed": -1}, r"test_split_seed: .* \(got -1\)"),
        ({"split_seed": 1}, r"unknown key 'split_seed'"),
        ({"name": "../elsewhere"}, r"name: names a folder: use .* \(got '../elsewhere'\)"),
        ({"name": "a/b"}, "names a folder"),
        ({"name": ".."}, "names a folder"),
        ({"name": "a\n"}, "names a folder"),
        ({"name": ""}, "names a folder"),
        ({"out": ""}, "out: must be a path"),
        ({"out": 3}, "out: "),
        ({"out": "\0"}, "out: must be a path"),
        ({"epsilon": {"a": 1}}, "epsilon"),
        ({"settings": {"steps": {"a": 1}}}, "steps must be a number"),
        ({"schema": "left out"}, "schema: missing"),
        ({"settings": {"steps": "many"}}, "settings: steps must be a number, not 'many'"),
        ({"settings": {"steps": True}}, "settings: steps must be a number, not True"),
        ({"settings": [1]}, "settings: must be a mapping"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        load(tmp_path, **changes)
    assert len(str(refused.value)) < 500


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no config file"):
        RunConfig.load(tmp_path / "run.yaml")
    (tmp_path / "run.yaml").write_text("name: [")
    with pytest.raises(ConfigError, match="is not valid"):
        RunConfig.load(tmp_path / "run.yaml")


def test_our_own_settings_are_valid() -> None:
    for path in Path("configs").glob("*.yaml"):
        if not path.name.endswith(".schema.yaml"):
            config = RunConfig.load(path)
            assert config.schema_path.exists()
            assert config.test_split_seed is None
