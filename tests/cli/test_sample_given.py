"""`sample --given` and `--where` of visits in time: what is asked, what is marked, what is believed."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from synthvae import pipeline
from synthvae.config import RunConfig
from synthvae.errors import ConfigError, EvaluationError, StorageError
from synthvae.origin import read_origin, table_digest
from synthvae.table import read_table, write_table
from tests.cli.in_process import Run
from tests.courses import COURSES, courses, fitted
from tests.simulated_visits import draw_fewer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and the first visits of real patients."""
    monkeypatch.chdir(tmp_path)
    fitted().save(tmp_path / "model")
    begun = courses(20, 4).groupby("patient", sort=False).head(2)
    write_table(begun, tmp_path / "given.csv", COURSES)
    return tmp_path


def go_on(run: Run, given: str, out: str) -> bool:
    """Go on from a file, and return whether the result is marked as not for release."""
    ended = run("sample", "model", "--given", given, "--out", out, "--seed", "2", "--force")
    assert ended.code == 0, ended.err
    marked = Path(f"{out}.NOT_FOR_RELEASE.txt").exists()
    assert marked == ("NOT FOR RELEASE" in ended.out)
    assert not Path(f"{out}.origin.json").exists()
    return marked


def test_conditions_say_at_which_visit(run: Run, folder: Path) -> None:
    words = ("--where", "first:age=60..70", "--where", "first:site=a|b", "--where", "any:lab=")
    ended = run("sample", "model", "--rows", "60", "--out", "made.csv", *words)
    assert ended.code == 0, ended.err
    made = pd.read_csv("made.csv")
    patients = made.groupby("patient")
    assert patients["age"].first().between(60, 70).all()
    assert set(made["first:site"]) <= {"a", "b"}
    assert made["lab"].isna().groupby(made["patient"]).any().all()
    ended = run("sample", "model", "--out", "other.csv", "--where", "age=60..70")
    assert "write 'first:age' for the first visit, or 'any:age' for any visit" in ended.message


def test_what_follows_real_histories_is_marked(run: Run, folder: Path) -> None:
    assert go_on(run, "given.csv", "whole.csv")
    given, whole = pd.read_csv("given.csv"), pd.read_csv("whole.csv")
    assert len(whole) > len(given)
    assert set(whole["patient"]) == set(given["patient"])
    note = Path("whole.csv.NOT_FOR_RELEASE.txt").read_text()
    assert note.startswith("NOT FOR RELEASE. The table beside holds the records of given.csv")
    ended = run("sample", "model", "--rows", "9", "--out", "whole.csv", "--force")
    assert ended.code == 0
    assert not Path("whole.csv.NOT_FOR_RELEASE.txt").exists()  # which is of other records now


def test_a_table_that_is_not_replaced_keeps_its_mark(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("sample", "model", "--out", "own.csv", "--rows", "9", "--seed", "5").code == 0
    assert go_on(run, "given.csv", "whole.csv")
    real, mark = Path("whole.csv").read_bytes(), Path("whole.csv.NOT_FOR_RELEASE.txt")

    def fail(*_: object) -> None:
        assert mark.is_file()
        raise StorageError("no room")

    monkeypatch.setattr("synthvae.table.write_in_files", fail)
    for asked in (("--rows", "9"), ("--given", "own.csv"), ("--given", "given.csv")):
        ended = run("sample", "model", *asked, "--out", "whole.csv", "--force")
        assert ended.message == "no room"
        assert mark.is_file()
    assert Path("whole.csv").read_bytes() == real


def test_visits_that_may_be_an_input_are_never_replaced(run: Run, folder: Path) -> None:
    Path("v.csv").write_text("real")
    asked = ("sample", "model", "--given", "given.csv", "--out", "a.csv", "--visits")
    for more in ((), ("--force",)):
        ended = run(*asked, "v.csv", *more)
        assert ended.code == ConfigError.exit_code
        assert "--given takes one joined table for now" in ended.message
    assert "is or holds the input given.csv" in run(*asked[:-2], "given.csv", "--force").message
    assert Path("v.csv").read_text() == "real"
    assert run(*asked, "new.csv").code == 0


def test_it_never_comes_to_lie_among_what_is_released(run: Run, folder: Path) -> None:
    (folder / "release").mkdir()
    ended = run("sample", "model", "--given", "given.csv", "--out", "release/whole.csv")
    assert ended.code == ConfigError.exit_code
    assert "is NOT FOR RELEASE, unless this model has drawn them" in ended.message
    assert not list((folder / "release").iterdir())
    ended = run("sample", "model", "--given", "given.csv", "--out", "a.csv", "--rows", "9")
    assert "leave out --rows and --where" in ended.message


def test_a_table_of_this_model_is_known_by_drawing_it_again(run: Run, folder: Path) -> None:
    asked = ("--rows", "40", "--where", "first:age=60..", "--seed", "5")
    assert run("sample", "model", "--out", "own.csv", *asked).code == 0
    assert not go_on(run, "own.csv", "whole.csv")
    table = pd.read_csv("own.csv", dtype=str, keep_default_na=False)
    table.loc[0, "lab"] = "3.3" if table.loc[0, "lab"] != "3.3" else "3.4"
    table.to_csv("own.csv", index=False)  # one cell is another
    assert go_on(run, "own.csv", "whole.csv")


def test_one_patient_longer_than_what_was_asked_for_is_known(run: Run, folder: Path) -> None:
    seed = next(seed for seed in range(50) if len(fitted().sample(1, seed=seed)) > 1)
    asked = ("--rows", "1", "--seed", str(seed))
    assert run("sample", "model", "--out", "own.csv", *asked).code == 0
    assert not go_on(run, "own.csv", "whole.csv")


def test_what_a_run_has_released_is_known(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table(courses(), folder / "train.csv", COURSES)
    (folder / "s.yaml").write_text(COURSES.to_yaml(), encoding="utf-8")
    asked = (
        "{name: trial, data: {path: train.csv}, schema: s.yaml, epsilon: 9, settings: {steps: 10}}"
    )
    (folder / "run.yaml").write_text(asked, encoding="utf-8")
    draw_fewer(monkeypatch, 512)

    def stop(*_: object, **__: object) -> None:
        raise EvaluationError("stopped")

    monkeypatch.setattr("synthvae.scoring.evaluate", stop)
    with pytest.raises(EvaluationError, match="stopped"):
        pipeline.run(RunConfig.load(folder / "run.yaml"))
    (released,) = folder.rglob("release")
    table = released / "synthetic.csv"
    names = {"README.txt", "guarantee.json", "model", "schema.yaml", table.name}
    assert {file.name for file in released.iterdir()} == names | {f"{table.name}.origin.json"}
    assert f"{table.name}.origin.json" in (released / "README.txt").read_text(encoding="utf-8")
    shutil.rmtree(folder / "model")
    shutil.copytree(released / "model", folder / "model")
    assert not go_on(run, str(table), "whole.csv")


def test_an_origin_that_was_forged_is_not_believed(run: Run, folder: Path) -> None:
    assert run("sample", "model", "--rows", "40", "--out", "own.csv", "--seed", "5").code == 0
    origin = json.loads(Path("own.csv.origin.json").read_text())
    given = read_table("given.csv")
    origin |= {"table": table_digest(given, COURSES), "rows": len(given)}
    forged = Path("given.csv.origin.json")
    forged.write_text(json.dumps(origin))
    assert read_origin(Path("given.csv")) is not None
    assert go_on(run, "given.csv", "whole.csv")
    forged.write_text("{}")
    assert go_on(run, "given.csv", "whole.csv")
