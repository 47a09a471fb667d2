"""Notes on the terminal: warnings that are meant for a steward, and columns that are not modelled."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from synthvae._text import delta_text, epsilon_text, say
from synthvae.errors import ReadingWarning, RedrawnWarning, UnlikelyConditionWarning
from synthvae.schema import Schema

if TYPE_CHECKING:
    from synthvae.max_rows import PaidRows

NOTES = (ReadingWarning, RedrawnWarning, UnlikelyConditionWarning)


@contextlib.contextmanager
def notes_on_terminal() -> Iterator[None]:
    """Show the warnings that a steward reads as plain lines on stderr."""
    with warnings.catch_warnings():
        for kind in NOTES:
            warnings.simplefilter("always", kind)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if issubclass(category, NOTES):
                say(f"Note: {str(message).rstrip('.')}.", error=True)
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield


def print_left_out(schema: Schema) -> None:
    """Name, on one line, the columns whose values are invented, left out or always empty."""
    empty = [field.name for field in schema.fields if field.role == "empty"]
    omitted = [field.name for field in schema.fields if field.role == "omit"]
    invented = [
        name for name in schema.names if name in schema.identifiers and name not in omitted + empty
    ]
    kinds = {"invented": invented, "left out": omitted, "always empty": empty}
    parts = [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
    if parts:
        say(f"Columns that are not modelled: {'; '.join(parts)}.")


def print_paid_rows(paid: "PaidRows", path: Path) -> None:
    """Say what a choice of maxRows cost, what it rests on, and where the price is written down."""
    release, histogram = paid.release, paid.histogram
    say(
        f"Spent epsilon {epsilon_text(release.epsilon)} at delta {delta_text(release.delta)} per "
        "patient on numbers of patients by their rows, each with noise of standard deviation "
        f"{histogram.sigma:.3g}:"
    )
    for rows, count in zip(histogram.names, histogram.counts, strict=True):
        say(f"  {rows:>10}  {count:>10,}")
    beyond = f"fewer than {100 * release.beyond:g} % of the patients"
    why = f"no smaller number leaves {beyond} beyond, and --most considers no larger one"
    if paid.rows < histogram.levels[-1]:
        error = 100 * histogram.error_beyond(paid.rows)
        why = (
            f"{beyond} have more (the noise gives that share a standard deviation of {error:.2g} %)"
        )
    say(f"maxRows is now {paid.rows}: by these numbers, {why}.")
    if paid.releases > 1:
        say(
            f"The schema records {paid.releases} such releases, and each has its price: together "
            f"epsilon {epsilon_text(paid.spent)} at that delta."
        )
    say(
        f"The price is written into {path}. Every fit with it counts the price into its own epsilon: of "
        f"--epsilon 1, {paid.share_of_one:.2g} % (in squared mu) is spent."
    )
