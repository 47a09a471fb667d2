"""Records of whole patients from a model of visits: each keeps the rules, and meets the conditions."""

import warnings
from dataclasses import dataclass, field

import numpy as np

from synthvae._runtime import Progress
from synthvae._text import counted
from synthvae._types import Bools, Ints
from synthvae.errors import ConfigError, RedrawnWarning, UnlikelyConditionWarning
from synthvae.model.conditions import Rarity
from synthvae.model.histories import Histories, HistorySampler
from synthvae.model.sampling import block_generator, repeated_rows
from synthvae.model.visit_conditions import VisitCondition, VisitSieve
from synthvae.rules.values import MISSING
from synthvae.timeline import Timeline

BLOCK = 16_384  # visits drawn at once, about
CANDIDATES = 4096  # patients of whom a block draws what never changes, under conditions, at first
MOST_CELLS = 2**25  # visits times tokens of the widest column
MOST_EMPTY = 8  # blocks without a patient, after which that counts as impossible
MOST_ASKED = 2**22  # patients of whom what never changes is drawn, and visits: minutes
LEAST_ASKED = 2**17  # of them, before conditions that nobody met count as impossible
OFTEN = 0.05  # share of patients that were left out, from which on it is said


@dataclass
class _Tally:
    """What was drawn so far."""

    rows: int  # that are asked for
    codes: list[Ints] = field(default_factory=list)
    patients: list[Ints] = field(default_factory=list)
    drawn: int = 0  # visits
    people: int = 0
    asked: int = 0  # patients, whole ones
    broken: int = 0  # of them
    work: int = 0  # patients begun, and visits drawn

    def add(self, codes: Ints, whose: Ints, fits: Bools) -> bool:
        """Take in the visits of patients who fit, and return whether no more patients have room."""
        kept = np.flatnonzero(fits[whose])
        whose = np.unique(whose[kept], return_inverse=True)[1]
        room = self.rows - self.drawn
        full = len(kept) >= room
        if len(kept) > room:  # the last patients stay whole
            counts = np.cumsum(np.bincount(whose))
            last = int(np.searchsorted(counts, room, side="right"))
            last = max(last, 0 if self.people else 1)
            kept, whose = kept[whose < last], whose[whose < last]
        self.codes.append(codes[kept])
        self.patients.append(whose + self.people)
        self.drawn += len(kept)
        self.people += int(whose[-1]) + 1 if len(whose) else 0
        return full


def draw_people(
    sampler: HistorySampler,
    rows: int,
    seed: int,
    progress: Progress,
    conditions: tuple[VisitCondition, ...] = (),
) -> tuple[Ints, Ints]:
    """Draw whole patients with at most so many visits together, one patient at least.

    Returns
    -------
    tuple
        Codes of the columns that the schema models, shape (visits, columns), and the patient of each
        visit, from 0, shape (visits,).

    Raises
    ------
    ConfigError
        No patient of the model keeps the rules, or meets the conditions, or too few do.

    Warns
    -----
    RedrawnWarning
        Many patients ran into a dead end of the rules, and others were drawn in their place.
    UnlikelyConditionWarning
        The model holds the conditions together nearly impossible.
    """
    timeline, layout = sampler.timeline, sampler.layout
    widest = max(marginal.tokens for marginal in layout.marginals)
    most = max(1, min(BLOCK, MOST_CELLS // widest))
    sieve = VisitSieve(conditions, timeline, layout) if conditions else None
    steps = layout.settings.balance_steps if sieve is None else 0
    size = max(1, most // timeline.most_visits) if sieve is None else min(CANDIDATES, most)
    tally, full, block = _Tally(rows), False, 0
    while not full:
        histories = sampler.draw(size, block_generator(seed, block), steps, sieve)
        block += 1
        whole, patients = schema_codes(timeline, histories), len(histories.rows)
        fits = ~broken_patients(timeline, histories, whole)
        tally.asked, tally.broken = tally.asked + patients, tally.broken + int((~fits).sum())
        tally.work += size + len(whole)
        if sieve is not None:
            visited = histories.codes[:, timeline.place] != MISSING
            fits &= sieve.wanted(histories.whose, patients, whole, visited)
        full = tally.add(whole, histories.whose, fits)
        if block >= MOST_EMPTY:
            _check_going(tally, sieve)
        if sieve is not None and tally.drawn:  # as many as are still needed, about
            needed = 1.1 * (rows - tally.drawn) * sieve.begun / tally.drawn
            size = int(np.clip(needed, min(CANDIDATES, most), most))
        progress("sampling", min(1.0, tally.drawn / rows))
    if tally.broken > OFTEN * tally.asked:
        warnings.warn(
            f"{counted(tally.broken, 'patient')} of {tally.asked:,} ran into a dead end of the rules; "
            "others were drawn in their place, so that those whom the rules stop more often are rarer "
            "than the model says.",
            RedrawnWarning,
            stacklevel=3,
        )
    if sieve is not None:
        _warn_if_unlikely(sieve)
    return np.concatenate(tally.codes), np.concatenate(tally.patients)


def _check_going(tally: _Tally, sieve: VisitSieve | None) -> None:
    """Raise `ConfigError` where there would be no end to drawing."""
    if not tally.people and (sieve is None or (tally.asked and tally.broken == tally.asked)):
        raise ConfigError(
            f"None of {tally.asked:,} patients could be drawn: the rules leave next to nothing of what "
            "the model knows. Check them against the fields' bounds and the gaps of orderBy."
        )
    if sieve is None:
        return
    if not tally.people:
        if tally.work >= LEAST_ASKED:
            raise ConfigError(
                f"where asks for {sieve.text}, which the model holds impossible{sieve.together}: none "
                f"of {sieve.begun:,} of its patients meets it; leave a condition out, or widen it."
            )
    elif tally.work * tally.rows > MOST_ASKED * tally.drawn and tally.drawn < tally.rows:
        fitting = max(1, MOST_ASKED * tally.drawn // tally.work)
        raise ConfigError(
            f"where asks for {sieve.text}, which the model holds nearly impossible{sieve.together}: "
            f"{Rarity(sieve.probability, 1.0).odds} of its patients. {tally.rows:,} rows of such "
            f"patients would take too long; ask for at most {fitting:,}, or widen a condition."
        )


def _warn_if_unlikely(sieve: VisitSieve) -> None:
    """Warn where the model holds conditions together nearly impossible, as of single records."""
    rarity = Rarity(sieve.likeness, sieve.independent)
    if rarity.is_rare:
        warnings.warn(
            f"The model holds {sieve.text} nearly impossible{sieve.together}: {rarity.odds} of its "
            f"patients{rarity.fewer}. Those that were drawn rest on the model's noise more than on what "
            "such patients are like.",
            UnlikelyConditionWarning,
            stacklevel=4,
        )


def schema_codes(timeline: Timeline, histories: Histories) -> Ints:
    """Return the codes of the columns that the schema models, derived ones computed."""
    rules = timeline.rules
    whole = rules.completed(histories.codes)
    places = rules.columns.places
    fields = timeline.schema.modelled
    found = whole[:, [places[field.name] for field in fields]]
    without = histories.codes[:, timeline.place] == MISSING
    if without.any():  # of whom nothing that varies is derived either
        varying = [j for j, field in enumerate(fields) if not field.perPatient]
        found[np.ix_(without, varying)] = MISSING
    return found


def broken_patients(timeline: Timeline, histories: Histories, codes: Ints) -> Bools:
    """Return the patients of whom a visit breaks a rule, or found nothing that the rules allow."""
    rules, whose = timeline.rules, histories.whose
    whole = rules.completed(histories.codes)
    broken = rules.broken(whole)
    without = histories.codes[:, timeline.place] == MISSING
    if without.any():  # of a visit that there is not, no rule says anything
        once = [rule for rule in rules.declared if max(rule.places, default=0) < timeline.visits]
        broken[without] = rules.broken(whole[without], once)
    for unique in timeline.schema.rule_set.unique:
        broken |= repeated_rows(whose, codes[:, list(unique)])
    if histories.stuck is not None:
        broken |= histories.stuck
    found = np.zeros(len(histories.rows), bool)
    found[whose[broken]] = True
    return found
