"""The process: its progress, its machine, and which code runs in it."""

import contextlib
import functools
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from synthvae._text import printable

# Long work reports what it does and how far it is; whoever called decides how to show it.
Progress = Callable[[str, float], None]


def steps_of(progress: Progress, work: str) -> Progress:
    """Return a progress for the steps of one kind of work, which share one bar."""
    return lambda what, done: progress(f"{work}: {what}", done)


def silent(what: str, done: float) -> None:
    """Show nothing."""


@contextlib.contextmanager
def given_or_console(progress: Progress | None) -> Iterator[Progress]:
    """Yield the progress that was given, else bars on a terminal, else nothing."""
    if progress is None and sys.stderr.isatty():
        with console_progress() as bars:
            yield bars
    else:
        yield progress or silent


@contextlib.contextmanager
def console_progress() -> Iterator[Progress]:
    """Yield a progress that draws one bar for each kind of work, with the time left, on stderr.

    What stands before a colon names the kind of work, what stands behind it the present step.
    """
    from rich import progress
    from rich.console import Console

    bars = progress.Progress(
        progress.TextColumn("{task.description:<48}", markup=False),  # a column's name is no markup
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(compact=True),
        console=Console(stderr=True),
    )
    tasks: dict[str, progress.TaskID] = {}

    def show(what: str, done: float) -> None:
        what = printable(what)
        work = what.partition(": ")[0]
        if work not in tasks:
            tasks[work] = bars.add_task(what, total=1.0)
        bars.update(tasks[work], description=what, completed=min(1.0, done))

    with bars:
        yield show


def machine_memory() -> int | None:
    """Return the bytes of memory of this machine, or None where the system does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold numpy's BLAS to one thread.

    The products here are small: more threads gain nothing and wait for each other (sampling took
    three times as long on two), and one thread adds numbers in one order whatever the machine.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@functools.cache
def code_digest() -> str:
    """Return the SHA-256 of every Python file of this package: its path, and what is in it.

    Files are taken in the order of their paths, so that two copies of one release agree whatever
    the machine. Taken once in a process: the code that runs is the code that was loaded.
    """
    root = Path(__file__).parent
    digest = hashlib.sha256()
    files = {file.relative_to(root).as_posix(): file for file in root.rglob("*.py")}
    for name in sorted(files):
        content = files[name].read_bytes()
        # The length keeps one file's end apart from the next one's name.
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
