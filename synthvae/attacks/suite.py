"""All attacks on a synthetic table, in order, each with a stream of its own."""

from collections.abc import Callable
from functools import partial
from itertools import chain

import numpy as np

from synthvae._runtime import Progress, silent
from synthvae._text import counted
from synthvae.attacks import inference, membership, setup
from synthvae.attacks.shadow import SHADOW, Retrain, attack_by_shadow_models
from synthvae.attacks.success import not_run
from synthvae.config import Depth
from synthvae.evaluation.metric import Metric
from synthvae.evaluation.tables import Tables

CohortAttack = Callable[[setup.Cohort, np.random.Generator], setup.AttackFindings]

# What is being done, the attack, and its records.
ON_COHORT: tuple[tuple[str, CohortAttack, tuple[Metric, ...]], ...] = (
    ("looking for the closest records", membership.attack_by_closest_record, membership.CLOSEST),
    (
        "comparing distances with a reference",
        membership.attack_by_calibrated_neighbour,
        membership.CALIBRATED,
    ),
    ("comparing densities", membership.attack_by_density, membership.DOMIAS),
    ("training a classifier", membership.attack_by_classifier, membership.CLASSIFIER),
    ("guessing hidden values", inference.infer_attributes, (inference.ATTRIBUTE,)),
    ("linking halves of records", inference.link_halves, (inference.LINK,)),
    ("counting near copies", membership.find_near_copies, (membership.NEAR,)),
)
# By the key of the attack. Its place decides its random numbers: new ones come last.
STREAMS = (
    *("cohort", "closest_record", "calibrated_neighbour", "domias", "classifier"),
    *("attribute_inference", "linkability", "near_copies", "singling_out", "shadow"),
    "exact_copies",
)


def attack_metrics() -> tuple[Metric, ...]:
    """Return the records of all attacks."""
    return (
        *(metric for *_, records in ON_COHORT for metric in records),
        *(inference.SINGLED, membership.EXACT),
        *SHADOW,
    )


def run_attacks(
    tables: Tables,
    depth: Depth,
    generator: np.random.Generator,
    retrain: Retrain | None = None,
    progress: Progress = silent,
) -> setup.AttackFindings:
    """Attack a synthetic table in every way known to us, as hard as the depth says.

    An attack that does not run says why, by scores without a value.

    Parameters
    ----------
    tables
        Train, holdout and synthetic rows.
    depth
        `screen` and `standard` attack the table, with samples of different sizes; `deep` also
        trains shadow models.
    generator
        Draws samples: the same input and seed give the same findings, except for shadow models whose
        noise cannot be repeated.
    retrain
        Trains the same kind of generator on given rows, with a seed, and returns synthetic rows.
    """
    effort = setup.EFFORTS[depth]
    # One stream for each attack: a change to one leaves the others' figures alone.
    streams = dict(zip(STREAMS, generator.spawn(len(STREAMS)), strict=True))
    cohort = setup.draw_cohort(tables, effort, streams["cohort"])
    steps: list[tuple[str, Callable[[], setup.AttackFindings]]]
    if isinstance(cohort, str):
        metrics = [metric for *_, records in ON_COHORT for metric in records]
        steps = [("counting patients", partial(not_run, metrics, cohort))]
    else:
        steps = [
            (what, partial(attack, cohort, streams[records[0].attack]))
            for what, attack, records in ON_COHORT
        ]
    singling = partial(inference.single_out, tables, effort, streams[inference.SINGLED.attack])
    steps.append(("singling patients out", singling))
    steps.append(("counting copies", partial(membership.find_exact_copies, tables)))

    def shadow_progress(what: str, share: float) -> None:
        progress(what, (len(steps) - 1 + share) / len(steps))

    shadow = partial(
        attack_by_shadow_models, tables, effort, retrain, streams["shadow"], shadow_progress
    )
    steps.append(("training shadow models", shadow))
    findings = []
    for number, (what, attack) in enumerate(steps):
        progress(what, number / len(steps))
        findings.append(attack())
    progress("attacks done", 1.0)
    shared = len(setup.shared_patients(tables))
    note = (
        f"{counted(shared, 'patient')} in both train and holdout: the attacks leave them out, the "
        "other scores do not and flatter the synthetic table by that much."
    )
    return setup.AttackFindings(
        tuple(chain.from_iterable(each.attacks for each in findings)),
        tuple(chain.from_iterable(each.risks for each in findings)),
        tuple(chain.from_iterable(each.scores for each in findings)),
        (note,) if shared else (),
    )
