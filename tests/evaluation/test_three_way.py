"""Dependence of three columns beyond their pairs: planted truths, and near misses."""

import numpy as np
import pandas as pd
import pytest

from synthvae.evaluation import three_way
from synthvae.evaluation.results import Score, ThreeWay
from synthvae.evaluation.tables import prepare
from synthvae.evaluation.three_way import _beyond_pairs, compare_three_way
from synthvae.purposes import AnalysisRequest
from synthvae.schema import Schema

NAMES = ("arm", "marker", "better", "site")
SCHEMA = Schema.from_dict(
    {
        "name": "trial",
        "target": "better",
        "fields": [
            *({"name": name, "type": "boolean"} for name in NAMES[:3]),
            {"name": "site", "constraints": {"enum": ["A", "B", "C", "D", "E"]}},
        ],
    }
)


def trial(rows: int, seed: int, effect: float = 0.25) -> pd.DataFrame:
    """Return rows of a drug that helps those with the marker by `effect`, and harms the others."""
    g = np.random.default_rng(seed)
    arm, marker = g.random((2, rows)) < 0.5
    chance = 0.5 + np.where(arm, np.where(marker, effect, -effect), 0)
    better = g.random(rows) < chance
    return pd.DataFrame(
        {"arm": arm, "marker": marker, "better": better, "site": g.choice([*"ABCDE"], rows)}
    )


def without_interaction(frame: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows whose pairs of arm, marker and better are right, with no interaction of three."""
    counts = np.zeros((4, 4, 4))
    for row in frame[[*NAMES[:3]]].to_numpy(int):
        counts[tuple(row)] += 1
    fit = _beyond_pairs(counts[None, ..., None])[1].ravel()
    g = np.random.default_rng(seed)
    cells = np.stack(np.unravel_index(g.choice(64, len(frame), p=fit / fit.sum()), (4, 4, 4)))
    return frame.assign(**dict(zip(NAMES[:3], cells.astype(bool), strict=True)))


def compare(
    train: pd.DataFrame, made: pd.DataFrame, schema: Schema = SCHEMA, held: int = 2
) -> tuple[ThreeWay, Score | None]:
    holdout = trial(2000, held) if schema is SCHEMA else train[::-1]
    tables = prepare(train, holdout, made, schema, np.random.default_rng(0))
    found, scores = compare_three_way(tables, (), np.random.default_rng(1))
    assert len(scores) == (found.standing_out > 0)
    return found, next(iter(scores), None)


def test_an_exclusive_or_worked_out_by_hand() -> None:
    cells = [(a, b, a != b) for a in (False, True) for b in (False, True)] * 100
    frame = pd.DataFrame(cells, columns=NAMES[:3]).assign(site="A")
    found, score = compare(frame, frame)
    assert (found.compared, found.possible, found.standing_out) == (4, 4, 1)
    # Each of four cells has 1/4 where its pairs imply 1/8: Σ D² / E is 1, less one freedom in 400 rows.
    (triple,) = found.worst
    assert triple.strength == pytest.approx((1 - 1 / 400) ** 0.5, abs=1e-5)
    assert triple.share == pytest.approx(1 / (1 - 1 / 400), abs=1e-5)
    assert triple.columns == (
        "arm",
        "better",
        "marker",
    )  # within whose levels the target is explained
    assert [(level.level, level.real) for level in triple.levels] == [
        ("marker = false", 1.0), ("marker = true", -1.0),
    ]  # fmt: skip
    assert score is not None
    assert score.value == triple.share


def test_the_fit_keeps_the_pairs_and_leaves_independence_within_levels_alone() -> None:
    g = np.random.default_rng(0)
    counts = g.integers(1, 50, (6, 4, 4, 4, 2)).astype(float)
    counts[:, 0, 2] = 0  # a pair that nobody has
    departure, fit = _beyond_pairs(counts)
    shares = counts / counts.sum(axis=(1, 2, 3), keepdims=True)
    assert fit == pytest.approx(shares - departure)
    for axis in (1, 2, 3):
        assert np.abs(departure.sum(axis=axis)).max() < 1e-5
    first, second, third = g.dirichlet(np.ones(4), 4), g.dirichlet(np.ones(4), 4), np.full(4, 0.25)
    given_third = np.einsum("ca,cb,c->abc", first, second, third)
    assert np.abs(_beyond_pairs(given_third[None, ..., None])[0]).max() < 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_fresh_rows_have_it_all_and_rows_right_in_pairs_none(seed: int) -> None:
    train = trial(4000, seed)
    fresh, lost = trial(4000, seed + 50), without_interaction(train, seed)
    turned = trial(4000, seed + 60, effect=-0.25)
    half = pd.concat([trial(2000, seed + 70), without_interaction(train, seed)[:2000]])
    values = {}
    for name, made in {"fresh": fresh, "lost": lost, "turned": turned, "half": half}.items():
        _, score = compare(train, made)
        assert score is not None
        assert score.interval is not None
        assert score.interval.low <= score.value <= score.interval.high
        assert score.references["holdout"] == pytest.approx(1, abs=0.2)
        assert score.references["independent"] == pytest.approx(0, abs=0.15)
        values[name] = score.value
    assert values == pytest.approx({"fresh": 1, "lost": 0, "turned": -1, "half": 0.5}, abs=0.17)


@pytest.mark.slow
def test_its_interval_holds_what_many_rows_have_and_few_rows_bias_nothing() -> None:
    train = trial(4000, 1)
    _, many = compare(train, trial(200_000, 5))
    few = [compare(train, trial(1500, 1000 + seed))[1] for seed in range(300)]
    assert many is not None
    values = [score.value for score in few if score is not None and score.value is not None]
    assert np.mean(values) == pytest.approx(many.value, abs=0.02)
    covered = [
        score.interval.low <= many.value <= score.interval.high
        for score in few
        if score is not None and score.interval is not None and many.value is not None
    ]
    assert np.mean(covered) >= 0.93


def test_it_is_told_from_chance_and_chance_is_not_taken_for_it() -> None:
    null = [compare(trial(3000, seed, 0), trial(300, 9))[0] for seed in range(40)]
    assert sum(found.standing_out for found in null) <= 1
    assert null[0].worst == ()
    weak = [compare(trial(3000, seed, 0.09), trial(300, 9))[0] for seed in range(10)]
    assert sum(found.standing_out == 1 for found in weak) >= 8


def test_rows_of_the_same_patients_are_no_evidence() -> None:
    keyed = SCHEMA.replace(
        patientKey="id", maxRows=30,
        fields=[{"name": "id", "type": "integer"}, *SCHEMA.to_dict()["fields"]],
    )  # fmt: skip
    for seed in range(5):
        few = trial(300, seed, 0)
        many = pd.concat([few] * 30, ignore_index=True).assign(id=np.arange(9000) % 300)
        found, _ = compare(many, many, keyed)
        assert found.standing_out == 0
        assert "300 rows of train" in found.detail
        independent = many.assign(id=np.arange(9000))
        # Near miss: the same rows as those of so many patients do stand out, some time.
        if compare(independent, independent, keyed)[0].standing_out:
            break
    else:
        pytest.fail("nothing stood out among repeated rows either")


def test_declared_interactions_come_first_where_not_all_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(three_way, "MOST_TRIPLES", 1)
    wide = SCHEMA.replace(target=())
    frame = trial(3000, 1)
    tables = prepare(frame, trial(900, 2), frame, wide, np.random.default_rng(0))
    request = AnalysisRequest.model_validate(
        {
            "name": "benefit", "kind": "logistic", "outcome": "better",
            "predictors": ["marker", "arm"], "interactions": [["marker", "arm"]],
        }
    )  # fmt: skip
    found, _ = compare_three_way(tables, (request,), np.random.default_rng(0))
    assert (found.compared, found.possible, found.standing_out) == (1, 4, 1)
    assert found.worst[0].columns == ("marker", "better", "arm")
    assert found.declared_share == found.worst[0].share


def test_declared_interactions_have_a_share_of_their_own() -> None:
    # Two interactions; the synthetic rows have no trace of one, and all of the other.
    g = np.random.default_rng(3)
    frame = trial(6000, 1).assign(site=g.choice([*"AB"], 6000))
    frame["other"] = np.where(frame.site == "A", frame.arm, ~frame.arm) ^ (g.random(6000) < 0.25)
    fields = [*SCHEMA.to_dict()["fields"], {"name": "other", "type": "boolean"}]
    schema = SCHEMA.replace(fields=fields)
    made = without_interaction(frame, 4)
    made["other"] = np.where(made.site == "A", made.arm, ~made.arm) ^ (g.random(6000) < 0.25)
    tables = prepare(frame, frame[::-1], made, schema, np.random.default_rng(0))

    def share(outcome: str, within: str) -> float | None:
        facts = {"name": "x", "kind": "logistic", "outcome": outcome, "predictors": ["arm", within]}
        request = AnalysisRequest.model_validate(facts | {"interactions": [["arm", within]]})
        return compare_three_way(tables, (request,), np.random.default_rng(0))[0].declared_share

    lost, kept = share("better", "marker"), share("other", "site")
    assert lost == pytest.approx(0, abs=0.15)
    assert kept == pytest.approx(1, abs=0.15)
    assert share("other", "marker") is None  # it does not stand out


def test_a_table_of_two_columns_has_no_triples() -> None:
    two = SCHEMA.replace(fields=SCHEMA.to_dict()["fields"][1:3])
    found, score = compare(trial(60, 1)[["marker", "better"]], trial(60, 2), two)
    assert (found.compared, found.possible, score) == (0, 0, None)
