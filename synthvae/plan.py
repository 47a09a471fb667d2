"""A fit's plan: what will be released with which noise, fixed before the first look at the data.

`make_plan` divides the budget; `promise` states what a fit that followed the plan promises.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from synthvae._text import brief, epsilon_text
from synthvae._types import Ints
from synthvae.errors import BudgetError, SchemaError
from synthvae.marginals.interactions import (
    InteractionQuery,
    affordable_factors,
    columns_of,
    is_declared,
)
from synthvae.marginals.measure import query_weights
from synthvae.marginals.visit_counts import VisitNoise, visit_counts, visit_weights
from synthvae.precedence import declared_uses
from synthvae.privacy import accounting, guarantee
from synthvae.privacy.budget import (
    COUNT_SHARE,
    ROUNDING,
    check_budget,
    default_delta,
    noise_for,
    noises_for,
)
from synthvae.schema import Schema
from synthvae.settings import ASSUMED_PATIENTS, Settings, settings_for
from synthvae.timeline import Timeline

ROWS_WEIGHT = 0.25  # precision of the rows-per-patient counts, relative to one marginal
LEAST_LEFT = 0.01  # of the budget, in squared mu, that releases before a fit must leave


@dataclass(frozen=True)
class Plan:
    """Everything that a fit will do to the data, from public numbers alone.

    Each noise is a noise multiplier, 0 without privacy, and None where the count is not taken.
    """

    schema: Schema
    settings: Settings
    epsilon: float | None  # None without privacy, as are delta and training
    delta: float | None
    column_noise: tuple[tuple[float, ...], ...]  # of each column's counts, in order
    rows_noise: float | None  # of the numbers of patients by their rows
    count_noise: float | None  # of the number of patients
    pair_noise: float
    interaction_noise: (
        float | None
    )  # of moments of three and four columns; None where none are taken
    training: guarantee.TrainingStage | None
    visit_noise: VisitNoise | None = None  # of what is counted of visits in time; None elsewhere

    @property
    def is_private(self) -> bool:
        """Whether the plan has a privacy budget."""
        return self.epsilon is not None

    @property
    def measured(self) -> tuple[guarantee.GaussianStage, ...]:
        """What is released before the training: to choose `maxRows` if it was, counts, moments."""
        return (*stages_before_fit(self.schema), self.marginals, self.pairs, *self.interactions)

    @property
    def marginals(self) -> guarantee.GaussianStage:
        """All counts together, as one stage of the account."""
        rows = self.schema.rows_per_patient
        if self.visit_noise is None:
            counts = [(noise, float(rows)) for column in self.column_noise for noise in column]
        else:
            names = [field.name for field in self.schema.drawn]
            own = dict(zip(names, self.column_noise, strict=True))
            counts = visit_counts(Timeline(self.schema), own, self.visit_noise)
        patients = [noise for noise in (self.rows_noise, self.count_noise) if noise is not None]
        counts += [(noise, 1.0) for noise in patients]
        return guarantee.GaussianStage(
            queries=len(counts),
            noise_multipliers=tuple(noise for noise, _ in counts),
            rows_per_patient=rows,
            sensitivities=tuple(sensitivity for _, sensitivity in counts),
            clipping="rows capped at rows_per_patient",
        )

    @property
    def pairs(self) -> guarantee.GaussianStage:
        """The moments of pairs of columns, as one stage of the account."""
        return guarantee.GaussianStage(
            stage="pairs",
            queries=1,
            noise_multipliers=(self.pair_noise,),
            rows_per_patient=self.schema.rows_per_patient,
            sensitivities=(1.0,),  # of the norm, which is known once the marginals are
            clipping="moments scaled per patient to a norm",
        )

    @property
    def interactions(self) -> tuple[guarantee.GaussianStage, ...]:
        """The moments of three and four columns, as one stage of the account, or none."""
        if self.interaction_noise is None:
            return ()
        stage = {"stage": "interactions", "noise_multipliers": (self.interaction_noise,)}
        return (self.pairs.model_copy(update=stage),)

    def interaction_query(self, functions: Sequence[Ints], order: Ints) -> InteractionQuery | None:
        """Return what the public rule measures of three and four columns; None where it is nothing.

        `functions` are those of `affordable_factors`; `order` is the place of each feature in its
        column's basis, from 1, shape (features,).
        """
        if self.interaction_noise is None:
            return None
        settings, uses = self.settings, declared_uses(self.schema)
        rank, most = settings.interaction_rank, settings.interactions
        factors = affordable_factors(functions, rank, most, uses)
        if not len(factors):
            return None
        owner = np.zeros(len(order), np.int64)
        for column, features in enumerate(functions):
            owner[features] = column
        declared = is_declared(columns_of(factors, owner), uses)
        rows, bound = self.schema.rows_per_patient, settings.pair_bound
        return InteractionQuery.build(factors, order, settings.taper, rows, bound, declared)

    @property
    def stages(self) -> tuple[guarantee.GaussianStage | guarantee.TrainingStage, ...]:
        """The stages of the account; empty without privacy."""
        if not self.is_private:
            return ()
        return self.measured if self.training is None else (*self.measured, self.training)

    def with_patients(self, patients: int) -> "Plan":
        """Return the plan with its normaliser from a number of patients; the account is the same."""
        if self.training is None:
            return self
        batch = {"expected_batch": self.training.sampling_rate * patients}
        return replace(self, training=self.training.model_copy(update=batch))

    def spent(self) -> float | None:
        """Return epsilon at delta of all stages together, or None without privacy."""
        if self.epsilon is None or self.delta is None:
            return None
        interval = accounting.default_interval(self.epsilon)
        return accounting.compose(self.stages, self.delta, interval)

    def spent_by_groups(self) -> dict[int, float | None]:
        """Return epsilon at delta for 2 to 5 patients together; empty without privacy."""
        if self.epsilon is None or self.delta is None:
            return {}
        interval = 10 * accounting.default_interval(self.epsilon)
        return accounting.group_epsilons(self.stages, self.delta, interval)

    def second_opinion(self) -> guarantee.SecondOpinion | None:
        """Return what another accountant finds for all stages together, or None without privacy."""
        if self.epsilon is None or self.delta is None:
            return None
        return accounting.second_opinion(self.stages, self.delta, self.epsilon)


def stages_before_fit(schema: Schema) -> tuple[guarantee.GaussianStage, ...]:
    """Return what was released to choose the schema's `maxRows`, as a stage of the account, if anything.

    No noise of a fit depends on `maxRows`, so that stages compose as if it had been fixed beforehand.
    Each release counted patients by the schema's own `patientKey` (a schema refuses others), whence its
    sensitivity of 1.
    """
    noises = tuple(
        1 / accounting.gaussian_mu(release.epsilon, release.delta) for release in schema.releases
    )
    if not noises:
        return ()
    return (
        guarantee.GaussianStage(
            stage="max-rows",
            queries=len(noises),
            noise_multipliers=noises,
            rows_per_patient=schema.rows_per_patient,
            sensitivities=(1.0,) * len(noises),
            clipping="one bin per patient",
        ),
    )


def epsilon_before_fit(schema: Schema, delta: float) -> float | None:
    """Return what the releases before the fit spend alone at `delta`; None where there were none."""
    stages = stages_before_fit(schema)
    return accounting.compose(stages, delta) if stages else None


def check_reviewed(schema: Schema) -> None:
    """Raise `SchemaError` while bounds, categories or rules that were read off the data await review."""
    drafted = {
        "field": [field.name for field in schema.fields if field.review],
        "rule": [brief(rule.title) for rule in schema.rules if rule.review],
    }
    listed = " and the ".join(
        f"{what}{'s' if len(names) > 1 else ''} {', '.join(names)}"
        for what, names in drafted.items()
        if names
    )
    if listed:
        were = "were" if len(schema.to_review) > 1 else "was"
        raise SchemaError(
            f"The {listed} {were} drafted from the data and not reviewed yet: `synthvae schema review` "
            "asks where what the schema says there is publicly known, and writes that down."
        )


def make_plan(
    schema: Schema,
    epsilon: float | None,
    delta: float | None = None,
    settings: Settings | None = None,
) -> Plan:
    """Return the plan for a schema and a budget; without an epsilon, of a fit without privacy.

    Raises
    ------
    BudgetError
        The budget is not valid, or the releases before the fit have spent it.
    SchemaError
        Fields still await review by a person, and a budget is given.
    """
    check_budget(epsilon, delta, schema.patients)
    if epsilon is not None:
        check_reviewed(schema)
    plan = plan_counts(schema, epsilon, delta, settings)
    if plan.epsilon is None or plan.delta is None or plan.visit_noise is not None:
        return plan
    training = accounting.calibrate_training(
        plan.measured, training_draft(plan), plan.epsilon, plan.delta
    )
    return replace(plan, training=training)


def plan_counts(
    schema: Schema, epsilon: float | None, delta: float | None, settings: Settings | None = None
) -> Plan:
    """Return a plan of counts and moments, whose training is not calibrated: quick, for a forecast."""
    settings = settings or settings_for(schema, epsilon)
    weights = [query_weights(field, settings.bins) for field in schema.drawn]
    in_time = schema.orderBy is not None
    counts_rows = schema.patientKey is not None and not in_time
    share = 0.0 if in_time else settings.interaction_share  # of visits none are measured
    if epsilon is None:
        exact = tuple((0.0,) * len(column) for column in weights)
        rows, interactions = 0.0 if counts_rows else None, 0.0 if share else None
        visits = visit_noise(schema, settings, math.inf) if in_time else None
        return Plan(
            schema, settings, None, None, exact, rows, None, 0.0, interactions, None, visits
        )
    delta = default_delta(schema.patients) if delta is None else delta
    budget = budget_left(schema, epsilon, delta)
    count_noise = None if schema.patients else noise_for(COUNT_SHARE * budget)
    counts = [*weights, (ROWS_WEIGHT,)] if counts_rows else [*weights]
    if in_time:
        counts += visit_weights(Timeline(schema), settings.bins)
    unit = settings.anchor_share * budget / sum(map(sum, counts))
    noises = noises_for(counts, settings.anchor_share * budget)
    plan = Plan(
        schema,
        settings,
        epsilon,
        delta,
        noises[: len(weights)],
        noises[len(weights)][0] if counts_rows else None,
        count_noise,
        1 / math.sqrt(settings.pair_share * budget),
        1 / math.sqrt(share * budget) if share else None,
        None,
        visit_noise(schema, settings, unit) if in_time else None,
    )
    return _with_the_rest(plan, budget) if in_time else plan


def _with_the_rest(plan: Plan, budget: float) -> Plan:
    """Return a plan of visits whose moments take what its counts leave, since no training follows.

    `BudgetError` where they leave nothing.
    """
    rest = budget * (1 - ROUNDING) - accounting.squared_mu((plan.marginals,))
    if rest < LEAST_LEFT * budget:
        raise BudgetError(
            f"anchor_share is {plan.settings.anchor_share:g}: the counts alone would spend epsilon "
            f"{plan.epsilon:g}, and hardly anything is left for the moments of visits; lower it."
        )
    return replace(plan, pair_noise=1 / math.sqrt(rest))


def visit_noise(schema: Schema, settings: Settings, unit: float) -> VisitNoise:
    """Return the noise of what is counted of visits, where a count of weight 1 costs `unit`."""
    visits, first, gap, moves = (
        tuple(0.0 if math.isinf(unit) else noise_for(weight * unit) for weight in weights)
        for weights in visit_weights(Timeline(schema), settings.bins)
    )
    return VisitNoise(visits, first, gap, moves)


def budget_left(schema: Schema, epsilon: float, delta: float) -> float:
    """Return the squared mu that a budget leaves a fit; `BudgetError` where it leaves nothing."""
    budget = accounting.gaussian_mu(epsilon, delta) ** 2
    left = budget - accounting.squared_mu(stages_before_fit(schema))
    if left < LEAST_LEFT * budget:
        spent = epsilon_before_fit(schema, delta) or 0.0
        raise BudgetError(
            f"epsilon is {epsilon:g}, of which the releases that the schema records have spent "
            f"{epsilon_text(spent)} (at delta {delta:g}, on choosing maxRows) before the fit, and "
            "hardly anything is left: use a larger epsilon."
        )
    return left


def training_draft(plan: Plan) -> guarantee.TrainingStage:
    """Return the training of a plan before its noise is calibrated to what the budget leaves."""
    patients, settings = plan.schema.patients, plan.settings
    return guarantee.TrainingStage(
        sampling_rate=settings.sampling_rate,
        noise_multiplier=1.0,
        steps=settings.steps,
        clip_norm=settings.clip_norm,
        expected_batch=settings.sampling_rate * (patients or ASSUMED_PATIENTS),
        sensitivity=settings.clip_norm,
        clipping="gradients scaled per patient to clip_norm",
        normaliser="declared patients" if patients else "noisily counted patients",
    )
