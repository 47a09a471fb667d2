"""The whole job on a small table: processes, the log, and going on after a stop."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

import synthvae.comparison.compare as job
from synthvae._frozen import write_yaml
from synthvae.comparison.compare import check, compare, contestants, read_result
from synthvae.comparison.worker import Done, Job, run_alone
from synthvae.config import RunConfig
from synthvae.errors import (
    ArtefactError,
    BudgetError,
    ConfigError,
    InputFileError,
    OutputExistsError,
    SchemaError,
)
from synthvae.pipeline import read_split_key
from synthvae.schema import Schema
from synthvae.table import encode, read_table, write_table
from synthvae.table.patients import derived_key
from tests.cli.in_process import runner
from tests.simulated import CLINIC, clinic, learn_less

KEPT = ("age", "sex", "died")  # few columns, since each is learned from the others
SMALL = CLINIC.replace(
    patients=200, fields=[f for f in CLINIC.to_dict()["fields"] if f["name"] in KEPT]
)


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figure's size is tested here."""
    learn_less(monkeypatch)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a table and its schema."""
    write_table(clinic(200)[list(KEPT)], tmp_path / "clinic.csv", SMALL)
    (tmp_path / "clinic.schema.yaml").write_text(SMALL.to_yaml(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each fit give rows of another simulated table, or a failure above epsilon 2, at once."""

    def run_alone(asked: Job, folder: Path, timeout: float) -> tuple[float, Done | str]:
        assert asked.train.exists()
        if asked.epsilon > 2:
            return 0.1, f"took longer than {timeout:g} seconds"
        write_table(clinic(asked.rows, asked.seed + 50)[list(KEPT)], asked.records, SMALL)
        return 2.0, Done(spent=0.9, fit_seconds=1.0, cpu_seconds=1.5, megabytes=80.0)

    monkeypatch.setattr(job, "run_alone", run_alone)


def configured(folder: Path, changes: dict[str, Any] | None = None, **asked: Any) -> RunConfig:
    """Return a config that compares what is asked for."""
    plain = {"methods": ["independent"], "runs": 1}
    value = {
        "name": "clinic",
        "data": {"path": "clinic.csv"},
        "schema": "clinic.schema.yaml",
        "epsilon": 1.0,
        "settings": {"steps": 12},
        "compare": plain | asked,
    } | (changes or {})
    (folder / "clinic.yaml").write_text(write_yaml(value), encoding="utf-8")
    return RunConfig.load(folder / "clinic.yaml")


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "runs.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_the_command_compares_and_goes_on_where_it_stopped(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variant = {"name": "no calibration", "settings": {"calibration_rounds": 0}}
    configured(work, variants=[variant])
    ended = runner(capsys)("compare", "clinic.yaml")
    assert ended.code == 0, ended.err
    assert "no calibration" in ended.out
    assert "Nothing in this folder is for release" in ended.out
    folder = Path("reports/clinic/comparison/custodian")
    names = {
        *("NOT_FOR_RELEASE.txt", "comparison.html", "comparison.json", "runs.jsonl"),
        "split.json",
    }
    assert {path.name for path in folder.iterdir()} == names  # and no real row is left behind
    outcomes = [line["outcome"] for line in lines(folder) if "outcome" in line]
    assert [o["failed"] for o in outcomes] == [None] * 2
    for one in outcomes:
        assert 0 < one["spent"] <= 1.0
        assert one["seconds"] > one["fit_seconds"] > 0
        assert one["megabytes"] > 50
        assert one["figures"]["valid"] == 1.0
    before = (folder / "runs.jsonl").read_text(encoding="utf-8")
    assert runner(capsys)("compare", "clinic.yaml").code == 0
    assert (folder / "runs.jsonl").read_text(encoding="utf-8") == before


@pytest.mark.usefixtures("faked")
def test_more_runs_are_added_and_a_changed_config_is_refused(work: Path) -> None:
    folder = compare(configured(work))
    first = lines(folder)
    compare(configured(work, runs=2))
    assert lines(folder)[: len(first)] == first
    assert len(lines(folder)) == len(first) + 1
    assert read_result(folder).summaries[0].figures["tvd2"].low is not None
    for changes in ({"seed": 1}, {"holdout": 0.3}, {"delta": 1e-6}, {"test_split_seed": 1}):
        with pytest.raises(OutputExistsError, match=f"made with another {next(iter(changes))}"):
            compare(configured(work, changes))
    write_table(clinic(200, seed=9)[list(KEPT)], work / "clinic.csv", SMALL)
    with pytest.raises(OutputExistsError, match="made with another table; pass --force"):
        compare(configured(work))
    compare(configured(work), force=True)
    assert len(lines(folder)) == 3


@pytest.mark.usefixtures("faked")
def test_the_split_has_a_secret_key_and_a_log_goes_on_with_its_own_alone(work: Path) -> None:
    folder = compare(configured(work))
    kept, log = ((folder / name).read_bytes() for name in ("split.json", "runs.jsonl"))
    key = read_split_key(folder)
    if os.name != "nt":
        assert (folder / "split.json").stat().st_mode & 0o777 == 0o600
    for file in folder.iterdir():
        assert file.name == "split.json" or key.hex().encode() not in file.read_bytes()
    codes = encode(read_table(work / "clinic.csv"), SMALL).tobytes()
    open_digests = {hashlib.sha256(codes).hexdigest(), hashlib.blake2b(codes).hexdigest()}
    origin = json.loads(log.splitlines()[0])["origin"]
    assert origin["table"]["digest"] not in open_digests
    # The same table under another key has another digest: without the key, no guess can be tested.
    other = compare(configured(work, {"name": "other"}))
    again = lines(other)[0]["origin"]
    assert again["table"]["digest"] != origin["table"]["digest"]
    (folder / "split.json").write_bytes((other / "split.json").read_bytes())
    with pytest.raises(OutputExistsError, match="made with another split and another table; pass"):
        compare(configured(work))
    (folder / "split.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        ArtefactError, match=r"split\.json is damaged.*: put it back, or pass --force to begin"
    ):
        compare(configured(work))
    (folder / "split.json").unlink()
    with pytest.raises(ArtefactError, match=r"no .*split\.json, the key of .* or pass --force"):
        compare(configured(work))
    assert (folder / "runs.jsonl").read_bytes() == log
    (folder / "split.json").write_bytes(kept)
    compare(configured(work))
    assert read_split_key(folder) == key
    compare(configured(work), force=True)
    assert read_split_key(folder) != key


@pytest.mark.usefixtures("faked")
def test_a_test_seed_repeats_the_split_and_the_page_says_so(work: Path) -> None:
    folder = compare(configured(work, {"test_split_seed": 3}))
    assert read_split_key(folder) == derived_key(3)
    assert read_result(folder).split_is_predictable
    page = (folder / "comparison.html").read_text(encoding="utf-8")
    assert "follows from test_split_seed" in page


@pytest.mark.usefixtures("faked")
def test_a_cell_that_fails_is_recorded_and_the_others_go_on(work: Path) -> None:
    folder = compare(configured(work, epsilons=[3, 1], timeout=60))
    late, good = read_result(folder).summaries
    assert late.failed == ("took longer than 60 seconds",)
    assert good.failed == ()
    assert good.figures["valid"].value == 1.0
    assert "took longer" in (folder / "comparison.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", r"comparison\.json is no comparison: Field required at name\.$"),
        ("{" + " " * 200, r"comparison\.json cannot be read: it is larger than 0 MB\.$"),
    ],
)
def test_a_result_is_read_within_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.setattr("synthvae._frozen.LARGEST_VALUE", 100)
    (tmp_path / "comparison.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=message):
        read_result(tmp_path)


def test_what_a_process_says_before_it_fails_is_kept(work: Path) -> None:
    paths = {n: work / n for n in ("schema_file", "train", "records", "done")}
    asked = Job(method="independent", settings={}, epsilon=1, delta=1e-5, rows=5, seed=0, **paths)
    assert "There is no schema file" in str(run_alone(asked, work, 60.0)[1])
    _, late = run_alone(asked, work, 0.01)
    assert late == "took longer than the timeout of 0.01 seconds"


def test_sizes_take_some_patients_and_declare_them(work: Path) -> None:
    config = configured(work, sizes=[60, 120])
    tables = job.SizedTables(config, SMALL, bytes(32))
    assert [len(tables[size].train) for size in (60, 120)] == [60, 120]
    assert [tables[size].schema.patients for size in (60, 120)] == [60, 120]
    assert tables[60].holdout.equals(tables[120].holdout)
    with pytest.raises(ConfigError, match=r"sizes asks for 5000 training patients, .* table has 1"):
        tables[5000]


def test_a_simulated_table_is_made_at_each_size() -> None:
    config = RunConfig.load("configs/study-clinic.yaml")
    grown = config.model_copy(
        update={"compare": config.compare.model_copy(update={"sizes": (200, 1000)})}
    )
    tables = job.SizedTables(grown, job.Schema.load(config.schema_path), bytes(32))
    assert [len(tables[size].train) for size in (200, 1000)] == pytest.approx([200, 1000], rel=0.1)
    assert tables[1000].schema.patients == 1000


def test_wrong_requests_are_refused_before_anything_is_run(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "run_alone", lambda *_: pytest.fail("something was run"))
    with pytest.raises(BudgetError, match="epsilon is 0"):
        compare(configured(work, epsilons=[1, 0]))
    with pytest.raises(BudgetError, match=r"delta is 0\.01, not below 1/n"):
        compare(configured(work, {"delta": 0.01}, sizes=[100]))
    with pytest.raises(ConfigError, match="epsilon is none, and compare names no epsilons"):
        compare(configured(work, {"epsilon": "none"}))
    wrong = {"name": "odd", "settings": {"stepz": 3}}
    with pytest.raises(ConfigError, match=r"unknown key 'stepz' \(did you mean 'steps'\?\)"):
        compare(configured(work, methods=["synthvae"], variants=[wrong]))
    greedy = {"name": "greedy", "settings": {"anchor_share": 0.6, "pair_share": 0.4}}
    with pytest.raises(
        ConfigError, match=r"anchor_share 0\.6, pair_share 0\.4 and .* leave nothing"
    ):
        compare(configured(work, methods=["synthvae"], variants=[greedy]))
    first, *others = SMALL.to_dict()["fields"]
    drafted = SMALL.to_dict() | {"fields": [first | {"review": True}, *others]}
    with pytest.raises(SchemaError, match="not reviewed yet"):
        check(configured(work), Schema.from_dict(drafted), ())
    monkeypatch.setattr("synthvae.comparison.compare.installed", lambda: ("independent",))
    with pytest.raises(ConfigError, match=r"names 'aim', .* pip install 'synthvae\[pgm\]'"):
        compare(configured(work, methods=["aim"]))
    found = contestants(
        configured(work).model_copy(
            update={"compare": job.RunConfig.model_fields["compare"].default}
        )
    )
    assert [one.name for one in found] == ["synthvae", "independent"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"methods": ["gan"]}, r"compare, methods.*'aim'.* \(got 'gan'\)"),
        ({"methods": ["aim", "aim"]}, "compare: methods names 'aim' twice"),
        ({"runs": 0}, r"compare, runs: .* \(got 0\)"),
        ({"timeout": 0}, r"compare, timeout: .* \(got 0\)"),
        ({"sizes": [3]}, r"compare, sizes.* \(got 3\)"),
        (
            {"runz": 3},
            r"compare: unknown key 'runz' \(did you mean 'runs'\?\)|compare, runz: unknown",
        ),
        ({"variants": [{"name": "aim", "settings": {}}]}, "the variant 'aim' has a method's name"),
        ({"variants": [{"name": "x", "settings": {"steps": "few"}}]}, "steps must be a number"),
    ],
)
def test_wrong_settings_are_named(work: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(work, **asked)


def test_rows_go_with_a_simulated_table(work: Path) -> None:
    with pytest.raises(ConfigError, match="rows goes with `dataset: clinic`"):
        configured(work, {"data": {"dataset": "randhie", "rows": 500}})
