"""The guarantee as values: what it states, for machines and in words."""

import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import pytest

import synthvae
from synthvae._frozen import read_value
from synthvae._runtime import code_digest
from synthvae.errors import InputFileError, SchemaError
from synthvae.plan import Plan, make_plan
from synthvae.privacy.guarantee import AssumptionId, GaussianStage, Guarantee
from synthvae.promise import guarantee_of
from synthvae.schema import Schema
from tests.simulated import CLINIC, VISITS


def promised(schema: Schema = CLINIC, epsilon: float | None = 1.0) -> Guarantee:
    return guarantee_of(plan_of(schema, epsilon), 400, test_mode=False)


def plan_of(schema: Schema, epsilon: float | None) -> Plan:
    return make_plan(schema, epsilon, None if epsilon is None else 1e-6)


def test_what_it_rests_on_is_stated_once_each_for_programs_and_people() -> None:
    found = promised().assumptions
    always = [one for one in get_args(AssumptionId) if one != "declared-from-data"]
    assert [one.id for one in found] == always
    assert all(len(one.text) > 40 for one in found)
    said = {one.id: one.text for one in found}
    assert "ChaCha20" in said["computational-adversary"]
    assert "SIM-CDP" in said["computational-adversary"]
    assert "refused" in said["table-fits-schema"]


def test_columns_declared_because_the_records_show_them_are_named() -> None:
    value = CLINIC.to_dict()
    for field, shown in zip(value["fields"], (True, False, True), strict=False):
        field["basis"] = {"source": "the data themselves", "fromData": shown}
    found = promised(Schema.from_dict(value)).assumptions
    assert [one.id for one in found] == list(get_args(AssumptionId))
    text = next(one.text for one in found if one.id == "declared-from-data")
    assert "'age', 'creatinine' were declared because the records show them" in text


def test_what_comes_first_is_a_public_input() -> None:
    fields = [{"name": name, "type": "boolean"} for name in ("arm", "died")]
    purpose = {"name": "risk", "kind": "logistic", "outcome": "died", "predictors": ["arm"]}
    plain = Schema.from_dict({"patients": 400, "fields": fields})
    before, after = (
        promised(schema).public_inputs for schema in (plain, plain.replace(purposes=[purpose]))
    )
    (text,) = set(after) - set(before)
    assert text.endswith("as declared: purpose 'risk'")


@pytest.mark.parametrize("with_columns", [True, False])
def test_rules_declared_because_the_records_show_them_are_named(with_columns: bool) -> None:
    value = CLINIC.to_dict()
    value["fields"][0]["basis"] = {"source": "the data themselves", "fromData": with_columns}
    shown = {"source": "the data themselves", "fromData": True}
    value["rules"] = [
        {"rule": "age >= 0", "name": "no one is unborn", "basis": shown},
        {"rule": "creatinine > 0 or creatinine is missing", "basis": {"source": "a protocol"}},
        {"rule": "creatinine < age + 1000", "basis": shown},
    ]
    found = promised(Schema.from_dict(value))
    text = next(one.text for one in found.assumptions if one.id == "declared-from-data")
    columns = "the bounds or categories of 'age' and " if with_columns else ""
    named = "the rules 'no one is unborn', 'creatinine < age + 1000' were declared because"
    assert text.startswith(columns + named)
    assert "rules between columns" in found.public_inputs[0]


@pytest.mark.parametrize(
    ("fields", "rules", "said"),
    [
        (1, 0, "The field age was drafted"),
        (0, 1, "The rule 'age > 0' was drafted"),
        (0, 2, "The rules 'age > 0', 'whole' were drafted"),
        (1, 1, "The field age and the rule 'age > 0' were drafted"),
    ],
)
def test_what_awaits_review_is_refused_by_name(fields: int, rules: int, said: str) -> None:
    value = CLINIC.to_dict()
    value["fields"][0]["review"] = fields > 0
    drafted = [{"rule": "age > 0"}, {"rule": "age < 150", "name": "whole"}][:rules]
    value["rules"] = [rule | {"review": True} for rule in drafted]
    with pytest.raises(SchemaError, match=f"^{said} from the data and not reviewed yet: `synthvae"):
        plan_of(Schema.from_dict(value), 1.0)


def test_a_key_of_several_columns_is_named_whole() -> None:
    value = VISITS.to_dict() | {"patientKey": ["sex", "patient"]}
    assert "one 'sex' and 'patient' (at most 3 are used)" in promised(Schema.from_dict(value)).unit


@pytest.mark.parametrize(
    ("schema", "normaliser"),
    [
        (CLINIC, "declared patients"),
        (VISITS, "declared patients"),
        (VISITS.replace(patients=None), "noisily counted patients"),
    ],
)
def test_every_stage_says_what_bounds_a_patient(schema: Schema, normaliser: str) -> None:
    counts, *moments, training = promised(schema).stages
    most = schema.rows_per_patient
    assert isinstance(counts, GaussianStage)
    assert counts.sensitivities is not None
    assert len(counts.sensitivities) == counts.queries == len(counts.noise_multipliers)
    of_patients = (schema.patientKey is not None) + (schema.patients is None)
    assert set(counts.sensitivities[: counts.queries - of_patients]) == {most}
    assert counts.sensitivities[counts.queries - of_patients :] == (1.0,) * of_patients
    assert counts.clipping == "rows capped at rows_per_patient"
    for stage in moments:
        assert isinstance(stage, GaussianStage)
        assert stage.sensitivities == (1.0,)
        assert stage.clipping == "moments scaled per patient to a norm"
    assert training.clipping == "gradients scaled per patient to clip_norm"
    assert training.sensitivity == training.clip_norm
    assert training.normaliser == normaliser


def test_a_record_replaced_is_a_group_of_two() -> None:
    found = promised()
    assert found.epsilon is not None
    assert found.neighbours == "add or remove one patient"
    assert found.replace_epsilon == found.group_epsilon[2]
    sizes = [found.epsilon, *(found.group_epsilon[size] or 0.0 for size in (2, 3, 4, 5))]
    assert sizes == sorted(sizes)
    assert sizes[1] == pytest.approx(2.14, abs=0.01)


def test_a_second_accountant_stands_beside_the_first() -> None:
    found = promised()
    second = found.second_opinion
    assert second is not None
    assert second.accountant != found.accountant
    assert second.epsilon == pytest.approx(found.epsilon, abs=second.error or 0.0)


def test_without_privacy_nothing_is_stated() -> None:
    found = promised(epsilon=None)
    assert (found.valid, found.group_epsilon, found.assumptions) == (False, {}, ())
    assert (found.replace_epsilon, found.second_opinion) == (None, None)
    assert found.code_sha256 == code_digest()


def test_the_code_is_every_python_file_by_path_and_content() -> None:
    root = Path(synthvae.__file__).parent
    digest = hashlib.sha256()
    for name in sorted(file.relative_to(root).as_posix() for file in root.rglob("*.py")):
        content = (root / name).read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    code_digest.cache_clear()  # others may be at work on the files
    assert code_digest() == digest.hexdigest()


def test_it_is_the_same_after_json() -> None:
    for found in (promised(), promised(epsilon=None)):
        assert Guarantee.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("version", [1, 3])
def test_one_of_another_version_is_refused_in_one_sentence(tmp_path: Path, version: int) -> None:
    old = promised().model_dump(mode="json", exclude={"assumptions", "code_sha256"})
    path = tmp_path / "guarantee.json"
    path.write_text(json.dumps(old | {"version": version}))
    message = f"it has version {version}, this synthvae reads 2: use the synthvae that wrote it"
    with pytest.raises(InputFileError, match=message) as refused:
        read_value(path, Guarantee)
    assert str(refused.value).count("guarantee.json") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"group_epsilon": {"6": 1.0}},
        {"group_epsilon": {"two": 1.0}},
        {"group_epsilon": {"2": "inf"}},
        {"assumptions": [{"id": "the-earth-is-flat", "text": ""}]},
        {"second_opinion": {"accountant": "x", "epsilon": 1.0}},
        {"version": 10**30},
        {"version": "2"},
        {"code_sha256": None},
    ],
)
def test_what_is_none_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "guarantee.json"
    path.write_text(json.dumps(promised().model_dump(mode="json") | change))
    with pytest.raises(InputFileError, match=r"guarantee\.json is no guarantee"):
        read_value(path, Guarantee)
