"""Small good inputs that tests alter: a table, a model that no training was needed for, values."""

import functools
import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthvae.errors import SynthvaeError
from synthvae.evaluation.results import (
    Associations,
    Attack,
    Evaluation,
    Interval,
    Margin,
    PairDistance,
    Score,
    TableFacts,
)
from synthvae.marginals.interactions import NONE
from synthvae.marginals.measure import measure_marginals
from synthvae.model.layout import Layout
from synthvae.model.state import weight_shapes
from synthvae.plan import make_plan
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.promise import guarantee_of
from synthvae.schema import Schema
from synthvae.settings import settings_for
from synthvae.synthesizer import FittedState, Synthesizer
from synthvae.table import encode
from tests.hospital import SCHEMA, make_table
from tests.model.random_models import product_ends

ROWS = 30


@functools.cache
def model_state() -> FittedState:
    """Return a model of `tests.hospital`'s table, with random weights."""
    table = make_table(60)
    codes = encode(table, SCHEMA)
    settings = settings_for(SCHEMA, None).model_copy(
        update={"bins": 4, "rank": 3, "latent": 2, "hidden": 3, "mixture": 4, "balance_steps": 5}
    )
    plan = make_plan(SCHEMA, None, settings=settings)
    marginals = measure_marginals(
        codes,
        SCHEMA.modelled,
        plan.column_noise,
        settings.bins,
        SCHEMA.rows_per_patient,
        Mechanisms(RandomStream(1), exact=True),
    )
    layout = Layout.build(marginals, SCHEMA.modelled, settings)
    first = layout.ends
    products = [(first[2], first[1], NONE), (first[4], first[2], first[0])]
    layout = replace(layout, products=np.array(products))
    draws = np.random.default_rng(0)
    weights = {
        name: 0.1 * draws.normal(size=shape) for name, shape in weight_shapes(layout).items()
    }
    weights["earlier.weight"] *= layout.owner[:, None] > layout.owner[None, :]
    weights["products.weight"] *= layout.owner[:, None] >= product_ends(layout)[None, :]
    offsets = [np.zeros(marginal.tokens) for marginal in marginals]
    return FittedState(layout, weights, offsets, np.array([0.6, 0.3, 0.1]), 60)


@functools.cache
def model_files() -> dict[str, bytes]:
    """Return the files of that model."""
    state = model_state()
    plan = make_plan(SCHEMA, None, settings=state.layout.settings)
    made = Synthesizer.from_state(SCHEMA, state, guarantee_of(plan, 60, test_mode=False))
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder) / "model")
        return {file.name: file.read_bytes() for file in (Path(folder) / "model").iterdir()}


def write_model(folder: Path, **changes: bytes) -> Path:
    """Write the model with some files replaced, and every checksum mended as an attacker would.

    The keys of `changes` are `arrays`, `about`, `guarantee` and `schema`.
    """
    files = dict(model_files())
    named = {
        "arrays": "model.safetensors",
        "about": "model.json",
        "guarantee": "guarantee.json",
        "schema": "schema.yaml",
    }
    files |= {named[key]: content for key, content in changes.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if "schema" in changes:
        _mend_digest(folder)
    _mend_checksums(folder)
    return folder


def _mend_checksums(folder: Path) -> None:
    """Put the right checksums where there is any in model.json."""
    try:
        about = json.loads((folder / "model.json").read_bytes())
    except (ValueError, RecursionError):
        return
    named = {"arrays_sha256": "model.safetensors", "guarantee_sha256": "guarantee.json"}
    there = [key for key in named if isinstance(about, dict) and len(str(about.get(key))) == 64]
    for key in there:
        about[key] = hashlib.sha256((folder / named[key]).read_bytes()).hexdigest()
    if there:
        (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")


def _mend_digest(folder: Path) -> None:
    """Make the guarantee name the altered schema, where that is one."""
    try:
        digest = Schema.load(folder / "schema.yaml").digest
    except SynthvaeError:
        return
    guarantee = json.loads((folder / "guarantee.json").read_bytes())
    (folder / "guarantee.json").write_text(
        json.dumps(guarantee | {"schema_digest": digest}), encoding="utf-8"
    )


def evaluation(text: str = "plain") -> Evaluation:
    """Return a small evaluation with a text in every place that holds one."""
    interval = Interval(low=0.1, high=0.2, method=text)
    shares = (0.25, 0.75)
    return Evaluation(
        name=text,
        schema_digest=text,
        seed=1,
        tables=TableFacts(
            train_rows=40,
            train_patients=40,
            holdout_rows=10,
            holdout_patients=10,
            synthetic_rows=50,
            columns=2,
        ),
        scores=tuple(
            Score(
                key=f"{topic} {text}",
                topic=topic,
                title=text,
                meaning=text,
                value=value,
                interval=interval,
                direction="lower",
                references={"holdout": 0.1, text: 0.3},
                detail=text,
                not_run=None if value is not None else text,
            )
            for topic in ("validity", "fidelity", "utility", "privacy")
            for value in (0.15, None)
        ),
        margins=tuple(
            Margin(
                column=f"{kind} {text}",
                kind=kind,
                labels=("2001", text) if kind == "date" else ("a", text),
                train=shares,
                holdout=shares,
                synthetic=shares[::-1],
                distance=0.5,
                holdout_distance=0.0,
            )
            for kind in ("category", "number", "date")
        ),
        worst_pairs=(PairDistance(columns=(text, "b"), distance=0.2, holdout_distance=0.1),),
        associations=Associations(
            columns=("a", text),
            measure=text,
            train=((1, 0.5), (0.5, 1)),
            synthetic=((1, 0), (0, 1)),
        ),
        attacks=(
            Attack(
                key=f"domias {text}",
                title=text,
                meaning=text,
                members=40,
                non_members=10,
                auc=0.5,
                auc_interval=interval,
                fpr=(0.0, 0.5, 1.0),
                tpr=(0.0, 0.5, 1.0),
                tpr_at=((0.01, 0.01, interval), (0.1, 0.1, interval)),
                detection_limit=0.6,
            ),
        ),
        notes=(text,),
    )
