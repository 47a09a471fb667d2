"""The log of a comparison: one line a cell, appended as soon as it is known.

A job that was killed goes on where its log ends. The log's first line says what it is the log of; a
log of something else is refused, since its figures could not stand beside new ones.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any

from synthvae._files import read_ordinary, storage_errors, write_whole
from synthvae.comparison.values import Cell, Outcome, Reference
from synthvae.errors import ArtefactError, OutputExistsError

LARGEST_BYTES = 100_000_000


@dataclass
class Log:
    """A comparison's lines so far; what is added is on the disk when the call returns."""

    path: Path
    origin: dict[str, Any]
    references: dict[int | None, Reference] = default(default_factory=dict)
    outcomes: dict[Cell, Outcome] = default(default_factory=dict)

    @classmethod
    def begin(cls, path: Path, origin: dict[str, Any]) -> "Log":
        """Start a log in place of any that was there."""
        log = cls(path, origin)
        write_whole(path, _line({"origin": origin}))
        return log

    @classmethod
    def resume(cls, path: Path, origin: dict[str, Any]) -> "Log":
        """Read a log to go on with.

        Raises
        ------
        OutputExistsError
            It is the log of another table, schema or config.
        ArtefactError
            It is no log.
        """
        log = cls(path, origin)
        try:
            # What follows the last newline was being written when the job was killed.
            content, newline, torn = read_ordinary(path, LARGEST_BYTES).rpartition(b"\n")
            whole = content.decode().split("\n") if newline else []
            log._read(whole)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
            raise ArtefactError(
                f"{path} is no log of a comparison ({type(cause).__name__}); move it away, or pass "
                "--force to begin again."
            ) from None
        if torn:
            write_whole(path, "".join(f"{line}\n" for line in whole))
        return log

    def _read(self, lines: Iterable[str]) -> None:
        first, *rest = [json.loads(line) for line in lines]
        before = first["origin"]
        changed = sorted(
            key for key in before | self.origin if before.get(key) != self.origin.get(key)
        )
        if changed:
            raise OutputExistsError(
                f"{self.path} was made with another {' and another '.join(changed)}; pass --force to "
                "begin again, or give the config another name."
            )
        for value in rest:
            if "reference" in value:
                reference = Reference.model_validate(value["reference"])
                self.references[reference.size] = reference
            else:
                outcome = Outcome.model_validate(value["outcome"])
                self.outcomes[outcome.cell] = outcome

    def is_done(self, cell: Cell, settings: dict[str, float]) -> bool:
        """Whether a cell has figures; one that failed is tried again.

        Raises
        ------
        OutputExistsError
            It has, with other settings.
        """
        known = self.outcomes.get(cell)
        if known is None or known.failed:
            return False
        if known.settings != settings:
            raise OutputExistsError(
                f"{self.path} holds runs of {cell.method!r} with other settings; give the variant "
                "another name, or pass --force to begin again."
            )
        return True

    def add(self, value: Outcome | Reference) -> None:
        """Append one line."""
        if isinstance(value, Reference):
            self.references[value.size] = value
            line = _line({"reference": value.model_dump(mode="json")})
        else:
            self.outcomes[value.cell] = value
            line = _line({"outcome": value.model_dump(mode="json")})
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
