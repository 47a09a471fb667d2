"""Patients as the privacy unit: whose rows are whose, how many are kept, and who is held out.

Whoever has the key of a split and a patient's identifier knows on which side of it that patient is. So a
key is drawn from the operating system for each run, and stands in no file but the one named here.
"""

import hashlib
import os
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from synthvae._files import read_ordinary, storage_errors, sync_folder, write_whole
from synthvae._frozen import Frozen
from synthvae._types import Ints
from synthvae.config import RunConfig
from synthvae.errors import ArtefactError, ConfigError
from synthvae.schema import Schema
from synthvae.table.codes import column_codes, encode, identify_patients
from synthvae.table.no_visits import without_visit

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


@dataclass(frozen=True)
class PatientRows:
    """The rows of each patient, shape (patients, rows per patient), -1 where there is none."""

    rows: Ints

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a row, shape (patients, rows per patient)."""
        return self.rows >= 0

    @property
    def kept(self) -> Ints:
        """All kept rows, in the table's order."""
        return np.sort(self.rows[self.present])


def group_by_patient(frame: pd.DataFrame, schema: Schema, key: bytes | None = None) -> PatientRows:
    """Group a table's rows by patient, keeping at most `schema.maxRows` of each.

    With `orderBy`, a patient's rows come in that order, those of one time in the file's, and `keepRows`
    says which are kept: the first, the last, or neighbours from a start drawn at random. Else they come
    in the file's order, and those that are kept are drawn at random.

    Guarantee
    ---------
    Which rows of a patient are kept, and their order, follow from the key (up to 64 secret bytes, by
    default new ones), that patient's identifier, and the times and places of the rows among that
    patient's own: one patient more or less changes nobody else's.
    """
    if schema.patientKey is None:
        return PatientRows(np.arange(len(frame), dtype=np.int64)[:, None])
    known = identify_patients(frame, schema).to_numpy()
    whose, names = pd.factorize(known)
    order = np.argsort(whose, kind="stable")
    if schema.orderBy is not None:
        order = np.lexsort((column_codes(frame, schema, schema.orderBy.column), whose))
    counts = np.bincount(whose)
    first = np.cumsum(counts) - counts
    limit = schema.rows_per_patient
    rows = np.full((len(counts), limit), -1, np.int64)
    place = np.arange(len(frame)) - np.repeat(first, counts)
    few = np.repeat(counts <= limit, counts)
    rows[whose[order[few]], place[few]] = order[few]
    key = secrets.token_bytes(32) if key is None else key
    for patient in np.flatnonzero(counts > limit):
        kept = _kept_places(key, names[patient], int(counts[patient]), schema)
        rows[patient] = order[first[patient] + kept]
    return PatientRows(rows)


def _kept_places(key: bytes, name: str, rows: int, schema: Schema) -> Ints:
    """Return the places of a patient's kept rows among their own.

    They are those of the least keyed hashes; in time, neighbours from a start that is a keyed hash.
    """
    limit = schema.rows_per_patient
    whose = name.encode("utf-8", "surrogatepass")
    mine = hashlib.blake2b(whose, digest_size=32, key=key, person=b"synthvae rows").digest()
    if schema.orderBy is not None:
        beyond = rows - limit
        drawn = hashlib.blake2b(b"start", digest_size=8, key=mine).digest()
        starts = {"first": 0, "last": beyond, "window": int.from_bytes(drawn) % (beyond + 1)}
        return starts[schema.keepRows] + np.arange(limit, dtype=np.int64)
    draws = [
        hashlib.blake2b(place.to_bytes(8, "little"), digest_size=8, key=mine).digest()
        for place in range(rows)
    ]
    return np.sort(np.array(sorted(range(rows), key=draws.__getitem__)[:limit], np.int64))


def split_by_patient(
    frame: pd.DataFrame, schema: Schema, holdout: float, key: bytes
) -> NDArray[np.bool_]:
    """Return which rows are held out, by an independent draw for each patient.

    Each draw depends on the key and on that patient's identifier (or, without a patientKey, on the
    row's content) alone: unlike with an exact share, one patient more changes nobody else's side.

    Parameters
    ----------
    holdout
        Probability with which a patient is held out.
    key
        Up to 64 secret bytes: whoever has them and an identifier knows that patient's side.
    """
    if schema.patientKey is not None:
        known = identify_patients(frame, schema)
        names = [text.encode("utf-8", "surrogatepass") for text in known]
    else:
        equal: Counter[bytes] = Counter()  # rows before
        names = []
        for row in encode(frame, schema):
            content = row.tobytes()
            names.append(content + equal[content].to_bytes(8, "little"))
            equal[content] += 1
    draws = {
        name: int.from_bytes(hashlib.blake2b(name, digest_size=8, key=key).digest(), "little")
        for name in set(names)
    }
    threshold = int(holdout * 2**64)
    return np.array([draws[name] < threshold for name in names], bool)


def with_identifiers(frame: pd.DataFrame, schema: Schema, patients: Ints) -> pd.DataFrame:
    """Return records with invented identifiers, in the schema's order of columns.

    `patients` numbers the patient of each row from 0, shape (rows,). A patient without visits has no
    identifier of one.
    """
    columns, absent = {}, without_visit(frame, schema)
    for field in schema.fields:
        if field.role == "omit":
            continue
        if field.role == "empty":
            columns[field.name] = pd.Series([None] * len(frame), dtype=object)
            continue
        if field.name not in schema.identifiers:
            columns[field.name] = frame[field.name]
            continue
        is_patients = field.perPatient or field.name in schema.key_columns
        numbers = (patients if is_patients else np.arange(len(frame))) + 1
        texts = [] if field.is_number else [f"synthetic-{number:07d}" for number in numbers]
        invented = pd.Series(numbers if field.is_number else texts)
        if absent.any() and not is_patients:
            invented = invented.astype("Int64" if field.is_number else object).mask(absent, None)
        columns[field.name] = invented
    return pd.DataFrame(columns)


def derived_key(seed: int) -> bytes:
    """Return the key that follows from a seed: no secret, for tests."""
    return hashlib.sha256(f"split {seed}".encode()).digest()


class SplitKey(Frozen):
    """The key of one split, 32 bytes as hexadecimal digits, with a note that it is secret.

    In tests it follows from `test_split_seed`.
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
        """Return the key that lies in a folder; `ArtefactError` where there is none."""
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
    start_over = "pass --start-over, which draws a new key"
    start_over += "; what was spent so far counts then too" if going_on else ""
    kept = SplitKey.read(folder, f"put it back, or {start_over}")
    if kept.test_split_seed != seed:
        now = "not set" if seed is None else str(seed)
        before = "without one" if kept.test_split_seed is None else f"with {kept.test_split_seed}"
        raise ConfigError(
            f"test_split_seed is {now}, but the unfinished run in {folder} was begun {before}, which "
            f"is another split: set it back, or {start_over}."
        )
    return kept
