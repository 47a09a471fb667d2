"""Join the stages: values -> drawings and words -> one HTML page."""

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.levels import metric_of
from synthvae.evaluation.results import Evaluation
from synthvae.privacy.tradeoff import budget_of
from synthvae.report import privacy_section, sections, svg
from synthvae.report.decision import TOPICS
from synthvae.report.document import Report
from synthvae.report.drawing import Drawing
from synthvae.report.heatmaps import association_maps, component_maps, pair_maps
from synthvae.report.phrases import MEANINGS, WORDS, count, exact, number, plain, shape
from synthvae.report.plots import attack_roc, score_dots, training_curve
from synthvae.report.privacy_section import planted_bugs
from synthvae.report.sections import analysis_drawing, facts_of, group_drawings

_SHOWN_MARGINS = 24


@dataclass(frozen=True)
class Drawings:
    """Every figure of one page."""

    roc: Drawing | None
    risks: Drawing | None
    utility: Drawing | None
    groups: tuple[Drawing, ...]
    margins: tuple[Drawing, ...]
    more_margins: tuple[Drawing, ...]
    pairs: tuple[Drawing, ...]
    associations: Drawing | None
    components: Drawing | None
    training: Drawing | None


def draw(report: Report) -> Drawings:
    """Draw every figure that the values allow."""
    evaluation, budget = report.evaluation, budget_of(report.guarantee)
    margins = svg.margins(evaluation.margins)
    utility = [
        score
        for score in evaluation.scores
        if score.topic == "utility" and metric_of(score.key).charted
    ]
    return Drawings(
        roc=attack_roc(evaluation.attacks, budget) if evaluation.attacks else None,
        risks=privacy_section.risk_gains(evaluation.risks),
        utility=score_dots(utility),
        groups=group_drawings(evaluation),
        margins=margins[:_SHOWN_MARGINS],
        more_margins=margins[_SHOWN_MARGINS:],
        pairs=pair_maps(evaluation.pair_tables),
        associations=(
            association_maps(evaluation.associations) if evaluation.associations.columns else None
        ),
        components=component_maps(evaluation.components),
        training=training_curve(report.training) if report.training else None,
    )


def compose(report: Report) -> str:
    """Return the report's page as HTML; see `synthvae.report.page_of`."""
    evaluation, guarantee, context = report.evaluation, report.guarantee, report.context
    attack_rows = [privacy_section.attack_row(a, budget_of(guarantee)) for a in evaluation.attacks]
    script = script_text()
    return (
        environment("synthvae.report")
        .get_template("page.html")
        .render(
            report=report,
            evaluation=evaluation,
            decision=report.decision,
            context=context,
            public=report.rendering == "public",
            title=plain(context.title or evaluation.name),
            software={**(guarantee.software if guarantee else {}), **context.software},
            drawings=draw(report),
            void=privacy_section.why_void(guarantee),
            void_title="NOT PRIVATE" if guarantee else "NO GUARANTEE GIVEN",
            promise=privacy_section.promise(guarantee) if guarantee else None,
            planted=planted_bugs(),
            safes=sections.five_safes(evaluation, guarantee, context),
            safes_source=sections.FIVE_SAFES,
            headlines=sections.headlines(evaluation),
            strongest=privacy_section.strongest(evaluation.attacks),
            alarms=tuple(f"{row.title}: {row.alarm}" for row in attack_rows if row.alarm),
            attack_rows=tuple(attack_rows),
            scores=score_tables(evaluation),
            analyses=tuple(
                (a, facts_of(a), analysis_drawing(a, f"analysis-{place + 1}"))
                for place, a in enumerate(evaluation.analyses)
            ),
            columns=sections.columns_table(evaluation.margins),
            pairs=sections.pairs_table(evaluation.worst_pairs),
            level_meanings=MEANINGS,
            script=Markup(script),
            script_policy=f"script-src '{fingerprint(script)}'; ",
        )
    )


def score_tables(evaluation: Evaluation) -> dict[str, tuple[sections.ScoreRow, ...]]:
    """Return the scores by where the page has them."""
    tables: dict[str, tuple[sections.ScoreRow, ...]] = {
        topic: sections.rows_of(evaluation, topic) for topic in TOPICS
    }
    tables |= {"attacks": (), "analyses": ()}
    for topic in TOPICS:
        for section in ("attacks", "analyses"):
            tables[section] += tuple(row for row in tables[topic] if row.section == section)
        tables[topic] = tuple(row for row in tables[topic] if row.section == "topic")
    return tables


@cache
def script_text() -> str:
    """Return the page's small script: sorting and filtering, which nothing else needs."""
    file = resources.files("synthvae.report").joinpath("templates", "script.js")
    return file.read_text(encoding="utf-8").strip()


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
    environment.filters.update(
        number=number, count=count, counted=counted, plain=plain, exact=exact
    )
    environment.globals.update(shape=shape, level_words=WORDS)
    return environment
