"""What a fit that followed its plan promises: the guarantee, with what it rests on."""

import platform
from importlib.metadata import version

from synthvae._runtime import code_digest
from synthvae._text import delta_text, epsilon_text
from synthvae.plan import Plan, epsilon_before_fit
from synthvae.precedence import favoured
from synthvae.privacy import accounting, guarantee
from synthvae.schema import Schema

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
