"""The report: one offline page made from values, in pure stages.

    evaluation, guarantee, training curve, context    values, no data frame among them
      -> `claims` -> `decision`                       what they say about each claim
      -> `disclosure_rules`, `disclosure_scores`      what of it is for the public: made of an
         -> `disclosure`                              allow-list, in whole steps of patients
      -> `document`                                   all of it as one value: report.json
      -> `drawing` -> `svg`, `plots`, `heatmaps`      drawings as SVG text, each with its numbers
      -> `sections`, `privacy_section`                what each part of the page says
      -> `page`, with `templates/`                    one HTML file

`run_facts` holds what a report shows besides its evaluation, and `phrases` how figures read.
`summaries` shows the same values in a terminal and a notebook. The same values give the same bytes.
Drawing and templating libraries are imported when a page is made, not when this package is.
"""

from typing import TYPE_CHECKING

from synthvae.report.run_facts import FieldSummary, RunContext, TrainingCurve, data_dictionary

if TYPE_CHECKING:
    from synthvae.evaluation.results import Evaluation
    from synthvae.privacy.guarantee import Guarantee
    from synthvae.report.document import Report

__all__ = [
    "FieldSummary",
    "RunContext",
    "TrainingCurve",
    "data_dictionary",
    "notebook_html",
    "page_of",
    "render",
]


def page_of(report: "Report") -> str:
    """Return a custodian's or a public report as one HTML file that loads nothing."""
    from synthvae.report.page import compose

    return compose(report)


def notebook_html(evaluation: "Evaluation") -> str:
    """Return the scores of an evaluation as one table of HTML, for `IPython.display.HTML`."""
    from synthvae.report.page import scores_html

    return scores_html(evaluation)


def render(
    evaluation: "Evaluation",
    guarantee: "Guarantee | None" = None,
    training: TrainingCurve | None = None,
    context: RunContext | None = None,
) -> str:
    """Return the custodian's report as the text of one HTML file that loads nothing.

    Parameters
    ----------
    evaluation : Evaluation
        What was found out about the synthetic table.
    guarantee : Guarantee, optional
        What is promised about the patients; without one the page says so.
    training : TrainingCurve, optional
        The losses of the fit. They are private: only a custodian's page shows them.
    context : RunContext, optional
        Title, purpose, versions and the data dictionary.

    Returns
    -------
    str
        The page: the same text for the same values.
    """
    from synthvae.report.document import custodian_report

    return page_of(custodian_report(evaluation, guarantee, training, context))
