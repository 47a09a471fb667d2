"""The one place where all scores of a synthetic table are put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from synthvae._runtime import Progress
from synthvae.attacks import AttackFindings, Retrain, run_attacks
from synthvae.errors import ConfigError
from synthvae.evaluation.analyses import AnalysisFindings, compare_analyses
from synthvae.evaluation.asked import Asked
from synthvae.evaluation.associations import AssociationFindings, compare_associations
from synthvae.evaluation.checking import Ready, check_asked
from synthvae.evaluation.codes import Binning, binnings
from synthvae.evaluation.components import principal_components
from synthvae.evaluation.detection import tell_apart
from synthvae.evaluation.draws import with_draws
from synthvae.evaluation.every_column import predict_every_column
from synthvae.evaluation.groups import GroupFindings, compare_groups
from synthvae.evaluation.levels import with_threshold
from synthvae.evaluation.margins import MarginFindings, compare_margins
from synthvae.evaluation.pair_tables import pair_tables
from synthvae.evaluation.prediction import compare_utility
from synthvae.evaluation.propensity import compare_propensity
from synthvae.evaluation.quality import report_quality
from synthvae.evaluation.rules import check_rules
from synthvae.evaluation.tables import Tables, prepare, read_synthetic
from synthvae.evaluation.validity import check_validity
from synthvae.evaluation.values import Evaluation, Score, TableFacts
from synthvae.schema import Schema

SMALL = 200
TOPICS = ("validity", "fidelity", "utility", "privacy")
PARTS = (
    "tables",
    "margins",
    "associations",
    "quality",
    "detection",
    "utility",
    "attacks",
    "propensity",
    "every column",
    "analyses",
    "groups",
    "components",
)


@dataclass(frozen=True)
class _Findings:
    """What the parts found: their scores by topic, and what else a report shows."""

    scores: tuple[Score, ...]
    margins: MarginFindings
    associations: AssociationFindings
    analyses: AnalysisFindings
    groups: GroupFindings
    attacks: AttackFindings


def score_tables(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema,
    *,
    seed: int,
    progress: Callable[[str, float], None] | None,
    asked: Asked | None = None,
    retrain: Retrain | None = None,
    draws: Sequence[pd.DataFrame] = (),
) -> Evaluation:
    """Do what `synthvae.evaluation.evaluate` says."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number of at least 0.")
    ready = check_asked(asked or Asked(), schema)
    tell = progress or (lambda _what, _share: None)
    streams = _streams(seed)
    tell("reading the tables", 0.0)
    tables = prepare(train, holdout, synthetic, schema, streams("tables"))
    further = [read_synthetic(frame, schema) for frame in draws]
    cuts = binnings(tables.train, schema)
    found = _find(tables, cuts, ready, retrain, streams, tell)
    tell("scoring further draws", 0.95)
    compared = (found.margins, found.associations)
    scores = with_draws(found.scores, tables, further, cuts, compared, ready, streams)
    tell("done", 1.0)
    return Evaluation(
        name=schema.name,
        schema_digest=schema.digest,
        seed=seed,
        depth=ready.asked.depth,
        tables=_facts(tables),
        scores=tuple(with_threshold(score, ready.asked.limits) for score in scores),
        margins=found.margins.margins,
        worst_pairs=found.margins.worst_pairs,
        pair_tables=pair_tables(tables, cuts, found.margins.worst_pairs),
        associations=found.associations.associations,
        components=principal_components(tables, streams("components")),
        attacks=found.attacks.attacks,
        risks=found.attacks.risks,
        groups=found.groups.figures,
        analyses=found.analyses.analyses,
        notes=(
            *_notes(tables),
            *_unmet(scores, ready.asked),
            *found.groups.notes,
            *found.attacks.notes,
        ),
    )


def _streams(seed: int) -> Callable[[str], np.random.Generator]:
    """Return the generator of each part by its name, in its first state each time.

    A change to one part leaves the others' figures alone.
    """
    return lambda part: np.random.default_rng(seed).spawn(len(PARTS))[PARTS.index(part)]


def _find(
    tables: Tables,
    cuts: tuple[Binning, ...],
    ready: Ready,
    retrain: Retrain | None,
    streams: Callable[[str], np.random.Generator],
    tell: Progress,
) -> _Findings:
    validity, rules = check_validity(tables), check_rules(tables, ready.rules)
    tell("comparing margins", 0.02)
    margins = compare_margins(tables, cuts, streams("margins"))
    tell("comparing associations", 0.08)
    associations = compare_associations(tables, cuts, streams("associations"))
    tell("running the SDMetrics reports", 0.12)
    quality = report_quality(tables, streams("quality"))
    tell("telling synthetic rows from real ones", 0.3)
    detection = (
        *tell_apart(tables, streams("detection")),
        *compare_propensity(tables, streams("propensity")),
    )
    tell("training models on synthetic and on real rows", 0.4)
    utility = compare_utility(tables, streams("utility"))
    tell("predicting every column", 0.5)
    every_column = predict_every_column(tables, streams("every column"))
    tell("repeating analyses", 0.58)
    wanted = ready.analyses
    analyses = compare_analyses(tables, wanted, ready.declared, streams("analyses"))
    tell("looking at protected groups", 0.62)
    groups = compare_groups(tables, cuts, utility.predictions, streams("groups"))
    attacks = run_attacks(
        tables,
        ready.asked.depth,
        streams("attacks"),
        retrain,
        lambda what, share: tell(what, 0.65 + 0.3 * share),
    )
    scores = (
        *(*validity, *quality, *rules, *margins.scores, *associations.scores, *detection),
        *(*analyses.scores, *utility.scores, *every_column, *groups.scores, *attacks.scores),
    )
    by_topic = tuple(sorted(scores, key=lambda score: TOPICS.index(score.topic)))
    return _Findings(by_topic, margins, associations, analyses, groups, attacks)


def _facts(tables: Tables) -> TableFacts:
    return TableFacts(
        train_rows=len(tables.train),
        train_patients=tables.train.patient_count,
        holdout_rows=len(tables.holdout),
        holdout_patients=tables.holdout.patient_count,
        synthetic_rows=len(tables.synthetic),
        columns=len(tables.schema.modelled),
        most_rows=max(
            int(np.unique(table.patients, return_counts=True)[1].max())
            for table in (tables.train, tables.holdout)
        ),
    )


def _unmet(scores: Sequence[Score], asked: Asked) -> tuple[str, ...]:
    """Say which of the steward's limits are of figures that this table does not have."""
    unknown = sorted(set(asked.limits) - {score.key for score in scores})
    return tuple(f"The limit of '{key}' was not used: there is no such figure." for key in unknown)


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
