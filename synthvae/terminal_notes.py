"""Notes on the terminal: warnings that are meant for a steward, and columns that are not modelled."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import TextIO

from synthvae._text import say
from synthvae.errors import ReadingWarning, UnlikelyConditionWarning
from synthvae.schema import Schema

NOTES = (ReadingWarning, UnlikelyConditionWarning)


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
