"""Analyses that the records are meant for, and their interactions."""

from typing import Any

import pytest

from synthvae.errors import SchemaError
from synthvae.purposes import AnalysisRequest
from synthvae.schema import Schema

EFFECT = {"name": "effect", "kind": "logistic", "outcome": "died", "predictors": ["arm", "marker"]}
CURVES = {"name": "curves", "kind": "kaplan-meier", "group": "arm"}
FIELDS = [
    *({"name": name, "type": "boolean"} for name in ("arm", "marker", "died")),
    {"name": "id"},
    {"name": "remark", "role": "omit"},
    {"name": "ward", "constraints": {"enum": ["A", "B", "C"]}},
    {"name": "days", "type": "integer", "constraints": {"minimum": 0, "maximum": 60}},
]


def test_an_analysis_names_its_columns() -> None:
    effect, curves = (AnalysisRequest.model_validate(facts) for facts in (EFFECT, CURVES))
    assert (effect.columns, effect.explaining) == (("died", "arm", "marker"), ("arm", "marker"))
    assert (curves.columns, curves.is_survival) == (("arm",), True)


@pytest.mark.parametrize(
    ("purpose", "message"),
    [
        (EFFECT | {"name": "curves"}, "two purposes are named 'curves'"),
        (EFFECT | {"outcome": "dead"}, "'effect' names 'dead', which is no field"),
        (EFFECT | {"group": "remark"}, "the purpose 'effect' names 'remark', which is left out"),
        (EFFECT | {"predictors": ["arm", "id"]}, "names 'id', an identifier, .*: take it out"),
        (
            EFFECT | {"interactions": [["arm", "sex"]]},
            "purpose 'effect': .* names 'sex', which is not",
        ),
        (EFFECT | {"interactions": [["arm", "arm"]]}, "arm x arm names 'arm' twice: name another"),
        (
            EFFECT | {"interactions": ["arm", "marker"]},
            r"interactions is a list of sets of predictors; write \[\[arm, marker\]\]",
        ),
        (EFFECT | {"interactions": "arm"}, r"sets of predictors; write \[\[arm, marker\]\]"),
        (
            EFFECT | {"interactions": [["arm"]]},
            "an interaction is of two or three predictors, but arm has 1: add another",
        ),
        (EFFECT | {"interactions": [["arm", "marker"] * 2]}, "has 4: take some out"),
        (EFFECT | {"interactions": [[]]}, "one is empty: take it out"),
        (EFFECT | {"outcome": None}, "needs an outcome: name the column that it explains"),
        (EFFECT | {"predictors": []}, "needs predictors: name the columns that explain"),
        (
            EFFECT | {"kind": "cox"},
            "the outcome 'died' does not go with a survival .*: take it out",
        ),
        (EFFECT | {"interaction": 1}, r"purpose 'effect', .* \(did you mean 'interactions'\?\)"),
        (EFFECT, "'curves' cannot be done: the schema declares no survival columns; name them as"),
    ],
)
def test_refuses_a_purpose(purpose: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_dict({"primaryKey": "id", "fields": FIELDS, "purposes": [purpose, CURVES]})


@pytest.mark.parametrize(
    ("purpose", "message"),
    [
        (EFFECT | {"predictors": ["died"]}, "has its outcome 'died' among its predictors; take it"),
        (EFFECT | {"predictors": ["arm", "arm"]}, "names the predictor 'arm' twice; keep one"),
        (
            EFFECT | {"kind": "linear"},
            "is linear, but its outcome 'died' is no number with bounds; use `kind: logistic`",
        ),
        (
            EFFECT | {"outcome": "ward"},
            "is logistic, but its outcome 'ward' has 3 values, not two; use `kind: linear` for a",
        ),
        (EFFECT | {"outcome": "days"}, "its outcome 'days' has 61 values, not two; use `kind"),
        (
            CURVES | {"predictors": ["arm", "marker"], "interactions": [["arm", "marker"]]},
            "has the interaction arm x marker, but curves have no effects .*; use `kind: cox`",
        ),
        (CURVES | {"group": "days"}, "the group 'days', which has no categories; name a column"),
        (
            {"name": "hazard", "kind": "cox", "predictors": ["arm", "days"]},
            "has its outcome 'days' among its predictors; take it out",
        ),
    ],
)
def test_refuses_a_purpose_that_does_not_fit_its_columns(
    purpose: dict[str, Any], message: str
) -> None:
    pair = {"duration": "days", "event": "died"}
    with pytest.raises(SchemaError, match=f"the purpose '{purpose['name']}' .*{message}"):
        Schema.from_dict(
            {"primaryKey": "id", "survival": pair, "fields": FIELDS, "purposes": [purpose]}
        )


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("id", "died"), "'id' is an identifier, never modelled; name another"),
        (("ward", "died"), "'ward' is no number with bounds; name one as duration"),
        (("days", "ward"), "'ward' has 3 values, not two; name one as event"),
    ],
)
def test_refuses_curves_of_a_pair_that_tells_no_survival(
    pair: tuple[str, str], message: str
) -> None:
    survival = dict(zip(("duration", "event"), pair, strict=True))
    facts = {"primaryKey": "id", "survival": survival, "fields": FIELDS}
    assert Schema.from_dict(facts).survival_columns == pair
    with pytest.raises(SchemaError, match=f"'curves' cannot be done: the survival .*{message}"):
        Schema.from_dict(facts | {"purposes": [CURVES]})
