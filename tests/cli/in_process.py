"""Run the command line in this process, and write the files that commands read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthvae.cli import app
from synthvae.console import run_command

Run = Callable[..., "Ended"]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The error: what follows the last `Error:` on stderr, and nothing like a traceback."""
        assert "Traceback" not in self.err
        assert self.err.count("Error: ") == 1
        return self.err.partition("Error: ")[2].strip()


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and returns how it ended."""

    def run(*words: str | Path) -> Ended:
        capsys.readouterr()
        code = run_command(app, [str(word) for word in words], False)
        return Ended(code, *capsys.readouterr())

    return run


def everything_in(folder: Path) -> dict[str, bytes]:
    """Return the content of all files below a folder, hidden ones too."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
