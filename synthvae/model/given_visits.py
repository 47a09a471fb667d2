"""Histories that are given: patients with their visits so far, and the visits that a model draws next.

What is not known of such a patient is the latent, and how many visits there are in all: at least those
that are given, and at most those for which there is time. Candidates for both are drawn and weighted by
the probability of everything that is given; one is picked by weight (sampling importance resampling;
Rubin 1988, "Using the SIR Algorithm to Simulate Posterior Distributions"). The first candidates come
from the prior, further ones from a normal law of their weighted mean and variance, mixed with the prior
(Cappé et al. 2004, "Population Monte Carlo").
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import logsumexp

from synthvae._runtime import Progress
from synthvae._text import counted
from synthvae._types import Bools, Floats, Ints
from synthvae.errors import RedrawnWarning
from synthvae.model.balance import inverse_cdf
from synthvae.model.histories import Histories, HistorySampler, visit_codes
from synthvae.model.partial_history import Begun, Visit
from synthvae.model.people import broken_patients, schema_codes
from synthvae.model.sampling import Draft, block_generator
from synthvae.table.no_visits import coded_without_visit

CANDIDATES, ROUNDS = 128, 3  # latents of a patient in each round
BLOCK = 16_384  # candidates at once
PRIOR_PART = 0.2  # of a round's candidates
WIDER = 1.3  # standard deviations of a round, relative to those found in the one before
NARROWEST = 0.05
TRIES = 8  # at visits that keep the rules


@dataclass(frozen=True)
class Candidates:
    """Candidates for what is not known of patients, the same number of each, patient by patient.

    `begun` holds all that is given with them, `log_weights` how likely that is, shape (candidates,).
    """

    begun: Begun
    log_weights: Floats

    def picked(self, patients: int, generator: np.random.Generator) -> Begun:
        """Return one candidate of each patient, picked by weight."""
        mass = weights_of(self.log_weights.reshape(patients, -1))
        size = mass.shape[1]
        which = inverse_cdf(mass, generator.random(patients)) + size * np.arange(patients)
        visits = []
        for whose, visit in self.begun.visits:
            has = np.flatnonzero(np.isin(which, whose))
            visits.append((has, visit.take(np.searchsorted(whose, which[has]))))
        return replace(self.begun.take(which), visits=tuple(visits))


def weights_of(log_weights: Floats) -> Floats:
    """Return weights that sum to 1 in each row; alike where nothing that is given can be."""
    top = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(
        np.where(np.isfinite(top), log_weights - np.where(np.isfinite(top), top, 0), 0)
    )
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _log_ratio(z: Floats, mean: Floats, spread: Floats) -> Floats:
    """Return the log of the prior relative to the mixture that latents were drawn from."""
    prior = -0.5 * (z**2).sum(axis=2)
    own = -0.5 * (((z - mean) / spread) ** 2).sum(axis=2) - np.log(spread).sum(axis=2)
    parts = np.stack([np.log(PRIOR_PART) + prior, np.log(1 - PRIOR_PART) + own])
    return np.asarray(prior - logsumexp(parts, axis=0))


@dataclass(frozen=True)
class GivenVisits:
    """Visits that are given: codes and tokens of the timeline's columns, and those of each patient."""

    sampler: HistorySampler
    codes: Ints
    tokens: Ints
    rows: Ints  # padded with -1, shape (patients, visits)

    @classmethod
    def of(cls, sampler: HistorySampler, codes: Ints, rows: Ints) -> "GivenVisits":
        """Return visits from codes of the schema's columns and each patient's rows in order."""
        whole, numbered = visit_codes(sampler.timeline, codes, rows)
        return cls(sampler, whole, sampler.layout.tokens(whole), numbered)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> Ints:
        """Visits of each patient."""
        return np.asarray((self.rows >= 0).sum(axis=1))

    def take(self, which: Ints) -> "GivenVisits":
        """Return some of the patients."""
        return replace(self, rows=self.rows[which])

    def go_on(self, generator: np.random.Generator) -> Histories:
        """Draw the visits that follow."""
        return self.sampler.go_on(self.draw_begun(generator), generator, 0)

    def draw_begun(self, generator: np.random.Generator) -> Begun:
        """Draw latents and numbers of visits given the visits so far."""
        patients, size = len(self), self.sampler.layout.settings.latent
        mean, spread = np.zeros((patients, 1, size)), np.ones((patients, 1, size))
        for _ in range(ROUNDS):
            drawn = generator.standard_normal((patients, CANDIDATES, size))
            prior = generator.random((patients, CANDIDATES, 1)) < PRIOR_PART
            z = np.where(prior, drawn, mean + spread * drawn)
            found = self.candidates(z, generator)
            logs = found.log_weights + _log_ratio(z, mean, spread).reshape(-1)
            weights = weights_of(logs.reshape(patients, -1))[:, :, None]
            mean = (weights * z).sum(axis=1, keepdims=True)
            spread = np.sqrt((weights * (z - mean) ** 2).sum(axis=1, keepdims=True))
            spread = np.maximum(WIDER * spread, NARROWEST)
        return replace(found, log_weights=logs).picked(patients, generator)

    def candidates(self, z: Floats, generator: np.random.Generator) -> Candidates:
        """Return candidates with latents of shape (patients, candidates, latent)."""
        sampler, timeline = self.sampler, self.sampler.timeline
        each, z = z.shape[1], z.reshape(-1, z.shape[2])
        rows = np.repeat(self.rows, each, axis=0)
        draft = sampler.static_draft(z, generator, 0)
        logs = np.zeros(len(z))
        for j in range(timeline.static):
            if j == timeline.visits:
                logs += self._draw_visits(draft, rows, generator)
                continue
            last = sampler.last_first(draft) if j == timeline.first else None
            logs += self._fill(draft, j, rows[:, 0], last)
        begun, visits = Begun(z, Visit.of(draft)), []
        for place in range(rows.shape[1]):
            active = np.flatnonzero(rows[:, place] >= 0)
            if not len(active):
                break
            visit, more = self._weighed(place, active, begun, rows, generator)
            visits.append((active, visit))
            logs[active] += more
        return Candidates(replace(begun, visits=tuple(visits)), logs)

    def _weighed(
        self, place: int, active: Ints, begun: Begun, rows: Ints, generator: np.random.Generator
    ) -> tuple[Visit, Floats]:
        """Return the given visits at a place with what the candidates add, and their log-likelihood."""
        sampler, timeline = self.sampler, self.sampler.timeline
        own, before = rows[active, place], None
        if place:
            earlier = rows[active, place - 1]
            nobody = np.zeros(len(active), bool)
            before = Visit(self.codes[earlier], self.tokens[earlier], nobody)
        draft = sampler.visit_draft(place, active, begun, before, generator, 0)
        logs = np.zeros(len(active))
        if place:
            logs += self._fill(draft, timeline.gap, own, sampler.last_gap(draft, place))
        sampler.fill_time(draft, self.codes[own, timeline.time])
        for j in timeline.own:
            logs += self._fill(draft, j, own, follows=place > 0)
        return replace(Visit.of(draft), stuck=np.zeros(len(active), bool)), logs

    def _fill(
        self, draft: Draft, j: int, visits: Ints, last: Ints | None = None, *, follows: bool = False
    ) -> Floats:
        """Take in a column as given, and return its log-likelihood.

        Where a value lies within its token does not depend on the latent.
        """
        logits, shares, *_ = self.sampler.chances(draft, j, last, follows=follows)
        mass, _ = draft.masses(logits, shares)
        tokens = self.tokens[visits, j]
        draft.fill(j, tokens, self.codes[visits, j])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mass[np.arange(len(tokens)), tokens]))

    def _draw_visits(self, draft: Draft, rows: Ints, generator: np.random.Generator) -> Floats:
        """Draw numbers of visits, those given at least, and return how likely such are."""
        sampler, timeline = self.sampler, self.sampler.timeline
        j, marginal = timeline.visits, sampler.layout.marginals[timeline.visits]
        logits, shares, *_ = sampler.chances(draft, j, None, follows=False)
        mass, _ = draft.masses(logits, shares)
        points = np.arange(marginal.size)  # codes of the number of visits
        tokens = marginal.encode(points)
        inside = np.repeat(marginal.cell_mass / marginal.cell_sizes, marginal.cell_sizes)
        inside = np.maximum(inside, 1e-300)
        inside = inside / np.bincount(tokens, inside, marginal.tokens)[tokens]
        counts = (rows >= 0).sum(axis=1)
        final = self.codes[rows[np.arange(len(rows)), counts - 1], timeline.time]
        room = sampler.layout.marginals[timeline.time].size - 1 - final
        most = counts + (room // timeline.gap_low if timeline.gap_low else timeline.most_visits)
        visits = points + timeline.least_visits
        fits = (visits >= counts[:, None]) & (visits <= most[:, None])
        mass = mass[:, tokens] * inside * fits
        total = mass.sum(axis=1)
        none = total <= 0  # as the model has it, nobody has so many
        mass[none, counts[none] - timeline.least_visits] = 1.0
        drawn = inverse_cdf(mass / mass.sum(axis=1, keepdims=True), generator.random(len(rows)))
        draft.fill(j, tokens[drawn], drawn)
        return np.asarray(np.log(np.maximum(total, 1e-300)))


def draw_continued(
    sampler: HistorySampler, codes: Ints, rows: Ints, seed: int, progress: Progress
) -> tuple[Ints, Ints]:
    """Draw the visits that follow given ones.

    Parameters
    ----------
    codes
        Of the columns that the schema models, of each given visit, or patient without visits.
    rows
        The visits of each patient in order, padded with -1, shape (patients, visits).

    Returns
    -------
    tuple
        Of patients without visits what is given, since theirs is a history that has ended. Of others
        codes of all visits, those of a patient one after the other, given ones first; and the patient
        of each visit, as a row of `rows`.

    Warns
    -----
    RedrawnWarning
        The rules let nothing follow the visits of some patients, who keep those that are given.
    """
    visited = np.flatnonzero(~coded_without_visit(codes, sampler.timeline.schema)[rows[:, 0]])
    given = GivenVisits.of(sampler, codes, rows[visited])
    size = max(1, BLOCK // CANDIDATES)
    parts, owners, ended = [], [], 0
    for block, first in enumerate(range(0, len(given), size)):
        generator = block_generator(seed, block)
        part = given.take(np.arange(first, min(first + size, len(given))))
        going, left = np.arange(len(part)), part
        for _ in range(TRIES):
            histories = left.go_on(generator)
            whole = schema_codes(sampler.timeline, histories)
            broken = broken_patients(sampler.timeline, histories, whole)
            kept = ~broken[histories.whose] & ~_is_given(histories, left.counts)
            parts.append(whole[kept])
            owners.append(visited[first + going[histories.whose[kept]]])
            going, left = going[broken], left.take(np.flatnonzero(broken))
            if not len(going):
                break
        ended += len(going)
        progress("sampling", min(1.0, (first + size) / len(given)))
    if ended:
        warnings.warn(
            f"The rules let nothing follow the visits of {counted(ended, 'patient')}, as the model "
            "draws it: only what was given is written of them.",
            RedrawnWarning,
            stacklevel=3,
        )
    present = rows >= 0
    whole = np.concatenate([codes[rows[present]], *parts])
    whose = np.concatenate([np.nonzero(present)[0], *owners])
    order = np.argsort(whose, kind="stable")
    return whole[order], whose[order]


def _is_given(histories: Histories, counts: Ints) -> Bools:
    """Return which visits come before the first that was drawn."""
    given = np.zeros(len(histories.codes), bool)
    places = np.arange(histories.rows.shape[1])
    given[histories.rows[(places < counts[:, None]) & (histories.rows >= 0)]] = True
    return given
