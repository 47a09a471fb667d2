"""An evaluation in a notebook: one compact table, with its style in it and nothing to run."""

from markupsafe import Markup

from synthvae._text import counted
from synthvae.evaluation.levels import judge
from synthvae.evaluation.values import Evaluation, Score
from synthvae.report.levels import SIGNS, WORDS
from synthvae.report.words import direction, number, plain, range_text

_CELL = "padding:3px 14px 3px 0;text-align:left;vertical-align:top"
_NUMBER = "padding:3px 14px 3px 0;text-align:right;vertical-align:top"
_HEAD = ("Score", "Synthetic", "Interval", "Real holdout", "Independent", "Better", "Level")


def scores_html(evaluation: Evaluation) -> str:
    """Return the scores of an evaluation as HTML for the output of a notebook's cell."""
    facts = evaluation.tables
    title = (
        f"{counted(facts.synthetic_rows, 'synthetic row')} of "
        f"{counted(facts.columns, 'column')}; computed from real records, not for release"
    )
    head = Markup("").join(
        Markup('<th scope="col" style="{}">{}</th>').format(_NUMBER if 0 < i < 5 else _CELL, name)
        for i, name in enumerate(_HEAD)
    )
    rows = Markup("").join(map(_row, evaluation.scores))
    return str(
        Markup(
            '<table style="font-variant-numeric:tabular-nums;border-collapse:collapse">'
            '<caption style="text-align:left;padding:4px 0"><b>{}</b>: {}</caption>'
            "<thead><tr>{}</tr></thead><tbody>{}</tbody></table>"
        ).format(plain(evaluation.name), title, head, rows)
    )


def _row(score: Score) -> Markup:
    level = judge(score)
    ran = score.not_run is None and score.value is not None
    references = [score.references.get(name) for name in ("holdout", "independent")]
    cells = (
        number(score.value) if ran else "not run",
        range_text(score.interval) if ran and score.interval else "",
        *("" if known is None else number(known) for known in references),
        direction(score.direction, score.goal),
        f"{SIGNS[level]} {WORDS[level]}" if level != "open" else "",
    )
    made = Markup("").join(
        Markup('<td style="{}">{}</td>').format(_NUMBER if place < 4 else _CELL, text)
        for place, text in enumerate(cells)
    )
    name = Markup('<th scope="row" style="{};font-weight:normal" title="{}">{}</th>').format(
        _CELL, plain(score.not_run or score.meaning), plain(score.title)
    )
    return Markup("<tr>{}{}</tr>").format(name, made)
