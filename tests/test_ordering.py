"""The order in time that a schema declares: its gaps in lattice steps, and what is refused."""

from typing import Any

import pytest

from synthvae.errors import SchemaError
from synthvae.schema import Schema

DAYS = {"minimum": "2020-01-01", "maximum": "2020-12-31"}
HOURS = {"minimum": "2020-01-01T00:00", "maximum": "2020-01-02T00:00"}
SEEN = {"name": "seen", "type": "date", "constraints": DAYS}
WEEK = SEEN | {"step": "7 days"}
TAKEN = {"name": "taken", "type": "datetime", "format": "%Y-%m-%dT%H:%M", "constraints": HOURS}
YEAR = {"name": "year", "type": "integer", "constraints": {"minimum": 1, "maximum": 5}}
DOSE = {"name": "dose", "type": "number", "step": 0.5, "constraints": {"minimum": 0, "maximum": 9}}
WAVE = {"name": "wave", "type": "integer", "constraints": {"minimum": 0, "maximum": 4}}
STATE = {"name": "state", "constraints": {"enum": ["in", "out"]}}


def ordered(field: dict[str, Any], order: Any, **settings: Any) -> Schema:
    """Return a schema of visits with a column beside their state and wave."""
    table = {"patientKey": "id", "maxRows": 3, "orderBy": order} | settings
    key = {"name": "id", "role": "identifier"}
    return Schema.from_dict(table | {"fields": [key, STATE, WAVE, field]})


@pytest.mark.parametrize(
    ("field", "order", "codes"),
    [
        (SEEN, {"strict": True}, (1, 365, 1)),
        (SEEN, {"strict": False}, (0, 365, 1)),
        (SEEN, {"gap": {"minimum": 7, "maximum": "60 days"}}, (7, 60, 1)),
        (SEEN, {"gap": {"step": 7}}, (7, 364, 7)),
        (SEEN, {"strict": False, "gap": {"step": 7}}, (0, 364, 7)),
        (SEEN, {"gap": {"maximum": 10_000}}, (1, 365, 1)),
        (WEEK, {"gap": {"minimum": 14}}, (2, 52, 1)),
        (TAKEN, {"gap": {"minimum": "1 h", "maximum": 90}}, (60, 90, 1)),
        (TAKEN | {"step": "15 min"}, {"gap": {"minimum": 30}}, (2, 96, 1)),
        (YEAR, {"gap": {"maximum": 1}}, (1, 1, 1)),
        (DOSE, {"gap": {"minimum": 1.5, "step": 1}}, (3, 17, 2)),
    ],
)
def test_gaps_are_in_steps_of_the_lattice(
    field: dict[str, Any], order: dict[str, Any], codes: tuple[int, int, int]
) -> None:
    assert ordered(field, {"column": field["name"]} | order).gap_codes == codes


def test_a_name_alone_means_strict_and_survives_a_file() -> None:
    schema = ordered(YEAR, "year", keepRows="last")
    assert schema == Schema.from_dict(schema.to_dict())
    assert (
        schema.digest == ordered(YEAR, {"column": "year", "strict": True}, keepRows="last").digest
    )
    assert schema.digest != ordered(YEAR, "year").digest
    assert ordered(YEAR, None).gap_codes is None


@pytest.mark.parametrize(
    ("field", "order", "settings", "message"),
    [
        (SEEN, "sen", {}, r"orderBy names 'sen', which is no field \(did you mean 'seen'\?\)"),
        (SEEN, "id", {}, "orderBy names 'id', which is an identifier"),
        (SEEN, "state", {}, "orderBy names 'state', which has categories: give it"),
        (SEEN, "seen", {"primaryKey": ["id", "seen"]}, "orderBy names 'seen', which is an identif"),
        (SEEN | {"role": "omit"}, "seen", {}, "orderBy names 'seen', which is left out"),
        (SEEN | {"perPatient": True}, "seen", {}, "'seen', which is perPatient"),
        (SEEN | {"constraints": DAYS | {"required": False}}, "seen", {}, "a row without a time"),
        (YEAR | {"special": 99}, "year", {}, "'year', whose special value 99 has no place in time"),
        (
            YEAR,
            "year",
            {"rules": [{"derive": "year", "as": "wave + 1"}]},
            "an identifier or derived",
        ),
        (YEAR, "year", {"patientKey": None, "maxRows": None}, "but there is no patientKey"),
        (YEAR, None, {"keepRows": "first"}, "keepRows needs orderBy"),
        (YEAR, "year", {"keepRows": "some"}, "keepRows: "),
        (YEAR, {"column": "year", "gaps": {}}, {}, "unknown key 'gaps'"),
    ],
)
def test_refuses_an_order(
    field: dict[str, Any], order: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        ordered(field, order, **settings)


@pytest.mark.parametrize(
    ("field", "gap", "message"),
    [
        (SEEN, {"minimum": 0}, "lets two visits be at one time.* write 1 day or more"),
        (SEEN, {"minimum": -3}, "gap.minimum -3 lets two visits"),
        (SEEN, {"minimum": 1.5}, "gap.minimum 1.5 is no multiple of 1 day, the step of 'seen'"),
        (WEEK, {"minimum": 10}, "gap.minimum 10 is no multiple of 7 days"),
        (TAKEN, {"maximum": "30 s"}, "gap.maximum '30 s' is no multiple of 1 min"),
        (TAKEN, {"maximum": "soon"}, "gap.maximum 'soon' is no gap of a datetime: write 15 min"),
        (DOSE, {"step": 0.25}, "gap.step 0.25 is no multiple of 0.5"),
        (YEAR, {"maximum": "1 day"}, "gap.maximum '1 day' is no gap of an integer: write a number"),
        (YEAR, {"step": 0}, "gap.step 0 must be above 0"),
        (YEAR, {"minimum": 3, "maximum": 2}, "gap.minimum, 3, is above gap.maximum, 2"),
        (YEAR, {"minimum": 5}, "gap.minimum, 5, is above the whole range of 'year', 4"),
        (
            SEEN,
            {"maximum": 10, "step": 7},
            "gap.maximum 10 is not .* whole steps more: write 7 days",
        ),
        (SEEN, {"maximum": True}, "True is a boolean"),
    ],
)
def test_refuses_gaps(field: dict[str, Any], gap: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        ordered(field, {"column": field["name"], "gap": gap})
