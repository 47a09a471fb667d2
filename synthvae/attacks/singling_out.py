"""Singling out: descriptions that fit one synthetic row, and exactly one patient of train."""

from dataclasses import dataclass

import numpy as np

from synthvae._types import Bools, Floats, Ints
from synthvae.attacks.effort import Effort
from synthvae.attacks.findings import AttackFindings
from synthvae.attacks.gains import Guesses, gain_metric, worst_risk
from synthvae.attacks.people import LEAST_PATIENTS, some_patients, without_shared
from synthvae.attacks.roc import not_run
from synthvae.evaluation.tables import Table, Tables, at_most
from synthvae.schema import Schema

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
METRICS = (SINGLED,)


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
