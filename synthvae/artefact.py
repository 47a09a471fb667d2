"""Saved models: a folder of safetensors and JSON, versioned, without pickle and without real rows.

model.json          version, settings, column layout, checksum of the arrays
model.safetensors   weights, calibration, anchors
guarantee.json      what is promised
schema.yaml         the public facts that the model was fitted with
"""

import hashlib
import json
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from synthvae._files import check_output, whole_folder
from synthvae._yaml import read_mapping
from synthvae.anchors import ColumnAnchor
from synthvae.errors import ArtefactError, SchemaError, SynthvaeError
from synthvae.model.layout import Layout
from synthvae.privacy.guarantee import Guarantee
from synthvae.schema import Schema
from synthvae.settings import Settings

if TYPE_CHECKING:
    from synthvae.synthesizer import Synthesizer

VERSION = 2
FILES = ("model.json", "model.safetensors", "guarantee.json", "schema.yaml")
LARGEST_BYTES = 2_000_000_000
Arrays = dict[str, NDArray[Any]]


def save_model(synthesizer: "Synthesizer", path: Path, force: bool) -> None:
    """Write a fitted synthesizer to a folder, whole or not at all."""
    from safetensors.numpy import save

    state = synthesizer.state()
    check_output(path, force, folder_of=FILES)
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
    guarantee = synthesizer.guarantee.model_dump_json(indent=1) + "\n"
    content = save({name: np.ascontiguousarray(value) for name, value in sorted(arrays.items())})
    about = {
        "format": "synthvae model",
        "version": VERSION,
        "private": synthesizer.guarantee.valid,
        "why_void": synthesizer.guarantee.why_void,
        "patients": state.patients,
        "settings": layout.settings.model_dump(mode="json"),
        "arrays_sha256": hashlib.sha256(content).hexdigest(),
        "guarantee_sha256": hashlib.sha256(guarantee.encode()).hexdigest(),
    }
    with whole_folder(path, force) as folder:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "model.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (folder / "guarantee.json").write_bytes(guarantee.encode())
        (folder / "schema.yaml").write_text(synthesizer.schema.to_yaml(), encoding="utf-8")


def load_model(path: Path) -> "Synthesizer":
    """Read a model from a folder, checking its version, its checksum, every shape and every value.

    The files may come from anywhere: nothing in them is run, and no other file is read.
    """
    from synthvae.synthesizer import FittedState, Synthesizer

    if not path.exists():
        raise ArtefactError(f"There is no model {path}; name the folder that fit wrote.")
    if not (path / "model.json").is_file():
        raise ArtefactError(f"{path} holds no model: there is no model.json in it.")
    about = _read_about(path)
    content = _read_bytes(path, "model.safetensors")
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
        arrays = _read_arrays(content)
        layout, offsets = _layout(arrays, schema, settings)
        weights = {
            name.removeprefix("weights/"): array
            for name, array in arrays.items()
            if name.startswith("weights/")
        }
        _check_shapes(weights, layout)
        shares = _row_shares(arrays, schema)
        state = FittedState(layout, weights, offsets, shares, _patients(about))
    except (KeyError, ValueError, TypeError, SynthvaeError) as cause:
        reason = " ".join(str(cause).split())[:300].rstrip(".")
        if isinstance(cause, KeyError):
            reason = f"{reason} is not in it"
        if isinstance(cause, ValidationError):
            first = cause.errors(include_url=False)[0]
            reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ArtefactError(
            f"The model in {path} is damaged: {reason}; copy it again from where it was made."
        ) from cause
    return Synthesizer.from_state(schema, state, guarantee)


def _read_bytes(path: Path, name: str) -> bytes:
    file = path / name
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ArtefactError(f"The model in {path} is damaged: {name} is no ordinary file.")
        if about.st_size > LARGEST_BYTES:
            raise ArtefactError(f"{file} is larger than 2 GB, which no synthvae model is.")
        return file.read_bytes()
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
        raise ArtefactError(
            f"The model in {path} has version {version!r}, this synthvae reads "
            f"{VERSION}: use the synthvae that fitted it, or fit again."
        )
    return about


def _patients(about: dict[str, Any]) -> int:
    patients = about["patients"]
    if type(patients) is not int or patients < 1:
        raise ValueError(f"patients is {patients!r}, which is no number of patients")
    return patients


def _read_arrays(content: bytes) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = dict(load(content))
    except (SafetensorError, KeyError) as cause:
        raise ValueError(f"model.safetensors is none ({cause})") from cause
    for name, array in arrays.items():
        kind = np.int64 if name.endswith(("/starts", "/cell_bin")) else np.float64
        if array.dtype != kind or not np.isfinite(array).all():
            raise ValueError(f"{name} does not hold finite {np.dtype(kind)}")
    return arrays


def _row_shares(arrays: Arrays, schema: Schema) -> NDArray[np.float64] | None:
    shares = arrays.get("row_shares")
    if (shares is None) != (schema.patientKey is None):
        raise ValueError("row_shares goes with patientKey")
    if shares is not None and (
        shares.shape != (schema.rows_per_patient,)
        or shares.min() < 0
        or abs(shares.sum() - 1.0) > 1e-9
    ):
        raise ValueError("row_shares are no shares of patients")
    return shares


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
        if not _fits(anchor) or offset.shape != anchor.mass.shape:
            raise ValueError(f"the anchor of column '{field.name}' does not fit the schema")
        anchors.append(anchor)
        offsets.append(offset)
    return Layout.build(anchors, schema.modelled, settings), offsets


def _fits(anchor: ColumnAnchor) -> bool:
    """Whether an anchor's arrays are of the right shapes and orders, so that sampling can trust them."""
    cells = len(anchor.starts) if anchor.starts.ndim == 1 else 0
    if not cells or anchor.cell_mass.shape != (cells,) or anchor.cell_bin.shape != (cells,):
        return False
    steps = np.diff(anchor.cell_bin)
    return bool(
        anchor.starts[0] == 0
        and (anchor.cell_sizes > 0).all()
        and anchor.cell_bin[0] == 0
        and ((steps == 0) | (steps == 1)).all()
        and anchor.mass.shape == (anchor.bins + anchor.specials + anchor.nullable,)
        and anchor.mass.min() > 0
        and anchor.cell_mass.min() >= 0
    )


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
        "earlier.weight": (size, size),
        "earlier.bias": (size,),
    }
    if settings.mixture:
        expected |= {
            "mixture_in.weight": (settings.mixture, size),
            "mixture_out.weight": (size, settings.mixture),
        }
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))
        raise ValueError(f"its weights do not fit its settings: {wrong[0][0]}")
