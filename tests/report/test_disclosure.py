import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.errors import ConfigError
from synthvae.evaluation.values import Margin, TableFacts
from synthvae.report.cells import TOGETHER, cells_to_merge, control
from synthvae.report.disclosure import for_public
from synthvae.report.document import custodian_report, public_report
from synthvae.report.profiles import ACRO, HES, Profile, find_profile
from tests.report import report_example as example


def tables(train, holdout):
    return TableFacts(
        train_rows=train, train_patients=train, holdout_rows=holdout, holdout_patients=holdout,
        synthetic_rows=train, columns=1,
    )  # fmt: skip


def margin(train, holdout, synthetic):
    def shares(counts):
        return tuple(count / sum(counts) for count in counts)

    return Margin(
        column="ward", kind="category", labels=tuple("abcdefgh"[: len(train)]),
        train=shares(train), holdout=shares(holdout), synthetic=shares(synthetic),
        distance=0.1, holdout_distance=0.1,
    )  # fmt: skip


def test_a_table_worked_out_by_hand():
    # b is small in the holdout alone; alone it would follow from the total, so d goes with it.
    found = control(
        margin((100, 60, 20, 20), (40, 3, 41, 16), (90, 70, 20, 20)),
        tables(200, 100), HES, 1,
    )  # fmt: skip
    assert found.labels == ("a", "c", TOGETHER)
    assert found.train == (0.5, 0.1, 0.4)
    assert found.holdout == (0.4, 0.4, 0.2)  # 40, 41 and 15 + 5, to the nearest 5
    assert found.synthetic == (0.45, 0.1, 0.45)
    assert found.distance == pytest.approx(0.05)


def test_zeros_are_small_for_acro_and_shown_for_hes():
    one = margin((100, 0, 50, 50), (100, 0, 50, 50), (100, 0, 50, 50))
    assert control(one, tables(200, 200), HES, 1).labels == ("a", "b", "c", "d")
    assert control(one, tables(200, 200), ACRO, 1).labels == ("a", "d", TOGETHER)


def test_rows_are_not_patients():
    one = margin((100, 30, 70, 60), (100, 30, 70, 60), (100, 30, 70, 60))
    facts = tables(260, 260)
    assert control(one, facts, ACRO, 1).labels == ("a", "b", "c", "d")
    assert control(one, facts, ACRO, 5).labels == ("a", "c", TOGETHER)


def test_a_column_of_small_cells_alone_is_withheld():
    one = margin((4, 3, 5), (4, 3, 5), (4, 3, 5))
    assert control(one, tables(12, 12), ACRO, 1) is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=9),
    st.integers(2, 15),
    st.booleans(),
)
def test_nothing_small_is_shown_or_follows_from_a_total(cells, least, zeros):
    counts = tuple(zip(*cells, strict=True))
    merged = cells_to_merge(counts, least, zeros=zeros)
    shown = set(range(len(cells))) - merged
    for table in counts:
        for cell in shown:
            assert table[cell] >= least or (table[cell] == 0 and not zeros)
        if merged and shown:  # what a reader gets by taking the shown cells from the total
            rest = sum(table[cell] for cell in merged)
            assert rest >= least or (rest == 0 and not zeros)
            assert len(merged) > 1


def full():
    return custodian_report(
        example.evaluation(16), example.guarantee(), example.training(), example.context(16)
    )


@pytest.mark.parametrize("profile", [ACRO, HES], ids=lambda profile: profile.name)
def test_no_exact_count_of_patients_is_left(profile):
    base = example.evaluation(16)
    found = for_public(base, profile)
    smallest = profile.smallest_cell
    facts = found.tables
    assert facts.train_rows % profile.round_to == facts.holdout_patients % profile.round_to == 0
    assert facts.synthetic_rows == base.tables.synthetic_rows
    assert all(score.detail == "" for score in found.scores)
    assert all(risk.detail == "" for risk in found.risks)
    assert not any("reconstructed" in note for note in found.notes)
    for attack, full_attack in zip(found.attacks, base.attacks, strict=True):
        assert len(attack.fpr) == 11 < len(full_attack.fpr)
        for rate, shown, interval in attack.tpr_at:
            assert rate * full_attack.non_members >= smallest
            least = round(smallest / full_attack.members, profile.digits)
            for value in (shown, interval.low, interval.high):
                assert value == 0 or least <= value <= 1 - least
    assert all(figure.patients >= smallest for figure in found.groups)
    assert all(analysis.curves == () for analysis in found.analyses)


def test_a_small_group_and_the_next_smallest_are_left_out():
    names = {figure.group for figure in for_public(example.evaluation(3), ACRO).groups}
    assert names == {"female", "male", "white", "black", "hispanic"}  # not other (6), asian (33)


def test_a_regression_with_little_freedom_is_withheld():
    tight = example.analyses()[0].model_copy(update={"real_rows": 12})
    found = for_public(example.evaluation(3, analyses=(tight,)), ACRO).analyses[0]
    assert found.coefficients == ()
    assert "withheld" in found.not_run


def test_the_public_report_has_no_curve_and_is_never_better():
    report = full()
    public = public_report(report, HES)
    assert public.training is None
    assert public.decision.conditions == report.decision.conditions
    order = ("green", "open", "amber", "red")
    for one, other in zip(public.decision.claims, report.decision.claims, strict=True):
        assert order.index(one.level) >= order.index(other.level)


def test_without_a_word_on_rows_a_patient_no_cell_is_shown():
    base = example.evaluation(3)
    facts = base.tables.model_copy(update={"train_patients": 1000})
    unknown = custodian_report(base.model_copy(update={"tables": facts}))
    assert public_report(unknown, ACRO).evaluation.margins == ()
    assert public_report(custodian_report(base), ACRO).evaluation.margins != ()


def test_rounding_may_not_make_a_claim_better():
    one = example.score("tvd1", "fidelity", "Distance", 0.05004, threshold=None)
    one = one.model_copy(
        update={"threshold": example.LIMITS["tvd1"].model_copy(update={"good": 0.05})}
    )
    report = custodian_report(example.evaluation(3, scores=(one,)), example.guarantee())
    claim = public_report(report, ACRO).decision.claim("fidelity")
    assert (claim.level, "not rounded" in claim.reason) == ("amber", True)


def test_profiles_are_found_by_name_or_file(tmp_path):
    assert find_profile("acro") is ACRO
    file = tmp_path / "house.yaml"
    file.write_text("name: house\nsmallest_cell: 20\nround_to: 10\n")
    assert find_profile(str(file)) == Profile(name="house", smallest_cell=20, round_to=10)
    with pytest.raises(ConfigError, match="profile is 'nhs'; give acro or hes, or a file"):
        find_profile("nhs")
    file.write_text("name: house\nsmallest_cel: 20\n")
    with pytest.raises(ConfigError, match=r"unknown key 'smallest_cel' \(did you mean"):
        find_profile(str(file))
