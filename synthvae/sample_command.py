"""What the sample command does: records of a model, and histories that it goes on from."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthvae import command_options, console
from synthvae._files import write_whole
from synthvae._runtime import console_progress
from synthvae._text import say
from synthvae.errors import ConfigError
from synthvae.origin import Origin, origin_file, read_origin, write_origin
from synthvae.terminal_notes import print_left_out

if TYPE_CHECKING:
    from synthvae.synthesizer import Synthesizer

NOT_FOR_RELEASE = """\
NOT FOR RELEASE. The table beside holds the records of {given} and what a model drew to follow them.
The model's guarantee does not cover these patients. A table that this model has drawn itself may be
gone on from and released: it is known by the file that `synthvae sample` writes beside it, {origin}.
"""


@dataclass(frozen=True)
class SampleRequest:
    """What is asked of a model, and where it goes: one file, or one of patients and one of visits."""

    model: Path
    files: tuple[Path, ...]
    rows: int | None
    where: tuple[str, ...]
    seed: int | None
    given: Path | None


def check_files(
    out: Path, visits: Path | None, given: Path | None, force: bool
) -> tuple[Path, ...]:
    """Return the files that a table is to go to, refused where an input would be lost.

    Other commands read `--visits`. Whoever takes it here for the second file of the given histories must
    not lose that, so beside `--given` it never replaces a file, `force` or not.
    """
    if given is not None and visits is not None and visits.exists():
        raise ConfigError(
            f"visits is {visits}, which exists, and would be written: --given takes one joined table "
            "for now, and --visits is where drawn visits go. Join patients and visits with "
            "synthvae.table.join_visits; to write two files, name a new one."
        )
    return console.check_table_files(out, visits, force, () if given is None else (given,))


def draw_records(request: SampleRequest) -> None:
    """Draw records, write them, and say so."""
    from synthvae.synthesizer import Synthesizer
    from synthvae.table import write_in_files

    synthesizer = Synthesizer.load(request.model)
    schema, files = synthesizer.schema, request.files
    console.check_tables(files, schema, request.rows)
    if request.given is not None:
        _go_on(request, request.given, synthesizer)
        return
    conditions = console.read_conditions([*request.where], schema)
    rows = synthesizer.default_rows if request.rows is None else request.rows
    seed = secrets.randbits(63) if request.seed is None else request.seed
    with console_progress() as progress:
        frame = synthesizer.sample(rows, where=conditions, seed=seed, progress=progress)
    written = write_in_files(frame, files, schema)
    _unmark(files)
    if schema.orderBy is not None and len(files) == 1:
        write_origin(files[0], Origin.of(synthesizer, frame, rows, request.where, seed))
    _print_written(synthesizer, files, written)


def _go_on(request: SampleRequest, given: Path, synthesizer: "Synthesizer") -> None:
    """Draw what follows the histories of a file, marked unless the model has drawn that file, too."""
    from synthvae.table import write_in_files

    if request.rows is not None or request.where:
        raise ConfigError(
            "given says which patients are drawn, and the model how many visits follow: leave out "
            "--rows and --where."
        )
    schema, files = synthesizer.schema, request.files
    nothing = (None, None, None, None)
    frame = command_options.open_with_notes(given, nothing, schema.dialect).frame
    origin = read_origin(given)
    own = origin is not None and origin.is_of(frame, synthesizer, console.read_conditions)
    if not own:
        _refuse_released(files)
    with console_progress() as progress:
        drawn = synthesizer.sample_given(frame, seed=request.seed, progress=progress)
    if not own:  # before the tables, so that they never lie there without
        note = NOT_FOR_RELEASE.format(given=given.name, origin=origin_file(given).name)
        for file in files:
            write_whole(_mark(file), note)
    written = write_in_files(drawn, files, schema)
    if own:
        _unmark(files)
        _print_written(synthesizer, files, written)
        return
    for file in files:
        origin_file(file).unlink(missing_ok=True)
        console.write_void_note(file, synthesizer.guarantee)
    added = len(drawn) - len(frame)
    keys = " and ".join(schema.key_columns)
    say(
        f"Wrote {len(frame):,} given rows and {added:,} synthetic ones to "
        f"{' and '.join(map(str, files))}, with the {keys} that were given. NOT FOR RELEASE: the "
        f"model's guarantee does not cover the patients of {given}."
    )


def _print_written(
    synthesizer: "Synthesizer", files: Sequence[Path], written: Sequence[int]
) -> None:
    for file in files:
        console.write_void_note(file, synthesizer.guarantee)
    print_left_out(synthesizer.schema)
    console.print_sample(written, files, synthesizer.guarantee)


def _mark(file: Path) -> Path:
    return file.with_name(f"{file.name}.NOT_FOR_RELEASE.txt")


def _unmark(files: Sequence[Path]) -> None:
    """Remove what was said beside tables that have been replaced.

    Never before: where the new ones cannot be written, the old ones keep their marks.
    """
    for file in files:
        _mark(file).unlink(missing_ok=True)
        origin_file(file).unlink(missing_ok=True)


def _refuse_released(files: Sequence[Path]) -> None:
    """Raise `ConfigError` for a file that would come to lie among what a run releases."""
    from synthvae.pipeline import RELEASE

    for file in files:
        if RELEASE in [parent.name for parent in file.resolve().parents]:
            raise ConfigError(
                f"out is {file}, in a folder that is released; what follows given histories is NOT FOR "
                "RELEASE, unless this model has drawn them: write it elsewhere."
            )
