"""The report in a terminal: the claims with their levels, then the scores to read first."""

from typing import TYPE_CHECKING

from markupsafe import Markup

from synthvae._text import counted, printable
from synthvae.evaluation.levels import SEVERITY, Level, judge
from synthvae.evaluation.results import Evaluation, Score
from synthvae.report.decision import Decision
from synthvae.report.phrases import SIGNS, WORDS, direction, number, plain, range_text
from synthvae.report.sections import headlines

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

SHOWN = 20  # scores, of which a screen holds about so many
_STYLES: dict[Level, str] = {
    "green": "green",
    "amber": "yellow",
    "red": "bold red",
    "open": "dim",
}
_CELL = "padding:3px 14px 3px 0;text-align:left;vertical-align:top"
_NUMBER = "padding:3px 14px 3px 0;text-align:right;vertical-align:top"
_HEAD = ("Score", "Synthetic", "Interval", "Real holdout", "Independent", "Better", "Level")


def show(evaluation: Evaluation, decision: Decision, console: "Console") -> None:
    """Print what the evidence says about each claim, and the scores that it rests on."""
    console.print(claims_table(evaluation, decision))
    shown = to_read_first(evaluation)
    console.print(scores_table(evaluation, shown))
    rest = [score for score in evaluation.scores if score not in shown]
    if rest:
        good = sum(judge(score) == "green" for score in rest)
        unasked = sum(score.not_run is not None for score in rest)
        parts = [f"{good} of them good"] + ([f"{unasked} not run"] if unasked else [])
        console.print(f"{counted(len(rest), 'more score')}, {', '.join(parts)}: see the report.")


def to_read_first(evaluation: Evaluation) -> tuple[Score, ...]:
    """Return the scores of the report's head and the worst ones, in the evaluation's order."""
    head = {row.key for row in headlines(evaluation)}
    ran = [score for score in evaluation.scores if score.not_run is None]
    ordered = sorted(ran, key=lambda s: (s.key not in head, -SEVERITY[judge(s)]))
    chosen = {score.key for score in ordered[:SHOWN]}
    return tuple(score for score in evaluation.scores if score.key in chosen)


def claims_table(evaluation: Evaluation, decision: Decision) -> "Table":
    """Return the claims, each with its level as a sign and a word, and the reason for it."""
    from rich.table import Table
    from rich.text import Text

    # Names come from the schema: a bracket in them is no markup.
    table = Table(title=Text(f"Decision on {printable(evaluation.name)}"), title_justify="left")
    table.add_column("level", no_wrap=True)
    table.add_column("claim", overflow="fold", ratio=2)
    table.add_column("why", overflow="fold", ratio=3)
    for claim in decision.claims:
        table.add_row(
            _level(claim.level), Text(printable(claim.title)), Text(printable(claim.reason))
        )
    return table


def scores_table(evaluation: Evaluation, scores: tuple[Score, ...]) -> "Table":
    """Return scores with their intervals, references and levels."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"Scores of {printable(evaluation.name)}"), title_justify="left")
    table.add_column("score", overflow="fold")
    table.add_column("better")
    for name in ("synthetic", "95 % interval", "real holdout", "independent"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("level", no_wrap=True)
    for score in scores:
        level = judge(score)
        marked = _level(level) if level != "open" else Text("")
        table.add_row(*map(Text, _score_row(score)), marked)
    return table


def _level(level: Level) -> "Text":
    from rich.text import Text

    return Text(f"{SIGNS[level]} {WORDS[level]}", style=_STYLES[level])


def _score_row(score: Score) -> tuple[str, ...]:
    better: str = score.direction
    if score.goal is not None and score.direction == "towards":
        better = f"to {score.goal:g}"
    interval = score.interval
    references = [score.references.get(name) for name in ("holdout", "independent")]
    return (
        printable(score.title),
        better,
        "not run" if score.value is None else number(score.value),
        "" if interval is None else f"{number(interval.low)} to {number(interval.high)}",
        *("" if known is None else number(known) for known in references),
    )


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
