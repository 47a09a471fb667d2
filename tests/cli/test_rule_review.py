"""`synthvae schema review` of proposed rules, with lines on stdin."""

from collections.abc import Callable
from pathlib import Path

import pytest

from synthvae.schema import Schema
from tests.cli.in_process import Ended

NUMBER = "type: integer, constraints: {minimum: 0, maximum: 9}"
DRAFT = f"""\
patients: 400
fields:
  - {{name: a, {NUMBER}}}
  - {{name: b, {NUMBER}}}
  - {{name: c, {NUMBER}}}
rules:
  - rule: a <= b
    review: true
  - rule: b <= c
    review: true
  - rule: a + b >= c
    review: true
"""
Typed = Callable[..., Ended]


@pytest.fixture
def typed(answer: Typed) -> Typed:
    """Review this file's draft."""
    Path("draft.yaml").write_text(DRAFT)
    return answer


def sources() -> dict[str, str | None]:
    return {
        rule.statement: rule.basis.source if rule.basis else None
        for rule in Schema.load("draft.yaml").rules
    }


def test_each_rule_is_asked_for_and_accepted_or_taken_out(typed: Typed) -> None:
    ended = typed("Ann", "1 §5", "x", "nonsense!", "d")
    assert ended.code == 0, ended.err
    assert "a <= b  (3 open rules)" in ended.out
    assert "is a single word" in ended.out
    assert sources() == {"a <= b": "study protocol: §5", "a + b >= c": "the data themselves"}
    assert "the records show it, as the guarantee will say: a + b >= c." in ended.out
    assert ended.out.endswith("Nothing in draft.yaml awaits review.\n")


def test_what_is_skipped_or_left_waits(typed: Typed) -> None:
    assert "2 rules in draft.yaml still to review" in typed("Ann", "s", "2", "q").out
    assert "(2 open rules)" in typed("Ann", "q").out
    typed("Ann", "a Smith, Lancet 2019")
    assert [*sources().values()].count("Smith, Lancet 2019") == 2


def test_all_may_be_accepted_in_somebodys_name(typed: Typed) -> None:
    typed(words=("--yes", "--source", "Smith 2019", "--by", "Ann"))
    assert set(sources().values()) == {"Smith 2019"}
