"""Every planted bug is caught by a test of the checklist, and none is seen where there is none."""

import re

import pytest

from tests.mutations.auditing import AUDITED, audited
from tests.mutations.catching import CATCHERS, catchers_of, caught_by, run
from tests.mutations.planted import BUGS
from tests.mutations.table import GUIDE, guide_with, measured

PROMISED = list(BUGS)[:9]


def test_the_nine_promised_bugs_are_first_and_every_bug_has_a_catcher() -> None:
    assert list(CATCHERS) == list(BUGS)
    assert PROMISED == [
        "no noise on one layer",
        "half the noise",
        "no clipping of one parameter",
        "bounds from data",
        "shuffled batches accounted as Poisson",
        "a normaliser from the true n",
        "one step unaccounted",
        "fixed noise seed",
        "an anchor released twice",
    ]


@pytest.mark.parametrize("bug", PROMISED)
def test_a_planted_bug_is_caught(bug: str) -> None:
    """The slow tests plant all of them."""
    first = catchers_of(bug)[:1]
    assert caught_by(bug, first) == first


def test_without_a_bug_the_same_tests_pass() -> None:
    # Their own seeds run with the checklist: here others, in this way of running them.
    assert run(catchers_of("one step unaccounted"), None, 1).failed == set()


def test_the_table_lists_these_bugs_and_the_guide_shows_it() -> None:
    table = measured()
    found = [(row["name"], row["breaks"]) for row in table["bugs"]]
    assert found == [(bug.name, bug.breaks) for bug in BUGS.values()]
    for row in table["bugs"]:
        assert set(row["caught_by"]) <= set(catchers_of(row["name"])), row["name"]
        assert row["audit"] is None or row["name"] in AUDITED
        assert row["repetitions"] > 0
    assert table["without_a_bug"]["in_which_one_failed"] == 0
    assert table["without_a_bug"]["that_failed"] == 0
    assert guide_with(table) == GUIDE.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS)
def test_every_named_test_catches_its_bug_with_other_seeds_too(bug: str) -> None:
    tests = catchers_of(bug)
    assert caught_by(bug, tests, 1) == tests


def seen_by_every_audit() -> list[str]:
    """Return the bugs that no audit of the table missed: others are seen by luck."""
    rows = {row["name"]: row["audit"] or "" for row in measured()["bugs"]}
    counts = {name: re.search(r"(\d+) of (\d+) audits", words) for name, words in rows.items()}
    return [name for name, found in counts.items() if found and found[1] == found[2]]


@pytest.mark.slow
@pytest.mark.parametrize("bug", seen_by_every_audit())
def test_the_audit_sees_the_bugs_that_the_table_says_it_sees(bug: str) -> None:
    assert not audited(bug, 7).passed


@pytest.mark.slow
def test_without_a_bug_nothing_is_caught() -> None:
    tests = tuple(sorted({test for bug in BUGS for test in catchers_of(bug)}))
    outcomes = run(tests, None, 3)
    assert outcomes.failed == set()
    assert outcomes.passed == set(tests)
    assert audited("half the noise", 7, plant=False).passed
