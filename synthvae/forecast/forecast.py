"""The forecast of a fit as a value, and the warnings of one that would leave little but noise."""

from collections.abc import Iterator, Sequence

from synthvae._frozen import Frozen
from synthvae._text import brief, counted
from synthvae.forecast.fit_cost import FitCost, fit_cost
from synthvae.forecast.prospect import (
    ColumnForecast,
    InteractionForecast,
    PairForecast,
    Prospect,
    make_prospect,
    rank_of,
)
from synthvae.forecast.remedies import Remedy, find_remedies
from synthvae.marginals.visit_counts import VisitNoise
from synthvae.plan import Plan, make_plan, stages_before_fit
from synthvae.precedence import favoured
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.table.arguments import check_schema

LARGE_SHARE_ERROR = 0.05  # expected of a share, from which on a fit warns
LARGE_MEAN_ERROR = 0.1  # expected of a mean, in widths of the bounds
OF_VISITS = (
    "Not forecast for visits in time: how far off the number of visits, the times between them and what "
    "hangs together within and between visits will be, and what the fit takes.",
)


class ReleaseForecast(Frozen):
    """One kind of release: what, how often, and the standard deviation of its noise."""

    what: str
    times: int
    noise: tuple[float, float]  # the least and the most
    unit: str


class Forecast(Frozen):
    """What a fit will leave of a table: computed from public numbers alone."""

    name: str
    epsilon: float
    delta: float
    patients: int
    patients_assumed: bool
    max_rows: int
    rows_per_patient: float
    rows_assumed: bool
    to_review: tuple[str, ...]
    favoured: tuple[str, ...]
    releases: tuple[ReleaseForecast, ...]
    columns: tuple[ColumnForecast, ...]
    pairs: PairForecast | None
    interactions: InteractionForecast | None
    cost: FitCost | None
    in_time: bool = False  # whether rows are visits in time
    not_forecast: tuple[str, ...] = ()  # in sentences
    remedies: tuple[Remedy, ...]
    warnings: tuple[str, ...]


def make_forecast(
    schema: Schema,
    epsilon: float,
    delta: float | None = None,
    rows_per_patient: float | None = None,
    settings: Settings | None = None,
) -> Forecast:
    """Return what a fit will leave of a table.

    Parameters
    ----------
    rows_per_patient
        Mean number of rows of a patient, as far as it is publicly known; by default the root of
        `maxRows`.

    Raises
    ------
    BudgetError
        The budget is not valid.
    ConfigError
        The schema is no `Schema`; the number of rows is below 1 or above `maxRows`.
    """
    schema = check_schema(schema)
    prospect = make_prospect(schema, epsilon, delta, rows_per_patient, settings)
    whole = make_plan(prospect.plan.schema, epsilon, delta, settings)
    assert whole.delta is not None
    remedies, interactions = find_remedies(prospect), prospect.interactions
    ranks = [rank_of(field, whole.settings) for field in whole.schema.drawn]
    return Forecast(
        name=schema.name,
        epsilon=epsilon,
        delta=whole.delta,
        patients=prospect.patients,
        patients_assumed=schema.patients is None,
        max_rows=schema.rows_per_patient,
        rows_per_patient=prospect.rows_per_patient,
        rows_assumed=rows_per_patient is None and schema.rows_per_patient > 1,
        to_review=schema.to_review,
        favoured=favoured(schema),
        releases=tuple(_releases(whole)),
        columns=prospect.columns,
        pairs=prospect.pairs,
        interactions=interactions,
        cost=None
        if prospect.in_time
        else fit_cost(whole, ranks, 0 if interactions is None else interactions.products),
        in_time=prospect.in_time,
        not_forecast=OF_VISITS if prospect.in_time else (),
        remedies=remedies,
        warnings=_warnings(prospect, remedies),
    )


def _releases(plan: Plan) -> Iterator[ReleaseForecast]:
    """Yield what a fit will release, and with which noise."""
    rows = plan.schema.rows_per_patient
    for stage in stages_before_fit(plan.schema):
        noises = stage.noise_multipliers
        yield ReleaseForecast(
            what="before the fit: rows per patient, to choose maxRows",
            times=stage.queries,
            noise=(min(noises), max(noises)),
            unit="patients",
        )
    if plan.visit_noise is None:
        counts = [rows * noise for column in plan.column_noise for noise in column]
        yield _counts("counts of columns", counts, "rows in each count")
    else:
        yield from _counts_of_visits(plan, plan.visit_noise)
    for what, noise in (
        ("number of patients", plan.count_noise),
        ("numbers of patients by their rows", plan.rows_noise),
    ):
        if noise is not None:
            yield ReleaseForecast(what=what, times=1, noise=(noise, noise), unit="patients")
    unit = "times the largest part of one patient"
    pairs = "moments of pairs of columns"
    pairs += "" if plan.visit_noise is None else ", within and between visits"
    for what, noise in (
        (pairs, plan.pair_noise),
        ("moments of three and four columns", plan.interaction_noise),
    ):
        if noise is not None:
            yield ReleaseForecast(what=what, times=1, noise=(noise, noise), unit=unit)
    if plan.training is not None:
        noise, steps = plan.training.noise_multiplier, plan.training.steps
        yield ReleaseForecast(
            what=f"steps of training, about {plan.training.expected_batch:,.0f} patients each",
            times=steps,
            noise=(noise, noise),
            unit="times the largest gradient of one patient",
        )


def _counts(what: str, noise: Sequence[float], unit: str) -> ReleaseForecast:
    return ReleaseForecast(what=what, times=len(noise), noise=(min(noise), max(noise)), unit=unit)


def _counts_of_visits(plan: Plan, of_visits: VisitNoise) -> Iterator[ReleaseForecast]:
    """Yield the counts of visits in time, by what one patient changes."""
    most, once, each = plan.schema.rows_per_patient, list[float](), list[float]()
    for field, column in zip(plan.schema.drawn, plan.column_noise, strict=True):
        (once if field.perPatient else each).extend(column)
    once += [*of_visits.visits, *of_visits.first]
    what = "counts of columns of patients, of numbers of visits and of first times"
    yield _counts(what, once, "patients in each count")
    each = [most * noise for noise in each]
    yield _counts("counts of columns of visits", each, "visits in each count")
    between = [(most - 1) * noise for noise in (*of_visits.gap, *of_visits.moves)]
    if between:
        what = "counts of times between visits and of steps of numbers"
        yield _counts(what, between, "pairs of visits in each count")


def warnings_of(
    schema: Schema,
    epsilon: float | None,
    delta: float | None = None,
    settings: Settings | None = None,
) -> tuple[str, ...]:
    """Return what to say before a fit that will leave little but noise; empty otherwise."""
    schema = check_schema(schema)
    if epsilon is None:
        return ()
    prospect = make_prospect(schema, epsilon, delta, None, settings)
    if _is_clear(prospect):
        return ()
    return _warnings(prospect, find_remedies(prospect))


def _is_clear(prospect: Prospect) -> bool:
    share, mean = prospect.errors
    return share < LARGE_SHARE_ERROR and mean < LARGE_MEAN_ERROR


def _warnings(prospect: Prospect, remedies: tuple[Remedy, ...]) -> tuple[str, ...]:
    """Return sentences on the columns of which little but noise will be left, with the best remedy."""
    if _is_clear(prospect):
        return ()
    parts = []
    categories = [c for c in prospect.columns if c.share is not None]
    numbers = [c for c in prospect.columns if c.mean is not None]
    bad = [c for c in categories if c.relative >= LARGE_SHARE_ERROR]
    if bad:
        worst = max(bad, key=lambda column: column.relative)
        parts.append(
            f"a category's share will be off by about {100 * worst.relative:.0f} percentage points in "
            f"{brief(worst.name)}, and by {100 * LARGE_SHARE_ERROR:g} or more in {len(bad)} of "
            f"{len(categories)} columns of categories"
        )
    far = [c for c in numbers if c.relative >= LARGE_MEAN_ERROR]
    if far:
        worst = max(far, key=lambda column: column.relative)
        parts.append(
            f"the mean of {brief(worst.name)} will be off by about {100 * worst.relative:.0f} % of the "
            f"width of its bounds, and by {100 * LARGE_MEAN_ERROR:g} % or more in {len(far)} of "
            f"{len(numbers)} columns of numbers and dates"
        )
    budget = prospect.plan.epsilon or 0.0
    text = (
        f"With {counted(prospect.patients, 'patient')}, at most "
        f"{counted(prospect.plan.schema.rows_per_patient, 'row')} of each, at epsilon {budget:g}, "
        f"little but noise will be left: {'; '.join(parts)}."
    )
    if not remedies:
        return (text,)
    best = remedies[0]
    return (
        text,
        f"What would help most: {best.change} ({best.figure}: {best.before:.3g} -> {best.after:.3g}).",
    )
