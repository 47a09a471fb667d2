"""The table of planted bugs: as it is measured, and as the auditor's guide shows it."""

import json
from pathlib import Path
from typing import Any

HOUSE = Path(__file__).parent.parent.parent
FILE = HOUSE / "synthvae" / "audit" / "planted.json"
GUIDE = HOUSE / "docs" / "privacy.md"
BEGIN, END = "<!-- planted bugs: begin -->\n", "<!-- planted bugs: end -->"
VERSION = 1


def measured() -> dict[str, Any]:
    """Return the table that was measured last."""
    table: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return table


def as_markdown(table: dict[str, Any]) -> str:
    """Return the table as the guide shows it."""
    lines = [
        "| planted bug | what it breaks | caught by | audit | power |",
        "|---|---|---|---|---|",
    ]
    for bug in table["bugs"]:
        tests = ", ".join(f"`{test.partition('::')[2]}`" for test in bug["caught_by"])
        times = round(bug["power"] * bug["repetitions"])
        lines.append(
            f"| {bug['name']} | {bug['breaks']} | {tests or 'nothing'} | "
            f"{bug['audit'] or '–'} | {times} of {bug['repetitions']} |"
        )
    clean = table["without_a_bug"]
    lines += [
        "",
        f"Without a bug, {clean['in_which_one_failed']} of {clean['runs_of_all_tests']} runs of all "
        f"these tests and {clean['that_failed']} of {clean['audits']} audits raised an alarm.",
    ]
    return "\n".join(lines) + "\n"


def guide_with(table: dict[str, Any]) -> str:
    """Return the guide's text with the table in its place."""
    text = GUIDE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{GUIDE} has no place for the table of planted bugs")
    return f"{before}{BEGIN}{as_markdown(table)}{end}{after}"
