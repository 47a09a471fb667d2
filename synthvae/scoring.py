"""Scoring: where the evaluation of a synthetic table and the attacks on it are joined."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from synthvae._runtime import Progress, silent
from synthvae.attacks import Retrain, run_attacks
from synthvae.config import EvaluationRequest
from synthvae.errors import ConfigError
from synthvae.evaluation import (
    intervals,
    joint,
    marginals,
    pairs,
    relations,
    results,
    significance,
    validity,
)
from synthvae.evaluation.analyses import compare_analyses
from synthvae.evaluation.groups import compare_groups
from synthvae.evaluation.prediction import DRAWN, compare_utility, drawn_skill
from synthvae.evaluation.prediction_metrics import TSTR
from synthvae.evaluation.prediction_task import predict_every_column
from synthvae.evaluation.sdmetrics_report import report_quality
from synthvae.evaluation.tables import Binning, Tables, binnings, prepare, read_synthetic, tokenise
from synthvae.evaluation.three_way import compare_three_way
from synthvae.levels import with_threshold
from synthvae.relations.relation import Relation
from synthvae.request import CheckedRequest, check_request
from synthvae.schema import Schema
from synthvae.table.arguments import check_frame, check_schema

Streams = Callable[[str], np.random.Generator]
SMALL = 200
TOPICS = ("validity", "fidelity", "utility", "privacy")
# The place of a part decides its random numbers: new ones come last.
PARTS = (
    *("tables", "margins", "associations", "quality", "detection", "utility", "attacks"),
    *("propensity", "every column", "analyses", "groups", "components", "relations"),
    "three-way",
)


def evaluate(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    asked: EvaluationRequest | None = None,
    retrain: Retrain | None = None,
    draws: Sequence[pd.DataFrame] = (),
) -> results.Evaluation:
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
    asked : EvaluationRequest, optional
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
        A table is no data frame, or a rule, an analysis or a limit does not fit the schema.
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
    schema = check_schema(schema)
    for name, frame in (("train", train), ("holdout", holdout), ("synthetic", synthetic)):
        check_frame(frame, name)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number of at least 0.")
    request = check_request(asked or EvaluationRequest(), schema)
    report = progress or silent
    report("reading the tables", 0.0)
    tables = prepare(train, holdout, synthetic, schema, _streams(seed)("tables"))
    drawn = [replace(tables, synthetic=read_synthetic(frame, schema)) for frame in draws]
    evaluation = _evaluate(tables, drawn, request, seed, retrain, report)
    report("done", 1.0)
    return evaluation


def _streams(seed: int) -> Streams:
    """Return the generator of each part by its name, in its first state each time.

    A change to one part leaves the others' figures alone, and samples of real rows are the same for
    every draw.
    """
    return lambda part: np.random.default_rng(seed).spawn(len(PARTS))[PARTS.index(part)]


def _evaluate(
    tables: Tables,
    drawn: Sequence[Tables],
    checked: CheckedRequest,
    seed: int,
    retrain: Retrain | None,
    report: Progress,
) -> results.Evaluation:
    """Return the evaluation of one table; `drawn` has further ones in its place."""
    streams, cuts = _streams(seed), binnings(tables.train, tables.schema)
    scores = [*validity.check_validity(tables), *validity.check_patients(tables)]
    undeclared = relations.find_undeclared(tables, streams("relations"))
    scores += relations.check_relations(tables, undeclared)
    report("comparing margins", 0.02)
    margins = marginals.compare_margins(tables, cuts, streams("margins"))
    report("comparing associations", 0.08)
    strengths, associations = pairs.compare_associations(tables, cuts, streams("associations"))
    report("running the SDMetrics reports", 0.12)
    scores += report_quality(tables, streams("quality"))
    scores += [*validity.check_rules(tables, checked.rules), *margins.scores, *strengths]
    report("telling synthetic rows from real ones", 0.3)
    scores += joint.classifier_test(tables, streams("detection"))
    scores += joint.compare_propensity(tables, streams("propensity"))
    report("training models on synthetic and on real rows", 0.4)
    utility, predictions = compare_utility(tables, streams("utility"))
    report("predicting every column", 0.5)
    every_column = predict_every_column(tables, streams("every column"))
    report("repeating analyses", 0.58)
    requests, said = checked.analyses, checked.notes
    analyses, repeated = compare_analyses(tables, requests, said, streams("analyses"))
    report("looking at triples beyond their pairs", 0.6)
    three_way, dependence = compare_three_way(tables, requests, streams("three-way"))
    report("looking at protected groups", 0.62)
    groups = compare_groups(tables, cuts, predictions, streams("groups"))
    depth, stream = checked.request.depth, streams("attacks")
    attacks = run_attacks(
        tables, depth, stream, retrain, lambda what, share: report(what, 0.65 + 0.3 * share)
    )
    scores += [*repeated, *dependence, *utility, *every_column, *groups.scores]
    scores += significance.adjusted(attacks.scores)
    scores.sort(key=lambda score: TOPICS.index(score.topic))
    report("scoring further draws", 0.95)
    others = [
        dict(
            _cheap_figures(each, cuts, margins.compared, associations, undeclared, checked, streams)
        )
        for each in drawn
    ]
    limits = checked.request.limits
    for i, score in enumerate(scores):
        spread = tuple(other[score.key] for other in others if score.key in other)
        scores[i] = with_threshold(score.model_copy(update={"draws": spread}), limits)
    unmet = sorted(set(limits) - {score.key for score in scores})
    unused = (f"The limit of '{key}' was not used: there is no such figure." for key in unmet)
    return results.Evaluation(
        name=tables.schema.name,
        schema_digest=tables.schema.digest,
        seed=seed,
        depth=depth,
        tables=_facts(tables),
        scores=tuple(scores),
        margins=margins.margins,
        worst_pairs=margins.worst_pairs,
        pair_tables=pairs.pair_tables(tables, cuts, margins.worst_pairs),
        associations=associations,
        three_way=three_way,
        components=joint.principal_components(tables, streams("components")),
        attacks=attacks.attacks,
        risks=attacks.risks,
        groups=groups.figures,
        analyses=analyses,
        notes=(*_notes(tables), *unused, *groups.notes, *attacks.notes),
    )


def _facts(tables: Tables) -> results.TableFacts:
    return results.TableFacts(
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


def _notes(tables: Tables) -> Iterator[str]:
    named = {"train": tables.train, "holdout": tables.holdout, "synthetic table": tables.synthetic}
    small = [f"the {name} has {len(of)}" for name, of in named.items() if len(of) < SMALL]
    if small:
        yield f"Few rows ({', '.join(small)}): intervals are wide and may be too narrow still."
    if len(tables.holdout) < 0.2 * len(tables.train):
        yield "The holdout is smaller than a fifth of train: a larger one makes comparisons firmer."


def _cheap_figures(
    tables: Tables,
    cuts: tuple[Binning, ...],
    compared: dict[int, list[tuple[int, ...]]],
    associations: results.Associations,
    undeclared: Sequence[Relation],
    checked: CheckedRequest,
    streams: Streams,
) -> Iterator[tuple[str, float]]:
    """Yield the key and the value of each figure of a further draw that is cheap to have.

    `compared`, `associations` and `undeclared` relations are those of the scored table, so that the
    same columns are compared here.
    """
    scores = [
        *validity.check_validity(tables),
        *validity.check_patients(tables),
        *relations.check_relations(tables, undeclared),
        *validity.check_rules(tables, checked.rules),
        marginals.compare_tails(tables),
    ]
    requests, said = checked.analyses, checked.notes
    scores += compare_analyses(tables, requests, said, streams("analyses"))[1]
    scores += compare_three_way(tables, requests, streams("three-way"))[1]
    for score in scores:
        if score.value is not None:
            yield score.key, score.value
    levels = [cut.levels for cut in cuts]
    train, synthetic = (tokenise(table, cuts) for table in (tables.train, tables.synthetic))
    for size, margins in compared.items():
        distances = [marginals.variation(train, synthetic, levels, columns) for columns in margins]
        yield marginals.DISTANCES[size].key, intervals.rounded(float(np.mean(distances)))
    if len(associations.columns) > 1:
        yield pairs.ASSOCIATIONS.key, pairs.association_distance(tables, cuts, associations)
    for target in tables.schema.target:
        skill = drawn_skill(tables, target, streams("utility"))
        if skill is not None:
            yield (
                TSTR.key_of(target=target.column, learner=DRAWN),
                intervals.rounded(skill),
            )
