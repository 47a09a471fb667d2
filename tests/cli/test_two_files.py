"""Commands on a file of patients and one of their visits."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from synthvae.config import Source
from synthvae.pipeline import load_table
from synthvae.release_folder import TWO_FILES, digest_of, write_release
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from tests.cli.in_process import Run

SCHEMA = """\
name: ward
patientKey: id
patients: 200
maxRows: 3
orderBy: day
visitsOptional: true
fields:
  - {name: id}
  - {name: sex, constraints: {enum: [f, m]}, perPatient: true}
  - {name: day, type: integer, constraints: {minimum: 0, maximum: 30}}
  - {name: pain, type: boolean}
"""
FITTED = ("--schema", "s.yaml", "--epsilon", "none", "--out", "model")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a schema and the two files of 200 patients, a fifth of them without visits."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    ids = [f"p{number}" for number in range(200)]
    pd.DataFrame({"id": ids, "sex": rng.choice(["f", "m"], 200)}).to_csv("p.csv", index=False)
    visits = [
        (name, int(day), int(rng.integers(0, 2)))
        for number, name in enumerate(ids)
        for day in (rng.permutation(31)[: rng.integers(1, 4)] if number % 5 else ())
    ]
    columns = ["id", "day", "pain"]
    pd.DataFrame(visits, columns=columns).to_csv("v.csv", index=False, sep=";")
    (tmp_path / "s.yaml").write_text(SCHEMA, encoding="utf-8")
    return tmp_path


def test_two_files_are_fitted_and_two_are_written(here: Path, run: Run) -> None:
    assert run("schema", "check", "s.yaml", "p.csv", "--visits", "v.csv").code == 0
    assert run("fit", "p.csv", "--visits", "v.csv", *FITTED).code == 0
    ended = run("sample", "model", "--out", "sp.parquet", "--visits", "sv.csv", "--seed", "1")
    patients, visits = pd.read_parquet("sp.parquet"), pd.read_csv("sv.csv")
    assert (
        f"{len(patients)} synthetic patients to sp.parquet and {len(visits)} synthetic visits"
        in (ended.out)
    )
    assert list(patients.columns) == ["id", "sex"]
    assert list(visits.columns) == ["id", "day", "pain"]
    assert set(visits["id"]) < set(patients["id"])
    assert patients["id"].is_unique
    assert (here / "sv.csv.NOT_PRIVATE.txt").is_file()
    again = run("schema", "check", "s.yaml", "sp.parquet", "--visits", "sv.csv")
    assert again.code == 0
    assert "sp.parquet and sv.csv fit s.yaml" in again.out


def test_a_draft_of_two_files_fits_them(here: Path, run: Run) -> None:
    patients = pd.read_csv("p.csv")
    # A value of somebody without visits, and a column that no visit changes.
    patients.assign(ward=["c", *["a", "b"] * 99, "a"]).to_csv("p.csv", index=False)
    visits = pd.read_csv("v.csv", sep=";").sort_values(["id", "day"]).assign(same="s", kind="k")
    visits["kind"] = visits["id"].str[-1]
    visits.to_csv("v.csv", index=False)
    assert run("schema", "init", "p.csv", "--visits", "v.csv", "--out", "draft.yaml").code == 0
    draft = Schema.load("draft.yaml")
    assert (draft.patientKey, draft.visitsOptional) == ("id", True)
    assert "day" in draft.to_review  # that some have no visits was seen in the data
    assert "some patients have no visits" in Path("draft.yaml").read_text(encoding="utf-8")
    assert {field.name for field in draft.fields if field.perPatient} == {"sex", "ward"}
    assert run("schema", "check", "draft.yaml", "p.csv", "--visits", "v.csv").code == 0
    visits.rename(columns={"day": "sex"}).to_csv("v.csv", index=False)
    ended = run("schema", "init", "p.csv", "--visits", "v.csv", "--out", "d.yaml")
    assert (
        "The patients and the visits share 'id', 'sex'; a draft joins them by one" in ended.message
    )


def test_what_is_wrong_is_said_before_anything_is_spent(here: Path, run: Run) -> None:
    with (here / "v.csv").open("a", encoding="utf-8") as file:
        file.write("stranger;3;1\np1;99;1\n")
    ended = run("schema", "check", "s.yaml", "p.csv", "--visits", "v.csv")
    assert ended.message == "2 problems found."
    assert (
        "visits: column 'id': 1 row: a key that no row of the patients has (first: row" in ended.out
    )
    assert "visits: column 'day': 1 row: above 30 (first: '99' in row" in ended.out
    assert "stranger" not in ended.out
    ended = run("fit", "p.csv", "--visits", "v.csv", *FITTED)
    assert "The patients and the visits do not fit the schema 'ward':" in ended.message
    assert not (here / "model").exists()
    ended = run("fit", "p.csv", "--visits", "v.csv", *FITTED[:-1], "v.csv")
    assert "is or holds the input v.csv" in ended.message
    ended = run("sample", "model", "--out", "s.csv", "--visits", "s.csv")
    assert ended.message == "out and visits are both s.csv; give each table a file of its own."


def test_a_run_reads_two_files_and_releases_two(here: Path) -> None:
    schema = Schema.load("s.yaml")
    source = Source(patients=Path("p.csv"), visits=Path("v.csv"))
    frame = load_table(source, schema)
    assert frame["id"].nunique() == 200
    model = Synthesizer(schema, None, test_seed=1).fit(frame)
    drawn = model.sample(90, seed=1)
    write_release(here / "release", model, drawn, TWO_FILES)
    names = [f"NOT_PRIVATE-synthetic{part}.csv" for part in TWO_FILES]
    both = b"".join((here / "release" / name).read_bytes() for name in names)
    assert digest_of(drawn, schema, TWO_FILES, here / "out") == hashlib.sha256(both).hexdigest()
    released = Source(patients=here / "release" / names[0], visits=here / "release" / names[1])
    again = load_table(released, schema)
    assert len(again) == len(drawn)
