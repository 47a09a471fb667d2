import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from synthvae.evaluation.results import Evaluation
from synthvae.report.disclosure_rules import ACRO
from synthvae.report.document import Report, custodian_report, public_report
from tests.report import report_example as example

HOUSE = Path(__file__).parent.parent.parent


def full() -> Report:
    return custodian_report(
        example.evaluation(6), example.guarantee(), example.training(), example.context(6)
    )


def test_json_comes_back_as_the_same_values() -> None:
    for report in (full(), public_report(full(), ACRO)):
        text = report.to_json()
        assert Report.model_validate_json(text) == report
        assert Report.model_validate_json(text).to_json() == text
        assert "NaN" not in text


def test_the_published_schema_is_up_to_date() -> None:
    text = json.dumps(Report.model_json_schema(), indent=1, sort_keys=True) + "\n"
    published = (HOUSE / "docs" / "report.schema.json").read_text(encoding="utf-8")
    assert text == published, "write docs/report.schema.json anew; docs/report.md says how"


def test_a_report_with_an_unknown_key_is_none() -> None:
    value = json.loads(full().to_json()) | {"verdict": "good"}
    with pytest.raises(ValidationError, match="Extra inputs"):
        Report.model_validate(value)


def test_an_evaluation_from_before_the_new_fields_is_still_read() -> None:
    old = json.loads((HOUSE / "reports/example/custodian/evaluation.json").read_text())
    for name in ("depth", "risks", "groups", "analyses"):
        old.pop(name, None)
    assert custodian_report(Evaluation.model_validate(old)).decision.claim("groups").level == "open"
