"""What is fuzzed: every function that reads a file which somebody else may have written."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import load, save

from synthvae.comparison.results import Log
from synthvae.config import RunConfig
from synthvae.drafting import draft_yaml
from synthvae.errors import ConfigError
from synthvae.marginals.interactions import InteractionMoments, affordable_factors
from synthvae.marginals.moments import PairMoments
from synthvae.pipeline import read_report
from synthvae.plan import Plan, make_plan
from synthvae.precedence import declared_uses
from synthvae.privacy.guarantee import Guarantee
from synthvae.report import RunContext, TrainingCurve, data_dictionary, page_of
from synthvae.report.disclosure_rules import HES, find_profile
from synthvae.report.document import Policy, public_report
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.storage.checkpoint_file import Released, pack, unpack
from synthvae.storage.checkpoint_file import _digest as digest_of
from synthvae.synthesizer import Synthesizer
from synthvae.table import find_problems, read_table, write_table
from tests.comparison.comparison_example import outcome
from tests.fuzz.mutate import (
    csv_mutated,
    json_mutated,
    lines_mutated,
    mutated,
    safetensors_mutated,
)
from tests.fuzz.tables import csv_inputs, parquet_inputs, parquet_mutated
from tests.hospital import SCHEMA
from tests.hostile.examples import ROWS, evaluation, model_files, model_state, write_model
from tests.hostile.pages import check_page
from tests.simulated import CLINIC, VISITS

Mutate = Callable[[bytes, list[bytes], Random], bytes]


@dataclass(frozen=True)
class Target:
    """A reader, good inputs for it, and how they are altered."""

    suffix: str
    inputs: Callable[[], list[bytes]]
    mutate: Mutate
    read: Callable[[bytes, Path], None]


def _table(suffix: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        path = folder / f"table{suffix}"
        path.write_bytes(content)
        frame = read_table(path)
        find_problems(frame, SCHEMA)
        if frame.shape[1] < 200:
            draft_yaml(frame)

    return read


def _schema(name: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        (folder / name).write_bytes(content)
        schema = Schema.load(folder / name)
        (folder / "again.yaml").write_text(schema.to_yaml(), encoding="utf-8")
        assert Schema.load(folder / "again.yaml") == schema
        assert schema.digest
        settings_for(schema, 1.0)
        data_dictionary(schema)

    return read


def _schema_inputs() -> list[bytes]:
    return [schema.to_yaml().encode() for schema in (SCHEMA, CLINIC, VISITS)]


def _schema_json() -> list[bytes]:
    return [json.dumps(schema.to_dict()).encode() for schema in (SCHEMA, CLINIC, VISITS)]


def _config(content: bytes, folder: Path) -> None:
    (folder / "run.yaml").write_bytes(content)
    RunConfig.load(folder / "run.yaml")


def _config_inputs() -> list[bytes]:
    full = {
        "name": "run",
        "title": "A title",
        "purpose": "A purpose",
        "data": {"path": "train.csv", "delimiter": ";"},
        "schema": "schema.yaml",
        "epsilon": 1.0,
        "delta": 1e-6,
        "holdout": 0.2,
        "rows": 100,
        "seed": 1,
        "out": "reports",
        "settings": {"steps": 10, "clip_norm": 2.0},
        "compare": {
            "epsilons": [1.0, 2.0],
            "runs": 2,
            "methods": ["mst"],
            "variants": [{"name": "small", "settings": {"latent": 2}}],
            "sizes": [100],
            "timeout": 60,
        },
    }
    plain = b"name: a\ndata: {dataset: clinic, rows: 200}\nschema: s.yaml\nepsilon: none\n"
    return [json.dumps(full).encode(), plain]


def _model(part: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        model = Synthesizer.load(write_model(folder / "model", **{part: content}))
        frame = model.sample(ROWS, seed=1, progress=lambda _what, _done: None)
        assert not find_problems(frame, model.schema), "samples that do not fit the schema"
        write_table(frame, folder / "made.csv", model.schema)

    return read


def _file(name: str) -> Callable[[], list[bytes]]:
    return lambda: [model_files()[name]]


def _page(name: str) -> Callable[[bytes, Path], None]:
    def read(content: bytes, folder: Path) -> None:
        (folder / "evaluation.json").write_text(evaluation().to_json(), encoding="utf-8")
        (folder / name).write_bytes(content)
        report = read_report(folder / "evaluation.json", None)
        check_page(page_of(report))
        check_page(page_of(public_report(report, HES)))

    return read


def _beside() -> dict[str, bytes]:
    context = RunContext(
        title="t",
        purpose="p",
        description="d",
        created="2026-01-01",
        seed=1,
        software={"python": "3"},
        settings={"steps": "4"},
        fields=data_dictionary(CLINIC),
    )
    curve = TrainingCurve(steps=(0, 5), loss=(3.0, 2.0), validation=(3.0, 2.0), active_units=2)
    guarantee = Guarantee.model_validate_json(model_files()["guarantee.json"])
    stages = [
        {"queries": 1, "noise_multipliers": [5.0], "rows_per_patient": 1},
        {
            "sampling_rate": 0.1,
            "noise_multiplier": 2.0,
            "steps": 5,
            "clip_norm": 1.0,
            "expected_batch": 9.0,
        },
    ]
    valid = guarantee.model_dump(mode="json") | {
        "valid": True,
        "why_void": None,
        "epsilon": 1.0,
        "epsilon_budget": 1.0,
        "delta": 1e-5,
        "stages": stages,
    }
    return {
        "evaluation.json": evaluation().to_json().encode(),
        "context.json": context.model_dump_json().encode(),
        "training_curve.json": curve.model_dump_json().encode(),
        "guarantee.json": json.dumps(valid).encode(),
    }


def _value(name: str) -> Callable[[], list[bytes]]:
    return lambda: [_beside()[name]]


@functools.cache
def _plan() -> Plan:
    return make_plan(SCHEMA, None, settings=model_state().layout.settings)


def _checkpoint_inputs() -> list[bytes]:
    model = replace(model_state(), patients=SCHEMA.patients or 1)
    layout = model.layout
    released = Released(layout.marginals, np.array([0.6, 0.3, 0.1]), SCHEMA.patients or 1)
    size = layout.features
    noise = (layout.owner[:, None] != layout.owner[None, :]).astype(float)
    moments = PairMoments(np.zeros((size, size)), noise)
    settings, uses = layout.settings, declared_uses(SCHEMA)
    rank, most = settings.interaction_rank, settings.interactions
    products = len(affordable_factors(layout.smooth_first, rank, most, uses))
    more = InteractionMoments(np.zeros(products), np.ones(products))
    paired = replace(released, moments=moments)
    stages = (released, paired, replace(paired, interactions=more), Released.finished(model))
    return [pack(each, {"a": 1}) for each in stages]


def _checkpoint(content: bytes, folder: Path) -> None:
    """Read a checkpoint whose checksums were mended, as an attacker would."""
    with contextlib.suppress(Exception):
        arrays = load(content)
        size = int.from_bytes(content[:8], "little")
        about = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["about"])
        text = json.dumps(about | {"arrays_sha256": digest_of(arrays)})
        sealed = {"about": text, "about_sha256": hashlib.sha256(text.encode()).hexdigest()}
        content = save(arrays, metadata=sealed)
    (folder / "checkpoint").write_bytes(content)
    unpack(folder / "checkpoint", _plan())


def _rules(content: bytes, folder: Path) -> None:
    (folder / "rules.yaml").write_bytes(content)
    for read in (Policy.load, find_profile):
        with contextlib.suppress(ConfigError):
            read(str(folder / "rules.yaml"))


def _rules_inputs() -> list[bytes]:
    policy = {"largest_epsilon": 2, "claims": {"validity": "green"}, "fail_on": "red"}
    return [json.dumps(policy).encode(), HES.model_dump_json().encode()]


ORIGIN = {"table": "t", "seed": 1}


def _log(content: bytes, folder: Path) -> None:
    (folder / "runs.jsonl").write_bytes(content)
    log = Log.resume(folder / "runs.jsonl", ORIGIN)
    for known in log.outcomes.values():
        log.is_done(known.cell, known.settings)


def _log_inputs() -> list[bytes]:
    from synthvae.comparison.results import Cell, Reference

    cell = Cell(method="aim", epsilon=1.0, run=0)
    reference = Reference(
        patients=10, delta=1e-5, train_rows=9, holdout_rows=2, figures={"a": 1.0, "b": None}
    )
    values = [
        {"origin": ORIGIN},
        {"reference": reference.model_dump(mode="json")},
        {"outcome": outcome(cell).model_dump(mode="json")},
    ]
    return ["".join(json.dumps(value) + "\n" for value in values).encode()]


TARGETS: dict[str, Target] = {
    "csv": Target(".csv", csv_inputs, csv_mutated, _table(".csv")),
    "parquet": Target(".parquet", parquet_inputs, parquet_mutated, _table(".parquet")),
    "schema": Target(".yaml", _schema_inputs, mutated, _schema("schema.yaml")),
    "schema-json": Target(".json", _schema_json, json_mutated, _schema("schema.json")),
    "config": Target(".yaml", _config_inputs, json_mutated, _config),
    "model-arrays": Target(
        ".safetensors", _file("model.safetensors"), safetensors_mutated, _model("arrays")
    ),
    "model-about": Target(".json", _file("model.json"), json_mutated, _model("about")),
    "model-guarantee": Target(".json", _file("guarantee.json"), json_mutated, _model("guarantee")),
    "model-schema": Target(".yaml", lambda: [_schema_json()[0]], json_mutated, _model("schema")),
    "evaluation": Target(
        ".json", _value("evaluation.json"), json_mutated, _page("evaluation.json")
    ),
    "context": Target(".json", _value("context.json"), json_mutated, _page("context.json")),
    "curve": Target(
        ".json", _value("training_curve.json"), json_mutated, _page("training_curve.json")
    ),
    "guarantee": Target(".json", _value("guarantee.json"), json_mutated, _page("guarantee.json")),
    "rules": Target(".yaml", _rules_inputs, json_mutated, _rules),
    "checkpoint": Target(".safetensors", _checkpoint_inputs, safetensors_mutated, _checkpoint),
    "log": Target(".jsonl", _log_inputs, lines_mutated, _log),
}
