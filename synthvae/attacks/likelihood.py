"""Attacks by likelihood: records that the synthetic table makes likelier than the population does."""

import numpy as np

from synthvae._types import Floats
from synthvae.attacks.findings import AttackFindings
from synthvae.attacks.kernel import Kernel
from synthvae.attacks.people import People, by_patient
from synthvae.attacks.roc import membership_attack, membership_metrics
from synthvae.evaluation.learners import tree_features
from synthvae.evaluation.tables import Table

_DOMIAS = (
    "Guesses that patients were in train whose records are likelier under the synthetic table than "
    "in a reference sample of the population: where a generator has learnt its rows by heart, the "
    "density is raised around them."
)
DOMIAS = membership_metrics("domias", "Membership attack by density ratio", (_DOMIAS, _DOMIAS))
_CLASSIFIER = (
    "Guesses that patients were in train whose records look synthetic to a classifier that has "
    "learnt to tell synthetic rows from a reference sample of the population."
)
CLASSIFIER = membership_metrics(
    "classifier", "Membership attack by classifier", (_CLASSIFIER, _CLASSIFIER)
)
METRICS = (*DOMIAS, *CLASSIFIER)


def attack_by_density(
    people: People, kernel: Kernel, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by log p(record | synthetic) − log p(record | reference).

    A patient's rows count by the mean of their log ratios.

    References
    ----------
    van Breugel et al. 2023, "Membership Inference Attacks against Synthetic Data through
    Overfitting Detection" (DOMIAS), AISTATS, section 4. The density is `Kernel`, which is made for
    mixed columns, in place of theirs.
    """
    known, reference = (kernel.tokens(table) for table in (people.published, people.reference))

    def score(table: Table) -> Floats:
        asked = kernel.tokens(table)
        ratio = kernel.log_density(asked, known) - kernel.log_density(asked, reference)
        return by_patient(ratio, table)

    return membership_attack(
        DOMIAS,
        "Density ratio (DOMIAS)",
        (score(people.members), score(people.others)),
        generator,
        detail=people.sizes,
    )


def attack_by_classifier(
    people: People, trees: int, generator: np.random.Generator
) -> AttackFindings:
    """Guess who was in train by a classifier's odds that their record is synthetic.

    Extremely randomised trees, grown to single rows: they remember where every synthetic row is,
    and so found copies, noisy copies and the rows of an over-fitted VAE where boosted trees found
    little (docs/attacks.md). A patient's rows count by the mean of their log odds.

    References
    ----------
    Hayes et al. 2019, "LOGAN: Membership Inference Attacks Against Generative Models", PoPETs,
    section 4 (a discriminator with auxiliary knowledge); the trees: Geurts, Ernst & Wehenkel 2006,
    Machine Learning 63.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from threadpoolctl import threadpool_limits

    fields = people.schema.modelled
    known, reference = (
        tree_features(table.codes, fields) for table in (people.published, people.reference)
    )
    labels = np.repeat([1, 0], [len(known), len(reference)])
    model = ExtraTreesClassifier(
        trees, class_weight="balanced", random_state=int(generator.integers(2**31)), n_jobs=1
    )
    sides = []
    with threadpool_limits(limits=1):
        model.fit(_filled(np.concatenate((known, reference))), labels)
        for table in (people.members, people.others):
            chance = model.predict_proba(_filled(tree_features(table.codes, fields)))[:, 1]
            smoothed = (chance * trees + 0.5) / (trees + 1)
            sides.append(by_patient(np.log(smoothed / (1 - smoothed)), table))
    return membership_attack(
        CLASSIFIER,
        "Classifier of synthetic against real rows",
        (sides[0], sides[1]),
        generator,
        detail=f"{trees:,} randomised trees. {people.sizes}",
    )


def _filled(features: Floats) -> Floats:
    """Return features with missing cells below every value: codes begin at 0."""
    return np.where(np.isnan(features), -1.0, features)
