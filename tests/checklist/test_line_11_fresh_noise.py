"""Line 11: two private fits differ in their noise, whatever seed the user gives for sampling.

Broken where the user's seed, or a constant, reaches the noise: who knows it subtracts the noise; and
where latents and first weights follow from a generator whose seed can be searched (torch's keeps 32
bits): one patient more then changes everybody's gradients in a way that is known.
"""

from typing import Any

import numpy as np
import pytest
import torch

from synthvae.baselines import plain_vae
from synthvae.marginals.moments import PairMoments, PairQuery
from synthvae.model.coupling import untrained
from synthvae.model.layout import Layout
from synthvae.model.training import Normal, PatientTensor, train_privately
from synthvae.model.vae import AnchoredVAE
from synthvae.privacy.guarantee import TrainingStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import BYTES_PER_KEY, RandomStream
from tests.checklist.fitted import fitted, seed, watch_releases, watch_training
from tests.simulated import CLINIC, PLACES, clinic, inserted
from tests.simulated_visits import SHORT, journeys

STAGE = TrainingStage(
    sampling_rate=1.0, noise_multiplier=1.0, steps=3, clip_norm=1.0, expected_batch=60.0
)


def test_line_11_two_fits_share_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    words, drawn = [], []
    draw = RandomStream.words
    for _ in range(2):
        with monkeypatch.context() as patch:
            seen = watch_training(patch)
            taken: list[np.ndarray] = []

            def watch(stream: RandomStream, count: int, taken: list[Any] = taken) -> np.ndarray:
                taken.append(draw(stream, count))
                return taken[-1]

            # The words behind normals and draws: with two sizes of model, normals would differ by that.
            patch.setattr(RandomStream, "words", watch)
            fitted(clinic(60))
        words.append(np.concatenate(taken))
        drawn.append([step.patients for step in seen.steps])
    assert len(np.unique(np.concatenate(words))) == len(words[0]) + len(words[1]) > 1000
    assert drawn[0] != drawn[1]


def test_line_11_two_fits_share_no_noise_of_counts_and_moments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = watch_releases(monkeypatch)
    noises = []
    for _ in range(2):
        seen.clear()
        fitted(clinic(60))
        noises.append([part.noisy - part.exact for part in seen])
    # The first count of each column is over the same cells in both; later ones follow the noise.
    same = [
        (one == other).all()
        for one, other in zip(*noises, strict=True)
        if len(one) == len(other) >= 4  # so many agree by chance once in millions of fits
    ]
    assert len(same) > 3
    assert not any(same)


def test_line_11_two_fits_differ_whatever_the_seed_of_sampling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released: list[np.ndarray] = []
    release = PairQuery.release

    def watch(query: PairQuery, *arguments: object) -> PairMoments:
        moments = release(query, *arguments)  # type: ignore[arg-type]
        released.append(moments.values)
        return moments

    monkeypatch.setattr(PairQuery, "release", watch)
    first, second = (fitted(clinic(60)) for _ in range(2))
    assert not np.array_equal(
        first.state().weights["loadings.weight"], second.state().weights["loadings.weight"]
    )
    one, other = released
    assert one.shape != other.shape or (one != other)[one != 0].all()
    assert not first.sample(50, seed=7).equals(second.sample(50, seed=7))


def train(layout: Layout, features: np.ndarray) -> dict[str, np.ndarray]:
    data = PatientTensor(features, np.arange(len(features))[:, None], layout.settings.latent)
    return train_privately(
        layout, data, STAGE, Mechanisms(RandomStream(seed(1))), untrained(layout)
    )[0]


def watch_normals(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    seen: list[np.ndarray] = []
    draw = RandomStream.normal

    def watch(self: RandomStream, count: int) -> np.ndarray:
        seen.append(draw(self, count))
        return seen[-1]

    monkeypatch.setattr(RandomStream, "normal", watch)
    return seen


def assert_from_the_stream(used: list[torch.Tensor], normals: list[np.ndarray]) -> None:
    drawn = [found.astype(np.float32) for found in normals]
    assert used
    for found in used:
        flat = found.detach().numpy().ravel()
        assert any(np.array_equal(flat, one) for one in drawn if len(one) == len(flat))
        assert len(np.unique(flat)) == len(flat)


def test_line_11_what_training_draws_comes_from_the_stream(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    normals, latents, started = watch_normals(monkeypatch), [], []
    forward, initialise = AnchoredVAE.forward, AnchoredVAE.initialise

    def watch_forward(
        self: AnchoredVAE, rows: torch.Tensor, noise: torch.Tensor, *more: object
    ) -> object:
        latents.append(noise)
        return forward(self, rows, noise, *more)  # type: ignore[arg-type]

    def watch_start(self: AnchoredVAE, normal: Normal) -> None:
        initialise(self, normal)
        scale = self.encoder.weight.shape[1] ** 0.5
        started.append((self.encoder.weight.detach() * scale).clone())

    monkeypatch.setattr(AnchoredVAE, "forward", watch_forward)
    monkeypatch.setattr(AnchoredVAE, "initialise", watch_start)
    train(layout, features)
    assert_from_the_stream(latents, normals)
    first = started[0].numpy().ravel()
    assert any(len(one) == len(first) and np.allclose(one, first, atol=1e-5) for one in normals)


def test_line_11_torchs_own_generator_changes_no_weight(
    layout: Layout, features: np.ndarray
) -> None:
    found = []
    for number in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(number)
            found.append(train(layout, features))
    for name, weight in found[0].items():
        assert np.array_equal(weight, found[1][name]), name


def test_line_11_the_plain_vae_draws_from_the_stream_too(monkeypatch: pytest.MonkeyPatch) -> None:
    normals, latents = watch_normals(monkeypatch), []
    forward = plain_vae.Network.forward

    def watch(
        self: plain_vae.Network, rows: torch.Tensor, noise: torch.Tensor, *more: object
    ) -> object:
        latents.append(noise)
        return forward(self, rows, noise, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(plain_vae.Network, "forward", watch)
    monkeypatch.setattr(plain_vae, "STEPS", 3)
    plain_vae.PlainVAE(CLINIC, 1.0, test_seed=seed(1)).fit(clinic(60))
    assert_from_the_stream(latents, normals)


@pytest.mark.parametrize("place", PLACES)
def test_line_11_one_patient_more_shifts_nobody_elses_noise(
    layout: Layout, features: np.ndarray, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Noise, first weights, latents and who is drawn come from parts that do not shift each other.
    noises = []
    for table in (features, inserted(features, np.ones((1, features.shape[1])), place)):
        with monkeypatch.context() as patch:
            seen = watch_training(patch)
            train(layout, table)
        weights = sum(part.numel() for part in seen.steps[0].clipped)
        noises.append([found for found in seen.normals if len(found) == weights])
        assert [len(step.patients) for step in seen.steps] == [len(table)] * STAGE.steps
    assert len(noises[0]) == STAGE.steps
    for before, after in zip(*noises, strict=True):
        assert np.array_equal(before, after)


def test_line_11_a_stream_takes_a_new_key_before_its_counter_runs_out(
    layout: Layout, features: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BYTES_PER_KEY <= 64 * 2**32  # ChaCha20 numbers its blocks of 64 bytes with 32 bits
    monkeypatch.setattr("synthvae.privacy.stream.BYTES_PER_KEY", 64)
    words = np.concatenate([RandomStream(seed(1)).words(1000), RandomStream(seed(2)).words(7)])
    assert len(np.unique(words)) == len(words)
    whole = RandomStream(seed(3)).take(1000)
    pieces = RandomStream(seed(3))
    assert b"".join(pieces.take(n) for n in (1, 63, 100, 836)) == whole
    normals = watch_normals(monkeypatch)
    train(layout, features)  # in the middle of training, too
    drawn = np.concatenate(normals)
    assert len(drawn) > 900
    assert len(np.unique(drawn)) == len(drawn)


def test_line_11_a_stream_takes_its_key_from_the_operating_system() -> None:
    streams = [RandomStream() for _ in range(20)]
    assert all(stream.is_secure for stream in streams)
    assert len({int(stream.words(1)[0]) for stream in streams}) == 20


def test_line_11_a_fixed_seed_voids_the_guarantee() -> None:
    guarantee = fitted(clinic(50), test_seed=seed(1)).guarantee
    assert not guarantee.valid
    assert guarantee.why_void is not None
    assert "TEST MODE" in guarantee.why_void


def test_line_11_two_fits_of_visits_differ_whatever_the_seed_of_sampling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noises, records = [], []
    for _ in range(2):
        with monkeypatch.context() as patch:
            seen = watch_releases(patch)
            records.append(fitted(journeys(60), SHORT).sample(50, seed=7))
        noises.append([part.noisy - part.exact for part in seen])
    same = [
        (one == other).all()
        for one, other in zip(*noises, strict=True)
        if len(one) == len(other) >= 4  # as above
    ]
    assert len(same) > 3
    assert not any(same)
    assert not records[0].equals(records[1])
