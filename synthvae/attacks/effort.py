"""How hard the attacks try at each depth: public numbers, so that the time does too."""

from dataclasses import dataclass

from synthvae.evaluation.values import Depth


@dataclass(frozen=True)
class Effort:
    """The sizes of one depth.

    Parameters
    ----------
    patients
        Members, non-members and patients of the reference: at most so many of each.
    published
        Synthetic rows that the attacker looks at, at most.
    secrets
        Columns that attribute inference guesses, at most.
    predicates
        Descriptions of each kind that singling out tries.
    trees
        Trees of the classifier.
    shadows, targets
        Models that the shadow attack trains at most, and records it aims at; 0 leaves it out.
    """

    patients: int
    published: int
    secrets: int
    predicates: int
    trees: int
    shadows: int = 0
    targets: int = 0


EFFORTS: dict[Depth, Effort] = {
    "screen": Effort(patients=1000, published=20_000, secrets=2, predicates=1000, trees=60),
    "standard": Effort(patients=2000, published=40_000, secrets=4, predicates=2000, trees=200),
    "deep": Effort(
        patients=10_000,
        published=100_000,
        secrets=16,
        predicates=5000,
        trees=500,
        shadows=40,
        targets=10,
    ),
}
