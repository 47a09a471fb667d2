"""Allowed combinations: looked up exactly, and over boxes never narrower than their points."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.errors import ConfigError
from synthvae.rules import combinations
from synthvae.rules.domains import known_of
from synthvae.rules.values import MISSING
from tests.rules.test_ranges import any_box, points_of
from tests.rules.tiny_rules import COLUMNS, PLACES, RECORDS, compiled

LABELS: dict[str, list[Any]] = {
    "s": ["x", "y", "z"],
    "f": ["true", "false"],
    "a": list(range(7)),
    "b": [*range(6), 9],
    "h": [-0.5, 0, 0.5, 1],
}


@st.composite
def listed(draw: st.DrawFn) -> tuple[list[str], list[list[Any]]]:
    names = draw(st.permutations(list(LABELS)))[: draw(st.integers(2, 3))]
    row = st.tuples(*(st.sampled_from(LABELS[name]) for name in names)).map(list)
    return list(names), draw(st.lists(row, min_size=1, max_size=8))


def label_of(name: str, code: int) -> Any:
    if code == MISSING:
        return None
    labels = {"f": ["false", "true"]}.get(name, LABELS[name])
    return labels[code] if code >= 0 else 9


@settings(max_examples=60, deadline=None)
@given(listed(), st.integers(0, 2**32))
def test_a_record_has_a_combination_that_is_listed(
    case: tuple[list[str], list[list[Any]]], seed: int
) -> None:
    names, rows = case
    rule = compiled([{"allowed": names, "values": rows}]).sampled[0]
    generator = np.random.default_rng(seed)
    box = any_box(generator, COLUMNS)
    may = rule.judge(known_of(COLUMNS, box, {}))
    records = np.concatenate([generator.permutation(RECORDS)[:40], points_of(box, 20, generator)])
    truth = rule.judge(COLUMNS.known(records))
    for at, record in enumerate(records.tolist()):
        own = [label_of(name, record[PLACES[name]]) for name in names]
        expected = None if None in own else own in rows
        found = (bool(truth.yes[at]), bool(truth.no[at]), bool(truth.unknown[at]))
        assert found == (expected is True, expected is False, expected is None), (own, rows)
        if at >= 40:
            assert {True: may.yes, False: may.no, None: may.unknown}[expected], (own, rows, box)


def test_too_many_columns_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(combinations, "MOST_CELLS", 8)
    rows = [[label, number, number] for label, number in zip("xyz", range(3), strict=True)]
    with pytest.raises(ConfigError, match="too many combinations together; write several rules"):
        compiled([{"allowed": ["s", "a", "b"], "values": rows}])
