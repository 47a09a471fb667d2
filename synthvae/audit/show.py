"""Print what an audit found: claim, lower bound and ceiling side by side, and the verdict."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from synthvae._text import printable, say
from synthvae.audit.running import TITLES
from synthvae.audit.values import Audit, AuditResult

WIDTH = 110  # where nobody looks


def print_audit(audit: Audit) -> None:
    """Print each result as a table, with its verdict."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    say(f"Audit of {audit.subject}.")
    for result in audit.results:
        console.print(_table(result))
        say(f"{result.threat_model}")
        say(verdict(result))
    say(
        "A lower bound that stays below the claim is consistent with it, and no proof. No audit of so "
        "many trials can show more than the ceiling: where that is not above the claim, no lower bound "
        "could have refuted it."
    )


def verdict(result: AuditResult) -> str:
    """Return what a result says, as a sentence."""
    stopped = ""
    if result.interrupted:
        stopped = (
            f" Interrupted after {sum(result.trials):,} of {2 * result.trials_asked:,} trials."
        )
    if not result.passed:
        return f"VIOLATED: {'; '.join(result.violations)}.{stopped}"
    found = (
        f"epsilon is at least {result.lower:.2f} at {result.confidence:.0%} confidence, "
        f"{result.claimed:.2f} is claimed at delta {result.delta:g}, and {result.ceiling:.2f} is the "
        "ceiling"
    )
    if not result.could_refute:
        return f"so few trials could not have refuted the claim: {found}.{stopped}"
    return f"consistent: {found}.{stopped}"


def _table(result: AuditResult) -> Table:
    title = f"{TITLES[result.kind]}: {result.trials[0]:,} "
    if result.kind == "one-run":
        title += "canaries in one fit"
    else:
        n = result.patients
        title += f"and {result.trials[1]:,} fits, of {n} and {n + 1} patients"
    table = Table(title=Text(printable(title)), title_justify="left")
    table.add_column("what the score looks at", overflow="fold")
    for name in ("claimed ε", "at least", "ceiling", "errors", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for one in result.components:
        table.add_row(
            Text(printable(one.name)),
            f"{one.claimed:.2f}",
            f"{one.lower:.2f}",
            f"{one.ceiling:.2f}",
            f"{one.false_alarms + one.misses:,}",
            f"{one.trials[0] if result.kind == 'one-run' else sum(one.trials):,}",
            "VIOLATED" if one.violated else "",
        )
    for check in result.checks:
        mark = "holds" if check.passed else "VIOLATED"
        table.add_row(Text(printable(f"{check.name}: {check.detail}")), "", "", "", "", "", mark)
    return table
