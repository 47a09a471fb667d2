"""Join the stages: values -> drawings and words -> one HTML page."""

from dataclasses import dataclass

import jinja2

from synthvae.evaluation.values import Evaluation
from synthvae.privacy.guarantee import Guarantee
from synthvae.report import panels, sections
from synthvae.report.curve import training_curve
from synthvae.report.dots import score_dots
from synthvae.report.drawing import Drawing
from synthvae.report.heatmaps import association_maps
from synthvae.report.roc import attack_roc
from synthvae.report.values import RunContext, TrainingCurve
from synthvae.report.words import count, counted, number, plain

_SHOWN_MARGINS = 24


@dataclass(frozen=True)
class Drawings:
    """Every figure of one page."""

    roc: Drawing | None
    utility: Drawing | None
    margins: tuple[Drawing, ...]
    more_margins: tuple[Drawing, ...]
    associations: Drawing | None
    training: Drawing | None


def draw(
    evaluation: Evaluation, guarantee: Guarantee | None, training: TrainingCurve | None
) -> Drawings:
    """Draw every figure that the values allow."""
    budget = sections.budget_of(guarantee)
    margins = panels.margins(evaluation.margins)
    utility = [score for score in evaluation.scores if score.topic == "utility"]
    return Drawings(
        roc=attack_roc(evaluation.attacks, budget) if evaluation.attacks else None,
        utility=score_dots(utility),
        margins=margins[:_SHOWN_MARGINS],
        more_margins=margins[_SHOWN_MARGINS:],
        associations=(
            association_maps(evaluation.associations) if evaluation.associations.columns else None
        ),
        training=training_curve(training) if training else None,
    )


def compose(
    evaluation: Evaluation,
    guarantee: Guarantee | None = None,
    training: TrainingCurve | None = None,
    context: RunContext | None = None,
) -> str:
    """Return the custodian's page as HTML; see `synthvae.report.render`."""
    context = context or RunContext()
    budget = sections.budget_of(guarantee)
    attack_rows = tuple(sections.attack_row(attack, budget) for attack in evaluation.attacks)
    return (
        _templates()
        .get_template("page.html")
        .render(
            evaluation=evaluation,
            context=context,
            title=plain(context.title or evaluation.name),
            software={**(guarantee.software if guarantee else {}), **context.software},
            drawings=draw(evaluation, guarantee, training),
            void=sections.why_void(guarantee),
            void_title="NOT PRIVATE" if guarantee else "NO GUARANTEE GIVEN",
            promise=sections.promise(guarantee) if guarantee else None,
            headlines=sections.headlines(evaluation),
            strongest=sections.strongest(evaluation.attacks),
            alarms=tuple(f"{row.title}: {row.alarm}" for row in attack_rows if row.alarm),
            attack_rows=attack_rows,
            scores={topic: sections.rows_of(evaluation, topic) for topic in sections.TOPICS},
            not_tested=sections.not_tested(evaluation),
            pairs=sections.pairs_table(evaluation.worst_pairs),
            curve_given=training is not None,
        )
    )


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("synthvae.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(number=number, count=count, counted=counted, plain=plain)
    return environment
