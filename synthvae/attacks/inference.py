"""Attacks that guess: a hidden value of a patient, and which halves of records belong together."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from synthvae._types import Bools, Floats, Ints
from synthvae.attacks.density import Kernel, blocks
from synthvae.attacks.setup import (
    LEAST_PATIENTS,
    AttackFindings,
    Effort,
    People,
    one_row_each,
    some_patients,
    without_shared,
)
from synthvae.attacks.success import Guesses, gain_metric, not_run, worst_risk
from synthvae.evaluation.tables import Binning, Table, Tables, at_most, binnings
from synthvae.schema import Schema

DECOYS = 49

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
NEAR = 0.05  # how far a number's rank may be off and still fit a description
MANY = 2 / 3  # share of the columns that a long description names
LEAST_PREDICATES = 20
MORE = 5  # times as many patients as the other attacks look at: more of them are copied

SINGLED = gain_metric(
    "singling_out",
    "Singling out",
    "Somebody reads descriptions off the synthetic table that fit one row of it. How much more often "
    "such a description fits exactly one patient of train than exactly one of as many patients of "
    "the holdout. In the sense of the Article 29 Working Party's Opinion 05/2014: isolating one "
    "person in a data set.",
)
METRICS = (ATTRIBUTE, LINK, SINGLED)


def infer_attributes(
    people: People, kernel: Kernel, secrets: int, generator: np.random.Generator
) -> AttackFindings:
    """Guess hidden columns by the vote of synthetic rows, each with its kernel weight.

    Secrets are the schema's targets, then the columns that the reference says are hardest to guess.
    A number is guessed rightly if its tenth of the reference's values is. The worst column counts.

    References
    ----------
    Yeom et al. 2018, "Privacy Risk in Machine Learning", CSF, section IV (advantage of members over
    non-members); Stadler, Oprisanu & Troncoso 2022, "Synthetic Data - Anonymisation Groundhog Day",
    USENIX Security, section 6.
    """
    fields = people.schema.modelled
    if len(fields) < 2:
        return not_run((ATTRIBUTE,), "needs two columns: one to know and one to guess")
    cuts = binnings(people.reference, people.schema)
    hidden = _secrets(people, cuts, secrets)
    sides = [
        _right(people, kernel, cuts, hidden, one_row_each(side, generator))
        for side in (people.members, people.others)
    ]
    tried = {
        fields[j].name: Guesses(members, others)
        for j, members, others in zip(hidden, *sides, strict=True)
    }
    return worst_risk(
        "attribute_inference",
        ATTRIBUTE,
        "Attribute inference",
        tried,
        f"The column guessed is '{{worst}}', of {len(hidden)} tried. {_escaped(people.sizes)}",
    )


def _secrets(people: People, cuts: tuple[Binning, ...], most: int) -> list[int]:
    """Return the columns to guess, as places among the modelled ones."""
    fields = people.schema.modelled
    targets = {target.column for target in people.schema.target}
    surprise = [
        1 - np.bincount(cut.tokens(people.reference.codes[:, j])).max() / len(people.reference)
        for j, cut in enumerate(cuts)
    ]
    order = sorted(range(len(fields)), key=lambda j: (fields[j].name not in targets, -surprise[j]))
    return order[:most]


def _right(
    people: People, kernel: Kernel, cuts: tuple[Binning, ...], hidden: list[int], asked: Table
) -> list[Bools]:
    """Return for each hidden column which patients' values the synthetic rows' vote guesses."""
    known, queries = kernel.tokens(people.published), kernel.tokens(asked)
    votes = [_ballots(cuts[j], people.published.codes[:, j]) for j in hidden]
    truth = [cuts[j].tokens(asked.codes[:, j]) for j in hidden]
    right: list[list[Bools]] = [[] for _ in hidden]
    for part in blocks(len(queries), len(known)):
        logs = kernel.log_weights(queries[part], known)
        for place, j in enumerate(hidden):
            others = logs - kernel.log_weights(queries[part], known, np.array([j]))
            weights = np.exp(others - others.max(axis=1, keepdims=True))
            guessed = np.asarray((votes[place] @ weights.T).argmax(axis=0)).ravel()
            right[place].append(guessed == truth[place][part])
    return [np.concatenate(parts) for parts in right]


def _ballots(cut: Binning, codes: Ints) -> sparse.csr_matrix:
    """Return which value each synthetic row votes for, shape (levels, rows)."""
    rows = len(codes)
    return sparse.csr_matrix(
        (np.ones(rows, np.float32), (cut.tokens(codes), np.arange(rows))), shape=(cut.levels, rows)
    )


def link_halves(people: People, kernel: Kernel, generator: np.random.Generator) -> AttackFindings:
    """Find the other half of a patient's record among decoys, through the synthetic table.

    The columns are divided at random into halves *a* and *b*. The attacker links *a* to the
    candidate *b* with the largest p(a, b) / (p(a) p(b)) under the synthetic table: the candidates
    are the patient's own half and those of 49 patients of the reference, the same ones for members
    and for others.

    References
    ----------
    Article 29 Working Party 2014, Opinion 05/2014 on Anonymisation Techniques (WP216), section 2.2;
    for the sense, not the method: Giomi et al. 2023, "A Unified Framework for Quantifying Privacy
    Risk in Synthetic Data", PoPETs.
    """
    columns = len(people.schema.modelled)
    if columns < 2:
        return not_run((LINK,), "needs two columns: one for each half")
    order = generator.permutation(columns)
    halves = np.sort(order[: columns // 2]), np.sort(order[columns // 2 :])
    known = kernel.tokens(people.published)
    strangers = one_row_each(people.reference, generator)
    chosen = generator.permutation(len(strangers))[:DECOYS]
    decoys = kernel.tokens(strangers.take(chosen))
    sides = [
        _linked(kernel, kernel.tokens(one_row_each(side, generator)), decoys, known, halves)
        for side in (people.members, people.others)
    ]
    return worst_risk(
        "linkability",
        LINK,
        "Linkability",
        {"": Guesses(sides[0], sides[1])},
        f"Halves of {len(halves[0])} and {len(halves[1])} columns, {len(decoys)} decoys; guessing "
        f"at random is right {1 / (len(decoys) + 1):.3f} of the time. {people.sizes}",
    )


def _linked(
    kernel: Kernel, asked: Ints, decoys: Ints, known: Ints, halves: tuple[Ints, Ints]
) -> Bools:
    """Return for which records the own other half beats all decoys."""
    first, second = halves
    others = _weights(kernel, decoys, known, second)
    right = []
    for part in blocks(len(asked), len(known)):
        own = _weights(kernel, asked[part], known, first)
        rest = _weights(kernel, asked[part], known, second)
        mine = (own * rest).sum(axis=1)
        theirs = (own @ others.T).max(axis=1)
        right.append(mine > theirs)
    return np.concatenate(right)


def _weights(kernel: Kernel, asked: Ints, known: Ints, columns: Ints) -> Floats:
    """Return weights that sum to 1 over the synthetic rows."""
    logs = kernel.log_weights(asked, known, columns).astype(float)
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


@dataclass(frozen=True)
class Description:
    """Bounds on the positions of some columns: a row fits if all of them hold."""

    columns: Ints
    low: Floats
    high: Floats

    def fits(self, positions: Floats) -> Ints:
        """Return the rows that fit, by number."""
        rows = np.arange(len(positions))
        for j, low, high in zip(self.columns, self.low, self.high, strict=True):
            cells = positions[rows, j]
            rows = rows[(cells >= low) & (cells <= high)]
        return rows


def single_out(tables: Tables, effort: Effort, generator: np.random.Generator) -> AttackFindings:
    """Try descriptions of three kinds on train and on a control of the same size.

    Rare values: a value of one column, or an end of its range, that one synthetic row has. Short:
    as many random columns of a random synthetic row as it takes until no other row fits; a number
    fits if its rank is within 5 % of the column. Long: two thirds of the columns of such a row. The
    kind that gains most counts. A patient fits if one of their rows does.

    References
    ----------
    Article 29 Working Party 2014, Opinion 05/2014 on Anonymisation Techniques (WP216), section 2.2;
    Cohen & Nissim 2020, "Towards formalizing the GDPR's notion of singling out", PNAS 117 (why the
    rate has to be compared with that of a control). For the sense, not the method: Giomi et al.
    2023, "A Unified Framework for Quantifying Privacy Risk in Synthetic Data", PoPETs.
    """
    train, holdout, _ = without_shared(tables)
    number = min(train.patient_count, holdout.patient_count, MORE * effort.patients)
    if number < LEAST_PATIENTS:
        return not_run(
            (SINGLED,),
            f"needs {LEAST_PATIENTS} patients each in train and holdout who are not in the other; "
            f"there are {number}",
        )
    sides = [
        some_patients(table, np.unique(table.patients), number, generator)
        for table in (train, holdout)
    ]
    published = at_most(tables.synthetic, effort.published, generator)
    frame = positions(published, published, tables.schema)
    kinds = {
        "rare values of one column": _rare(frame, effort.predicates, generator),
        "a few columns": _conjunctions(frame, effort.predicates, 0.0, generator),
        "most columns": _conjunctions(frame, effort.predicates, MANY, generator),
    }
    placed = [positions(side, published, tables.schema) for side in sides]
    tried = {
        kind: Guesses(
            *(_isolates(found, cells, t.patients) for cells, t in zip(placed, sides, strict=True))
        )
        for kind, found in kinds.items()
        if len(found) >= LEAST_PREDICATES
    }
    if not tried:
        return not_run(
            (SINGLED,),
            f"fewer than {LEAST_PREDICATES} descriptions of each kind fit one synthetic row only",
        )
    return worst_risk(
        "singling_out",
        SINGLED,
        "Singling out",
        tried,
        f"The kind of description is '{{worst}}', tried on {number:,} patients of train, drawn from "
        f"{train.patient_count:,}, and on as many of the holdout. Counts are of descriptions.",
    )


def positions(table: Table, frame: Table, schema: Schema) -> Floats:
    """Return cells as positions: numbers by their rank in the frame, 0 to 1; all else, far apart.

    Two positions of one column are within `NEAR` of each other where the cells are alike.
    """
    columns = []
    for j, field in enumerate(schema.modelled):
        codes = table.codes[:, j]
        if not field.is_lattice:
            columns.append(codes.astype(float))
            continue
        present = np.sort(frame.codes[frame.codes[:, j] >= 0, j])
        below, upto = (np.searchsorted(present, codes, side) for side in ("left", "right"))
        ranks = (below + upto) / (2 * max(1, len(present)))
        columns.append(np.where(codes >= 0, ranks, codes - 1.0))
    return np.column_stack(columns)


def _rare(frame: Floats, most: int, generator: np.random.Generator) -> list[Description]:
    """Return descriptions of one column that fit one row: single values, and both ends."""
    found = []
    for j in range(frame.shape[1]):
        values, counts = np.unique(frame[:, j], return_counts=True)
        for value in values[counts == 1]:
            low = -np.inf if value == values[0] else value
            high = np.inf if value == values[-1] else value
            found.append(Description(np.array([j]), np.array([low]), np.array([high])))
    return [found[i] for i in generator.permutation(len(found))[:most]]


def _conjunctions(
    frame: Floats, most: int, share: float, generator: np.random.Generator
) -> list[Description]:
    """Return descriptions of several columns, at least such a share of them, that fit one row."""
    rows, columns = frame.shape
    found = []
    for row in generator.permutation(rows)[:most]:
        order = generator.permutation(columns)
        whole = Description(order, frame[row, order] - NEAR, frame[row, order] + NEAR)
        alike = np.arange(rows)
        for named in range(1, columns + 1):
            last = named - 1
            cells = frame[alike, order[last]]
            alike = alike[(cells >= whole.low[last]) & (cells <= whole.high[last])]
            if len(alike) == 1 and named >= share * columns:
                found.append(Description(order[:named], whole.low[:named], whole.high[:named]))
                break
    return found


def _isolates(found: list[Description], cells: Floats, patients: Ints) -> Bools:
    """Return which descriptions fit exactly one patient."""
    return np.array([len(np.unique(patients[each.fits(cells)])) == 1 for each in found])
