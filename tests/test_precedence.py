"""Which sets of columns come first, on tables of a few columns worked out by hand."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from synthvae.precedence import (
    RANKS,
    DeclaredUses,
    declared_uses,
    favoured,
    precedence,
    up_to_rank,
)
from synthvae.schema import Schema

NUMBER = {"type": "integer", "constraints": {"minimum": 0, "maximum": 9}}
TRIAL: dict[str, Any] = {
    "target": "cured",
    "survival": {"duration": "days", "event": "died"},
    "rules": [{"derive": "cured", "as": "visits == 0 and stays == 0"}],
    "fields": [
        *({"name": name, "type": "boolean"} for name in ("arm", "marker", "died", "cured")),
        {"name": "sex", "type": "boolean", "role": "protected"},
        *({"name": name} | NUMBER for name in ("days", "visits", "stays")),
    ],
}
EFFECT = {"predictors": ["arm", "marker"], "interactions": [["arm", "marker"]]}
DRAWN = ("arm", "marker", "died", "sex", "days", "visits", "stays")


def named(*purposes: dict[str, Any]) -> tuple[list[set[str]], set[str], set[str], set[str]]:
    """Return the declared uses of a trial with some purposes, by name."""
    schema = Schema.from_dict(TRIAL | {"purposes": list(purposes)})
    assert tuple(field.name for field in schema.drawn) == DRAWN
    uses = declared_uses(schema)

    def names(places: frozenset[int]) -> set[str]:
        return {DRAWN[place] for place in places}

    sets = [names(places) for places in uses.interactions]
    return sets, names(uses.outcomes), names(uses.predictors), names(uses.protected)


def test_uses_follow_targets_survival_and_purposes_to_what_is_drawn() -> None:
    outcomes = {"days", "died", "visits", "stays"}  # the target is derived from the last two
    assert named() == ([], outcomes, set(), {"sex"})
    sets, found, predictors, protected = named(
        {"name": "hazard", "kind": "cox"} | EFFECT,
        {"name": "cure", "kind": "logistic", "outcome": "cured"} | EFFECT,
        {"name": "curves", "kind": "kaplan-meier", "group": "sex"},
    )
    assert sets == [
        {"arm", "marker", "days"},
        {"arm", "marker", "died"},
        {"arm", "marker", "visits", "stays"},
    ]
    assert (found, predictors, protected) == (outcomes, {"arm", "marker", "sex"}, {"sex"})


def test_an_interaction_that_a_pair_holds_is_none() -> None:
    purpose: dict[str, Any] = {"name": "m", "kind": "linear", "outcome": "visits"}
    purpose |= {"predictors": ["cured", "stays"], "interactions": [["cured", "stays"]]}
    assert named(purpose)[0] == []


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_ranks_agree_with_one_set_at_a_time(size: int) -> None:
    uses = DeclaredUses(
        (frozenset({0, 1, 5}), frozenset({0, 1, 2, 6})),
        outcomes=frozenset({2, 5, 6}),
        predictors=frozenset({0, 1, 2}),
        protected=frozenset({3}),
    )
    explaining = uses.predictors | uses.protected

    def rank(columns: set[int]) -> int:
        if any(columns <= each or each <= columns for each in uses.interactions):
            return 0
        outcomes = columns & uses.outcomes
        if not outcomes:
            return 4 if columns <= explaining else 5
        return min(3 - min(2, len((columns - {one}) & explaining)) for one in outcomes)

    sets = list(combinations(range(9), size))
    ranks = precedence(np.array(sets), uses)
    assert ranks.tolist() == [rank(set(each)) for each in sets]
    assert size != 3 or set(ranks.tolist()) == set(range(RANKS))


def test_without_uses_all_sets_are_alike() -> None:
    assert precedence(np.array([[0, 1, 2], [2, 3, 4]]), DeclaredUses()).tolist() == [5, 5]
    assert precedence(np.zeros((0, 3), np.int64), DeclaredUses()).shape == (0,)


def test_ranks_have_words() -> None:
    declared = DeclaredUses((frozenset({0, 1, 2}),))
    for uses, first in ((declared, 0), (DeclaredUses(), 1)):
        words = [up_to_rank(rank, uses) for rank in range(first, RANKS - 1)]
        assert len(set(words)) == len(words)
    assert up_to_rank(2, declared) == (
        "are part of a declared interaction with its outcome, or have an outcome and a predictor or "
        "protected column"
    )


def test_what_comes_first_is_named() -> None:
    purpose = {"name": "hazard", "kind": "cox"} | EFFECT
    assert favoured(Schema.from_dict(TRIAL | {"purposes": [purpose]})) == (
        "purpose 'hazard' (arm x marker)",
        "target 'cured'",
        "survival 'days' with 'died'",
        "protected 'sex'",
    )
    plain = {
        "fields": [{"name": f"x{i}", "type": "boolean", "role": "protected"} for i in range(9)]
    }
    (text,) = favoured(Schema.from_dict(plain))
    assert text.endswith("'x5' and 3 more")
