"""A patient inserted before others who all differ, seen by an observer who may know a seed.

Latents are drawn by place in a batch, so that one patient more gives the others other latents, and
moves the sum of gradients by far more than the clip norm: an observer who knows the latents needs no
luck. With a torch generator, of whose seed 32 bits count, they could be known; this observer is handed
what would be its seed.
"""

import copy
from typing import Any

import numpy as np
import pytest
import torch

from synthvae._runtime import silent
from synthvae.audit.bounds import Errors
from synthvae.audit.case import features_of
from synthvae.audit.releases import AuditedSynthesizer, Batch, FitReleases, Replay, Training
from synthvae.model.layout import Layout
from synthvae.model.training import PrivateTraining
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.table import encode
from tests.audit.plain_bound import plain_epsilon
from tests.mutations.planted import planted
from tests.simulated import CLINIC, PLACES, clinic, quick, simulate_fewer, with_rows

FITS, PATIENTS = 40, 1500
part = RandomStream.part  # as it is, whatever is planted


def would_be_seeds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each training adds the word that a torch generator would be seeded with."""
    found: list[int] = []
    run = PrivateTraining.run

    def watch(self: PrivateTraining, *arguments: Any) -> None:
        found.append(int(part(self.mechanisms.stream, "latents").words(1)[0]) >> 1)
        run(self, *arguments)

    monkeypatch.setattr(PrivateTraining, "run", watch)
    return found


def log_likelihood_ratio(
    layout: Layout, training: Training, tables: tuple[np.ndarray, np.ndarray], seed: int
) -> float:
    """Return how much likelier the noisy gradients are with the patient, if the seed is right."""
    replay, total, stage = Replay(layout, training), 0.0, training.stage
    generators = [torch.Generator().manual_seed(seed) for _ in tables]
    for step in replay:
        seen = torch.cat([gradient.flatten() for gradient in step.gradients]).double()
        distances = []
        for rows, generator in zip(tables, generators, strict=True):
            latents = torch.randn((len(rows), layout.settings.latent), generator=generator)
            batch = Batch(torch.tensor(rows, dtype=torch.float32), latents, None)
            sums = [torch.from_numpy(part).flatten() for part in replay.clipped_sum(batch)]
            distances.append(float((seen * stage.expected_batch - torch.cat(sums)).square().sum()))
        total += (distances[0] - distances[1]) / 2 / (stage.noise_multiplier * stage.clip_norm) ** 2
    return total


def epsilon_shown(place: str, monkeypatch: pytest.MonkeyPatch) -> float:
    """Return the epsilon that the observer refutes at 95 %, from fits of both worlds."""
    schema: Schema = CLINIC.replace(patients=PATIENTS)
    # Nearly all of the budget goes to training, which is what is looked at.
    shares = {"anchor_share": 0.02, "pair_share": 0.02, "interaction_share": 0.02}
    settings = quick(schema, 1.0, steps=2, sampling_rate=1.0, clip_norm=0.1, **shares)
    simulate_fewer(monkeypatch, 64)  # what follows training is not seen
    made = AuditedSynthesizer(schema, 1.0, settings=settings)
    without = clinic(PATIENTS)
    worlds = (without, with_rows(without, clinic(1, seed=99), place))
    seeds, ratios = would_be_seeds(monkeypatch), []
    for frame in worlds:
        for _ in range(FITS):
            synthesizer = copy.copy(made)
            synthesizer.observer = seen = FitReleases()
            layout = synthesizer.fit(frame, silent).state().layout
            features = tuple(features_of(encode(world, schema), layout) for world in worlds)
            ratios.append(log_likelihood_ratio(layout, seen.trainings[0], features, seeds[-1]))  # type: ignore[arg-type]
    assert made._plan.delta is not None
    errors = Errors.at(0.0, np.array(ratios[:FITS]), np.array(ratios[FITS:]))
    return max(0.0, plain_epsilon(errors, made._plan.delta, 0.05))


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_a_patient_inserted_anywhere_refutes_nothing(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert epsilon_shown(place, monkeypatch) <= 1.0


@pytest.mark.slow
def test_a_seed_that_is_known_refutes_the_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    with planted("latents from a seed of torch"):
        assert epsilon_shown("first", monkeypatch) > 2.0
