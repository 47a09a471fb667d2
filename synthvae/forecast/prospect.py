"""A plan judged from public numbers: how far off each column and pair will be."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from synthvae._frozen import Frozen
from synthvae._types import Floats, Ints
from synthvae.errors import ConfigError
from synthvae.field import Field
from synthvae.forecast import expected_error as error
from synthvae.forecast.expected_error import ExpectedError
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.interactions import NONE, columns_of
from synthvae.plan import Plan, plan_counts
from synthvae.precedence import declared_uses, precedence, up_to_rank
from synthvae.privacy.budget import check_budget
from synthvae.schema import Schema
from synthvae.settings import ASSUMED_PATIENTS, Settings

COUNT_NORM = 1.005  # of the moments' bound, with the count that they are divided by
WHOLE_SHARE = 0.93  # mean that the bound leaves of patients' moments, where it is wide
DAY = 86_400


class ColumnForecast(Frozen):
    """How far off a column will be, by the noise of its counts.

    `share` is of a category, as a proportion; `misplaced` the proportion of rows that will stand in a
    wrong category; `mean` of a number, in its unit, or of a date, in days; `width` that of the bounds.
    """

    name: str
    kind: Literal["categories", "number", "date"]
    categories: int | None = None
    noise: (
        float  # standard deviation of a count, in rows, or patients where it is counted for these
    )
    share: ExpectedError | None = None
    misplaced: float | None = None
    mean: ExpectedError | None = None
    width: float | None = None
    unit: str | None = None

    @property
    def relative(self) -> float:
        """The error as a proportion: of rows, or of the width of the bounds."""
        if self.share is not None:
            return self.share.absolute
        assert self.mean is not None
        return self.mean.absolute / self.width if self.width else 0.0


class PairForecast(Frozen):
    """How far off the dependence of two columns will be: a typical pair, and the worst.

    `noise` is the standard deviation of a correlation as it is released; `correlation` the error of one
    in the synthetic table, after the fit has shrunk it; `cell` that of the share of rows in a cell of a
    table of two columns of categories.
    """

    noise: float
    largest_noise: float
    worst: tuple[str, str]
    correlation: ExpectedError
    largest_correlation: ExpectedError
    cell: ExpectedError | None


class InteractionForecast(Frozen):
    """What is measured of three and four columns together.

    `share` is the part of the budget (in squared mu, without what was spent before the fit) that pays
    for it; `products` how many products of features are measured, about; `noise` the standard deviation
    of a typical one's mean as it is released, and `largest_noise` that of the noisiest. In rows of
    columns that do not depend on each other, a product has the mean 0 and the standard deviation 1.
    `triples` is how many sets of three columns are measured, of `all_triples`; `which_triples` tells
    these from the others and goes on after "those that": empty where none or all are measured.
    """

    share: float
    products: int
    noise: float
    largest_noise: float
    triples: int
    all_triples: int
    which_triples: str


@dataclass(frozen=True)
class Prospect:
    """A plan with the number of patients and of rows that it is judged for."""

    plan: Plan
    rows_per_patient: float

    @property
    def patients(self) -> int:
        """Declared patients, or those that are assumed."""
        return self.plan.schema.patients or ASSUMED_PATIENTS

    @property
    def rows(self) -> float:
        """Rows of all patients together."""
        return self.patients * self.rows_per_patient

    @cached_property
    def columns(self) -> tuple[ColumnForecast, ...]:
        """Each modelled column's forecast."""
        plan = self.plan
        return tuple(
            self._column(field, noise[-1])
            for field, noise in zip(plan.schema.drawn, plan.column_noise, strict=True)
        )

    @property
    def in_time(self) -> bool:
        """Whether a patient's rows are visits in time."""
        return self.plan.visit_noise is not None

    def _column(self, field: Field, noise_multiplier: float) -> ColumnForecast:
        once = self.in_time and field.perPatient  # counted once a patient
        noise = noise_multiplier * (1 if once else self.plan.schema.rows_per_patient)
        relative = noise / (self.patients if once else self.rows)
        if not field.is_lattice:
            share, misplaced = error.share_error(field, relative)
            size = len(field.categories)
            return ColumnForecast(
                name=field.name,
                kind="categories",
                categories=size,
                noise=noise,
                share=share,
                misplaced=misplaced,
            )
        width = width_of(field)
        return ColumnForecast(
            name=field.name,
            kind="date" if field.is_moment else "number",
            noise=noise,
            mean=error.mean_error(field, relative, self.plan.settings.bins).scaled(width),
            width=width,
            unit="days" if field.is_moment else field.unit,
        )

    @cached_property
    def pairs(self) -> PairForecast | None:
        """The pairs' forecast; None where there is one column, and of visits in time."""
        fields = self.plan.schema.drawn
        if len(fields) < 2 or self.in_time:
            return None
        noise = self.correlation_noise()
        upper = np.triu_indices(len(fields), 1)
        values = noise[upper]
        at = int(values.argmax())
        typical, largest = float(np.median(values)), float(values[at])
        deviations = error.correlation_deviation(np.array([typical, largest]))
        return PairForecast(
            noise=typical,
            largest_noise=largest,
            worst=(fields[upper[0][at]].name, fields[upper[1][at]].name),
            correlation=ExpectedError.normal(float(deviations[0])),
            largest_correlation=ExpectedError.normal(float(deviations[1])),
            cell=self._cell(noise),
        )

    def correlation_noise(self) -> Floats:
        """Return the standard deviation of each correlation's noise, shape (columns, columns)."""
        plan, settings = self.plan, self.plan.settings
        fields, rows = plan.schema.drawn, plan.schema.rows_per_patient
        ranks = [rank_of(field, settings) for field in fields]
        own = np.array([(np.arange(1, r + 1.0) ** (-2 * settings.taper)).sum() for r in ranks])
        typical = math.sqrt(max(0.5 * (own.sum() ** 2 - (own**2).sum()), 1.0))
        # Missing and special values are told apart first: what follows has less weight, more noise.
        firsts = [1 + field.nullable + len(field.specials) for field in fields]
        weights = np.minimum(firsts, ranks) ** -settings.taper
        bound = settings.pair_bound * rows
        noise: Floats = self._noise(plan.pair_noise, bound * typical) / np.outer(weights, weights)
        return noise

    @cached_property
    def interactions(self) -> InteractionForecast | None:
        """The forecast of moments of three and four columns; None where none are measured."""
        plan, settings = self.plan, self.plan.settings
        functions, order = self._features()
        query = plan.interaction_query(functions, order)
        if query is None or plan.interaction_noise is None:
            return None
        noise = self._noise(plan.interaction_noise, query.bound) / query.scales
        columns = columns_of(query.factors, np.cumsum(order == 1) - 1)
        triples = np.unique(columns[columns[:, -1] == NONE, :-1], axis=0)
        every, which = math.comb(len(functions), 3), ""
        if 0 < len(triples) < every:  # whole ranks are left out, from the last
            uses = declared_uses(plan.schema)
            which = up_to_rank(int(precedence(triples, uses).max()), uses)
        return InteractionForecast(
            share=settings.interaction_share,
            products=len(query.factors),
            noise=float(np.median(noise)),
            largest_noise=float(noise.max()),
            triples=len(triples),
            all_triples=every,
            which_triples=which,
        )

    def _noise(self, multiplier: float, bound: float) -> float:
        """Return the deviation of a moment's noise whose scale in the sum is 1, for a norm's bound."""
        settings, rows = self.plan.settings, self.plan.schema.rows_per_patient
        alike = settings.pair_bound * rows / math.sqrt(self.rows_per_patient)
        kept = WHOLE_SHARE * min(1.0, alike)  # of patients' moments under the bound
        return multiplier * COUNT_NORM * bound / (self.rows * kept)

    def _features(self) -> tuple[list[Ints], Ints]:
        """Return each column's features, smooth and common ones first, and all features' orders."""
        spans, orders, end = [], [], 0
        for field in self.plan.schema.drawn:
            rank, apart = rank_of(field, self.plan.settings), field.nullable + len(field.specials)
            places = np.arange(rank)
            spans.append(end + (np.roll(places, -apart) if apart < rank else places))
            orders.append(places + 1)
            end += rank
        return spans, np.concatenate(orders)

    def _cell(self, noise: Floats) -> ExpectedError | None:
        """Return the error of the share of rows in the largest cell of two columns of categories."""
        at = [j for j, column in enumerate(self.columns) if column.share is not None]
        if len(at) < 2:
            return None
        columns = [self.columns[j] for j in at]
        largest = np.array([_largest_share(column.categories or 1) for column in columns])
        margins = np.array([c.share.half_width / error.NORMAL_95 for c in columns if c.share])
        spread = np.sqrt(largest * (1 - largest))
        parts = (
            error.correlation_deviation(noise[np.ix_(at, at)]) * np.outer(spread, spread),
            np.outer(margins, largest),
            np.outer(largest, margins),
        )
        deviation = np.sqrt(sum(part**2 for part in parts))[np.triu_indices(len(at), 1)]
        return ExpectedError.normal(float(np.median(deviation)))

    @property
    def errors(self) -> tuple[float, float]:
        """The largest errors: of a share, and of a mean in widths of its bounds; 0 without a column."""
        shares = [column.relative for column in self.columns if column.kind == "categories"]
        means = [column.relative for column in self.columns if column.kind != "categories"]
        return max(shares, default=0.0), max(means, default=0.0)


def _largest_share(categories: int) -> float:
    """Return the share of a column's largest category, between even and Zipf's frequencies."""
    zipf = 1 / (1 / np.arange(1.0, categories + 1)).sum()
    return min(0.9, float(zipf + 1 / categories) / 2)


def rank_of(field: Field, settings: Settings) -> int:
    """Return the number of functions in a column's basis."""
    size = ColumnMarginal.cells_of(field)
    cells = min(size, settings.bins) if field.is_lattice else size
    rank = settings.rank_of(ordered=field.is_lattice)
    return max(1, min(rank, cells + field.nullable + len(field.specials) - 1))


def width_of(field: Field) -> float:
    """Return the width of a lattice's bounds in the field's unit, or in days."""
    first, last = field.first_unit, field.first_unit + field.lattice_size - 1
    if field.is_moment:
        return float(field.seconds_at(last) - field.seconds_at(first)) / DAY
    return float(field.numbers_at(last) - field.numbers_at(first))


def make_prospect(
    schema: Schema,
    epsilon: float,
    delta: float | None = None,
    rows_per_patient: float | None = None,
    settings: Settings | None = None,
) -> Prospect:
    """Return the plan of a fit's counts and moments, judged for a number of rows a patient.

    Where that number is not given, it is taken to be the root of `maxRows`.
    """
    check_budget(epsilon, delta, schema.patients)
    if rows_per_patient is not None and not 1 <= rows_per_patient <= schema.rows_per_patient:
        raise ConfigError(
            f"rows_per_patient is {rows_per_patient:g}; a patient's mean number of rows lies between 1 "
            f"and {schema.rows_per_patient}, the schema's maxRows."
        )
    plan = plan_counts(reviewed(schema), epsilon, delta, settings)
    most = float(schema.rows_per_patient)
    return Prospect(plan, rows_per_patient or math.sqrt(most))


def reviewed(schema: Schema) -> Schema:
    """Return a schema whose fields and rules are taken as reviewed: a forecast spends nothing."""
    fields = tuple(field.model_copy(update={"review": False}) for field in schema.fields)
    rules = tuple(rule.model_copy(update={"review": False}) for rule in schema.rules)
    changes = {"fields": fields, "rules": rules}
    return schema.model_copy(update=changes) if schema.to_review else schema
