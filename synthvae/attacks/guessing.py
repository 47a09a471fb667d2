"""Attacks that guess: a hidden value of a patient, and which halves of records belong together."""

import numpy as np
from scipy import sparse

from synthvae._types import Bools, Floats, Ints
from synthvae.attacks.findings import AttackFindings
from synthvae.attacks.gains import Guesses, gain_metric, worst_risk
from synthvae.attacks.kernel import Kernel, blocks
from synthvae.attacks.people import People, one_row_each
from synthvae.attacks.roc import not_run
from synthvae.evaluation.codes import Binning, binnings
from synthvae.evaluation.tables import Table

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
METRICS = (ATTRIBUTE, LINK)


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
