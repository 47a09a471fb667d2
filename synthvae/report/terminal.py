"""The report in a terminal: the claims with their levels, then the scores to read first."""

from typing import TYPE_CHECKING

from synthvae._text import counted, printable
from synthvae.evaluation.levels import SEVERITY, Level, judge
from synthvae.evaluation.values import Evaluation, Score
from synthvae.report.decision import Decision
from synthvae.report.levels import SIGNS, WORDS
from synthvae.report.sections import headlines
from synthvae.report.words import number

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
