"""Saved models: a folder of safetensors and JSON, versioned, without pickle and without real rows.

model.json          version, settings, column layout, checksum of the arrays
model.safetensors   weights, calibration, marginals
guarantee.json      what is promised
schema.yaml         the public facts that the model was fitted with
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from synthvae._files import check_output, whole_folder
from synthvae._frozen import first_finding, read_mapping
from synthvae._text import brief, one_line
from synthvae.defects import check_is_model, damaged_model, defects_of, read_model_file
from synthvae.errors import ArtefactError, SchemaError, SynthvaeError
from synthvae.model.history_state import HistoryState
from synthvae.model.state import Arrays, FittedState
from synthvae.privacy.guarantee import Guarantee
from synthvae.schema import MOST_PATIENTS, Schema
from synthvae.settings import Settings

VERSION = 7
FILES = ("model.json", "model.safetensors", "guarantee.json", "schema.yaml")
LARGEST_BYTES = 2_000_000_000
LARGEST_TEXT = 50_000_000
INVALID = (KeyError, ValueError, TypeError, SynthvaeError)  # what reading values of a file raises


@dataclass(frozen=True)
class SavedModel:
    """What a saved model holds, as values."""

    state: FittedState | HistoryState
    schema: Schema
    guarantee: Guarantee


def save_model(model: SavedModel, path: Path, force: bool) -> None:
    """Write a model to a folder, whole or not at all."""
    check_output(path, force, folder_of=FILES)
    guarantee = model.guarantee.model_dump_json(indent=1) + "\n"
    content = pack_arrays(model.state.arrays())
    about = {
        "format": "synthvae model",
        "version": VERSION,
        "private": model.guarantee.valid,
        "why_void": model.guarantee.why_void,
        "patients": model.state.patients,
        "settings": model.state.layout.settings.model_dump(mode="json"),
        "arrays_sha256": hashlib.sha256(content).hexdigest(),
        "guarantee_sha256": hashlib.sha256(guarantee.encode()).hexdigest(),
    }
    with whole_folder(path, force) as folder:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "model.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (folder / "guarantee.json").write_bytes(guarantee.encode())
        (folder / "schema.yaml").write_text(model.schema.to_yaml(), encoding="utf-8")


def load_model(path: Path) -> SavedModel:
    """Read a model from a folder, checking its version, its checksum, every shape and every value.

    The files may come from anywhere: nothing in them is run, and no other file is read.
    """
    check_is_model(path)
    about = _read_about(path)
    try:
        content = read_model_file(path, "model.safetensors", LARGEST_BYTES)
        if hashlib.sha256(content).hexdigest() != about.get("arrays_sha256"):
            raise ValueError("model.safetensors is cut short or was altered")
        # Not Schema.load: a list of categories by file name could name any file of the reader's.
        schema = Schema.from_dict(
            read_mapping(path / "schema.yaml", SchemaError, "schema"), "its schema.yaml"
        )
        settings = Settings.model_validate(about["settings"])
        promise = read_model_file(path, "guarantee.json", LARGEST_TEXT)
        if hashlib.sha256(promise).hexdigest() != about["guarantee_sha256"]:
            raise ValueError("guarantee.json is not the one that it was saved with")
        guarantee = Guarantee.model_validate_json(promise)
        if guarantee.schema_digest != schema.digest:
            raise ValueError("schema.yaml is not the schema that it was fitted with")
        patients = about["patients"]
        if type(patients) is not int or not 1 <= patients <= MOST_PATIENTS:
            raise ValueError(f"patients is {brief(patients)}, which is no number of patients")
        kind = FittedState if schema.orderBy is None else HistoryState
        state = kind.from_arrays(unpack_arrays(content), schema, settings, patients)
    except ArtefactError:  # which says already what is damaged
        raise
    except INVALID as cause:
        raise damaged_model(path, reason_of(cause)) from cause
    return SavedModel(state, schema, guarantee)


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(read_model_file(path, "model.json", LARGEST_TEXT))
    except (ValueError, RecursionError) as cause:
        raise damaged_model(path, "model.json is cut short or was altered") from cause
    if not isinstance(about, dict) or about.get("format") != "synthvae model":
        raise ArtefactError(f"{path} holds no synthvae model.")
    version = about.get("version")
    if type(version) is not int or version != VERSION:
        known = type(version) is int and defects_of(version)
        raise ArtefactError(
            f"The model in {path} has version {brief(version)}, this synthvae reads "
            f"{VERSION}: use the synthvae that fitted it, or fit again."
            + (" `synthvae check-model` says what is known about it." if known else "")
        )
    return about


def reason_of(cause: Exception) -> str:
    """Return what is wrong with a file's values."""
    if isinstance(cause, ValidationError):
        return first_finding(cause)
    return f"{one_line(cause)} is not in it" if isinstance(cause, KeyError) else one_line(cause)


def pack_arrays(arrays: Arrays, metadata: dict[str, str] | None = None) -> bytes:
    """Return the content of a safetensors file, whose arrays stand in the order of their names."""
    from safetensors.numpy import save

    ordered = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    content: bytes = save(ordered, metadata)
    return content


def unpack_arrays(content: bytes) -> Arrays:
    """Return the arrays of a safetensors file; `ValueError` where they are not whole and finite."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: Arrays = load(content)
    except (SafetensorError, KeyError) as cause:
        raise ValueError(f"its arrays are cut short or were altered ({cause})") from cause
    for name, array in arrays.items():
        kind = (
            np.int64
            if name.endswith(("/starts", "/cell_bin")) or name in ("products", "moves")
            else np.float64
        )
        if array.dtype != kind or not np.isfinite(array).all():
            raise ValueError(f"{name} does not hold finite {np.dtype(kind)}")
    return arrays
