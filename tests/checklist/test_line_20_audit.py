"""Line 20: the epsilon that an audit shows is at most the one claimed, and planted bugs are caught.

The audit knows nothing of where the code might be wrong: it fits a table with one record and without it,
and bounds epsilon from below by what it can tell apart. Whether it, and the tests of the other lines,
would notice a bug is measured by planting some: tests/mutations, whose table is read here.
"""

import pytest

from synthvae.audit import AuditResult, audit_worlds, tiny_case
from tests.mutations.planted import BUGS, planted
from tests.mutations.table import measured
from tests.seeding import fixed_noise

PROMISED = list(BUGS)[:9]


def test_line_20_the_audit_shows_no_more_than_is_claimed() -> None:
    with fixed_noise():  # its bounds hold with 95 %: fresh noise would exceed them now and then
        found = audit_worlds(tiny_case(4.0), 12)
    assert found.violations == ()
    assert found.passed
    assert found.lower <= found.claimed == pytest.approx(4.0, abs=0.01)
    assert found.claimed < found.ceiling
    assert found.trials == (12, 12)
    assert {one.name for one in found.components} >= {"everything", "counts", "pairs", "training"}
    assert sum(1 - one.confidence for one in found.components) == pytest.approx(0.05)
    assert AuditResult.model_validate_json(found.model_dump_json()) == found


@pytest.mark.slow
def test_line_20_the_audit_shows_something_and_no_more_than_is_claimed() -> None:
    with fixed_noise():
        found = audit_worlds(tiny_case(4.0, 50), 120)
    assert found.violations == ()
    assert 0.1 * found.claimed < found.lower <= found.claimed < found.ceiling


@pytest.mark.parametrize(
    ("bug", "seen"), [("one step unaccounted", ""), ("fixed noise seed", "fresh noise")]
)
def test_line_20_the_audit_sees_a_planted_bug(bug: str, seen: str) -> None:
    with planted(bug):
        found = audit_worlds(tiny_case(4.0), 10)
    assert not found.passed
    assert any(seen in words for words in found.violations)


def test_line_20_at_least_eight_of_nine_planted_bugs_are_caught_in_every_build() -> None:
    rows = {row["name"]: row for row in measured()["bugs"]}
    caught = [name for name in PROMISED if rows[name]["in_ci"] and rows[name]["caught_by"]]
    assert len(caught) >= 8


def test_line_20_all_planted_bugs_are_caught_by_something() -> None:
    for row in measured()["bugs"]:
        assert row["caught_by"] or row["audit"], row["name"]
        assert row["power"] > 0.5 or row["audit"], row["name"]
