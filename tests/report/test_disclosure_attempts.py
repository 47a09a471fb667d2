"""Attempts to invert figures of the public rendering, as an auditor made them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.attacks.membership import DOMIAS, NEAR
from synthvae.attacks.success import membership_attack, worst_risk
from synthvae.evaluation import results
from synthvae.evaluation.intervals import clopper_pearson
from synthvae.evaluation.results import (
    Analysis,
    Associations,
    Evaluation,
    GroupFigure,
    Score,
    Threshold,
)
from synthvae.report.disclosure import for_public
from synthvae.report.disclosure_rules import ACRO, Profile
from synthvae.report.disclosure_scores import SMALL_NUMBERS, _explains, _is_term_of
from tests.report import report_example as example
from tests.report.disclosure_example import counted, evaluation, facts, score


def test_groups_give_no_second_figure_to_subtract() -> None:
    train, held = (500, 30, 3, 40), (100, 20, 2, 12)
    groups = tuple(
        GroupFigure(column="ward", group=g, key="group_share", patients=p, value=0.01)
        for g, p in zip("abcd", train, strict=True)
    )
    worst = score("group_share", 0.0123)
    found = for_public(counted(train, holdout=held, groups=groups, scores=(worst,)), ACRO)
    assert found.groups == ()
    assert found.scores[0].value is None
    assert found.scores[0].not_run == "withheld: figures of groups of real patients"
    assert (
        found.to_json() == for_public(counted(train, holdout=held, scores=(worst,)), ACRO).to_json()
    )


def guessed(won: int, of: int, won_others: int, others: int) -> Evaluation:
    guesses = {"a": (np.arange(of) < won, np.arange(others) < won_others)}
    found = worst_risk(NEAR, guesses, "d")
    tables = facts(2000, 2000)
    return for_public(evaluation(tables=tables, risks=found.risks, scores=found.scores), ACRO)


def test_a_coded_rate_stays_coded_in_gain_intervals_and_scores() -> None:
    found = guessed(1, 410, 0, 410)
    for right, others in ((0, 0), (9, 0), (0, 9), (10, 10), (7, 5)):
        assert guessed(right, 410, others, 410).to_json() == found.to_json()
    assert guessed(25, 410, 0, 410).to_json() != found.to_json()
    risk = found.risks[0]
    assert risk.gain_interval.low <= -19 / 410
    assert risk.gain_interval.high >= 19 / 410
    assert (found.scores[0].value, found.scores[0].interval) == (risk.gain, risk.gain_interval)


def test_a_profile_of_huge_steps_shows_no_rates() -> None:
    guesses = {"a": (np.arange(410) < 1, np.arange(410) < 0)}
    risks = worst_risk(NEAR, guesses, "d").risks
    huge = Profile(name="huge", smallest_cell=2, round_to=300)
    assert for_public(evaluation(tables=facts(2000, 2000), risks=risks), huge).risks == ()


def test_nor_can_all_but_a_few_right_guesses_be_counted() -> None:
    assert guessed(399, 410, 391, 410).to_json() == guessed(395, 410, 393, 410).to_json()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 700), st.integers(0, 700))
def test_public_intervals_of_rates_hold_the_custodians(won: int, control_won: int) -> None:
    found = guessed(won, 700, control_won, 700).risks[0]
    for right, interval in (
        (won, found.success_interval),
        (control_won, found.control_interval),
    ):
        exact = clopper_pearson(right, 700)
        assert interval.low <= exact.low
        assert interval.high >= exact.high
    assert found.gain_interval.low <= (won - control_won) / 700 <= found.gain_interval.high


def attacked(side: int, found: int = 0, seed: int = 0) -> tuple[Evaluation, Evaluation]:
    gen = np.random.default_rng(seed)
    members = np.r_[np.full(found, 10.0), gen.random(side - found)]
    made = membership_attack(DOMIAS, "D", (members, gen.random(side)), gen)
    base = evaluation(tables=facts(2000, 2000), attacks=made.attacks, scores=made.scores)
    return base, for_public(base, ACRO)


def test_no_curve_of_few_patients_and_no_point_of_few() -> None:
    _, few = attacked(40, 2)
    assert few.attacks == ()
    assert [one.not_run for one in few.scores] == [SMALL_NUMBERS] * 2
    base, found = attacked(400, 2)
    assert base.attacks[0].tpr[0] != 0 or base.attacks[0].tpr[1] > 0
    shown = found.attacks[0]
    assert (shown.fpr[0], shown.tpr[0], shown.tpr_at) == (0.0, 0.0, ())
    assert len(shown.fpr) == len(shown.tpr) == 11
    assert all(round(rate * 20) == pytest.approx(rate * 20) for rate in shown.tpr)
    assert found.scores[0].interval == shown.auc_interval
    assert found.scores[1].value is None


def test_copies_of_a_single_patient_are_none() -> None:
    scores = [
        score("copies", k / 500, "privacy", interval=clopper_pearson(k, 500)) for k in range(20)
    ]
    found = [
        for_public(evaluation(tables=facts(645, 500, 4), scores=(one,)), ACRO).to_json()
        for one in scores
    ]
    assert len(set(found)) == 1


def test_the_distance_of_one_column_is_that_of_what_is_shown() -> None:
    exact = score("tvd1", 0.012345, references={"holdout": 0.01})
    found = [
        for_public(counted((560, 40, c, 60), holdout=(300, 100, 20, 80), synthetic=(9, 9, 9, 9),
                           scores=(exact.model_copy(update={"value": 0.01 + c / 660}),)), ACRO)
        for c in (2, 3, 9)
    ]  # fmt: skip
    assert len({one.to_json() for one in found}) == 1
    assert found[0].scores[0].value == found[0].margins[0].distance
    assert found[0].scores[0].references["holdout"] == found[0].margins[0].holdout_distance


def test_distances_of_hardly_any_columns_are_withheld() -> None:
    given_ = (score("tvd2", 0.05), score("sdmetrics_shapes", 0.9))
    for columns, shown in ((2, False), (3, True)):
        tables = facts(4000, 1000, columns)
        found = for_public(evaluation(tables=tables, scores=given_), ACRO)
        assert [one.value is not None for one in found.scores] == [shown, shown]


def test_a_rule_that_one_real_row_breaks_says_no_row() -> None:
    def rule(rows: int) -> Score:
        references = {"train": rows / 608, "holdout": rows / 544, "independent": 0.02}
        one = score("rule.x", 0.01, "validity", references=references, goal=rows / 608)
        return for_public(evaluation(tables=facts(608, 544), scores=(one,)), ACRO).scores[0]

    assert rule(0) == rule(1) == rule(19) != rule(20)
    assert (rule(1).value, rule(1).goal, rule(1).references["train"]) == (0.01, 0.0, 0.0)


def test_thresholds_beside_a_reference_follow_the_published_one() -> None:
    def skill(real: float) -> Score:
        limit = Threshold(good=real - 0.03, poor=real - 0.1, basis="project default", source="s")
        one = score("tstr.event.linear", 0.7, "utility", references={"real": real}, threshold=limit)
        return for_public(evaluation(tables=facts(2000, 1000, 5), scores=(one,)), ACRO).scores[0]

    assert skill(0.7011).threshold == skill(0.7044).threshold
    assert skill(0.7011).threshold.good == pytest.approx(0.67)


def test_the_share_of_an_outcome_is_no_reference() -> None:
    one = score("auprc.event.linear", 0.7, "utility", references={"chance": 0.1234, "real": 0.71})
    found = for_public(evaluation(tables=facts(2000, 1000, 5), scores=(one,)), ACRO).scores[0]
    assert found.references == {"real": 0.71}


def test_no_two_analyses_differ_by_a_row() -> None:
    base = example.analyses()[0]
    analyses = [
        base.model_copy(update={"name": str(rows), "real_rows": rows}) for rows in (573, 572, 7)
    ]
    curves = Analysis(
        name="km", kind="kaplan-meier", formula="y", real_rows=900, synthetic_rows=9,
        curves=(results.Curve(group="g", times=(0, 1), real=(1, 0.5), synthetic=(1, 0.5)),),
    )  # fmt: skip
    found = for_public(evaluation(tables=facts(620, 600), analyses=(*analyses, curves)), ACRO)
    assert [one.real_rows for one in found.analyses] == [560, 560, 0, 0]
    assert [one.not_run for one in found.analyses] == [None, None, SMALL_NUMBERS, SMALL_NUMBERS]
    assert [len(one.coefficients) for one in found.analyses] == [4, 4, 0, 0]
    assert found.analyses[3].curves == ()


def test_a_term_of_a_small_category_is_left_out_and_others_have_two_digits() -> None:
    one = example.analyses()[0]
    terms = (
        example.coefficient("column 0 = c", 5.123, 1.0),
        example.coefficient("age", 0.12345, 0.1),
    )
    one = one.model_copy(update={"coefficients": terms})
    found = for_public(counted((500, 97, 3), analyses=(one,)), ACRO).analyses[0]
    assert [(term.term, term.real) for term in found.coefficients] == [("age", 0.12)]


def test_associations_of_columns_with_a_small_cell_are_left_out() -> None:
    names = ("column 0", "column 1", "column 2")
    square = tuple(tuple(1.0 if i == j else 0.333 for j in range(3)) for i in range(3))
    found = Associations(columns=names, measure="m", train=square, synthetic=square)
    base = counted((300, 300), (597, 3), (200, 400), associations=found)
    shown = for_public(base, ACRO).associations
    assert shown.columns == ("column 0", "column 2")
    assert shown.train == ((1.0, 0.35), (0.35, 1.0))


def test_a_table_of_too_few_patients_shows_nothing_real() -> None:
    found = for_public(counted((50, 40), holdout=(40, 45), scores=(score("c2st", 0.6),)), ACRO)
    assert found.margins == ()
    assert found.scores[0].value is None
    assert (found.tables.train_rows, found.tables.train_patients) == (0, 80)


def test_an_analysis_of_an_outcome_with_a_small_cell_is_left_out() -> None:
    """Its intervals follow the number of patients with the outcome: 3 are told from 4."""
    one = example.analyses()[0].model_copy(
        update={"name": "rare", "formula": "column 0 ~ column 1", "real_rows": 603}
    )
    survival = one.model_copy(update={"name": "s", "formula": "Surv(column 1, column 0) ~ age"})
    mean = score("overlap.rare", 0.7, "utility", title="Overlap of confidence intervals: rare")
    cases = {}
    for rare in (3, 60):
        columns = (600, rare), (400, 200 + rare)
        found = for_public(counted(*columns, analyses=(one, survival), scores=(mean,)), ACRO)
        assert {bool(each.not_run) for each in found.analyses} == {rare == 3}
        cases[rare] = (found.analyses[0].real_rows, found.scores[0].value is None)
    assert cases == {3: (0, True), 60: (600, False)}


def test_a_title_does_not_say_which_analysis_a_score_is_of() -> None:
    fine = example.analyses()[0].model_copy(
        update={"name": "Of all!", "formula": "column 1 ~ age", "real_rows": 603}
    )
    rare = fine.model_copy(update={"name": "rare", "formula": "column 0 ~ age"})
    titled = {"overlap.rare": "Overlap: Of all!", "overlap.of-all": "rare", "overlap.no": "rare"}
    scores = tuple(score(key, 0.7, "utility", title=titled[key]) for key in titled)
    base = counted((600, 3), (400, 203), analyses=(fine, rare), scores=scores)
    found = for_public(base, ACRO).scores
    assert [one.value is None for one in found] == [True, False, True]


@pytest.mark.parametrize("name", ["a ~ b", "a = b", "b, c)", "Surv(a"])
def test_a_column_whose_name_looks_like_a_formula_is_withheld_like_any(name: str) -> None:
    for term in (name, f"{name} = x", f"{name} = x = y"):
        assert _is_term_of(term, {"z", name})
    for formula in (f"{name} ~ age + sex", f"Surv(days, {name}) ~ age", name):
        assert _explains(formula, {"z", name})
    assert not _is_term_of("age = b", {name})
    assert not _explains(f"died ~ {name}", {name})
    assert not _explains(f"Surv(days, died) ~ {name}", {name})


def test_a_target_with_a_small_cell_is_not_scored() -> None:
    """Whether a model of it could be fitted tells whether there is a patient with the outcome."""
    given_ = (
        score("tstr.column 0.linear", 0.7, "utility"),
        score("rank_agreement.column 0", 1.0, "utility"),
        score("tstr.column 1.linear", 0.7, "utility"),
    )
    gone = given_[0].model_copy(update={"value": None, "not_run": "has one class only"})
    texts = set()
    for rare, scores in ((3, given_), (0, (gone, *given_[1:]))):
        columns = (603 - rare, rare), (400, 203)
        found = for_public(counted(*columns, synthetic=(9, 9), scores=scores), ACRO)
        assert [one.value is None for one in found.scores] == [True, True, False]
        texts.add(found.to_json())
    assert len(texts) == 1


def test_the_worst_pairs_are_further_off_than_the_cut_by_what_is_published() -> None:
    names = ("column 0", "column 1", "column 2", "column 3")
    exact = {(0, 1): 0.301, (0, 2): 0.204, (0, 3): 0.1999}
    pairs = tuple(
        results.PairDistance(columns=(names[i], names[j]), distance=d, holdout_distance=0.05)
        for (i, j), d in exact.items()
    )
    base = counted(*[(300, 300)] * 4, worst_pairs=pairs)
    for columns, shown in ((3, 3), (4, 1)):  # all pairs of three columns; three of six
        tables = base.tables.model_copy(update={"columns": columns})
        found = for_public(base.model_copy(update={"tables": tables}), ACRO).worst_pairs
        assert len(found) == shown
        assert found[0].columns == names[:2]
