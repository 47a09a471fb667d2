"""Line 15: killed and resumed, a fit's epsilon and log are those of an uninterrupted one.

Broken where a stopped fit begins again unseen, and each beginning is another release; where a noise
generator is restored, and the same noise is drawn twice; and where a checkpoint keeps sums or losses.
Every moment at which a fit can be killed is gone through in tests/test_resume.py.
"""

import copy
from pathlib import Path

import numpy as np
import pytest

from tests.resuming import (
    STEPS,
    Killed,
    Moments,
    all_moments,
    planned,
    through,
    ward,
    watched,
    whole,
)


def moment(name: str, which: int = 0) -> int:
    """Return when something happens in a fit that keeps where it stands, counted from 1."""
    return [number for number, found in enumerate(all_moments(), 1) if found == name][which]


@pytest.mark.parametrize(
    "kills",
    [
        (moment("after noisy_counts"),),
        (moment("before _accumulate", 2),),
        (moment("before replace", -1), 9),
    ],
    ids=["while counting", "while training", "twice, while writing"],
)
def test_line_15_a_killed_fit_goes_on_with_the_same_account(
    kills: tuple[int, ...], tmp_path: Path
) -> None:
    resumed, released = through(kills, tmp_path / "fit")
    uninterrupted, moments = whole()
    assert resumed.guarantee == uninterrupted.guarantee
    assert resumed.guarantee.epsilon == uninterrupted.guarantee.epsilon
    # Each release that the model is made of was made once, with its noise, in the log's order.
    assert released == moments.released
    assert sum(kind == "step" for kind, _ in released) == STEPS


def test_line_15_the_noise_after_a_stop_is_new(tmp_path: Path) -> None:
    kill = (moment("before _accumulate", 2),)
    first, second = (through(kill, tmp_path / name)[0] for name in ("one", "two"))
    weights = [made.state().weights["encoder.weight"] for made in (first, second)]
    assert not np.array_equal(*weights)


def test_line_15_what_a_killed_fit_leaves_holds_no_row(tmp_path: Path) -> None:
    with pytest.raises(Killed), watched(Moments(moment("before _accumulate", 2))):
        copy.copy(planned()).fit(ward(), lambda *_: None, tmp_path / "fit")
    files = [file for file in (tmp_path / "fit").iterdir() if file.is_file()]
    assert any(file.suffix == ".safetensors" for file in files)
    content = b"".join(file.read_bytes() for file in files)
    assert b"secret-patient" not in content
    for word in (b"loss", b"grad", b"drawn"):
        assert word not in content.lower(), word
