"""The versions of other packages: what is declared is what is tried."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

HOUSE = Path(__file__).parent.parent


def test_the_oldest_set_is_what_the_package_declares() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (HOUSE / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pinned = {
        one.name.lower(): next(iter(one.specifier)).version
        for one in map(Requirement, (line for line in lines if not line.startswith("#")))
    }
    declared = [Requirement(text) for text in project["dependencies"]]
    assert {one.name.lower() for one in declared} <= set(pinned)
    for one in declared:
        (bound,) = (part.version for part in one.specifier if part.operator == ">=")
        assert f"{pinned[one.name.lower()]}.".startswith(f"{bound}."), one.name
