"""The one place where all attacks on a synthetic table are run."""

from collections.abc import Callable, Iterator

import numpy as np

from synthvae._runtime import Progress, silent
from synthvae._text import counted
from synthvae.attacks.density import Kernel
from synthvae.attacks.inference import ATTRIBUTE, LINK, infer_attributes, link_halves, single_out
from synthvae.attacks.membership import (
    CALIBRATED,
    CLASSIFIER,
    CLOSEST,
    DOMIAS,
    NEAR,
    attack_by_calibrated_neighbour,
    attack_by_classifier,
    attack_by_closest_record,
    attack_by_density,
    find_near_copies,
)
from synthvae.attacks.setup import (
    EFFORTS,
    AttackFindings,
    People,
    draw_people,
    joined,
    without_shared,
)
from synthvae.attacks.shadow import Retrain, attack_by_shadow_models
from synthvae.attacks.success import not_run
from synthvae.evaluation.results import Depth
from synthvae.evaluation.tables import Table, Tables

Step = tuple[str, Callable[[], AttackFindings]]


def run_attacks(
    tables: Tables,
    depth: Depth,
    generator: np.random.Generator,
    retrain: Retrain | None = None,
    progress: Progress = silent,
) -> AttackFindings:
    """Attack a synthetic table, in every way that is known to us, as hard as the depth says.

    Parameters
    ----------
    tables
        Train, holdout and synthetic rows. The holdout's patients are divided at random into
        non-members and the attacker's reference; no row of train is reference.
    depth
        `screen` and `standard` attack the table, with samples of different sizes; `deep` also
        trains shadow models.
    generator
        Draws samples: the same input and seed give the same findings, but for shadow models whose
        noise cannot be repeated.
    retrain
        Trains the same kind of generator on given rows, with a seed, and returns synthetic rows.
    progress
        Called with what is being done and the share that is done.

    Returns
    -------
    AttackFindings
        What an attack found, or, as a score without a value, why it did not run.
    """
    effort = EFFORTS[depth]
    # One stream for each attack: a change to one leaves the others' figures alone.
    streams = iter(generator.spawn(10))
    people = draw_people(tables, effort, next(streams))
    steps: list[Step] = (
        _nobody(people) if isinstance(people, str) else _on_people(people, tables, depth, streams)
    )
    singling, shadows = next(streams), next(streams)
    steps += [
        ("singling patients out", lambda: single_out(tables, effort, singling)),
        (
            "training shadow models",
            lambda: attack_by_shadow_models(tables, effort, retrain, shadows, last),
        ),
    ]

    def last(what: str, share: float) -> None:
        progress(what, (len(steps) - 1 + share) / len(steps))

    findings = []
    for place, (what, attack) in enumerate(steps):
        progress(what, place / len(steps))
        findings.append(attack())
    progress("attacks done", 1.0)
    return joined([*findings, AttackFindings(notes=_notes(tables))])


def _on_people(
    people: People, tables: Tables, depth: Depth, streams: Iterator[np.random.Generator]
) -> list[Step]:
    effort = EFFORTS[depth]
    kernel = Kernel(people.schema, _stacked(people.published, people.reference))
    first, second, third, fourth, fifth, sixth, seventh = (next(streams) for _ in range(7))
    return [
        (
            "looking for the closest records",
            lambda: attack_by_closest_record(people, tables, first),
        ),
        (
            "comparing distances with a reference",
            lambda: attack_by_calibrated_neighbour(people, second),
        ),
        ("comparing densities", lambda: attack_by_density(people, kernel, third)),
        ("training a classifier", lambda: attack_by_classifier(people, effort.trees, fourth)),
        (
            "guessing hidden values",
            lambda: infer_attributes(people, kernel, effort.secrets, fifth),
        ),
        ("linking halves of records", lambda: link_halves(people, kernel, sixth)),
        ("counting near copies", lambda: find_near_copies(people, seventh)),
    ]


def _nobody(reason: str) -> list[Step]:
    metrics = (*CLOSEST, *CALIBRATED, *DOMIAS, *CLASSIFIER, ATTRIBUTE, LINK, NEAR)
    return [("counting patients", lambda: not_run(metrics, reason))]


def _stacked(first: Table, second: Table) -> Table:
    return Table(
        np.concatenate((first.codes, second.codes)),
        np.concatenate((first.invalid, second.invalid)),
        np.arange(len(first) + len(second)),
    )


def _notes(tables: Tables) -> tuple[str, ...]:
    shared = without_shared(tables)[2]
    if not shared:
        return ()
    return (
        f"{counted(shared, 'patient')} in both train and holdout: the attacks leave them out, the "
        "other scores do not and flatter the synthetic table by that much.",
    )
