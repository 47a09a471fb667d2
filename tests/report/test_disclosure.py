"""The public rendering: what is on its list, and what the report makes of it."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from synthvae.errors import ConfigError
from synthvae.evaluation import results
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.results import NumberSummary, Threshold
from synthvae.levels import METRICS
from synthvae.report import page_of
from synthvae.report.decision import decide
from synthvae.report.disclosure import for_public
from synthvae.report.disclosure_rules import ACRO, HES, Profile, find_profile, public_record
from synthvae.report.disclosure_scores import SMALL_NUMBERS
from synthvae.report.document import custodian_report, public_report
from tests.report import report_example as example
from tests.report.disclosure_example import evaluation, facts, margin, score

# free: public or of synthetic rows alone; coded: touches real rows; left out: never published.
FIELDS = {
    results.Evaluation: {
        "free": "version name schema_digest seed depth",
        "coded": "tables scores margins worst_pairs associations attacks risks analyses notes",
        "left out": "groups pair_tables components three_way",
    },
    results.TableFacts: {
        "free": "synthetic_rows columns",
        "coded": "train_rows train_patients holdout_rows holdout_patients",
        "left out": "most_rows",
    },
    results.Score: {
        "free": "key topic title meaning direction",
        "coded": "value interval goal references draws threshold not_run",
        "left out": "p_value detail",
    },
    results.Margin: {
        "free": "column kind",
        "coded": "labels train holdout synthetic distance holdout_distance",
        "left out": "train_summary synthetic_summary",
    },
    results.PairDistance: {"free": "columns", "coded": "distance holdout_distance", "left out": ""},
    results.PairTable: {
        "free": "",
        "coded": "",
        "left out": "columns row_labels column_labels train synthetic distance",
    },
    results.Components: {
        "free": "",
        "coded": "",
        "left out": "explained edges train holdout synthetic",
    },
    results.Associations: {"free": "measure", "coded": "columns train synthetic", "left out": ""},
    results.Attack: {
        "free": "key title meaning tripwire",
        "coded": "members non_members auc auc_interval fpr tpr detection_limit",
        "left out": "tpr_at",
    },
    results.Risk: {
        "free": "key title meaning",
        "coded": "members others success success_interval control control_interval gain "
        "gain_interval detection_limit",
        "left out": "detail",
    },
    results.Analysis: {
        "free": "name kind formula synthetic_rows",
        "coded": "real_rows coefficients not_run",
        "left out": "curves subgroups detail",
    },
    results.Coefficient: {
        "free": "term synthetic synthetic_interval",
        "coded": "real real_interval overlap same_sign",
        "left out": "interaction",
    },
    results.SubgroupEffect: {
        "free": "",
        "coded": "",
        "left out": "term subgroup real_rows synthetic_rows real real_interval synthetic "
        "synthetic_interval not_run",
    },
    results.SubgroupEffects: {
        "free": "",
        "coded": "",
        "left out": "predictor within measure effects detail",
    },
    results.LevelAssociation: {
        "free": "",
        "coded": "",
        "left out": "level real real_interval synthetic synthetic_interval",
    },
    results.TripleDependence: {
        "free": "",
        "coded": "",
        "left out": "columns strength p_value share holdout_share levels",
    },
    results.ThreeWay: {
        "free": "",
        "coded": "",
        "left out": "compared possible standing_out declared_share worst detail",
    },
    results.Interval: {"free": "level", "coded": "low high method", "left out": ""},
    results.Threshold: {"free": "basis source", "coded": "good poor", "left out": ""},
    results.GroupFigure: {
        "free": "",
        "coded": "",
        "left out": "column group key patients value interval reference not_run",
    },
    results.Curve: {"free": "", "coded": "", "left out": "group times real synthetic"},
    results.NumberSummary: {"free": "", "coded": "", "left out": "mean sd p1 p50 p99"},
}
# Whatever is not withheld of a score: who adds to this list says what real rows it could tell of.
PUBLISHED = {
    "synthetic rows": "valid_cells valid_rows rule.<slug>",
    "margins": "tvd1",
    "rounded down": "copies",
    "grid": "sdmetrics_quality sdmetrics_shapes sdmetrics_pairs tvd2 tvd3 associations c2st pmse_ratio "
    "overlap.<analysis> signs.<analysis> c_index.<analysis> tstr.<target>.<learner> "
    "tstr_loss.<target>.<learner> auprc.<target>.<learner> brier.<target>.<learner> "
    "calibration_slope.<target>.<learner> calibration_intercept.<target>.<learner> "
    "rmse.<target>.<learner> rank_agreement.<target> all_targets",
    "attack": "membership_auc attack.calibrated_neighbour.auc attack.domias.auc attack.classifier.auc "
    "attack.shadow.auc attack.attribute_inference.gain attack.linkability.gain "
    "attack.singling_out.gain attack.near_copies.gain attack.exact_copies.gain",
}


def test_every_field_of_an_evaluation_is_on_the_list() -> None:
    models = {
        model for model in vars(results).values()
        if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__
        == results.__name__ and not model.__name__.startswith("_")
    }  # fmt: skip
    assert models == set(FIELDS)
    for model, lists in FIELDS.items():
        named = [name for names in lists.values() for name in names.split()]
        assert sorted(named) == sorted(model.model_fields), f"classify the fields of {model}"


class Counted(results.Interval):
    """An interval with a field that nobody has put on a list."""

    patients: int = 0


def test_a_field_that_is_not_named_keeps_its_default_or_is_an_error() -> None:
    exact = Counted(low=0.1, high=0.2, method="m", patients=3)
    shown = public_record(exact, "low method", high=0.25)
    assert shown == Counted(low=0.1, high=0.25, method="m", patients=0)
    with pytest.raises(ValidationError, match="Field required"):
        public_record(exact, "low high")


def test_only_these_scores_are_published() -> None:
    found: dict[str, set[str]] = {}
    for metric in METRICS:
        found.setdefault(metric.disclosure, set()).add(metric.key)
        assert (metric.disclosure in PUBLISHED) != bool(metric.withheld_as), metric.key
    assert {rule: set(keys.split()) for rule, keys in PUBLISHED.items()} == {
        rule: keys for rule, keys in found.items() if rule in PUBLISHED
    }
    assert set(found) <= {*PUBLISHED, "withheld", "withheld, of groups", "left out"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_a_score_comes_out_as_its_record_says(metric: Metric) -> None:
    key = metric.key_of(**dict.fromkeys(re.findall(r"<(\w+)>", metric.key), "x"))
    analysis = example.analyses()[0].model_copy(update={"name": "x"})
    base = evaluation(
        margin((2000, 2000), (500, 500), (9, 9)),
        tables=facts(4000, 1000, columns=9),
        analyses=(analysis,),
        scores=(score(key, 0.1234567, title="a score: x"),),
    )
    shown = for_public(base, ACRO).scores
    if metric.disclosure == "left out":
        assert shown == ()
    elif metric.disclosure in ("withheld", "withheld, of groups", "attack"):  # no attack is there
        assert shown[0].value is None
        assert str(shown[0].not_run).startswith("withheld")
    else:
        assert shown[0].value is not None
        assert (shown[0].value == 0.1234567) == (metric.disclosure == "synthetic rows")


def test_a_score_that_nobody_listed_is_withheld() -> None:
    found = for_public(
        evaluation(tables=facts(4000, 1000, 9), scores=(score("new", 0.1),)), ACRO
    ).scores[0]
    assert (found.value, found.not_run) == (None, SMALL_NUMBERS)


@pytest.mark.parametrize("profile", [ACRO, HES], ids=lambda profile: profile.name)
def test_what_is_left_out_is_left_out(profile: Any) -> None:
    base = example.evaluation(16)
    described = NumberSummary(mean=1.0, sd=2.0, p1=0.1, p50=1.0, p99=9.9)
    base = base.model_copy(
        update={
            "margins": tuple(
                m.model_copy(update={"train_summary": described}) for m in base.margins
            ),
            "tables": base.tables.model_copy(update={"most_rows": 1}),
        }
    )
    found = for_public(base, profile)

    def check(value: Any) -> None:
        if isinstance(value, tuple):
            for one in value:
                check(one)
        if isinstance(value, BaseModel):
            for name in FIELDS[type(value)]["left out"].split():
                assert not getattr(value, name), (type(value), name)
            for name in type(value).model_fields:
                check(getattr(value, name))

    check(found)
    assert found.attacks
    assert found.risks
    assert found.margins
    assert found.analyses[0].coefficients
    assert not any("reconstructed" in note for note in found.notes)


def test_the_same_values_give_the_same_public_bytes() -> None:
    report = custodian_report(example.evaluation(16), example.guarantee())
    first, second = (public_report(report, HES) for _ in range(2))
    assert first.to_json() == second.to_json()
    assert page_of(first) == page_of(second)


def test_the_public_report_has_no_curve_and_is_made_of_the_public_evaluation() -> None:
    report = custodian_report(
        example.evaluation(16), example.guarantee(), example.training(), example.context(16)
    )
    public = public_report(report, HES)
    assert public.training is None
    assert public.decision == decide(public.evaluation, report.guarantee, report.context)
    page = page_of(public)
    assert "withheld: small numbers, or not run" in page
    assert "Figures of groups of real patients are withheld" in page


def test_without_a_guarantee_rows_a_patient_are_as_seen() -> None:
    base = example.evaluation(3)
    tables = base.tables.model_copy(update={"train_patients": 1000})
    unknown = custodian_report(base.model_copy(update={"tables": tables}))
    assert public_report(unknown, ACRO).evaluation.margins == ()
    assert public_report(custodian_report(base), ACRO).evaluation.margins != ()


def test_a_level_is_that_of_the_figure_shown() -> None:
    limit = Threshold(good=0.05, poor=0.1, basis="steward-set", source="s")
    found = []
    for value in (0.0496, 0.0504):
        one = score("c2st", value, threshold=limit)
        report = custodian_report(example.evaluation(3, scores=(one,)), example.guarantee())
        claims = (each.decision.claim("fidelity") for each in (report, public_report(report, ACRO)))
        found.append([claim.level for claim in claims])
    assert found == [["green", "green"], ["amber", "green"]]


def test_profiles_are_found_by_name_or_file(tmp_path: Path) -> None:
    assert find_profile("acro") is ACRO
    file = tmp_path / "house.yaml"
    file.write_text("name: house\nsmallest_cell: 20\nround_to: 15\n")
    assert find_profile(str(file)) == Profile(name="house", smallest_cell=20, round_to=15)
    assert find_profile(str(file)).step == 45
    with pytest.raises(ConfigError, match="profile is 'nhs'; give acro or hes, or a file"):
        find_profile("nhs")
    file.write_text("name: house\nsmallest_cel: 20\n")
    with pytest.raises(ConfigError, match=r"unknown key 'smallest_cel' \(did you mean"):
        find_profile(str(file))
