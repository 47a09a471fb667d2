"""What a fit promises: its guarantee in full, from its plan alone."""

import platform
from importlib.metadata import version

from synthvae._runtime import code_digest
from synthvae.plan import Plan
from synthvae.privacy.accounting import ACCOUNTANT
from synthvae.privacy.guarantee import Assumption, AssumptionId, Guarantee
from synthvae.schema import Schema

SOFTWARE = ("synthvae", "torch", "opacus", "dp-accounting", "opendp", "numpy")
# What the guarantee rests on: in the order in which an auditor would ask.
ASSUMPTIONS: dict[AssumptionId, str] = {
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
    "floating-point-residue": "the last bits of gradient noise, drawn and added in floating point, tell "
    "nothing, nor do the last bits of single precision that a patient's gradient owes to the company in "
    "which it is multiplied; noise of counts and moments is exact",
    "timing-and-memory-unobserved": "nobody observes the time, memory or other effects of the machine "
    "that fits",
    "single-fit": "this fit alone: other fits and releases from the same patients compose with it",
}
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
    "a cryptographic stream and is not exact, and a patient's gradient owes last bits of single "
    "precision to the company in which it is multiplied; counts and moments get exact discrete noise, "
    "accounted as continuous Gaussian (the difference is below 0.5 % of epsilon at the noise used)",
)


def guarantee_of(plan: Plan, patients: int, *, test_mode: bool) -> Guarantee:
    """Return the guarantee of a fit that followed a plan.

    Parameters
    ----------
    plan
        What was released with which noise; every epsilon is recomputed from its stages.
    patients
        The declared, or noisily counted, number of patients.
    test_mode
        Whether the noise came from a fixed seed, which voids the guarantee.
    """
    schema = plan.schema
    why_void = _why_void(plan, patients, test_mode)
    groups = plan.spent_by_groups()
    rests_on = ASSUMPTIONS if plan.is_private else {}
    return Guarantee(
        valid=why_void is None,
        why_void=why_void,
        epsilon=plan.spent(),
        epsilon_budget=plan.epsilon,
        delta=plan.delta,
        unit=_unit(schema),
        group_epsilon=groups,
        replace_epsilon=groups.get(2),  # one record removed and one added
        declared_patients=schema.patients,
        rows_per_patient=schema.rows_per_patient,
        accountant=ACCOUNTANT,
        second_opinion=plan.second_opinion(),
        stages=plan.stages,
        assumptions=tuple(Assumption(id=key, text=text) for key, text in rests_on.items()),
        public_inputs=PUBLIC_INPUTS,
        not_covered=NOT_COVERED,
        schema_digest=schema.digest,
        code_sha256=code_digest(),
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
