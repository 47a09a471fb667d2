import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "peers.md"


def test_the_page_names_every_test_once() -> None:
    named = re.findall(r"`(test_\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in HERE.glob("test_*.py"))
    functions = (node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef))
    tests = {node.name for node in functions if node.name.startswith("test_")}
    assert sorted(named) == sorted(tests - {"test_the_page_names_every_test_once"})
