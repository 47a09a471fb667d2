"""Relations that nearly all real patients keep and no rule declares: how often synthetic rows do not.

A patient of whom one date lies before another gives a table away as no other error does. Which relations
there are is read off real rows, so all of this is for the custodian alone.
"""

from collections.abc import Sequence

import numpy as np

from synthvae._text import counted, shortened
from synthvae._types import Bools, Ints
from synthvae.evaluation import intervals
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Score
from synthvae.evaluation.tables import Table, Tables, at_most, shuffled
from synthvae.relations.finder import Demands, compiled, find_relations, judged
from synthvae.relations.relation import Relation
from synthvae.relations.view import View
from synthvae.schema import Schema

NAMED = 4
LONGEST = 200  # of a rule's text
MOST_ROWS = 100_000  # of train, in which relations are looked for
SHUFFLED = 20_000  # rows by which it is judged whether rules imply a relation:
LEAST_EXPECTED = (
    10.0  # so many of those that keep the rules would break it, did the rules not matter
)
DEMANDS = Demands(support=50, exceptions=0)
_BROKEN = "broken by at most 5 in 1,000 rows more than in train"
UNDECLARED = Metric(
    "undeclared_relations",
    "Rows that break a relation that real rows keep",
    "Share of synthetic rows that break one or more of the relations between columns that at least "
    "99.5 % of train's patients keep (orders, sums, cells that are missing just where another column "
    "says so) and that no rule of the schema declares. What a rule declares, every synthetic row keeps.",
    "lower",
    family="relations",
    topic="validity",
    goal_from="train",
    threshold=Limits(0.005, 0.02, _BROKEN, beside="train"),
    disclosure="left out",
    withheld_as="that it is there says that nearly all real patients keep some relation",
    census=True,
)
METRICS = (UNDECLARED,)


def find_undeclared(tables: Tables, generator: np.random.Generator) -> tuple[Relation, ...]:
    """Return the relations that train's patients keep nearly all, but for those that rules speak of."""
    train, schema = at_most(tables.train, MOST_ROWS, generator), tables.schema
    found = find_relations(
        train.codes,
        schema.columns,
        train.patients,
        generator,
        order=schema.names,
        demands=DEMANDS,
    )
    declared = columns_of_rules(schema)
    unnamed = [relation for relation in found if frozenset(relation.columns) not in declared]
    if not declared:
        return tuple(unnamed)
    mixed = shuffled(train, SHUFFLED, generator).codes
    return tuple(relation for relation in unnamed if not _is_implied(relation, mixed, schema))


def columns_of_rules(schema: Schema) -> frozenset[frozenset[str]]:
    """Return the columns that each rule of a schema names: it is taken to say what there is to say."""
    fields = schema.columns.fields
    return frozenset(
        frozenset(fields[place].name for place in rule.places) for rule in schema.rule_set.declared
    )


def _is_implied(relation: Relation, mixed: Ints, schema: Schema) -> bool:
    """Whether a relation follows from a schema's rules, as `a <= c` does from `a <= b <= c`.

    Of rows whose columns are shuffled, many break it, and none that keeps the rules about its columns,
    derived columns being computed.
    """
    rules, columns = schema.rule_set, schema.columns
    rule = compiled(relation.rule, columns)
    places = rules.resolved(rule).places
    whole = rules.completed(mixed[:, : rules.drawn])
    kept = whole[~rules.broken(whole, [each for each in rules.sampled if each.places & places])]
    if not len(kept):
        return False
    before, all_concerned = judged(rule, View.of(mixed, columns))
    after, concerned = judged(rule, View.of(kept, columns))
    expected = before.sum() / max(1, all_concerned.sum()) * concerned.sum()
    return not after.any() and bool(expected >= LEAST_EXPECTED)


def check_relations(tables: Tables, relations: Sequence[Relation]) -> tuple[Score, ...]:
    """Return the share of synthetic rows that break any of some relations; nothing if there are none."""
    if not relations:
        return ()
    by_table = {
        name: _judge(getattr(tables, name), relations, tables.schema)
        for name in ("synthetic", "train", "holdout", "independent")
    }
    synthetic = by_table.pop("synthetic")
    broken = np.asarray(synthetic[0].any(axis=0))
    share = float(broken.mean())
    score = UNDECLARED.answer(
        max(share, 10.0**-intervals.DIGITS) if share else 0.0,
        intervals.clustered_share(broken, tables.synthetic.patients),
        {name: float(rows.any(axis=0).mean()) for name, (rows, _) in by_table.items()},
        _detail(relations, synthetic, by_table["holdout"]),
    )
    return (score,)


def _judge(table: Table, relations: Sequence[Relation], schema: Schema) -> tuple[Bools, Bools]:
    """Return which rows break each relation, and which it concerns, shape (relations, rows)."""
    view = View.of(table.codes, schema.columns)
    each = [judged(compiled(relation.rule, schema.columns), view) for relation in relations]
    return np.stack([broken for broken, _ in each]), np.stack([concerned for _, concerned in each])


def _detail(
    relations: Sequence[Relation], synthetic: tuple[Bools, Bools], holdout: tuple[Bools, Bools]
) -> str:
    """Return the relations that are broken most, as rules for the schema, with how often they are."""
    ours, theirs = _shares(*synthetic), _shares(*holdout)
    broken = [int(j) for j in np.argsort(theirs - ours, kind="stable") if ours[j] > theirs[j]]
    text = f"Of {counted(len(relations), 'relation')} that no rule declares, synthetic rows break"
    if not broken:
        return f"{text} none more often than holdout rows do."
    named = "; ".join(
        f"{shortened(relations[j].text, LONGEST)} (broken by {100 * ours[j]:.3g} % of "
        f"{counted(int(synthetic[1][j].sum()), 'row')} that it concerns, {100 * theirs[j]:.3g} % in the "
        "holdout)"
        for j in broken[:NAMED]
    )
    more = len(broken) - NAMED
    return (
        f"{text} {len(broken)} more often than holdout rows do. As rules for the schema, the worst "
        f"first: {named}{f'; and {more} more' if more > 0 else ''}."
    )


def _shares(broken: Bools, concerned: Bools) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the share of the rows concerned that break each relation."""
    return np.asarray(broken.sum(axis=1) / np.maximum(1, concerned.sum(axis=1)))
