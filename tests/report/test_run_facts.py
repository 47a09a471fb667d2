import pytest
from pydantic import ValidationError

from synthvae.report import RunContext, TrainingCurve, data_dictionary
from synthvae.schema import Schema


def test_a_curve_has_one_loss_a_step() -> None:
    with pytest.raises(ValidationError, match="validation has 1 values for 2 steps"):
        TrainingCurve(steps=(1, 2), loss=(0.5, 0.4), validation=(0.5,))


def test_values_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        RunContext(title="a").title = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        RunContext(titel="a")  # type: ignore[call-arg]


def test_the_data_dictionary_says_every_rule() -> None:
    schema = Schema.from_dict(
        {
            "name": "demo",
            "primaryKey": "id",
            "fields": [
                {"name": "id"},
                {"name": "sex", "role": "protected", "constraints": {"enum": ["f", "m"]}},
                {
                    "name": "cost",
                    "type": "number",
                    "special": [0],
                    "constraints": {"minimum": 0, "maximum": 9, "required": False},
                },
            ],
        }
    )
    found = [(line.name, line.type, line.rule, line.role) for line in data_dictionary(schema)]
    assert found == [
        ("id", "string", "", "identifier"),
        ("sex", "string", "one of f, m", "protected"),
        ("cost", "number", "0 to 9; special values 0; may be missing", ""),
    ]
