import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import synthvae.fit
import synthvae.model.training
import synthvae.pipeline
import synthvae.report.document
import synthvae.scoring
from synthvae._frozen import write_yaml
from synthvae.cli import app
from synthvae.config import RunConfig
from synthvae.console import run_command
from synthvae.errors import (
    ArtefactError,
    BudgetError,
    ConfigError,
    DataError,
    EvaluationError,
    InputFileError,
    OutputExistsError,
    SchemaError,
    StorageError,
)
from synthvae.pipeline import read_split_key, run, split
from synthvae.storage.checkpoint import Checkpoint
from synthvae.storage.checkpoint_file import Released
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems, read_table, write_table
from synthvae.table.patients import derived_key
from tests.cli.in_process import everything_in
from tests.hospital import ONE_ROW, SCHEMA, make_table, write_schema
from tests.simulated import simulate_fewer

RELEASED = {"README.txt", "guarantee.json", "model", "schema.yaml", "synthetic.csv"}
JUDGED = {
    "NOT_FOR_RELEASE.txt",
    "context.json",
    "evaluation.json",
    "guarantee.json",
    "public-report.html",
    "public-report.json",
    "report.html",
    "report.json",
    "split.json",
    "training_curve.json",
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_table(make_table(), tmp_path / "train.csv", SCHEMA)
    write_schema(tmp_path)
    monkeypatch.chdir(tmp_path)
    simulate_fewer(monkeypatch)
    return tmp_path


def settings(folder: Path, **changes: Any) -> RunConfig:
    values = {
        "name": "trial",
        "data": {"path": "train.csv"},
        "schema": "schema.yaml",
        "epsilon": 2,
        "settings": {"steps": 10},
    } | changes
    (folder / "run.yaml").write_text(write_yaml(values), encoding="utf-8")
    return RunConfig.load(folder / "run.yaml")


def names(folder: Path) -> set[str]:
    return {item.name for item in folder.iterdir()}


def fail(monkeypatch: pytest.MonkeyPatch, cause: BaseException, where: Any, name: str) -> None:
    def refuse(*_words: object, **_options: object) -> None:
        raise cause

    monkeypatch.setattr(where, name, refuse)


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [2, "none"])
def test_a_whole_run(work: Path, epsilon: object) -> None:
    steps: list[str] = []
    result = run(settings(work, epsilon=epsilon), lambda what, _done: steps.append(what))
    release, custodian = result.folder / "release", result.folder / "custodian"
    assert names(result.folder) == {"release", "custodian"}
    assert names(custodian) == JUDGED
    name = "synthetic.csv" if epsilon == 2 else "NOT_PRIVATE-synthetic.csv"
    assert names(release) == RELEASED - {"synthetic.csv"} | {name}
    frame = read_table(release / name)
    assert len(frame) == result.rows
    assert find_problems(frame, SCHEMA) == []
    assert Synthesizer.load(release / "model").guarantee == result.guarantee
    assert json.loads((release / "guarantee.json").read_text())["valid"] == (epsilon == 2)
    assert {"reading and checking", "measuring anchors", "training", "sampling", "writing"} <= {
        step.partition(":")[0] for step in steps
    }
    page = (custodian / "report.html").read_text(encoding="utf-8")
    note = (release / "README.txt").read_text(encoding="utf-8")
    digest = hashlib.sha256((release / name).read_bytes()).hexdigest()
    assert digest in page
    report = json.loads((custodian / "report.json").read_text(encoding="utf-8"))
    assert report["context"]["synthetic_digest"] == digest
    public = (custodian / "public-report.html").read_text(encoding="utf-8")
    assert "PUBLIC RENDERING" in public
    assert "figure-training-loss" not in public
    assert ("NOT PRIVATE" in page) == ("NOT PRIVATE" in note) == (epsilon == "none")


def test_what_can_be_known_before_is_said_before(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, AssertionError("fitted"), Synthesizer, "fit")
    few = make_table(10)
    write_table(few, work / "few.csv", SCHEMA)
    (work / "bad.csv").write_text((work / "train.csv").read_text().replace(",male,", ",x,"))
    write_schema(work, SCHEMA.replace(patients=11), "few.yaml")
    before = everything_in(work)
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"schema": "no.yaml"}, SchemaError, r"There is no schema file .*no\.yaml"),
        ({"data": {"path": "no.csv"}}, InputFileError, r"There is no file .*no\.csv"),
        ({"data": {"path": "bad.csv"}}, DataError, "not one of female, male"),
        ({"data": {"path": "few.csv"}}, DataError, "The table has 10 patients, of which a holdout"),
        ({"holdout": 1e-9}, DataError, "leaves 400 to train on and 0 to judge by"),
        ({"schema": "few.yaml"}, ConfigError, "patients is 11 in the schema, of which a holdout"),
        ({"epsilon": -1}, BudgetError, "epsilon is -1"),
        ({"epsilon": float("inf")}, BudgetError, "epsilon is inf"),
        ({"delta": 0.5}, BudgetError, "not below 1/n"),
        ({"epsilon": "none", "delta": 1e-6}, BudgetError, "delta is given without epsilon"),
        ({"rows": 10**13}, ConfigError, "which need about"),
        (
            {"settings": {"stepz": 3}},
            ConfigError,
            r"unknown key 'stepz' \(did you mean 'steps'\?\)",
        ),
        ({"settings": {"steps": 0}}, ConfigError, r"In settings: steps: .* \(got 0\)"),
        ({"settings": {"rank": 2.5}}, ConfigError, "In settings: rank"),
    ]
    for changes, kind, message in cases:
        with pytest.raises(kind, match=message):
            run(settings(work, **changes))
    (work / "run.yaml").unlink()
    assert everything_in(work) == before


def test_results_that_exist_are_replaced_only_by_force(work: Path) -> None:
    folder = work / "reports" / "trial"
    folder.mkdir(parents=True)
    with pytest.raises(OutputExistsError, match="exists already; pass --force"):
        run(settings(work))
    (folder / "mine.txt").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"holds 'mine\.txt'"):
        run(settings(work), force=True)
    (folder / "mine.txt").unlink()
    (folder / "release").mkdir()
    os.rename(work / "train.csv", folder / "release" / "train.csv")
    source = {"path": "reports/trial/release/train.csv"}
    with pytest.raises(OutputExistsError, match="would be lost"):
        run(settings(work, data=source), force=True)


CAUSES = [
    (EvaluationError("Tables too small."), EvaluationError),
    (ZeroDivisionError("a bug"), EvaluationError),
    (KeyboardInterrupt(), KeyboardInterrupt),
]


class Scores:
    """An evaluation that takes no time."""

    def to_json(self) -> str:
        return "{}"


def scores_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all that comes after the records be done in no time."""

    def report(made: Any) -> None:
        made.report = made.evaluation

    monkeypatch.setattr(synthvae.scoring, "evaluate", lambda *_a, **_k: Scores())
    monkeypatch.setattr(synthvae.pipeline, "_report", report)


@pytest.mark.parametrize(
    ("older", "cause", "kind"), [*((False, *case) for case in CAUSES), (True, *CAUSES[-1])]
)
def test_a_failure_after_the_fit_costs_nothing_and_the_same_command_goes_on(
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    older: bool,
    cause: BaseException,
    kind: type[BaseException],
) -> None:
    folder = work / "reports" / "trial"
    if older:
        (folder / "release").mkdir(parents=True)
        (folder / "release" / "synthetic.csv").write_text("older")
    kept = folder.with_name("trial.unfinished") / "unscored"
    for _ in range(2):  # it may fail again
        with monkeypatch.context() as patch:
            fail(patch, cause, synthvae.scoring, "evaluate")
            with pytest.raises(
                kind, match=r"unscored/release, not scored; the same .* goes on"
            ) as e:
                run(settings(work), force=older)
        assert str(e.value).count("goes on") == 1
        assert names(kept / "release") == RELEASED
        assert "same command goes on" in (kept / "custodian" / "NOT_SCORED.txt").read_text()
        assert "report.html" not in names(kept / "custodian")
        assert Synthesizer.load(kept / "release" / "model").guarantee.valid
        assert not older or everything_in(folder) == {"release/synthetic.csv": b"older"}
        assert folder.exists() == older
    before = everything_in(kept / "release")
    scores_at_once(monkeypatch)
    fail(monkeypatch, AssertionError("spent again"), synthvae.fit, "measure_marginals")
    fail(
        monkeypatch,
        AssertionError("trained again"),
        synthvae.model.training.PrivateTraining,
        "_take_step",
    )
    run(settings(work), force=older)
    assert everything_in(folder / "release") == before
    assert "NOT_SCORED.txt" not in names(folder / "custodian")
    assert names(work / "reports") == {"trial"}


def parts_seen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Let all that comes after the records be done in no time, and return what would be scored."""
    scores_at_once(monkeypatch)
    seen: list[tuple[pd.DataFrame, pd.DataFrame]] = []

    def look(train: pd.DataFrame, holdout: pd.DataFrame, *_: object, **__: object) -> Scores:
        seen.append((train, holdout))
        return Scores()

    monkeypatch.setattr(synthvae.scoring, "evaluate", look)
    return seen


def test_the_kept_key_gives_the_two_parts_again_and_each_run_has_one_of_its_own(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = parts_seen(monkeypatch)
    keys = []
    for name in ("trial", "other"):
        config = settings(work, name=name)
        custodian = run(config).folder / "custodian"
        keys.append(read_split_key(custodian))
        again = split(read_table(work / "train.csv"), SCHEMA, config, keys[-1])
        assert all(a.equals(b) for a, b in zip(again, seen[-1], strict=True))
        told = json.loads((custodian / "split.json").read_text(encoding="utf-8"))
        assert told["about"].startswith("NOT FOR RELEASE. The secret key of the split")
        assert told["test_split_seed"] is None
        if os.name != "nt":
            assert (custodian / "split.json").stat().st_mode & 0o777 == 0o600
            assert custodian.stat().st_mode & 0o777 == 0o700
    assert len(set(keys)) == 2
    assert not seen[0][1].equals(seen[1][1])
    with pytest.raises(
        ArtefactError, match=r"There is no .*release/split\.json, the key of the split"
    ):
        read_split_key(custodian.parent / "release")


def test_a_stopped_run_goes_on_with_its_key_and_without_it_not_at_all(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = work / "reports" / "trial.unfinished"
    with monkeypatch.context() as patch:
        fail(patch, KeyboardInterrupt(), synthvae.scoring, "evaluate")
        with pytest.raises(KeyboardInterrupt):
            run(settings(work))
    kept = read_split_key(place)
    assert read_split_key(place / "unscored" / "custodian") == kept
    (place / "split.json").rename(work / "elsewhere.json")
    with pytest.raises(
        ArtefactError, match=r"no .*split\.json, the key of the split: put it back, or pass --start"
    ):
        run(settings(work))
    (work / "elsewhere.json").rename(place / "split.json")
    scores_at_once(monkeypatch)
    assert read_split_key(run(settings(work)).folder / "custodian") == kept
    assert names(work / "reports") == {"trial"}


def test_a_run_that_released_nothing_keeps_no_key(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, DataError("No table."), synthvae.pipeline, "load_source")
    with pytest.raises(DataError):
        run(settings(work))
    assert not (work / "reports").exists() or names(work / "reports") == set()


def test_a_test_seed_makes_a_split_that_says_so(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = parts_seen(monkeypatch)
    config = settings(work, test_split_seed=3)
    custodian = run(config).folder / "custodian"
    again = split(read_table(work / "train.csv"), SCHEMA, config, derived_key(3))
    assert all(a.equals(b) for a, b in zip(again, seen[0], strict=True))
    told = json.loads((custodian / "split.json").read_text(encoding="utf-8"))
    assert told["about"].startswith("FOR TESTS: the key of this split follows from")
    context = json.loads((custodian / "context.json").read_text(encoding="utf-8"))
    assert context["split_is_predictable"]


def test_what_is_kept_unscored_is_thrown_away_to_start_over(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        fail(patch, KeyboardInterrupt(), synthvae.scoring, "evaluate")
        with pytest.raises(KeyboardInterrupt):
            run(settings(work))
    place = work / "reports" / "trial.unfinished"
    (place / "mine.txt").write_text("precious")
    fail(monkeypatch, DataError("No table."), synthvae.pipeline, "load_source")
    with pytest.raises(DataError):
        run(settings(work), start_over=True)
    assert names(place) == {"mine.txt"}


def test_a_model_that_cannot_be_kept_is_not_sampled_from(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = Checkpoint.keep

    def full(self: Checkpoint, released: Released) -> None:
        if released.model is not None:
            raise StorageError("No room.")
        usual(self, released)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "keep", full)
        ended = (
            r"No room\. What was released so far is kept in .*: the same command goes on after the"
        )
        with pytest.raises(StorageError, match=ended):
            run(settings(work))
    assert names(work / "reports") == {"trial.unfinished"}
    fail(monkeypatch, AssertionError("spent again"), synthvae.fit, "measure_marginals")
    scores_at_once(monkeypatch)
    run(settings(work))
    assert names(work / "reports") == {"trial"}


@pytest.mark.parametrize("older", [False, True])
def test_a_failure_without_a_budget_keeps_what_was_made_as_a_result_of_its_own(
    work: Path, monkeypatch: pytest.MonkeyPatch, older: bool
) -> None:
    folder = work / "reports" / "trial"
    if older:
        (folder / "release").mkdir(parents=True)
    fail(monkeypatch, KeyboardInterrupt(), synthvae.scoring, "evaluate")
    with pytest.raises(KeyboardInterrupt, match=r"trial(-2)?/release, not scored\.$"):
        run(settings(work, epsilon="none"), force=older)
    kept = folder.with_name("trial-2") if older else folder
    assert names(kept / "release") >= {"model"}
    assert "without a budget" in (kept / "custodian" / "NOT_SCORED.txt").read_text()
    assert names(work / "reports") == ({"trial", "trial-2"} if older else {"trial"})


def test_a_failure_in_sampling_keeps_the_model(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, MemoryError(), Synthesizer, "sample")
    with pytest.raises(EvaluationError, match="The model is in"):
        run(settings(work))
    release = work / "reports" / "trial.unfinished" / "unscored" / "release"
    assert names(release) == RELEASED - {"synthetic.csv"}


def test_a_failure_in_the_report_keeps_the_scores(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthvae.scoring, "evaluate", lambda *_a, **_k: Scores())
    fail(monkeypatch, KeyError("template"), synthvae.report.document, "custodian_report")
    with pytest.raises(EvaluationError, match="KeyError"):
        run(settings(work))
    kept = work / "reports" / "trial.unfinished" / "unscored"
    assert "evaluation.json" in names(kept / "custodian")


@pytest.mark.slow
def test_names_like_markup_are_printed_as_they_are(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_schema(work, ONE_ROW.replace(name="[/red] [bold]"), "schema.yaml")
    write_table(make_table(60, schema=ONE_ROW), work / "train.csv", ONE_ROW)
    settings(work, epsilon="none", holdout=0.5)
    assert run_command(app, ["run", "run.yaml", "--epsilon", "2", "--out", "elsewhere"], False) == 0
    said = capsys.readouterr().out
    assert "[/red] [bold]" in said
    assert "Spent epsilon" in said
    page = ["report", "elsewhere/trial/custodian/evaluation.json", "--out", "page.html"]
    assert run_command(app, page, False) == 0
    assert (work / "page.html").read_text(encoding="utf-8") == (
        work / "elsewhere/trial/custodian/report.html"
    ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_table_of_few_rows_gets_a_whole_answer(work: Path) -> None:
    fields = [{"name": "sex", "constraints": {"enum": ["f", "m"]}}]
    schema = ONE_ROW.replace(primaryKey=[], patients=13, fields=fields)
    write_schema(work, schema)
    pd.DataFrame({"sex": ["f", "m"] * 7}).to_csv(work / "train.csv", index=False)
    # Of other splits, some leave fewer than ten rows to train on.
    result = run(settings(work, test_split_seed=4))
    assert result.rows == 10
