"""Clinical rules that the user declares: how many records break each of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from synthvae._text import counted
from synthvae._types import Bools
from synthvae.errors import ConfigError
from synthvae.evaluation.asked import Rule
from synthvae.evaluation.expression import Statement, read_statement
from synthvae.evaluation.intervals import clustered_share
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.tables import Table, Tables
from synthvae.evaluation.values import Score
from synthvae.schema import Schema

BROKEN = Metric(
    "rule.<slug>",
    "Rows that break '{name}'",
    "Share of synthetic rows that break the declared rule: {statement}. The goal is what train rows "
    "do, which may break it too.",
    "lower",
    family="rules",
    topic="validity",
    threshold=Limits(
        0.005, 0.02, "broken by at most 5 in 1,000 rows more than in train", beside="train"
    ),
    disclosure="synthetic rows",
)
METRICS = (BROKEN,)


@dataclass(frozen=True)
class ReadRule:
    """A rule that fits the schema: in each record where `condition` holds, `then` must hold."""

    metric: Metric
    rule: Rule
    condition: Statement | None
    then: Statement

    def judge(self, table: Table) -> tuple[Bools, Bools]:
        """Return for each row whether it breaks the rule, and whether that is decided."""
        holds, decided = self.then.holds(table.codes)
        if self.condition is None:
            return decided & ~holds, decided
        applies, known = self.condition.holds(table.codes)
        spared = known & ~applies
        return applies & decided & ~holds, spared | (decided & holds) | (known & decided)


def slug(name: str) -> str:
    """Return a name as a part of a key: small letters, digits and dashes.

    Examples
    --------
    >>> slug("Men do not give birth!")
    'men-do-not-give-birth'
    """
    return re.sub(r"[^\w]+", "-", name.lower()).strip("-") or "unnamed"


def distinct_slugs(names: Sequence[str], what: str) -> list[str]:
    """Return the slug of each name; `ConfigError` where two are the same."""
    found = [slug(name) for name in names]
    for name, word in zip(names, found, strict=True):
        if found.count(word) > 1:
            raise ConfigError(
                f"evaluation: two {what} are named '{name}' or nearly so; give each its own name."
            )
    return found


def read_rules(rules: Sequence[Rule], schema: Schema) -> tuple[ReadRule, ...]:
    """Read rules and check them against a schema.

    Raises
    ------
    ConfigError
        A rule cannot be read or names what the schema does not have; the text says where.
    """
    keys = distinct_slugs([rule.name for rule in rules], "rules")
    read = []
    for key, rule in zip(keys, rules, strict=True):
        parts = {
            part: None if text is None else read_statement(text, schema, f"{part} of {_name(rule)}")
            for part, text in (("`if`", rule.condition), ("`then`", rule.then))
        }
        then = parts["`then`"]
        assert then is not None
        when = "" if rule.condition is None else f"where {rule.condition}, "
        metric = BROKEN.of(slug=key, name=rule.name, statement=f"{when}{rule.then}")
        read.append(ReadRule(metric, rule, parts["`if`"], then))
    return tuple(read)


def _name(rule: Rule) -> str:
    return f"the rule '{rule.name}'"


def check_rules(tables: Tables, rules: Sequence[ReadRule]) -> tuple[Score, ...]:
    """Return the share of synthetic rows that break each rule, beside those of real rows."""
    return tuple(_check(tables, rule) for rule in rules)


def _check(tables: Tables, rule: ReadRule) -> Score:
    broken, decided = rule.judge(tables.synthetic)
    references: dict[str, float | None] = {
        name: float(rule.judge(table)[0].mean())
        for name, table in (
            ("holdout", tables.holdout),
            ("train", tables.train),
            ("independent", tables.independent),
        )
    }
    rows, undecided = len(broken), int((~decided).sum())
    text = f"{int(broken.sum()):,} of {counted(rows, 'row')} break it."
    if rule.condition is not None:
        concerned = int(rule.condition.holds(tables.synthetic.codes)[0].sum())
        text += f" It concerns {counted(concerned, 'row')}."
    if undecided:
        text += (
            f" {counted(undecided, 'row')} cannot be judged, because a value is missing or invalid,"
            " and count as keeping it."
        )
    return rule.metric.with_goal(references["train"]).answer(
        float(broken.mean()), clustered_share(broken, tables.synthetic.patients), references, text
    )
