"""Saved models: a folder of safetensors and JSON, versioned, without pickle and without real rows.

    model.json          version, settings, column layout, checksum of the arrays
    model.safetensors   weights, calibration, anchors
    guarantee.json      what is promised
    schema.yaml         the public facts that the model was fitted with
"""

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from synthvae._files import whole_folder
from synthvae.anchors import ColumnAnchor
from synthvae.errors import ArtefactError, SchemaError
from synthvae.model.layout import Layout
from synthvae.privacy.guarantee import Guarantee
from synthvae.schema import Schema
from synthvae.settings import Settings

if TYPE_CHECKING:
    from synthvae.synthesizer import Synthesizer

VERSION = 1
LARGEST_BYTES = 2_000_000_000
Arrays = dict[str, NDArray[Any]]


def save_model(synthesizer: "Synthesizer", path: Path, force: bool) -> None:
    """Write a fitted synthesizer to a folder, whole or not at all."""
    from safetensors.numpy import save

    state = synthesizer.state()
    layout: Layout = state.layout
    arrays: Arrays = {f"weights/{name}": value for name, value in state.weights.items()}
    for j, (anchor, offset) in enumerate(zip(layout.anchors, state.offsets, strict=True)):
        arrays |= {
            f"columns/{j}/starts": anchor.starts,
            f"columns/{j}/cell_mass": anchor.cell_mass,
            f"columns/{j}/cell_bin": anchor.cell_bin,
            f"columns/{j}/mass": anchor.mass,
            f"columns/{j}/offset": offset,
        }
    if state.row_shares is not None:
        arrays["row_shares"] = state.row_shares
    content = save({name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())})
    about = {
        "format": "synthvae model",
        "version": VERSION,
        "private": synthesizer.guarantee.valid,
        "why_void": synthesizer.guarantee.why_void,
        "patients": state.patients,
        "settings": layout.settings.model_dump(mode="json"),
        "arrays_sha256": hashlib.sha256(content).hexdigest(),
    }
    with whole_folder(path, force) as folder:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "model.json").write_text(json.dumps(about, indent=1) + "\n")
        (folder / "guarantee.json").write_text(
            synthesizer.guarantee.model_dump_json(indent=1) + "\n"
        )
        (folder / "schema.yaml").write_text(synthesizer.schema.to_yaml(), encoding="utf-8")


def load_model(path: Path) -> "Synthesizer":
    """Read a model from a folder, checking its version, its checksum and every shape."""
    from synthvae.synthesizer import FittedState, Synthesizer

    if not (path / "model.json").is_file():
        raise ArtefactError(f"{path} holds no model: there is no model.json in it.")
    about = _read_about(path)
    try:
        content = (path / "model.safetensors").read_bytes()
    except OSError as cause:
        raise ArtefactError(f"The model in {path} has no readable model.safetensors.") from cause
    if hashlib.sha256(content).hexdigest() != about.get("arrays_sha256"):
        raise ArtefactError(
            f"The model in {path} is damaged: model.safetensors is cut short or was altered; copy it "
            "again from where it was made."
        )
    try:
        schema = Schema.load(path / "schema.yaml")
        settings = Settings.model_validate(about["settings"])
        guarantee = Guarantee.model_validate_json((path / "guarantee.json").read_bytes())
        arrays = _read_arrays(content)
        layout, offsets = _layout(arrays, schema, settings)
        weights = {
            name.removeprefix("weights/"): array
            for name, array in arrays.items()
            if name.startswith("weights/")
        }
        _check_shapes(weights, layout)
        state = FittedState(layout, weights, offsets, arrays.get("row_shares"), about["patients"])
    except ArtefactError:
        raise
    except (KeyError, ValueError, OSError, SchemaError, ValidationError) as cause:
        reason = " ".join(str(cause).split())[:300]
        raise ArtefactError(f"The model in {path} is damaged: {reason}") from cause
    return Synthesizer.from_state(schema, state, guarantee)


def _read_about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads((path / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise ArtefactError(f"The model in {path} is damaged: model.json is not readable.") from cause
    if not isinstance(about, dict) or about.get("format") != "synthvae model":
        raise ArtefactError(f"{path} holds no synthvae model.")
    if not isinstance(about.get("version"), int) or about["version"] > VERSION:
        raise ArtefactError(
            f"The model in {path} has version {about.get('version')}, this synthvae reads up to "
            f"{VERSION}; install a newer synthvae."
        )
    return about


def _read_arrays(content: bytes) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if len(content) > LARGEST_BYTES:
        raise ArtefactError("The model is larger than 2 GB, which no synthvae model is.")
    try:
        return dict(load(content))
    except SafetensorError as cause:
        raise ArtefactError(f"model.safetensors is damaged: {cause}") from cause


def _layout(
    arrays: Arrays, schema: Schema, settings: Settings
) -> tuple[Layout, list[NDArray[np.float64]]]:
    anchors, offsets = [], []
    for j, field in enumerate(schema.modelled):
        anchor = ColumnAnchor(
            arrays[f"columns/{j}/starts"],
            arrays[f"columns/{j}/cell_mass"],
            arrays[f"columns/{j}/cell_bin"],
            arrays[f"columns/{j}/mass"],
            ColumnAnchor.cells_of(field),
            len(field.special),
            field.nullable,
        )
        offset = arrays[f"columns/{j}/offset"]
        if (
            len({anchor.starts.shape, anchor.cell_mass.shape, anchor.cell_bin.shape}) != 1
            or anchor.tokens != anchor.bins + anchor.specials + anchor.nullable
            or offset.shape != anchor.mass.shape
        ):
            raise ArtefactError(f"the anchor of column '{field.name}' does not fit the schema.")
        anchors.append(anchor)
        offsets.append(offset)
    return Layout.build(anchors, schema.modelled, settings), offsets


def _check_shapes(weights: Arrays, layout: Layout) -> None:
    settings, size = layout.settings, layout.features
    expected = {
        "encoder.weight": (settings.hidden, size),
        "encoder.bias": (settings.hidden,),
        "posterior.weight": (2 * settings.latent, settings.hidden),
        "posterior.bias": (2 * settings.latent,),
        "decoder.weight": (settings.hidden, settings.latent),
        "decoder.bias": (settings.hidden,),
        "loadings.weight": (size, settings.hidden),
        "loadings.bias": (size,),
        "earlier.weight": (size, size),
    }
    if settings.mixture:
        expected |= {
            "mixture_in.weight": (settings.mixture, size),
            "mixture_out.weight": (size, settings.mixture),
        }
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))
        raise ArtefactError(f"the model's weights do not fit its settings: {wrong[0][0]}.")
