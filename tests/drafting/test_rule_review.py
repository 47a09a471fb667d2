"""The review of proposed rules: one at a time in the file, and nothing else in it touched."""

import re
from datetime import date
from pathlib import Path

import pytest

from synthvae.drafting import draft_table
from synthvae.drafting.review import SchemaReview
from synthvae.schema import Schema
from tests.relations.hospital_stays import stays

TODAY = date(2026, 11, 30)
DRAFT = """\
rules:
  - a <= b   # known for long
  # REVIEW: nearly every record keeps this rule: is it so?
  # said by a friend
  - if: f
    then: a == b   # equal
    review: true
  # REVIEW: nearly every record keeps this rule: is it so?
  - allowed: [f, g]
    values: pairs.csv
    review: true
# The fields.
fields:
  - {name: a, type: integer, constraints: {minimum: 0, maximum: 9}}
  - {name: b, type: integer, constraints: {minimum: 0, maximum: 9}}
  - {name: f, type: boolean}
  - {name: g, type: boolean}
"""
BETWEEN = (
    '{"rules": [{"rule": "a <= b", "review": true}, {"if": "f", "then": "a == b", "review": true}, '
    '{"if": "g", "then": "a == b", "review": true}], "fields": ['
    + ", ".join(
        f'{{"name": "{name}", "type": "integer", "constraints": {{"minimum": 0, "maximum": 9}}}}'
        for name in "ab"
    )
    + ', {"name": "f", "type": "boolean"}, {"name": "g", "type": "boolean"}]}'
)


def begin(folder: Path, text: str = DRAFT, name: str = "draft.yaml") -> tuple[Path, SchemaReview]:
    (folder / "pairs.csv").write_text("f,g\ntrue,false\nfalse,true\n")
    path = folder / name
    path.write_bytes(text.encode())
    return path, SchemaReview(path, "Ann", TODAY)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_accepted_rules_have_a_basis_and_all_else_stays(tmp_path: Path, ends: str) -> None:
    path, review = begin(tmp_path, DRAFT.replace("\n", ends))
    assert (review.open, len(review.open_rules)) == ((), 2)
    review.accept_rules(review.open_rules, "study protocol")
    basis = "    basis: {source: study protocol, by: Ann, 'on': 2026-11-30}\n"
    expected = DRAFT.replace("    review: true\n", basis).replace("   # equal", "")
    expected = re.sub("  # REVIEW.*\n", "", expected)
    assert path.read_bytes().decode() == expected.replace("\n", ends)
    assert Schema.load(path).to_review == ()
    assert Schema.load(path) == review.schema  # with the combinations of the file


@pytest.mark.parametrize(
    ("text", "name"), [(DRAFT, "draft.yaml"), (BETWEEN, "s.yaml"), (BETWEEN, "s.json")]
)
def test_a_rule_is_taken_out_with_its_remarks(tmp_path: Path, text: str, name: str) -> None:
    path, review = begin(tmp_path, text, name)
    gone, *rest = review.open_rules
    before = Schema.load(path).rules
    review.drop_rules([gone])
    assert Schema.load(path).rules == tuple(rule for rule in before if rule != gone)
    assert "said by a friend" not in path.read_text()
    review.drop_rules(rest)
    assert len(Schema.load(path).rules) == len(before) - 1 - len(rest)
    assert ("known for long" in path.read_text()) == (text == DRAFT)


def test_a_column_that_is_omitted_takes_its_proposed_rules_along(tmp_path: Path) -> None:
    path, review = begin(tmp_path)
    review.omit("g")
    assert [rule.statement for rule in Schema.load(path).rules] == ["a <= b", "if f then a == b"]


def test_a_draft_has_its_rules_and_no_figure_of_them(tmp_path: Path) -> None:
    draft = draft_table(stays(3000).astype(str).replace({"nan": ""}), "stays")
    path, review = begin(tmp_path, draft.text)
    assert review.schema == draft.schema
    assert len(review.open_rules) == len(draft.value["rules"]) > 9
    assert any("3,000 patients" in line for line in draft.summary)
    assert "3,000" not in draft.text
    # A line a key: whoever takes the marks away takes no rule with them.
    path.write_text(draft.text.replace("    review: true\n", ""))
    assert len(Schema.load(path).rules) == len(review.open_rules)
