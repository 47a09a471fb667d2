import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthvae.evaluation.results import (
    Associations,
    Evaluation,
    NumberSummary,
    PairTable,
    SubgroupEffects,
    ThreeWay,
)
from synthvae.report import RunContext, TrainingCurve, render
from synthvae.report.heatmaps import pair_maps
from synthvae.report.page import fingerprint
from synthvae.report.privacy_section import alarm
from tests.report import report_example as example

VOID = {"meta", "link", "br", "img", "input", "hr"}
HOSTILE = (
    "<script>alert(1)</script>",
    "\"quoted\" & 'single'",
    "</style></svg><img src=x onerror=alert(1)>",
    "naïve_größe_漢字_🩺",
    "$x_1^2$ {{ 7*7 }} {% raw %}",
    "very_long_" * 60,
    "#010210 url(#x) var(--ink)",
    "line\nbreak\x00\u202e",
)


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, ids, links, and nesting."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str | None] = []
        self.open: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found))
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "figure":
            self.figures.append({"id": found.get("id"), "svg": [], "tables": 0, "details": 0})
        elif self.figures and "figure" in self.open:
            figure = self.figures[-1]
            if tag == "svg":
                figure["svg"].append(found)
            figure["details"] += tag == "details"
            figure["tables"] += tag == "table" and "details" in self.open
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "title"):
            self.text += data

    def attributes(self, name: str) -> list[Any]:
        return [attrs[name] for _, attrs in self.elements if name in attrs]


@cache
def page_with(columns: int) -> tuple[str, Page]:
    """Return a report with everything in it, and what a browser finds there."""
    text = render(
        example.evaluation(columns),
        example.guarantee(),
        example.training(),
        example.context(columns),
    )
    return text, Page(text)


@pytest.fixture
def full() -> str:
    return page_with(16)[0]


def test_the_same_values_give_the_same_bytes_in_any_process_and_style(
    full: str, tmp_path: Path
) -> None:
    """And drawing leaves matplotlib's style as it was, and needs neither torch nor pyplot."""
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: path\naxes.grid: True\n")
    code = (
        "import sys, matplotlib; sys.path.insert(0, sys.argv[1]); import report_example as e;"
        "now = lambda: {k: matplotlib.rcParams[k] for k in matplotlib.rcParams if k != 'backend'};"
        "before = now(); from synthvae.report import render;"
        "text = render(e.evaluation(), e.guarantee(), e.training(), e.context());"
        "assert before == now();"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules);"
        "sys.stdout.buffer.write(text.encode())"
    )
    folder = str(example.__file__).rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", code, folder], cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.decode() == full


def test_every_link_leads_somewhere_and_every_id_is_one(full: str) -> None:
    page = page_with(16)[1]
    links = page.attributes("href")
    assert len([link for link in links if link.startswith("#")]) >= 15
    assert {link[1:] for link in links if link.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r"url\(#([^)]+)\)", full)) <= set(page.ids)


@pytest.mark.parametrize("columns", [16, 300])
def test_every_figure_has_words_and_numbers(columns: int) -> None:
    page = page_with(columns)[1]
    keys = {figure["id"] for figure in page.figures}
    assert {"figure-roc", "figure-utility-scores", "figure-associations"} <= keys
    assert "figure-training-loss" in keys
    assert {"figure-risks", "figure-analysis-1", "figure-analysis-2", "figure-group-1"} <= keys
    assert len([key for key in keys if "margin" in key]) == columns
    for figure in page.figures:
        assert figure["svg"], figure["id"]
        assert all(svg.get("role") == "img" for svg in figure["svg"]), figure["id"]
        assert all(len(svg.get("aria-label", "")) > 20 for svg in figure["svg"]), figure["id"]
        assert figure["details"] >= 1, figure["id"]
        assert figure["tables"] >= 1, figure["id"]


def test_every_other_drawing_is_passed_over_by_screen_readers() -> None:
    for tag, attrs in page_with(16)[1].elements:
        if tag == "svg":
            assert attrs.get("role") == "img" or attrs.get("aria-hidden") == "true"


@pytest.mark.parametrize("columns", [16, 300])
def test_nothing_is_loaded_and_one_known_script_runs(columns: int) -> None:
    text, page = page_with(columns)
    assert "http:" not in text
    assert "https:" not in text
    assert not {tag for tag, _ in page.elements} & {"link", "iframe", "object", "form"}
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == text.count("<script") == 1
    for name in ("src", "srcset", "action", "poster"):
        assert not page.attributes(name)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.attributes("href"))
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    policy = next(attrs for _, attrs in page.elements if "http-equiv" in attrs)
    assert policy["content"].startswith("default-src 'none'; script-src 'sha256-")
    assert f"script-src '{fingerprint(scripts[0])}';" in policy["content"]
    assert "@import" not in text


def test_three_hundred_columns_stay_small() -> None:
    assert len(page_with(300)[0].encode()) < 2_000_000


def hostile_effects(name: str) -> SubgroupEffects:
    """Return effects within subgroups of which every text is a hostile one."""
    found = example.subgroups()
    effects = tuple(
        effect.model_copy(
            update={"term": name, "subgroup": text, "not_run": effect.not_run and text}
        )
        for effect, text in zip(found.effects, HOSTILE, strict=False)
    )
    texts = {"predictor": name, "within": HOSTILE[:2], "measure": name, "detail": name}
    return found.model_copy(update={"effects": effects, **texts})


def hostile_triples() -> ThreeWay:
    found = example.three_way()
    worst = tuple(
        triple.model_copy(
            update={
                "columns": HOSTILE[:3],
                "levels": tuple(
                    level.model_copy(update={"level": name}) for level in triple.levels
                ),
            }
        )
        for triple, name in zip(found.worst, HOSTILE, strict=False)
    )
    return found.model_copy(update={"worst": worst, "detail": HOSTILE[0]})


def hostile_page() -> str:
    columns = len(HOSTILE)
    base = example.evaluation(columns)
    margins = tuple(
        margin.model_copy(update={"column": name, "kind": "category", "labels": HOSTILE[:n]})
        if (n := len(margin.labels)) <= columns
        else margin.model_copy(update={"column": name})
        for margin, name in zip(base.margins, HOSTILE, strict=True)
    )
    changes = {
        "name": HOSTILE[0],
        "margins": margins,
        "associations": base.associations.model_copy(update={"columns": HOSTILE}),
        "scores": tuple(
            score.model_copy(update={"title": name, "meaning": name, "detail": name})
            for score, name in zip(base.scores, HOSTILE * 3, strict=False)
        ),
        "attacks": tuple(
            attack.model_copy(update={"title": name, "meaning": name})
            for attack, name in zip(base.attacks, HOSTILE, strict=False)
        ),
        "risks": tuple(
            risk.model_copy(update={"title": name, "meaning": name, "detail": name})
            for risk, name in zip(base.risks, HOSTILE, strict=False)
        ),
        "groups": tuple(
            figure.model_copy(update={"column": name, "group": name, "not_run": name})
            for figure, name in zip(base.groups, HOSTILE, strict=False)
        ),
        "analyses": tuple(
            analysis.model_copy(
                update={
                    "name": name,
                    "formula": name,
                    "coefficients": tuple(
                        term.model_copy(update={"term": name}) for term in analysis.coefficients
                    ),
                    "curves": tuple(
                        curve.model_copy(update={"group": name}) for curve in analysis.curves
                    ),
                    "subgroups": tuple(hostile_effects(name) for _ in analysis.subgroups),
                }
            )
            for analysis, name in zip(base.analyses, HOSTILE, strict=False)
        ),
        "three_way": hostile_triples(),
        "notes": HOSTILE,
    }
    context = example.context(columns)
    fields = tuple(
        field.model_copy(update={"name": name, "rule": name, "role": name})
        for field, name in zip(context.fields, HOSTILE, strict=True)
    )
    return render(
        base.model_copy(update=changes),
        example.guarantee(not_covered=HOSTILE, unit=HOSTILE[1], software={HOSTILE[0]: HOSTILE[2]}),
        example.training(),
        context.model_copy(
            update={
                "title": HOSTILE[2], "purpose": HOSTILE[0], "synthetic_digest": HOSTILE[0],
                "fields": fields, "settings": {HOSTILE[1]: HOSTILE[0]},
            }
        ),
    )  # fmt: skip


def test_text_from_data_is_text_everywhere() -> None:
    text = hostile_page()
    page = Page(text)
    assert not {tag for tag, _ in page.elements} & {"img", "raw"}
    assert text.count("</style>") == 1
    assert text.count("<script") == text.count("</script>") == 1
    assert "{{ 7*7 }}" in page.text
    assert "$x_1^2$" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "#010210 url(#x) var(--ink)" in page.text
    assert "naïve_größe_漢字_🩺" in page.text
    assert "\u202e" not in text
    assert "\x00" not in text
    assert text.encode("utf-8")
    names = [label for label in page.attributes("aria-label") if "Distribution of" in label]
    assert any("\"quoted\" & 'single'" in name for name in names)


def test_effects_within_subgroups_and_triples_are_drawn_and_said_in_words(full: str) -> None:
    page = Page(full)
    said = " ".join(page.text.split())
    assert "Lost: age = 53 to 70; all others. Found in synthetic rows alone: age = 0" in said
    assert "-20" not in said
    assert "−20 % survives (holdout 97 %)" in said
    assert "7 triples of columns stand out from what their pairs imply, of all 560" in said
    labels = page.attributes("aria-label")
    assert any("age = up to 52: real 0.9, synthetic 0.7" in label for label in labels)
    assert any(label.startswith("Association of age with event, within sex.") for label in labels)
    assert "no effect within subgroups is here" not in said
    effects = (
        example.subgroup("age = above 70", -0.4, 0.3), example.subgroup("age = up to 52", 0.9, 0.4),
    )  # fmt: skip
    turned = example.subgroups().model_copy(update={"effects": effects})
    analysis = example.analyses()[0].model_copy(update={"subgroups": (turned,)})
    round_page = " ".join(Page(render(example.few_figures(analyses=(analysis,)))).text.split())
    assert "Turned round: age = above 70. Of another size: age = up to 52." in round_page
    assert "same, of another size" in round_page
    bare = " ".join(Page(render(example.few_figures())).text.split())
    assert "no effect within subgroups is here: no interaction was declared" in bare
    assert "No triples were compared." in bare
    nothing = example.three_way().model_copy(update={"standing_out": 0, "worst": ()})
    quiet = " ".join(Page(render(example.few_figures(three_way=nothing))).text.split())
    assert "No interaction of three columns stands out in the real rows: all 560 triples" in quiet


def test_the_custodian_is_warned_always_and_of_no_privacy_loudly(full: str) -> None:
    custodian = "CUSTODIAN COPY: NOT FOR RELEASE"
    assert custodian in page_with(16)[1].text
    assert "NOT PRIVATE" not in full
    missing = Page(render(example.few_figures()))
    assert custodian in missing.text
    assert "NO GUARANTEE GIVEN" in missing.text
    assert "NOT PRIVATE" not in missing.text
    assert "No guarantee came with this evaluation" in missing.text
    void = Page(render(example.few_figures(), example.void_guarantee()))
    assert "NOT PRIVATE" in void.text
    assert "Trained without privacy (epsilon: none)." in void.text
    assert "No ceiling is drawn" in void.text


def test_an_epsilon_that_is_void_draws_no_ceiling() -> None:
    guarantee = example.guarantee(valid=False, why_void="The seed of the noise is fixed.")
    text = render(example.few_figures(), guarantee)
    assert "NOT PRIVATE" in text
    assert "The seed of the noise is fixed." in text
    assert "ε = 0.998" not in text.replace("ε = 0.998 ±", "")  # the second accountant's
    assert "out of any attack" not in text


def test_what_did_not_run_is_never_a_pass(full: str) -> None:
    page = page_with(16)[1]
    assert "not run: the extra 'survival' is not installed" in page.text
    assert "not run: no rules were given" in page.text
    decision = full[full.index('id="decision"') : full.index('id="setting"')]
    assert "Clinical rules" in decision
    assert "Hazard ratios" in decision
    assert "Hazard of death" in decision
    silent = example.score("quiet", "utility", "Quiet score", None)
    text = Page(render(example.few_figures(scores=(silent,)), example.guarantee())).text
    assert "not run: no reason was given" in text


def test_tripwires_are_labelled(full: str) -> None:
    section = full[full.index('id="attacks"') : full.index('id="utility"')]
    assert section.count('class="tag">tripwire') == 2  # the score, and the note on it
    assert "no evidence of privacy" in section


def test_an_attack_above_the_ceiling_raises_an_alarm() -> None:
    rng = np.random.default_rng(1)
    strong = example.attack("copy", "Copies", 3.0, rng)
    weak = example.attack("none", "Nothing", 0.0, rng)
    assert "AUC" in str(alarm(strong, (0.5, 1e-5)))
    assert alarm(strong, (8.0, 1e-5)) is None
    assert alarm(weak, (0.5, 1e-5)) is None
    assert alarm(strong, None) is None
    text = render(example.few_figures(attacks=(strong,)), example.guarantee())
    assert "ALARM" in Page(text).text


def test_every_score_shows_value_interval_references_and_direction(full: str) -> None:
    row = re.search(
        r"<tr><th[^>]*><span class=\"name\">Real or synthetic.*?</tr>", full, re.S
    ).group()
    for part in (
        "0.752",
        "0.740 to 0.764",
        "real holdout",
        "0.502",
        "0.861",
        "best at 0.50",
        "Amber",
    ):
        assert part in row
    assert "How well a classifier tells" in row


def test_little_is_enough_for_a_page() -> None:
    nothing = Associations(columns=(), measure="none", train=(), synthetic=())
    bare = example.evaluation(
        1,
        attacks=(),
        risks=(),
        groups=(),
        analyses=(),
        scores=(),
        margins=(),
        worst_pairs=(),
        pair_tables=(),
        components=None,
        notes=(),
        associations=nothing,
    )
    text = Page(render(bare, None, TrainingCurve(steps=(), loss=()), RunContext())).text
    assert "no membership attack was part of this evaluation" in text
    assert "The training curve is empty." in text
    assert "nan" not in text


@pytest.mark.parametrize("columns", [1, 25])
def test_any_number_of_columns(columns: int) -> None:
    text = render(example.evaluation(columns), example.guarantee())
    page = Page(text)
    assert len([key for key in page.ids if key.startswith("figure-margin-")]) == columns
    assert len(text.encode()) < 1_000_000


def test_the_worst_pairs_and_the_components_are_drawn(full: str) -> None:
    svg = {figure["id"]: figure["svg"] for figure in page_with(16)[1].figures}
    for place in range(1, 7):
        real, made = (one["aria-label"] for one in svg[f"figure-pair-{place}"])
        assert real.startswith("Real (train): share of rows by ")
        assert made.startswith("Synthetic: share of rows by ")
        assert "The fullest cell has" in made
    clouds = [one["aria-label"] for one in svg["figure-components"]]
    assert [label.partition(":")[0] for label in clouds] == [
        "Real (train)", "Real (holdout)", "Synthetic",
    ]  # fmt: skip
    assert all("Half of the rows lie in" in label for label in clouds)
    assert "hold 31.0 % and 17.0 % of its variance" in full
    assert "The 30 largest changes of 576 cells." in full


def test_without_their_values_no_pair_and_no_component_is_drawn() -> None:
    text = render(example.evaluation(4, pair_tables=(), components=None), example.guarantee())
    assert 'id="figure-pair-1"' not in text
    assert "Principal components" not in text
    assert "Worst pairs of columns" in text


def test_a_cell_has_the_colour_of_its_share() -> None:
    found = PairTable(
        columns=("a", "b"), row_labels=("x",), column_labels=("y", "z"), train=((0.8, 0.2),),
        synthetic=((0.2, 0.8),), distance=0.6,
    )  # fmt: skip
    (drawing,) = pair_maps([found])
    assert drawing.table.rows == [("x", "y", "80.0", "20.0"), ("x", "z", "20.0", "80.0")]
    assert drawing.legend == [("ramp strength", "0 … 80.0 % of rows in a cell, by square root")]
    assert "has 80.0 %, a x with b y." in drawing.panels[0]
    assert "has 80.0 %, a x with b z." in drawing.panels[1]


def test_undefined_figures_are_dashes() -> None:
    hollow = np.full((3, 3), np.nan)
    base = example.evaluation(3)
    matrix = tuple(map(tuple, hollow.tolist()))
    maps = base.associations.model_copy(update={"train": matrix, "synthetic": matrix})
    margin = base.margins[0]
    zeros = tuple(0.0 for _ in margin.labels)
    empty = margin.model_copy(update={"train": zeros, "holdout": zeros, "synthetic": zeros})
    page = render(
        base.model_copy(update={"associations": maps, "margins": (empty,)}), example.guarantee()
    )
    assert "nan" not in Page(page).text
    assert not re.search(r'd="[^"]*nan', page)


def test_the_package_stays_light_until_a_report_is_made() -> None:
    code = (
        "import sys; import synthvae.report; from synthvae.report import render, RunContext;"
        "print(sorted({'torch', 'matplotlib', 'jinja2', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_contrast_is_enough_to_read(full: str, theme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", full, re.S)[theme]
    colour = {
        name: value if len(value) == 7 else "#" + "".join(2 * c for c in value[1:])
        for name, value in re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6});", block)
    }
    text = [(name, "surface") for name in ("ink", "muted", "link", "alarm", "good", "bad")]
    text += [("ink", "alarm-tint"), ("alarm", "alarm-tint"), ("stop-ink", "stop")]
    for front, back in text:
        assert contrast(colour[front], colour[back]) >= 4.5, (front, back)
    lines = ["holdout", "synthetic", "independent", "train-edge", "alarm", "good", "bad"]
    for front in lines + [f"line-{i}" for i in range(1, 7)]:
        assert contrast(colour[front], colour["surface"]) >= 3.0, front


def with_summaries() -> Evaluation:
    real = NumberSummary(mean=1.44, sd=0.71, p1=0.2, p50=1.1, p99=2.7)
    made = real.model_copy(update={"p99": 30.0})
    found = example.few_figures(4)
    margins = tuple(
        one.model_copy(update={"train_summary": real, "synthetic_summary": made})
        if one.kind == "number"
        else one
        for one in found.margins
    )
    return found.model_copy(update={"margins": margins})


def test_the_ends_of_numbers_stand_under_their_picture_and_in_the_table_of_columns() -> None:
    page = render(with_summaries(), example.guarantee())
    told = (
        "1 to 99 % points: train 0.2 to 2.7, mean 1.44, SD 0.71; "
        "synthetic 0.2 to 30, mean 1.44, SD 0.71"
    )
    assert page.count(told) == 2  # age and creatinine, of the first four columns
    assert "1 to 99 % points, train</th>" in page
    assert "0.2 to 30</td>" in page
    assert "1 to 99 % points" not in render(example.few_figures(4), example.guarantee())


def test_narrow_screens_stack_tables_whose_cells_say_what_they_are(full: str) -> None:
    for caption in ("Attacks by their thresholds", "Worst pairs of columns"):
        table = full[full.index(f'aria-label="{caption}"') :]
        table = table[: table.index("</table>")]
        assert 'class="data' in table
        assert "stacked" in table
        body = table[table.index("<tbody>") :]
        assert body.count("<td") == body.count("data-name=") > 0
    assert ".stacked td::before { content: attr(data-name)" in full


def test_in_print_no_head_of_a_table_stands_alone(full: str) -> None:
    printed = full[full.index("@media print") :]
    assert "tbody:first-of-type tr:first-child { break-before: avoid; }" in printed


def test_the_curve_says_why_a_loss_can_rise() -> None:
    curve = TrainingCurve(steps=(0, 1, 2), loss=(0.03, 0.2, 0.3))
    assert "whose weight rises from 0" in render(example.few_figures(2), training=curve)
