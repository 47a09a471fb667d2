"""Rules that look back: a visit beside the one before it, whose columns are named `NAME_prev`.

Such a rule says nothing at a first visit, whatever it says elsewhere. In a table, the visit before is
the row of the same patient that comes before in time; rows at one time come as the file has them.
"""

from collections.abc import Sequence

import numpy as np

from synthvae._text import brief
from synthvae._types import Bools, Ints
from synthvae.field import Field
from synthvae.rules.compiled import (
    CompiledRule,
    RuleSet,
    compile_rules,
    compiled_rule,
    computations,
)
from synthvae.rules.derivation import Derivation
from synthvae.rules.language import read_value
from synthvae.rules.ranges import Range
from synthvae.rules.setting import BEFORE, Rule
from synthvae.rules.values import MISSING, Columns, Known


def before_fields(fields: Sequence[Field]) -> tuple[Field, ...]:
    """Return the columns of the visit before, of those that vary; at a first visit they are missing."""
    return tuple(
        field.model_copy(
            update={
                "name": field.name + BEFORE,
                "constraints": field.constraints.model_copy(update={"required": False}),
            }
        )
        for field in fields
        if not field.perPatient
    )


def own_places(columns: Columns) -> dict[int, int]:
    """Return the place of each column of the visit before, with that of the visit's own column."""
    places = columns.places
    return {
        places[name + BEFORE]: place for name, place in places.items() if name + BEFORE in places
    }


def step_rules(rules: Sequence[Rule], columns: Columns) -> tuple[CompiledRule, ...]:
    """Return the rules that name the visit before, with their meaning."""
    if columns.order is None:
        return ()
    found: list[CompiledRule] = []
    before = own_places(columns).keys()
    for rule in rules:
        if rule.may_look_back:
            compiled = compiled_rule(rule, columns, f"the rule {brief(rule.title)}")
            found += [compiled] if compiled.places & before else []
    return tuple(found)


def turned_back(columns: Columns) -> Columns:
    """Return columns of which those of a visit have the names of those before it, and these theirs."""
    own = own_places(columns)
    names = [field.name for field in columns.fields]
    for before, place in own.items():
        names[before], names[place] = names[place], names[before]
    pairs = zip(columns.fields, names, strict=True)
    fields = (field.model_copy(update={"name": name}) for field, name in pairs)
    return Columns(tuple(fields), columns.others, columns.order)


def visit_rules(
    rules: Sequence[Rule], columns: Columns, derived: Sequence[Field], keys: frozenset[str]
) -> RuleSet:
    """Return all rules over the columns of a visit and of the one before it.

    Parameters
    ----------
    columns
        What is drawn or given first, then `derived`, last the derived columns of the visit before.
    """
    compiled = compile_rules(rules, columns, [field.name for field in derived], keys)
    turned, back = turned_back(columns), []
    for rule in computations(rules, columns):
        place = columns.places.get(f"{rule.derive}{BEFORE}")
        if place is not None:
            where = f"the rule {brief(rule.title)}"
            value = read_value(rule.value or "", turned, turned.fields[place], where)
            back.append(Derivation(place, columns.fields[place], value))
    back.sort(key=lambda derivation: derivation.place)
    derivations = (*compiled.derivations, *back)
    return RuleSet(columns, compiled.declared, derivations, compiled.unique, compiled.restated)


def rows_before(times: Ints, whose: Ints) -> Ints:
    """Return the row before each row of the same patient in time, -1 where there is none.

    A patient with a row of unknown time has no order, and no row before another.
    """
    before = np.full(len(times), -1)
    placed = ~np.isin(whose, whose[times == MISSING])
    order = np.lexsort((times, whose))
    order = order[placed[order]]
    rows, previous = order[1:], order[:-1]
    same = whose[rows] == whose[previous]
    before[rows[same]] = previous[same]
    return before


def broken_steps(rule: CompiledRule, columns: Columns, codes: Ints, before: Ints) -> Bools:
    """Return which rows break a rule that looks back, shape (rows,); see `known_steps`."""
    broken = rule.judge(known_steps(columns, codes, before)).no
    return np.asarray((before >= 0) & broken)


def known_steps(columns: Columns, codes: Ints, before: Ints) -> Known:
    """Return what a table's rows say of their visits and of those before.

    Parameters
    ----------
    columns
        Those of `codes`, shape (rows, columns), then those of the visit before.
    before
        The row before each row, -1 where there is none, shape (rows,).
    """
    found: dict[int, Range] = {}
    own = own_places(columns)

    def column(place: int) -> Range:
        if place not in found:
            held = codes[:, place] if place < codes.shape[1] else codes[before, own[place]]
            held = held if place < codes.shape[1] else np.where(before >= 0, held, MISSING)
            found[place] = columns.meanings[place].exact(held)
        return found[place]

    return column
