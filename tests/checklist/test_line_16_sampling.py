"""Line 16: sampling holds no handle to real rows.

Broken where the synthesizer keeps the table, its encoder or its last batch: whoever gets the object
then gets the records.
"""

import dataclasses
import gc
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import synthvae.synthesizer as synthesizer_module
from synthvae.model.training import PatientTensor
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table.problems import Problem
from tests.checklist.fitted import fitted
from tests.simulated import clinic


def test_line_16_sampling_holds_no_real_rows() -> None:
    frame = clinic(300)
    synthesizer = fitted(frame)
    state = synthesizer.state()
    held = [value for value in vars(synthesizer).values() if isinstance(value, pd.DataFrame)]
    assert held == []
    arrays = [*state.weights.values(), *state.offsets]
    for marginal in state.layout.marginals:
        arrays += [v for v in dataclasses.asdict(marginal).values() if isinstance(v, np.ndarray)]
    # No array is as long as the table, and none is aligned with its rows.
    assert max(len(array) for array in arrays) < 300


def test_line_16_nothing_of_the_table_lives_on_after_a_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alive: list[weakref.ref[object]] = []
    read, make = synthesizer_module.encode_with_notes, PatientTensor.__init__

    def watch_codes(frame: pd.DataFrame, schema: Schema) -> tuple[np.ndarray, list[Problem]]:
        codes, notes = read(frame, schema)
        alive.append(weakref.ref(codes))
        return codes, notes

    def watch_tensor(self: PatientTensor, *arguments: object) -> None:
        make(self, *arguments)  # type: ignore[arg-type]
        alive.extend(map(weakref.ref, (self, self.features, self.rows)))

    with monkeypatch.context() as patch:
        patch.setattr(synthesizer_module, "encode_with_notes", watch_codes)
        patch.setattr(PatientTensor, "__init__", watch_tensor)
        frame = clinic(300)
        alive.append(weakref.ref(frame))
        synthesizer = fitted(frame)
    del frame
    gc.collect()
    assert len(alive) == 5
    assert [reference() for reference in alive] == [None] * 5
    assert len(synthesizer.sample(20, seed=1)) == 20


def test_line_16_a_model_on_another_machine_samples_the_same(tmp_path: Path) -> None:
    synthesizer = fitted(clinic(60))
    synthesizer.save(tmp_path / "model")
    loaded = Synthesizer.load(tmp_path / "model")
    assert loaded.training_curve is None
    pd.testing.assert_frame_equal(loaded.sample(50, seed=1), synthesizer.sample(50, seed=1))
