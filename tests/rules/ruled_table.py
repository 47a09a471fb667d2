"""A simulated table whose rules are declared in its schema and checked by hand-written pandas."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from synthvae.schema import Schema

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Cells:
    """A table's columns as plain arrays: numbers, flags and dates (in days) as floats, texts as objects.

    What is missing is NaN or None, with which no comparison but `!=` holds.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.frame = frame

    def __getitem__(self, name: str) -> NDArray[Any]:
        values = self.frame[name]
        if pd.api.types.is_datetime64_any_dtype(values):
            days = (values.astype("datetime64[s]") - pd.Timestamp(0)) / pd.Timedelta(days=1)
            return days.to_numpy(float)
        if pd.api.types.is_numeric_dtype(values):
            return values.astype("Float64").to_numpy(float, na_value=np.nan)
        return values.to_numpy(object)

    @staticmethod
    def day(text: str) -> float:
        """Return the number of a date's day."""
        return (pd.Timestamp(text) - pd.Timestamp(0)) / pd.Timedelta(days=1)

    def missing(self, name: str) -> Bools:
        return self.frame[name].isna().to_numpy()

    def apart(self, *names: str) -> Bools:
        """Return where some of the columns are missing and others are not."""
        gaps = np.stack([self.missing(name) for name in names])
        return np.asarray(gaps.any(axis=0) & ~gaps.all(axis=0))

    def off(self, name: str, exact: Any, step: float = 1.0) -> Bools:
        """Return where a derived number is not at a nearest lattice point of what it should be."""
        exact = np.asarray(exact, float)
        wrong = np.abs(self[name] - exact) > step / 2 + 1e-6
        return wrong | (np.isnan(exact) != self.missing(name))

    def other(self, name: str, exact: Any) -> Bools:
        """Return where a derived text is not what it should be."""
        exact = pd.Series(exact, dtype=object)
        same = (self[name] == exact.to_numpy()) | (self.missing(name) & exact.isna().to_numpy())
        return ~same


@dataclass(frozen=True)
class RuledTable:
    """A schema with rules, a table that keeps them, and a check of theirs that knows no language.

    `where` is a condition on columns with rules. `breach` tells which rows of a table break a rule;
    what is undecided, since a value is missing, counts as kept. `far` are the columns whose margins a
    short fit does not keep, with the distance that it may leave.
    """

    schema: Mapping[str, Any]
    simulate: Callable[[int, np.random.Generator], dict[str, Any]]
    breach: Callable[[Cells], Bools]
    where: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    far: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.schema["name"])

    def frame(self) -> pd.DataFrame:
        """Return the simulated table."""
        draw = np.random.default_rng(sum(self.name.encode()))
        return pd.DataFrame(self.simulate(self.schema["patients"], draw))

    def broken(self, frame: pd.DataFrame) -> Bools:
        """Return which rows break a rule."""
        return self.breach(Cells(frame.reset_index(drop=True)))

    def load(self, folder: Path) -> Schema:
        """Write the schema and its files into a folder, and read it from there."""
        for name, text in self.files.items():
            (folder / name).write_text(text, encoding="utf-8")
        path = folder / f"{self.name}.schema.yaml"
        path.write_text(yaml.safe_dump(dict(self.schema), sort_keys=False), encoding="utf-8")
        return Schema.load(path)


def integer(name: str, low: int, high: int, **more: Any) -> dict[str, Any]:
    return _field(name, "integer", {"minimum": low, "maximum": high}, more)


def number(name: str, low: float, high: float, decimals: int = 1, **more: Any) -> dict[str, Any]:
    bounds = {"minimum": low, "maximum": high}
    return _field(name, "number", bounds, {"decimals": decimals} | more)


def flag(name: str, **more: Any) -> dict[str, Any]:
    return _field(name, "boolean", {}, more)


def choice(name: str, labels: list[Any], **more: Any) -> dict[str, Any]:
    return _field(name, "string", {"enum": labels}, more)


def day(name: str, first: str, last: str, **more: Any) -> dict[str, Any]:
    return _field(name, "date", {"minimum": first, "maximum": last}, more)


def _field(
    name: str, kind: str, constraints: dict[str, Any], more: dict[str, Any]
) -> dict[str, Any]:
    """Return a field; `gaps` says that values may be missing."""
    constraints["required"] = not more.pop("gaps", False)
    return {"name": name, "type": kind, "constraints": constraints} | more


def dates(first: str, days: Any) -> "pd.Series[pd.Timestamp]":
    """Return the dates that lie so many days after the first; NaN gives none."""
    days = np.asarray(days, float)
    # pandas reads memory that it never wrote where a number of days is NaN.
    after = pd.to_timedelta(np.nan_to_num(days), "D").to_series(index=range(len(days)))
    return pd.Series(pd.Timestamp(first) + after).mask(np.isnan(days))


def flags(values: Any, gaps: Any = False) -> "pd.Series[bool]":
    """Return truths, some of which are missing."""
    values = np.asarray(values, bool)
    return pd.Series(values).astype("boolean").mask(np.broadcast_to(gaps, values.shape))


def gappy(values: Any, gaps: Any) -> Any:
    """Return numbers, or texts, some of which are missing."""
    values = np.asarray(values)
    return np.where(gaps, None if values.dtype.kind in "OU" else np.nan, values)
