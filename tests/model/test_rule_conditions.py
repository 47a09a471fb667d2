"""Conditions on columns that rules name, or derive: records are those that rejection would leave."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from synthvae._types import Floats, Ints
from synthvae.errors import ConfigError, UnlikelyConditionWarning
from synthvae.marginals.column import ColumnMarginal
from synthvae.model import records
from synthvae.model.conditions import parse_conditions
from synthvae.model.layout import Layout
from synthvae.model.records import draw_records
from synthvae.model.sampling import Sampler
from synthvae.rules.values import MISSING
from synthvae.schema import Schema
from tests.model.tiny_layout import tiny_weights
from tests.rules.ruled_table import choice, day, flag, integer, number
from tests.simulated import quick

SCHEMA = Schema.from_dict(
    {
        "name": "asked",
        "patients": 1000,
        "fields": [
            choice("s", ["x", "y", "z"]),
            flag("f"),
            integer("a", 0, 19),
            integer("b", 0, 19, gaps=True),
            integer("w", 0, 199, special=[-1]),
            integer("free", 0, 49),
            day("d", "2020-01-01", "2020-02-09"),
            integer("total", 0, 38, gaps=True),
            flag("heavy"),
            choice("size", ["small", "large"], gaps=True),
            day("end", "2020-01-01", "2020-02-29"),
        ],
        "rules": [
            {"rule": "b <= a + 3", "name": "order"},
            {"if": "s == 'x'", "then": "a >= 4", "name": "adults"},
            {"rule": "w != 2 * a"},
            {"derive": "total", "as": "a + b"},
            {"derive": "heavy", "as": "w * a > 3300"},
            {"derive": "size", "as": "'large' if total > 33 else 'small'"},
            {"derive": "end", "as": "d + a"},
        ],
    }
)
NAMES = [field.name for field in SCHEMA.modelled]
ROWS = 300_000
ASKED = 12_000
FAR = 3.0  # times what noise leaves


def any_marginal(place: int, generator: np.random.Generator) -> ColumnMarginal:
    """Return a marginal of a column in about twelve bins."""
    values = SCHEMA.columns.meanings[place]
    field, size = values.field, values.size
    starts = np.arange(0, size, max(1, size // 12))
    inside = generator.dirichlet(np.full(len(starts), 5.0))
    rest = np.full(len(field.specials) + field.nullable, 0.1)
    inside *= 1 - rest.sum()
    mass = np.append(inside, rest)
    return ColumnMarginal(
        starts, inside, np.arange(len(starts)), mass, size, len(field.specials), field.nullable
    )


@dataclass(frozen=True)
class Model:
    """A model of random couplings."""

    sampler: Sampler

    def draw(self, rows: int, where: Mapping[str, Any], seed: int) -> Ints:
        conditions = parse_conditions(where, SCHEMA, self.sampler.layout.marginals)
        with warnings.catch_warnings(action="ignore", category=UnlikelyConditionWarning):
            return draw_records(
                self.sampler, SCHEMA.rule_set, conditions, None, 0, rows, seed, lambda *_: None
            )[0]

    @cached_property
    def unconditional(self) -> Ints:
        return self.draw(ROWS, {}, 1)


@pytest.fixture(scope="module")
def model() -> Model:
    generator = np.random.default_rng(2)
    marginals = [any_marginal(place, generator) for place in range(len(SCHEMA.drawn))]
    settings = quick(SCHEMA, 1.0, balance_steps=0, calibration_rounds=0)
    layout = Layout.build(marginals, SCHEMA.drawn, settings, SCHEMA.rule_set)
    weights = tiny_weights(layout, 0.15, seed=3)
    return Model(Sampler(layout, weights, [np.zeros(m.tokens) for m in marginals]))


def met(codes: Ints, where: Mapping[str, Any]) -> Any:
    """Return which records meet conditions, given as first and last codes."""
    found = np.ones(len(codes), bool)
    for name, (low, high) in where.items():
        own = codes[:, NAMES.index(name)]
        found &= (own >= low) & (own <= high)
    return found


def distance(first: Ints, second: Ints) -> float:
    """Return the largest total variation between margins, in parts of what noise would leave."""
    worst = 0.0
    for own, other in zip(first.T, second.T, strict=True):
        edges = np.unique(np.quantile(np.append(own, other), np.linspace(0, 1, 13)))
        one, two = (
            np.bincount(np.searchsorted(edges, codes), minlength=len(edges) + 1)
            for codes in (own, other)
        )
        pooled = (one + two) / (len(own) + len(other))
        noise = np.sqrt(pooled * (1 - pooled) * (1 / len(own) + 1 / len(other)))
        far = 0.5 * np.abs(one / len(own) - two / len(other)).sum()
        # Half of the mean size of normal differences.
        worst = max(worst, float(far / max(0.4 * noise.sum(), 1e-9)))
    return worst


CASES: list[tuple[dict[str, Any], dict[str, tuple[int, int]]]] = [
    ({"a": 18}, {"a": (18, 18)}),
    ({"b": (17, None), "free": (0, 4)}, {"b": (17, 19), "free": (0, 4)}),
    ({"w": -1, "s": "x", "f": True}, {"w": (-2, -2), "s": (0, 0), "f": (1, 1)}),
    ({"total": 32}, {"total": (32, 32)}),
    ({"total": (33, None)}, {"total": (33, 38)}),
    (
        {"total": None, "s": "z", "f": False},
        {"total": (MISSING, MISSING), "s": (2, 2), "f": (0, 0)},
    ),
    ({"heavy": True}, {"heavy": (1, 1)}),
    ({"size": "large"}, {"size": (1, 1)}),
    ({"end": ("2020-02-25", "2020-02-27")}, {"end": (55, 57)}),
    ({"end": ("2020-01-01", "2020-01-04"), "free": (10, 30)}, {"end": (0, 3), "free": (10, 30)}),
]


@pytest.mark.parametrize(("where", "codes"), CASES, ids=lambda value: str(value)[:50])
def test_conditions_match_rejection(
    model: Model, where: dict[str, Any], codes: dict[str, tuple[int, int]]
) -> None:
    left = model.unconditional[met(model.unconditional, codes)]
    asked = model.draw(ASKED, where, 5)
    assert len(asked) == ASKED
    assert met(asked, codes).all()
    assert not SCHEMA.rule_set.broken(asked).any()
    assert distance(asked, left) < FAR


def test_what_nearly_meets_a_condition_would_be_found(model: Model) -> None:
    left = model.unconditional[met(model.unconditional, {"total": (33, 38)})]
    near = model.draw(ASKED, {"total": (32, None)}, 5)
    assert distance(near[met(near, {"total": (32, 38)})], left) > FAR


def test_candidates_without_their_weights_would_be_found(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def any_that_can(log_weights: Floats, count: int, generator: np.random.Generator) -> Ints:
        return generator.choice(np.flatnonzero(np.isfinite(log_weights)), count)

    left = model.unconditional[met(model.unconditional, {"heavy": (1, 1)})]
    monkeypatch.setattr(records, "_resample", any_that_can)
    assert distance(model.draw(ASKED, {"heavy": True}, 5), left) > FAR


@pytest.mark.parametrize(
    ("where", "against"),
    [
        ({"s": "x", "a": 2}, " with 'adults'"),
        ({"s": "x", "f": True, "end": "2020-01-03"}, " with 'adults'"),
        ({"a": 0, "total": 10}, " with 'order'"),
        ({"size": "large", "a": (None, 15)}, " with 'order'"),
        ({"heavy": True, "w": 100}, ""),
        ({"a": 0, "total": 20}, ""),
        ({"a": 3, "w": 6}, " with 'w != 2 * a'"),
    ],
    ids=str,
)
def test_a_condition_against_a_rule_is_refused(
    model: Model, where: dict[str, Any], against: str
) -> None:
    said = re.escape(f"which no record can meet{against}; change the condition, or the rules.")
    with pytest.raises(ConfigError, match=said):
        model.draw(10, where, 1)


@pytest.mark.parametrize(
    ("name", "value"), [("at", "2020-01-01T00:30:00"), ("code", 2_000_001_800), ("cents", 18.0)]
)
def test_a_condition_means_one_point_of_a_fine_column(name: str, value: Any) -> None:
    hour = {"minimum": "2020-01-01T00:00:00", "maximum": "2020-01-01T01:00:00"}
    fields = [
        {"name": "at", "type": "datetime", "constraints": hour},
        integer("code", 2_000_000_000, 2_000_003_600),
        number("cents", 0, 36, 2),
    ]
    schema = Schema.from_dict({"name": "fine", "fields": fields})
    place, size = schema.columns.places[name], 3601
    codes = np.zeros((size, 3), np.int64)
    codes[:, place] = np.arange(size)
    all_points = np.array([0]), np.ones(1), np.array([0]), np.ones(1)
    marginals = (ColumnMarginal(*all_points, size, 0, False),) * 3
    condition = parse_conditions({name: value}, schema, marginals)[place]
    rule = condition.as_rule(schema.columns.meanings[place], place)
    assert np.flatnonzero(rule.judge(schema.columns.known(codes)).yes).tolist() == [1800]
