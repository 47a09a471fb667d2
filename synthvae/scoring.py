"""Scoring: where the evaluation of a synthetic table and the attacks on it are joined."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synthvae._runtime import Progress, silent
from synthvae.attacks import AttackFindings, Retrain, run_attacks
from synthvae.config import Asked
from synthvae.errors import ConfigError
from synthvae.evaluation.analyses import AnalysisFindings, compare_analyses
from synthvae.evaluation.groups import GroupFindings, compare_groups
from synthvae.evaluation.intervals import rounded
from synthvae.evaluation.joint import compare_propensity, principal_components, tell_apart
from synthvae.evaluation.levels import with_threshold
from synthvae.evaluation.marginals import (
    DISTANCES,
    MarginFindings,
    compare_margins,
    compare_tails,
    variation,
)
from synthvae.evaluation.pairs import (
    ASSOCIATIONS,
    AssociationFindings,
    association_distance,
    compare_associations,
    pair_tables,
)
from synthvae.evaluation.prediction import DRAWN, compare_utility, drawn_skill
from synthvae.evaluation.prediction_metrics import TSTR
from synthvae.evaluation.prediction_task import predict_every_column
from synthvae.evaluation.request import Ready, check_asked
from synthvae.evaluation.results import Evaluation, Score, TableFacts
from synthvae.evaluation.sdmetrics_report import report_quality
from synthvae.evaluation.tables import (
    Binning,
    Table,
    Tables,
    binnings,
    prepare,
    read_synthetic,
    tokenise,
)
from synthvae.evaluation.validity import check_rules, check_validity
from synthvae.schema import Schema

Streams = Callable[[str], np.random.Generator]
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


def evaluate(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    asked: Asked | None = None,
    retrain: Retrain | None = None,
    draws: Sequence[pd.DataFrame] = (),
) -> Evaluation:
    """Score a synthetic table against the real rows it was made from and real rows held out.

    Parameters
    ----------
    train : DataFrame
        Real rows that the generator saw.
    holdout : DataFrame
        Real rows of other patients, which it did not see.
    synthetic : DataFrame
        The table to score, made by whatever generator. Cells that break the schema count as
        invalid and then as missing; columns that the schema does not model are left out.
    schema : Schema
        The public facts about all three tables.
    seed : int
        Draws samples, resamples and shuffles: the same input and seed give the same bytes.
    progress : callable, optional
        Called with what is being done and the share that is done, 0 to 1.
    asked : Asked, optional
        What is wanted beyond what every table gets: rules, analyses, limits, the depth of the attacks.
    retrain : callable, optional
        Trains the same kind of generator on the rows given, with the seed given, and returns
        synthetic rows; attacks of depth `deep` train shadow models with it.
    draws : sequence of DataFrame, optional
        Further tables from the same generator: what is cheap to compute is computed of them, too,
        and shows the spread of sampling.

    Returns
    -------
    Evaluation
        Scores with intervals and references, margins, associations and attacks. They are computed
        from real rows and not covered by any guarantee: they stay with the custodian.

    Raises
    ------
    ConfigError
        A rule, an analysis or a limit does not fit the schema.
    DataError
        `train` or `holdout` does not fit the schema.
    EvaluationError
        A table is empty, or `synthetic` lacks columns of the schema.

    Examples
    --------
    >>> import pandas as pd
    >>> from synthvae.schema import Schema
    >>> schema = Schema.from_dict({"name": "demo", "fields": [
    ...     {"name": "smoker", "type": "boolean"},
    ...     {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}}]})
    >>> table = pd.DataFrame({"smoker": ["true", "false"] * 10, "age": range(20, 40)})
    >>> evaluate(table, table, table, schema).score("tvd2").value
    0.0
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number of at least 0.")
    ready = check_asked(asked or Asked(), schema)
    tell = progress or silent
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


def with_draws(
    scores: Sequence[Score],
    tables: Tables,
    drawn: Sequence[Table],
    cuts: tuple[Binning, ...],
    found: tuple[MarginFindings, AssociationFindings],
    ready: Ready,
    streams: Streams,
) -> tuple[Score, ...]:
    """Return scores with their figures for further draws, where those are cheap to have.

    Parameters
    ----------
    drawn
        Further synthetic tables; the scored one is not among them.
    found
        What was compared of the scored table, so that the same margins are compared here.
    streams
        Gives the generator of a part by name, in its first state each time: samples of real rows are
        then the same for every draw.
    """
    others = [
        dict(_figures(replace(tables, synthetic=table), cuts, found, ready, streams))
        for table in drawn
    ]
    return tuple(
        score.model_copy(
            update={"draws": tuple(other[score.key] for other in others if score.key in other)}
        )
        for score in scores
    )


def _figures(
    tables: Tables,
    cuts: tuple[Binning, ...],
    found: tuple[MarginFindings, AssociationFindings],
    ready: Ready,
    streams: Streams,
) -> Iterator[tuple[str, float]]:
    """Yield the key and the value of each cheap figure of one draw."""
    margins, associations = found
    whole = [*check_validity(tables), *check_rules(tables, ready.rules)]
    whole.append(compare_tails(tables))
    whole += compare_analyses(tables, ready.analyses, ready.declared, streams("analyses")).scores
    for score in whole:
        if score.value is not None:
            yield score.key, score.value
    levels = [cut.levels for cut in cuts]
    train, made = (tokenise(table, cuts) for table in (tables.train, tables.synthetic))
    for size, compared in margins.compared.items():
        distances = [variation(train, made, levels, columns) for columns in compared]
        yield DISTANCES[size].key, rounded(float(np.mean(distances)))
    if len(associations.associations.columns) > 1:
        distance = association_distance(tables, cuts, associations.associations)
        yield ASSOCIATIONS.key, distance
    for target in tables.schema.target:
        skill = drawn_skill(tables, target, streams("utility"))
        if skill is not None:
            yield TSTR.key_of(target=target.column, learner=DRAWN), rounded(skill)
