"""The documents run: each block is typed as it stands, and what is said about the code is so.

A block has a remark above its fence: `run` (a reader's input, with what is printed below a command),
`refused` (the same, of commands that end in an error), `file: NAME` (the reader saves it),
`excerpt: NAME` (it stands in that file), `make` (targets of the Makefile) or `not run: WHY`. Fits take
few steps here; whatever else is typed is done.
"""

import json
import re
import shlex
from dataclasses import dataclass
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker
from pathlib import Path

import pytest
import typer.main

import synthvae.pipeline
import synthvae.plan
from synthvae._frozen import read_mapping
from synthvae.cli import app
from synthvae.errors import SchemaError
from synthvae.field import Constraints, Field
from synthvae.rules.setting import Rule
from synthvae.schema import Schema, Survival, Target
from synthvae.settings import Settings, settings_for
from synthvae.synthesizer import Synthesizer
from tests.cli.in_process import Run, runner
from tests.simulated import CLINIC, clinic, learn_less, quick, simulate_fewer

HOUSE = Path(__file__).parent.parent
README = HOUSE / "README.md"
DOCUMENTS = [README, HOUSE / "CONTRIBUTING.md", HOUSE / "CHANGELOG.md", *HOUSE.glob("docs/*.md")]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>.+?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its remark's word, what follows it, its language and its text."""

    order: str
    name: str
    kind: str
    text: str


def blocks_of(document: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(document.read_text(encoding="utf-8")):
        order, _, name = (match["mark"] or "").partition(": ")
        found.append(Block(order, name, match["kind"], match["text"]))
    return found


def commands_of(text: str) -> list[tuple[list[str], str]]:
    """Return each command's words, and the output that stands below it."""
    found = []
    for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.M)[1:]:
        line, _, output = part.partition("\n")
        found.append((shlex.split(line, comments=True), output))
    return found


def loosened(text: str) -> str:
    """Return a text without what was spent to the last digit, which hangs on the number of steps."""
    return re.sub(r"(?<=epsilon )[\d.]+", "1", text)


def perform(block: Block, run: Run) -> None:
    """Do what a reader does with one block, in the working folder."""
    if block.order == "file":
        Path(block.name).write_text(block.text, encoding="utf-8")
    elif block.order == "excerpt":
        assert block.text in Path(block.name).read_text(encoding="utf-8")
    elif block.order == "run" and block.kind == "python":
        exec(compile(block.text, "a block of Python", "exec"), {"__name__": "__main__"})
    elif block.order in ("run", "refused"):
        for words, output in commands_of(block.text):
            assert words[0] == "synthvae"
            ended = run(*words[1:])
            assert (ended.code == 0) == (block.order == "run"), ended.err
            if not output.strip():
                continue  # the reader is not told what is printed
            rules = ELLIPSIS | NORMALIZE_WHITESPACE
            printed = ended.out if block.order == "run" else ended.out + ended.err
            fits = OutputChecker().check_output(loosened(output), loosened(printed), rules)
            assert fits, f"{' '.join(words)} printed\n{printed}\nand not\n{output}"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, in which fits take few steps and scores learn little."""

    def few_steps(schema: Schema, epsilon: float | None) -> Settings:
        return quick(schema, epsilon)

    assert synthvae.plan.settings_for is settings_for
    monkeypatch.setattr(synthvae.plan, "settings_for", few_steps)
    monkeypatch.setattr(synthvae.pipeline, "settings_for", few_steps)
    simulate_fewer(monkeypatch)
    learn_less(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_readme_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks_of(README):
        perform(block, runner(capsys))
    assert (place / "report.html").stat().st_size > 10_000
    assert (place / "reports" / "clinic" / "release" / "synthetic.csv").is_file()


def test_the_example_of_rules_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for block in blocks_of(HOUSE / "docs" / "rules.md"):
        perform(block, runner(capsys))
    assert (place / "march.csv").is_file()
    assert not (place / "nobody.csv").exists()


def test_an_auditor_can_recompute_epsilon(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = quick(CLINIC, 1.0)
    Synthesizer(CLINIC, 1.0, settings=settings).fit(clinic(100)).save(place / "model")
    done = [b for b in blocks_of(HOUSE / "docs" / "privacy.md") if b.order == "run"]
    assert len(done) == 2
    for block in done:
        perform(block, runner(capsys))
    spent = json.loads((place / "model" / "guarantee.json").read_text(encoding="utf-8"))["epsilon"]
    for figure in capsys.readouterr().out.split():
        assert float(figure) == pytest.approx(spent, abs=5e-3)


def test_every_example_of_a_schema_is_one(place: Path) -> None:
    examples = [b for b in blocks_of(HOUSE / "docs" / "schema.md") if b.order == "file"]
    for block in examples:
        perform(block, lambda *_: pytest.fail("no command here"))
    schemas = [block.name for block in examples if block.name.endswith(".yaml")]
    assert schemas
    for name in schemas:
        Schema.load(place / name)
        assert read_mapping(place / name, SchemaError, "schema")


def test_every_key_of_the_schema_is_documented() -> None:
    text = (HOUSE / "docs" / "schema.md").read_text(encoding="utf-8")
    for model in (Schema, Field, Constraints, Target, Survival):
        for key in model.model_fields:
            assert f"`{key}`" in text, f"{model.__name__}.{key}"
    text = (HOUSE / "docs" / "rules.md").read_text(encoding="utf-8")
    for key, setting in Rule.model_fields.items():
        assert f"`{setting.alias or key}`" in text, key


def test_every_setting_of_the_rule_is_documented() -> None:
    text = (HOUSE / "docs" / "method.md").read_text(encoding="utf-8")
    for name in Settings.model_fields:
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_has_its_remark(document: Path) -> None:
    assert document.read_text(encoding="utf-8").count("\n```") == 2 * len(blocks_of(document))
    for block in blocks_of(document):
        assert block.order in ("run", "refused", "file", "excerpt", "make", "not run"), block.text
        assert (block.order in ("run", "refused", "make")) == (not block.name), block.text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_tests_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        path, _, marginal = "".join(target).partition("#")
        if path.startswith("http"):
            continue
        file = document.parent / path if path else document
        assert file.exists(), target
        if marginal:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.M)
            names = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings]
            assert marginal in names, target
    for file_name, name in re.findall(r"(tests/[\w/]+\.py)(?:::(\w+))?", text):
        assert (HOUSE / file_name).is_file(), file_name
        if name:
            assert f"def {name}" in (HOUSE / file_name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_targets_of_make_exist(document: Path) -> None:
    makefile = (HOUSE / "Makefile").read_text(encoding="utf-8")
    for block in blocks_of(document):
        if block.order == "make":
            for words, _ in commands_of(block.text):
                assert words[0] == "make"
                assert re.search(rf"^{words[1]}:", makefile, flags=re.M), words


def test_every_command_is_typed_in_the_readme() -> None:
    typed = [words[1:] for b in blocks_of(README) for words, _ in commands_of(b.text)]
    commands = typer.main.get_command(app).commands
    for name, command in commands.items():
        for path in [[name, inner] for inner in getattr(command, "commands", ())] or [[name]]:
            assert any(words[: len(path)] == path for words in typed), " ".join(path)


def test_the_map_names_every_part_of_the_house() -> None:
    text = (HOUSE / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for part in (HOUSE / "synthvae").iterdir():
        if part.is_dir() and (part / "__init__.py").exists():
            assert f"`{part.name}/`" in text, part.name
        elif part.suffix == ".py" and part.name != "__init__.py":
            assert f"`{part.name}`" in text, part.name


def test_the_picture_is_small() -> None:
    assert (HOUSE / "docs" / "report.png").stat().st_size < 300_000
