"""The report in a real browser: Chromium, headless, with the network off."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.report import screens

pytestmark = pytest.mark.browser

Visit = Callable[..., Any]  # opens a page; it also holds what the browser complained of


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, text in screens.pages().items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if screens.CHROMIUM is None:
        assert os.environ.get("CI") != "true", "no chromium is installed"
        pytest.skip("no chromium is installed: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=screens.CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any, files: Path) -> Iterator[Visit]:
    """Return a function that opens a page from disk, offline, and remembers what it complains of."""
    contexts = []

    def opened(name: str, width: int = 1400, **more: Any) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, offline=True, **more
        )
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.asked = [], []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto((files / f"{name}.html").as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


def everything_open(page: Any) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")


@pytest.mark.parametrize("name", ["custodian", "public", "void", "bare", "ten", "fifty", "wide"])
def test_it_opens_from_disk_with_the_network_off_and_complains_of_nothing(
    visit: Visit, name: str
) -> None:
    page = visit(name)
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert len([url for url in page.asked if not url.startswith("data:")]) == 1
    assert page.locator("main h1").count() == 1


def test_every_link_of_the_contents_leads_to_its_part(visit: Visit) -> None:
    page = visit("custodian", reduced_motion="reduce")
    links = page.locator("nav a")
    assert links.count() >= 20
    for place in range(links.count()):
        goal = links.nth(place).get_attribute("href")
        links.nth(place).click()
        assert page.evaluate("location.hash") == goal
        top = page.locator(goal).bounding_box()["y"]
        at_the_end = page.evaluate(
            "Math.ceil(scrollY + innerHeight) >= document.documentElement.scrollHeight - 2"
        )
        assert at_the_end or -2 <= top <= 120, goal
        assert page.locator(goal).inner_text().strip()


def test_it_can_be_used_by_keyboard_alone(visit: Visit) -> None:
    page = visit("custodian")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the decision"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#decision"
    seen = []
    for _ in range(400):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                """() => {
                  const now = document.activeElement, style = getComputedStyle(now);
                  return [now.tagName, now.textContent.trim().slice(0, 40), style.outlineStyle];
                }"""
            )
        )
        if seen[-1][0] == "BODY":
            break
    used = [one for one in seen if one[0] != "BODY"]
    assert {"A", "SUMMARY", "BUTTON", "INPUT", "DIV"} <= {kind for kind, _, _ in used}
    assert all(outline not in ("none", "") for _, _, outline in used)

    first = page.locator(".claim summary").first
    first.focus()
    page.keyboard.press("Enter")
    assert page.locator(".claim details").first.get_attribute("open") is not None

    button = page.locator("#fidelity table.sortable button", has_text="Holdout").first
    button.focus()
    page.keyboard.press("Enter")
    head = page.locator("#fidelity table.sortable th[aria-sort]").first
    assert head.get_attribute("aria-sort") == "ascending"
    table = page.locator("#fidelity table.sortable").first
    shown = [float(cell) for cell in table.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert shown == sorted(shown)
    page.keyboard.press("Enter")
    shown = [float(cell) for cell in table.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)


def test_columns_are_found_by_name_among_three_hundred(visit: Visit) -> None:
    page = visit("wide")
    assert page.locator("details.more").first.get_attribute("open") is None
    page.locator("#filter").focus()
    page.keyboard.type("value_29")
    names = page.locator(".margin:not([hidden]) .title").all_inner_texts()
    assert len(names) == 11
    assert all("value_29" in name for name in names)
    assert page.locator("#filtered").inner_text() == "11 of 300"
    page.locator("#filter").fill("")
    assert page.locator(".margin:not([hidden])").count() == 300


def test_without_scripts_everything_can_be_read(visit: Visit) -> None:
    page = visit("custodian", java_script_enabled=False)
    assert page.locator(".tools").is_visible() is False
    assert page.locator("main > section").count() == 9
    assert page.locator("table.sortable").first.is_visible()
    page.locator(".claim summary").first.click()
    assert page.locator(".claim details li").first.is_visible()


def violations(page: Any) -> dict[str, list[str]]:
    """Return what axe-core finds wrong, with the first places of each."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return {one["id"]: [node["html"][:160] for node in one["nodes"][:3]] for one in found}


@pytest.mark.parametrize(
    ("name", "scheme"),
    [("custodian", "light"), ("custodian", "dark"), ("public", "light"), ("void", "dark"),
     ("bare", "light")],
)  # fmt: skip
def test_axe_finds_no_violation(visit: Visit, name: str, scheme: str) -> None:
    page = visit(name, color_scheme=scheme)
    everything_open(page)
    assert violations(page) == {}


def test_faults_planted_on_purpose_are_found(visit: Visit) -> None:
    page = visit("bare")
    page.evaluate(
        """() => {
          document.querySelector("main").insertAdjacentHTML("beforeend",
            '<img src="data:image/png;base64,"><p style="color: #ccc; background: #fff">pale</p>');
          const script = document.createElement("script");
          script.textContent = "1 + 1";
          document.body.append(script);
        }"""
    )
    assert {"image-alt", "color-contrast"} <= set(violations(page))
    assert any("Content Security Policy" in text for text in page.complaints)


@pytest.mark.parametrize("name", ["custodian", "public", "void", "bare", "ten", "fifty", "wide"])
@pytest.mark.parametrize("width", [*screens.WIDTHS, 2200])
def test_nothing_sticks_out_at_any_width(visit: Visit, name: str, width: Any) -> None:
    page = visit(name, width)
    everything_open(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter((part) => {
          const box = part.getBoundingClientRect();
          return box.width > 0 && box.right > innerWidth + 1 && !part.closest(".scroll")
            && !part.closest("svg");
        }).map((part) => part.outerHTML.slice(0, 100))"""
    )
    assert outside == []


@pytest.mark.parametrize(
    ("name", "most"), [("custodian", 22), ("public", 22), ("ten", 22), ("fifty", 26), ("wide", 30)]
)
def test_it_prints_on_a4_in_sensible_pages(visit: Visit, name: str, most: int) -> None:
    page = visit(name)
    printed = page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox \[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", printed)
    sizes = {(round(float(wide)), round(float(high))) for wide, high in boxes}
    assert sizes in ({(595, 842)}, {(594, 842)}, {(596, 842)})
    assert 6 <= len(re.findall(rb"/Type /Page\b(?!s)", printed)) <= most
    page.emulate_media(media="print")
    hidden = page.evaluate("getComputedStyle(document.querySelector('.tools')).display")
    assert hidden == "none"


@pytest.mark.parametrize("width", screens.WIDTHS)
def test_it_looks_as_it_did(visit: Visit, width: Any) -> None:
    page = visit("custodian", width)
    kept = json.loads(screens.LAYOUT.read_text(encoding="utf-8"))[str(width)]
    found = screens.layout(page)
    assert list(found) == list(kept)
    for part, share in kept.items():  # fonts differ between machines; the order of sizes does not
        assert abs(found[part] - share) <= 0.02 + 0.25 * share, part
    before = screens.blocks(Image.open(screens.FOLDER / f"{width}.webp"))
    now = screens.blocks(screens.picture(page, width))
    assert np.abs(before - now).mean() < 8, "look at it; then `python -m tests.report.screens`"


def test_kept_pictures_stay_small() -> None:
    assert sum(file.stat().st_size for file in screens.FOLDER.iterdir()) < 600_000
