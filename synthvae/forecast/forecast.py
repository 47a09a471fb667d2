"""The forecast of a fit as a value, and the warnings of one that would leave little but noise."""

from collections.abc import Iterator

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
from synthvae.plan import Plan, make_plan, stages_before_fit
from synthvae.precedence import favoured
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.table.arguments import check_schema

LARGE_SHARE_ERROR = 0.05  # expected of a share, from which on a fit warns
LARGE_MEAN_ERROR = 0.1  # expected of a mean, in widths of the bounds


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
    cost: FitCost
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
        cost=fit_cost(whole, ranks, 0 if interactions is None else interactions.products),
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
    counts = [rows * noise for column in plan.column_noise for noise in column]
    yield ReleaseForecast(
        what="counts of columns",
        times=len(counts),
        noise=(min(counts), max(counts)),
        unit="rows in each count",
    )
    for what, noise in (
        ("number of patients", plan.count_noise),
        ("numbers of patients by their rows", plan.rows_noise),
    ):
        if noise is not None:
            yield ReleaseForecast(what=what, times=1, noise=(noise, noise), unit="patients")
    unit = "times the largest part of one patient"
    for what, noise in (
        ("moments of pairs of columns", plan.pair_noise),
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
