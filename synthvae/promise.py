"""What a fit promises: its guarantee in full, from its plan alone."""

import platform
from importlib.metadata import version

from synthvae.plan import Plan
from synthvae.privacy.accounting import ACCOUNTANT
from synthvae.privacy.guarantee import Guarantee
from synthvae.schema import Schema

SOFTWARE = ("synthvae", "torch", "opacus", "dp-accounting", "opendp", "numpy")
PUBLIC_INPUTS = (
    "the schema: columns, types, bounds, categories, rows per patient",
    "the declared number of patients",
    "epsilon, delta and the settings, which the public rule derives from the above",
)
NOT_COVERED = (
    "what the schema itself says: bounds and categories are taken as public",
    "that somebody's data were used at all, and the errors shown to whoever prepared the table",
    "inferences about a group, or about a person from what holds for people like them",
    "the evaluation, its scores and the training curve, which are computed from real records",
    "other releases made from the same data: their budgets add up and must be kept together",
    "the last bits of floating-point arithmetic: gradient noise is drawn in double precision from "
    "a cryptographic stream and is not exact; counts and moments get exact discrete noise, accounted as "
    "continuous Gaussian (the difference is below 0.5 % of epsilon at the noise used)",
)


def promise(plan: Plan, patients: int, *, test_mode: bool) -> Guarantee:
    """Return the guarantee of a fit that followed a plan.

    Parameters
    ----------
    plan
        What was released with which noise; the epsilon is recomputed from its stages.
    patients
        The declared, or noisily counted, number of patients.
    test_mode
        Whether the noise came from a fixed seed, which voids the guarantee.
    """
    schema = plan.schema
    why_void = _why_void(plan, patients, test_mode)
    return Guarantee(
        valid=why_void is None,
        why_void=why_void,
        epsilon=plan.spent(),
        epsilon_budget=plan.epsilon,
        delta=plan.delta,
        unit=_unit(schema),
        declared_patients=schema.patients,
        rows_per_patient=schema.rows_per_patient,
        accountant=ACCOUNTANT,
        stages=plan.stages,
        public_inputs=PUBLIC_INPUTS,
        not_covered=NOT_COVERED,
        schema_digest=schema.digest,
        software={name: version(name) for name in SOFTWARE} | {"python": platform.python_version()},
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


def _unit(schema: Schema) -> str:
    if schema.patientKey is None:
        return "one patient, of one row"
    most = schema.rows_per_patient
    return f"one patient, all rows with one '{schema.patientKey}' (at most {most} are used)"
