"""Turn a matplotlib figure into lean SVG that takes its colours and fonts from the page.

Figures are drawn in stand-in colours, one for each role; in the SVG every stand-in becomes a CSS
variable, so that one drawing serves light, dark and paper. Ids are made unique by the figure's key,
and whatever depends on the moment or the machine is left out.
"""

import contextlib
import io
import math
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROLES = (
    *("ink", "muted", "rule", "surface", "train", "holdout", "synthetic", "independent", "alarm"),
    *(f"line-{place}" for place in range(1, 7)),
)
COLOUR = {role: f"#0102{index + 16:02x}" for index, role in enumerate(ROLES)}
BLUE, ORANGE = (46, 134, 193), (214, 104, 20)  # of heat maps
DASHES = ("solid", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (1, 1)), (0, (10, 3)))

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "text.color": COLOUR["ink"],
    "axes.linewidth": 0.8,
    "grid.linewidth": 0.6,
    **dict.fromkeys(("font.size", "axes.labelsize"), 11),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize"), 10.5),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), COLOUR["muted"]),
    **dict.fromkeys(("axes.edgecolor", "grid.color", "xtick.color", "ytick.color"), COLOUR["rule"]),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("xtick.minor.visible", "ytick.minor.visible"), False),
}


@dataclass(frozen=True)
class Table:
    """Figures as text: a head, and rows; the first `text_columns` are not numbers."""

    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    text_columns: int = 1


@dataclass(frozen=True)
class Drawing:
    """One figure of the page: its panels as SVG, what they show in words, and their numbers."""

    key: str
    title: str
    panels: Sequence[Markup]
    table: Table
    caption: str = ""
    legend: Sequence[tuple[str, str]] = ()


@contextlib.contextmanager
def house_style() -> Iterator[None]:
    """Draw with matplotlib's own defaults and the house's, whatever the user's settings are."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        # Column names may be in any script; the browser has the letters that this font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def axes(width: float, height: float, margins: tuple[float, float, float, float]) -> Axes:
    """Return the axes of a new figure; sizes and margins (left, bottom, right, top) in px."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    left, bottom, right, top = margins
    inside = (width - left - right) / width, (height - bottom - top) / height
    return figure.add_axes((left / width, bottom / height, *inside))


def heat_map(
    plot: Axes,
    strength: npt.NDArray[np.float64],
    title: str,
    colour: npt.ArrayLike = BLUE,
    levels: int = 63,
    **shown: Any,
) -> None:
    """Draw a matrix in one colour whose opacity is the strength, 0 to 1, so that it suits any page.

    `colour` is red, green and blue, for all cells or for each; fewer `levels` of opacity make
    smaller pages.
    """
    image = np.empty((*strength.shape, 4), dtype=np.uint8)
    image[..., :3] = colour
    image[..., 3] = np.round(np.round(levels * strength) * (255 / levels))
    plot.imshow(image, interpolation="none", **shown)
    plot.set_title(title, fontsize=12, color=COLOUR["ink"], loc="left", pad=8)
    plot.tick_params(length=0, pad=4)
    plot.spines[:].set_visible(True)
    plot.spines[:].set_color(COLOUR["rule"])


def finite(value: float | None) -> float:
    """Return a figure, or 0 where there is none that can be drawn."""
    return value if value is not None and math.isfinite(value) else 0.0


def largest(values: Iterable[float]) -> float:
    """Return the largest figure that can be drawn, 1 where none is above 0."""
    return max(map(finite, values), default=0.0) or 1.0


def px(value: float) -> str:
    """Return a place in SVG, to a tenth."""
    return f"{finite(value):.1f}".removesuffix(".0")


def to_svg(plot: Axes, key: str, alt: str) -> Markup:
    """Return the figure of some axes as SVG for use inside a page.

    To a screen reader it is one image, named by `alt`. Call within `house_style`.
    """
    matplotlib.rcParams["svg.hashsalt"] = key
    buffer = io.StringIO()
    figure = plot.get_figure(root=True)
    assert figure is not None, "axes made by `axes` stand in a figure"
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ET.fromstring(buffer.getvalue())
    _lean(root)
    _own_ids(root, key)
    box = root.get("viewBox", "0 0 1 1")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": alt, "class": "plot"})
    root.set("style", f"--w:{float(box.split()[2]):g}")
    return Markup(ET.tostring(root, encoding="unicode"))


def _lean(root: ET.Element) -> None:
    """Drop metadata, namespaces and styles that would leak into the page, and take its colours."""
    variables = {colour: f"var(--{role})" for role, colour in COLOUR.items()}
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = element.tail if (element.tail or "").strip() else None
        if element.tag != "text" and not (element.text or "").strip():
            element.text = None
        for name in [name for name in element.attrib if "}" in name]:
            element.set(name.rpartition("}")[2], element.attrib.pop(name))
        if "d" in element.attrib:
            path = " ".join(element.attrib["d"].split())
            element.set("d", re.sub(r"-?\d+\.\d+", lambda found: px(float(found[0])), path))
        for name in {"style", "fill", "stroke"}.intersection(element.attrib):
            value = element.attrib[name]
            for colour, variable in variables.items():
                value = value.replace(colour, variable)
            value = re.sub(r"(font: [^;]*?px) [^;]*", r"\1 var(--sans)", value)
            element.set(name, re.sub(r"font-family: [^;]*", "font-family: var(--sans)", value))


def _own_ids(root: ET.Element, key: str) -> None:
    """Prefix the ids that something refers to, and drop the others."""
    links = [value for element in root.iter() for value in element.attrib.values() if "#" in value]
    used = {name for link in links for name in re.findall(r"(?:^|url\()#([^)]+)", link)}
    for element in root.iter():
        if element.get("id", "") not in used:
            element.attrib.pop("id", None)
        for name, value in element.attrib.items():
            if name == "id":
                element.set(name, f"{key}-{value}")
            elif name == "href" and value.startswith("#"):
                element.set(name, f"#{key}-{value[1:]}")
            elif "url(#" in value:
                element.set(name, value.replace("url(#", f"url(#{key}-"))
