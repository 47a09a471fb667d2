"""Bad input: one clear sentence, an exit code of its own, nothing written."""

from pathlib import Path

import pandas as pd
import pytest

from synthvae.cli import app
from synthvae.console import run_command
from tests.cli.in_process import Run, everything_in
from tests.hospital import make_table

CONFIG, SCHEMA_CODE, INPUT, DATA, BUDGET, EXISTS, ARTEFACT, STORAGE = range(3, 11)
SMALL = """\
name: small
patients: 100
fields:
  - {name: sex, constraints: {enum: [f, m]}}
  - {name: age, type: integer, constraints: {minimum: 0, maximum: 110}}
  - {name: crea, type: number, constraints: {minimum: 0, maximum: 25, required: false}}
"""
ROWS = [f"{'fm'[i % 2]},{20 + i},{i / 10}" for i in range(40)]


def small(folder: Path, header: str = "sex,age,crea", rows: list[str] | None = None) -> Path:
    (folder / "small.yaml").write_text(SMALL)
    path = folder / "small.csv"
    path.write_text("\n".join([header, *(ROWS if rows is None else rows)]) + "\n")
    return path


def fails(run: Run, folder: Path, code: int, message: str, *words: str | Path) -> str:
    """Run a command that must fail, and check that it wrote nothing."""
    before = everything_in(folder)
    ended = run(*words)
    assert (ended.code, message in ended.message) == (code, True), ended.err
    assert everything_in(folder) == before
    return ended.message


def fit_fails(run: Run, folder: Path, code: int, message: str, table: str | Path) -> str:
    words = ("fit", table, "--schema", "small.yaml", "--epsilon", "1", "--out", "m")
    return fails(run, folder, code, message, *words)


@pytest.fixture(autouse=True)
def _there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def changed(row: int, text: str) -> list[str]:
    return [*ROWS[:row], text, *ROWS[row + 1 :]]


TABLES: dict[str, tuple[int, str, list[str] | None]] = {
    "is in the schema but not in the table": (
        DATA,
        "sex,age",
        [r.rpartition(",")[0] for r in ROWS],
    ),
    "column 'bmi': is in the table but not in the schema": (
        DATA,
        "sex,age,crea,bmi",
        [f"{row},22" for row in ROWS],
    ),
    "(did you mean 'Age'?)": (DATA, "sex,Age,crea", None),
    "The column 'sex' stands twice": (INPUT, "sex,age,sex", None),
    "column 'age': 1 row: above 110 (first: '200' in row 3); widen": (
        DATA,
        "",
        changed(2, "f,200,1"),
    ),
    "column 'age': 1 row: below 0": (DATA, "", changed(2, "f,-1,1")),
    "column 'age': 1 row: not a number (first: 'old' in row 3)": (DATA, "", changed(2, "f,old,1")),
    "column 'age': 1 row: not a whole number": (DATA, "", changed(2, "f,30.5,1")),
    "column 'age': 1 row: a missing value where one is required": (DATA, "", changed(2, "f,,1")),
    "column 'age': 40 rows: a missing value": (DATA, "", ["f,,1"] * 40),
    "column 'sex': 1 row: not one of f, m (first: 'x' in row 3); add the": (
        DATA,
        "",
        changed(2, "x,30,1"),
    ),
    "column 'crea': 1 row: above 25 (first: '1e308'": (DATA, "", changed(2, "f,30,1e308")),
    "column 'crea': 1 row: above 25 (first: 'inf'": (DATA, "", changed(2, "f,30,inf")),
    "column 'crea': 1 row: below 0 (first: '-inf'": (DATA, "", changed(2, "f,30,-inf")),
    "column 'crea': 1 row: not a number (first: 'NaN'": (DATA, "", changed(2, "f,30,NaN")),
    "The table has 1 patient; a model needs at least 10": (DATA, "", ROWS[:1]),
    "The table has 9 patients; a model needs at least 10": (DATA, "", ROWS[:9]),
    "has a header but no rows": (INPUT, "", []),
    "Row 3 of small.csv has 2 cells, but the header has 3": (INPUT, "", changed(2, "f,30")),
}


@pytest.mark.parametrize("message", TABLES)
def test_tables_that_cannot_be_used(run: Run, tmp_path: Path, message: str) -> None:
    code, header, rows = TABLES[message]
    small(tmp_path, header or "sex,age,crea", rows)
    fit_fails(run, tmp_path, code, message, "small.csv")


def test_all_problems_of_a_table_are_listed_at_once(run: Run, tmp_path: Path) -> None:
    small(tmp_path, "sex,age,crea", changed(2, "x,200,much"))
    said = fit_fails(run, tmp_path, DATA, "The table does not fit the schema 'small'", "small.csv")
    assert said.count("\n  - column") == 3
    checked = run("schema", "check", "small.yaml", "small.csv")
    assert checked.code == DATA
    assert checked.out.count("- column") == 3
    assert checked.message == "3 problems found."


def test_files_that_are_no_table(run: Run, tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "empty.csv").touch()
    (tmp_path / "noise.parquet").write_bytes(b"PAR1 but not really")
    (tmp_path / "latin.csv").write_bytes("sex,age,crea\nfemälé,1,2\n".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    for name, message in {
        "nowhere.csv": "There is no file nowhere.csv.",
        "empty.csv": "The file empty.csv is empty.",
        "noise.parquet": "cannot be read as a table",
        "latin.csv": "not UTF-8 text",
        "folder.csv": "is a folder",
        "a" * 300 + ".csv": "File name too long",
    }.items():
        code = STORAGE if "too long" in message else INPUT
        fit_fails(run, tmp_path, code, message, name)


def test_two_columns_of_one_name_in_parquet(run: Run, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    small(tmp_path)
    table = pa.table([pa.array([1]), pa.array([2])], names=["age", "age"])
    pq.write_table(table, tmp_path / "t.parquet")
    fit_fails(run, tmp_path, INPUT, "The column 'age' stands twice", "t.parquet")


def test_a_repeated_patient_without_patient_key(run: Run, tmp_path: Path) -> None:
    small(tmp_path, "sex,age,crea,id", [f"{row},{i // 2}" for i, row in enumerate(ROWS)])
    (tmp_path / "small.yaml").write_text(SMALL + "  - {name: id, role: identifier}\n")
    said = fit_fails(
        run, tmp_path, DATA, "column 'id': 20 rows: an identifier repeats", "small.csv"
    )
    assert "set `patientKey: id`" in said


def test_mixed_types_in_a_column_of_python_objects(run: Run, tmp_path: Path) -> None:
    small(tmp_path)
    frame = pd.DataFrame({"sex": ["f", "m"] * 20, "age": ["30", 40] * 20, "crea": [1.5] * 40})
    frame["age"] = frame["age"].astype(str)
    frame.to_parquet(tmp_path / "mixed.parquet")
    assert run("schema", "check", "small.yaml", "mixed.parquet").code == 0
    frame["age"] = [b"30", b"\xff"] * 20
    frame.to_parquet(tmp_path / "bytes.parquet")
    fit_fails(run, tmp_path, DATA, "column 'age': 20 rows: not a number", "bytes.parquet")


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "\r", "é", " "])
def test_delimiters(run: Run, tmp_path: Path, delimiter: str) -> None:
    small(tmp_path)
    words = ("fit", "small.csv", "--schema", "small.yaml", "--epsilon", "1", "--out", "m")
    ended = run(*words, "--delimiter", delimiter)
    assert ended.code in (CONFIG, INPUT, DATA)
    assert "should not have" not in ended.message


SCHEMAS = {
    "is not valid": "fields: [",
    "fields: missing": "name: x\n",
    "fields is empty": "fields: []\n",
    "unknown key 'patiens' (did you mean 'patients'?)": SMALL + "patiens: 3\n",
    "unknown key 'minimun' (did you mean 'minimum'?)": SMALL.replace("minimum: 0", "minimun: 0"),
    "(got -5)": SMALL.replace("patients: 100", "patients: -5"),
    "must hold a mapping": "- a\n- b\n",
    "drafted from the data and not reviewed yet: `synthvae schema review`": SMALL.replace(
        "name: sex,", "name: sex, review: true,"
    ),
}


@pytest.mark.parametrize("message", SCHEMAS)
def test_schemas(run: Run, tmp_path: Path, message: str) -> None:
    small(tmp_path)
    (tmp_path / "small.yaml").write_text(SCHEMAS[message])
    fit_fails(run, tmp_path, SCHEMA_CODE, message, "small.csv")


def test_no_schema(run: Run, tmp_path: Path) -> None:
    small(tmp_path)
    (tmp_path / "small.yaml").unlink()
    fit_fails(run, tmp_path, SCHEMA_CODE, "There is no schema file small.yaml", "small.csv")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--epsilon", "0"), BUDGET, "epsilon is 0.0; it must be a finite number above 0"),
        (("--epsilon", "-1"), BUDGET, "epsilon is -1.0"),
        (("--epsilon", "inf"), BUDGET, "epsilon is inf"),
        (("--epsilon", "nan"), BUDGET, "epsilon is nan"),
        (("--epsilon", "1e-9"), BUDGET, "epsilon is 1e-09; below 0.001 nothing but noise"),
        (("--epsilon", "1", "--delta", "1e-300"), BUDGET, "delta is 1e-300; below 1e-12"),
        (("--epsilon", "1e9"), BUDGET, "above 100 it protects nobody"),
        (("--epsilon", "much"), CONFIG, "epsilon is 'much'; give a number above 0, or none"),
        (("--epsilon", "1", "--delta", "0.01"), BUDGET, "not below 1/n for 100 declared patients"),
        (("--epsilon", "1", "--delta", "0"), BUDGET, "delta is 0.0"),
        (("--epsilon", "1", "--delta", "-1"), BUDGET, "delta is -1.0"),
        (("--epsilon", "1", "--delta", "nan"), BUDGET, "delta is nan"),
        (("--epsilon", "1", "--patients", "0"), CONFIG, "patients is 0; it must be"),
        (("--epsilon", "1", "--patients", "5"), CONFIG, "patients is 5; a model needs at least 10"),
    ],
)
def test_budgets(
    run: Run, tmp_path: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    small(tmp_path)
    words = ("fit", "small.csv", "--schema", "small.yaml", "--out", "m", *options)
    fails(run, tmp_path, code, message, *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("fit",), "Missing argument"),
        (("fit", "a.csv", "--schema", "s", "--epsilon", "1", "--out", "m", "--what"), "--what"),
        (("sample", "m", "--out", "x.csv", "--rows", "many"), "'--rows'"),
        (("nothing",), "nothing"),
    ],
)
def test_wrong_options_are_the_command_lines_own(
    run: Run, words: tuple[str, ...], message: str
) -> None:
    ended = run(*words)
    assert ended.code == 2
    assert message in ended.err
    assert "Traceback" not in ended.err


def test_debug_shows_where_an_error_came_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small(tmp_path)
    words = ["fit", "nowhere.csv", "--schema", "small.yaml", "--epsilon", "1", "--out", "m"]
    assert run_command(app, words, True) == INPUT
    assert "Traceback" in capsys.readouterr().err


def test_conditions_and_rows_of_sample(run: Run, work: Path, model: Path) -> None:
    out = ("--out", "made.csv")
    for options, message in {
        ("--rows", "0"): "rows is 0; it must be a whole number of at least 1",
        ("--rows", "-3"): "rows is -3",
        ("--rows", str(10**13)): "which need about",
        ("--seed", "-1"): "seed is -1; it must be a whole number of at least 0",
        ("--where", "sex"): "where is 'sex'; write it as column=value",
        ("--where", "sexx=male"): "no modelled column (did you mean 'sex'?)",
        ("--where", "sex=diverse"): "is 'diverse', which is not one of female, male",
        ("--where", "sex=male", "--where", "sex=female"): "where names 'sex' twice",
        ("--where", "âge=1..2..3"): "'âge' is '2..3', which is not a number",
        ("--where", "âge=50..40"): "from 50 to 40, which holds no value",
        ("--where", "âge=0..999"): "which is above 110; the schema declares 0 to 110",
        ("--where", "sex="): "'sex' is missing, but the column is never missing",
        ("--where", "pat.id=3"): "'pat.id', an identifier",
    }.items():
        fails(run, work, CONFIG, message, "sample", model, *out, *options)


def test_conditions_as_text(run: Run, model: Path) -> None:
    conditions = ["âge=40..50", "sex=female", "ward=B|2", "admitted=2004-01-01..", "smoker=yes"]
    words = [word for condition in conditions for word in ("--where", condition)]
    assert run("sample", model, "--rows", "50", "--out", "made.csv", *words).code == 0
    frame = pd.read_csv("made.csv", dtype=str)
    assert frame["âge"].astype(int).between(40, 50).all()
    assert set(frame["ward"]) == {"B|2"}
    assert set(frame["smoker"]) == {"yes"}
    assert (frame["admitted"].str[-4:].astype(int) >= 2004).all()
    words = ["--where", "ward=A,1|other", "--where", 'crea "mg/dL"=']
    assert run("sample", model, "--rows", "50", "--out", "made2.csv", *words).code == 0
    frame = pd.read_csv("made2.csv")
    assert set(frame["ward"]) <= {"A,1", "other"}
    assert frame['crea "mg/dL"'].isna().all()


def test_sample_from_what_is_no_model(run: Run, work: Path) -> None:
    for path, message in {"nowhere": "There is no model", "train.csv": "holds no model"}.items():
        fails(run, work, ARTEFACT, message, "sample", path, "--out", "made.csv")


def test_names_that_outputs_cannot_have(run: Run, work: Path, model: Path) -> None:
    fails(run, work, CONFIG, "must end in .csv or", "sample", model, "--out", "made.pdf")
    tables = ("train.csv", "--train", "train.csv", "--holdout", "train.csv")
    words = ("evaluate", *tables, "--schema", "schema.yaml", "--out", "scores.pdf")
    fails(run, work, CONFIG, "must end in .json or .html", *words)


def test_evaluate_with_wrong_tables(run: Run, work: Path) -> None:
    make_table(3).drop(columns="sex").to_csv(work / "less.csv", index=False)
    words = (
        "--train",
        "train.csv",
        "--holdout",
        "train.csv",
        "--schema",
        "schema.yaml",
        "--out",
        "scores.json",
    )
    fails(run, work, 11, "lacks 1 column of the schema: 'sex'", "evaluate", "less.csv", *words)
    fails(run, work, CONFIG, "seed is -1", "evaluate", "train.csv", *words, "--seed", "-1")


def test_report_of_something_else(run: Run, work: Path) -> None:
    files = {
        "nowhere.json": "There is no file nowhere.json",
        "schema.yaml": "is no evaluation: Invalid JSON",
        "list.json": "is no evaluation",
        "other.json": "is no evaluation: Field required at name",
        "bytes.json": "is no evaluation",
    }
    (work / "list.json").write_text("[1, 2]")
    (work / "other.json").write_text('{"version": 1}')
    (work / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name, message in files.items():
        fails(run, work, INPUT, message, "report", name, "--out", "page.html")
