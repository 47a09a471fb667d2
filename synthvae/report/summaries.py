"""The report without a page: claims and scores in a terminal, scores in a notebook."""

from typing import TYPE_CHECKING

from synthvae._text import counted, printable
from synthvae.evaluation.results import Evaluation, Score
from synthvae.levels import SEVERITY, Level, judge
from synthvae.report import phrases
from synthvae.report.decision import Decision
from synthvae.report.sections import headlines

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 20  # scores: about what fits on a screen
_STYLES: dict[Level, str] = {"green": "green", "amber": "yellow", "red": "bold red", "open": "dim"}


def show(evaluation: Evaluation, decision: Decision, console: "Console") -> None:
    """Print what the evidence says about each claim, and the scores that it rests on."""
    from rich.table import Table
    from rich.text import Text

    def cell(level: Level) -> Text:
        return Text(_level_text(level), style=_STYLES[level])

    # Names come from the schema: a bracket in them is no markup.
    name = printable(evaluation.name)
    table = Table(title=Text(f"Decision on {name}"), title_justify="left")
    table.add_column("level", no_wrap=True)
    table.add_column("claim", overflow="fold", ratio=2)
    table.add_column("why", overflow="fold", ratio=3)
    for claim in decision.claims:
        table.add_row(cell(claim.level), *(Text(printable(t)) for t in (claim.title, claim.reason)))
    console.print(table)

    table = Table(title=Text(f"Scores of {name}"), title_justify="left")
    table.add_column("score", overflow="fold")
    table.add_column("better")
    for heading in ("synthetic", "95 % interval", "real holdout", "independent"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("level", no_wrap=True)
    shown = scores_to_read_first(evaluation)
    for score in shown:
        has_goal = score.direction == "towards" and score.goal is not None
        better = f"to {score.goal:g}" if has_goal else score.direction
        level = judge(score)
        table.add_row(
            *map(Text, (printable(score.title), better, *_figures(score))),
            cell(level) if level != "open" else "",
        )
    console.print(table)

    rest = [score for score in evaluation.scores if score not in shown]
    if rest:
        good = sum(judge(score) == "green" for score in rest)
        not_run = sum(score.not_run is not None for score in rest)
        parts = [f"{good} of them good"] + ([f"{not_run} not run"] if not_run else [])
        console.print(f"{counted(len(rest), 'more score')}, {', '.join(parts)}: see the report.")


def scores_to_read_first(evaluation: Evaluation) -> tuple[Score, ...]:
    """Return the scores of the report's head and the worst ones, in the evaluation's order."""
    head = {score.key for score in headlines(evaluation)}
    ran = [score for score in evaluation.scores if score.not_run is None]
    ordered = sorted(ran, key=lambda s: (s.key not in head, -SEVERITY[judge(s)]))
    chosen = {score.key for score in ordered[:SHOWN]}
    return tuple(score for score in evaluation.scores if score.key in chosen)


def notebook_cells(score: Score) -> tuple[str, ...]:
    """Return a score as the cells of a notebook's table."""
    level = judge(score)
    name = _level_text(level) if level != "open" else ""
    return *_figures(score), phrases.direction(score.direction, score.goal), name


def _figures(score: Score) -> tuple[str, ...]:
    """Return a score's value, interval, and its references by the holdout and by shuffled columns."""
    ran = phrases.has_run(score)
    references = [score.references.get(name) for name in ("holdout", "independent")]
    return (
        phrases.number(score.value) if ran else "not run",
        phrases.range_text(score.interval) if ran and score.interval else "",
        *("" if known is None else phrases.number(known) for known in references),
    )


def _level_text(level: Level) -> str:
    return f"{phrases.LEVEL_SIGNS[level]} {phrases.LEVEL_NAMES[level]}"
