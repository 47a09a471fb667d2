"""What the report looks like in a browser: pictures and places of its parts, to compare with.

python -m tests.report.screens      takes them anew; look at them before they are committed
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthvae.report import page_of
from synthvae.report.disclosure_rules import HES
from synthvae.report.document import Report, custodian_report, public_report
from tests.report import report_example as example

FOLDER = Path(__file__).parent / "screenshots"
LAYOUT = FOLDER / "layout.json"
WIDTHS = (360, 900, 1400)
HEIGHT = 1800
GRID = (12, 24)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


def report(columns: int = 16) -> Report:
    return custodian_report(
        example.evaluation(columns),
        example.guarantee(),
        example.training(),
        example.context(columns),
    )


def pages() -> dict[str, str]:
    """Return the pages that are looked at, by name."""
    full = report()
    return {
        "custodian": page_of(full),
        "public": page_of(public_report(full, HES)),
        "void": page_of(custodian_report(example.evaluation(4), example.void_guarantee())),
        "bare": page_of(
            custodian_report(
                example.evaluation(
                    2, scores=(), attacks=(), risks=(), groups=(), analyses=(), worst_pairs=()
                )
            )
        ),
        "ten": page_of(report(10)),
        "fifty": page_of(report(50)),
        "wide": page_of(report(300)),
    }


def picture(page: Any, width: int) -> Image.Image:
    """Return the head of a page as a picture."""
    taken = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": HEIGHT})
    return Image.open(io.BytesIO(taken)).convert("RGB")


def blocks(image: Image.Image) -> np.ndarray:
    """Return the mean brightness of a coarse grid: what stays when only the fonts differ."""
    return np.asarray(image.convert("L").resize(GRID, Image.Resampling.BOX), dtype=float)


def layout(page: Any) -> dict[str, float]:
    """Return each section's share of the page's height."""
    return page.evaluate(
        """() => {
          const whole = document.querySelector("main").getBoundingClientRect().height;
          return Object.fromEntries([...document.querySelectorAll("main > section")].map(
            (part) => [part.id, part.getBoundingClientRect().height / whole]));
        }"""
    )


def main() -> None:
    from playwright.sync_api import sync_playwright

    FOLDER.mkdir(exist_ok=True)
    text, found = pages()["custodian"], {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.set_content(text)
            found[str(width)] = {key: round(part, 4) for key, part in layout(page).items()}
            picture(page, width).save(FOLDER / f"{width}.webp", quality=55)
        browser.close()
    LAYOUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
