"""Line 15: killed and resumed, a fit's epsilon and log are those of an uninterrupted one.

Broken where a stopped fit begins again unseen, and each beginning is another release; where a noise
generator is restored, and the same noise is drawn twice; where a checkpoint keeps sums or losses; and
where a fit is handed out that its checkpoint does not hold, so that a second one can follow.
Every moment at which a fit can be killed is gone through in tests/storage/test_resume.py.
"""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from synthvae.errors import ConfigError, StorageError
from synthvae.fit_visits import FitVisits
from synthvae.storage.checkpoint import FILE
from synthvae.synthesizer import Synthesizer
from tests.checklist.fitted import watch_releases
from tests.simulated import quick
from tests.simulated_visits import SHORT, journeys
from tests.storage.killed_fits import (
    STEPS,
    Moments,
    go_on,
    kill,
    moment,
    planned,
    through,
    ward,
    watched,
    whole,
)


@pytest.mark.parametrize(
    "kills",
    [
        (moment("after discrete_gaussian"),),
        (moment("before _take_step", 2),),
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
    kills = (moment("before _take_step", 2),)
    first, second = (through(kills, tmp_path / name)[0] for name in ("one", "two"))
    one, two = (made.state().weights["encoder.weight"] for made in (first, second))
    assert not np.array_equal(one, two)


def test_line_15_a_fit_that_could_not_be_kept_is_not_handed_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_released: object, _identity: object) -> bytes:
        raise StorageError("There is no room left on the disk.")

    # Each time the disk is full when it is to be kept: no two fits may come out of one folder.
    kill(tmp_path / "fit", "before _take_step")
    for _ in range(2):
        made = copy.copy(planned())
        with monkeypatch.context() as patch, watched(Moments()):
            patch.setattr("synthvae.storage.checkpoint_file.pack", full)
            with pytest.raises(StorageError):
                made.fit(ward(), lambda *_: None, tmp_path / "fit")
        with pytest.raises(ConfigError, match="has not been fitted"):
            made.state()
    first, second = (go_on(tmp_path / "fit").state().weights for _ in range(2))
    for name, weight in first.items():
        assert np.array_equal(weight, second[name]), name


def test_line_15_what_a_killed_fit_leaves_holds_no_row(tmp_path: Path) -> None:
    kill(tmp_path / "fit", "before _take_step", 2)
    files = [file for file in (tmp_path / "fit").iterdir() if file.is_file()]
    assert any(file.suffix == ".safetensors" for file in files)
    content = b"".join(file.read_bytes() for file in files)
    assert b"secret-patient" not in content
    with safe_open(tmp_path / "fit" / FILE, "np") as file:
        kinds = {re.sub(r"^columns/\d+/", "", name) for name in file.keys()}  # noqa: SIM118
    assert kinds == {
        *("starts", "cell_mass", "cell_bin", "mass", "row_shares", "pairs/values", "pairs/noise"),
        *("interactions/values", "interactions/noise"),
    }


@pytest.mark.parametrize("moment", ["_visit_moments", "_shown"], ids=["counts", "moments"])
def test_line_15_a_killed_fit_of_visits_releases_nothing_twice(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def fit() -> Synthesizer:
        settings = quick(SHORT, 1.0)
        made = Synthesizer(SHORT, 1.0, settings=settings)
        return made.fit(journeys(60), lambda *_: None, tmp_path / "fit")

    seen = watch_releases(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(FitVisits, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            fit()
    made = fit()
    assert sum(part.what == "moments of visits" for part in seen) == 1
    counts, moments = made.guarantee.stages
    assert len(seen) == counts.queries + moments.queries
    again = fit()  # it is finished, and the same
    assert len(seen) == counts.queries + moments.queries
    for name, array in made.state().arrays().items():
        assert np.array_equal(array, again.state().arrays()[name]), name
    assert made.guarantee == again.guarantee
