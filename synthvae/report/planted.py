"""What this project's own tests would notice: bugs planted on purpose, and what catches each."""

import json
from importlib import resources

from synthvae.report.drawing import Table
from synthvae.report.words import listed, plain, share


def planted_bugs() -> Table | None:
    """Return the bugs that were planted and what caught them; None where no record of it ships."""
    file = resources.files("synthvae").joinpath("audit", "planted.json")
    if not file.is_file():
        return None
    bugs = json.loads(file.read_text(encoding="utf-8"))["bugs"]
    rows = tuple(
        (
            plain(bug["name"]),
            plain(bug["breaks"]),
            listed([plain(test) for test in bug["caught_by"]], 3) or "nothing",
            plain(bug["audit"] or "–"),
            f"{share(bug['power'], 0)} of {bug['repetitions']:,}",
            "yes" if bug["in_ci"] else "no",
        )
        for bug in bugs
    )
    head = ("Planted bug", "What it breaks", "Caught by", "Audit", "How often", "In each build")
    return Table(head, rows, words=4) if rows else None
