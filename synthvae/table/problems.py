"""What a reader finds wrong with a table, and what it did to cells, in words that name the way out."""

from dataclasses import dataclass

from synthvae._text import brief, counted
from synthvae._types import Bools, Ints


@dataclass(frozen=True)
class Problem:
    """What is wrong with a column, or a rule of the schema: in how many rows, and the way out."""

    column: str
    rule: str
    way_out: str
    rows: int = 0
    example: str = ""
    what: str = "column"

    @classmethod
    def where(cls, rows: Bools, column: str, rule: str, way_out: str, cell: str = "") -> "Problem":
        """Return the problem of some rows; the example is the first, with its cell if that is given."""
        example = f"{cell and f'{cell} in '}row {int(rows.argmax()) + 1}"
        return cls(column, rule, way_out, int(rows.sum()), example)

    def __str__(self) -> str:
        count = f"{counted(self.rows, 'row')}: " if self.rows else ""
        example = f" (first: {self.example})" if self.example else ""
        return f"{self.what} {brief(self.column)}: {count}{self.rule}{example}; {self.way_out}"


@dataclass(frozen=True)
class Inspection:
    """A table as it was read.

    Attributes
    ----------
    codes
        Shape (rows, columns); a cell that does not fit counts as missing.
    invalid
        Shape (rows, columns); True where a cell breaks its field's rules.
    problems
        What `encode` raises for.
    notes
        What was rounded, cut off, clipped, emptied or merged, as the schema asks.
    """

    codes: Ints
    invalid: Bools
    problems: list[Problem]
    notes: list[Problem]
