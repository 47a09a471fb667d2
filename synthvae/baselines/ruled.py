"""Records of a baseline that keep the rules: rejection sampling, and repair where it does not help.

A record that breaks a rule is refused, and others are drawn: what is kept is distributed as the method
has it, given the rules. Where they leave next to nothing of its records (a sum is hardly ever met by
chance), the last ones are repaired column by column, under the same masks as the model's own records.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.errors import ConfigError
from synthvae.marginals.column import TRACE, ColumnMarginal
from synthvae.model.balance import inverse_cdf
from synthvae.model.layout import rule_masks
from synthvae.model.masks import RuleMasks
from synthvae.rules.compiled import RuleSet
from synthvae.rules.domains import known_of

FEWEST_DRAWN = 1024  # records at a time, so that it can be told how many are refused
MOST_ROUNDS = 50
LEAST_KEPT = 0.01  # share of a round's records, below which no more are drawn
MOST_REPAIRS = 200  # of a record that runs into dead ends
MOST_CELLS = 2**24  # records that are repaired together times tokens of a column


@dataclass(frozen=True)
class RuledRecords:
    """Records that keep the rules, and what that took. Of visits, a record is a whole patient.

    Attributes
    ----------
    codes
        Of all columns, the derived ones included, shape (rows, columns).
    refused
        Number of records that were drawn, broke a rule, and were drawn again.
    repaired
        Number of these records that did not come out of the method alone.
    patients
        The patient of each row, from 0, shape (rows,); None where each row is one.
    denied
        Share of patients of visits side by side whose visits did not agree with their number.
    """

    codes: Ints
    refused: int = 0
    repaired: int = 0
    patients: Ints | None = None
    denied: float = 0.0

    @property
    def number(self) -> int:
        """Number of records."""
        return len(self.codes) if self.patients is None else int(self.patients[-1]) + 1


def sample_under_rules(
    draw: Callable[[int], Ints],
    rows: int,
    rules: RuleSet,
    marginals: Sequence[ColumnMarginal],
    generator: np.random.Generator,
) -> RuledRecords:
    """Return records of a method, none of which breaks a rule.

    Parameters
    ----------
    draw
        Returns the codes of modelled columns, shape (rows, columns), of a number of new records.

    Raises
    ------
    ConfigError
        Some could not be drawn in a bounded number of trials.
    """
    codes = rules.completed(draw(rows))
    rest = np.flatnonzero(_broken(rules, codes))
    refused = 0
    for _ in range(MOST_ROUNDS):
        if not len(rest):
            break
        refused += len(rest)
        others = rules.completed(draw(max(len(rest), FEWEST_DRAWN)))
        kept = others[~_broken(rules, others)]
        found, rest = np.split(rest, [len(kept)])
        codes[found] = kept[: len(found)]
        if len(kept) < LEAST_KEPT * len(others):
            break
    if len(rest):
        masks = rule_masks(marginals, rules)
        size = max(1, MOST_CELLS // max(marginal.tokens for marginal in marginals))
        for first in range(0, len(rest), size):
            part = rest[first : first + size]
            codes[part] = repair(codes[part], rules, masks, generator)
    return RuledRecords(codes, refused, len(rest))


def _broken(rules: RuleSet, codes: Ints) -> Bools:
    """Return the records that break a rule, or for which a derived column has no value."""
    return rules.broken(codes) | rules.broken(codes, rules.sampled)


def repair(codes: Ints, rules: RuleSet, masks: RuleMasks, generator: np.random.Generator) -> Ints:
    """Return records with the values that a rule forbids drawn again.

    One that runs into a dead end is begun again, with none of its values in the columns of rules.
    """
    codes, waiting = codes.copy(), np.arange(len(codes))
    begun = np.ones(len(codes), bool)
    for _ in range(MOST_REPAIRS):
        walked, stuck = walk(codes[waiting], begun[waiting], masks, generator)
        codes[waiting] = rules.completed(walked)
        waiting = waiting[stuck | _broken(rules, codes[waiting])]
        begun[waiting] = False
        if not len(waiting):
            return codes
    raise repair_error(len(waiting), "record")


def repair_error(waiting: int, what: str) -> ConfigError:
    """Return the error of records that cannot be repaired."""
    return ConfigError(
        f"{counted(waiting, what)} could not be drawn in {MOST_REPAIRS} trials: the rules "
        "leave next to nothing of what the columns hold. Check them against the fields' bounds, or "
        "derive a column that others determine."
    )


def walk(
    codes: Ints,
    begun: Bools,
    masks: RuleMasks,
    generator: np.random.Generator,
    drawn: Sequence[int] | None = None,
) -> tuple[Ints, Bools]:
    """Return records with each ruled column drawn in turn, and which of them ran into a dead end.

    Those that are `begun` keep the values that the rules allow, given the columns before. Others than
    the columns to be `drawn` stay as they are; None draws all.
    """
    codes, stuck = codes.copy(), np.zeros(len(codes), bool)
    for column in map(int, masks.ruled):
        if drawn is not None and column not in drawn:
            continue
        shares = masks.shares(column, codes)
        if shares is None:
            continue
        again = ~(begun & _allowed(masks, column, codes))
        marginal, count = masks.marginals[column], int(again.sum())
        logs: Floats = np.log(np.maximum(marginal.mass, TRACE))
        part = shares.take(again)
        mass, left = part.masses(np.tile(logs, (count, 1)))
        stuck[again] |= np.isneginf(left)
        tokens = inverse_cdf(mass, generator.random(count))
        codes[again, column] = part.points(marginal, tokens, generator.random(count))
    return codes, stuck


def _allowed(masks: RuleMasks, column: int, codes: Ints) -> Bools:
    """Return where later columns may keep the rules, given a column's code and those before."""
    rules, allowed = masks.about(column), np.ones(len(codes), bool)
    places = {place for rule in rules for place in rule.places if place <= column}
    values = masks.columns.meanings
    known = known_of(
        masks.columns,
        masks.domains,
        {place: values[place].exact(codes[:, place]) for place in places},
    )
    for rule in rules:
        allowed &= rule.judge(known).keeps
    return allowed
