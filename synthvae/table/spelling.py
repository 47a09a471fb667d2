"""What cells that cannot be read seem to be, and how to declare them: for people, on the terminal."""

import re
from collections.abc import Sequence

# What each form is, in the order in which they are tried, and the way to read it.
FORMS: tuple[tuple[str, str], ...] = (
    (
        r"[<>≤≥]=?\s*\d+([.,]\d+)?|\d+([.,]\d+)?\s*\+",
        "censored numbers: list them under `censored`",
    ),
    (
        r"[+-]?\d{1,3}(\.\d{3})+(,\d+)?",
        "numbers with a point between thousands and a decimal comma: "
        'declare `decimalChar: ","` and `groupChar: "."`',
    ),
    (
        r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?",
        'numbers with a comma between thousands: declare `groupChar: ","`',
    ),
    (
        r"[+-]?\d{1,3}([ \u00a0\u2009\u202f]\d{3})+([.,]\d+)?",
        'numbers with a blank between thousands: declare `groupChar: " "`',
    ),
    (r"[+-]?\d*,\d+", 'numbers with a decimal comma: declare `decimalChar: ","`'),
    (
        r"\d+\s*/\s*\d+",
        "two numbers in one cell, as of a blood pressure: split them into two columns",
    ),
    (r"\d{1,2}:\d\d(:\d\d)?", 'times of day: declare `type: datetime` with `format: "%H:%M"`'),
    (
        r"\d{1,2}[./-]\d{1,2}[./-]\d\d",
        "dates with a year of two digits: declare `format`, such as "
        '"%d/%m/%y", and bounds, within which the century is looked for',
    ),
    (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:?\d\d|Z)",
        "times with a zone: declare `timezone`, in whose clock they are kept",
    ),
    (
        r"[+-]?\d+([.,]\d+)?\s*[^\W\d_%][^\d]*|[+-]?\d+([.,]\d+)?\s*%|[$€£]\s*\d+([.,]\d+)?",
        "numbers with a unit in the cell: declare `bareNumber: false`, and the `unit`",
    ),
)


def spelling_hint(texts: Sequence[str]) -> str:
    """Return what most of a few cells seem to be and how to declare it; empty where nobody knows."""
    cells = [text.strip() for text in texts]
    for pattern, advice in FORMS:
        if sum(re.fullmatch(pattern, cell) is not None for cell in cells) * 2 > len(cells):
            return f"they seem to be {advice}"
    return ""
