"""Histories that are given: what is not known of a patient follows from the visits so far."""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from synthvae.errors import ConfigError, DataError
from synthvae.model.given_visits import GivenVisits, weights_of
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table import encode, find_problems, group_by_patient
from tests import hospital
from tests.courses import COURSES, courses, fitted
from tests.simulated_visits import draw_fewer

FEW, REPEATS, PLAIN = 4, 60, 6000


@functools.cache
def begun() -> pd.DataFrame:
    """The first two visits of other patients."""
    return courses(60, 4).groupby("patient", sort=False).head(2).reset_index(drop=True)


def given() -> GivenVisits:
    """Return these visits beside a model in which much hangs on the latent."""
    rows = group_by_patient(begun(), COURSES).rows
    sampler = fitted().state().sampler
    draws = np.random.default_rng(1)
    weights = {
        part: {**held, "loadings.weight": draws.normal(0, 0.4, held["loadings.weight"].shape)}
        for part, held in sampler.weights.items()
    }
    sampler = replace(sampler, weights=weights)
    return GivenVisits.of(sampler, encode(begun(), COURSES), rows)


def test_latents_and_numbers_of_visits_are_those_of_weighted_latents() -> None:
    few, generator = given().take(np.arange(FEW)), np.random.default_rng(0)
    visits = few.sampler.timeline.visits
    size = few.sampler.layout.settings.latent
    z = generator.standard_normal((FEW, PLAIN, size))
    candidates = few.candidates(z, generator)
    weights = weights_of(candidates.log_weights.reshape(FEW, PLAIN))[:, :, None]
    counts = candidates.begun.static.codes[:, visits].reshape(FEW, PLAIN, 1)
    plain = np.concatenate([z, counts], axis=2)
    mean = (weights * plain).sum(axis=1)
    spread = np.sqrt((weights * (plain - mean[:, None]) ** 2).sum(axis=1))
    drawn = [few.draw_begun(generator) for _ in range(REPEATS)]
    found = np.stack([np.c_[each.latents, each.static.codes[:, visits]] for each in drawn])
    off = np.abs(found.mean(axis=0) - mean) / (spread / REPEATS**0.5)
    assert off.mean() < 1.3  # 0.8 of normal errors
    assert np.abs(np.log(found.std(axis=0) / spread)).mean() < 0.15
    prior = np.abs(mean[:, :-1]) / (spread[:, :-1] / REPEATS**0.5)  # as if nothing were given
    assert prior.mean() > 2.0


def test_given_visits_come_first_and_the_rest_follows_by_the_rules() -> None:
    drawn = fitted().sample_given(begun(), seed=3)
    pd.testing.assert_frame_equal(drawn, fitted().sample_given(begun(), seed=3))
    assert not drawn.equals(fitted().sample_given(begun(), seed=4))
    assert not find_problems(drawn, COURSES)
    assert list(drawn["patient"].unique()) == list(begun()["patient"].unique())
    counts = begun().groupby("patient", sort=False).size()
    place = drawn.groupby("patient").cumcount()
    so_far = drawn[place < drawn["patient"].map(counts)].reset_index(drop=True)
    pd.testing.assert_frame_equal(so_far, begun(), check_dtype=False)
    more = len(drawn) - len(begun())
    whole = courses(60, 4)
    assert abs(more - (len(whole) - len(begun()))) < 45  # about as many as they had


def test_what_no_model_can_go_on_from_is_refused() -> None:
    visits = pd.concat([begun().iloc[:1]] * 6).assign(year=range(2000, 2006), age=range(40, 46))
    with pytest.raises(DataError, match="a patient with 6 visits; the model goes on from 1 to 5"):
        fitted().sample_given(visits.assign(patient="p"))
    with pytest.raises(DataError, match="age - age_prev == year - year_prev"):
        fitted().sample_given(begun().assign(age=50))
    with pytest.raises(DataError, match="no patient"):
        fitted().sample_given(begun().iloc[:0])


def test_who_has_no_visit_is_passed_through() -> None:
    optional = Schema.from_dict(COURSES.to_dict() | {"visitsOptional": True})
    varying = [field.name for field in optional.modelled if not field.perPatient]
    table = courses().astype(object)
    ended = table["patient"].isin([f"p{number}" for number in range(90)])
    table.loc[ended, varying] = None
    table = table[~ended | ~table["patient"].duplicated()]
    with pytest.MonkeyPatch.context() as patch:
        draw_fewer(patch, 512)
        model = Synthesizer(optional, None, test_seed=1)
        model.fit(table)
    own = model.sample(200, seed=1)
    absent = own["year"].isna()
    assert absent.any()
    drawn = model.sample_given(own, seed=2)
    assert list(drawn["patient"].unique()) == list(own["patient"].unique())
    assert len(drawn) > len(own)
    assert not find_problems(drawn, optional)
    kept = drawn[drawn["year"].isna()].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, own[absent].reset_index(drop=True))
    alone = model.sample_given(own[absent], seed=2)
    pd.testing.assert_frame_equal(alone, kept, check_dtype=False)


def test_rows_in_no_order_are_gone_on_from_by_nobody() -> None:
    with pytest.raises(ConfigError, match="only a model whose schema has orderBy"):
        hospital.fitted().sample_given(hospital.make_table())
