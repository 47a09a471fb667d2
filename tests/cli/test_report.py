"""The same values in a terminal, in a notebook and from the command line."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from synthvae.evaluation.results import Evaluation
from synthvae.report import notebook_html
from synthvae.report.decision import decide
from synthvae.report.document import Report
from synthvae.report.summaries import show
from tests.cli.in_process import runner
from tests.report import report_example as example


def printed(evaluation: Evaluation, width: int = 120) -> str:
    stream = io.StringIO()
    decision = decide(evaluation, example.guarantee())
    show(evaluation, decision, Console(file=stream, width=width, color_system=None))
    return stream.getvalue()


def test_the_terminal_says_each_claim_in_words_and_signs() -> None:
    text = printed(example.evaluation(3))
    for words in (
        "● Green",
        "▲ Amber",
        "Decision on support",
        "0.067",
        "0.064 to 0.070",
    ):
        assert words in text
    assert max(map(len, printed(example.evaluation(3), 60).splitlines())) <= 60


def test_a_screen_holds_what_to_read_first() -> None:
    limit = example.LIMITS["tvd2"]
    good = [
        example.score(f"s{i}", "fidelity", f"figure {i}", 0.01, threshold=limit) for i in range(50)
    ]
    bad = example.score("bad", "fidelity", "the bad one", 0.5, threshold=limit)
    asked = example.score("late", "fidelity", "the late one", None, not_run="no time")
    evaluation = example.evaluation(3, scores=(*good, bad, asked))
    text = printed(evaluation)
    assert "the bad one" in text
    assert len([line for line in text.splitlines() if "│ figure " in line]) == 19
    assert "32 more scores, 31 of them good, 1 not run: see the report." in text


def test_names_do_not_steer_the_terminal() -> None:
    hostile = example.evaluation(3, name="[red]a\x1b[2J")
    text = printed(hostile)
    assert "\x1b" not in text
    assert "[red]a" in text


def test_a_notebook_shows_the_scores_as_text() -> None:
    hostile = example.score("x", "fidelity", "<img src=x onerror=alert(1)>", 0.5, meaning='"><b>')
    shown = example.evaluation(3, name="<script>", scores=(hostile, *example.scores()))
    page = notebook_html(shown)
    assert set(re.findall(r"<(\w+)", page)) == {
        "table",
        "caption",
        "b",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }
    assert "▲ Amber" in page
    assert "not run" in page
    assert "not for release" in page
    assert page == notebook_html(shown)


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    example.evaluation(4).save(tmp_path / "evaluation.json")
    (tmp_path / "guarantee.json").write_text(example.guarantee().model_dump_json())
    (tmp_path / "training_curve.json").write_text(example.training().model_dump_json())
    return tmp_path


def test_the_command_makes_either_rendering_as_page_or_json(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runner(capsys)
    for name, words in (
        ("full.html", ()),
        ("full.json", ()),
        ("public.html", ("--profile", "hes")),
        ("public.json", ("--profile", "acro")),
    ):
        ended = run("report", "evaluation.json", "--out", name, *words)
        assert ended.code == 0, ended.err
    found = {name: Report.model_validate_json((saved / name).read_text()) for name in
             ("full.json", "public.json")}  # fmt: skip
    assert [report.rendering for report in found.values()] == ["custodian", "public"]
    public = (saved / "public.html").read_text()
    assert "PUBLIC RENDERING" in public
    assert "CUSTODIAN COPY" not in public.replace('content: "CUSTODIAN COPY: NOT FOR RELEASE"', "")
    assert "figure-training-loss" not in public
    assert "figure-training-loss" in (saved / "full.html").read_text()
    assert json.loads((saved / "public.json").read_text())["training"] is None


def test_a_policy_that_is_not_met_has_its_own_exit_code_after_everything_is_written(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runner(capsys)
    (saved / "strict.yaml").write_text("claims: {fidelity: green}\n")
    (saved / "mild.yaml").write_text("largest_epsilon: 1\n")
    assert run("report", "evaluation.json", "--out", "a.html", "--policy", "mild.yaml").code == 0
    ended = run("report", "evaluation.json", "--out", "b.html", "--policy", "strict.yaml")
    assert ended.code == 12
    assert "'The table resembles the population' is amber" in ended.message
    assert (saved / "b.html").exists()
    (saved / "wrong.yaml").write_text("fail: red\n")
    ended = run("report", "evaluation.json", "--out", "c.html", "--policy", "wrong.yaml")
    assert (ended.code, (saved / "c.html").exists()) == (3, False)


def test_what_cannot_be_written_is_said_before(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = runner(capsys)("report", "evaluation.json", "--out", "page.pdf")
    assert ended.code == 3
    assert "must end in .html or .json" in ended.message
