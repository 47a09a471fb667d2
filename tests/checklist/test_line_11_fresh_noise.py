"""Line 11: two private fits differ in their noise, whatever seed the user gives for sampling.

Broken where the user's seed, or a constant, reaches the noise: who knows it subtracts the noise.
"""

import numpy as np
import pytest

from synthvae.anchors import PairMoments, PairQuery
from synthvae.privacy.stream import RandomStream
from tests.checklist.fitted import fitted, seed, watch_releases, watch_training
from tests.simulated import clinic


def test_line_11_two_fits_share_no_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    words, drawn = [], []
    draw = RandomStream.words
    for _ in range(2):
        with monkeypatch.context() as patch:
            seen = watch_training(patch)
            taken: list[np.ndarray] = []

            def watch(stream: RandomStream, count: int, taken: list = taken) -> np.ndarray:
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


def test_line_11_a_stream_takes_its_key_from_the_operating_system() -> None:
    streams = [RandomStream() for _ in range(20)]
    assert all(stream.is_secure for stream in streams)
    assert len({int(stream.words(1)[0]) for stream in streams}) == 20


def test_line_11_a_fixed_seed_voids_the_guarantee() -> None:
    guarantee = fitted(clinic(50), test_seed=seed(1)).guarantee
    assert not guarantee.valid
    assert guarantee.why_void is not None
    assert "TEST MODE" in guarantee.why_void
