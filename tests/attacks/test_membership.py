import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from synthvae.attacks import run_attacks
from synthvae.attacks.density import closest, distances
from synthvae.attacks.setup import AttackFindings
from synthvae.attacks.success import detection_limit, roc, true_positives
from synthvae.evaluation import significance
from synthvae.evaluation.tables import prepare
from synthvae.evaluation.validity import copied, count_copies
from synthvae.schema import Schema
from synthvae.scoring import evaluate
from tests.evaluation.evaluation_example import SCHEMA, clinic, letters, table, yes_no


def attack(
    train: pd.DataFrame,
    holdout: pd.DataFrame,
    synthetic: pd.DataFrame,
    schema: Schema = SCHEMA,
    seed: int = 0,
) -> AttackFindings:
    tables = prepare(train, holdout, synthetic, schema, np.random.default_rng(seed))
    return run_attacks(tables, "screen", np.random.default_rng(seed))


def test_distances_worked_out_by_hand() -> None:
    schema = Schema.from_dict(
        {
            "fields": [
                {"name": "x", "type": "integer", "constraints": {"minimum": 0, "maximum": 10}},
                {"name": "c", "constraints": {"enum": ["a", "b"]}},
            ]
        }
    )
    published = table([0, 1], [0, 10])  # the model's order: categories, then numbers
    # A copy; the whole range costs 1 in place and a half in rank (another category costs 1, so the
    # second row is closer to the first published one); half the range costs half of that.
    asked = table([0, 0, 0], [0, 10, 5])
    found = distances(asked, published, schema)
    assert found[0] == 0
    assert found[1] == pytest.approx(np.sqrt(0.5 * 1**2 + 0.5 * 0.5**2))
    assert found[2] == pytest.approx(np.sqrt(0.5 * 0.5**2 + 0.5 * 0.25**2))


def test_a_patients_rows_count_once_by_their_mean() -> None:
    schema = yes_no(1)
    rows = table([0, 1, 1])
    rows.patients[:] = [5, 5, 2]
    assert distances(rows, table([0]), schema).tolist() == pytest.approx([1.0, 0.5])


def test_the_second_neighbour_leaves_out_the_point_itself() -> None:
    points = np.array([[0.0], [1.0], [5.0]])
    assert closest(points, points, neighbour=1).tolist() == [1.0, 1.0, 4.0]


def test_the_scores_carry_references_and_a_warning() -> None:
    found = attack(clinic(400, 1), clinic(200, 2), clinic(400, 3))
    area, share = found.scores[:2]
    assert area.value == found.attacks[0].auc
    assert area.references["chance"] == 0.5
    assert area.references["independent"] == pytest.approx(0.5, abs=0.12)
    assert "tripwire" in area.meaning
    assert found.attacks[0].tripwire
    assert not any(other.tripwire for other in found.attacks[1:])
    assert "Yao et al. 2025" in found.attacks[0].meaning
    assert share.interval.low <= share.value <= share.interval.high


def test_members_and_others_are_disjoint_patients() -> None:
    schema = SCHEMA.replace(
        patientKey="id",
        maxRows=2,
        fields=[{"name": "id"}, *SCHEMA.to_dict()["fields"]],
    )
    train, holdout = clinic(60, 1), clinic(40, 2)
    train.insert(0, "id", np.arange(60) // 2)
    holdout.insert(0, "id", 20 + np.arange(40) // 2)
    found = attack(train, holdout, clinic(60, 3), schema)
    # Patients 20 to 29 are in both: 20 of train remain, and 10 of the holdout, half as reference.
    assert (found.attacks[0].members, found.attacks[0].non_members) == (20, 5)
    assert "10 patients in both" in found.notes[0]
    holdout["id"] = np.arange(40) // 2
    nobody = attack(train, holdout, clinic(60, 3), schema)
    assert nobody.attacks == ()
    assert "needs 5 patients" in nobody.scores[0].not_run


def test_roc_agrees_with_sklearn() -> None:
    g = np.random.default_rng(0)
    members, others = (
        g.integers(1, 31, size=80).astype(float),
        g.integers(30, size=90).astype(float),
    )
    fpr, tpr = roc(members, others)
    labels, scores = np.repeat([1, 0], [80, 90]), np.r_[members, others]
    expected = roc_curve(labels, scores, drop_intermediate=False)
    assert fpr == pytest.approx(expected[0], abs=1e-6)
    assert tpr == pytest.approx(expected[1], abs=1e-6)
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc_score(labels, scores), abs=1e-5)
    long = roc(g.normal(size=3000), g.normal(size=3000))
    assert len(long[0]) == 200
    assert (long[0][0], long[1][-1]) == (0, 1)


def test_true_positives_at_a_rate_worked_out_by_hand() -> None:
    others = np.arange(10.0)
    # One false alarm in ten is allowed: above 8 are 8.5, 9.5 and 20 among members.
    assert true_positives(np.array([8.5, 9.5, 20, 1]), others, 0.1)[0] == 0.75
    assert true_positives(np.array([8.5, 9.5, 20, 1]), others, 0.01)[0] == 0.5
    assert true_positives(np.zeros(5), np.zeros(5), 0.1)[0] == 0


def test_the_detection_limit_is_what_four_of_five_trials_find() -> None:
    limit = detection_limit(200, 200)
    critical = float(stats.norm.isf(significance.ERROR / significance.FAMILY))
    g = np.random.default_rng(0)
    shift = 2**0.5 * float(np.sqrt(2) * _inverse_erf(2 * limit - 1))
    found = 0
    for _ in range(300):
        members, others = g.normal(shift, 1, 200), g.normal(0, 1, 200)
        area = roc_auc_score(np.repeat([1, 0], 200), np.r_[members, others])
        found += area - 0.5 > critical * (401 / (12 * 200 * 200)) ** 0.5
    assert 0.7 < found / 300 < 0.9


def _inverse_erf(value: float) -> float:
    from scipy.special import erfinv

    return erfinv(value)


def test_copies_are_counted_beside_the_holdouts_rate() -> None:
    schema = yes_no(2)
    train, holdout = letters("aabb", "abab"), letters("aacc", "abab")
    tables = prepare(train, holdout, letters("abcc", "aacc"), schema, np.random.default_rng(0))
    score = count_copies(tables)
    # Synthetic aa and ba stand in train, cc twice does not; of the holdout aa and ab do.
    assert score.value == 0.5
    assert score.references["holdout"] == score.goal == 0.5
    assert copied(table([0, 1], [2, 2]), table([0], [2])).tolist() == [True, False]


def test_invalid_rows_are_no_copies() -> None:
    schema = Schema.from_dict(
        {"fields": [{"name": "c", "constraints": {"enum": ["a", "b"], "required": False}}]}
    )
    train, held, made = (pd.DataFrame({"c": values}) for values in (["", "a"], ["a"], ["z", ""]))
    scores = evaluate(train, held, made, schema)
    assert scores.score("copies").value == 0.5
    assert scores.score("valid_cells").value == 0.5
