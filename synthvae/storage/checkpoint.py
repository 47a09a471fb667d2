"""The checkpoint: what a fit has released so far, kept in a folder so that it can go on after a stop.

checkpoint.safetensors   the counts, then with them the moments, then the finished model alone
table.json               for the custodian: recognises the table; never leaves the folder
NOT_FOR_RELEASE.txt      says so
fit.lock                 while a fit is at work

`unfinished_work` gives a command such a folder beside its output, which also holds:

lock                     while a command is at work on the output
split.json               the key of the split
unscored/                what was bought and is not scored

*Guarantee.* A checkpoint holds noisy counts, noisy moments, or the model: all of them outputs of the
fit's mechanisms, composed in its account. Each is on the disk before anything that follows from it is
handed out, in the place of what it follows from; where it cannot be written the fit ends with an error
and hands out nothing. So whatever a fit has handed out, the folder holds, and no other can follow.

*Assumes.* A fit goes on in one place. What a stopped process had drawn and not kept is drawn again with
noise of a new key: a second release only for somebody who saw the first, and nobody did, since it never
left that process. Two copies of a folder that both go on are two fits from there on (docs/resume.md).
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from synthvae import _files
from synthvae._runtime import code_digest
from synthvae._types import Ints
from synthvae.errors import ArtefactError, DataError, OutputExistsError, StorageError
from synthvae.plan import Plan
from synthvae.storage import checkpoint_file
from synthvae.storage.model_folder import VERSION as MODEL_VERSION
from synthvae.table.patients import SPLIT

OLDER = re.compile(r"checkpoint-\d{6,9}\.safetensors")  # what synthvae 0.1.0 kept
FILE, LOCK, TABLE = "checkpoint.safetensors", "fit.lock", "table.json"
NOTE = "NOT_FOR_RELEASE.txt"
OUTPUT_LOCK, UNSCORED = "lock", "unscored"
KEY_BYTES = 32
UNREADABLE = (ArtefactError, KeyError, TypeError, ValueError, RecursionError)
WARNING = """\
NOT FOR RELEASE. A fit was stopped here, and the same command goes on with it. Do not go on from a
copy of this folder as well: each would spend the rest of the budget. `--start-over` begins again, and
what was spent until here counts then too.
"""
RESUME_POINTS = {
    checkpoint_file.COUNTS: "after the counts",
    checkpoint_file.MOMENTS: "after the moments, with its training",
    checkpoint_file.MODEL: "after the fit, which is finished",
}


class Checkpoint:
    """The releases of one fit, each made once: in memory, and in a folder where one is given.

    Parameters
    ----------
    folder
        None keeps nothing beyond the process; so does a plan without privacy, which spends nothing.
    test_mode
        Whether the noise of the fit is predictable.
    """

    def __init__(self, folder: Path | None, plan: Plan, *, test_mode: bool) -> None:
        self._folder = folder if plan.is_private else None
        self._identity = identity(plan, test_mode)
        self.released: checkpoint_file.Released | None = None
        if folder is None:
            return
        refuse_older(folder)
        if is_begun(folder):
            if not plan.is_private:
                raise OutputExistsError(
                    f"The unfinished fit in {folder} was begun with a budget, and this one has none: "
                    f"go on as it was begun, {checkpoint_file.OR_START_OVER}"
                )
            self.released = _read(folder / FILE, plan, self._identity)

    @classmethod
    @contextlib.contextmanager
    def at(cls, folder: Path | None, plan: Plan, *, test_mode: bool) -> Iterator["Checkpoint"]:
        """Yield what a folder holds, locked against other processes.

        `OutputExistsError`: another process is at work there, or the fit was begun with other settings.
        `ArtefactError`: the checkpoint is damaged.
        """
        if folder is None or not plan.is_private:
            yield cls(folder, plan, test_mode=test_mode)
            return
        with _files.locked(folder / LOCK, folder):
            _files.clean_drafts(folder)  # of a process that was killed while it wrote
            yield cls(folder, plan, test_mode=test_mode)

    def row_key(self, fresh: bytes) -> bytes:
        """Return the key that draws which rows of a patient are kept: after a stop, the one before."""
        return fresh if self.released is None or self._folder is None else self._table()[0]

    def check_table(self, key: bytes, codes: Ints, rows: Ints) -> None:
        """Note which table a fit begins with, or refuse another one than it began with.

        The digest is keyed, and says nothing to whoever has not the key beside it and a table to
        compare. Both are the custodian's: they are computed from real rows.

        Parameters
        ----------
        codes
            Of all rows, shape (rows, columns).
        rows
            Kept rows of each patient, shape (patients, rows per patient).
        """
        if self._folder is None:
            return
        digest = _digest(key, codes, rows)
        if self.released is None:
            texts = {NOTE: WARNING, TABLE: json.dumps({"key": key.hex(), "digest": digest}) + "\n"}
            for name, text in texts.items():
                _files.write_whole(self._folder / name, text)
        elif digest != self._table()[1]:
            raise DataError(
                f"The table is not the one that the unfinished fit in {self._folder} began with (other "
                "rows, another order, or another holdout): give it that one, "
                f"{checkpoint_file.OR_START_OVER}"
            )

    def keep(self, released: checkpoint_file.Released) -> None:
        """Keep what was released; the call returns when it is on the disk.

        Raises
        ------
        StorageError
            It could not be kept: whatever follows from it must not be handed out, since the same call
            would draw it again.
        """
        self.released = released
        if self._folder is None:
            return
        content = checkpoint_file.pack(released, self._identity)
        with _files.whole_file(self._folder / FILE) as draft:
            draft.write_bytes(content)
        with _files.storage_errors(self._folder):
            _files.sync_folder(self._folder)
            _files.sync_folder(self._folder.parent)  # which may have got the folder a moment ago

    def _table(self) -> tuple[bytes, str]:
        """Return the key and the digest by which the table is known again."""
        assert self._folder is not None
        try:
            about = json.loads(checkpoint_file.read_bytes(self._folder / TABLE))
            key, digest = bytes.fromhex(about["key"]), about["digest"]
            if len(key) == KEY_BYTES and isinstance(digest, str):
                return key, digest
        except UNREADABLE:
            pass
        raise ArtefactError(
            f"{self._folder / TABLE} is missing or damaged, so that nobody can tell whether the table "
            f"is the one that the fit began with: put it back, {checkpoint_file.OR_START_OVER}"
        )


def identity(plan: Plan, test_mode: bool) -> dict[str, Any]:
    """Return what a fit was begun with: public, and all that its account rests on."""
    value = {
        "synthvae": version("synthvae"),
        "program": code_digest(),
        "version of the model": MODEL_VERSION,
        "test mode": test_mode,
        "schema": plan.schema.replace(patients=None).digest,
        "patients": plan.schema.patients,
        "epsilon": plan.epsilon,
        "delta": plan.delta,
        **{f"setting {name}": number for name, number in plan.settings.model_dump().items()},
        "noise": [stage.model_dump(mode="json") for stage in plan.stages],
    }
    same: dict[str, Any] = json.loads(json.dumps(value))
    return same


def is_begun(folder: Path) -> bool:
    """Whether a fit has kept something in a folder."""
    # A link that leads nowhere is no free place.
    return os.path.lexists(folder / FILE) or bool(_older(folder))


def _older(folder: Path) -> list[Path]:
    files = folder.iterdir() if folder.is_dir() else ()
    return [file for file in files if OLDER.fullmatch(file.name)]


def refuse_older(folder: Path) -> None:
    """Raise `OutputExistsError` for the unfinished fit of an earlier version."""
    if _older(folder):
        raise OutputExistsError(
            f"The unfinished fit in {folder} was begun by synthvae 0.1.0, which alone can go on "
            f"with it: do so, {checkpoint_file.OR_START_OVER}"
        )


def stage_in(folder: Path) -> str | None:
    """Return what an unfinished fit has released last; None where it kept nothing that can be read."""
    try:
        return str(checkpoint_file.unpack_about(folder / FILE)["stage"])
    except UNREADABLE:
        return None


def spent_at_most(folder: Path) -> str | None:
    """Return in words what an unfinished fit may have spent; None where there is none."""
    if not is_begun(folder):
        return None
    if _older(folder):
        return "an amount that only synthvae 0.1.0, which began it, can read"
    try:
        begun = checkpoint_file.unpack_about(folder / FILE)["identity"]
        return f"at most epsilon {begun['epsilon']:g} at delta {begun['delta']:g}"
    except UNREADABLE:
        return "an amount that is no longer known, since its checkpoint is damaged"


def _read(file: Path, plan: Plan, expected: dict[str, Any]) -> checkpoint_file.Released:
    """Return what a checkpoint holds, once it is known to be of the same fit."""
    begun = checkpoint_file.unpack_about(file)["identity"]
    for key, value in expected.items():
        before = begun.get(key)
        if before != value:
            plain = not isinstance(value, list) and key not in ("schema", "program")
            what = f"{key} {before}, not {value}" if plain else f"another {key}"
            raise OutputExistsError(
                f"The unfinished fit in {file.parent} was begun with {what}: go on as it was begun, "
                f"{checkpoint_file.OR_START_OVER}"
            )
    return checkpoint_file.unpack(file, plan)


def _digest(key: bytes, codes: Ints, rows: Ints) -> str:
    digest = hashlib.blake2b(key=key, digest_size=32, person=b"synthvae table")
    for array in (codes, rows):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<i8").tobytes())
    return digest.hexdigest()


@dataclass
class UnfinishedWork:
    """The folder of one output's unfinished work.

    Attributes
    ----------
    done
        Whether an output holds what the budget bought, so that nothing has to be kept any more.
    reported
        Whether the error that ends the work says already what is kept.
    """

    folder: Path
    done: bool = False
    reported: bool = False

    @property
    def unscored(self) -> Path:
        """Where a run puts what it bought while it is not scored."""
        return self.folder / UNSCORED

    @property
    def holds_model(self) -> bool:
        """Whether the fit is finished and kept: going on from it releases nothing."""
        return stage_in(self.folder) == checkpoint_file.MODEL

    def clear(self) -> None:
        """Remove what is kept, and nothing else."""
        self.forget()
        shutil.rmtree(self.unscored, ignore_errors=True)

    def forget(self) -> None:
        """Remove what a fit kept and what it was begun with, and nothing else."""
        _files.clean_drafts(self.folder)
        kept = [self.folder / name for name in (FILE, TABLE, NOTE, SPLIT)]
        for file in (*kept, *_older(self.folder)):
            file.unlink(missing_ok=True)


def unfinished_folder(output: Path) -> Path:
    """Return the folder of unfinished work on an output."""
    output = output.resolve()
    return output.with_name(f"{output.name}.unfinished")


@contextlib.contextmanager
def unfinished_work(output: Path, *, force: bool, start_over: bool) -> Iterator[UnfinishedWork]:
    """Yield an output's unfinished work, which is removed when the block ends well.

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
    work = UnfinishedWork(unfinished_folder(output))
    with _files.locked(work.folder / OUTPUT_LOCK, output):
        with _files.storage_errors(output):
            # Those of a process that was killed: nobody else writes here now.
            _files.clean_drafts(output.resolve().parent, output.resolve().name)
        _files.refuse_existing(output, force)
        if start_over:
            with _files.storage_errors(output):
                work.clear()
        refuse_older(work.folder)
        try:
            yield work
        except BaseException as cause:
            stopped = isinstance(cause, KeyboardInterrupt | StorageError)
            if stopped and not work.done and not work.reported and is_begun(work.folder):
                cause.args = (_with_what_is_kept(str(cause), work.folder),)
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


def _with_what_is_kept(message: str, folder: Path) -> str:
    point = RESUME_POINTS.get(stage_in(folder) or "", "there")
    kept = f"What was released so far is kept in {folder}: the same command goes on {point}."
    message = message or "Interrupted."
    if _files.ELSEWHERE in message:
        message = message.replace(f"Free some space, or {_files.ELSEWHERE}.", "Free some space.")
        message = message.replace(f"; {_files.ELSEWHERE}.", ".")
        kept += " In another place it would be a second fit."
    return f"{message} {kept}"
