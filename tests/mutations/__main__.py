"""Plant every bug, again and again, and write which tests and which audits caught it how often.

    python -m tests.mutations                     # everything: about half an hour on one core
    python -m tests.mutations --repetitions 5     # sooner, and known less well

The table goes to synthvae/audit/planted.json, which the report shows, and to docs/privacy.md. Nobody
edits either by hand.
"""

import argparse
import json
from typing import Any

from tests.mutations.auditing import AUDITED, audited, how
from tests.mutations.catching import CATCHERS, catchers_of, caught_by, run
from tests.mutations.planted import BUGS
from tests.mutations.table import FILE, GUIDE, VERSION, guide_with


def measure(bug: str, repetitions: int, audits: int) -> dict[str, Any]:
    """Return a bug's row of the table."""
    tests = catchers_of(bug)
    # The test that runs in every build, with other seeds and other noise each time.
    caught = sum(caught_by(bug, tests[:1], number) == tests[:1] for number in range(repetitions))
    named = caught_by(bug, tests)
    found = (
        sum(not audited(bug, number).passed for number in range(audits)) if bug in AUDITED else 0
    )
    row = {
        "name": bug,
        "breaks": BUGS[bug].breaks,
        "caught_by": list(named),
        "audit": how(bug, found, audits) if found else None,
        "power": caught / repetitions,
        "repetitions": repetitions,
        "in_ci": caught > 0,
    }
    tried = audits if bug in AUDITED else 0
    print(f"{bug}: {caught} of {repetitions}; audit {found} of {tried}", flush=True)
    return row


def false_alarms(repetitions: int) -> int:
    """Return in how many repetitions a test failed without any bug."""
    tests = tuple(sorted({test for bug in CATCHERS for test in catchers_of(bug)}))
    alarms = [sorted(run(tests, None, number).failed) for number in range(repetitions)]
    print(
        f"without a bug: {[failed for failed in alarms if failed] or 'nothing failed'}", flush=True
    )
    return sum(bool(failed) for failed in alarms)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=20, help="of each test with its bug")
    parser.add_argument("--audits", type=int, default=3, help="of each bug that the audit can see")
    parser.add_argument("--clean", type=int, default=5, help="runs of all tests without a bug")
    given = parser.parse_args()
    rows = [measure(bug, given.repetitions, given.audits) for bug in BUGS]
    clean = sum(not audited("half the noise", n, plant=False).passed for n in range(given.audits))
    table = {
        "version": VERSION,
        "bugs": rows,
        "without_a_bug": {
            "runs_of_all_tests": given.clean,
            "in_which_one_failed": false_alarms(given.clean),
            "audits": given.audits,
            "that_failed": clean,
        },
    }
    FILE.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    GUIDE.write_text(guide_with(table), encoding="utf-8")
    print(f"Wrote {FILE} and the table in {GUIDE}")


if __name__ == "__main__":
    main()
