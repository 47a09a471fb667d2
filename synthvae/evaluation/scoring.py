"""The one place where all scores of a synthetic table are put together."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from synthvae.errors import ConfigError
from synthvae.evaluation.associations import compare_associations
from synthvae.evaluation.codes import binnings
from synthvae.evaluation.detection import tell_apart
from synthvae.evaluation.margins import compare_margins
from synthvae.evaluation.membership import infer_membership
from synthvae.evaluation.quality import report_quality
from synthvae.evaluation.tables import Tables, prepare
from synthvae.evaluation.utility import compare_utility
from synthvae.evaluation.validity import check_validity, count_copies
from synthvae.evaluation.values import Evaluation, TableFacts
from synthvae.schema import Schema

SMALL = 200


def score_tables(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema,
    *,
    seed: int,
    progress: Callable[[str, float], None] | None,
) -> Evaluation:
    """Do what `synthvae.evaluation.evaluate` says."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number of at least 0.")
    tell = progress or (lambda _what, _share: None)
    # One stream for each part: a change to one leaves the others' figures alone.
    streams = iter(np.random.default_rng(seed).spawn(7))
    tell("reading the tables", 0.0)
    tables = prepare(train, holdout, synthetic, schema, next(streams))
    cuts = binnings(tables.train, schema)
    validity, copies = check_validity(tables), count_copies(tables)
    tell("comparing margins", 0.05)
    margins = compare_margins(tables, cuts, next(streams))
    tell("comparing associations", 0.2)
    associations = compare_associations(tables, cuts, next(streams))
    tell("running the SDMetrics reports", 0.25)
    quality = report_quality(tables, next(streams))
    tell("telling synthetic rows from real ones", 0.5)
    detection = tell_apart(tables, next(streams))
    tell("training models on synthetic and on real rows", 0.65)
    utility = compare_utility(tables, next(streams))
    tell("attacking membership", 0.85)
    membership = infer_membership(tables, next(streams))
    tell("done", 1.0)
    *fidelity, diagnostic = quality
    return Evaluation(
        name=schema.name,
        schema_digest=schema.digest,
        seed=seed,
        tables=_facts(tables),
        scores=(
            *validity,
            diagnostic,
            *fidelity,
            *margins.scores,
            associations.score,
            detection,
            *utility,
            copies,
            *membership.scores,
        ),
        margins=margins.margins,
        worst_pairs=margins.worst_pairs,
        associations=associations.associations,
        attacks=membership.attacks,
        notes=(*_notes(tables), *membership.notes),
    )


def _facts(tables: Tables) -> TableFacts:
    return TableFacts(
        train_rows=len(tables.train),
        train_patients=tables.train.patient_count,
        holdout_rows=len(tables.holdout),
        holdout_patients=tables.holdout.patient_count,
        synthetic_rows=len(tables.synthetic),
        columns=len(tables.schema.modelled),
    )


def _notes(tables: Tables) -> tuple[str, ...]:
    sizes = {
        "train": len(tables.train),
        "holdout": len(tables.holdout),
        "synthetic table": len(tables.synthetic),
    }
    small = [f"the {name} has {rows}" for name, rows in sizes.items() if rows < SMALL]
    notes = []
    if small:
        notes.append(
            f"Few rows ({', '.join(small)}): intervals are wide and may be too narrow still."
        )
    if len(tables.holdout) < 0.2 * len(tables.train):
        notes.append(
            "The holdout is smaller than a fifth of train: a larger one makes comparisons firmer."
        )
    return tuple(notes)
