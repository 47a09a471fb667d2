"""Where every baseline starts: rows bounded per patient, cut into the same tokens as the VAE's.

Bins, and what is drawn inside a bin, come from the private anchors (`synthvae.anchors`), so that
methods differ in how they learn dependence and in nothing else.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.anchors import ColumnAnchor, measure_anchors, query_weights
from synthvae.baselines.budget import Budget, noise_for
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.table import PatientRows, decode, encode, group_by_patient

ASSUMED_PATIENTS = 5000  # sizes what needs a number of patients where none is declared

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Start:
    """Private tokens of the bounded rows, and the noisy anchors that define them.

    Attributes
    ----------
    tokens
        Shape (rows, columns): private.
    patients
        Whose rows they are, as indices into `tokens`: private.
    anchors
        One a column: released.
    sigmas
        Noise, in rows, of the last count of each column's tokens: public.
    """

    tokens: Ints
    patients: PatientRows
    anchors: tuple[ColumnAnchor, ...]
    sigmas: tuple[float, ...]


def bins_for(schema: Schema, epsilon: float) -> int:
    """Return how many bins a number is cut into: 12 where n times epsilon is 7,000, 6 to 32."""
    signal = math.log10(max((schema.patients or ASSUMED_PATIENTS) * epsilon, 1) / 7000)
    return round(min(32, max(6, 12 + 8 * signal)))


def begin(
    frame: pd.DataFrame, schema: Schema, budget: Budget, share: float, stream: RandomStream
) -> Start:
    """Check and bound the rows, and measure the anchors with a share of the budget.

    Guarantee
    ---------
    Everything but `tokens` and `patients` is a function of noisy counts that `budget` holds. A count
    changes by at most `budget.rows` in L2 norm when a patient comes or goes.
    """
    codes = encode(frame, schema)
    grouped = group_by_patient(frame, schema, stream.part("rows").take(32))
    bins = bins_for(schema, budget.epsilon)
    weights = [query_weights(field, bins) for field in schema.modelled]
    unit = share * budget.whole / sum(map(sum, weights))
    sigmas = tuple(
        tuple(budget.counts(noise_for(w * unit), f"counts of {field.name}") for w in column)
        for field, column in zip(schema.modelled, weights, strict=True)
    )
    kept = grouped.kept
    anchors = measure_anchors(codes[kept], schema.modelled, sigmas, bins, stream)
    tokens = np.stack([a.encode(codes[kept, j]) for j, a in enumerate(anchors)], axis=1)
    # `kept` is sorted: a kept row's place in it is its index among the tokens.
    rows = np.where(grouped.present, np.searchsorted(kept, grouped.rows), -1)
    return Start(tokens, PatientRows(rows), tuple(anchors), tuple(s[-1] for s in sigmas))


def finish(
    tokens: Ints, anchors: tuple[ColumnAnchor, ...], schema: Schema, generator: np.random.Generator
) -> pd.DataFrame:
    """Return records for tokens, shape (rows, columns): post-processing.

    Every row is of a patient of its own: the baselines have no notion of a patient's rows.
    """
    codes = np.stack(
        [a.decode(tokens[:, j], generator.random(len(tokens))) for j, a in enumerate(anchors)],
        axis=1,
    )
    made = decode(codes, schema)
    number = np.arange(1, len(tokens) + 1)
    columns = {}
    for field in schema.fields:
        if field.name not in schema.identifiers:
            columns[field.name] = made[field.name]
        elif field.type in ("integer", "number"):
            columns[field.name] = pd.Series(number)
        else:
            columns[field.name] = pd.Series([f"synthetic-{i:07d}" for i in number])
    return pd.DataFrame(columns)
