"""The levels of a claim in words and shapes: never by colour alone."""

from markupsafe import Markup

from synthvae.evaluation.levels import Level

WORDS: dict[Level, str] = {"green": "Green", "amber": "Amber", "red": "Red", "open": "Open"}
SIGNS: dict[Level, str] = {"green": "●", "amber": "▲", "red": "■", "open": "○"}
MEANINGS: dict[Level, str] = {
    "green": "all that was checked is good by its threshold",
    "amber": "a person should look: a figure is not clearly good nor clearly poor, or did not run",
    "red": "a figure is poor by its threshold, or the claim does not hold",
    "open": "nothing was tested, or no threshold says what is good; never a pass",
}
_SHAPES: dict[Level, str] = {
    "green": '<circle cx="10" cy="10" r="9"/><path class="in" d="M5.5 10.5l3 3l6-7"/>',
    "amber": '<path d="M10 1.2L19.4 18H.6z"/><path class="in" d="M10 7.2v5.2M10 14.6v1.2"/>',
    "red": '<path d="M1 1H19V19H1z"/><path class="in" d="M6 6l8 8M14 6l-8 8"/>',
    "open": '<circle class="out" cx="10" cy="10" r="8"/>',
}


def shape(level: Level) -> Markup:
    """Return the level's shape as SVG; its word stands beside it."""
    return Markup(
        f'<svg class="level {level}" viewBox="0 0 20 20" aria-hidden="true">{_SHAPES[level]}</svg>'
    )
