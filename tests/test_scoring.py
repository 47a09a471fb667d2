import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import ConfigError, DataError, EvaluationError
from synthvae.evaluation.marginals import compare_margins
from synthvae.evaluation.pairs import compare_associations
from synthvae.evaluation.prediction import compare_utility
from synthvae.evaluation.results import Evaluation
from synthvae.evaluation.sdmetrics_report import report_quality
from synthvae.evaluation.tables import binnings, prepare
from synthvae.schema import Schema
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, letters, yes_no
from tests.simulated import learn_less

ODD = Schema.from_dict(
    {
        "name": "odd",
        "patientKey": "id",
        "maxRows": 3,
        "target": ["Größe in cm.", "dead?", "when", "const", "id"],
        "fields": [
            {"name": "id", "type": "integer"},
            {
                "name": "Größe in cm.",
                "type": "number",
                "decimals": 1,
                "special": [-1, 0],
                "constraints": {"minimum": 20, "maximum": 250, "required": False},
            },
            {"name": "dead?", "type": "boolean", "constraints": {"required": False}},
            {
                "name": "when",
                "type": "date",
                "constraints": {
                    "minimum": "2000-01-01",
                    "maximum": "2012-12-31",
                    "required": False,
                },
            },
            {
                "name": "at",
                "type": "datetime",
                "constraints": {"minimum": "2000-01-01", "maximum": "2012-12-31"},
            },
            {"name": "const", "constraints": {"enum": ["a", "b"]}},
            {
                "name": 'it\'s "quoted", ok',
                "type": "integer",
                "constraints": {"minimum": 0, "maximum": 5},
            },
            {
                "name": "nothing",
                "type": "number",
                "constraints": {"minimum": 0, "maximum": 5, "required": False},
            },
            {"name": "nothing too", "constraints": {"enum": ["x", "y"], "required": False}},
        ],
    }
)


def odd(rows: int, seed: int, first: int = 0) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    height = g.normal(170, 10, rows).round(1).astype(object)
    height[::5], height[1::7], height[2::9] = None, -1, 0
    return pd.DataFrame(
        {
            "id": first + np.arange(rows) // 2,
            "Größe in cm.": height,
            "dead?": g.choice(["true", "false", ""], size=rows),
            "when": np.datetime64("2001-01-01") + g.integers(3000, size=rows),
            "at": "2003-05-05T10:00:00",
            "const": "a",
            'it\'s "quoted", ok': g.integers(6, size=rows).astype(str),
            "nothing": "",
            "nothing too": "NA",
        }
    )


@pytest.fixture(scope="module")
def whole() -> Evaluation:
    return evaluate(clinic(900, 1), clinic(400, 2), clinic(900, 3), SCHEMA, seed=5)


def test_every_score_says_what_it_is(whole: Evaluation) -> None:
    keys = [score.key for score in whole.scores]
    assert len(set(keys)) == len(keys)
    assert {"valid_cells", "copies", "tvd1", "tvd2", "tvd3", "associations", "c2st"} < set(keys)
    assert {"sdmetrics_quality", "sdmetrics_diagnostic", "membership_auc"} < set(keys)
    assert {"tstr.died.linear", "tstr_loss.died.boosting"} < set(keys)
    assert {"pmse_ratio", "brier.died.forest", "rank_agreement.died", "all_targets"} < set(keys)
    assert {"overlap.logistic-regression-of-died", "group_tvd2", "group_tstr.died"} < set(keys)
    for score in whole.scores:
        if score.key.startswith("attack.shadow"):
            continue
        assert score.not_run is None, score.key
        assert score.meaning.endswith((".", ")."))
        assert score.value is not None
        assert np.isfinite(score.value)
        if score.interval is not None:
            assert score.interval.low <= score.interval.high
            assert score.interval.low <= score.value <= score.interval.high
        else:
            assert score.key.startswith("sdmetrics")
        assert score.references
        assert score.goal is not None or score.key.startswith("sdmetrics")


def test_fresh_real_rows_are_as_good_as_real_ones(whole: Evaluation) -> None:
    assert whole.score("tvd2").value < 1.6 * whole.score("tvd2").references["bootstrap"]
    assert whole.score("c2st").interval.low < 0.5 < whole.score("c2st").interval.high + 0.02
    assert -0.05 < whole.score("tstr_loss.died.boosting").value < 0.05
    assert whole.score("tstr.died.linear").value > 0.85
    assert whole.score("tstr.died.linear").references["independent"] < 0.75
    assert whole.score("sdmetrics_quality").value > 0.9
    assert whole.score("valid_cells").value == 1


def test_the_same_input_gives_the_same_bytes_and_leaves_numpys_state_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn_less(monkeypatch)
    frames = clinic(200, 1), clinic(100, 2), clinic(200, 3)
    first = evaluate(*frames, SCHEMA, seed=5)
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    assert evaluate(*frames, SCHEMA, seed=5).to_json() == first.to_json()
    assert (np.random.get_state(legacy=False)["state"]["key"] == before).all()  # noqa: NPY002
    assert Evaluation.model_validate_json(first.to_json()) == first


def test_shuffled_columns_are_told_apart_and_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch, 30)
    train, g = clinic(900, 1), np.random.default_rng(0)
    shuffled = train.apply(lambda column: column.to_numpy()[g.permutation(len(train))])
    found = evaluate(train, clinic(400, 2), shuffled, SCHEMA)
    assert found.score("c2st").interval.low > 0.7
    loss = found.score("tstr_loss.died.boosting")
    assert loss.interval.low > 0.2
    assert loss.references["independent"] > 0.2


def test_the_target_cannot_be_read_off_the_columns_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learn_less(monkeypatch, 20)
    # `days` gives `died` away; with it the score would be higher.
    schema = SCHEMA.replace(target="died")
    frames = clinic(600, 1), clinic(300, 2), clinic(600, 3)
    with_days, without = (
        compare_utility(prepare(*frames, one, np.random.default_rng(0)), np.random.default_rng(0))[
            0
        ][0]
        for one in (schema, SCHEMA)
    )
    assert with_days.value > without.value + 0.02
    assert "1 column that would give the target away" in without.detail


@pytest.mark.parametrize("rows", [1, 10, 120])
def test_odd_names_types_and_sizes(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch)
    found = evaluate(odd(rows, 1), odd(rows, 2, 5000), odd(rows, 3), ODD)
    assert found.score("tstr.const.linear").not_run == (
        "the holdout table has one class only of 'const'"
    )
    assert "identifier" in found.score("tstr.id.boosting").not_run
    assert [margin.column for margin in found.margins] == [f.name for f in ODD.modelled]
    for margin in found.margins:
        for shares in (margin.train, margin.holdout, margin.synthetic):
            assert sum(shares) == pytest.approx(1, abs=1e-5)
            assert len(shares) == len(margin.labels)
    empty = next(margin for margin in found.margins if margin.column == "nothing")
    assert empty.labels == ("(missing)",)
    assert (found.score("c2st").value is None) == (rows < 60)
    assert (found.score("membership_auc").value is None) == (rows < 20)
    assert "NaN" not in found.to_json()


def test_a_table_of_nonsense_is_invalid_but_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch)
    bad = odd(80, 3).assign(
        **{"Größe in cm.": "tall", "when": "soon", "dead?": "maybe", "const": "c", "at": None}
    )
    bad['it\'s "quoted", ok'] = 99
    found = evaluate(odd(80, 1), odd(80, 2, 5000), bad, ODD)
    assert found.score("valid_rows").value == 0
    assert found.score("valid_cells").value == pytest.approx(2 / 8)
    assert "'Größe in cm.' (100 %)" in found.score("valid_cells").detail
    assert "no known value" in found.score("tstr.dead?.linear").not_run
    assert found.score("tvd1").value > 0.5
    assert found.score("sdmetrics_diagnostic").value < 0.7


def test_a_target_of_one_class_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch)
    synthetic = clinic(100, 3).assign(died=True)
    found = evaluate(clinic(100, 1), clinic(100, 2), synthetic, SCHEMA)
    for key in ("tstr.died.linear", "tstr_loss.died.boosting"):
        assert found.score(key).value is None
        assert found.score(key).not_run == "the synthetic table has one class only of 'died'"


def test_targets_may_be_numbers_or_have_many_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = SCHEMA.replace(target=["age", "ward"])
    learn_less(monkeypatch)
    found = evaluate(clinic(300, 1), clinic(200, 2), clinic(300, 3), schema)
    assert found.score("tstr.age.linear").title.startswith("R²")
    assert found.score("tstr.age.linear").value > 0.3
    assert found.score("tstr.age.boosting").references["chance"] == 0
    assert found.score("tstr.ward.linear").value == pytest.approx(0.5, abs=0.12)


def test_open_code_lists_are_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_less(monkeypatch)
    codes = [f"I{i}" for i in range(400)]
    schema = Schema.from_dict(
        {
            "name": "codes",
            "target": "first",
            "fields": [{"name": n, "constraints": {"enum": codes}} for n in ("first", "second")],
        }
    )

    def make(seed: int) -> pd.DataFrame:
        g = np.random.default_rng(seed)
        places = np.minimum(g.zipf(1.5, 300), 400) - 1
        return pd.DataFrame(
            {"first": np.array(codes)[places], "second": np.array(codes)[places * 7 % 400]}
        )

    found = evaluate(make(1), make(2), make(3), schema)
    assert "All but the 19 most frequent" in found.score("tstr.first.linear").detail
    assert found.score("tstr.first.linear").value > 0.8
    assert found.margins[0].labels[-1].endswith("others)")
    assert len(found.margins[0].labels) == 21


def test_no_target_says_so() -> None:
    found = evaluate(letters("abc", "abc"), letters("abc", "abc"), letters("abc", "cab"), yes_no(2))
    assert "declares no target" in found.score("tstr").not_run


def test_extra_columns_and_identifiers_are_left_out() -> None:
    schema = Schema.from_dict(
        {
            "name": "keyed",
            "primaryKey": "id",
            "fields": [{"name": "id"}, {"name": "c0", "constraints": {"enum": ["a", "b", "c"]}}],
        }
    )
    real = letters("abcabc").assign(id=range(6))
    plain = evaluate(real, real.assign(id=range(6, 12)), letters("abcabc"), schema)
    extra = letters("abcabc").assign(id=range(6), surprise=1)
    assert evaluate(real, real.assign(id=range(6, 12)), extra, schema) == plain


def test_progress_goes_from_nothing_to_done() -> None:
    seen = []
    evaluate(
        letters("abc"),
        letters("abc"),
        letters("abc"),
        yes_no(1),
        progress=lambda *a: seen.append(a),
    )
    shares = [share for _, share in seen]
    assert shares == sorted(shares)
    assert (shares[0], seen[-1]) == (0.0, ("done", 1.0))


def test_tables_that_cannot_be_scored_are_named() -> None:
    real = letters("abc", "abc")
    with pytest.raises(
        EvaluationError, match=r"lacks 1 column of the schema: 'c1' \(did you mean 'C1'"
    ):
        evaluate(real, real, real.rename(columns={"c1": "C1"}), yes_no(2))
    with pytest.raises(EvaluationError, match="synthetic table has no rows"):
        evaluate(real, real, real[:0], yes_no(2))
    with pytest.raises(EvaluationError, match="holdout table has no rows"):
        evaluate(real, real[:0], real, yes_no(2))
    with pytest.raises(EvaluationError, match="1 column more than once: 'c0'"):
        evaluate(real, real, pd.concat([real, real[["c0"]]], axis=1), yes_no(2))
    with pytest.raises(DataError, match="not one of a, b, c"):
        evaluate(letters("xyz", "abc"), real, real, yes_no(2))
    with pytest.raises(DataError, match="not one of a, b, c"):
        evaluate(real, letters("xyz", "abc"), real, yes_no(2))
    with pytest.raises(ConfigError, match="seed is -1"):
        evaluate(real, real, real, yes_no(2), seed=-1)


def test_a_wide_table_is_sampled_and_says_so() -> None:
    schema, g = yes_no(70), np.random.default_rng(0)

    def make(seed: int) -> pd.DataFrame:
        g = np.random.default_rng(seed)
        return letters(*(g.choice(list("abc"), 60) for _ in range(70)))

    tables = prepare(make(1), make(2), make(3), schema, g)
    cuts = binnings(tables.train, schema)
    margins = compare_margins(tables, cuts, g)
    scores, associations = compare_associations(tables, cuts, g)
    quality = {score.key: score for score in report_quality(tables, g)}
    assert "a random sample of 1,000 of 2,415 pairs" in margins.scores[1].detail
    assert "60 of 70 columns, drawn at random" in scores[0].detail
    assert "24 of 70 columns, drawn at random" in quality["sdmetrics_pairs"].detail
    assert len(associations.columns) == 60
    assert len(margins.margins) == 70


def test_reading_and_judging_scores_loads_no_metric_library() -> None:
    code = (
        "import sys, synthvae.evaluation.results;"
        "early = {'pandas', 'scipy', 'numpy'} & set(sys.modules);"
        "import synthvae.levels, synthvae.report.document;"
        "print([m for m in ('torch', 'sdmetrics', 'sklearn', *early) if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_same_rows_twice_are_refused() -> None:
    frame = pd.DataFrame({"x": ["a", "b"] * 30})
    schema = Schema.from_dict({"fields": [{"name": "x", "constraints": {"enum": ["a", "b"]}}]})
    with pytest.raises(EvaluationError, match="train and holdout hold the same rows"):
        evaluate(frame, frame, frame, schema)
