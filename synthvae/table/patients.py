"""Patients as the privacy unit: whose rows are whose, how many are kept, and who is held out."""

import hashlib
import secrets
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.schema import Schema
from synthvae.table.cells import identities
from synthvae.table.codes import Ints, encode


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


def group_by_patient(
    frame: pd.DataFrame, schema: Schema, generator: np.random.Generator | None = None
) -> PatientRows:
    """Group a table's rows by patient, keeping at most `schema.maxRows` of each, drawn at random.

    Parameters
    ----------
    generator
        Draws which rows of a patient are kept; from the operating system where none is given.
    """
    if schema.patientKey is None:
        return PatientRows(np.arange(len(frame), dtype=np.int64)[:, None])
    generator = generator or np.random.default_rng(secrets.randbits(128))
    whose, _ = pd.factorize(identities(frame[schema.patientKey], schema[schema.patientKey]))
    order = generator.permutation(len(frame))
    order = order[np.argsort(whose[order], kind="stable")]
    counts = np.bincount(whose)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    place = np.arange(len(frame)) - first
    kept = place < schema.rows_per_patient
    rows = np.full((len(counts), schema.rows_per_patient), -1, np.int64)
    rows[whose[order[kept]], place[kept]] = order[kept]
    return PatientRows(rows)


def split_by_patient(
    frame: pd.DataFrame, schema: Schema, holdout: float, seed: int | None = None
) -> NDArray[np.bool_]:
    """Return which rows are held out, decided by an independent draw for each patient.

    Each draw depends on the seed and on that patient's identifier (or, without a patientKey, on
    the row's content) alone: adding a patient changes nobody else's side, as an exact share would.

    Parameters
    ----------
    holdout
        Probability with which a patient is held out.
    seed
        Makes the split repeatable; from the operating system where none is given.
    """
    key = (
        secrets.token_bytes(32)
        if seed is None
        else hashlib.sha256(f"split {seed}".encode()).digest()
    )
    if schema.patientKey is not None:
        known = identities(frame[schema.patientKey], schema[schema.patientKey])
        names = [text.encode() for text in known]
    else:
        seen: Counter[bytes] = Counter()
        names = []
        for row in encode(frame, schema):
            content = row.tobytes()
            names.append(content + seen[content].to_bytes(8, "little"))
            seen[content] += 1
    draws = {
        name: int.from_bytes(hashlib.blake2b(name, digest_size=8, key=key).digest(), "little")
        for name in set(names)
    }
    threshold = int(holdout * 2**64)
    return np.array([draws[name] < threshold for name in names], bool)
