"""Columns of a few values, whose records can all be listed, and random rules about them."""

from itertools import product
from typing import Any

import numpy as np
from hypothesis import strategies as st

from synthvae._types import Bools, Ints
from synthvae.rules.compiled import RuleSet, compile_rules
from synthvae.rules.domains import Domain
from synthvae.rules.setting import Rule
from synthvae.rules.values import Columns
from synthvae.schema import Schema
from tests.rules.ruled_table import choice, flag, integer, number

SCHEMA = Schema.from_dict(
    {
        "name": "tiny",
        "fields": [
            flag("f"),
            choice("s", ["x", "y", "z"], gaps=True),
            integer("a", 0, 6),
            number("h", -0.5, 1, step=0.5, gaps=True),
            integer("b", 0, 5, special=[9], gaps=True),
        ],
    }
)
COLUMNS: Columns = SCHEMA.columns
PLACES = COLUMNS.places
CODES = [
    [*range(values.size), *Domain.whole(values).others] for values in COLUMNS.meanings
]  # of each column
RECORDS: Ints = np.array(list(product(*CODES)))
GAPS = ["missing", "not missing"]
SIGNS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def numbers() -> st.SearchStrategy[str]:
    plain = st.sampled_from(["a", "b", "h", "(f + 0)", "a", "b", "0", "1", "2", "3", "4.5"])
    two = st.builds("({} {} {})".format, plain, st.sampled_from("+-*/"), plain)
    return st.one_of(
        plain,
        two,
        st.builds("abs({})".format, two),
        st.builds("max({}, {})".format, plain, plain),
        st.sampled_from(["a + b + f", "(a if f else b)", "floor(a / 2)", "a ** 2"]),
    )


def statements() -> st.SearchStrategy[str]:
    atom = st.one_of(
        st.builds("{} {} {}".format, st.sampled_from(["a", "b", "h"]), SIGNS, numbers()),
        st.builds("{} {} {} {} b".format, numbers(), SIGNS, numbers(), SIGNS),
        st.builds("{} is {}".format, st.sampled_from("bsh"), st.sampled_from(GAPS)),
        st.sampled_from(["f", "s == 'x'", "s != 'y'", "s in ['x', 'z']", "a in [1, 4, 5]"]),
    )
    joined = st.builds("({} {} {})".format, atom, st.sampled_from(["and", "or"]), atom)
    return atom | joined | st.builds("not ({})".format, joined)


def _allowed(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    labels: dict[str, list[Any]] = {
        "s": ["x", "y", "z"],
        "f": ["true", "false"],
        "a": [0, 2, 3, 6],
        "b": [1, 2, 9],
    }
    row = st.tuples(*(st.sampled_from(labels[name]) for name in names)).map(list)
    rows = st.lists(row, min_size=1, max_size=5)
    return st.fixed_dictionaries({"allowed": st.just(names), "values": rows})


def rules() -> st.SearchStrategy[Any]:
    """A rule of any form that does not derive."""
    pairs: list[list[str]] = [["s", "f"], ["s", "a"], ["a", "b"], ["s", "a", "b"], ["b", "f"]]
    together: list[list[str]] = [["b", "s"], ["s", "h"], ["b", "h", "s"]]
    return st.one_of(
        statements(),
        statements(),
        st.fixed_dictionaries({"if": statements(), "then": statements()}),
        st.sampled_from(together).map(lambda names: {"together": names}),
        st.sampled_from(pairs).flatmap(_allowed),
    )


def compiled(settings: list[Any]) -> RuleSet:
    """Return the rules, whether they clash or not."""
    return compile_rules(list(map(Rule.model_validate, settings)), COLUMNS, [], frozenset())


def kept_by(rule_set: RuleSet, records: Ints = RECORDS) -> Bools:
    """Return which records break no rule."""
    return ~rule_set.broken(records)
