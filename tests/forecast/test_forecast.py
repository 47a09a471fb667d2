"""Warnings and remedies follow the public numbers, for any schema."""

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from synthvae.errors import BudgetError, ConfigError, SchemaError
from synthvae.forecast import make_forecast, warnings_of
from synthvae.forecast.prospect import make_prospect, width_of
from synthvae.plan import make_plan
from synthvae.schema import Schema
from synthvae.settings import settings_for
from tests.forecast.tables import NAMES, simulate
from tests.hospital import SCHEMA
from tests.random_schemas import schemas

NUMBERS = [
    {
        "name": f"x{number}",
        "type": "number",
        "decimals": 1,
        "constraints": {"minimum": 0, "maximum": 100},
    }
    for number in range(12)
]
VISITS: dict[str, Any] = {
    "patients": 600,
    "patientKey": "id",
    "maxRows": 5,
    "fields": [
        {"name": "id"},
        {"name": "postcode", "constraints": {"enum": ["01067", "10115", "20095", "80331"]}},
        {"name": "smoker", "constraints": {"enum": ["ex", "never", "yes"]}},
        *NUMBERS,
    ],
}
FEW = Schema.from_dict(VISITS)


def test_a_fit_of_little_but_noise_is_warned_of_with_the_best_remedy() -> None:
    found, help_ = warnings_of(FEW, 1.0)
    assert "With 600 patients, at most 5 rows of each, at epsilon 1, little but noise" in found
    assert "percentage points in 'postcode'" in found
    assert help_.startswith(
        "What would help most: maxRows 5 -> 2, which divides counts' noise by 2.5"
    )


@pytest.mark.parametrize(
    "schema",
    [FEW.replace(maxRows=1), FEW.replace(patients=5000), *(simulate(name)[1] for name in NAMES)],
)
def test_a_fit_that_will_do_is_not_warned_of(schema: Schema) -> None:
    assert warnings_of(schema, 1.0) == ()
    assert warnings_of(schema, None) == ()


def test_what_is_released_is_that_of_the_plan() -> None:
    plan, forecast = make_plan(FEW, 1.0), make_forecast(FEW, 1.0)
    assert plan.training is not None
    counts = [5 * noise for column in plan.column_noise for noise in column]
    by_what = {release.what.partition(",")[0]: release for release in forecast.releases}
    assert by_what["counts of columns"].noise == (min(counts), max(counts))
    assert by_what["counts of columns"].times == len(counts)
    assert by_what["moments of pairs of columns"].noise == 2 * plan.pairs.noise_multipliers
    assert "moments of three and four columns" not in by_what  # 600 patients afford none
    assert by_what["steps of training"].noise[0] == plan.training.noise_multiplier
    assert forecast.cost is not None
    assert forecast.cost.seconds[0] < forecast.cost.seconds[1]


def test_of_visits_in_time_what_is_counted_once_a_patient_has_that_noise() -> None:
    fields = [{**VISITS["fields"][1], "perPatient": True}, *VISITS["fields"][2:]]
    day = {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}
    schema = Schema.from_dict(VISITS | {"orderBy": "day", "fields": [{"name": "id"}, day, *fields]})
    plan, forecast = make_plan(schema, 1.0), make_forecast(schema, 1.0, rows_per_patient=2.0)
    noise = dict(zip([f.name for f in schema.drawn], plan.column_noise, strict=True))
    columns = {column.name: column for column in forecast.columns}
    assert columns["postcode"].noise == noise["postcode"][-1]
    assert columns["smoker"].noise == 5 * noise["smoker"][-1]
    # As many counts as the account has, each with the noise that it has there.
    counted = forecast.releases[:3]
    assert sum(release.times for release in counted) == plan.marginals.queries
    pairs = zip(plan.marginals.noise_multipliers, plan.marginals.sensitivities or (), strict=True)
    scales = [noise * change for noise, change in pairs]
    assert max(release.noise[1] for release in counted) == max(scales)
    assert min(release.noise[0] for release in counted) == min(scales)
    assert (forecast.pairs, forecast.interactions, forecast.cost) == (None, None, None)
    assert forecast.not_forecast[0].startswith("Not forecast for visits in time")
    assert make_forecast(FEW, 1.0).not_forecast == ()
    change = next(remedy.change for remedy in forecast.remedies if "maxRows" in remedy.change)
    assert change == "maxRows 5 -> 2, which divides counts of visits' noise by 2.5"


def test_two_columns_have_no_interactions_and_a_plan_with_them_says_what_they_cost() -> None:
    assert make_forecast(simulate("two columns")[1], 1.0).interactions is None
    # Five columns of one feature each: ten products of three, five of four.
    fields = [{"name": name, "type": "boolean"} for name in "abcde"]
    schema = Schema.from_dict({"patients": 5000, "fields": fields})
    forecast = make_forecast(schema, 1.0)
    found = forecast.interactions
    assert found is not None
    assert found.products == 15
    assert (found.triples, found.all_triples, found.which_triples) == (10, 10, "")
    assert found.share == settings_for(schema, 1.0).interaction_share > 0
    (stage,) = make_plan(schema, 1.0).interactions
    released = [release.noise for release in forecast.releases if "three and four" in release.what]
    assert released == [2 * stage.noise_multipliers]
    # All weights are 1, so that all products have the same noise.
    assert found.noise == pytest.approx(found.largest_noise)
    twice = make_forecast(schema.replace(patients=10_000), 1.0).interactions
    assert twice is not None
    assert twice.noise < 0.6 * found.noise


def test_a_forecast_says_which_sets_of_three_columns_are_measured() -> None:
    fields = [{"name": f"x{i}", "type": "boolean"} for i in range(30)]
    # x0 with one of two predictors and any other: 55 sets. All with x0 would be 406, too many.
    purpose = {"name": "effect", "kind": "logistic", "outcome": "x0", "predictors": ["x1", "x2"]}
    schema = Schema.from_dict({"patients": 2500, "fields": fields, "purposes": [purpose]})
    found = make_forecast(schema, 1.0).interactions
    assert found is not None
    assert (found.triples, found.all_triples) == (2 * 28 - 1, 30 * 29 * 28 / 6)
    assert found.which_triples == "have an outcome and a predictor or protected column"


def test_each_remedy_says_what_the_plan_under_it_brings() -> None:
    forecast = make_forecast(FEW, 1.0)
    remedies = {remedy.change: remedy for remedy in forecast.remedies}
    assert len(remedies) == 4
    doubled = make_prospect(FEW, 2.0).columns
    worst = max((c for c in doubled if c.share is not None), key=lambda c: c.relative)
    assert remedies["epsilon 1 -> 2"].after == pytest.approx(100 * worst.relative, rel=0.1)
    halved = next(remedy for change, remedy in remedies.items() if change.startswith("bounds"))
    assert halved.factor == pytest.approx(2, rel=0.05)


def test_declaring_patients_is_a_remedy_where_they_are_assumed() -> None:
    forecast = make_forecast(Schema.from_dict(VISITS | {"patients": None}), 1.0)
    assert (forecast.patients, forecast.patients_assumed) == (5000, True)
    assert any(remedy.change.startswith("declaring `patients`") for remedy in forecast.remedies)


def test_a_schema_under_review_is_forecast_and_says_so() -> None:
    fields = [VISITS["fields"][0], *(field | {"review": True} for field in VISITS["fields"][1:])]
    forecast = make_forecast(Schema.from_dict(VISITS | {"fields": fields}), 1.0)
    assert forecast.to_review[:2] == ("postcode", "smoker")
    assert forecast.columns == make_forecast(FEW, 1.0).columns


@pytest.mark.parametrize("rows", [0.5, 6])
def test_impossible_rows_of_a_patient_are_refused(rows: float) -> None:
    with pytest.raises(ConfigError, match="mean number of rows lies between 1 and 5"):
        make_forecast(FEW, 1.0, rows_per_patient=rows)


def test_an_impossible_budget_is_refused() -> None:
    with pytest.raises(BudgetError, match="epsilon is -1"):
        make_forecast(FEW, -1.0)


def test_the_mean_of_a_date_is_off_by_days() -> None:
    forecast = make_forecast(SCHEMA, 1.0)
    column = next(column for column in forecast.columns if column.name == "admitted")
    assert (column.kind, column.unit) == ("date", "days")
    assert column.width == width_of(SCHEMA["admitted"]) == 13 * 365 + 3


@given(schemas())
@settings(max_examples=15, deadline=None)
def test_every_schema_has_a_prospect_and_remedies(schema: Schema) -> None:
    warnings_of(schema, 0.01)
    prospect = make_prospect(schema, 1.0)
    assert all(column.relative >= 0 for column in prospect.columns)


def test_remedies_may_change_what_rules_and_targets_name() -> None:
    rules = [
        *(f"x{number} >= 30 and x{number} <= x{number - 1}" for number in range(1, 12)),
        {"if": "postcode == '80331'", "then": "smoker == 'ex'"},
        {"derive": "sum", "as": "x10 + x11"},
    ]
    fields = [*VISITS["fields"], NUMBERS[0] | {"name": "sum"}]
    ruled = Schema.from_dict(VISITS | {"fields": fields, "rules": rules, "target": ["sum"]})
    forecast = make_forecast(ruled, 1.0)
    assert forecast.columns == make_forecast(FEW, 1.0).columns
    assert forecast.remedies == make_forecast(FEW, 1.0).remedies


def test_what_is_no_schema_is_refused_with_the_call_that_makes_one() -> None:
    path: Any = "schema.yaml"
    for call in (make_forecast, warnings_of):
        with pytest.raises(ConfigError, match=r"read the file with Schema\.load\('schema.yaml'\)"):
            call(path, 1.0)
    frame: Any = pd.DataFrame({"a": [1]})
    with pytest.raises(SchemaError, match=r"not from an object of type .*DataFrame.*draft_schema"):
        Schema.load(frame)


def test_one_row_of_each_is_in_the_singular() -> None:
    found, _ = warnings_of(Schema.from_dict(VISITS | {"maxRows": 1, "patients": 60}), 1.0)
    assert "With 60 patients, at most 1 row of each, at epsilon 1" in found
