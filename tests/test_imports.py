"""The rules of the house's map: who may import whom, and what starting up may cost."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.main

import synthvae
from synthvae.cli import app

ROOT = Path(synthvae.__file__).parent
# torch takes seconds to import and pandas half a second: commands import them when they need them.
HEAVY = ("torch", "opacus", "pandas", "numpy", "scipy", "sklearn", "sdmetrics", "matplotlib", "jax")
HOMES = {
    "torch": ("synthvae.model", "synthvae.audit", "synthvae.baselines.plain_vae"),
    "opacus": (
        "synthvae.model.clipping",
        "synthvae.model.training",
        "synthvae.baselines.plain_vae",
        "synthvae.privacy.accounting",
    ),
    "sdmetrics": ("synthvae.evaluation.sdmetrics_report",),
    "mbi": ("synthvae.baselines.pgm",),
    "jax": ("synthvae.baselines.pgm",),
    "copulas": (),
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text("utf-8")) for path in ROOT.rglob("*.py")}


def imported(tree: ast.AST) -> list[str]:
    """Return the names of modules that a piece of code imports, wherever in it."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [name if name in MODULES else node.module for name in whole]
    return found


def test_nobody_imports_in_a_circle() -> None:
    # Imports in functions and for types alone count: they tie modules together just the same.
    needs = {name: set(imported(tree)) & MODULES.keys() - {name} for name, tree in MODULES.items()}
    while ready := {name for name, rest in needs.items() if not rest & needs.keys()}:
        needs = {name: rest for name, rest in needs.items() if name not in ready}
    assert needs == {}


def test_imports_go_up_the_map() -> None:
    text = (ROOT.parent / "CONTRIBUTING.md").read_text("utf-8")
    start, end = text.index("| where, in"), text.index("No circles")
    rooms = [
        (name.removesuffix(".py").removesuffix("/"), row)
        for row, line in enumerate(text[start:end].splitlines())
        for name in re.findall(r"`([^`]+)`", line.split("|")[1] if "|" in line else "")
    ]
    row_of = {f"synthvae.{name}": row for name, row in rooms} | {"synthvae": len(rooms)}
    rows = {name: row_of.get(name) or row_of[name.rpartition(".")[0]] for name in MODULES}
    down = [
        f"{name} imports {other}"
        for name, tree in MODULES.items()
        for other in imported(tree)
        if other in MODULES and other != "synthvae" and rows[other] > rows[name]
    ]
    assert down == []


def test_modules_are_rooms_with_names_of_their_own() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.name != "__init__.py"]
    counts = Counter(path.stem for path in files)
    assert {name for name, count in counts.items() if count > 1} <= {"results", "page", "policy"}
    long = [path.name for path in files if len(path.read_text("utf-8").splitlines()) > 450]
    assert long == []


@pytest.mark.parametrize("package", HOMES)
def test_heavy_packages_stay_in_their_homes(package: str) -> None:
    homes = HOMES[package]
    users = [
        name
        for name, tree in MODULES.items()
        if any(other.partition(".")[0] == package for other in imported(tree))
    ]
    strangers = [
        name
        for name in users
        if not any(name == home or name.startswith(f"{home}.") for home in homes)
    ]
    assert strangers == []


def test_imports_are_absolute_and_nothing_is_pickled() -> None:
    for name, tree in MODULES.items():
        assert not {"pickle", "joblib", "dill", "shelve"} & set(imported(tree)), name
        relative = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level
        ]
        assert relative == [], name


@pytest.mark.parametrize(
    "code",
    [
        "import synthvae",
        "from synthvae import cli, console; assert console.run_command(cli.app, ['--help'], False) == 0",
    ],
)
def test_starting_up_is_cheap(code: str) -> None:
    check = f"{code}; import sys; sys.exit(', '.join(m for m in {HEAVY} if m in sys.modules))"
    ended = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, check=False
    )
    assert ended.stderr.strip() == ""


def test_torch_waits_until_something_is_trained() -> None:
    code = "import synthvae.synthesizer, synthvae.pipeline, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_public_is_there() -> None:
    assert sorted(synthvae.__all__) == ["Schema", "Synthesizer", "__version__", "evaluate"]
    assert all(getattr(synthvae, name) for name in synthvae.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        synthvae.Nothing  # noqa: B018


def commands() -> dict[str, Any]:
    """Return every command by its words."""
    found: dict[str, Any] = {}
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found |= (
            {f"{name} {word}": item for word, item in inner.items()} if inner else {name: command}
        )
    return found


@pytest.mark.parametrize("words", commands())
def test_every_command_has_help_and_stands_in_the_readme(words: str) -> None:
    command = commands()[words]
    assert command.help
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{words}: {parameter.name} has no help"
    readme = (ROOT.parent / "README.md").read_text("utf-8")
    assert f"synthvae {words}" in readme, f"README.md does not show `synthvae {words}`"
