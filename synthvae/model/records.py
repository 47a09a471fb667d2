"""Whole records from the model: blocks of tokens, patients with several rows, conditions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from synthvae._runtime import Progress
from synthvae.model.conditions import Condition
from synthvae.model.sampling import Sampler, block_generator

BLOCK = 65_536  # rows that are balanced together, at most
CONDITIONED_BLOCK = 4096
MOST_CELLS = 2**26  # rows of a block times tokens of a column: half a gigabyte of probabilities
LARGEST_PLACE = 1 - 1e-12
OVERSAMPLING = 8  # candidates for each record that is drawn under a condition
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def draw_records(
    sampler: Sampler,
    conditions: Mapping[int, Condition],
    row_shares: Floats | None,
    shared: int,
    rows: int,
    seed: int,
    progress: Progress,
) -> tuple[Ints, Ints]:
    """Draw records block by block.

    Parameters
    ----------
    conditions
        What some columns may be, by column index.
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    shared
        How many of the first columns are the same in all rows of a patient.

    Returns
    -------
    codes
        Shape (rows, columns).
    patients
        Whose each row is, counted from 0, shape (rows,).
    """
    blocks: list[Ints] = []
    patients: list[Ints] = []
    made = people = 0
    widest = max(marginal.tokens for marginal in sampler.layout.marginals)
    block = max(OVERSAMPLING, MOST_CELLS // widest)
    while made < rows:
        generator = block_generator(seed, len(blocks))
        if conditions:
            size = min(CONDITIONED_BLOCK, block)
            codes = _draw_under_conditions(sampler, conditions, size, generator)
            whose = np.arange(len(codes))
        else:
            whose = draw_patients(row_shares, min(BLOCK, block, rows - made), generator)
            codes = _draw_block(sampler, whose, shared, generator)
        blocks.append(codes)
        patients.append(whose + people)
        made += len(codes)
        people = int(patients[-1][-1]) + 1
        progress("sampling", min(1.0, made / rows))
    return np.concatenate(blocks)[:rows], np.concatenate(patients)[:rows]


def draw_patients(row_shares: Floats | None, rows: int, generator: np.random.Generator) -> Ints:
    """Return whose each row of a block is, shape (rows,), with numbers of rows as measured.

    A block holds whole patients, as many as fit.
    """
    if row_shares is None:
        return np.arange(rows)
    counts = generator.choice(np.arange(1, len(row_shares) + 1), rows, p=row_shares)
    whole = max(1, int(np.searchsorted(np.cumsum(counts), rows, side="right")))
    return np.repeat(np.arange(whole), counts[:whole])


def _draw_block(sampler: Sampler, whose: Ints, shared: int, generator: np.random.Generator) -> Ints:
    """Draw the codes of one block of records, shape (rows, columns)."""
    firsts = np.searchsorted(whose, whose)
    settings = sampler.layout.settings
    tokens, _ = sampler.draw(
        len(whose),
        generator,
        patients=(firsts, shared),
        to_margins=settings.calibration_rounds > 0,
    )
    columns = []
    for j, marginal in enumerate(sampler.layout.marginals):
        own = np.unique(firsts) if j < shared else np.arange(len(firsts))
        places = np.zeros(len(firsts))
        places[own] = _places(tokens[own, j], generator, spread=settings.balance_steps > 0)
        codes = marginal.decode(tokens[:, j], places)
        columns.append(codes[firsts] if j < shared else codes)
    return np.stack(columns, axis=1)


def _places(tokens: Ints, generator: np.random.Generator, *, spread: bool) -> Floats:
    """Return where in its token each row is, uniform on [0, 1), shape (rows,).

    Spread, rows of the same token have one place in each of as many strata as they are: each is
    uniform, and the values inside a bin come out as its cells have them.
    """
    places = generator.random(len(tokens))
    if not spread:
        return places
    mixed = generator.permutation(len(tokens))
    order = mixed[np.argsort(tokens[mixed], kind="stable")]
    counts = np.bincount(tokens)
    rank = np.arange(len(tokens)) - np.repeat(np.cumsum(counts) - counts, counts)
    places[order] = (rank + places[order]) / np.repeat(counts, counts)
    return np.minimum(places, LARGEST_PLACE)


def _draw_under_conditions(
    sampler: Sampler,
    conditions: Mapping[int, Condition],
    size: int,
    generator: np.random.Generator,
) -> Ints:
    """Draw the codes of records that meet conditions, each of a patient of its own."""
    shares = {j: condition.shares for j, condition in conditions.items()}
    tokens, log_weights = sampler.draw(size, generator, shares)
    tokens = tokens[_resample(log_weights, size // OVERSAMPLING, generator)]
    columns = []
    for j, marginal in enumerate(sampler.layout.marginals):
        limits = conditions[j].limits if j in conditions else None
        columns.append(marginal.decode(tokens[:, j], generator.random(len(tokens)), limits))
    return np.stack(columns, axis=1)


def _resample(log_weights: Floats, count: int, generator: np.random.Generator) -> Ints:
    """Return systematically resampled indices in random order (Douc and Cappé 2005, section 2.4)."""
    weights = np.exp(log_weights - log_weights.max())
    ends = np.cumsum(weights) / weights.sum()
    aims = (np.arange(count) + generator.random()) / count
    return generator.permutation(np.minimum(np.searchsorted(ends, aims), len(ends) - 1))
