"""Patients without visits: one entry of what never changes, in counts, moments and samples."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae import Schema, Synthesizer
from synthvae.marginals.visit_counts import measure_visits
from synthvae.model.histories import Histories, visit_codes, visit_layout
from synthvae.model.visit_goals import history_features, visit_query
from synthvae.plan import make_plan
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.table import encode, group_by_patient, split_visits
from synthvae.timeline import Timeline

FACTS: dict[str, Any] = {
    "patientKey": "id",
    "patients": 1200,
    "maxRows": 3,
    "orderBy": {"column": "day", "gap": {"minimum": 10, "maximum": 30}},
    "visitsOptional": True,
    "rules": ["pain is not missing", "day >= 5"],
    "fields": [
        {"name": "id"},
        {"name": "sex", "constraints": {"enum": ["f", "m"]}, "perPatient": True},
        {"name": "day", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}},
        {"name": "pain", "type": "integer", "constraints": {"minimum": 0, "maximum": 9}},
    ],
}
SCHEMA = Schema.from_dict(FACTS)
WITHOUT = {"f": 0.6, "m": 0.1}


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """A joined table in which women without visits are many, and later visits have more pain."""
    rng = np.random.default_rng(3)
    rows: list[tuple[str, str, int | None, int | None]] = []
    for number in range(1200):
        sex = "fm"[number % 2]
        visits = 0 if rng.random() < WITHOUT[sex] else rng.integers(1, 4)
        day, pain = int(rng.integers(5, 40)), int(rng.integers(0, 4))
        rows += [] if visits else [(f"p{number}", sex, None, None)]
        for _ in range(visits):
            rows.append((f"p{number}", sex, day, pain))
            day, pain = day + int(rng.integers(10, 30)), pain + int(rng.integers(0, 3))
    frame = pd.DataFrame(rows, columns=["id", "sex", "day", "pain"])
    return frame.astype({"day": "Int64", "pain": "Int64"})


def test_samples_have_as_many_patients_without_visits(people: pd.DataFrame) -> None:
    model = Synthesizer(SCHEMA, None, test_seed=1).fit(people)
    sampled = model.sample(seed=1)
    patients, visits = split_visits(sampled, SCHEMA)
    assert abs(len(patients) - 1200) < 40  # the declared ones
    assert set(visits["id"]) < set(patients["id"])
    assert visits.notna().all().all()
    found = ~patients["id"].isin(visits["id"])
    real, _ = split_visits(people, SCHEMA)
    without = ~real["id"].isin(people.dropna()["id"])
    for sex in "fm":
        mine, theirs = found[patients["sex"] == sex].mean(), without[real["sex"] == sex].mean()
        assert abs(mine - theirs) < 0.04
    assert abs(visits["pain"].mean() - people["pain"].mean()) < 0.2
    gaps = visits.groupby("id")["day"].diff().dropna()
    assert gaps.between(10, 30).all()


def test_who_has_no_visit_counts_for_static_columns_alone(people: pd.DataFrame) -> None:
    timeline, plan = Timeline(SCHEMA), make_plan(SCHEMA, None)
    visit_noise, bins = plan.visit_noise, plan.settings.bins
    assert visit_noise is not None
    noise = dict(zip([field.name for field in SCHEMA.drawn], plan.column_noise, strict=True))

    def counted(frame: pd.DataFrame) -> tuple[Any, Histories]:
        grouped = group_by_patient(frame, SCHEMA, b"key")
        codes, rows = visit_codes(timeline, encode(frame, SCHEMA), grouped.rows)
        exact = Mechanisms(RandomStream(1), exact=True)
        found = measure_visits(timeline, codes, noise, visit_noise, bins, exact)
        return found.marginals, Histories(codes, codes, rows)

    with_all, histories = counted(people)
    visited, _ = counted(people.dropna())
    for j in (timeline.gap, timeline.time, *timeline.own):
        np.testing.assert_array_equal(with_all[j].mass, visited[j].mass)
    share = people["day"].isna().sum() / people["id"].nunique()
    assert with_all[timeline.visits].mass[0] == pytest.approx(share)
    assert with_all[timeline.first].mass[-1] == pytest.approx(share)  # there is none
    layout = visit_layout(timeline, with_all, plan.settings)
    tokens = layout.tokens(histories.codes)
    histories = Histories(histories.codes, tokens, histories.rows)
    moves = np.zeros(layout.columns, np.int64)
    features, query = (
        history_features(timeline, layout, histories, moves),
        visit_query(timeline, layout),
    )
    whole, _ = query.means(features, histories.rows)
    is_there = histories.codes[histories.rows[:, 0], timeline.place] >= 0
    visits_alone, _ = query.means(features, histories.rows[is_there])
    for name in ("visit", "step", "stay", "far"):
        np.testing.assert_allclose(whole[name], visits_alone[name])
    assert not np.allclose(whole["static"], visits_alone["static"])


def test_where_noise_leaves_nobody_a_visit_there_is_still_a_model(people: pd.DataFrame) -> None:
    few = people[people["id"].isin([f"p{number}" for number in range(12)])]
    schema = Schema.from_dict(FACTS | {"patients": 12})
    fewest = 12
    for seed in range(8):  # of which some have a noisy share of 0 of every number of visits
        model = Synthesizer(schema, 0.05, test_seed=seed).fit(few)
        sampled = model.sample(20, seed=1)
        fewest = min(fewest, int(sampled["day"].notna().sum()))
        assert len(sampled)
    assert fewest == 0


def test_what_is_derived_from_the_time_forbids_no_patient_without_visits(
    people: pd.DataFrame,
) -> None:
    since = {"name": "since", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}
    derived = [*FACTS["rules"], {"derive": "since", "as": "day - 0"}]
    schema = Schema.from_dict(FACTS | {"rules": derived, "fields": [*FACTS["fields"], since]})
    frame = people.assign(since=people["day"])
    model = Synthesizer(schema, None, test_seed=1).fit(frame)
    sampled = model.sample(seed=1)
    whole = sampled.groupby("id")["day"].count()
    assert 0.25 < (whole == 0).mean() < 0.45
