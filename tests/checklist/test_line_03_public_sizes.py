"""Line 3: rates, normaliser, steps, sizes, noise and delta do not depend on the true number of rows.

Broken where a sampling rate or a normaliser is taken from `len(table)`, which the guarantee treats as
a secret: one patient more or less then shows in every weight.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from synthvae.plan import make_plan
from tests.checklist.fitted import Watched, fitted, seed, training_of, watch_training
from tests.simulated import CLINIC, clinic, quick
from tests.simulated_visits import SHORT, journeys, one_journey


def test_line_3_sizes_rates_and_noise_ignore_the_true_number_of_rows() -> None:
    few, many = fitted(clinic(50)), fitted(clinic(51))
    assert few.guarantee == many.guarantee
    assert few.settings == many.settings
    assert few.default_rows == many.default_rows == 400


def test_line_3_sizes_and_noise_of_visits_ignore_who_is_in_the_table() -> None:
    frame = journeys(60)
    long = one_journey("long", list(range(0, 1300, 8)), "severe", 20.0)
    few, many = (fitted(table, SHORT) for table in (frame, pd.concat([frame, long])))
    assert few.guarantee == many.guarantee
    assert few.settings == many.settings
    for one, other in zip(few.state().marginals, many.state().marginals, strict=True):
        assert (one.size, one.specials, one.nullable) == (
            other.size,
            other.specials,
            other.nullable,
        )
    assert few.state().arrays().keys() == many.state().arrays().keys()


@pytest.mark.parametrize("patients", [50, 399, 401])
def test_line_3_gradients_are_divided_by_the_declared_number(
    patients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = watch_training(monkeypatch)
    stage = training_of(fitted(clinic(patients), test_seed=seed(5), steps=3))
    assert stage.normaliser == "declared patients"
    assert stage.expected_batch == pytest.approx(400 * stage.sampling_rate, rel=1e-12)
    drawn = np.concatenate([found for found in seen.normals if len(found) == _weights(seen)])
    found = np.concatenate(
        [part for step in seen.steps for part in step.noise(stage.expected_batch)]
    )
    # The noise that came out is the noise that was drawn: a divisor off by 1 in 400 would show.
    scale = stage.noise_multiplier * stage.clip_norm
    assert found == pytest.approx(drawn * scale, rel=1e-4, abs=1e-4 * scale)


def _weights(seen: Watched) -> int:
    """Return how many numbers a step moves."""
    return sum(part.numel() for part in seen.steps[0].clipped)


def test_line_3_without_a_declared_number_only_the_noisy_count_enters() -> None:
    schema = CLINIC.replace(patients=None)
    plan = make_plan(schema, 1.0, 1e-6, quick(schema, 1.0))
    assert plan.count_noise is not None
    synthesizer = fitted(clinic(300), schema, delta=1e-6, test_seed=seed(1))
    stage = training_of(synthesizer)
    assert stage.sampling_rate == plan.settings.sampling_rate
    assert plan.count_noise in synthesizer.guarantee.stages[0].noise_multipliers
    counted = synthesizer.default_rows
    assert counted != 300
    assert abs(counted - 300) < 6 * plan.count_noise
    assert stage.expected_batch == pytest.approx(stage.sampling_rate * counted)
    assert stage.normaliser == "noisily counted patients"


@pytest.mark.filterwarnings("ignore:Secure RNG turned off", "ignore:.*full backward hook.*")
def test_line_3_normalisers_of_opacus_hang_on_the_true_number() -> None:
    # What is avoided here: `make_private` takes the divisor from the length of the data loader's data
    # (Opacus 1.0 to 1.6, its issue 819). Where this fails, docs/privacy.md is to be brought up to it.
    from opacus import PrivacyEngine

    def normaliser(records: int) -> int:
        model = torch.nn.Linear(2, 1)
        data = TensorDataset(torch.zeros(records, 2), torch.zeros(records, 1))
        _, optimizer, _ = PrivacyEngine().make_private(
            module=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            data_loader=DataLoader(data, batch_size=10),
            noise_multiplier=1.0,
            max_grad_norm=1.0,
        )
        found: int = optimizer.expected_batch_size
        return found

    # Two batches of ten become three of seven.
    assert (normaliser(20), normaliser(21)) == (10, 7)
