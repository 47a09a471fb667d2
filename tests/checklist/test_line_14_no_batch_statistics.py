"""Line 14: no batch norm, class weights or oversampling on private data.

Broken where a layer takes statistics over the batch (clipping one patient's gradient then bounds
nothing), and where rare classes are drawn or weighted more, by counts that nobody paid for.
"""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from opacus.validators import ModuleValidator
from scipy.stats import binomtest
from torch import nn

import synthvae
from synthvae.model.layout import Layout
from synthvae.model.training import patient_losses
from synthvae.model.vae import Affine, AnchoredVAE, Couplings, MaskedLinear, Products
from tests.checklist.fitted import fitted, seed, training_of, watch_training
from tests.model.gradients import latents_of, patients_of
from tests.model.random_models import random_model
from tests.simulated import clinic

PRIVATE = ["marginals", "model", "privacy", "synthesizer.py", "plan.py"]
FORBIDDEN = ["batchnorm", "batch_norm", "class_weight", "pos_weight", "sample_weight"]
FORBIDDEN += ["weightedrandomsampler", "oversampl", "smote", "dataloader", "running_mean"]
ELSEWHERE = {("model/records.py", "OVERSAMPLING")}  # candidates while sampling, from the model


def test_line_14_every_layer_works_on_each_patient_alone(layout: Layout) -> None:
    model = AnchoredVAE(layout)
    assert {type(part) for part in model.modules()} <= {
        AnchoredVAE,
        Affine,
        MaskedLinear,
        Couplings,
        Products,
    }
    assert ModuleValidator.validate(model, strict=False) == []
    assert list(model.buffers()) == []  # no running statistics
    assert ModuleValidator.validate(nn.Sequential(nn.BatchNorm1d(3)), strict=False) != []


@pytest.mark.parametrize("rows_per_patient", [1, 3])
def test_line_14_a_patients_loss_is_the_same_in_any_company(
    layout: Layout, features: np.ndarray, rows_per_patient: int
) -> None:
    data = patients_of(features, rows_per_patient, layout)
    model, latents = random_model(layout), latents_of(data)

    def losses(patients: torch.Tensor) -> list[float]:
        found = patient_losses(model, data, patients, 0.7, latents[patients])
        return [float(loss) for loss in found.detach()]

    together = losses(torch.arange(len(data)))
    for patient in range(0, len(data), 7):
        alone = losses(torch.tensor([patient]))
        assert alone == pytest.approx([together[patient]], rel=1e-4, abs=1e-4)


def test_line_14_rare_classes_are_drawn_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = clinic(300)
    rare = set(np.flatnonzero(frame["ward"] == "east").tolist())
    assert len(rare) < 50
    seen = watch_training(monkeypatch)
    stage = training_of(fitted(frame, test_seed=seed(2), steps=100, sampling_rate=0.1))
    drawn = sum(len(rare & set(step.patients)) for step in seen.steps)
    assert binomtest(drawn, len(rare) * stage.steps, stage.sampling_rate).pvalue > 1e-4
    assert binomtest(int(1.5 * drawn), len(rare) * stage.steps, stage.sampling_rate).pvalue < 1e-4


def test_line_14_the_code_names_nothing_of_the_kind() -> None:
    house = Path(synthvae.__file__).parent
    files = [file for part in PRIVATE for file in ([house / part], (house / part).rglob("*.py"))]
    sources = {file for found in files for file in found if file.suffix == ".py"}
    assert len(sources) > 15
    named = set()
    for file in sources:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            words = [getattr(node, key, None) for key in ("id", "attr", "arg", "name")]
            for word in words:
                if isinstance(word, str) and any(part in word.lower() for part in FORBIDDEN):
                    named.add((str(file.relative_to(house)), word))
    assert named == ELSEWHERE
