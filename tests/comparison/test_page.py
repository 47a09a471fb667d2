"""The page of a comparison: offline, marked, readable without seeing a picture."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from synthvae.comparison.page import render
from synthvae.comparison.results import OURS, Comparison, mean
from tests.comparison.comparison_example import MEANINGS, comparison


@pytest.fixture(scope="module")
def page() -> str:
    return render(comparison())


class Reader(HTMLParser):
    """Collects tags, attributes and what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def test_the_same_values_give_the_same_page(page: str) -> None:
    assert page == render(Comparison.model_validate_json(comparison().to_json()))


def test_nothing_is_loaded_and_names_are_escaped(page: str) -> None:
    assert "default-src 'none'" in page
    tags = read(page).tags
    assert not {"script", "link", "iframe", "img", "object"} & {tag for tag, _ in tags}
    for _, attributes in tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "<i>small</i>" not in page
    assert "<b>calibration</b>" not in page
    assert "<u>left out</u>" not in page


def test_it_is_marked_and_warns_against_choosing_by_it(page: str) -> None:
    text = re.sub(r"\s+", " ", " ".join(read(page).words))
    assert "NOT FOR RELEASE" in text
    assert "a use of the real data that nobody paid for" in text
    assert "At epsilon 0.5, independent" in text
    # 4 methods, 3 budgets, 2 runs, whether they failed or not.
    assert "24 fits" in text


def test_every_figure_has_a_direction_a_meaning_and_a_picture_with_words(page: str) -> None:
    text = " ".join(read(page).words)
    pictures = [a for tag, a in read(page).tags if tag == "svg" and a.get("class") == "plot"]
    labels = [a["aria-label"] or "" for a in pictures]
    for meaning in MEANINGS:
        assert meaning.meaning in text
        assert any(
            label.startswith(f"{meaning.title} by epsilon: synthvae 0.4") for label in labels
        )
    assert "best at 0.50" in text
    assert "lower is better" in text
    # The numbers are in a table that opens.
    assert page.count("<summary>The numbers</summary>") == 2
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.S):
        ET.fromstring(svg)


def test_means_intervals_costs_failures_and_notes_are_there(page: str) -> None:
    cells = re.findall(r"<tr><th scope=\"row\">synthvae</th><td>1</td><td>2</td>(.*?)</tr>", page)
    # The mean of 0.45 and 0.452, and Student's interval of two runs.
    assert cells[0].startswith('<td>0.451<span class="interval">0.438 to 0.464</span></td>')
    assert "× 2.82" in page  # seconds of aim, 15.5 over 5.5
    assert "× 3.00" in page  # its memory
    assert "0, 2 failed" in page
    assert "took longer than the timeout of 60 seconds" in page
    assert "calibration_rounds 0" in page
    text = re.sub(r"\s+", " ", "".join(read(page).words))
    assert (
        text.count("2 runs: some triples were <u>left out</u>") == 2
    )  # of budgets that did not fail


def test_ids_are_unique_and_links_lead_somewhere() -> None:
    reader = read(render(comparison(sizes=(100, 1000), runs=1)))
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [a["href"] for tag, a in reader.tags if tag == "a"]
    assert all((link or "")[1:] in ids for link in links)
    assert "1,000 training patients" in " ".join(reader.words)


def test_how_many_records_of_baselines_broke_a_rule_stands_where_there_are_rules(page: str) -> None:
    result = comparison()
    summaries = tuple(
        one
        if one.method == OURS
        else one.model_copy(update={"costs": one.costs | {"refused": mean([3.25, 3.75])}})
        for one in result.summaries
    )
    ruled = render(result.model_copy(update={"summaries": summaries}))
    assert "Refused" not in page
    assert '<th scope="col">Refused</th><th scope="col">Repaired</th>' in ruled
    assert "<td>3.50</td><td>–</td></tr>" in ruled
    assert "broke a rule of the schema, for each that keeps all of them" in ruled
