"""Fits that are killed at a given moment and go on, with the log of what they released.

A *moment* is anything that could be lost or done twice: before and after each noisy release, each
training step, and each part of writing the checkpoint. `moments()` counts those of a whole fit;
`through(kills, folder)` lives through a fit that is killed at the given ones, and returns the model and
the releases that it is made of, each in its order, whichever process made it.
"""

import copy
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import synthvae.model.training
import synthvae.storage.checkpoint_file
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.storage.checkpoint import FILE
from synthvae.synthesizer import Synthesizer
from tests.simulated import quick, simulate_fewer

STEPS = 4
WARD = Schema.from_dict(
    {
        "name": "ward",
        "patients": 40,
        "patientKey": "id",
        "maxRows": 2,
        "fields": [
            {"name": "id"},
            {"name": "sex", "constraints": {"enum": ["female", "male"]}, "perPatient": True},
            {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
            {"name": "smoker", "type": "boolean"},
        ],
    }
)


def ward_settings(epsilon: float | None = 2.0, **changes: float) -> Settings:
    """Return settings of a short fit for `WARD`, with moments of all three columns together."""
    shares = {"anchor_share": 0.5, "pair_share": 0.2, "interaction_share": 0.2}
    measured = {"interaction_rank": 1, "interactions": 10}
    return quick(WARD, epsilon, **({"steps": STEPS} | shares | measured | changes))


def ward(seed: int = 0) -> pd.DataFrame:
    """Return a table for `WARD`: forty patients of three rows, of which two are used."""
    draws = np.random.default_rng(seed)
    whose = np.repeat(np.arange(40), 3)
    return pd.DataFrame(
        {
            "id": [f"secret-patient-{i}" for i in whose],
            "sex": draws.choice(["female", "male"], 40)[whose],
            "age": draws.integers(0, 100, len(whose)),
            "smoker": draws.random(len(whose)) < 0.3,
        }
    )


class Killed(BaseException):
    """The process is gone: nothing catches this."""


@dataclass
class Moments:
    """Counts moments, ends the process at one of them, and writes down what is released."""

    kill_at: int | None = None
    passed: int = 0
    names: list[str] = field(default_factory=list)
    released: list[tuple[str, Any]] = field(default_factory=list)
    kept: int = 0  # of the releases, by the checkpoint
    _packed: int = 0

    def tick(self, name: str) -> None:
        """Pass one moment, or end there."""
        self.passed += 1
        self.names.append(name)
        if self.passed == self.kill_at:
            raise Killed(name)

    def watch(self, module: Any, name: str, note: Callable[..., tuple[str, Any]]) -> None:
        """Let each call of a function be a moment before it and one after it, and a release."""
        usual = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            self.tick(f"before {name}")
            found = usual(*arguments, **named)
            self.released.append(note(*arguments, **named))
            self.tick(f"after {name}")
            return found

        setattr(module, name, watched)

    def pack(self, usual: Callable[..., bytes], *arguments: Any) -> bytes:
        """Make the content of a checkpoint, which holds the releases so far."""
        self.tick("before pack")
        self._packed = len(self.released)
        return usual(*arguments)

    def replace(self, usual: Callable[..., Path], draft: Path, path: Path) -> Path:
        """Put a draft in its place."""
        self.tick("before replace")
        found = usual(draft, path)
        if path.name == FILE:
            self.kept = self._packed
        self.tick("after replace")
        return found


@functools.cache
def planned() -> Synthesizer:
    """Return an unfitted synthesizer, to copy: its plan takes a second."""
    return Synthesizer(WARD, 2.0, settings=ward_settings())


@contextmanager
def watched(moments: Moments) -> Iterator[None]:
    """Watch everything that a fit releases or keeps."""
    training = synthvae.model.training.PrivateTraining
    file, replace = synthvae.storage.checkpoint_file, Path.replace
    with pytest.MonkeyPatch.context() as patch:
        # Put back at the end, as they are.
        patch.setattr(Mechanisms, "discrete_gaussian", Mechanisms.discrete_gaussian)
        moments.watch(
            Mechanisms,
            "discrete_gaussian",
            lambda *_, noise_multiplier, **__: ("noise", round(noise_multiplier, 9)),
        )
        patch.setattr(training, "_take_step", training._take_step)
        moments.watch(training, "_take_step", lambda own, *_: ("step", own.stage.noise_multiplier))
        patch.setattr(file, "pack", functools.partial(moments.pack, file.pack))
        patch.setattr(Path, "replace", lambda draft, path: moments.replace(replace, draft, path))
        simulate_fewer(patch, 64)
        yield


def moment(name: str, which: int = 0) -> int:
    """Return when something happens in a fit that keeps what it releases, counted from 1."""
    return [number for number, found in enumerate(all_moments(), 1) if found == name][which]


def kill(folder: Path, name: str, which: int = 0) -> None:
    """Begin a fit in a folder and end its process at a moment."""
    with pytest.raises(Killed), watched(Moments(moment(name, which))):
        copy.copy(planned()).fit(ward(), lambda *_: None, folder)


def go_on(folder: Path, frame: pd.DataFrame | None = None, **changes: Any) -> Synthesizer:
    """Fit in a folder, with some of the synthesizer's arguments changed."""
    made = copy.copy(planned())
    if changes:
        given: dict[str, Any] = {
            "schema": WARD,
            "epsilon": 2.0,
            "settings": ward_settings(),
        }
        made = Synthesizer(**(given | changes))
    with watched(Moments()):
        return made.fit(ward() if frame is None else frame, lambda *_: None, folder)


@functools.cache
def whole() -> tuple[Synthesizer, Moments]:
    """Return a fit that nobody interrupts or keeps, and what it released."""
    moments = Moments()
    with watched(moments):
        return copy.copy(planned()).fit(ward(), lambda *_: None), moments


@functools.cache
def all_moments() -> tuple[str, ...]:
    """Return the moments of a fit that keeps where it stands, in order."""
    import tempfile

    moments = Moments()
    with tempfile.TemporaryDirectory() as folder, watched(moments):
        copy.copy(planned()).fit(ward(), lambda *_: None, folder)
    return tuple(moments.names)


def through(kills: tuple[int, ...], folder: Path) -> tuple[Synthesizer, list[tuple[str, Any]]]:
    """Return the model of a fit that is killed at these moments of its lives, and its releases.

    Each number counts the moments of one life, from 1; a life that ends before it is the last.
    """
    lineage: list[tuple[str, Any]] = []
    for kill_at in (*kills, None):
        moments = Moments(kill_at, released=list(lineage), kept=len(lineage))
        try:
            with watched(moments):
                fitted = copy.copy(planned()).fit(ward(), lambda *_: None, folder)
        except Killed:
            lineage = moments.released[: moments.kept]
            continue
        return fitted, moments.released
    raise AssertionError("the last life is never killed")
