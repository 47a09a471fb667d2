import re
from typing import Any

import pytest

from synthvae._text import delta_text, epsilon_text
from synthvae.report import phrases, render
from synthvae.report.phrases import direction, exact, fit, number, plain, power, share, shorten
from tests.report import report_example as example


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (0.0672, "0.067"),
        (-0.5, "−0.500"),
        (0.0004, "4 × 10⁻⁴"),
        (1234.5, "1,234.5"),
        (2.5e8, "2.5 × 10⁸"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_number(value: Any, text: str) -> None:
    assert number(value) == text


def test_settings_keep_their_digits() -> None:
    assert [exact(value) for value in (1.0, 0.0471, 1e-6, 12000.0, None)] == [
        "1", "0.0471", "10⁻⁶", "12,000", "–",
    ]  # fmt: skip
    assert power(-3e-7) == "−3 × 10⁻⁷"
    assert share(0.1234) == "12.3 %"


def test_directions_are_said_in_words() -> None:
    assert direction("higher", None) == "higher is better"
    assert direction("towards", 0.5) == "best at 0.50"


@pytest.mark.parametrize("text", ["a\u202egpj.exe", "a\x00b", "a\x1b[31m", "a\u2066b", "\ud800"])
def test_plain_text_hides_nothing(text: str) -> None:
    shown = plain(text)
    assert shown.encode("utf-8")
    assert not set(shown) & {"\u202e", "\x00", "\x1b", "\u2066"}


def test_long_names_keep_both_ends() -> None:
    assert shorten("x" * 50 + "_day_1", 12) == "xxxxxxx…ay_1"
    assert len(shorten("é" * 500, 20)) == 20
    assert fit("W" * 40, 84).count("W") < fit("i" * 40, 84).count("i")
    assert fit("漢字" * 20, 84) != "漢字" * 20


def test_figures_without_end_are_said_to_be() -> None:
    assert (power(float("inf")), power(float("-inf")), power(float("nan"))) == ("∞", "−∞", "–")
    assert exact(float("nan")) == "–"


@pytest.mark.parametrize(
    ("spent", "text"),
    [
        (0.99975, "1"),
        (1.0, "1"),
        (1.0001, "1.01"),
        (0.0471, "0.0471"),
        (12.34, "12.4"),
        (2e-6, "2 × 10⁻⁶"),
    ],
)
def test_an_epsilon_is_rounded_up_and_the_same_everywhere(spent: float, text: str) -> None:
    assert epsilon_text(spent) == phrases.epsilon(spent) == text
    guarantee = example.guarantee(epsilon=spent, epsilon_budget=20.0)
    page = render(example.evaluation(3), guarantee)
    shown = set(re.findall(r"ε = ([\d.]+)\b(?![\d.]| ±)", page)) - {"20"}
    assert shown == {text.split(maxsplit=1)[0]}


def test_a_delta_is_rounded_up() -> None:
    assert [delta_text(delta) for delta in (1e-5, 4.12e-6, 0.01)] == ["10⁻⁵", "4.2 × 10⁻⁶", "0.01"]
