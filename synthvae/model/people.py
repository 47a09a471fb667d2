"""Records of whole patients from a model of visits: blocks of patients, each of whom keeps the rules."""

import warnings
from collections.abc import Callable

import numpy as np

from synthvae._runtime import Progress
from synthvae._text import counted
from synthvae._types import Bools, Ints
from synthvae.errors import ConfigError, RedrawnWarning
from synthvae.model.histories import Histories, HistorySampler
from synthvae.model.sampling import block_generator, repeated_rows
from synthvae.timeline import Timeline

BLOCK = 16_384  # visits drawn at once, about
MOST_CELLS = 2**25  # visits times tokens of the widest column
MOST_EMPTY = (
    8  # blocks without a patient who keeps the rules, after which that counts as impossible
)
OFTEN = 0.05  # share of patients that were left out, from which on it is said


def draw_people(
    sampler: HistorySampler,
    rows: int,
    seed: int,
    progress: Progress,
    wanted: Callable[[Histories, Ints], Bools] | None = None,
) -> tuple[Ints, Ints]:
    """Draw whole patients with at most so many visits together, one patient at least.

    Parameters
    ----------
    wanted
        Says which patients are asked for, shape (patients,), from histories and the codes of the
        schema's columns; others are drawn again.

    Returns
    -------
    tuple
        Codes of the columns that the schema models, shape (visits, columns), and the patient of each
        visit, from 0, shape (visits,).

    Raises
    ------
    ConfigError
        No patient of the model keeps the rules, or is one that is asked for.

    Warns
    -----
    RedrawnWarning
        Many patients ran into a dead end of the rules, and others were drawn in their place.
    """
    timeline, layout = sampler.timeline, sampler.layout
    widest = max(marginal.tokens for marginal in layout.marginals)
    size = max(1, min(BLOCK, MOST_CELLS // widest) // timeline.most_visits)
    codes: list[Ints] = []
    patients: list[Ints] = []
    drawn = people = asked = broken = block = 0
    while drawn < rows:
        generator = block_generator(seed, block)
        block += 1
        histories = sampler.draw(size, generator, layout.settings.balance_steps)
        whole = schema_codes(timeline, histories)
        fits = ~_broken(timeline, histories, whole)
        asked, broken = asked + size, broken + int(size - fits.sum())
        if wanted is not None:
            fits &= wanted(histories, whole)
        if not fits.any() and not people and block >= MOST_EMPTY:
            raise ConfigError(_impossible(asked, broken))
        kept = np.flatnonzero(fits[histories.whose])
        whose = np.unique(histories.whose[kept], return_inverse=True)[1]
        room = rows - drawn
        if len(kept) > room:  # the last patients stay whole
            counts = np.cumsum(np.bincount(whose))
            last = int(np.searchsorted(counts, room, side="right"))
            last = max(last, 0 if people else 1)
            kept, whose, room = kept[whose < last], whose[whose < last], 0
        codes.append(whole[kept])
        patients.append(whose + people)
        drawn, people = drawn + len(kept), people + (int(whose[-1]) + 1 if len(whose) else 0)
        progress("sampling", min(1.0, drawn / rows))
        if not room:
            break
    if broken > OFTEN * asked:
        warnings.warn(
            f"{counted(broken, 'patient')} of {asked:,} ran into a dead end of the rules; others were "
            "drawn in their place, so that whoever has many visits is rarer than the model says.",
            RedrawnWarning,
            stacklevel=3,
        )
    return np.concatenate(codes), np.concatenate(patients)


def schema_codes(timeline: Timeline, histories: Histories) -> Ints:
    """Return the codes of the columns that the schema models, derived ones computed."""
    rules = timeline.rules
    whole = rules.completed(histories.codes)
    places = rules.columns.places
    return whole[:, [places[field.name] for field in timeline.schema.modelled]]


def _broken(timeline: Timeline, histories: Histories, codes: Ints) -> Bools:
    """Return the patients of whom a visit breaks a rule, or found nothing that the rules allow."""
    rules, whose = timeline.rules, histories.whose
    broken = rules.broken(rules.completed(histories.codes))
    for unique in timeline.schema.rule_set.unique:
        broken |= repeated_rows(whose, codes[:, list(unique)])
    if histories.stuck is not None:
        broken |= histories.stuck
    found = np.zeros(len(histories.rows), bool)
    found[whose[broken]] = True
    return found


def _impossible(asked: int, broken: int) -> str:
    if broken == asked:
        return (
            f"None of {asked:,} patients could be drawn: the rules leave next to nothing of what the "
            "model knows. Check them against the fields' bounds and the gaps of orderBy."
        )
    return (
        f"None of {asked:,} patients that the model drew is one that where asks for; leave a condition "
        "out, or widen it."
    )
