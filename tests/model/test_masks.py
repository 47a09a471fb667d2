"""Masks against lists of all records: what rules leave of each token, and the points drawn from it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from synthvae._types import Bools, Floats, Ints
from synthvae.marginals.column import ColumnMarginal
from synthvae.model.layout import rule_masks
from synthvae.model.masks import Pieces, RuleMasks, TokenShares
from synthvae.rules.compiled import compile_rules
from synthvae.rules.setting import Rule
from synthvae.schema import Schema
from tests.rules.ruled_table import integer, number
from tests.rules.tiny_rules import CODES, COLUMNS, RECORDS, compiled, kept_by, rules


def any_marginal(place: int, generator: np.random.Generator) -> ColumnMarginal:
    """Return a marginal of a tiny column: a few points a cell, a few cells a bin, any masses."""
    values = COLUMNS.meanings[place]
    field, size = values.field, values.size
    starts = np.arange(size)
    bins = np.arange(size)
    if field.is_lattice:
        starts = np.flatnonzero(np.append(True, generator.random(size - 1) < 0.6))
        bins = np.cumsum(np.append(0, generator.random(len(starts) - 1) < 0.5))
    specials, nullable = len(field.specials), field.nullable
    cells: Floats = generator.dirichlet(np.ones(len(starts) + specials + nullable))
    inside = cells[: len(starts)]
    mass: Floats = np.append(np.bincount(bins, inside), cells[len(starts) :])
    return ColumnMarginal(starts, inside, bins, mass, size, specials, nullable)


def masks_of(declared: list[Any], seed: int) -> RuleMasks:
    generator = np.random.default_rng(seed)
    marginals = [any_marginal(place, generator) for place in range(len(CODES))]
    return rule_masks(marginals, compiled(declared))


def point_mass(marginal: ColumnMarginal, codes: Ints) -> Floats:
    """Return the mass of each code by the definition: that of its cell, in equal parts."""
    cell = np.searchsorted(marginal.starts, np.maximum(codes, 0), "right") - 1
    mass = marginal.cell_mass[cell] / marginal.cell_sizes[cell]
    return np.where(codes >= 0, mass, marginal.mass[marginal.encode(codes)])


def listed_shares(masks: RuleMasks, column: int, earlier: Ints, keep: Bools) -> Floats:
    """Return the share of each token that some of all records leave, after some values."""
    marginal = masks.marginals[column]
    alike = (RECORDS[:, :column] == earlier).all(axis=1)
    codes = np.array(CODES[column])
    left = np.isin(codes, RECORDS[alike & keep, column])
    mass, tokens = point_mass(marginal, codes), marginal.encode(codes)
    return np.bincount(tokens, mass * left, marginal.tokens) / np.bincount(tokens, mass)


def own_rules(masks: RuleMasks, column: int) -> list[Any]:
    return [rule for rule in masks.about(column) if max(rule.places) == column]


def usual(masks: RuleMasks, column: int) -> Bools:
    """Return the records whose later columns are not missing where they seldom are."""
    fine = np.ones(len(RECORDS), bool)
    for place in range(column + 1, len(CODES)):
        domain, codes = masks.domains[place], RECORDS[:, place]
        inside = (codes >= domain.low) & (codes <= domain.high)
        fine &= inside | np.isin(codes, domain.others)
    return fine


@settings(max_examples=80, deadline=None)
@example(["a < a + b + f", {"together": ["b", "s"]}, "f or b is missing", "not (a < a and f)"], 244)
@given(st.lists(rules(), min_size=1, max_size=4), st.integers(0, 2**32))
def test_shares_are_the_mass_of_the_points_that_are_left(declared: list[Any], seed: int) -> None:
    masks, rule_set = masks_of(declared, seed), compiled(declared)
    kept = kept_by(rule_set)
    assume(kept.any())
    generator = np.random.default_rng(seed)
    records = RECORDS[generator.choice(np.flatnonzero(kept), 6)]
    for column in range(len(CODES)):
        shares = masks.shares(column, records)
        about = masks.about(column)
        assert (shares is None) == (not about)
        if shares is None:
            continue
        own = ~rule_set.broken(RECORDS, own_rules(masks, column))
        every = kept_by(rule_set)
        for record, found in zip(records, shares.shares[shares.combination], strict=True):
            # Later columns are looked ahead to: whatever they can complete is left.
            most = listed_shares(masks, column, record[:column], own)
            least = listed_shares(masks, column, record[:column], every & usual(masks, column))
            assert (found <= most + 1e-9).all(), (declared, column, record)
            assert (found >= least - 1e-9).all(), (declared, column, record)
            if len(about) == len(own_rules(masks, column)):
                assert np.allclose(found, most, atol=1e-9), (declared, column, record)


@settings(max_examples=40, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=3), st.integers(0, 2**32))
def test_points_drawn_are_those_that_are_left(declared: list[Any], seed: int) -> None:
    masks, rule_set = masks_of(declared, seed), compiled(declared)
    kept = kept_by(rule_set)
    assume(kept.any() and masks.rules)
    generator = np.random.default_rng(seed)
    last = max(place for rule in masks.rules for place in rule.places)
    for record in RECORDS[generator.choice(np.flatnonzero(kept), 3)]:
        codes, shares, marginal = drawn_points(masks, last, record, 60, generator)
        alike = (RECORDS[:, :last] == record[:last]).all(axis=1)
        left = set(RECORDS[alike & kept, last].tolist())
        likely = point_mass(marginal, np.array(sorted(left))) > 0.05
        assert set(codes.tolist()) <= left
        assert set(np.array(sorted(left))[likely].tolist()) <= set(codes.tolist())
        assert shares.shares[0].max() > 0


def drawn_points(
    masks: RuleMasks, column: int, record: Ints, count: int, generator: np.random.Generator
) -> tuple[Ints, TokenShares, ColumnMarginal]:
    """Return so many points of each token that a record may have in a column, places evenly spaced."""
    marginal = masks.marginals[column]
    shares = masks.shares(column, np.tile(record, (count * marginal.tokens, 1)))
    assert shares is not None
    tokens = np.repeat(np.arange(marginal.tokens), count)
    places = (np.arange(len(tokens)) % count + generator.random(len(tokens))) / count
    some = shares.shares[shares.combination, tokens] > 0
    return shares.take(some).points(marginal, tokens[some], places[some]), shares, marginal


DRAWS = 200_000
FAIR = 1e-3  # p-value above which the draws count as right, and below whose square as wrong


def misfit(masks: RuleMasks, shares: TokenShares, record: Ints, column: int) -> float:
    """Return the p-value of a column's draws, given earlier values, against the listed masses."""
    generator = np.random.default_rng(3)
    marginal = masks.marginals[column]
    mass, _ = shares.masses(np.log(marginal.mass)[None])
    tokens = generator.choice(marginal.tokens, DRAWS, p=mass[0])
    many = replace(shares, combination=np.zeros(DRAWS, np.int64))
    codes = many.points(marginal, tokens, generator.random(DRAWS))
    own = RECORDS[(RECORDS[:, :column] == record[:column]).all(axis=1)]
    allowed = np.unique(own[~compiled([]).broken(own, own_rules(masks, column)), column])
    if not np.isin(codes, allowed).all():
        return 0.0
    expected = point_mass(marginal, allowed)
    counts = np.array([(codes == code).sum() for code in allowed])
    return float(chisquare(counts, expected / expected.sum() * DRAWS).pvalue)


def coarse_masks(declared: list[Any]) -> RuleMasks:
    """Return masks over two bins of the column `b`, of which the cells have unequal masses."""
    masks = masks_of(declared, 0)
    cells = np.array([0.1, 0.3, 0.2])
    mass = np.array([0.4, 0.2, 0.25, 0.15])
    starts, bins = np.array([0, 1, 4]), np.array([0, 0, 1])
    wide = ColumnMarginal(starts, cells, bins, mass, 6, 1, True)
    marginals = list(masks.marginals)
    marginals[COLUMNS.places["b"]] = wide
    return rule_masks(marginals, compiled(declared))


def one_too_heavy(pieces: Pieces) -> Pieces:
    mass = pieces.mass.copy()
    mass[0] *= 1.05
    return Pieces(pieces.key, pieces.low, pieces.high, mass)


def one_off(pieces: Pieces) -> Pieces:
    low = pieces.low.copy()
    low[-1] -= 1
    return Pieces(pieces.key, low, pieces.high, pieces.mass)


@pytest.mark.parametrize(
    ("declared", "record"),
    [
        (["b != 2"], {}),
        (["b >= a"], {"a": 1}),
        (["a + b in [3, 5, 6, 7]"], {"a": 2}),
        (["b != a", "b in [0, 2, 3, 5, 9] or f"], {"a": 3, "f": 0}),
    ],
)
def test_points_have_their_probabilities(declared: list[str], record: dict[str, int]) -> None:
    masks, column = coarse_masks(declared), COLUMNS.places["b"]
    codes = np.zeros(len(CODES), np.int64)
    for name, code in record.items():
        codes[COLUMNS.places[name]] = code
    shares = masks.shares(column, codes[None])
    assert shares is not None
    assert misfit(masks, shares, codes, column) > FAIR


@pytest.mark.parametrize("planted", [one_too_heavy, one_off])
def test_points_of_wrong_pieces_would_be_found(planted: Callable[[Pieces], Pieces]) -> None:
    masks, column = coarse_masks(["b != 2"]), COLUMNS.places["b"]
    codes = np.zeros(len(CODES), np.int64)
    shares = masks.shares(column, codes[None])
    assert shares is not None
    wrong = replace(shares, pieces=planted(shares.pieces))
    assert misfit(masks, wrong, codes, column) < FAIR**2


def test_a_trace_of_mass_is_drawn_from_evenly_beside_large_masses() -> None:
    # Where the noise left cells empty, a rule may leave nothing else of a record's column.
    mass = np.array([1 - 1e-12, 1e-12])
    cells = ColumnMarginal(
        np.array([0, 50]), mass, np.zeros(2, np.int64), np.ones(1), 100, 0, False
    )
    low = np.tile([0, 60], 5_000)
    high = np.tile([49, 99], 5_000)
    part = cells.mass_before(high + 1) - cells.mass_before(low)
    pieces = Pieces(np.arange(10_000), low, high, part)
    shares = TokenShares(np.ones((10_000, 1)), np.arange(10_000), pieces, np.ones(10_000))
    places = np.repeat((np.arange(5_000) + 0.5) / 5_000, 2)
    codes = shares.points(cells, np.zeros(10_000, np.int64), places)
    for first, last, own in ((0, 49, codes[::2]), (60, 99, codes[1::2])):
        counts = np.bincount(own - first, minlength=last - first + 1)
        assert np.abs(counts / counts.mean() - 1).max() < 0.05


WIDE = Schema.from_dict(
    {"name": "wide", "fields": [integer("m", 0, 99_999), number("n", 0, 9_999.9, special=[-1])]}
)


@pytest.mark.parametrize(
    "declared", ["n >= m", "abs(n - m) <= 0.3 or n == 5", "n * n <= m < 99 * n", "n != m / 10"]
)
def test_shares_of_wide_columns_are_those_of_their_points(declared: str) -> None:
    generator, size = np.random.default_rng(4), 100_000
    starts = np.unique(np.append(0, generator.integers(0, size, 40)))
    bins = np.repeat(np.arange(len(starts)), 3)[: len(starts)]
    mass = generator.dirichlet(np.ones(len(starts)))
    tokens = np.append(np.bincount(bins, mass) * 0.9, 0.1)
    marginals = [
        ColumnMarginal(starts, mass, bins, tokens[:-1] / 0.9, size, 0, False),
        ColumnMarginal(starts, mass * 0.9, bins, tokens, size, 1, False),
    ]
    rule_set = compile_rules([Rule(rule=declared)], WIDE.columns, [], frozenset())
    masks = rule_masks(marginals, rule_set)
    codes = np.append(np.arange(size), -2)
    points = point_mass(marginals[1], codes)
    for first in (0, 77, 5_000, 99_999):
        records = np.column_stack((np.full(len(codes), first), codes))
        kept = ~rule_set.broken(records)
        shares = masks.shares(1, records[:1])
        assert shares is not None
        of_token = marginals[1].encode(codes)
        left = np.bincount(of_token, points * kept) / np.bincount(of_token, points)
        assert np.allclose(shares.shares[0], left, atol=1e-9), (declared, first)


def test_a_part_at_a_time_gives_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    masks, column = masks_of(["b > a or a > 5", "b != 3 or f"], 5), COLUMNS.places["b"]
    generator = np.random.default_rng(0)
    records = generator.permutation(RECORDS)[:300]
    tokens = generator.integers(0, masks.marginals[column].tokens, 300)
    places, drawn = generator.random(300), []
    for cells in (2**20, 12):
        monkeypatch.setattr("synthvae.model.masks.MOST_CELLS", cells)
        shares = masks.shares(column, records)
        assert shares is not None
        drawn.append(shares.points(masks.marginals[column], tokens, places))
    assert np.array_equal(drawn[0], drawn[1])


def test_records_that_no_token_suits_are_told() -> None:
    masks = masks_of(["a > b", "b is not missing"], 1)
    codes = np.zeros((2, len(CODES)), np.int64)
    codes[1, COLUMNS.places["a"]] = 3
    shares = masks.shares(COLUMNS.places["b"], codes)
    assert shares is not None
    logits = np.zeros((2, masks.marginals[COLUMNS.places["b"]].tokens))
    mass, left = shares.masses(logits)
    assert np.isneginf(left[0])
    assert np.isfinite(left[1])
    assert np.allclose(mass.sum(axis=1), 1)


LOCAL = [
    ["floor((x + y) / 2) * 2 == x + y"],  # many parts of every bin
    ["x <= y", {"if": "x > 300", "then": "y is missing"}],
    ["x + y <= 900", "abs(x - y) != 7"],
    ["abs(y - 500) == x"],  # one part where x is 0, else two
]


@pytest.mark.parametrize("declared", LOCAL)
def test_what_is_left_of_a_record_depends_on_no_other_record(declared: list[Any]) -> None:
    # The guarantee rests on it: these shares stand in each patient's gradient.
    fields = [integer("x", 0, 999), integer("y", 0, 999, gaps=True)]
    schema = Schema.from_dict({"fields": fields, "rules": declared})
    starts = np.arange(4) * 250
    marginals = [
        ColumnMarginal(starts, mass[:4], np.arange(4), mass, 1000, 0, nullable)
        for mass, nullable in ((np.full(4, 0.25), False), (np.full(5, 0.2), True))
    ]
    masks = rule_masks(marginals, schema.rule_set)
    codes = np.column_stack((np.arange(1000), np.zeros(1000, np.int64)))
    for column in range(2):
        whole = masks.shares(column, codes)
        assert whole is not None
        for rows in (slice(0, 1), slice(17, 40), slice(990, 1000)):
            alone = masks.shares(column, codes[rows])
            assert alone is not None
            own = alone.weights[alone.combination]
            assert np.array_equal(own, whole.weights[whole.combination][rows])


def test_a_bin_of_many_parts_counts_as_allowed_for_that_record_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("synthvae.model.masks.MOST_PIECES", 4)
    test_what_is_left_of_a_record_depends_on_no_other_record(LOCAL[0])
