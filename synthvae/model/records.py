"""Records from the model: patients with their rows, conditions met, rules kept, and calibrated margins.

`draw_records` draws codes block by block, with or without conditions; `calibrate_margins` ends a fit.
All of it is post-processing.
"""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from synthvae._runtime import Progress
from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.errors import ConfigError, RedrawnWarning, UnlikelyConditionWarning
from synthvae.model.conditions import Condition, Rarity, condition_masks, listed
from synthvae.model.layout import Layout
from synthvae.model.masks import RuleMasks
from synthvae.model.sampling import (
    ROUGH_STEPS,
    Sampler,
    block_generator,
    places_within,
    repeated_rows,
)
from synthvae.rules.compiled import RuleSet

BLOCK = 65_536  # rows that are balanced together, at most
CONDITIONED_BLOCK = 4096  # candidates, before resampling
MOST_CELLS = 2**26  # rows of a block times tokens of a column: half a gigabyte of probabilities
OVERSAMPLING = 8  # candidates for each record that is drawn under a condition
LEAST_WORTH = 0.1  # of records, as independent ones
CALIBRATION_SEED = 20_240_229
POPULATION = 16_384  # rows whose margins are calibrated; fewer of more than 40 columns
FEWEST_CALIBRATED = 4096
LARGEST_OFFSET = 4.0
MOST_LEFT_OUT = 0.5  # share of a block's records
MOST_REDRAWS = 50  # of the patients of a block that ran into a dead end
MOST_EMPTY = 20  # blocks without a record, until conditions count as impossible
OFTEN = 0.05  # share of records that were drawn again, from which on it is said


def draw_records(
    sampler: Sampler,
    rules: RuleSet,
    conditions: Mapping[int, Condition],
    row_shares: Floats | None,
    shared: int,
    rows: int,
    seed: int,
    progress: Progress,
) -> tuple[Ints, Ints]:
    """Draw records block by block, each of which keeps the rules.

    Parameters
    ----------
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    shared
        Number of first columns that are the same in all rows of a patient.

    Returns
    -------
    tuple
        Codes of all columns of the rules, shape (rows, columns), and the patient of each row, from 0,
        shape (rows,).

    Raises
    ------
    ConfigError
        No record of the model can meet the conditions, or keep the rules.

    Warns
    -----
    UnlikelyConditionWarning
        The model holds the conditions together nearly impossible.
    RedrawnWarning
        Many records ran into a dead end of the rules, and were drawn again.
    """
    codes: list[Ints] = []
    patients: list[Ints] = []
    evidence: list[Floats] = []
    drawn = first_patient = redrawn = left_out = 0
    widest = max(marginal.tokens for marginal in sampler.layout.marginals)
    size = max(OVERSAMPLING, MOST_CELLS // widest)
    asked = _Asked(sampler, rules, conditions) if conditions else None
    shares = _bounded_rows(row_shares, rules, sampler.layout.masks)
    while drawn < rows:
        generator = block_generator(seed, len(codes))
        if asked is not None:
            candidates = min(CONDITIONED_BLOCK, size)
            block, log_weights = asked.draw(candidates, generator)
            evidence.append(log_weights)
            owners = np.arange(len(block))
            if len(codes) >= MOST_EMPTY and not drawn:
                raise ConfigError(asked.impossible)
        else:
            owners = draw_patients(shares, min(BLOCK, size, rows - drawn), generator)
            planned = len(owners)
            block, owners, again = _draw_whole_block(sampler, rules, owners, shared, generator)
            redrawn, left_out = redrawn + again, left_out + planned - len(owners)
        codes.append(block)
        patients.append(owners + first_patient)
        drawn += len(block)
        first_patient += int(owners[-1]) + 1 if len(owners) else 0
        progress("sampling", min(1.0, drawn / rows))
    if left_out or redrawn > OFTEN * drawn:
        rest = f", and {left_out:,} were left out of their patients" if left_out else ""
        warnings.warn(
            f"{redrawn:,} records ran into a dead end of the rules and were drawn again, for "
            f"{drawn:,} that keep them{rest}.",
            RedrawnWarning,
            stacklevel=3,
        )
    if asked is not None:
        asked.warn_if_unlikely(np.concatenate(evidence), rows)
    return np.concatenate(codes)[:rows], np.concatenate(patients)[:rows]


def _bounded_rows(
    row_shares: Floats | None, rules: RuleSet, masks: RuleMasks | None
) -> Floats | None:
    """Return the shares of patients by their rows, none of more rows than there are unique values."""
    if row_shares is None:
        return None
    most = len(row_shares)
    for places in rules.unique:
        varying = [place for place in places if not rules.columns.fields[place].perPatient]
        sizes = [
            float(rules.columns.meanings[place].size)
            if masks is None or place >= rules.drawn
            else float(masks.domains[place].size)
            for place in varying
        ]
        most = int(min(most, math.prod(sizes)))
    shares = row_shares[:most] if row_shares[:most].sum() > 0 else np.ones(most)
    return np.asarray(shares / shares.sum())


def draw_patients(row_shares: Floats | None, rows: int, generator: np.random.Generator) -> Ints:
    """Return the patient of each row of a block, which holds as many whole patients as fit."""
    if row_shares is None:
        return np.arange(rows)
    counts = generator.choice(np.arange(1, len(row_shares) + 1), rows, p=row_shares)
    whole = max(1, int(np.searchsorted(np.cumsum(counts), rows, side="right")))
    return np.repeat(np.arange(whole), counts[:whole])


def _draw_whole_block(
    sampler: Sampler, rules: RuleSet, owners: Ints, shared: int, generator: np.random.Generator
) -> tuple[Ints, Ints, int]:
    """Draw a block of records that keep the rules: codes, whose they are, and how many were redrawn.

    A patient of whom a row runs into a dead end is drawn again as a whole, with as many rows. A row that
    cannot be drawn in any trial, of a patient with more rows than unique values, say, is left out.
    """
    codes, broken = _draw_block(sampler, rules, owners, shared, generator)
    again = 0
    for _ in range(MOST_REDRAWS):
        rows = np.flatnonzero(np.isin(owners, owners[broken]))
        if not len(rows):
            return codes, owners, again
        again += len(rows)
        _, whose = np.unique(owners[rows], return_inverse=True)
        codes[rows], broken[rows] = _draw_block(sampler, rules, whose, shared, generator)
    if broken.mean() < MOST_LEFT_OUT:
        return codes[~broken], owners[~broken], again
    raise ConfigError(
        f"{counted(int(broken.sum()), 'record')} of {len(codes):,} could not be drawn in "
        f"{MOST_REDRAWS} trials: the rules leave next to nothing of what the model knows. Check them "
        "against the fields' bounds, or derive a column that others determine."
    )


def _draw_block(
    sampler: Sampler, rules: RuleSet, owners: Ints, shared: int, generator: np.random.Generator
) -> tuple[Ints, Bools]:
    """Draw the codes of one block, shape (rows, columns), and which rows break a rule."""
    firsts = np.searchsorted(owners, owners)
    settings = sampler.layout.settings
    raked = settings.calibration_rounds > 0
    drawn = sampler.draw(len(owners), generator, patients=(firsts, shared), to_margins=raked)
    columns, ruled = [], _ruled(sampler)
    for j, marginal in enumerate(sampler.layout.marginals):
        if j in ruled:
            columns.append(drawn.codes[:, j])
            continue
        own = np.unique(firsts) if j < shared else np.arange(len(firsts))
        places = np.zeros(len(firsts))
        places[own] = places_within(
            drawn.tokens[own, j], generator, spread=settings.balance_steps > 0
        )
        codes = marginal.decode(drawn.tokens[:, j], places)
        columns.append(codes[firsts] if j < shared else codes)
    whole = rules.completed(np.stack(columns, axis=1))
    broken = drawn.stuck | rules.broken(whole)
    for unique in rules.unique:  # what is computed was not yet there while rows were drawn
        broken |= repeated_rows(owners, whole[:, list(unique)])
    return whole, broken


def _ruled(sampler: Sampler) -> set[int]:
    masks = sampler.layout.masks
    return set() if masks is None else {int(place) for place in masks.ruled}


class _Asked:
    """Draws records that meet conditions, each of a patient of its own."""

    def __init__(
        self, sampler: Sampler, rules: RuleSet, conditions: Mapping[int, Condition]
    ) -> None:
        self._sampler, self._rules, self._conditions = sampler, rules, conditions
        self._asked = [
            condition.as_rule(rules.columns.meanings[place], place)
            for place, condition in conditions.items()
        ]
        resolved = [rules.resolved(rule) for rule in self._asked]
        ruled = _ruled(sampler) | set(range(rules.drawn, len(rules.columns.fields)))
        for rule, place in zip(resolved, conditions, strict=True):
            if place >= rules.drawn:  # what a derived column is computed from, too
                ruled |= rule.places
        asked = [rule for rule, place in zip(resolved, conditions, strict=True) if place in ruled]
        marginals = sampler.layout.marginals
        self._masks: RuleMasks | None = None
        if asked:
            held = conditions.values()
            self._masks = condition_masks(rules, marginals, asked, held, "record")
        named = ruled if self._masks is None else ruled | {int(j) for j in self._masks.ruled}
        self._named = named & set(range(rules.drawn))
        self._alone = {j: c for j, c in conditions.items() if j not in ruled}

    def draw(self, candidates: int, generator: np.random.Generator) -> tuple[Ints, Floats]:
        """Return codes, and the log-likelihood of the conditions for each candidate."""
        sampler, rules = self._sampler, self._rules
        shares = {j: condition.shares for j, condition in self._alone.items()}
        drawn = sampler.draw(candidates, generator, shares, conditions=self._masks)
        log_weights = np.where(drawn.stuck, -np.inf, drawn.log_weights)
        if not np.isfinite(log_weights).any():
            raise ConfigError(self.impossible)
        rows = _resample(log_weights, candidates // OVERSAMPLING, generator)
        columns = []
        for j, marginal in enumerate(sampler.layout.marginals):
            limits = self._alone[j].limits if j in self._alone else None
            places = generator.random(len(rows))
            codes = marginal.decode(drawn.tokens[rows, j], places, limits)
            columns.append(drawn.codes[rows, j] if j in self._named else codes)
        whole = rules.completed(np.stack(columns, axis=1))
        broken = rules.broken(whole) | rules.broken(whole, self._asked)
        return whole[~broken], log_weights

    @property
    def impossible(self) -> str:
        """What is said where no record is found."""
        together = " together" if len(self._conditions) > 1 else ""
        return (
            f"where asks for {listed(self._conditions.values())}, which the model holds impossible"
            f"{together}: none of its records can meet it; leave a condition out, or widen it."
        )

    def warn_if_unlikely(self, log_weights: Floats, rows: int) -> None:
        """Warn where the model holds the conditions together nearly impossible."""
        marginals = self._sampler.layout.marginals
        independent = math.prod(
            float(marginals[j].mass @ condition.shares) / condition.fineness
            for j, condition in self._conditions.items()
            if j < len(marginals)
        )
        _warn_if_unlikely([*self._conditions.values()], log_weights, rows, independent)


def _warn_if_unlikely(
    conditions: Sequence[Condition], log_weights: Floats, rows: int, independent: float
) -> None:
    """Warn where the model holds conditions together nearly impossible, or rows rest on little.

    The mean weight of the candidates is the probability of the conditions, to compare with that of
    `independent` columns. The square of the weights' sum over the sum of their squares is the number of
    independent candidates that they are worth (effective sample size; Kong 1992, "A Note on Importance
    Sampling Using Standardized Weights").
    """
    logs = log_weights - sum(math.log(condition.fineness) for condition in conditions)
    largest = float(logs.max())
    weights = np.exp(logs - largest)
    probability = math.exp(min(0.0, largest + math.log(float(weights.mean()))))
    rarity = Rarity(probability, independent)
    worth = min(float(weights.sum() ** 2 / (weights**2).sum()), rows)
    if not rarity.is_rare and worth >= LEAST_WORTH * rows:
        return
    together = " together" if len(conditions) > 1 else ""
    held = f"nearly impossible{together}" if rarity.is_rare else f"seldom{together}"
    warnings.warn(
        f"The model holds {listed(conditions)} {held}: {rarity.odds} of its records{rarity.fewer}. The "
        f"{rows:,} rows that were asked for are worth about {worth:,.0f} independent ones, and rest on "
        "the model's noise more than on what such patients are like.",
        UnlikelyConditionWarning,
        stacklevel=5,
    )


def _resample(log_weights: Floats, count: int, generator: np.random.Generator) -> Ints:
    """Return systematically resampled indices in random order (Douc and Cappé 2005, section 2.4)."""
    weights = np.exp(log_weights - log_weights.max())
    ends = np.cumsum(weights) / weights.sum()
    aims = (np.arange(count) + generator.random()) / count
    return generator.permutation(np.minimum(np.searchsorted(ends, aims), len(ends) - 1))


def calibrate_margins(
    layout: Layout,
    weights: Mapping[str, Floats],
    progress: Callable[[float], None] = lambda _: None,
) -> list[Floats]:
    """Return, for each column, offsets of its tokens' logits with which margins meet the marginals.

    Training noise and clipping bias move the margins. The model is sampled with common random numbers,
    and each column's logits are raked towards its marginal (Deming and Stephan 1940).
    """
    offsets = [np.zeros(marginal.tokens) for marginal in layout.marginals]
    rounds = layout.settings.calibration_rounds
    # A fit of many columns is a matter of time; balanced rows have the margins to a few rows.
    rows = min(POPULATION, max(FEWEST_CALIBRATED, POPULATION * 40 // layout.columns))
    for done in range(rounds):
        sampler = Sampler(layout, weights, offsets)
        tokens = sampler.draw(rows, block_generator(CALIBRATION_SEED, 0), steps=ROUGH_STEPS).tokens
        half = 0.5 / len(tokens)  # a row, which keeps an empty token from running away
        for j, marginal in enumerate(layout.marginals):
            drawn = np.bincount(tokens[:, j], minlength=marginal.tokens) / len(tokens)
            step = np.log((marginal.mass + half) / (drawn + half))
            offsets[j] = np.clip(offsets[j] + step, -LARGEST_OFFSET, LARGEST_OFFSET)
        progress((done + 1) / rounds)
    return offsets
