"""Rules that a draft proposes: relations between columns that nearly all patients keep.

They are read off records, so each is marked for review: a rule is a public fact, and a person has to say
where it is known. Only what many patients keep and few break is proposed, and many have each category
that a rule names. A single patient decides only where a number of patients stands right at a threshold,
but does so there: a draft has no noise, and is as private as its records until it is reviewed. No rule
has a number of the data in it but 0. How many keep it is for the steward's terminal alone; the draft
says the same of a rule with a few exceptions as of one without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from synthvae._frozen import write_yaml
from synthvae._text import counted, one_line, shortened
from synthvae.errors import ConfigError, SchemaError
from synthvae.relations.finder import Demands, find_relations
from synthvae.relations.relation import Relation
from synthvae.relations.statements import Kind
from synthvae.schema import Schema
from synthvae.table.codes import identify_patients, inspect

MOST_RULES = 60  # more than a person reads
MOST_ROWS = 100_000  # in which relations are looked for
MOST_EXCEPTIONS = 2  # of what holds in a subgroup: strong associations have more
DEMANDS = Demands(support=100, expected=20, exceptions=2, share=0.005, exact=False)
MARK = "REVIEW"  # with which a remark begins that asks something
RULES_NOTE = """\
# What nearly all records keep. A rule holds in every record, real or synthetic, and is publicly
# known: by the meaning of the columns, the form or the protocol. Delete what is none.
"""
QUESTIONS: dict[Kind, str] = {
    "order": "is this order so for every patient",
    "equal": "are they always the same, so that one of them is enough",
    "sum": "is it always computed so",
    "flag": "does it always say just that",
    "equal in a subgroup": "are they always the same there",
    "in a subgroup": "can it not be otherwise",
    "missing together": "are they always recorded together",
    "missing where": "is it so by the form or the protocol",
    "combinations": "are there no other combinations",
    "one of several": "do they exclude each other",
    "cut-points": "is it always computed so",
}


@dataclass(frozen=True)
class Proposal:
    """A rule for a schema, to be reviewed.

    Attributes
    ----------
    rule
        As a mapping, as a schema has it.
    reason
        What is asked of whoever reviews it, without a figure.
    evidence
        How many patients it rests on: for the steward's terminal alone.
    """

    rule: dict[str, Any]
    reason: str
    evidence: str


def propose_rules(frame: pd.DataFrame, schema: Schema) -> tuple[Proposal, ...]:
    """Propose rules for a table whose columns a schema describes.

    Rules that do not fit the schema, or what it declares already, are left out.

    Examples
    --------
    >>> ages = {"type": "integer", "constraints": {"minimum": 0, "maximum": 99}}
    >>> schema = Schema.from_dict({"fields": [{"name": "born"} | ages, {"name": "died"} | ages]})
    >>> born = np.arange(400) % 40
    >>> frame = pd.DataFrame({"born": born, "died": born + np.arange(400) % 7})
    >>> [proposal.rule for proposal in propose_rules(frame, schema)]
    [{'rule': 'born <= died', 'review': True}]
    """
    codes, generator = inspect(frame, schema).codes, np.random.default_rng(0)
    patients = np.arange(len(frame))
    if schema.key_columns:
        patients = pd.factorize(identify_patients(frame, schema))[0]
    if len(codes) > MOST_ROWS:
        rows = np.sort(generator.choice(len(codes), MOST_ROWS, replace=False))
        codes, patients = codes[rows], patients[rows]
    found = find_relations(
        codes, schema.columns, patients, generator, order=schema.names, demands=DEMANDS
    )
    usable = [
        relation
        for relation in found
        if relation.kind != "in a subgroup" or relation.exceptions <= MOST_EXCEPTIONS
    ]
    return tuple(map(_proposal, _fitting(usable[:MOST_RULES], schema)))


def _fitting(relations: Sequence[Relation], schema: Schema) -> list[Relation]:
    """Return the relations whose rules a schema takes, together."""
    if _is_taken(relations, schema):
        return list(relations)
    kept: list[Relation] = []
    for relation in relations:
        if _is_taken([*kept, relation], schema):
            kept.append(relation)
    return kept


def _is_taken(relations: Sequence[Relation], schema: Schema) -> bool:
    rules = [rule.to_plain() for rule in schema.rules]
    try:
        schema.replace(rules=[*rules, *(relation.rule for relation in relations)])
    except (ConfigError, SchemaError):
        return False
    return True


def _proposal(relation: Relation) -> Proposal:
    rule = {"rule": relation.rule} if isinstance(relation.rule, str) else relation.rule
    exceptions = (
        counted(relation.exceptions, "exception") if relation.exceptions else "no exception"
    )
    return Proposal(
        rule=rule | {"review": True},
        reason=(
            f"nearly every record keeps this rule: {QUESTIONS[relation.kind]}, and where is that "
            "publicly known?"
        ),
        evidence=(
            f"{shortened(relation.text, 200)}: {counted(relation.patients, 'patient')}, {exceptions}"
        ),
    )


def rules_text(proposals: Sequence[Proposal]) -> str:
    """Return proposals as a part of a schema's file, each with its question above it."""
    if not proposals:
        return ""
    lines = [RULES_NOTE, "rules:\n"]
    for proposal in proposals:
        lines.append(f"  # {MARK}: {one_line(proposal.reason, 1000)}\n")
        # One key a line, as fields have it: whoever takes the marks away takes nothing else.
        entries = "".join(write_yaml({key: item}) for key, item in proposal.rule.items())
        first, *rest = entries.splitlines()
        lines += [f"  - {first}\n", *(f"    {line}\n" for line in rest)]
    return "".join(lines)


def rules_summary(proposals: Sequence[Proposal]) -> tuple[str, ...]:
    """Return what proposals rest on, a line each: for the steward's terminal alone."""
    if not proposals:
        return ()
    return (
        f"{counted(len(proposals), 'rule')} proposed, which nearly all patients keep:",
        *(f"  {proposal.evidence}." for proposal in proposals),
    )
