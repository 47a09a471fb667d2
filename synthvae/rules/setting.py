"""A rule as the author of a schema writes it: a fact about every record that is publicly known."""

import csv
from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from synthvae._frozen import FrozenSettings
from synthvae._text import brief, counted
from synthvae.declared import as_label, as_tuple, first_repeated
from synthvae.field import Basis

Text = Annotated[str, Field(min_length=1, max_length=500)]
Names = Annotated[tuple[Text, ...], BeforeValidator(as_tuple)]
FORMS = ("rule", "then", "derive", "together", "allowed", "unique")
BEFORE = "_prev"  # ends the name of a column of the visit before
MOST_NAMED = 100_000  # values in the combinations of a rule
LONGEST_TITLE = 80


def _as_rows(value: Any) -> Any:
    """Return combinations as rows of labels."""
    if not isinstance(value, list | tuple):
        raise ValueError("values must be a list of combinations, or the name of a CSV file")
    if not all(isinstance(row, list | tuple) for row in value):
        raise ValueError("each combination must be a list, with a value for each column")
    if sum(len(row) for row in value) > MOST_NAMED:
        raise ValueError(
            f"{len(value):,} combinations name more than {MOST_NAMED:,} values, which is too much for a "
            "schema; divide the columns, or leave the rule out"
        )
    return tuple(tuple(map(_as_cell, row)) for row in value)


def _as_cell(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else as_label(value)


class Rule(FrozenSettings):
    """A rule in one of six forms; a statement alone stands for `{rule: statement}`.

    `rule`: a statement that holds. `if`, `then`: where the one holds, so does the other. `derive`, `as`:
    a column that is computed from others, and never modelled. `together`: columns that are missing
    together. `allowed`, `values`: the combinations of some columns that there are. `unique`: columns
    whose values together come once within a patient.

    Examples
    --------
    >>> Rule.model_validate({"if": "sex == 'male'", "then": "births is missing"}).title
    "if sex == 'male' then births is missing"
    """

    model_config = ConfigDict(populate_by_name=True)

    name: Text | None = None
    rule: Text | None = None
    condition: Annotated[Text | None, Field(alias="if")] = None
    then: Text | None = None
    derive: Text | None = None
    value: Annotated[Text | None, Field(alias="as")] = None
    together: Names = ()
    allowed: Names = ()
    values: Annotated[tuple[tuple[str | None, ...], ...], BeforeValidator(_as_rows)] = ()
    unique: Names = ()
    basis: Basis | None = None
    review: bool = False

    @model_validator(mode="before")
    @classmethod
    def _from_statement(cls, value: Any) -> Any:
        return {"rule": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        forms = [form for form in FORMS if getattr(self, form)]
        if len(forms) != 1:
            raise ValueError(
                "a rule has one of `rule`, `if` and `then`, `derive` and `as`, `together`, `allowed` "
                f"and `values`, `unique`{'; this one has ' + ', '.join(forms) if forms else ''}"
            )
        pairs = (("if", self.condition, "then"), ("as", self.value, "derive"))
        for key, given, with_key in pairs:
            if given is not None and with_key not in forms:
                raise ValueError(f"`{key}` goes with `{with_key}`")
        if self.then and self.condition is None:
            raise ValueError("`then` needs an `if`; a statement alone is a `rule`")
        if self.derive and self.value is None:
            raise ValueError("`derive` needs `as`, what the column is computed from")
        if bool(self.allowed) != bool(self.values):
            raise ValueError("`allowed` goes with `values`, the combinations that there are")
        self._check_names()
        return self

    def _check_names(self) -> None:
        for form in ("together", "allowed", "unique"):
            names = getattr(self, form)
            if first_repeated(names) is not None:
                raise ValueError(f"`{form}` names a column twice")
            if len(names) == 1:
                raise ValueError(f"`{form}` needs two columns or more")
        uneven = next((row for row in self.values if len(row) != len(self.allowed)), None)
        if uneven is not None:
            raise ValueError(
                f"a combination has {len(uneven)} values, for {len(self.allowed)} columns in `allowed`"
            )

    def to_plain(self) -> Any:
        """Return the rule as plain values: a statement that is nothing else as its text."""
        plain = self.model_dump(mode="json", exclude_defaults=True, by_alias=True)
        return self.rule if plain.keys() == {"rule"} else plain

    @property
    def may_look_back(self) -> bool:
        """Whether a rule may name the visit before: one that computes or numbers columns never does."""
        texts = (self.rule, self.condition, self.then, *self.together, *self.allowed)
        return any(BEFORE in text for text in texts if text)

    @property
    def statement(self) -> str:
        """The rule in one line."""
        if self.then:
            return f"if {self.condition} then {self.then}"
        if self.derive:
            return f"{self.derive} is derived as {self.value}"
        if self.together:
            return f"{', '.join(self.together)} are missing together"
        if self.allowed:
            return f"{', '.join(self.allowed)}: {counted(len(self.values), 'combination')}"
        if self.unique:
            return f"{', '.join(self.unique)} together come once"
        return self.rule or ""

    @property
    def title(self) -> str:
        """The rule's name, or else what it says."""
        return self.name or self.statement


def check_names(names: Sequence[str]) -> None:
    """Raise `ValueError` where a column has the name that another has at the visit before."""
    for name in names:
        if name + BEFORE in names:
            raise ValueError(
                f"field {brief(name + BEFORE)} is named as {brief(name)} at the visit before, which "
                "there is with orderBy: rename it, or set `role: omit`, for rules name the visit before "
                "without it"
            )


def combinations_of(lines: Sequence[str], names: Any) -> list[list[str]]:
    """Return the combinations in the lines of a CSV file, less a first line that has the names."""
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, skipinitialspace=True)]
    names = [str(name) for name in names] if isinstance(names, list) else []
    return rows[1:] if rows and rows[0] == names else rows
