"""Random fields and codes, to check what holds for every schema."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from synthvae.field import Field
from synthvae.schema import Schema

# Names and categories as people write them: dots, spaces, accents, quotes, line ends, separators.
WORDS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0")
    | st.sampled_from(list("aé\"'\n\r;,.\t ")),
    min_size=1,
    max_size=6,
).filter(lambda word: word.strip() not in ("", "NA"))


def _bounds(draw: st.DrawFn, low: int, high: int) -> tuple[int, int]:
    first = draw(st.integers(low, high))
    return first, draw(st.integers(first, high))


@st.composite
def field_values(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Plain values of one field, of any kind."""
    kind = draw(
        st.sampled_from(["number", "integer", "boolean", "string", "date", "datetime", "coded"])
    )
    rules: dict[str, Any] = {"required": draw(st.booleans())}
    value: dict[str, Any] = {"name": name, "type": kind, "constraints": rules}
    if kind == "number":
        decimals = draw(st.integers(0, 6))
        value["decimals"] = decimals
        rules["minimum"], rules["maximum"] = (
            units / 10**decimals for units in _bounds(draw, -(10**9), 10**9)
        )
        value["special"] = draw(st.sampled_from([[], [0], [-999.5, 0.1]]))
        value["censored"] = draw(st.sampled_from([[], ["<5", "90+"], {"< 0.5": -7}]))
        steps = draw(st.sampled_from([None, 1, 3, 250]))
        value["step"] = steps and steps / 10**decimals
    elif kind == "integer":
        rules["minimum"], rules["maximum"] = _bounds(draw, -(10**12), 10**12)
        value["step"] = draw(st.sampled_from([None, 2, 500]))
        value["special"] = draw(st.sampled_from([[], [0, -9]]))
    elif kind == "string":
        rules["enum"] = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
        value["invalid"] = draw(st.sampled_from(["error", "other"]))
    elif kind == "coded":
        value["type"] = "integer"
        rules["enum"] = draw(st.lists(st.integers(-5, 20), min_size=1, max_size=4, unique=True))
    elif kind == "boolean" and draw(st.booleans()):
        value |= {"trueValues": ["yes"], "falseValues": ["no"]}
    elif kind == "date":
        value["format"] = draw(st.sampled_from(["default", "%d/%m/%Y", "%Y%m%d"]))
        first, last = _bounds(draw, 1900, 2100)
        rules["minimum"], rules["maximum"] = f"{first}-02-28", f"{last}-03-01"
        value["step"] = draw(st.sampled_from([None, "7 days"]))
    elif kind == "datetime":
        value["format"] = draw(st.sampled_from(["default", "%Y-%m-%d %H:%M", "%d.%m.%Y %H h"]))
        first, last = _bounds(draw, 1960, 2040)
        rules["minimum"], rules["maximum"] = f"{first}-01-01T10:00:00", f"{last}-01-01T12:00:00"
        value["step"] = draw(st.sampled_from([None, "2 h", "1 day"]))
        value["timezone"] = draw(st.sampled_from([None, "UTC", "+05:30"]))
    return value


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """A schema of one to four fields."""
    names = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
    fields = [draw(field_values(name)) for name in names]
    return Schema.from_dict({"name": draw(WORDS), "fields": fields})


def random_codes(schema: Schema, rows: int, seed: int) -> NDArray[np.int64]:
    """Codes of every sort that a schema's cells can have: first, last, special, missing."""
    generator = np.random.default_rng(seed)
    return np.column_stack([_column(field, rows, generator) for field in schema.modelled])


def _column(field: Field, rows: int, generator: np.random.Generator) -> NDArray[np.int64]:
    size = field.lattice_size if field.is_lattice else len(field.categories)
    pool = [0, size - 1, *generator.integers(0, size, 5)]
    pool += [-2 - i for i in range(len(field.specials))]
    pool += [-1] if field.nullable else []
    return generator.choice(np.array(pool, np.int64), rows)
