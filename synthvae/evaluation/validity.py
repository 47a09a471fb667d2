"""Whether cells are what the schema allows, whether rows keep the rules, whether they are copies."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from synthvae._text import brief, counted
from synthvae._types import Bools, Floats, Ints
from synthvae.config import Rule
from synthvae.errors import ConfigError
from synthvae.evaluation import intervals, significance
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.results import Interval, Score
from synthvae.evaluation.tables import Table, Tables
from synthvae.rules import setting
from synthvae.rules.compiled import CompiledRule, compiled_rule
from synthvae.rules.steps import known_steps, rows_before
from synthvae.rules.values import MISSING, Columns, Known
from synthvae.schema import Schema

NAMED = 5
LONGEST_KEY = 60
CONSTANT = 0.98  # share of real patients who hold one value of a column that should not vary
LEAST_REPEATED = 20  # real patients of two rows or more, to call a column constant

_SCHEMA = Limits(
    1.0,
    0.99,
    "Frictionless Table Schema v1: a table is valid where every cell keeps its constraints; that 1 "
    "in 100 is poor is our own line",
    "standard",
)
_metric = partial(
    Metric,
    direction="higher",
    family="schema",
    topic="validity",
    goal=1.0,
    threshold=_SCHEMA,
    disclosure="synthetic rows",
    census=True,
)
CELLS = _metric(
    "valid_cells",
    "Cells inside the schema",
    "Share of the synthetic table's cells that the schema allows: readable, of the right type, "
    "within the bounds or categories, missing only where that is allowed.",
)
ROWS = _metric(
    "valid_rows",
    "Rows inside the schema",
    "Share of synthetic rows in which every cell is allowed by the schema.",
)
_MOST = "holdout, at most"
_BY_CHANCE = (
    "the most that chance explains beside the holdout's share, by Fisher's test at the level of one of "
    "the attacks; 5 in 100 rows above that is poor"
)
COPIES = Metric(
    "copies",
    "Exact copies of train rows",
    "Share of synthetic rows that equal a train row in every modelled column. Where columns are "
    "few and coarse, new patients equal old ones by chance, as often as the holdout's do. Much "
    "more than that points at copying; less proves nothing.",
    "lower",
    family="copies",
    topic="privacy",
    goal_from="holdout",
    threshold=Limits(0.0, 0.05, _BY_CHANCE, beside=_MOST),
    disclosure="rounded down",
    tripwire=True,
)
_BROKEN = "broken by at most 5 in 1,000 rows more than in train"
BROKEN = Metric(
    "rule.<slug>",
    "Rows that break '{name}'",
    "Share of synthetic rows that break the declared rule: {statement}. The goal is what train rows "
    "do, which may break it too.",
    "lower",
    family="rules",
    topic="validity",
    goal_from="train",
    threshold=Limits(0.005, 0.02, _BROKEN, beside="train"),
    disclosure="synthetic rows",
    census=True,
)
AGREEMENT = Metric(
    "within_patient",
    "Patients who hold one value where real ones do",
    "Of the columns that hold one value within nearly every real patient, such as sex, without being "
    "declared `perPatient`: the share of synthetic patients of two rows or more who hold one value, "
    "too, of the column where that is rarest. Declare such a column `perPatient`, and all do.",
    "higher",
    family="schema",
    topic="validity",
    goal_from="train",
    threshold=Limits(-0.02, -0.10, "2 in 100 patients fewer than in train", beside="train"),
    disclosure="left out",
    withheld_as="that it is there says that nearly all real patients agree in some column",
    census=True,
)
METRICS = (CELLS, ROWS, COPIES, BROKEN, AGREEMENT)


def check_validity(tables: Tables) -> tuple[Score, ...]:
    """Return the shares of valid cells and of valid rows, and that of copied rows."""
    invalid, held = tables.synthetic.invalid, tables.holdout.invalid
    cells = CELLS.answer(
        1 - _never_none(float(invalid.mean())),
        _mean_interval(1 - invalid.mean(axis=1)),
        {"holdout": 1 - float(held.mean()), "ideal": 1.0},
        _worst_columns(tables),
    )
    broken = np.asarray(invalid.any(axis=1))
    valid = int((~broken).sum())
    rows = ROWS.answer(
        1 - _never_none(1 - valid / len(broken)),
        intervals.clopper_pearson(valid, len(broken)),
        {"holdout": float((~held.any(axis=1)).mean()), "ideal": 1.0},
        f"{len(broken) - valid:,} of {counted(len(broken), 'row')} with an invalid cell.",
    )
    return cells, rows, count_copies(tables)


def _never_none(share: float) -> float:
    """Return a share that is rounded to 0 only where it is 0: one bad cell of a million is one."""
    return max(share, 10.0**-intervals.DIGITS) if share > 0 else share


def _worst_columns(tables: Tables) -> str:
    shares = tables.synthetic.invalid.mean(axis=0)
    worst = [int(j) for j in np.argsort(-shares, kind="stable")[:NAMED] if shares[j]]
    if not worst:
        return "No cell is invalid."
    names = [f"'{tables.schema.modelled[j].name}' ({100 * shares[j]:.3g} %)" for j in worst]
    return f"Columns with most invalid cells: {', '.join(names)}."


def _mean_interval(shares: Floats) -> Interval:
    """Return the interval of the mean of one share a row; exact where all rows are the same."""
    rows, mean = len(shares), float(shares.mean())
    error = float(shares.std()) / rows**0.5
    if not error:
        return intervals.clopper_pearson(round(mean * rows), rows)
    return intervals.interval(
        max(0.0, mean - 1.96 * error), min(1.0, mean + 1.96 * error), "normal, by row"
    )


def copied(table: Table, originals: Table) -> Bools:
    """Return which rows of a table are the same, in every column, as some original row."""
    known = {row.tobytes() for row in originals.codes}
    alike = np.array([row.tobytes() in known for row in table.codes], bool)
    return np.asarray(alike & ~table.invalid.any(axis=1))


def count_copies(tables: Tables) -> Score:
    """Return the share of synthetic rows that are copies of train rows, beside the holdout's.

    Which share chance explains is decided by one row of each patient, the first: rows of one
    patient are alike.
    """
    copies, held = (copied(table, tables.train) for table in (tables.synthetic, tables.holdout))
    first, known = (
        flags[np.unique(table.patients, return_index=True)[1]]
        for flags, table in ((copies, tables.synthetic), (held, tables.holdout))
    )
    most = significance.most_by_chance(int(known.sum()), len(known), len(first))
    return COPIES.answer(
        float(copies.mean()),
        intervals.clustered_share(copies, tables.synthetic.patients),
        {
            "holdout": float(held.mean()),
            _MOST: max(most, float(held.mean())),
            "independent": float(copied(tables.independent, tables.train).mean()),
        },
        f"{int(copies.sum()):,} of {counted(len(copies), 'synthetic row')}. A tripwire, not evidence "
        "of privacy.",
    )


def check_patients(tables: Tables) -> tuple[Score, ...]:
    """Return whether synthetic patients hold one value where real ones do; nothing if no column asks.

    A column asks where at least 98 % of train's patients with two known values or more hold one, and
    nobody has declared it `perPatient`. Missing cells are no values.
    """
    fields = tables.schema.modelled
    if tables.schema.patientKey is None:
        return ()
    asking = {}
    for place, field in enumerate(fields):
        agree = _agreement(tables.train, place)
        if field.perPatient or len(agree) < LEAST_REPEATED or agree.mean() < CONSTANT:
            continue
        asking[place] = float(agree.mean())
    if not asking:
        return ()
    agreeing = {place: _agreement(tables.synthetic, place) for place in asking}
    shares = {place: float(each.mean()) for place, each in agreeing.items() if len(each)}
    if not shares:
        return (AGREEMENT.unanswered("no synthetic patient has two rows"),)
    ordered = sorted(shares, key=lambda place: shares[place] - asking[place])
    named = (f"'{fields[j].name}' ({100 * shares[j]:.3g} %)" for j in ordered[:NAMED])
    worst, held = ordered[0], _agreement(tables.holdout, ordered[0])
    synthetic = agreeing[worst]
    score = AGREEMENT.answer(
        1 - _never_none(1 - shares[worst]),
        intervals.clopper_pearson(int(synthetic.sum()), len(synthetic)),
        {"train": asking[worst], "holdout": float(held.mean()) if len(held) else None},
        f"Of {counted(len(synthetic), 'synthetic patient')} with two known values or more. Synthetic "
        f"patients with one value: {', '.join(named)}.",
    )
    return (score,)


def _agreement(table: Table, place: int) -> Bools:
    """Return of each patient with two known values of a column or more whether they are the same."""
    codes, patients = table.codes[:, place], table.patients
    known = codes != MISSING
    order = np.lexsort((codes[known], patients[known]))
    whose, values = patients[known][order], codes[known][order]
    starts = np.flatnonzero(np.r_[True, np.diff(whose) != 0]) if len(whose) else np.array([], int)
    ends = np.r_[starts[1:], len(whose)].astype(int) - 1
    several = ends > starts
    return np.asarray(values[starts[several]] == values[ends[several]])


@dataclass(frozen=True)
class CheckedRule:
    """A rule that fits the schema, and its figure.

    `columns` are those that it may name, `unique` the places whose values come once within a patient, of
    a rule that says that; `time` is the place of what puts rows in order, of one that looks back.
    """

    metric: Metric
    columns: Columns
    rule: CompiledRule | None = None
    unique: tuple[int, ...] = ()
    time: int | None = None

    def judge(self, table: Table) -> tuple[Bools, Bools]:
        """Return for each row whether it breaks the rule, and whether that is decided."""
        if self.rule is None:
            values = table.codes[:, list(self.unique)]
            known = (values != MISSING).all(axis=1)
            again = pd.DataFrame(np.column_stack((table.patients, values))).duplicated()
            return known & again.to_numpy(), known
        before, rows = self._before(table), (len(table.codes),)
        truth = self.rule.judge(self._known(table, before))
        broken, unknown = np.broadcast_to(truth.no, rows), np.broadcast_to(truth.unknown, rows)
        if before is None or self.time is None:
            return broken, ~unknown
        timeless = table.patients[table.codes[:, self.time] == MISSING]
        undecided = (unknown & (before >= 0)) | np.isin(table.patients, timeless)
        return broken & (before >= 0), ~undecided

    def concerned(self, table: Table) -> int | None:
        """Return of how many rows the rule says something, None where it is of all."""
        before = self._before(table)
        condition = None if self.rule is None else self.rule.condition
        if before is None and condition is None:
            return None
        about = np.asarray(True) if before is None else before >= 0
        if condition is not None:
            about = about & condition.judge(self._known(table, before)).yes
        return int(np.broadcast_to(about, (len(table.codes),)).sum())

    def _before(self, table: Table) -> Ints | None:
        """Return the row before each row, of a rule that looks back; it says nothing without."""
        if self.time is None:
            return None
        return rows_before(table.codes[:, self.time], table.patients)

    def _known(self, table: Table, before: Ints | None) -> Known:
        if before is None:
            return self.columns.known(table.codes)
        return known_steps(self.columns, table.codes, before)


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


def read_rules(rules: Sequence[Rule], schema: Schema) -> tuple[CheckedRule, ...]:
    """Read the rules of an evaluation, and check them against a schema, whose own rules come first.

    What the schema has is not repeated.

    Raises
    ------
    ConfigError
        A rule cannot be read or names what the schema does not have; the text says where.
    """
    given = [
        setting.Rule(name=rule.name, condition=rule.condition, then=rule.then)
        if rule.condition is not None
        else setting.Rule(name=rule.name, rule=rule.then)
        for rule in rules
    ]
    known = {rule.statement for rule in schema.rules}
    extra = [rule for rule in given if rule.statement not in known]
    keys = distinct_slugs([rule.title for rule in extra], "rules")
    checked = list(_schema_rules(schema, keys))
    for key, rule in zip(keys, extra, strict=True):
        where = f"the rule {brief(rule.title)}"
        compiled = compiled_rule(rule, schema.step_columns, where)
        checked.append(_checked(_figure(key, rule), compiled, schema))
    return tuple(checked)


def _schema_rules(schema: Schema, taken: Sequence[str]) -> Iterator[CheckedRule]:
    """Yield the rules of a schema, with figures of their own; those of one name are numbered."""
    if not schema.rules:
        return
    compiled, unique = iter(schema.rule_set.declared), iter(schema.rule_set.unique)
    steps, looking_back = iter(schema.step_rules), [rule.setting for rule in schema.step_rules]
    keys = set(taken)
    for rule in schema.rules:
        first = key = slug(rule.title)[:LONGEST_KEY]
        number = 1
        while key in keys:
            number += 1
            key = f"{first}-{number}"
        keys.add(key)
        metric = _figure(key, rule)
        if rule.unique:
            yield CheckedRule(metric, schema.columns, unique=next(unique))
        else:
            each = steps if rule in looking_back else compiled
            yield _checked(metric, next(each), schema)


def _checked(metric: Metric, rule: CompiledRule, schema: Schema) -> CheckedRule:
    """Return a rule with its figure; one that looks back needs the column that puts rows in order."""
    order, time = schema.orderBy, None
    if order is not None and max(rule.places) >= len(schema.modelled):
        time = schema.columns.places[order.column]
    return CheckedRule(metric, schema.step_columns, rule, time=time)


def _figure(key: str, rule: setting.Rule) -> Metric:
    when = f"where {rule.condition}, {rule.then}" if rule.then else rule.statement
    return BROKEN.of(slug=key, name=rule.title, statement=when)


def check_rules(tables: Tables, rules: Sequence[CheckedRule]) -> tuple[Score, ...]:
    """Return the share of synthetic rows that break each rule, beside those of real rows."""
    return tuple(_check(tables, rule) for rule in rules)


def _check(tables: Tables, rule: CheckedRule) -> Score:
    broken, decided = rule.judge(tables.synthetic)
    rows, undecided = len(broken), int((~decided).sum())
    text = f"{int(broken.sum()):,} of {counted(rows, 'row')} break it."
    concerned = rule.concerned(tables.synthetic)
    if concerned is not None:
        text += f" It concerns {counted(concerned, 'row')}."
    if undecided:
        text += (
            f" {counted(undecided, 'row')} cannot be judged, because a value is missing or invalid,"
            " and count as keeping it."
        )
    # Independent rows are each a patient's own, so that none comes before another.
    besides = ("holdout", "train") if rule.time is not None else ("holdout", "train", "independent")
    return rule.metric.answer(
        _never_none(float(broken.mean())),
        intervals.clustered_share(broken, tables.synthetic.patients),
        {name: float(rule.judge(getattr(tables, name))[0].mean()) for name in besides},
        text,
    )
