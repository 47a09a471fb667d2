"""Which sets of columns come first where not all can be afforded, by what the schema declares."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from synthvae._text import brief
from synthvae._types import Ints
from synthvae.purposes import AnalysisRequest, interaction_text
from synthvae.schema import Schema

RANKS = 6  # of `precedence`
SHOWN = 6  # names of each kind in a text
FEWEST = 3  # columns of an interaction with its outcome; fewer are a pair, as any other


@dataclass(frozen=True)
class DeclaredUses:
    """The columns that a schema's purposes, targets and protected fields name.

    All are places in `schema.drawn`: a derived column stands as those that it is computed from.

    Parameters
    ----------
    interactions
        The columns of each declared interaction and of its outcome, together.
    outcomes
        Outcomes of purposes, targets, and the survival pair.
    predictors
        Predictors and groups of purposes.
    protected
        Fields of the role `protected`.
    """

    interactions: tuple[frozenset[int], ...] = ()
    outcomes: frozenset[int] = frozenset()
    predictors: frozenset[int] = frozenset()
    protected: frozenset[int] = frozenset()


def declared_uses(schema: Schema) -> DeclaredUses:
    """Return what the columns of a schema are declared to be for: public, and known before any fit.

    Examples
    --------
    >>> schema = Schema.from_dict({"purposes": [{"name": "effect", "kind": "logistic",
    ...     "outcome": "died", "predictors": ["arm", "marker"], "interactions": [["arm", "marker"]]}],
    ...     "fields": [{"name": name, "type": "boolean"} for name in ("arm", "marker", "sex", "died")]})
    >>> declared_uses(schema).interactions
    (frozenset({0, 1, 3}),)
    """
    sources = _sources(schema)

    def places(names: Iterable[str]) -> frozenset[int]:
        return frozenset().union(*(sources.get(name, ()) for name in names))

    interactions = (
        places({outcome, *interaction})
        for purpose in schema.purposes
        for interaction in purpose.interactions
        for outcome in outcomes_of(purpose, schema)
    )
    outcomes = {target.column for target in schema.target} | {*schema.survival_columns}
    outcomes |= {name for purpose in schema.purposes for name in outcomes_of(purpose, schema)}
    return DeclaredUses(
        tuple(dict.fromkeys(columns for columns in interactions if len(columns) >= FEWEST)),
        places(outcomes),
        places(name for purpose in schema.purposes for name in purpose.explaining),
        places(field.name for field in schema.fields if field.role == "protected"),
    )


def outcomes_of(purpose: AnalysisRequest, schema: Schema) -> tuple[str, ...]:
    """Return the columns that an analysis explains: its outcome, or the schema's survival pair."""
    if purpose.outcome is not None:
        return (purpose.outcome,)
    return schema.survival_columns


def _sources(schema: Schema) -> dict[str, frozenset[int]]:
    """Return, for each modelled column, the drawn ones that hold it: itself, if it is not derived."""
    drawn = len(schema.drawn)
    of_place = {place: frozenset({place}) for place in range(drawn)}
    if drawn < len(schema.modelled):
        for derivation in schema.rule_set.derivations:  # each needs only columns before it
            needed = (of_place[place] for place in derivation.value.places)
            of_place[derivation.place] = frozenset().union(*needed)
    return {schema.modelled[place].name: columns for place, columns in of_place.items()}


def precedence(sets: Ints, uses: DeclaredUses) -> Ints:
    """Return the rank of sets of columns, shape (sets,): the lower, the sooner one is afforded.

    0 holds an interaction with its outcome, or is part of one; 1 is an outcome with two predictors or
    protected columns; 2 an outcome with one of these; 3 an outcome with none; 4 predictors and protected
    columns alone; 5 all others. It is a function of the schema, and so public.

    Parameters
    ----------
    sets
        Places in `schema.drawn`, distinct within a set, shape (sets, size).

    Examples
    --------
    >>> uses = DeclaredUses((frozenset({0, 1, 3}),), frozenset({3}), frozenset({0, 1}), frozenset({2}))
    >>> precedence(np.array([[0, 1, 3], [0, 2, 3], [3, 4, 5], [0, 1, 2], [0, 1, 4]]), uses).tolist()
    [0, 1, 3, 4, 5]
    """
    size = sets.shape[1]
    explaining = uses.predictors | uses.protected
    outcomes, others = _count(sets, uses.outcomes), _count(sets, explaining)
    has_outcome = outcomes > 0
    # Where every outcome is a predictor of another, too, one of them is not there to explain it.
    others -= has_outcome & (outcomes == _count(sets, uses.outcomes & explaining))
    ranks = np.where(has_outcome, 3 - np.minimum(others, 2), np.where(others == size, 4, 5))
    for columns in uses.interactions:
        ranks[_count(sets, columns) == min(size, len(columns))] = 0
    return ranks.astype(np.int64)


def up_to_rank(rank: int, uses: DeclaredUses) -> str:
    """Return which sets have a rank of `precedence` or a lower one, but the last, after "those that".

    Examples
    --------
    >>> up_to_rank(3, DeclaredUses())
    'have an outcome'
    """
    parts = (
        "have an outcome and two predictors or protected columns",
        "have an outcome and a predictor or protected column",
        "have an outcome",
        "have an outcome, or predictors and protected columns alone",
    )
    interaction = "are part of a declared interaction with its outcome"
    if rank == 0:
        return interaction
    return f"{interaction}, or {parts[rank - 1]}" if uses.interactions else parts[rank - 1]


def _count(sets: Ints, columns: frozenset[int]) -> Ints:
    """Return how many of some columns each set has, shape (sets,)."""
    member = np.zeros(max([sets.max(initial=0), *columns]) + 1, np.int64)
    member[list(columns)] = 1
    count = np.zeros(len(sets), np.int64)
    for place in range(sets.shape[1]):  # far faster than a sum along short rows
        count += member[sets[:, place]]
    return count


def favoured(schema: Schema) -> tuple[str, ...]:
    """Return what comes first by `precedence`, in words, each kind by itself; empty if nothing does.

    Examples
    --------
    >>> sex, died = ({"name": name, "type": "boolean"} for name in ("sex", "died"))
    >>> schema = Schema.from_dict({"target": "died", "fields": [sex | {"role": "protected"}, died]})
    >>> favoured(schema)
    ("target 'died'", "protected 'sex'")
    """
    pair = schema.survival
    kinds = {
        "purpose": [brief(purpose.name) + _interactions(purpose) for purpose in schema.purposes],
        "target": [brief(target.column) for target in schema.target],
        "survival": [] if pair is None else [f"{brief(pair.duration)} with {brief(pair.event)}"],
        "protected": [brief(field.name) for field in schema.fields if field.role == "protected"],
    }
    return tuple(f"{kind} {_listed(names)}" for kind, names in kinds.items() if names)


def _interactions(purpose: AnalysisRequest) -> str:
    sets = [interaction_text(each) for each in purpose.interactions]
    return f" ({_listed(sets)})" if sets else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
