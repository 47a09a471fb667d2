"""What a table's file may ask of this machine: columns, names, memory."""

from collections.abc import Sequence
from pathlib import Path

from synthvae._runtime import machine_memory
from synthvae._text import brief
from synthvae.declared import first_repeated
from synthvae.errors import InputFileError

MOST_COLUMNS = 100_000
BYTES_A_CELL = 8  # the least that a cell takes in memory
COPIES = 4  # of a file's content that are in memory while it is read
UNKNOWN_MEMORY = 8 * 2**30


def refuse_repeated(names: Sequence[str], path: Path) -> None:
    """Raise `InputFileError` where two columns have one name."""
    twice = first_repeated(names)
    if twice is not None:
        raise InputFileError(
            f"The column {brief(twice)} stands twice in {path}; rename one of them."
        )


def refuse_width(columns: int, path: Path) -> None:
    """Raise `InputFileError` where a table is too wide."""
    if columns > MOST_COLUMNS:
        raise InputFileError(
            f"The file {path} has {columns:,} columns; at most {MOST_COLUMNS:,} can be read: keep those "
            "that you need."
        )


def refuse_size(rows: int, columns: int, path: Path) -> None:
    """Raise `InputFileError` where a file claims more cells than the memory has room for."""
    memory = machine_memory()
    needed = rows * columns * BYTES_A_CELL
    if memory is not None and needed > memory:
        raise InputFileError(
            f"The file {path} says that it has {rows:,} rows, which need at least "
            f"{needed / 2**30:.3g} GB of memory; this machine has {memory / 2**30:.3g}."
        )


def most_bytes() -> int:
    """Return how many bytes of unpacked content can be read on this machine."""
    return (machine_memory() or UNKNOWN_MEMORY) // COPIES
