"""Tables in and out: reading and writing files, checking against the schema, splitting by patient.

    file -> read_table -> raw frame -> encode -> codes -> decode -> typed frame -> write_table

Codes are one whole number a cell: the index of a category or lattice point, or below zero a missing
or special value. They are what the model learns from and what it generates.
"""

from synthvae.rules.values import MISSING
from synthvae.table.cells import identities
from synthvae.table.codes import (
    encode,
    encode_with_notes,
    find_problems,
    identify_patients,
    inspect,
    inspect_cells,
)
from synthvae.table.decoding import decode
from synthvae.table.files import TableFile, open_table, read_table
from synthvae.table.patients import (
    PatientRows,
    group_by_patient,
    split_by_patient,
    with_identifiers,
)
from synthvae.table.two_files import inspect_files, join_visits, split_visits
from synthvae.table.writing import check_writable, formulas, write_in_files, write_table

__all__ = [
    "MISSING",
    "PatientRows",
    "TableFile",
    "check_writable",
    "decode",
    "encode",
    "encode_with_notes",
    "find_problems",
    "formulas",
    "group_by_patient",
    "identify_patients",
    "identities",
    "inspect",
    "inspect_cells",
    "inspect_files",
    "join_visits",
    "open_table",
    "read_table",
    "split_by_patient",
    "split_visits",
    "with_identifiers",
    "write_in_files",
    "write_table",
]
