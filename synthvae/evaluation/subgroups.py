"""Effects within subgroups: does a treatment work for the same patients on synthetic rows?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import block_diag

from synthvae._text import counted
from synthvae._types import Floats, Ints
from synthvae.evaluation import agreement, intervals
from synthvae.evaluation.metric import Limits, Metric
from synthvae.evaluation.regression import Fit, Model, NotFittedError, Terms, fit_model
from synthvae.evaluation.results import Interval, Score, SubgroupEffect, SubgroupEffects
from synthvae.evaluation.tables import Table, binnings
from synthvae.evaluation.validity import slug
from synthvae.purposes import AnalysisRequest
from synthvae.schema import Schema

LEAST_PATIENTS = 30  # of train in a subgroup that stands by itself
MOST_SUBGROUPS = 8
PARTS = 3  # into which a number is cut
EFFECTS: dict[Model, str] = {
    "linear": "difference in means",
    "logistic": "log odds ratio",
    "cox": "log hazard ratio",
}

_metric = partial(
    Metric,
    direction="higher",
    family="interactions",
    topic="utility",
    goal=1.0,
    section="analyses",
    withheld_as="few patients may stand behind the effect in a subgroup",
)
OVERLAP = _metric(
    "subgroup_overlap.<analysis>",
    "Overlap of effects within subgroups: {name}",
    "How far the confidence intervals of effects within subgroups on synthetic rows and on train's "
    "cover each other, on average: 1 is the same interval, 0 or less means that they do not touch. An "
    "effect that synthetic rows do not allow to be estimated counts 0.",
    threshold=Limits(0.6, 0.3, "two samples of one population and size overlap by 0.71 on average"),
)
CONCLUSIONS = _metric(
    "subgroup_conclusions.<analysis>",
    "Conclusions within subgroups: {name}",
    "Of the effects within subgroups that train's rows tell from 0, the share that synthetic rows "
    "tell from 0 in the same direction: whether one would still find whom a treatment helps and "
    "whom it harms.",
    threshold=Limits(
        *(-0.05, -0.25, "0.05 below what as many new real rows would keep"),
        beside="expected",
    ),
    share_of="the effects within subgroups that the real rows tell from 0",
)
METRICS = (OVERLAP, CONCLUSIONS)

_Effects = dict[tuple[int, str], tuple[Fit, ...]]


@dataclass(frozen=True)
class _Subgroups:
    """The subgroups of one interaction: their names, each row's place by table, what was merged.

    A row that is in none has the place -1.
    """

    names: tuple[str, ...]
    places: Mapping[str, Ints]
    detail: str


def compare_subgroups(
    tables: Mapping[str, Table],
    request: AnalysisRequest,
    schema: Schema,
    generator: np.random.Generator,
) -> tuple[tuple[SubgroupEffects, ...], list[Score]]:
    """Return the effect of each interaction's first predictor within the subgroups of the others.

    It is that predictor's alone: a difference in means, a log odds ratio or a log hazard ratio, with
    the interval that a regression on it within the subgroup gives. `tables` has train, the synthetic
    rows and what to compare them with, by name.

    References
    ----------
    Rothwell 2005, The Lancet 365: effects within subgroups, which an interaction speaks for.
    """
    assert request.kind != "kaplan-meier"
    names = {"analysis": slug(request.name), "name": request.name}
    metrics = [metric.of(**names) for metric in METRICS]
    found: list[SubgroupEffects] = []
    fits: dict[str, list[Fit | None]] = {name: [] for name in tables}
    for interaction in request.interactions:
        subgroups = _subgroups(tables, interaction[1:], schema)
        terms = Terms(schema, interaction[:1], tables["train"])
        effects = []
        for place, name in enumerate(subgroups.names):
            rows = {t: table.take(subgroups.places[t] == place) for t, table in tables.items()}
            each = {t: _effect(request, terms, rows[t], schema) for t in tables}
            for t, fit in each.items():
                fits[t].append(fit)
            effects += list(_described(name, each["train"], each["synthetic"], rows["synthetic"]))
        detail = subgroups.detail if effects else _NOTHING + subgroups.detail
        found.append(
            SubgroupEffects(
                predictor=interaction[0],
                within=interaction[1:],
                measure=EFFECTS[request.kind],
                effects=tuple(effects),
                detail=detail,
            )
        )
    return tuple(found), _scores(metrics, fits, generator)


_NOTHING = "No subgroup of train's rows allows an estimate. "


def _subgroups(tables: Mapping[str, Table], within: Sequence[str], schema: Schema) -> _Subgroups:
    """Cut tables into the combinations of levels of some columns; the tiny ones are one."""
    names = [field.name for field in schema.modelled]
    cuts = binnings(tables["train"], schema, PARTS)
    chosen = [(names.index(name), cuts[names.index(name)]) for name in within]
    shape = [cut.levels for _, cut in chosen]
    cells: dict[str, Ints] = {}
    for name, table in tables.items():
        tokens = np.stack([cut.tokens(table.codes[:, place]) for place, cut in chosen])
        cells[name] = np.ravel_multi_index(tuple(tokens), shape)
        cells[name][(tokens == 0).any(axis=0)] = -1  # a missing level is no subgroup
    train, patients = cells["train"], tables["train"].patients
    used = [int(cell) for cell in np.unique(train[train >= 0])]
    counts = {cell: len(np.unique(patients[train == cell])) for cell in used}
    kept = sorted(sorted(used, key=lambda cell: -counts[cell])[:MOST_SUBGROUPS])
    kept = [cell for cell in kept if counts[cell] >= LEAST_PATIENTS]

    def label(cell: int) -> str:
        levels = np.unravel_index(cell, shape)
        return ", ".join(
            f"{cut.field.name} = {cut.labels[int(level)]}"
            for (_, cut), level in zip(chosen, levels, strict=True)
        )

    labels = [label(cell) for cell in kept]
    place_of = np.full(int(np.prod(shape)) + 1, -1)  # the last is for missing cells
    place_of[kept] = np.arange(len(kept))
    numbers = [name for name in within if schema[name].is_lattice]
    detail = f"'{', '.join(numbers)}' cut at train's thirds. " if numbers else ""
    if rest := [cell for cell in used if cell not in kept]:
        few = (
            f"{counted(len(rest), 'subgroup')} of fewer than {LEAST_PATIENTS} patients, or beyond "
        )
        few += f"the {MOST_SUBGROUPS} largest,"
        together = len(np.unique(patients[np.isin(train, rest)])) >= LEAST_PATIENTS
        if together:
            place_of[rest] = len(labels)
            labels.append("all others")
        detail += f"{few} {'stand together as one' if together else 'left out'}. "
    return _Subgroups(tuple(labels), {t: place_of[of] for t, of in cells.items()}, detail)


def _effect(request: AnalysisRequest, terms: Terms, rows: Table, schema: Schema) -> Fit | None:
    """Return the effect within one subgroup, None where its rows allow no estimate."""
    assert request.kind != "kaplan-meier"
    try:
        return fit_model(request.kind, request.outcome, terms, rows, schema)
    except NotFittedError:
        return None


def _described(
    subgroup: str, real: Fit | None, synthetic: Fit | None, rows: Table
) -> Iterator[SubgroupEffect]:
    """Yield the effects within one subgroup; none where the real rows allow no estimate."""
    for j, term in enumerate(real.terms if real else ()):
        assert real is not None
        facts = {
            "term": term,
            "subgroup": subgroup,
            "real_rows": real.rows,
            "real": intervals.rounded(real.estimates[j]),
            "real_interval": wald(real, j),
        }
        if synthetic is None or term not in synthetic.terms:
            reason = f"{counted(len(rows), 'synthetic row')} that allow no estimate"
            yield SubgroupEffect(**facts, synthetic_rows=len(rows), not_run=reason)
            continue
        place = synthetic.terms.index(term)
        yield SubgroupEffect(
            **facts,
            synthetic_rows=synthetic.rows,
            synthetic=intervals.rounded(synthetic.estimates[place]),
            synthetic_interval=wald(synthetic, place),
        )


def wald(fit: Fit, j: int) -> Interval:
    """Return the confidence interval of one of a fit's estimates."""
    middle, half = fit.estimates[j], fit.half[j]
    return intervals.interval(middle - half, middle + half, "Wald")


def _scores(
    metrics: Sequence[Metric],
    fits: Mapping[str, Sequence[Fit | None]],
    generator: np.random.Generator,
) -> list[Score]:
    """Return the scores of all effects together; NaN stands for one that a table does not allow."""
    known = [place for place, fit in enumerate(fits["train"]) if fit is not None]
    real = _joined([fits["train"][place] for place in known], [fits["train"][p] for p in known])
    if not real.terms:
        return [metric.unanswered(_NOTHING.strip()) for metric in metrics]
    pairs = {
        name: (real, _joined([fits["train"][p] for p in known], [each[p] for p in known]))
        for name, each in fits.items()
        if name != "train"
    }
    detail = f"{counted(len(real.terms), 'effect')} within {counted(len(known), 'subgroup')}."
    expected = _expected(real, pairs["synthetic"][1], generator)
    return [
        agreement.score_of(metrics[0], mean_overlap, pairs, detail, generator),
        agreement.score_of(
            metrics[1], same_conclusions, pairs, detail, generator, {"expected": expected}
        ),
    ]


def _joined(real: Sequence[Fit | None], other: Sequence[Fit | None]) -> Fit:
    """Return the effects of subgroups as one fit, the terms being those of the real rows."""
    terms: list[str] = []
    estimates, halves, blocks, rows = [], [], [], 0
    for place, (one, fit) in enumerate(zip(real, other, strict=True)):
        assert one is not None
        wanted = one.terms
        estimate, half = np.full((2, len(wanted)), np.nan)
        block = np.zeros((len(wanted), len(wanted)))
        shared = [j for j, term in enumerate(wanted) if fit is not None and term in fit.terms]
        if fit is not None:
            part = fit.only([wanted[j] for j in shared])
            estimate[shared], half[shared] = part.estimates, part.half
            block[np.ix_(shared, shared)] = part.covariance
            rows += fit.rows
        terms += [f"{place} {term}" for term in wanted]
        estimates.append(estimate)
        halves.append(half)
        blocks.append(block)
    if not terms:
        empty = np.empty(0)
        return Fit((), empty, np.empty((0, 0)), empty, rows)
    joined = np.concatenate(estimates), block_diag(*blocks), np.concatenate(halves)
    return Fit(tuple(terms), *joined, rows)


def mean_overlap(real: Fit, synthetic: Fit, estimates: Floats | None = None) -> Floats | None:
    """Return the mean overlap of intervals, in which an effect without an estimate counts 0."""
    each = agreement.overlaps(real, synthetic, estimates)
    return np.asarray(np.nan_to_num(each).mean(axis=-1))


def same_conclusions(real: Fit, synthetic: Fit, estimates: Floats | None = None) -> Floats | None:
    """Return the share of the effects told from 0 that are so in the same direction; None without any.

    Examples
    --------
    >>> from synthvae.evaluation.regression import Fit
    >>> def fit(*estimates): return Fit(tuple("abc"), np.array(estimates), np.eye(3), np.ones(3), 9)
    >>> same_conclusions(fit(2.0, -2.0, 0.5), fit(3.0, -0.5, 9.0))
    array(0.5)
    """
    clear = np.abs(real.estimates) > real.half
    if not clear.any():
        return None
    middle = synthetic.estimates if estimates is None else estimates
    told = (np.abs(middle) > synthetic.half) & (np.sign(middle) == np.sign(real.estimates))
    return np.asarray(told[..., clear].mean(axis=-1))


def _expected(real: Fit, synthetic: Fit, generator: np.random.Generator) -> float | None:
    """Return how many conclusions new real rows would keep, on average over what they may be.

    They are taken to be as many as train's, or as the synthetic ones where those are fewer. Train's
    own estimates are uncertain, too: what is barely told from 0 there is lost in half of all samples.
    """
    more = max(1.0, real.rows / max(synthetic.rows, 1))
    fresh = Fit(real.terms, real.estimates, real.covariance * more, real.half * more**0.5, 0)
    spread = Fit(real.terms, real.estimates, real.covariance * (1 + more), fresh.half, 0)
    kept = same_conclusions(real, fresh, agreement.draws(spread, generator))
    return None if kept is None else float(kept.mean())
