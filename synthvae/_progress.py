"""Progress: long work reports what it does and how far it is; whoever called decides how to show it."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from synthvae._terminal import printable

Progress = Callable[[str, float], None]


def steps_of(progress: Progress, work: str) -> Progress:
    """Return a progress for the steps of one kind of work, which share one bar."""
    return lambda what, done: progress(f"{work}: {what}", done)


def silent(what: str, done: float) -> None:
    """Show nothing."""
    del what, done


@contextlib.contextmanager
def given_or_console(progress: Progress | None) -> Iterator[Progress]:
    """Yield the progress that was given, else bars where a person is looking, else nothing."""
    if progress is not None:
        yield progress
    elif sys.stderr.isatty():
        with console_progress() as bars:
            yield bars
    else:
        yield silent


@contextlib.contextmanager
def console_progress() -> Iterator[Progress]:
    """Yield a progress that draws one bar for each kind of work, with the time left, on stderr.

    What stands before a colon names the kind of work, what stands behind it the present step.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        TaskID,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description:<48}", markup=False),  # names of columns are no markup
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )
    tasks: dict[str, TaskID] = {}

    def show(what: str, done: float) -> None:
        what = printable(what)
        work = what.partition(": ")[0]
        if work not in tasks:
            tasks[work] = bars.add_task(what, total=1.0)
        bars.update(tasks[work], description=what, completed=min(1.0, done))

    with bars:
        yield show
