"""The secret key of a split into train and holdout: drawn, kept by the custodian, and read again.

Whoever has the key and a patient's identifier knows on which side of the split that patient is. So a
key is drawn from the operating system for each run, and is in no file but the one that is named here.
"""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from synthvae._files import read_ordinary, storage_errors, sync_folder, write_whole
from synthvae._frozen import Frozen
from synthvae.config import RunConfig
from synthvae.errors import ArtefactError, ConfigError

SPLIT = "split.json"
BYTES = 32
LARGEST_BYTES = 10_000
ABOUT = (
    "NOT FOR RELEASE. The secret key of the split into train and holdout: whoever has it and a "
    "patient's identifier knows whether the model learned from that patient. Never publish it. "
    "synthvae.pipeline.split makes the same two parts with it again."
)
ABOUT_TEST = (
    "FOR TESTS: the key of this split follows from test_split_seed. Whoever knows that seed and a "
    "patient's identifier knows whether the model learned from that patient."
)
START_OVER = "pass --start-over, which draws a new key"
SPENT = "; what was spent so far counts then too"


def derived_key(seed: int) -> bytes:
    """Return the key that follows from a seed: no secret, for tests."""
    return hashlib.sha256(f"split {seed}".encode()).digest()


class SplitKey(Frozen):
    """The key of one split, with a word on what it is.

    Parameters
    ----------
    key
        32 bytes as hexadecimal digits.
    test_split_seed
        The seed that the key follows from, in tests; None where it is secret.
    """

    about: str = ABOUT
    key: Annotated[str, Field(pattern=f"^[0-9a-f]{{{2 * BYTES}}}$", repr=False)]
    test_split_seed: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _follows(self) -> Self:
        seed = self.test_split_seed
        if seed is not None and self.secret != derived_key(seed):
            raise ValueError("the key is not that of its seed")
        return self

    @property
    def secret(self) -> bytes:
        """The key's bytes."""
        return bytes.fromhex(self.key)

    @classmethod
    def draw(cls, test_split_seed: int | None = None) -> "SplitKey":
        """Return a new key: from the operating system, or from a test's seed."""
        if test_split_seed is None:
            return cls(key=secrets.token_bytes(BYTES).hex())
        known = derived_key(test_split_seed).hex()
        return cls(about=ABOUT_TEST, key=known, test_split_seed=test_split_seed)

    @classmethod
    def read(cls, folder: Path, way_out: str) -> "SplitKey":
        """Return the key that lies in a folder.

        Raises
        ------
        ArtefactError
            There is none, or what is there is no key.
        """
        file = folder / SPLIT
        try:
            return cls.model_validate_json(read_ordinary(file, LARGEST_BYTES))
        except FileNotFoundError:
            raise ArtefactError(f"There is no {file}, the key of the split: {way_out}.") from None
        except OSError as cause:
            why = cause.strerror or "it cannot be read"
            raise ArtefactError(f"{file} cannot be read ({why}): {way_out}.") from None
        except ValidationError:
            # Its content is not repeated: it may be most of a key.
            raise ArtefactError(f"{file} is damaged, or no key of a split: {way_out}.") from None

    def write(self, folder: Path) -> None:
        """Keep the key in a folder, in a file that nobody but its owner may read."""
        write_whole(folder / SPLIT, self.model_dump_json(indent=1) + "\n", mode=0o600)
        with storage_errors(folder):
            sync_folder(folder)


def kept_split_key(folder: Path, config: RunConfig, *, going_on: bool = False) -> SplitKey:
    """Return the key that an unfinished run has drawn, or a new one, which is kept in its folder.

    Parameters
    ----------
    going_on
        Whether something has been released already, so that another key would be another split.

    Raises
    ------
    ArtefactError
        The key is damaged, or it is missing and a fit has begun.
    ConfigError
        The run was begun with another `test_split_seed`.
    """
    seed = config.test_split_seed
    if not going_on and not os.path.lexists(folder / SPLIT):
        drawn = SplitKey.draw(seed)
        drawn.write(folder)
        return drawn
    start_over = START_OVER + (SPENT if going_on else "")
    kept = SplitKey.read(folder, f"put it back, or {start_over}")
    if kept.test_split_seed != seed:
        now = "not set" if seed is None else str(seed)
        before = "without one" if kept.test_split_seed is None else f"with {kept.test_split_seed}"
        raise ConfigError(
            f"test_split_seed is {now}, but the unfinished run in {folder} was begun {before}, which "
            f"is another split: set it back, or {start_over}."
        )
    return kept
