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


def group_by_patient(frame: pd.DataFrame, schema: Schema, key: bytes | None = None) -> PatientRows:
    """Group a table's rows by patient, keeping at most `schema.maxRows` of each, drawn at random.

    Which rows of a patient are kept follows from the key, that patient's identifier and the places
    of the rows among that patient's own: one patient more or less changes nobody else's.

    Parameters
    ----------
    key
        Up to 64 secret bytes; from the operating system where none are given.
    """
    if schema.patientKey is None:
        return PatientRows(np.arange(len(frame), dtype=np.int64)[:, None])
    known = identities(frame[schema.patientKey], schema[schema.patientKey]).to_numpy()
    whose, names = pd.factorize(known)
    order = np.argsort(whose, kind="stable")
    counts = np.bincount(whose)
    first = np.cumsum(counts) - counts
    most = schema.rows_per_patient
    rows = np.full((len(counts), most), -1, np.int64)
    place = np.arange(len(frame)) - np.repeat(first, counts)
    few = np.repeat(counts <= most, counts)
    rows[whose[order[few]], place[few]] = order[few]
    key = secrets.token_bytes(32) if key is None else key
    for patient in np.flatnonzero(counts > most):
        kept = _kept_places(key, names[patient], int(counts[patient]), most)
        rows[patient] = order[first[patient] + kept]
    return PatientRows(rows)


def _kept_places(key: bytes, name: str, rows: int, most: int) -> Ints:
    """Return the places of a patient's kept rows among their own: those of the least keyed hashes."""
    whose = name.encode("utf-8", "surrogatepass")
    mine = hashlib.blake2b(whose, digest_size=32, key=key, person=b"synthvae rows").digest()
    draws = [
        hashlib.blake2b(place.to_bytes(8, "little"), digest_size=8, key=mine).digest()
        for place in range(rows)
    ]
    return np.sort(np.array(sorted(range(rows), key=draws.__getitem__)[:most], np.int64))


def split_by_patient(
    frame: pd.DataFrame, schema: Schema, holdout: float, key: bytes
) -> NDArray[np.bool_]:
    """Return which rows are held out, decided by an independent draw for each patient.

    Each draw depends on the key and on that patient's identifier (or, without a patientKey, on
    the row's content) alone: adding a patient changes nobody else's side, as an exact share would.

    Parameters
    ----------
    holdout
        Probability with which a patient is held out.
    key
        Up to 64 secret bytes: whoever has them and an identifier knows that patient's side.
    """
    if schema.patientKey is not None:
        known = identities(frame[schema.patientKey], schema[schema.patientKey])
        names = [text.encode("utf-8", "surrogatepass") for text in known]
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


def with_identifiers(frame: pd.DataFrame, schema: Schema, patients: Ints) -> pd.DataFrame:
    """Return records with invented identifiers, in the schema's order of columns.

    Parameters
    ----------
    patients
        Whose rows they are, numbered from 0, shape (rows,).
    """
    columns = {}
    for field in schema.fields:
        if field.name not in schema.identifiers:
            columns[field.name] = frame[field.name]
            continue
        number = (patients if field.name == schema.patientKey else np.arange(len(frame))) + 1
        if field.type in ("integer", "number"):
            columns[field.name] = pd.Series(number)
        else:
            columns[field.name] = pd.Series([f"synthetic-{i:07d}" for i in number])
    return pd.DataFrame(columns)
