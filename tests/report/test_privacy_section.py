"""The guarantee's section: groups, the second accountant, what it rests on."""

import re
from html import unescape

import pytest

from synthvae.privacy.guarantee import Guarantee, SecondOpinion
from synthvae.report import render
from synthvae.report.privacy_section import group_table
from tests.report import report_example as example
from tests.report.test_page import Page


def facts(guarantee: Guarantee) -> dict[str, str]:
    """Return the facts of the guarantee's section, by name."""
    page = render(example.few_figures(), guarantee)
    section = page[page.index('id="guarantee"') : page.index('id="attacks"')]
    return {
        name: unescape(value)
        for name, value in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", section)
    }


def test_groups_stand_in_a_table_with_plain_words() -> None:
    rows = group_table(example.guarantee(), (0.998, 1e-5)).rows
    assert [row[0] for row in rows][:2] == [
        "One patient is there or not: the guarantee",
        "One patient's record is replaced by another",
    ]
    # e^0.998 = 2.713 and e^2.176 = 8.811, rounded up; 8.811 / 9.811 and 89.8 %
    assert rows[0][1:] == ("0.998", "2.72 times", "73.1 %")
    assert rows[1][1:] == rows[2][1:] == ("2.18", "8.82 times", "89.9 %")
    assert rows[-1] == (
        "5 patients are there or not, such as a family", "no bound", "no bound", "always",
    )  # fmt: skip


def test_the_second_accountant_stands_beside_the_first_or_says_why_not() -> None:
    shown = facts(example.guarantee())
    assert shown["Second accountant"] == "ε = 0.998 ± 0.02, by privacy random variables (Opacus)"
    names = list(shown)
    assert names.index("Second accountant") == names.index("Accountant") + 1
    silent = SecondOpinion(accountant="x", epsilon=None, error=None, unavailable="too <b>small")
    shown = facts(example.guarantee(second_opinion=silent))
    assert shown["Second accountant"] == "x: no figure; too <b>small"
    assert shown["Code of the fit (SHA-256)"] == "c0de" * 16
    assert facts(example.void_guarantee())["Second accountant"] == "–"


def test_the_page_shows_what_the_guarantee_rests_on() -> None:
    text = Page(render(example.few_figures(), example.guarantee())).text
    assert re.search(r"What the guarantee assumes\s+nobody breaks the stream cipher", text)
    assert "2 patients are there or not" in text
    assert "c0de" * 16 in text
    void = Page(render(example.few_figures(), example.void_guarantee())).text
    assert "What the guarantee assumes" not in void
    assert "patients are there or not" not in void


def test_the_page_says_what_was_spent_before_the_fit() -> None:
    said = (
        "spent on choosing maxRows, by a noisy histogram of rows per patient; together with the fit"
    )
    paid = Page(render(example.few_figures(), example.guarantee(epsilon_before_fit=0.1691))).text
    assert f"Before the fit, ε = 0.17 was {said} it is ε = 0.998" in paid
    assert said not in Page(render(example.few_figures(), example.guarantee())).text


@pytest.mark.parametrize("size", [-1e308, -1.0, 0.0, 1e-320, 800.0, 1e308])
def test_odd_figures_of_groups_make_a_page(size: float) -> None:
    odd = example.guarantee(
        group_epsilon={2: size},
        replace_epsilon=size,
        second_opinion=SecondOpinion(accountant="", epsilon=size, error=size),
    )
    assert "What the guarantee means for groups" in render(example.few_figures(), odd)
