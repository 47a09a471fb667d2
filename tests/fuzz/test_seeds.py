"""What the fuzzer has found stays found: each input ends in a result or in one error of ours."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import SEEDS
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import attempt


def found() -> list[Path]:
    return sorted(file for file in SEEDS.glob("*/*") if file.parent.name in TARGETS)


@pytest.mark.parametrize("seed", found(), ids=lambda seed: f"{seed.parent.name}-{seed.stem[:8]}")
def test_a_finding_is_mended(seed: Path, tmp_path: Path) -> None:
    trace = attempt(TARGETS[seed.parent.name], seed.read_bytes(), tmp_path)
    assert trace is None, trace


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_is_read(name: str, tmp_path: Path) -> None:
    for content in TARGETS[name].inputs():
        TARGETS[name].read(content, tmp_path)
