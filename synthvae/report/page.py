"""Join the stages: values -> drawings, tables and sentences -> one HTML page."""

import base64
import hashlib
from importlib import resources

import jinja2
from markupsafe import Markup

from synthvae.evaluation.results import Evaluation
from synthvae.levels import metric_of
from synthvae.privacy.tradeoff import budget_of
from synthvae.report import phrases
from synthvae.report.document import Report
from synthvae.report.drawing import Drawing
from synthvae.report.effect_section import (
    subgroup_drawings,
    triple_drawings,
    triple_text,
    unestimated,
)
from synthvae.report.heatmaps import association_maps, component_maps, pair_maps
from synthvae.report.plots import attack_roc, score_plot, training_curve
from synthvae.report.privacy_section import ceiling_text, privacy_values, risk_drawing
from synthvae.report.sections import group_drawings, score_values
from synthvae.report.summaries import notebook_cells
from synthvae.report.svg import margin_drawings, score_strip

_SHOWN_MARGINS = 24


def compose(report: Report) -> str:
    """Return the report's page as HTML; see `synthvae.report.page_of`."""
    evaluation, guarantee, context = report.evaluation, report.guarantee, report.context
    file = resources.files("synthvae.report").joinpath("templates", "script.js")
    script = file.read_text(encoding="utf-8").strip()
    template = environment("synthvae.report").get_template("page.html")
    return template.render(
        report=report,
        evaluation=evaluation,
        decision=report.decision,
        context=context,
        public=report.rendering == "public",
        title=phrases.plain(context.title or evaluation.name),
        software={**(guarantee.software if guarantee else {}), **context.software},
        drawings=_drawings(report),
        void_title="NOT PRIVATE" if guarantee else "NO GUARANTEE GIVEN",
        **privacy_values(evaluation, guarantee),
        **score_values(evaluation),
        without_effects=unestimated(evaluation),
        beyond_pairs=triple_text(evaluation.three_way),
        script=Markup(script),
        script_policy=f"script-src '{fingerprint(script)}'; ",
    )


def scores_html(evaluation: Evaluation) -> str:
    """Return the scores of an evaluation as HTML for the output of a notebook's cell."""
    scores = [(score, notebook_cells(score)) for score in evaluation.scores]
    template = environment("synthvae.report").get_template("notebook.html")
    return template.render(evaluation=evaluation, scores=scores).strip()


def _drawings(report: Report) -> dict[str, Drawing | list[Drawing] | None]:
    """Draw every figure that the values allow."""
    evaluation = report.evaluation
    margins = margin_drawings(evaluation.margins)
    charted = [
        score
        for score in evaluation.scores
        if score.topic == "utility" and metric_of(score.key).charted
    ]
    return {
        "roc": attack_roc(evaluation.attacks, budget_of(report.guarantee)),
        "risks": risk_drawing(evaluation.risks),
        "utility": score_plot(charted),
        "groups": group_drawings(evaluation),
        "margins": margins[:_SHOWN_MARGINS],
        "more_margins": margins[_SHOWN_MARGINS:],
        "pairs": pair_maps(evaluation.pair_tables),
        "subgroups": subgroup_drawings(evaluation),
        "triples": triple_drawings(evaluation.three_way),
        "associations": association_maps(evaluation.associations),
        "components": component_maps(evaluation.components),
        "training": training_curve(report.training),
    }


def fingerprint(script: str) -> str:
    """Return what a content security policy calls an inline script by (CSP level 3, section 2.3)."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def environment(*packages: str) -> jinja2.Environment:
    """Return the templates of some packages, the first one's before those of the same name."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package) for package in packages]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= phrases.TEMPLATE_FILTERS
    environment.globals |= phrases.TEMPLATE_GLOBALS
    environment.globals |= {"ceiling_text": ceiling_text, "score_strip": score_strip}
    environment.tests["tripwire"] = phrases.is_tripwire
    return environment
