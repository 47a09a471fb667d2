"""Saved models: a folder of safetensors and JSON, versioned, without pickle and without real rows.

model.json          version, settings, column layout, checksum of the arrays
model.safetensors   weights, calibration, marginals
guarantee.json      what is promised
schema.yaml         the public facts that the model was fitted with
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from synthvae._files import check_output, read_ordinary, whole_folder
from synthvae._frozen import read_mapping
from synthvae._text import brief, shortened
from synthvae.defects import defects_of
from synthvae.errors import ArtefactError, SchemaError, SynthvaeError
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import Layout
from synthvae.model.state import FittedState
from synthvae.privacy.guarantee import Guarantee
from synthvae.schema import MOST_PATIENTS, Schema
from synthvae.settings import Settings

VERSION = 5
FILES = ("model.json", "model.safetensors", "guarantee.json", "schema.yaml")
LARGEST_BYTES = 2_000_000_000
LARGEST_TEXT = 50_000_000
LARGEST_WEIGHT = 1e6  # of any array; fitted ones are hundreds at most
ROUNDING = 1e-6
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SavedModel:
    """What a saved model holds, as values."""

    state: FittedState
    schema: Schema
    guarantee: Guarantee


def save_model(model: SavedModel, path: Path, force: bool) -> None:
    """Write a model to a folder, whole or not at all."""
    from safetensors.numpy import save

    state = model.state
    check_output(path, force, folder_of=FILES)
    arrays = state_arrays(state)
    guarantee = model.guarantee.model_dump_json(indent=1) + "\n"
    content = save({name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())})
    about = {
        "format": "synthvae model",
        "version": VERSION,
        "private": model.guarantee.valid,
        "why_void": model.guarantee.why_void,
        "patients": state.patients,
        "settings": state.layout.settings.model_dump(mode="json"),
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
    if not path.exists():
        raise ArtefactError(f"There is no model {path}; name the folder that fit wrote.")
    if not (path / "model.json").is_file():
        raise ArtefactError(f"{path} holds no model: there is no model.json in it.")
    about = _read_about(path)
    content = _read_bytes(path, "model.safetensors", LARGEST_BYTES)
    if hashlib.sha256(content).hexdigest() != about.get("arrays_sha256"):
        raise ArtefactError(
            f"The model in {path} is damaged: model.safetensors is cut short or was altered; copy it "
            "again from where it was made."
        )
    try:
        # Not Schema.load: a list of categories by file name could name any file of the reader's.
        schema = Schema.from_dict(
            read_mapping(path / "schema.yaml", SchemaError, "schema"), "its schema.yaml"
        )
        settings = Settings.model_validate(about["settings"])
        promised = _read_bytes(path, "guarantee.json")
        if hashlib.sha256(promised).hexdigest() != about["guarantee_sha256"]:
            raise ValueError("guarantee.json is not the one that it was saved with")
        guarantee = Guarantee.model_validate_json(promised)
        if guarantee.schema_digest != schema.digest:
            raise ValueError("schema.yaml is not the schema that it was fitted with")
        arrays = read_arrays(content)
        state = read_state(arrays, schema, settings, _patients(about))
    except ArtefactError:  # which says already what is damaged
        raise
    except (KeyError, ValueError, TypeError, SynthvaeError) as cause:
        reason = shortened(" ".join(str(cause).split()), 300).rstrip(".")
        if isinstance(cause, KeyError):
            reason = f"{reason} is not in it"
        if isinstance(cause, ValidationError):
            first = cause.errors(include_url=False)[0]
            reason = shortened(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 300)
        raise ArtefactError(
            f"The model in {path} is damaged: {reason}; copy it again from where it was made."
        ) from cause
    return SavedModel(state, schema, guarantee)


def _read_bytes(path: Path, name: str, most: int = LARGEST_TEXT) -> bytes:
    try:
        return read_ordinary(path / name, most)
    except OSError as cause:
        raise ArtefactError(
            f"The model in {path} is damaged: {name} cannot be read ({cause.strerror}); copy it "
            "again from where it was made."
        ) from cause


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(_read_bytes(path, "model.json"))
    except (ValueError, RecursionError) as cause:
        raise ArtefactError(
            f"The model in {path} is damaged: model.json is cut short or was altered; copy it again "
            "from where it was made."
        ) from cause
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


def _patients(about: dict[str, Any]) -> int:
    patients = about["patients"]
    if type(patients) is not int or not 1 <= patients <= MOST_PATIENTS:
        raise ValueError(f"patients is {brief(patients)}, which is no number of patients")
    return patients


def read_arrays(content: bytes) -> Arrays:
    """Return the arrays of a file; `ValueError` where they are not whole, or not finite."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = dict(load(content))
    except (SafetensorError, KeyError) as cause:
        raise ValueError(f"its arrays are cut short or were altered ({cause})") from cause
    for name, array in arrays.items():
        kind = np.int64 if name.endswith(("/starts", "/cell_bin")) else np.float64
        if array.dtype != kind or not np.isfinite(array).all():
            raise ValueError(f"{name} does not hold finite {np.dtype(kind)}")
    return arrays


def read_row_shares(arrays: Arrays, schema: Schema) -> NDArray[np.float64] | None:
    """Return the shares of patients with 1, 2, ... rows; `ValueError` where they are none."""
    shares = arrays.get("row_shares")
    if (shares is None) != (schema.patientKey is None):
        raise ValueError("row_shares goes with patientKey")
    if shares is not None and (
        shares.shape != (schema.rows_per_patient,)
        or not 0 <= shares.min() <= shares.max() <= 1 + ROUNDING
        or abs(shares.sum() - 1.0) > 1e-9
    ):
        raise ValueError("row_shares are no shares of patients")
    return shares


def state_arrays(state: FittedState) -> Arrays:
    """Return the arrays of a fitted state, by name."""
    arrays: Arrays = {f"weights/{name}": value for name, value in state.weights.items()}
    arrays |= marginal_arrays(state.layout.marginals)
    arrays |= {f"columns/{j}/offset": offset for j, offset in enumerate(state.offsets)}
    if state.row_shares is not None:
        arrays["row_shares"] = state.row_shares
    return arrays


def read_state(arrays: Arrays, schema: Schema, settings: Settings, patients: int) -> FittedState:
    """Return a fitted state from its arrays; `ValueError` names what does not fit schema or settings."""
    for name, array in arrays.items():
        if array.dtype == np.float64 and array.size and np.abs(array).max() > LARGEST_WEIGHT:
            raise ValueError(f"{name} holds a number beyond {LARGEST_WEIGHT:,.0f}")
    layout, offsets = _layout(arrays, schema, settings)
    weights = {
        name.removeprefix("weights/"): array
        for name, array in arrays.items()
        if name.startswith("weights/")
    }
    _check_shapes(weights, layout)
    return FittedState(layout, weights, offsets, read_row_shares(arrays, schema), patients)


def marginal_arrays(marginals: Sequence[ColumnMarginal]) -> Arrays:
    """Return the arrays of a table's marginals, by name."""
    arrays: Arrays = {}
    for j, marginal in enumerate(marginals):
        arrays |= {
            f"columns/{j}/starts": marginal.starts,
            f"columns/{j}/cell_mass": marginal.cell_mass,
            f"columns/{j}/cell_bin": marginal.cell_bin,
            f"columns/{j}/mass": marginal.mass,
        }
    return arrays


def read_marginals(arrays: Arrays, schema: Schema) -> list[ColumnMarginal]:
    """Return the marginals of a schema's columns; `ValueError` names one that does not fit it."""
    marginals = []
    for j, field in enumerate(schema.modelled):
        marginal = ColumnMarginal(
            arrays[f"columns/{j}/starts"],
            arrays[f"columns/{j}/cell_mass"],
            arrays[f"columns/{j}/cell_bin"],
            arrays[f"columns/{j}/mass"],
            ColumnMarginal.cells_of(field),
            len(field.special),
            field.nullable,
        )
        if not _fits(marginal):
            raise ValueError(f"the anchor of column '{field.name}' does not fit the schema")
        marginals.append(marginal)
    return marginals


def _layout(
    arrays: Arrays, schema: Schema, settings: Settings
) -> tuple[Layout, list[NDArray[np.float64]]]:
    marginals, offsets = read_marginals(arrays, schema), []
    for j, (field, marginal) in enumerate(zip(schema.modelled, marginals, strict=True)):
        offset = arrays[f"columns/{j}/offset"]
        if offset.shape != marginal.mass.shape:
            raise ValueError(f"the anchor of column '{field.name}' does not fit the schema")
        offsets.append(offset)
    return Layout.build(marginals, schema.modelled, settings), offsets


def _fits(marginal: ColumnMarginal) -> bool:
    """Whether a marginal's arrays have the right shapes and orders, so that sampling can trust them."""
    cells = len(marginal.starts) if marginal.starts.ndim == 1 else 0
    if not cells or marginal.cell_mass.shape != (cells,) or marginal.cell_bin.shape != (cells,):
        return False
    steps = np.diff(marginal.cell_bin)
    return bool(
        marginal.starts[0] == 0
        and (marginal.cell_sizes > 0).all()
        and marginal.cell_bin[0] == 0
        and ((steps == 0) | (steps == 1)).all()
        and marginal.mass.shape == (marginal.bins + marginal.specials + marginal.nullable,)
        and 0 < marginal.mass.min() <= marginal.mass.max() <= 1 + ROUNDING
        and abs(marginal.mass.sum() - 1.0) < ROUNDING
        and 0 <= marginal.cell_mass.min() <= marginal.cell_mass.max() <= 1 + ROUNDING
    )


def weight_shapes(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight of a model, by name."""
    settings, size = layout.settings, layout.features
    expected: dict[str, tuple[int, ...]] = {
        "encoder.weight": (settings.hidden, size),
        "encoder.bias": (settings.hidden,),
        "posterior.weight": (2 * settings.latent, settings.hidden),
        "posterior.bias": (2 * settings.latent,),
        "decoder.weight": (settings.hidden, settings.latent),
        "decoder.bias": (settings.hidden,),
        "loadings.weight": (size, settings.hidden),
        "earlier.weight": (size, size),
        "earlier.bias": (size,),
    }
    if settings.mixture:
        expected |= {
            "mixture_in.weight": (settings.mixture, size),
            "mixture_out.weight": (size, settings.mixture),
        }
    return expected


def _check_shapes(weights: Arrays, layout: Layout) -> None:
    expected = weight_shapes(layout)
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))
        raise ValueError(f"its weights do not fit its settings: {wrong[0][0]}")
