"""The folder of a release: what the guarantee covers, and nothing else."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from synthvae.origin import Origin, origin_file, write_origin
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table import write_in_files

# What follows `synthetic` in the name of each file of a table.
WHOLE, TWO_FILES = ("",), ("_patients", "_visits")
RECORDS = "synthetic records, none copied from a patient (one may equal a real row by chance)"
ORIGIN = "how the model drew these records, so that they can be drawn again"
RELEASE_NOTE = """\
This folder holds what the guarantee covers, and nothing else:

{records}
  model/            the model that they were drawn from
  schema.yaml       public facts about the table
  guarantee.json    what is promised, and the log to recompute it from
"""
VOID_NOTE = """\
{why}

Nothing in this folder has a privacy guarantee. Treat it as if it held the real records.
"""


def write_release(
    folder: Path,
    synthesizer: Synthesizer,
    synthetic: pd.DataFrame | None,
    parts: tuple[str, ...] = WHOLE,
    origin: Origin | None = None,
) -> None:
    """Write what the guarantee covers: the table in its parts, model, schema, guarantee.

    Beside a table in one file, its origin, from which `synthvae sample --given` draws it again.
    """
    folder.mkdir(parents=True)
    guarantee = synthesizer.guarantee
    start = "synthetic" if guarantee.valid else "NOT_PRIVATE-synthetic"
    files = [folder / f"{start}{part}.csv" for part in parts]
    if synthetic is not None:
        write_in_files(synthetic, files, synthesizer.schema)
    if origin is not None and len(files) == 1:
        write_origin(files[0], origin)
    synthesizer.save(folder / "model")
    for file in ("schema.yaml", "guarantee.json"):
        shutil.copyfile(folder / "model" / file, folder / file)
    note = VOID_NOTE.format(why=guarantee.why_void)
    if guarantee.valid:
        records = _described(files)
        if origin_file(files[0]).exists():
            records += f"\n  {origin_file(files[0]).name}\n  {'':<17} {ORIGIN}"
        note = RELEASE_NOTE.format(records=records)
    (folder / "README.txt").write_text(note, encoding="utf-8")


def digest_of(synthetic: pd.DataFrame, schema: Schema, parts: tuple[str, ...], output: Path) -> str:
    """Return the SHA-256 of the file that synthetic rows become, which the report names.

    Of two files, it is that of the patients followed by the visits.
    """
    beside, digest = output.resolve().parent, hashlib.sha256()
    with tempfile.TemporaryDirectory(".partial", f".{output.name}.", beside) as draft:
        files = [Path(draft) / f"synthetic{part}.csv" for part in parts]
        write_in_files(synthetic, files, schema)
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _described(files: list[Path]) -> str:
    """Return what the note says of the table's files."""
    if len(files) == 1:
        return f"  {files[0].name:<17} {RECORDS}"
    return f"  {files[0].name}, {files[1].name}\n  {'':<17} {RECORDS},\n  {'':<17} joined by patientKey"
