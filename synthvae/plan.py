"""A fit's plan: what will be released with which noise, fixed before the first look at the data.

`make_plan` divides the budget; `guarantee_of` states what a fit that followed the plan promises.
"""

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import numpy as np

from synthvae._runtime import code_digest
from synthvae._text import brief, delta_text, epsilon_text
from synthvae._types import Ints
from synthvae.errors import BudgetError, SchemaError
from synthvae.marginals.interactions import (
    InteractionQuery,
    affordable_factors,
    columns_of,
    is_declared,
)
from synthvae.marginals.measure import query_weights
from synthvae.precedence import declared_uses, favoured
from synthvae.privacy import accounting, guarantee
from synthvae.privacy.budget import COUNT_SHARE, check_budget, default_delta, noise_for, noises_for
from synthvae.schema import Schema
from synthvae.settings import ASSUMED_PATIENTS, Settings, settings_for

ROWS_WEIGHT = 0.25  # precision of the rows-per-patient counts, relative to one marginal
LEAST_LEFT = 0.01  # of the budget, in squared mu, that releases before a fit must leave
SOFTWARE = ("synthvae", "torch", "opacus", "dp-accounting", "opendp", "numpy")
# What the guarantee rests on: in the order in which an auditor would ask.
ASSUMPTIONS: dict[guarantee.AssumptionId, str] = {
    "computational-adversary": "nobody breaks the random numbers or learns the key: gradient noise, who "
    "takes part in a step, first weights and latents come from the stream cipher ChaCha20 under a key "
    "from the operating system, and the noise of counts and moments from the operating system's "
    "generator; so the privacy is computational (SIM-CDP, Mironov et al. 2009), and nothing is promised "
    "against an adversary who can break these or knows the key",
    "table-fits-schema": "the table fits the schema and has ten patients or more; one that does not, or "
    "has fewer, is refused before anything is spent, and the refusal is seen by the steward",
    "rows-beyond-max-rows": "rows of a patient beyond the schema's maxRows are not used; which ones are "
    "is a function of that patient and of a secret key, and depends on nobody else",
    "one-key-one-patient": "one key is one patient: whoever stands under two keys counts as two, and "
    "where the schema names no key each row counts as a patient",
    "public-inputs": "what is taken as public does not depend on the records: the schema, the declared "
    "number of patients, the budget and the settings",
    "declared-from-data": "{declared} were declared because the records show them, and nothing public "
    "does: what they tell of the records is covered by no epsilon, and everything else that the schema "
    "says is publicly known",
    "floating-point-residue": "the last bits of gradient noise, drawn and added in floating point, tell "
    "nothing, nor do the last bits of single precision that a patient's gradient owes to the company in "
    "which it is multiplied; noise of counts and moments is exact",
    "timing-and-memory-unobserved": "nobody observes the time, memory or other effects of the machine "
    "that fits",
    "single-fit": "this fit alone: other fits and releases from the same patients compose with it",
}
PAID_ROWS = (
    "; but for maxRows, which noisy numbers of patients decided: they are in the account, as what was "
    "released before the fit, and the schema records every such release"
)
PUBLIC_INPUTS = (
    "the schema: columns, types, bounds, categories, rules between columns, rows per patient, purposes",
    "the declared number of patients",
    "epsilon, delta and the settings, which the public rule derives from the above",
)
NOT_COVERED = (
    "what the schema itself says: bounds, categories, rules and purposes are taken as public",
    "that somebody's data were used at all, and the errors shown to whoever prepared the table",
    "inferences about a group, or about a person from what holds for people like them",
    "the evaluation, its scores and the training curve, which are computed from real records",
    "other releases made from the same data: their budgets add up and must be kept together",
    "the last bits of floating-point arithmetic: gradient noise is drawn in double precision from "
    "a cryptographic stream and is not exact, and a patient's gradient owes last bits of single "
    "precision to the company in which it is multiplied; counts and moments get exact discrete noise, "
    "accounted as continuous Gaussian (the difference is below 0.5 % of epsilon at the noise used)",
)


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
        columns = [noise for column in self.column_noise for noise in column]
        patients = [noise for noise in (self.rows_noise, self.count_noise) if noise is not None]
        rows = self.schema.rows_per_patient
        return guarantee.GaussianStage(
            queries=len(columns) + len(patients),
            noise_multipliers=(*columns, *patients),
            rows_per_patient=rows,
            sensitivities=(float(rows),) * len(columns) + (1.0,) * len(patients),
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
        return () if self.training is None else (*self.measured, self.training)

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
    if plan.epsilon is None or plan.delta is None:
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
    has_patients = schema.patientKey is not None
    if epsilon is None:
        exact = tuple((0.0,) * len(column) for column in weights)
        return Plan(
            schema,
            settings,
            None,
            None,
            exact,
            0.0 if has_patients else None,
            None,
            0.0,
            0.0 if settings.interaction_share else None,
            None,
        )
    delta = default_delta(schema.patients) if delta is None else delta
    budget = budget_left(schema, epsilon, delta)
    count_noise = None if schema.patients else noise_for(COUNT_SHARE * budget)
    groups = (*weights, (ROWS_WEIGHT,)) if has_patients else weights
    noises = noises_for(groups, settings.anchor_share * budget)
    column_noise = noises[: len(weights)]
    rows_noise = noises[-1][0] if has_patients else None
    pair_noise = 1 / math.sqrt(settings.pair_share * budget)
    share = settings.interaction_share
    return Plan(
        schema,
        settings,
        epsilon,
        delta,
        column_noise,
        rows_noise,
        count_noise,
        pair_noise,
        1 / math.sqrt(share * budget) if share else None,
        None,
    )


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


def guarantee_of(plan: Plan, patients: int, *, test_mode: bool) -> guarantee.Guarantee:
    """Return the guarantee of a fit that followed a plan, whose stages every epsilon is recomputed from.

    `patients` is the declared, or noisily counted, number of patients; `test_mode` says whether the
    noise came from a fixed seed, which voids the guarantee.
    """
    schema = plan.schema
    why_void = _why_void(plan, patients, test_mode)
    rows = schema.rows_per_patient
    unit = "one patient, of one row"
    if schema.patientKey is not None:
        key = " and ".join(f"'{name}'" for name in schema.key_columns)
        used = "is used" if rows == 1 else "are used"
        unit = f"one patient, all rows with one {key} (at most {rows} {used})"
    groups = plan.spent_by_groups()
    assumptions = assumptions_of(schema) if plan.is_private else {}
    return guarantee.Guarantee(
        valid=why_void is None,
        why_void=why_void,
        epsilon=plan.spent(),
        epsilon_budget=plan.epsilon,
        epsilon_before_fit=None if plan.delta is None else epsilon_before_fit(schema, plan.delta),
        delta=plan.delta,
        unit=unit,
        group_epsilon=groups,
        replace_epsilon=groups.get(2),  # one record removed and one added
        declared_patients=schema.patients,
        rows_per_patient=rows,
        accountant=accounting.ACCOUNTANT,
        second_opinion=plan.second_opinion(),
        stages=plan.stages,
        assumptions=tuple(guarantee.Assumption(id=i, text=text) for i, text in assumptions.items()),
        public_inputs=(*PUBLIC_INPUTS, *_favoured(schema), *_paid_inputs(schema, plan.delta)),
        not_covered=NOT_COVERED,
        schema_digest=schema.digest,
        code_sha256=code_digest(),
        software={name: version(name) for name in SOFTWARE} | {"python": platform.python_version()},
    )


def assumptions_of(schema: Schema) -> dict[guarantee.AssumptionId, str]:
    """Return what the guarantee of a fit rests on, with what was declared from the data, if anything."""
    declared = _declared_from_data(schema)
    assumptions = {
        key: text.format(declared=declared) if key == "declared-from-data" else text
        for key, text in ASSUMPTIONS.items()
        if declared or key != "declared-from-data"
    }
    if schema.releases:
        assumptions["public-inputs"] += PAID_ROWS
    return assumptions


def _declared_from_data(schema: Schema) -> str:
    """Return the columns and rules of a schema that the records alone show; empty where none is."""
    columns = [repr(one.name) for one in schema.fields if one.basis and one.basis.fromData]
    rules = [repr(rule.title) for rule in schema.rules if rule.basis and rule.basis.fromData]
    parts = (("the bounds or categories of", columns), ("the rules", rules))
    return " and ".join(f"{what} {', '.join(names)}" for what, names in parts if names)


def _favoured(schema: Schema) -> tuple[str, ...]:
    """Return what the guarantee says of the columns that come first."""
    kinds = "; ".join(favoured(schema))
    first = f"what comes first where not all sets of columns can be afforded, as declared: {kinds}"
    return (first,) if kinds else ()


def _paid_inputs(schema: Schema, delta: float | None) -> tuple[str, ...]:
    """Return what the guarantee says of the releases before the fit."""
    if delta is None or not schema.releases:
        return ()
    days = ", ".join(f"{release.on}" for release in schema.releases)
    spent = epsilon_text(epsilon_before_fit(schema, delta) or 0.0)
    return (
        f"before the fit, epsilon {spent} (at delta {delta_text(delta)}) was spent on choosing maxRows, "
        f"by a noisy histogram of rows per patient ({days}); the epsilon of this guarantee is of that "
        "and the fit together",
    )


def _why_void(plan: Plan, patients: int, test_mode: bool) -> str | None:
    if not plan.is_private:
        return "NOT PRIVATE: trained without differential privacy (epsilon: none)"
    if test_mode:
        return "TEST MODE: trained with a fixed seed, so the noise is predictable"
    if plan.delta is not None and plan.delta >= 1 / patients:
        return (
            f"delta {plan.delta:g} is not below 1/n for the noisily counted {patients} patients: "
            "declare the number of patients and use less"
        )
    return None
