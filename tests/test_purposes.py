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
        (EFFECT | {"interactions": [["arm", "arm"]]}, r"\('arm', 'arm'\) names 'arm' twice"),
        (EFFECT | {"interaction": 1}, r"purpose 'effect', .* \(did you mean 'interactions'\?\)"),
        (EFFECT, "the purpose 'curves' is a kaplan-meier analysis, which needs `survival"),
    ],
)
def test_refuses_a_purpose(purpose: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema.from_dict({"primaryKey": "id", "fields": FIELDS, "purposes": [purpose, CURVES]})
