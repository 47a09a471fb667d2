"""Attacks that guess: a hidden value, the other half of a record, a predicate that fits one patient.

The last two in the sense of the Article 29 Working Party 2014, Opinion 05/2014 on Anonymisation
Techniques (WP216), section 2.2. For the sense, not the methods: Giomi et al. 2023, "A Unified Framework
for Quantifying Privacy Risk in Synthetic Data", PoPETs.
"""

import numpy as np
from scipy import sparse, special

from synthvae._types import Bools, Floats, Ints
from synthvae.attacks import setup
from synthvae.attacks.density import Kernel, blocks, mid_ranks
from synthvae.attacks.success import gain_metric, not_run, worst_risk
from synthvae.evaluation.tables import Binning, Table, Tables, at_most, binnings
from synthvae.schema import Schema

DECOYS = 49
NEAR = 0.05  # how far a number's rank may be off and still fit a predicate
MANY = 2 / 3  # share of the columns that a long predicate names
LEAST_PREDICATES = 20
MORE = 5  # times the other attacks' number of patients: more of them are copied

ATTRIBUTE = gain_metric(
    "attribute_inference",
    "Attribute inference",
    "How much more often somebody who knows all other columns of a patient guesses a hidden one "
    "rightly from the synthetic table for patients of train than for patients of the holdout. What "
    "can be guessed for both is what the table says about the population, and is meant to be learnt.",
)
LINK = gain_metric(
    "linkability",
    "Linkability",
    "Somebody holds one half of a patient's columns, and 50 candidates' other halves, of which one is "
    "the patient's. How much more often the synthetic table lets them find it for patients of train "
    "than for patients of the holdout. In the sense of the Article 29 Working Party's Opinion "
    "05/2014: linking two records of the same person.",
)
SINGLED = gain_metric(
    "singling_out",
    "Singling out",
    "Somebody reads descriptions off the synthetic table that fit one row of it. How much more often "
    "such a description fits exactly one patient of train than exactly one of as many patients of "
    "the holdout. In the sense of the Article 29 Working Party's Opinion 05/2014: isolating one "
    "person in a data set.",
)
Predicate = tuple[Ints, Floats, Floats]  # columns, with the lowest and highest positions that fit


def infer_attributes(cohort: setup.Cohort, generator: np.random.Generator) -> setup.AttackFindings:
    """Guess hidden columns by the vote of synthetic rows, each with its kernel weight.

    Secrets are the schema's targets, then the columns that the reference says are hardest to guess.
    A number is guessed rightly if its tenth of the reference's values is. The worst column counts.

    References
    ----------
    Yeom et al. 2018, "Privacy Risk in Machine Learning", CSF, section IV (advantage of members over
    non-members); Stadler, Oprisanu & Troncoso 2022, "Synthetic Data - Anonymisation Groundhog Day",
    USENIX Security, section 6.
    """
    fields = cohort.schema.modelled
    if len(fields) < 2:
        return not_run((ATTRIBUTE,), "needs two columns: one to know and one to guess")
    cuts = binnings(cohort.reference, cohort.schema)
    secrets = _secrets(cohort, cuts)
    sides = [
        _guess_secrets(cohort, cuts, secrets, setup.one_row_per_patient(side, generator))
        for side in cohort.sides
    ]
    variants = {fields[j].name: right for j, *right in zip(secrets, *sides, strict=True)}
    detail = f"The column guessed is '{{worst}}', of {len(secrets)} tried. {cohort.sizes}"
    return worst_risk(ATTRIBUTE, variants, detail)


def _secrets(cohort: setup.Cohort, cuts: tuple[Binning, ...]) -> list[int]:
    """Return the columns to guess, as places among the modelled ones."""
    fields, reference = cohort.schema.modelled, cohort.reference
    targets = {target.column for target in cohort.schema.target}
    modes = [
        np.bincount(cut.tokens(reference.codes[:, j])).max() / len(reference)
        for j, cut in enumerate(cuts)
    ]
    order = sorted(range(len(fields)), key=lambda j: (fields[j].name not in targets, modes[j]))
    return order[: cohort.effort.secrets]


def _guess_secrets(
    cohort: setup.Cohort, cuts: tuple[Binning, ...], secrets: list[int], patients: Table
) -> list[Bools]:
    """Return for each secret which patients' values the synthetic rows' vote guesses."""
    kernel = cohort.kernel
    known, queries = kernel.tokens(cohort.synthetic), kernel.tokens(patients)
    votes = [_votes(cuts[j], cohort.synthetic.codes[:, j]) for j in secrets]
    truth = [cuts[j].tokens(patients.codes[:, j]) for j in secrets]
    right: list[list[Bools]] = [[] for _ in secrets]
    for part in blocks(len(queries), len(known)):
        logs = kernel.log_weights(queries[part], known)
        for place, j in enumerate(secrets):
            others = logs - kernel.log_weights(queries[part], known, np.array([j]))
            weights = np.exp(others - others.max(axis=1, keepdims=True))
            guesses = np.asarray((votes[place] @ weights.T).argmax(axis=0)).ravel()
            right[place].append(guesses == truth[place][part])
    return [np.concatenate(parts) for parts in right]


def _votes(cut: Binning, codes: Ints) -> sparse.csr_matrix:
    """Return which value each synthetic row votes for, shape (levels, rows)."""
    rows = len(codes)
    return sparse.csr_matrix(
        (np.ones(rows, np.float32), (cut.tokens(codes), np.arange(rows))), shape=(cut.levels, rows)
    )


def link_halves(cohort: setup.Cohort, generator: np.random.Generator) -> setup.AttackFindings:
    """Find the other half of a patient's record among decoys, through the synthetic table.

    The columns are divided at random into halves *a* and *b*. The attacker links *a* to the
    candidate *b* with the largest p(a, b) / (p(a) p(b)) under the synthetic table: the candidates
    are the patient's own half and those of 49 patients of the reference, the same ones for members
    and for others.
    """
    columns = len(cohort.schema.modelled)
    if columns < 2:
        return not_run((LINK,), "needs two columns: one for each half")
    order = generator.permutation(columns)
    halves = np.sort(order[: columns // 2]), np.sort(order[columns // 2 :])
    kernel = cohort.kernel
    known = kernel.tokens(cohort.synthetic)
    strangers = setup.one_row_per_patient(cohort.reference, generator)
    decoys = kernel.tokens(strangers.take(generator.permutation(len(strangers))[:DECOYS]))
    sides = [
        _link(
            kernel, kernel.tokens(setup.one_row_per_patient(side, generator)), decoys, known, halves
        )
        for side in cohort.sides
    ]
    return worst_risk(
        LINK,
        {"": sides},
        f"Halves of {len(halves[0])} and {len(halves[1])} columns, {len(decoys)} decoys; guessing "
        f"at random is right {1 / (len(decoys) + 1):.3f} of the time. {cohort.sizes}",
    )


def _link(
    kernel: Kernel, records: Ints, decoys: Ints, known: Ints, halves: tuple[Ints, Ints]
) -> Bools:
    """Return for which records the own other half beats all decoys."""

    def posterior(queries: Ints, columns: Ints) -> Floats:
        """Return weights that sum to 1 over the synthetic rows."""
        logs = kernel.log_weights(queries, known, columns)
        return np.asarray(special.softmax(logs.astype(float), axis=1))

    first, second = halves
    others = posterior(decoys, second)
    right = []
    for part in blocks(len(records), len(known)):
        own = posterior(records[part], first)
        match = (own * posterior(records[part], second)).sum(axis=1)
        right.append(match > (own @ others.T).max(axis=1))
    return np.concatenate(right)


def single_out(
    tables: Tables, effort: setup.Effort, generator: np.random.Generator
) -> setup.AttackFindings:
    """Try predicates of three kinds on train and on a control of the same size.

    Rare values: a value of one column, or an end of its range, that one synthetic row has. Short:
    random columns of a random synthetic row, one more until no other row fits; a number fits if its
    rank is within 5 % of the column. Long: two thirds of the columns of such a row. The kind that
    gains most counts. A patient fits if one of their rows does.

    References
    ----------
    Cohen & Nissim 2020, "Towards formalizing the GDPR's notion of singling out", PNAS 117 (why the
    rate has to be compared with that of a control).
    """
    train, holdout = setup.without_shared(tables)
    number = min(train.patient_count, holdout.patient_count, MORE * effort.patients)
    if number < setup.LEAST_PATIENTS:
        return not_run(
            (SINGLED,),
            f"needs {setup.LEAST_PATIENTS} patients each in train and holdout who are not in the other; "
            f"there are {number}",
        )
    sides = [
        setup.sample_patients(table, np.unique(table.patients), number, generator)
        for table in (train, holdout)
    ]
    synthetic = at_most(tables.synthetic, effort.synthetic_rows, generator)
    base = _positions(synthetic, synthetic, tables.schema)
    kinds = {
        "rare values of one column": _rare(base, effort.predicates, generator),
        "a few columns": _conjunctions(base, effort.predicates, 0.0, generator),
        "most columns": _conjunctions(base, effort.predicates, MANY, generator),
    }
    placed = [(_positions(side, synthetic, tables.schema), side.patients) for side in sides]
    variants = {
        kind: [_isolates(predicates, *side) for side in placed]
        for kind, predicates in kinds.items()
        if len(predicates) >= LEAST_PREDICATES
    }
    if not variants:
        return not_run(
            (SINGLED,),
            f"fewer than {LEAST_PREDICATES} descriptions of each kind fit one synthetic row only",
        )
    return worst_risk(
        SINGLED,
        variants,
        f"The kind of description is '{{worst}}', tried on {number:,} patients of train, drawn from "
        f"{train.patient_count:,}, and on as many of the holdout. Counts are of descriptions.",
    )


def _positions(table: Table, base: Table, schema: Schema) -> Floats:
    """Return cells as positions: numbers by their rank in the base, 0 to 1; all else, far apart.

    Two positions of one column are within `NEAR` of each other where the cells are alike.
    """
    columns = []
    for field, codes, scale in zip(schema.modelled, table.codes.T, base.codes.T, strict=True):
        ranked = field.is_lattice
        columns.append(
            np.where(codes >= 0, mid_ranks(codes, scale), codes - 1.0) if ranked else codes
        )
    return np.column_stack(columns).astype(float)


def _rare(base: Floats, most: int, generator: np.random.Generator) -> list[Predicate]:
    """Return predicates of one column that fit one row: single values, and both ends."""
    found: list[Predicate] = []
    for j, column in enumerate(base.T):
        values, counts = np.unique(column, return_counts=True)
        for value in values[counts == 1]:
            low = -np.inf if value == values[0] else value
            high = np.inf if value == values[-1] else value
            found.append((np.array([j]), np.array([low]), np.array([high])))
    return [found[i] for i in generator.permutation(len(found))[:most]]


def _conjunctions(
    base: Floats, most: int, share: float, generator: np.random.Generator
) -> list[Predicate]:
    """Return predicates of several columns, at least that share of them, that fit one row."""
    rows, columns = base.shape
    found: list[Predicate] = []
    for row in generator.permutation(rows)[:most]:
        order = generator.permutation(columns)
        low, high = base[row, order] - NEAR, base[row, order] + NEAR
        alike = np.arange(rows)
        for last, j in enumerate(order):
            cells = base[alike, j]
            alike = alike[(cells >= low[last]) & (cells <= high[last])]
            length = last + 1
            if len(alike) == 1 and length >= share * columns:
                found.append((order[:length], low[:length], high[:length]))
                break
    return found


def _isolates(predicates: list[Predicate], positions: Floats, patients: Ints) -> Bools:
    """Return which predicates fit exactly one patient."""
    isolated = []
    for predicate in predicates:
        rows = np.arange(len(positions))
        for j, low, high in zip(*predicate, strict=True):
            cells = positions[rows, j]
            rows = rows[(cells >= low) & (cells <= high)]
        isolated.append(len(np.unique(patients[rows])) == 1)
    return np.array(isolated)
