"""`synthvae plan`, and what `fit` and `run` say before anything is spent."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from synthvae.forecast import Forecast, make_forecast
from synthvae.plan_command import print_forecast
from synthvae.schema import Schema
from synthvae.table import write_table
from tests.cli.in_process import Run
from tests.hospital import SCHEMA, make_table, write_schema

NOISY = SCHEMA.replace(patients=60)


def test_a_plan_says_releases_errors_cost_and_remedies(run: Run, work: Path) -> None:
    ended = run("plan", "schema.yaml", "--epsilon", "1")
    assert (ended.code, ended.err) == (0, "")
    words = " ".join(ended.out.split())
    assert "Plan for 'hospital': epsilon 1, delta 10⁻⁵, 400 patients (declared)." in words
    assert (
        "maxRows is 3, to which all noise is scaled; 1.73 rows of each patient are assumed" in words
    )
    for part in (
        "counts of columns",
        "moments of pairs of columns",
        "share of a category",
        "correlation of two columns",
        "The fit takes about",
        "maxRows 3 -> 2",
        "epsilon 1 -> 2",
    ):
        assert part in words, part


def test_a_plan_says_what_goes_to_interactions(run: Run, work: Path) -> None:
    ended = run("plan", "schema.yaml", "--epsilon", "1")
    assert "three and four columns" not in ended.out  # 400 patients afford none
    ended = run("plan", "schema.yaml", "--epsilon", "1", "--patients", "20000")
    assert (ended.code, ended.err) == (0, "")
    forecast = make_forecast(SCHEMA.replace(patients=20_000), 1.0)
    assert forecast.interactions is not None
    words, found = " ".join(ended.out.split()), forecast.interactions
    share = f"{100 * found.share:.3g} % of the budget goes to moments of three and four columns: "
    assert f"{share}{found.products:,} products of their features, each mean with noise" in words
    assert "moments of three and four columns" in words.partition(share)[2]  # as a release


def test_a_plan_names_what_comes_first(run: Run, work: Path) -> None:
    purpose = {"name": "stay", "kind": "linear", "outcome": "cost", "predictors": ["sex"]}
    write_schema(work, SCHEMA.replace(purposes=[purpose]))
    ended = run("plan", "schema.yaml", "--epsilon", "1")
    assert (ended.code, ended.err) == (0, "")
    words = " ".join(ended.out.split())
    assert "Favoured, where not all sets of columns can be afforded: purpose 'stay'" in words
    assert "Here, no set of three columns is measured." in words  # of 400 patients
    ended = run("plan", "schema.yaml", "--epsilon", "1", "--patients", "20000")
    assert " sets of three columns are measured." in " ".join(ended.out.split())
    (work / "wide.yaml").write_text(
        json.dumps(
            {
                "patients": 2500,
                "fields": [{"name": f"x{i}", "type": "boolean"} for i in range(30)],
                "purposes": [purpose | {"kind": "logistic", "outcome": "x0", "predictors": ["x1"]}],
            }
        )
    )
    words = " ".join(run("plan", "wide.yaml", "--epsilon", "1").out.split())
    assert (
        "28 of 4,060 sets of three columns are measured: those that have an outcome and a" in words
    )


def test_a_plan_without_patients_says_what_is_assumed(run: Run, work: Path) -> None:
    write_schema(work, SCHEMA.replace(patients=None))
    ended = run("plan", "schema.yaml", "--epsilon", "1")
    words = " ".join(ended.out.split())
    assert "5,000 patients (assumed)" in words
    assert "declare `patients` in the schema" in words
    ended = run("plan", "schema.yaml", "--epsilon", "1", "--patients", "700")
    assert "700 patients (declared)" in ended.out


def test_a_plan_for_a_program(run: Run, work: Path) -> None:
    words = ("--epsilon", "1", "--rows-per-patient", "2", "--json", "--out", "plan.json")
    ended = run("plan", "schema.yaml", *words)
    assert (ended.code, ended.err) == (0, "")
    forecast = Forecast.model_validate_json(ended.out)
    assert forecast == make_forecast(SCHEMA, 1.0, rows_per_patient=2)
    assert json.loads((work / "plan.json").read_text()) == json.loads(ended.out)
    assert run("plan", "schema.yaml", *words).message.startswith("plan.json exists already")


def test_a_plan_takes_a_schema_under_review(run: Run, work: Path) -> None:
    fields = [field.model_dump() for field in SCHEMA.fields]
    fields[2]["review"] = True
    write_schema(work, Schema.model_validate(SCHEMA.model_dump() | {"fields": fields}))
    ended = run("plan", "schema.yaml", "--epsilon", "1")
    assert "1 field waits for review: sex." in " ".join(ended.out.split())


@pytest.mark.parametrize("width", [40, 160])
def test_names_and_markup_fit_any_terminal(width: int) -> None:
    fields = [{"name": "[b]x " + "long " * 20, "type": "boolean"}]
    text = io.StringIO()
    forecast = make_forecast(Schema.from_dict({"patients": 100, "fields": fields}), 1.0)
    print_forecast(forecast, Console(file=text, width=width))
    assert max(map(len, text.getvalue().splitlines())) <= width
    assert "[b]x" in text.getvalue()


def test_a_fit_warns_before_it_spends_and_a_run_too(run: Run, work: Path) -> None:
    write_schema(work, NOISY)
    write_table(make_table(60), work / "train.csv", SCHEMA)
    ended = run("fit", "train.csv", "--schema", "schema.yaml", "--epsilon", "0.1", "--out", "m")
    assert ended.code == 0
    assert "Warning: With 60 patients, at most 3 rows of each, at epsilon 0.1, little" in ended.err
    assert "What would help most: " in ended.err
    # The run's table is not there: it warns before it reads.
    (work / "run.yaml").write_text(
        "name: few\ndata: {path: nowhere.csv}\nschema: schema.yaml\nepsilon: 0.1\nholdout: 0.5\n"
    )
    ended = run("run", "run.yaml")
    assert "Warning: With 30 patients" in ended.err
    assert "There is no file nowhere.csv" in ended.message


def test_a_fit_that_will_do_warns_of_nothing(run: Run, work: Path) -> None:
    ended = run("plan", "schema.yaml", "--epsilon", "20", "--patients", "5000")
    assert "Warning" not in ended.out
