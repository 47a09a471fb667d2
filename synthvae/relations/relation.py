"""A relation as a value: its rule, and how many patients it rests on."""

import json
from dataclasses import dataclass, field

from synthvae.relations.statements import Kind, Rule


@dataclass(frozen=True)
class Relation:
    """A relation between columns that rows keep, and what it rests on.

    Attributes
    ----------
    rule
        As it stands in a schema: a statement, or a mapping.
    columns, kind
        The columns it names, a computed one first, and what kind of relation it is.
    patients, support
        Patients whom it concerns, and those in the smallest of its cases.
    exceptions
        Patients who break it.
    expected
        Patients who would, were the columns independent of each other.
    is_strict, is_difference
        Of an order, that columns are never the same; of a sum, that it is the first column less the
        second.
    """

    rule: Rule = field(hash=False)
    columns: tuple[str, ...]
    kind: Kind
    patients: int
    support: int
    exceptions: int
    expected: float
    is_strict: bool = False
    is_difference: bool = False

    @property
    def derived(self) -> str:
        """The column that is computed, empty where none is."""
        return (
            str(self.rule["derive"])
            if isinstance(self.rule, dict) and "derive" in self.rule
            else ""
        )

    @property
    def text(self) -> str:
        """The rule on one line, as an item of a schema's `rules` may have it."""
        if isinstance(self.rule, str):
            return self.rule
        parts = (
            f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in self.rule.items()
        )
        return f"{{{', '.join(parts)}}}"
