"""Checkpoints: what a fit has released so far, kept in a folder so that it can go on after a stop.

checkpoint-000003.safetensors   everything released so far; the newest two are kept
table.json                      for the custodian: recognises the table; never leaves the folder
NOT_FOR_RELEASE.txt             says so
fit.lock                        while a fit is at work

*Guarantee.* A checkpoint holds noisy counts, noisy moments, and the iterate of DP-SGD after some
steps: all of them outputs of the fit's mechanisms, composed in its account. Whoever sees any number of
checkpoints of one fit sees no more than the fit's (epsilon, delta) covers. What follows from them
alone, such as couplings and calibration, is made again.

*Assumes.* A fit goes on from its newest checkpoint, in one place. What a stopped process had drawn
and not kept is drawn again with noise of a new key: a second release only for somebody who saw the
first, and nobody did, since it never left that process. Two copies of a folder that both go on are
two fits from there on (docs/resume.md).
"""

import contextlib
import hashlib
import json
import re
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthvae import _checkpoint_file
from synthvae._checkpoint_file import Released
from synthvae._files import clean_drafts, storage_errors, sync_folder, whole_file
from synthvae._locks import locked
from synthvae.artefact import VERSION as MODEL_VERSION
from synthvae.errors import (
    ArtefactError,
    CheckpointWarning,
    DataError,
    OutputExistsError,
    StorageError,
)
from synthvae.model.training_state import TrainingState
from synthvae.plan import Plan
from synthvae.privacy.stream import RandomStream

LOCK, TABLE, NOTE = "fit.lock", "table.json", "NOT_FOR_RELEASE.txt"
NAMES = re.compile(r"checkpoint-(\d{6,9})\.safetensors")
KEPT = 2
SECONDS = 5.0  # between two checkpoints, at least
SHARE = 0.01  # of the time of training, at most
WARNING = """\
NOT FOR RELEASE. A fit was stopped here, and the same command goes on with it. Do not go on from a
copy of this folder as well: each would spend the rest of the budget. `--start-over` begins again, and
what was spent until here counts then too.
"""
Ints = NDArray[np.int64]
Words = NDArray[np.uint64]


class Checkpoints:
    """The releases of one fit, each made once: in memory, and in a folder where one is given.

    Parameters
    ----------
    folder
        None keeps nothing beyond the process; so does a plan without privacy, which spends nothing.
    test_seed
        Of a test mode, in which noise is predictable.
    """

    def __init__(self, folder: Path | None, plan: Plan, test_seed: int | None) -> None:
        self._folder = folder if plan.is_private else None
        self._steps = plan.settings.steps
        self._identity = identity(plan, test_seed is not None)
        self._test_seed = test_seed
        self._last, self._took = time.monotonic(), 0.0
        self._warned = False
        self.released: Released | None = None
        self.number = 0
        newest = newest_in(self._folder) if self._folder is not None else None
        if newest is not None:
            self.number, file = newest
            self.released = _read(file, plan, self._identity)

    @classmethod
    @contextlib.contextmanager
    def at(cls, folder: Path | None, plan: Plan, test_seed: int | None) -> Iterator["Checkpoints"]:
        """Yield what a folder holds, locked against other processes.

        Raises
        ------
        OutputExistsError
            Another process is at work there, or the fit was begun with other settings.
        ArtefactError
            The newest checkpoint is damaged.
        """
        if folder is None or not plan.is_private:
            yield cls(None, plan, test_seed)
            return
        with locked(folder / LOCK, folder, 0o700):
            clean_drafts(folder)  # of a process that was killed while it wrote
            yield cls(folder, plan, test_seed)

    @property
    def where(self) -> str:
        """Where the fit stands, in words."""
        if self.training is None:
            return "after the measurements"
        return f"from step {self.training.step} of {self._steps}"

    @property
    def training(self) -> TrainingState | None:
        """Where an earlier process left the training."""
        return None if self.released is None else self.released.training

    def stream(self) -> RandomStream:
        """Return random numbers under a key of their own: noise is never drawn twice from one."""
        if self._test_seed is None:
            return RandomStream()
        return RandomStream(self._test_seed + (self.number << 64))

    def key_of_rows(self, stream: RandomStream) -> Words:
        """Return the key that draws which rows of a patient are kept: the same after a stop."""
        if self.released is None:
            return stream.words(2)
        return np.frombuffer(bytes.fromhex(self._table()["key"]), dtype="<u8")

    def same_table(self, key: Words, codes: Ints, rows: Ints) -> None:
        """Note which table a fit begins with, or refuse another one than it began with.

        The digest is keyed, and says nothing to whoever has not the key beside it and a table to
        compare. Both are the custodian's: they are computed from real rows.

        Parameters
        ----------
        codes
            Of all rows, shape (rows, columns).
        rows
            Kept rows of each patient, shape (patients, rows per patient).

        Raises
        ------
        DataError
            It is another table.
        """
        if self._folder is None:
            return
        digest = _digest(key, codes, rows)
        if self.released is None:
            texts = {
                NOTE: WARNING,
                TABLE: json.dumps({"key": key.tobytes().hex(), "digest": digest}) + "\n",
            }
            for name, text in texts.items():
                with whole_file(self._folder / name) as draft:
                    draft.write_text(text, encoding="utf-8")
        elif digest != self._table()["digest"]:
            raise DataError(
                f"The table is not the one that the unfinished fit in {self._folder} began with (other "
                "rows, another order, or another share or seed of the holdout): give it that one, or "
                "pass --start-over; what it has spent counts then too."
            )

    def keep(self, released: Released) -> None:
        """Keep what was released; the call returns when it is on the disk."""
        self.released = released
        if self._folder is None:
            return
        begun = time.monotonic()
        try:
            self._write(self._folder)
        except StorageError as cause:
            self._warn(cause)
        self._last = time.monotonic()
        self._took = self._last - begun

    def after_step(self, step: int, state: Callable[[], TrainingState]) -> None:
        """Keep where training stands: after the last step, and as often as costs next to nothing."""
        assert self.released is not None
        waited = time.monotonic() - self._last
        if step == self._steps or waited >= max(SECONDS, self._took / SHARE):
            self.keep(replace(self.released, training=state()))

    def _write(self, folder: Path) -> None:
        assert self.released is not None
        content = _checkpoint_file.pack(self.released, self._identity)
        file = folder / f"checkpoint-{self.number + 1:06d}.safetensors"
        with whole_file(file) as draft:
            draft.write_bytes(content)
        self.number += 1
        with storage_errors(folder):
            sync_folder(folder)
            for older in _files_in(folder)[KEPT:]:
                older[1].unlink(missing_ok=True)

    def _warn(self, cause: StorageError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{cause} The fit goes on without keeping where it stands.",
                CheckpointWarning,
                stacklevel=2,
            )

    def _table(self) -> dict[str, str]:
        assert self._folder is not None
        try:
            found = json.loads(_checkpoint_file.read_bytes(self._folder / TABLE))
            if len(bytes.fromhex(found["key"])) == 16 and isinstance(found["digest"], str):
                return dict(found)
        except (ArtefactError, ValueError, KeyError, TypeError, RecursionError):
            pass
        raise ArtefactError(
            f"{self._folder / TABLE} is missing or damaged, so that nobody can tell whether the table "
            "is the one that the fit began with; put it back, or pass --start-over: what was spent "
            "counts then too."
        )


def identity(plan: Plan, test_mode: bool) -> dict[str, Any]:
    """Return what a fit was begun with: public, and all that its account rests on."""
    value = {
        "synthvae": version("synthvae"),
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


def newest_in(folder: Path) -> tuple[int, Path] | None:
    """Return the number and the file of a folder's newest checkpoint."""
    found = _files_in(folder)
    return found[0] if found else None


def spent_at_most(folder: Path) -> str | None:
    """Return in words what an unfinished fit may have spent; None where there is none."""
    newest = newest_in(folder)
    if newest is None:
        return None
    try:
        begun = _checkpoint_file.unpack_about(newest[1])["identity"]
        return f"at most epsilon {begun['epsilon']:g} at delta {begun['delta']:g}"
    except (ArtefactError, KeyError, TypeError, ValueError):
        return "an amount that is no longer known, since its checkpoint is damaged"


def steps_done(folder: Path) -> int | None:
    """Return the steps of training that an unfinished fit has kept; None where it kept nothing."""
    newest = newest_in(folder)
    try:
        return None if newest is None else int(_checkpoint_file.unpack_about(newest[1])["step"])
    except (ArtefactError, KeyError, TypeError, ValueError):
        return None


def clear(folder: Path) -> None:
    """Remove what a fit kept in a folder, and nothing else."""
    clean_drafts(folder)
    known = [file for _, file in _files_in(folder)]
    for file in (*known, folder / TABLE, folder / NOTE):
        file.unlink(missing_ok=True)


def _files_in(folder: Path) -> list[tuple[int, Path]]:
    """Return the numbers and files of a folder's checkpoints, the newest first."""
    names = [NAMES.fullmatch(file.name) for file in folder.iterdir()] if folder.is_dir() else []
    return sorted(((int(n[1]), folder / n[0]) for n in names if n is not None), reverse=True)


def _read(file: Path, plan: Plan, expected: dict[str, Any]) -> Released:
    """Return what a checkpoint holds, once it is known to be of the same fit."""
    about = _checkpoint_file.unpack_about(file)
    begun = about["identity"]
    for key, value in expected.items():
        before = begun.get(key)
        if before != value:
            plain = not isinstance(value, list) and key != "schema"
            what = f"{key} {before}, not {value}" if plain else f"another {key}"
            raise OutputExistsError(
                f"The unfinished fit in {file.parent} was begun with {what}: go on as it was begun, or "
                "pass --start-over; what it has spent counts then too."
            )
    return _checkpoint_file.unpack(file, plan)


def _digest(key: Words, codes: Ints, rows: Ints) -> str:
    digest = hashlib.blake2b(key=key.tobytes(), digest_size=32)
    for array in (codes, rows):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, "<i8").tobytes())
    return digest.hexdigest()
