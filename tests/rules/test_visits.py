"""Rules over the columns of a timeline: they say of visits what is said of rows, and see dead ends."""

from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from synthvae._types import Bools, Ints
from synthvae.audit.case import even_marginals
from synthvae.model.histories import visit_codes
from synthvae.model.layout import rule_masks
from synthvae.rules.steps import broken_steps, rows_before
from synthvae.schema import Schema
from synthvae.timeline import Timeline
from tests.rules.ruled_table import choice, day, flag, integer

T, X, GAPPY = integer("t", 0, 4), integer("x", 0, 3), integer("x", 0, 3, gaps=True)
DATE = day("t", "2020-01-01", "2020-01-05")
S, B, C = integer("s", 0, 2, perPatient=True), flag("b"), choice("c", ["p", "q", "r"])
D = integer("d", 0, 7)
CASES: list[tuple[list[dict[str, Any]], list[Any]]] = [
    ([T, X], ["x > x_prev"]),
    ([T, GAPPY], ["x > x_prev"]),
    ([DATE, X], ["x - x_prev == t - t_prev"]),
    ([T, X], ["x <= t"]),
    ([T, S], ["t >= s"]),
    ([T, S], ["t <= s + 1"]),
    ([T, X, B], ["not b_prev", {"if": "x_prev == 3", "then": "b"}]),
    ([T, B, S], ["not (b_prev and s == 1)"]),
    ([T, C], [{"allowed": ["c_prev", "c"], "values": [["p", "q"], ["q", "r"]]}]),
    ([T, GAPPY], [{"together": ["x", "x_prev"]}]),
    ([T, GAPPY], ["x_prev is missing or x is missing"]),
    ([T, X], ["t - t_prev >= 2", "x >= x_prev"]),
    ([T, X], ["t_prev + 1 < t", "x_prev <= t"]),
    ([T, X, D], [{"derive": "d", "as": "x + t"}, "d > d_prev", "d_prev < 4"]),
    ([T, X, D], [{"derive": "d", "as": "x * 2"}, "d - d_prev >= 4"]),
    ([T, X, D], [{"derive": "d", "as": "x + t"}, "x <= 2"]),
    ([DATE, X, S], ["t <= '2020-01-04'", "x_prev + x <= 4 or t_prev + 2 == t"]),
]


def timeline_of(fields: list[dict[str, Any]], rules: list[Any], visits: int = 3) -> Timeline:
    table = {"patientKey": "id", "maxRows": visits, "orderBy": "t", "rules": rules}
    return Timeline(Schema.from_dict(table | {"fields": [{"name": "id"}, *fields]}))


def every_history(schema: Schema) -> tuple[Ints, Ints]:
    """Return the codes of the visits of every patient that could be, and the rows of each."""
    domains = [
        [
            *range(f.lattice_size if f.is_lattice else len(f.categories)),
            *([-1] if f.nullable else []),
        ]
        for f in schema.drawn
    ]
    shared = [j for j, field in enumerate(schema.drawn) if field.perPatient]
    time = [field.name for field in schema.drawn].index("t")
    codes: list[tuple[int, ...]] = []
    rows: list[list[int]] = []
    visits = list(product(*domains))
    for length in range(1, schema.rows_per_patient + 1):
        for history in product(visits, repeat=length):
            risen = all(a[time] < b[time] for a, b in pairwise(history))
            if risen and all(len({visit[j] for visit in history}) == 1 for j in shared):
                mine = range(len(codes), len(codes) + length)
                rows.append([*mine, *[-1] * (schema.rows_per_patient - length)])
                codes += history
    return np.array(codes), np.array(rows)


def breaking(timeline: Timeline, codes: Ints, rows: Ints) -> tuple[Bools, Bools]:
    """Return which patients break rules by their rows, and which by the columns of a timeline."""
    schema, rules = timeline.schema, timeline.rules
    whose = np.nonzero(rows >= 0)[0]
    whole = schema.rule_set.completed(codes)
    before = rows_before(codes[:, [f.name for f in schema.drawn].index("t")], whose)
    broken = schema.rule_set.broken(whole) | schema.rule_set.broken(whole, schema.rule_set.sampled)
    for rule in schema.step_rules:
        broken |= broken_steps(rule, schema.step_columns, whole, before)
    seen = rules.broken(visit_codes(timeline, codes, rows)[0], rules.sampled)
    return np.bincount(whose, broken) > 0, np.bincount(whose, seen) > 0


@pytest.mark.parametrize(("fields", "rules"), CASES)
def test_patients_break_rules_by_their_visits_just_where_they_do_by_their_rows(
    fields: list[dict[str, Any]], rules: list[Any]
) -> None:
    timeline = timeline_of(fields, rules)
    by_rows, by_visits = breaking(timeline, *every_history(timeline.schema))
    assert by_rows.any()
    assert not by_rows.all()
    assert np.array_equal(by_rows, by_visits)


def walk(timeline: Timeline, patients: int) -> tuple[float, Ints]:
    """Return the share of patients who get stuck, and the visits of the others.

    Columns are drawn one by one: every value that the rules leave, and that leaves room in time for the
    visits to come, is as likely.
    """
    generator = np.random.default_rng(0)
    alike = cast("Schema", SimpleNamespace(drawn=timeline.columns))
    masks = rule_masks(even_marginals(alike), timeline.rules)
    low, last = 1, timeline.order.lattice_size - 1

    def drawn(j: int, codes: Ints, most: Ints | None = None) -> Bools:
        marginal, shares = masks.marginals[j], masks.shares(j, codes)
        left = np.broadcast_to(marginal.mass, (len(codes), marginal.tokens))
        left = left if shares is None else left * shares.weights[shares.combination]
        if most is not None:
            left = np.where(marginal.token_codes()[0] > most[:, None], 0, left)
        ladder, uniforms = np.cumsum(left, axis=1), generator.random((2, len(codes)))
        tokens = (ladder <= (uniforms[0] * ladder[:, -1])[:, None]).sum(axis=1)
        tokens = np.minimum(tokens, marginal.tokens - 1)
        points = marginal.decode(tokens, uniforms[1])
        codes[:, j] = points if shares is None else shares.points(marginal, tokens, uniforms[1])
        if most is not None:
            codes[:, j] = np.minimum(codes[:, j], np.maximum(most, 0))
        return np.asarray(ladder[:, -1] <= 0)

    static = np.full((patients, len(timeline.columns)), -1)
    stuck, visits = np.zeros(patients, bool), []
    for j in range(timeline.static):
        room = last - static[:, timeline.visits] * low if j == timeline.first else None
        stuck |= drawn(j, static, room)
    before = static
    for place in range(timeline.schema.rows_per_patient):
        going = np.flatnonzero((static[:, timeline.visits] >= place) & ~stuck)
        codes = np.full((len(going), static.shape[1]), -1)
        codes[:, : timeline.static] = static[going, : timeline.static]
        codes[:, timeline.place] = place
        codes[:, timeline.time] = codes[:, timeline.first]
        if place:
            codes[:, timeline.time_before] = before[going, timeline.time]
            codes[:, list(timeline.before)] = before[going][:, list(timeline.own)]
            room = last - codes[:, timeline.time_before] - low
            room -= (codes[:, timeline.visits] - place) * low
            stuck[going] |= drawn(timeline.gap, codes, room)
            codes[:, timeline.time] = codes[:, timeline.time_before] + low + codes[:, timeline.gap]
        for j in timeline.own:
            stuck[going] |= drawn(j, codes)
        before = before.copy()
        before[going] = codes
        visits.append(codes[~stuck[going]])
    return float(stuck.mean()), np.concatenate(visits)


WIDE = integer("t", 1, 12)
DAYS = day("t", "2020-01-01", "2021-12-31")


@pytest.mark.parametrize(
    ("fields", "rules", "most"),
    [
        ([WIDE, integer("x", 0, 6)], ["x > x_prev"], 0.0),
        ([WIDE, integer("x", 0, 6)], ["x < x_prev"], 0.0),
        ([WIDE, integer("x", 0, 5_000)], ["x >= x_prev + 700"], 0.0),
        ([WIDE, integer("x", 0, 20)], ["x - x_prev == t - t_prev"], 0.0),
        ([DAYS, integer("x", 0, 5_000)], ["x - x_prev == t - t_prev"], 0.02),
        ([WIDE, B, C], ["not b_prev", {"if": "b", "then": "c == 'p'"}, "c != c_prev"], 0.02),
        ([WIDE, B, C], ["c != c_prev", {"if": "b_prev", "then": "c == 'p'"}], 0.0),
        ([WIDE, S, integer("x", 0, 6)], ["x >= x_prev + s"], 0.0),
        ([WIDE, C], [{"allowed": ["c_prev", "c"], "values": [["p", "q"], ["q", "q"]]}], 0.0),
        ([WIDE, X], ["t - t_prev >= 2", "x >= x_prev"], 0.0),
        ([DAYS, day("out", "2019-12-01", "2021-12-31", perPatient=True)], ["t <= out"], 0.0),
        ([WIDE, X], ["x == x_prev or x == 3"], 0.0),
    ],
)
def test_hardly_a_patient_runs_into_a_dead_end(
    fields: list[dict[str, Any]], rules: list[Any], most: float
) -> None:
    timeline = timeline_of(fields, rules, visits=6)
    stuck, visits = walk(timeline, 1_000)
    assert stuck <= most
    assert not timeline.rules.broken(visits).any()
    assert len(np.unique(visits[:, timeline.visits])) > 1
