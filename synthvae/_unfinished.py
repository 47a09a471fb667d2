"""Work on one output: by one process at a time, with a place beside it for what is not finished.

`model.unfinished` stands beside `model` while a fit is at work on it, and after a stop, until the same
command has gone on to the end. After the fit it may also hold records and a model that are not scored.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthvae._checkpoint_file import MODEL
from synthvae._files import ELSEWHERE, clean_drafts, locked, refuse_existing, storage_errors
from synthvae._split_key import SPLIT
from synthvae.checkpoint import WORDS, clear, is_begun, refuse_older, stage_in
from synthvae.errors import StorageError

LOCK, UNSCORED = "lock", "unscored"


@dataclass
class Unfinished:
    """The place of one output's unfinished work.

    Attributes
    ----------
    done
        Whether an output holds what the budget bought, so that nothing has to be kept any more.
    told
        Whether the error that ends the work says already what is kept.
    """

    folder: Path
    done: bool = False
    told: bool = False

    @property
    def unscored(self) -> Path:
        """Where a run puts what it bought while it is not scored."""
        return self.folder / UNSCORED

    @property
    def holds_model(self) -> bool:
        """Whether the fit is finished and kept: going on from it releases nothing."""
        return stage_in(self.folder) == MODEL

    def clear(self) -> None:
        """Remove what is kept, and nothing else."""
        self.forget()
        shutil.rmtree(self.unscored, ignore_errors=True)

    def forget(self) -> None:
        """Remove what a fit was begun with."""
        clear(self.folder)
        (self.folder / SPLIT).unlink(missing_ok=True)


def place_of(output: Path) -> Path:
    """Return where unfinished work on an output stands."""
    output = output.resolve()
    return output.with_name(f"{output.name}.unfinished")


@contextlib.contextmanager
def unfinished(output: Path, *, force: bool, start_over: bool) -> Iterator[Unfinished]:
    """Yield the place of an output's unfinished work, which goes when the block ends well.

    A stop or a full disk that leaves something to go on with says so.

    Parameters
    ----------
    force
        Whether an output that exists is to be replaced.
    start_over
        Whether what an earlier process left is thrown away.

    Raises
    ------
    OutputExistsError
        The output exists and `force` is not given, or another process is at work on it.
    """
    work = Unfinished(place_of(output))
    with locked(work.folder / LOCK, output, 0o700):
        with storage_errors(output):
            # Those of a process that was killed: nobody else writes here now.
            clean_drafts(output.resolve().parent, output.resolve().name)
        refuse_existing(output, force)
        if start_over:
            with storage_errors(output):
                work.clear()
        refuse_older(work.folder)
        try:
            yield work
        except BaseException as cause:
            stopped = isinstance(cause, KeyboardInterrupt | StorageError)
            if stopped and not work.done and not work.told:
                _say_what_is_kept(cause, work.folder)
            with contextlib.suppress(OSError):  # what went wrong first is what is said
                if work.done:
                    work.clear()
                elif not is_begun(work.folder):
                    work.forget()
            raise
        try:
            work.clear()
        except OSError as cause:
            raise StorageError(
                f"The result stands, but {work.folder} could not be removed "
                f"({cause.strerror or cause}): remove it by hand."
            ) from cause


def _say_what_is_kept(cause: BaseException, folder: Path) -> None:
    if not is_begun(folder):
        return
    where = WORDS.get(stage_in(folder) or "", "there")
    kept = f"What was released so far is kept in {folder}: the same command goes on {where}."
    said = str(cause) or "Interrupted."
    if ELSEWHERE in said:
        said = said.replace(f"Free some space, or {ELSEWHERE}.", "Free some space.")
        said = said.replace(f"; {ELSEWHERE}.", ".")
        kept += " In another place it would be a second fit."
    cause.args = (f"{said} {kept}",)
