"""The guarantee's section: groups, the second accountant, what it rests on."""

import re

import pytest

from synthvae.privacy.guarantee import SecondOpinion
from synthvae.report import render
from synthvae.report.privacy_section import promise
from tests.report import report_example as example
from tests.report.test_page import Page


def test_groups_stand_in_a_table_with_plain_words() -> None:
    table = promise(example.guarantee()).groups
    assert table is not None
    assert [row[0] for row in table.rows][:2] == [
        "One patient is there or not: the guarantee",
        "One patient's record is replaced by another",
    ]
    # e^0.998 = 2.713 and e^2.176 = 8.811, rounded up; 8.811 / 9.811 and 89.8 %
    assert table.rows[0][1:] == ("0.998", "2.72 times", "73.1 %")
    assert table.rows[1][1:] == table.rows[2][1:] == ("2.176", "8.82 times", "89.9 %")
    assert table.rows[-1] == (
        "5 patients are there or not, such as a family", "no bound", "no bound", "always",
    )  # fmt: skip


def test_the_second_accountant_stands_beside_the_first_or_says_why_not() -> None:
    facts = dict(promise(example.guarantee()).facts)
    assert facts["Second accountant"] == "ε = 0.9979 ± 0.01, by privacy random variables (Opacus)"
    names = list(facts)
    assert names.index("Second accountant") == names.index("Accountant") + 1
    silent = SecondOpinion(accountant="x", epsilon=None, error=None, unavailable="too <b>small")
    facts = dict(promise(example.guarantee(second_opinion=silent)).facts)
    assert facts["Second accountant"] == "x: no figure; too <b>small"
    assert facts["Code of the fit (SHA-256)"] == "c0de" * 16
    assert dict(promise(example.void_guarantee()).facts)["Second accountant"] == "–"


def test_the_page_shows_what_the_guarantee_rests_on() -> None:
    text = Page(render(example.evaluation(3), example.guarantee())).text
    assert re.search(r"What the guarantee assumes\s+nobody breaks the stream cipher", text)
    assert "2 patients are there or not" in text
    assert "c0de" * 16 in text
    void = Page(render(example.evaluation(3), example.void_guarantee())).text
    assert "What the guarantee assumes" not in void
    assert "patients are there or not" not in void


@pytest.mark.parametrize("size", [-1e308, -1.0, 0.0, 1e-320, 800.0, 1e308])
def test_odd_figures_of_groups_make_a_page(size: float) -> None:
    odd = example.guarantee(
        group_epsilon={2: size},
        replace_epsilon=size,
        second_opinion=SecondOpinion(accountant="", epsilon=size, error=size),
    )
    assert "What the guarantee means for groups" in render(example.evaluation(3), odd)
