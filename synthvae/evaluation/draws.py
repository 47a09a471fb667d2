"""The cheap figures again for further tables drawn from the same model: the spread of sampling."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from synthvae.evaluation.analyses import compare_analyses
from synthvae.evaluation.associations import (
    ASSOCIATIONS,
    AssociationFindings,
    association_distance,
)
from synthvae.evaluation.checking import Ready
from synthvae.evaluation.codes import Binning, tokenise
from synthvae.evaluation.intervals import rounded
from synthvae.evaluation.judging import TSTR
from synthvae.evaluation.margins import DISTANCES, MarginFindings, variation
from synthvae.evaluation.prediction import DRAWN, drawn_skill
from synthvae.evaluation.rules import check_rules
from synthvae.evaluation.tables import Table, Tables
from synthvae.evaluation.tails import compare_tails
from synthvae.evaluation.validity import check_validity
from synthvae.evaluation.values import Score

Streams = Callable[[str], np.random.Generator]


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
