"""Nobody can tell from the public rendering which counts of real rows are small."""

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import example as case
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.evaluation.marginals import compare_margins
from synthvae.evaluation.results import Evaluation
from synthvae.evaluation.tables import binnings, prepare
from synthvae.report.disclosure import ELSE, for_public, public_margin
from synthvae.report.disclosure_rules import ACRO, HES, Profile, scale_of
from synthvae.schema import Schema
from synthvae.scoring import _facts
from tests.report.disclosure_example import KNOWN, counted, evaluation, facts, margin, score


def attacker(columns: Sequence[Sequence[int]], step: int) -> list[tuple[int, int, int]]:
    """Return for every cell of every column the least and the most that it may be.

    The attacker knows each cell's whole steps, and those of the table, which all columns share: as
    much as is published or more. Interval arithmetic is exact here: cells are free but for one sum.
    """
    total = sum(columns[0])
    low, high = total // step * step, total // step * step + step - 1
    for column in columns:
        least = sum(count // step * step for count in column)
        low, high = max(low, least), min(high, least + len(column) * (step - 1))
    ranges = []
    for column in columns:
        floor = [count // step * step for count in column]
        for place, base in enumerate(floor):
            others = sum(floor) - base
            most_others = others + (len(column) - 1) * (step - 1)
            ranges.append(
                (column[place], max(base, low - most_others), min(base + step - 1, high - others))
            )
    return ranges


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.integers(0, 90), min_size=1, max_size=7),
    st.lists(st.integers(0, 600), min_size=0, max_size=5),
    st.integers(2, 15),
)
def test_no_small_cell_is_pinned(cells: tuple[int, ...], cuts: list[int], smallest: int) -> None:
    # Two columns of one table: the cells, and the same rows cut in other places.
    total = sum(cells)
    ends = [0, *sorted(min(cut, total) for cut in cuts), total]
    other = [after - before for before, after in pairwise(ends)]
    step = Profile(name="p", smallest_cell=smallest).step
    for count, low, high in attacker([cells, other], step):
        assert low <= count <= high
        if count < smallest:
            assert high > low


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(0, 90), min_size=1, max_size=7), st.integers(2, 15))
def test_nobody_can_tell_that_a_cell_is_small(cells: tuple[int, ...], smallest: int) -> None:
    step = Profile(name="p", smallest_cell=smallest).step
    for count, _, high in attacker([cells], step):
        if count < smallest:
            assert high >= smallest


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(200, 400), st.integers(0, 60), st.integers(0, 19)),
    st.integers(0, 19),
    st.sampled_from([ACRO, HES]),
)
def test_the_rendering_is_a_function_of_whole_steps_alone(
    cells: tuple[int, ...], other: int, profile: Profile
) -> None:
    # Any other number in the same step gives the same bytes, where the table stays in its step.
    first = counted(cells, holdout=(300, 200, 100), synthetic=(60, 30, 10))
    changed = (*cells[:2], other)
    second = counted(changed, holdout=(300, 200, 100), synthetic=(60, 30, 10))
    if sum(cells) // profile.step == sum(changed) // profile.step:
        assert for_public(first, profile).to_json() == for_public(second, profile).to_json()


@settings(max_examples=25, deadline=None)
@case((30, 13, 1))
@given(st.tuples(st.integers(28, 50), st.integers(0, 20), st.integers(0, 3)))
def test_a_brute_force_attacker_finds_no_small_cell(cells: tuple[int, ...]) -> None:
    """Whoever tries all tables on the renderer itself cannot tell that a cell is small."""
    tiny = Profile(name="tiny", smallest_cell=2, digits=1)

    def rendered(counts: Sequence[int]) -> Evaluation:
        shares = [count / sum(counts) for count in counts]
        exact = score("tvd1", abs(shares[2] - 0.2), references={"holdout": shares[1]})
        rule = score("rule.x", 0.1, "validity", references={"train": shares[2]}, goal=shares[2])
        whole = counted(counts, holdout=KNOWN, synthetic=(5, 3, 2), scores=(exact, rule))
        return for_public(whole, tiny)

    found = rendered(cells)
    near = [range(max(0, count - 4), count + 5) for count in cells]
    same = [counts for counts in product(*near) if rendered(counts) == found]
    assert cells in same
    for place, count in enumerate(cells):
        if count < tiny.smallest_cell:
            assert max(counts[place] for counts in same) >= tiny.smallest_cell
            assert len({counts[place] for counts in same}) >= tiny.smallest_cell


def test_most_neighbours_render_the_same() -> None:
    gen = np.random.default_rng(5)
    same = 0
    for _ in range(100):
        cells = tuple(int(n) for n in gen.integers(100, 900, 4))
        more = (cells[0] + 1, *cells[1:])
        held = (300, 200, 250, 240)
        tables = [counted(c, holdout=held, synthetic=held) for c in (cells, more)]
        same += len({for_public(one, ACRO).to_json() for one in tables}) == 1
    assert same >= 85  # a step of 20, met by the cell or by the table


def test_a_table_worked_out_by_hand() -> None:
    one = margin((100, 65, 20, 19), (85, 10, 60, 45), (90, 70, 20, 20))
    tables = facts(204, 200)
    found = public_margin(one, tables, scale_of(tables, ACRO, 1))
    # 5, 3 and 1 steps in train, 4, 0 and 3 in the holdout: b is small there, d in train.
    assert found.labels == ("a", "c", ELSE)
    assert found.train == tuple(round(x / 10.5, 3) for x in (5.5, 1.5, 3.5))
    assert found.holdout == tuple(round(x / 10.5, 3) for x in (4.5, 3.5, 2.5))
    assert found.synthetic == (0.45, 0.1, 0.45)
    assert found.holdout_distance == pytest.approx(0.19, abs=0.001)


def test_all_else_is_there_even_where_nothing_is_in_it() -> None:
    one = margin((400, 400), (400, 400), (1, 1))
    tables = facts(800, 800)
    assert public_margin(one, tables, scale_of(tables, ACRO, 1)).labels == ("a", "b", ELSE)


def test_ranges_have_ranks_for_edges_and_coarse_synthetic_shares() -> None:
    one = margin((300, 300, 400), (300, 300, 400), (1013, 1987, 2000), kind="number")
    one = one.model_copy(update={"labels": ("up to 41.7", "above 41.7", "(missing)")})
    tables = facts(1000, 1000)
    found = public_margin(one, tables, scale_of(tables, ACRO, 1))
    assert found.labels == ("range 1 (lowest)", "range 2 (highest)", "(missing)", ELSE)
    assert found.synthetic[:3] == (0.2, 0.4, 0.4)
    assert "41.7" not in found.model_dump_json()


def test_rows_are_not_patients() -> None:
    one = margin((400, 45, 555), (400, 60, 540), (4, 1, 5))
    tables = facts(1000, 1000)
    assert public_margin(one, tables, scale_of(tables, ACRO, 1)).labels == ("a", "b", "c", ELSE)
    assert public_margin(one, tables, scale_of(tables, ACRO, 5)).labels == ("a", "c", ELSE)
    # More rows than were declared: what was seen is used, rounded up, and not published.
    seen = tables.model_copy(update={"most_rows": 3})
    assert scale_of(seen, ACRO, 1).step == 20 * 5
    assert for_public(evaluation(one, tables=seen), ACRO).tables.most_rows is None


def test_an_evaluation_counts_the_most_rows_of_one_patient() -> None:
    schema = Schema.from_dict({
        "name": "t", "patients": 200, "patientKey": "id", "maxRows": 2,
        "fields": [{"name": "id", "type": "string"},
                   {"name": "x", "constraints": {"enum": ["a", "rare"]}}],
    })  # fmt: skip

    def table(letter: str, usual: int, rare: int) -> pd.DataFrame:
        names = [*(f"{letter}{n}" for n in range(usual)), *[f"{letter} of many"] * rare]
        return pd.DataFrame({"id": names, "x": ["a"] * usual + ["rare"] * rare})

    train, held = table("p", 400, 40), table("h", 300, 30)
    generator = np.random.default_rng(0)
    tables = prepare(train, held, train.copy(), schema, generator)
    found = _facts(tables)
    assert (found.most_rows, schema.rows_per_patient) == (40, 2)
    margins = compare_margins(tables, binnings(tables.train, schema), generator).margins
    one = evaluation(*margins, tables=found)
    assert "rare" not in for_public(one, ACRO, schema.rows_per_patient).to_json()


def test_where_nobody_counted_a_patient_may_have_all_rows_but_one_each() -> None:
    tables = facts(4000, 2000, most_rows=None, train_patients=3000)
    assert scale_of(tables, ACRO, 1).step == 20 * 2000
    one = margin((2000, 2000), (1000, 1000), (1, 1))
    assert for_public(evaluation(one, tables=tables), ACRO).margins == ()
