"""Where a table of synthetic histories comes from: how a model drew it, so that it can be drawn again.

`synthvae sample` and a run keep an origin beside each table of visits. It follows from the model, the
table and what was asked for, and is covered as they are. Anybody could write such a file, or copy it to
another table, so it is believed only where the model, asked the same with the same seed, draws the very
table: nobody is in it then but the model's patients.
"""

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from synthvae._files import write_whole
from synthvae._frozen import Frozen, read_value_if_any
from synthvae.errors import InputFileError, SynthvaeError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from synthvae.schema import Schema
    from synthvae.synthesizer import Synthesizer

ABOUT = (
    "How a model drew the table beside. `synthvae sample --given` draws it again: if it comes out the "
    "same, the table holds nobody but the model's patients."
)
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Origin(Frozen):
    """The model that drew a table, what it was asked for, and what came out.

    `model` and `table` are SHA-256 of what they hold, however that is written to a file.
    """

    about: str = ABOUT
    model: Digest
    table: Digest
    rows: Annotated[int, Field(ge=1)]
    where: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)]

    @classmethod
    def of(
        cls,
        synthesizer: "Synthesizer",
        frame: "pd.DataFrame",
        rows: int,
        where: tuple[str, ...],
        seed: int,
    ) -> "Origin":
        """Return the origin of a table that a model has drawn."""
        table = table_digest(frame, synthesizer.schema)
        return cls(model=model_digest(synthesizer), table=table, rows=rows, where=where, seed=seed)

    def is_of(
        self,
        frame: "pd.DataFrame",
        synthesizer: "Synthesizer",
        conditions_of: "Callable[[list[str], Schema], dict[str, Any]]",
    ) -> bool:
        """Whether a table is this one, and the model draws it again.

        `conditions_of` reads the texts of `where`.
        """
        schema = synthesizer.schema
        if self.model != model_digest(synthesizer) or self.table != table_digest(frame, schema):
            return False
        if not abs(self.rows - len(frame)) < schema.rows_per_patient:
            return False  # whole patients are drawn, up to this number, or one who is longer
        try:
            with warnings.catch_warnings():  # which whoever drew it has read
                warnings.simplefilter("ignore")
                where = conditions_of([*self.where], schema)
                again = synthesizer.sample(self.rows, where=where, seed=self.seed)
        except SynthvaeError:
            return False
        return table_digest(again, schema) == self.table


def origin_file(table: Path) -> Path:
    """Return where the origin of a table is kept."""
    return table.with_name(f"{table.name}.origin.json")


def write_origin(table: Path, origin: Origin) -> None:
    """Keep the origin of a table beside it."""
    write_whole(origin_file(table), origin.model_dump_json(indent=1) + "\n")


def read_origin(table: Path) -> Origin | None:
    """Return the origin that is kept beside a table; None where there is none that can be read."""
    try:
        return read_value_if_any(origin_file(table), Origin)
    except InputFileError:
        return None


def model_digest(synthesizer: "Synthesizer") -> str:
    """Return the SHA-256 of what a model draws from: its arrays, schema and settings."""
    from synthvae.storage.model_folder import pack_arrays

    state = synthesizer.state()
    about = f"{synthesizer.schema.digest} {synthesizer.settings.model_dump_json()}"
    content = hashlib.sha256(pack_arrays(state.arrays())).digest()
    return hashlib.sha256(content + about.encode()).hexdigest()


def table_digest(frame: "pd.DataFrame", schema: "Schema") -> str:
    """Return the SHA-256 of a table's codes and keys, row by row, whatever file they stand in."""
    from synthvae.table import identify_patients, inspect_cells

    codes = inspect_cells(frame, schema).codes.astype("<i8")
    digest = hashlib.sha256(repr(codes.shape).encode())
    digest.update(codes.tobytes())
    if schema.key_columns:
        for name in identify_patients(frame, schema):
            text = str(name).encode("utf-8", "surrogatepass")
            digest.update(len(text).to_bytes(8, "little") + text)
    return digest.hexdigest()
