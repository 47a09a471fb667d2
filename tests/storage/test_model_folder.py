import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from synthvae.errors import ArtefactError, OutputExistsError, StorageError
from synthvae.schema import Schema
from synthvae.storage.model_folder import FILES
from synthvae.synthesizer import Synthesizer
from tests.hospital import SCHEMA, fitted, make_table
from tests.hostile.examples import model_files, model_state, write_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    fitted().save(path)
    return path


def test_a_model_is_four_files_without_pickle_or_real_rows(model: Path) -> None:
    assert sorted(file.name for file in model.iterdir()) == sorted(FILES)
    content = b"".join(file.read_bytes() for file in model.iterdir())
    assert b"P00001" not in content
    # Round numbers, mostly zero bytes, may stand anywhere by chance; others may not.
    weights = {weight.tobytes() for weight in make_table()["weight.kg"].to_numpy()}
    telling = [bits for bits in weights if bits.count(0) < 3]
    assert len(telling) > 100
    assert not any(bits in content for bits in telling)


def test_the_same_model_is_the_same_bytes(model: Path, tmp_path: Path) -> None:
    Synthesizer.load(model).save(tmp_path / "copy")
    for name in FILES:
        assert (model / name).read_bytes() == (tmp_path / "copy" / name).read_bytes()


def change_about(model: Path, **changes: Any) -> None:
    about = json.loads((model / "model.json").read_text(encoding="utf-8"))
    (model / "model.json").write_text(json.dumps(about | changes), encoding="utf-8")


def change_arrays(model: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Alter arrays as somebody would who also mends the checksum."""
    arrays = load((model / "model.safetensors").read_bytes())
    change(arrays)
    content = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    (model / "model.safetensors").write_bytes(content)
    change_about(model, arrays_sha256=hashlib.sha256(content).hexdigest())


def truncate(model: Path, name: str, size: int) -> None:
    (model / name).write_bytes((model / name).read_bytes()[:size])


def put(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays.__setitem__(name, value)


def filled(name: str, value: float) -> Callable[[dict[str, Any]], object]:
    return lambda arrays: arrays.__setitem__(name, np.full_like(arrays[name], value))


FILE_CHANGES: dict[str, Callable[[Path], object]] = {
    "is damaged: model.json is cut short": lambda m: truncate(m, "model.json", 40),
    "holds no synthvae model": lambda m: (m / "model.json").write_text("[1, 2]"),
    "holds no model: there is no model.json": lambda m: (m / "model.json").unlink(),
    "model.json is cut short or was altered": lambda m: (m / "model.json").write_bytes(b"\xff\xfe"),
    "model.json is cut": lambda m: (m / "model.json").write_text("[" * 100_000),
    "has version 8, .* use the synthvae that fitted it": lambda m: change_about(m, version=8),
    "has version 3, .* use the synthvae that fitted it": lambda m: change_about(m, version=3),
    "has version 2": lambda m: change_about(m, version=2),  # its settings lack a bound
    "has version 1": lambda m: change_about(m, version=1),  # its couplings are laid out otherwise
    "has version True": lambda m: change_about(m, version=True),
    "has version 0": lambda m: change_about(m, version=0),
    "patients is '400'": lambda m: change_about(m, patients="400"),
    "patients is -3": lambda m: change_about(m, patients=-3),
    "Field required at bins": lambda m: change_about(m, settings={"steps": 0}),
    "is damaged: ": lambda m: change_about(m, settings=[]),
    "model.safetensors is cut short or was altered": lambda m: truncate(
        m, "model.safetensors", 900
    ),
    "model.safetensors is cut": lambda m: truncate(m, "model.safetensors", 0),
    "model.safetensors cannot be read": lambda m: (m / "model.safetensors").unlink(),
    "guarantee.json cannot be read": lambda m: (m / "guarantee.json").unlink(),
    "guarantee.json is not the one": lambda m: truncate(m, "guarantee.json", 30),
    "guarantee.json is not the one that it was saved with": lambda m: (
        m / "guarantee.json"
    ).write_text("{}"),
    "There is no schema file": lambda m: (m / "schema.yaml").unlink(),
    "schema.yaml is not valid": lambda m: (m / "schema.yaml").write_text("fields: ["),
    "schema.yaml is not the schema that it was fitted with": lambda m: (
        m / "schema.yaml"
    ).write_text(SCHEMA.replace(patients=401).to_yaml(), encoding="utf-8"),
}


@pytest.mark.parametrize("message", FILE_CHANGES)
def test_files_that_were_changed(model: Path, message: str) -> None:
    FILE_CHANGES[message](model)
    with pytest.raises(ArtefactError, match=message) as refused:
        Synthesizer.load(model)
    for words in ("is damaged", "copy it again"):
        assert str(refused.value).count(words) <= 1


ARRAY_CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "columns/0/starts' is not in it": lambda arrays: arrays.pop("columns/0/starts"),
    "weights do not fit its settings: earlier.bias": lambda arrays: arrays.pop(
        "weights/earlier.bias"
    ),
    "weights do not fit its settings: evil": put("weights/evil", np.zeros(3)),
    "weights do not fit its settings: decoder.bias": put("weights/decoder.bias", np.zeros(0)),
    "encoder.bias does not hold finite float64": filled("weights/encoder.bias", float("nan")),
    "mass does not hold finite float64": filled("columns/1/mass", float("inf")),
    "decoder.weight does not hold": put("weights/decoder.weight", np.zeros((4, 2), np.float32)),
    "anchor of column 'sex' does not fit": filled("columns/0/mass", -1.0),
    "column 'sex' does": put("columns/0/starts", np.array([5, 1], np.int64)),
    "'sex' does": put("columns/0/cell_bin", np.array([0, 10**12], np.int64)),
    "of column 'âge' does not fit": put("columns/1/starts", np.zeros((2, 2), np.int64)),
    "'âge' does not": put("columns/1/offset", np.zeros(1)),
    "'products' is not in it": lambda arrays: arrays.pop("products"),
    "products does not hold finite int64": put("products", np.zeros((1, 3))),
    "products do not fit the schema": put("products", np.zeros((1, 4), np.int64)),
    "products name features that are not there": put("products", np.array([[10**6, 0, -1]])),
    "products name features that are": put("products", np.array([[-2, 0, -1]])),
    "products are not of different columns": put("products", np.array([[0, 0, -1]])),
    "a product of one feature": put("products", np.array([[-1, -1, -1]])),
    "a product of one": put("products", np.array([[3, -1, 0]])),
    "a product twice": put("products", np.array([[3, 0, -1], [3, 0, -1]])),
    "weights do not fit its settings: products.weight": put(
        "weights/products.weight", np.zeros((3, 10**5))
    ),
    "row_shares are no shares": put("row_shares", np.array([0.5, 0.5, 0.5])),
    "row_shares are": put("row_shares", np.array([1.0])),
    "row_shares goes with patientKey": lambda arrays: arrays.pop("row_shares"),
}


@pytest.mark.parametrize("message", ARRAY_CHANGES)
def test_arrays_that_were_changed_together_with_their_checksum(model: Path, message: str) -> None:
    change_arrays(model, ARRAY_CHANGES[message])
    with pytest.raises(ArtefactError, match=message):
        Synthesizer.load(model)


def test_products_of_features_are_kept_and_matter(tmp_path: Path) -> None:
    made, silent = model_state(), load(model_files()["model.safetensors"])
    loaded = Synthesizer.load(write_model(tmp_path / "model"))
    state = loaded.state()
    assert (state.layout.products == made.layout.products).all()
    assert len(state.layout.products) == 2
    weight = state.weights["products.weight"]
    assert (weight == made.weights["products.weight"]).all()
    silent["weights/products.weight"] = np.zeros_like(weight)
    without = Synthesizer.load(write_model(tmp_path / "silent", arrays=save(silent)))
    assert loaded.sample(50, seed=1).equals(
        Synthesizer.from_state(SCHEMA, made, loaded.guarantee).sample(50, seed=1)
    )
    assert not loaded.sample(50, seed=1).equals(without.sample(50, seed=1))


def test_not_safetensors_but_the_right_checksum(model: Path) -> None:
    content = b"\x80\x04pickle"
    (model / "model.safetensors").write_bytes(content)
    change_about(model, arrays_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ArtefactError, match="its arrays are cut short or were altered"):
        Synthesizer.load(model)


def test_another_models_arrays_do_not_fit(model: Path, tmp_path: Path) -> None:
    fitted("open").save(tmp_path / "open")
    content = (tmp_path / "open" / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(content)
    with pytest.raises(ArtefactError, match="was altered"):
        Synthesizer.load(model)
    change_about(model, arrays_sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(ArtefactError, match="is damaged"):
        Synthesizer.load(model)


def test_a_models_schema_reads_no_other_file(model: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a\nb\n")
    text = (model / "schema.yaml").read_text(encoding="utf-8")
    altered = (
        Schema.from_dict(SCHEMA.to_dict())
        .to_yaml()
        .replace("enum: [female, male]", "enum: ../secret.txt")
    )
    assert altered != text
    (model / "schema.yaml").write_text(altered, encoding="utf-8")
    with pytest.raises(ArtefactError, match="field 'sex', constraints, enum"):
        Synthesizer.load(model)


def test_what_is_no_folder_or_no_file(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"There is no model .*; name the folder"):
        Synthesizer.load(tmp_path / "nowhere")
    with pytest.raises(ArtefactError, match="holds no model"):
        Synthesizer.load(model / "model.json")


def test_a_folder_that_exists_is_replaced_only_by_force(model: Path) -> None:
    before = (model / "model.json").read_bytes()
    with pytest.raises(OutputExistsError, match="exists already; pass --force"):
        fitted("open").save(model)
    assert (model / "model.json").read_bytes() == before
    fitted("open").save(model, force=True)
    assert not Synthesizer.load(model).guarantee.valid
    assert [file.name for file in model.parent.iterdir()] == ["model"]


def test_a_folder_with_something_else_is_never_replaced(model: Path) -> None:
    (model / "thesis.docx").write_text("years of work")
    with pytest.raises(OutputExistsError, match=r"holds 'thesis\.docx'"):
        fitted().save(model, force=True)
    assert (model / "thesis.docx").read_text() == "years of work"


def test_a_file_is_never_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a\n1\n")
    with pytest.raises(OutputExistsError, match="is a file, where a folder should go"):
        fitted().save(tmp_path / "data.csv", force=True)
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        fitted().save(tmp_path / "data.csv" / "model")


def test_a_link_to_a_model_is_followed(model: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(model)
    fitted("open").save(tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert not Synthesizer.load(model).guarantee.valid
