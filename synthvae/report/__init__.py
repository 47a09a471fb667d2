"""The report: one offline page made from values, in pure stages.

    evaluation, guarantee, training curve, context      values, no data frame among them
      -> `roc`, `heatmaps`, `dots`, `curve`, `panels`   drawings as SVG text, each with its numbers
      -> `sections`                                     what each part of the page says
      -> `page`, with `templates/`                      one HTML file

The same values give the same bytes. Drawing and templating libraries are imported when a report is
made, not when this package is.
"""

from typing import TYPE_CHECKING

from synthvae.report.values import FieldSummary, RunContext, TrainingCurve, data_dictionary

if TYPE_CHECKING:
    from synthvae.evaluation.values import Evaluation
    from synthvae.privacy.guarantee import Guarantee

__all__ = ["FieldSummary", "RunContext", "TrainingCurve", "data_dictionary", "render"]


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
    from synthvae.report.page import compose

    return compose(evaluation, guarantee, training, context)
