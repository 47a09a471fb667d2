"""The refusal: `release` takes no model whose guarantee is void.

There is no `release` yet. Whoever builds it finds this test passing, which fails the build: write the
real test then (a test mode, a fit without privacy, a delta that the count makes 1/n, each with its
reason). Until then a void guarantee says so in every file.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import typer.main

from synthvae.cli import app
from synthvae.release_folder import write_release
from tests.checklist.fitted import fitted
from tests.simulated import clinic


@pytest.mark.xfail(strict=True, reason="waits for `release`: nothing refuses a void guarantee")
def test_release_refuses_a_void_guarantee() -> None:
    commands = typer.main.get_command(app).commands
    assert "release" in commands or find_spec("synthvae.release") is not None


def test_release_until_then_a_void_guarantee_is_in_every_files_name_or_text(tmp_path: Path) -> None:
    void = fitted(clinic(50), test_seed=1)
    write_release(tmp_path / "release", void, void.sample(20, seed=1))
    names = {file.name for file in (tmp_path / "release").iterdir()}
    assert "NOT_PRIVATE-synthetic.csv" in names
    assert "synthetic.csv" not in names
    for name in ("README.txt", "guarantee.json", "model/model.json", "model/guarantee.json"):
        assert "TEST MODE" in (tmp_path / "release" / name).read_text(encoding="utf-8"), name
