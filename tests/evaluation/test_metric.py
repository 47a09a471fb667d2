"""The catalogue of metrics: each score has one record, and nobody else parses a key, or a title."""

import json
import re
from pathlib import Path

import pytest

import synthvae
from synthvae.errors import ConfigError
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.prediction_metrics import TSTR
from synthvae.evaluation.results import Evaluation
from synthvae.levels import METRICS, UNKNOWN, metric_of

HOUSE = Path(synthvae.__file__).parent


def test_every_key_is_one_records() -> None:
    keys = [metric.key for metric in METRICS]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert sum(metric.names(key) is not None for metric in METRICS) == 1, key
    assert metric_of("tvd2").key == "tvd2"
    assert metric_of("tvd4") is metric_of("tstr.died") is UNKNOWN


@pytest.mark.parametrize(
    "target", ["died", "Größe in cm.", "a.b", "<learner>", "two\nlines", "{x}"]
)
def test_a_shared_record_keeps_the_names_apart(target: str) -> None:
    one = TSTR.of(target=target, learner="linear", model="{m}", skill="R²")
    assert metric_of(one.key) is TSTR
    assert TSTR.names(one.key) == {"target": target, "learner": "linear"}
    assert one.title == f"R² of '{target}' ({{m}})"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_a_record_is_whole(metric: Metric) -> None:
    line = metric.threshold
    if line is not None:
        assert len(line.source) > 10
        better = line.good >= line.poor if metric.direction == "higher" else line.good <= line.poor
        assert better
        assert line.basis != "literature" or re.search(r"\b(19|20)\d\d\b", line.source)
    assert metric.meaning.endswith((".", ")."))
    assert (
        (metric.section == "attacks")
        == (metric.family == "attacks")
        == bool(metric.attack)
        == bool(metric.attack_title)
    )


def test_nobody_but_the_record_parses_a_key() -> None:
    parts = "startswith|endswith|r?partition|r?split|removeprefix|removesuffix"
    parsing = re.compile(rf"\b(key|title)\.({parts})\(")
    found = [
        file.name
        for folder in ("evaluation", "report", "attacks", "comparison")
        for file in (HOUSE / folder).rglob("*.py")
        if parsing.search(file.read_text("utf-8"))
    ]
    assert found == ["metric.py"]


def test_an_evaluation_is_saved_as_json_alone(evaluation: Evaluation, tmp_path: Path) -> None:
    evaluation.save(tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text("utf-8"))["name"] == evaluation.name
    with pytest.raises(ConfigError, match=r"scores\.html would be a web page.*report\.render"):
        evaluation.save(tmp_path / "scores.html")


@pytest.fixture
def evaluation() -> Evaluation:
    from tests.report import report_example

    return report_example.evaluation(3)
