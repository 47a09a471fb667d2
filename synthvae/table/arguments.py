"""Arguments of the public calls: a path or a list where a schema or a data frame is expected."""

import os
from typing import Any

import pandas as pd

from synthvae._text import brief
from synthvae.errors import ConfigError
from synthvae.schema import Schema


def check_schema(value: object) -> Schema:
    """Return a schema, or raise `ConfigError` with the call that makes one of what was given."""
    if isinstance(value, Schema):
        return value
    way_out = "make one with Schema.load(path) or Schema.from_dict(values)"
    if isinstance(value, str | os.PathLike):
        way_out = f"read the file with Schema.load({os.fspath(value)!r})"
    elif isinstance(value, dict):
        way_out = "make one of these values with Schema.from_dict(values)"
    elif isinstance(value, pd.DataFrame):
        way_out = "the table comes later, in fit; a schema is read with Schema.load(path)"
    raise ConfigError(f"schema is {_shown(value)}, not a Schema; {way_out}.")


def check_frame(value: object, name: str) -> pd.DataFrame:
    """Return a data frame, or raise `ConfigError` with the call that makes one of what was given.

    `name` is what the argument is called.
    """
    if not isinstance(value, pd.DataFrame):
        raise ConfigError(f"{name} is {_shown(value)}, not a data frame; {_way_to_frame(value)}.")
    if isinstance(value.columns, pd.MultiIndex):
        raise ConfigError(
            f"{name} has columns of {value.columns.nlevels} levels; give each column one name, such as "
            "frame.columns = ['_'.join(map(str, names)) for names in frame.columns]."
        )
    if isinstance(value.index, pd.MultiIndex):
        levels = ", ".join(map(str, value.index.names))
        raise ConfigError(
            f"{name} has a MultiIndex ({levels}), which would be lost; make columns of it with "
            "frame.reset_index(), or drop it with frame.reset_index(drop=True)."
        )
    return value


def _way_to_frame(value: object) -> str:
    if isinstance(value, str | os.PathLike):
        return f"read the file with synthvae.table.read_table({os.fspath(value)!r})"
    if isinstance(value, pd.Series):
        return "make a table of this one column with series.to_frame()"
    if hasattr(value, "to_pandas"):  # as tables of polars and Arrow have
        return "convert it with to_pandas()"
    return "make one with pandas.DataFrame(rows)"


def _shown(value: Any) -> str:
    if isinstance(value, str | os.PathLike):
        return f"the text {brief(os.fspath(value))}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"
