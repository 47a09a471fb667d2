"""The checklist is complete: twenty lines, a file for each, and each test in the auditor's guide."""

import ast
import re
from pathlib import Path

import pytest

import tests.checklist

HERE = Path(__file__).parent
GUIDE = HERE.parent.parent / "docs" / "privacy.md"
FILES = sorted(HERE.glob("test_line_*.py"))
WAITING = {6, "release"}


def named_in(file: Path) -> list[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def rows_of_the_guide() -> dict[int, str]:
    text = GUIDE.read_text(encoding="utf-8").partition("## The checklist")[2]
    return {int(n): row for n, row in re.findall(r"^\| (\d+) \| (.+) \|$", text, flags=re.M)}


def test_every_line_has_one_file_that_the_folder_lists() -> None:
    numbers = [int(file.name[10:12]) for file in FILES]
    assert numbers == list(range(1, 21))
    listed = re.findall(r"^ ?(\d+)  (test_line_\w+\.py)", tests.checklist.__doc__ or "", flags=re.M)
    assert listed == [(str(n), file.name) for n, file in zip(numbers, FILES, strict=True)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_tests_are_named_after_their_line_and_the_guide_names_them(file: Path) -> None:
    line = int(file.name[10:12])
    names = named_in(file)
    assert names
    row = rows_of_the_guide()[line]
    assert f"tests/checklist/{file.name}" in row
    for name in names:
        assert name.startswith(f"test_line_{line}_"), name
        assert f"`{name.removeprefix(f'test_line_{line}_')}`" in row, name


def test_what_is_expected_to_fail_says_what_it_waits_for_and_breaks_the_build_when_it_passes() -> (
    None
):
    waiting = set()
    for file in HERE.glob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        marks = re.findall(r"@pytest\.mark\.xfail\((.+)\)", text)
        for mark in marks:
            assert mark.startswith('strict=True, reason="waits for'), file.name
            waiting.add(int(file.name[10:12]) if file in FILES else "release")
    assert waiting == WAITING
