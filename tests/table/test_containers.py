import gzip
import io
import sqlite3
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from synthvae.errors import InputFileError
from synthvae.table import limits, open_table

TEXT = b"a,b\n1,2\n3,4\n"


def write(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_dot_", "."), content)
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["t.csv.gz", "t.CSV.GZ", "t.gz"])
def test_gzip_is_unpacked(tmp_path: Path, name: str) -> None:
    two_parts = gzip.compress(TEXT[:5], mtime=0) + gzip.compress(TEXT[5:]) + b"\0" * 10
    assert open_table(write(tmp_path, name, two_parts)).frame.shape == (2, 2)


def test_gzipped_tabs_and_an_only_file_of_an_archive(tmp_path: Path) -> None:
    tabs = write(tmp_path, "t.tsv.gz", gzip.compress(TEXT.replace(b",", b"\t")))
    assert open_table(tabs).notes == ()
    assert open_table(write(tmp_path, "t.zip", zipped(t_dot_csv=TEXT))).frame.shape == (2, 2)


def workbook() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"a": [1]}).to_excel(buffer)
    return buffer.getvalue()


def parquet() -> bytes:
    return pd.DataFrame({"a": [1]}).to_parquet()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv.gz", gzip.compress(TEXT, mtime=0)[:-9], "was cut off: its end is missing"),
        (
            "t.csv.gz",
            gzip.compress(TEXT, mtime=0)[:-8] + b"x" * 8,
            "is damaged: it is no whole gzip file",
        ),
        ("t.csv.gz", TEXT, "cannot be read as a table|is damaged"),
        (
            "t.parquet.gz",
            gzip.compress(TEXT, mtime=0),
            r"is gzipped; unpack it, and name the .parquet file",
        ),
        (
            "t.csv",
            gzip.compress(TEXT, mtime=0),
            r"is a gzip file, whatever its name says; name it .csv.gz",
        ),
        ("t.zip", zipped(a_dot_csv=TEXT, b_dot_csv=TEXT), "holds 'a.csv', 'b.csv'; one CSV file"),
        ("t.zip", zipped(a_dot_exe=TEXT), "holds 'a.exe'; one CSV file alone"),
        ("t.csv", zipped(a_dot_csv=TEXT), "is a zip archive, whatever its name says"),
        ("t.csv", workbook(), r"is an Excel workbook, whatever its name says; name it .xlsx"),
        ("t.xlsx", TEXT, "is no whole Excel workbook"),
        ("t.xlsx", b"\xd0\xcf\x11\xe0" + b"\0" * 600, "is an old Excel workbook .* or one with a"),
        ("t.xls", b"\xd0\xcf\x11\xe0" + b"\0" * 600, "is an old Excel workbook; save it as .xlsx"),
        ("t.ods", zipped(mimetype=b"x"), "is an OpenDocument spreadsheet; save it as .xlsx or CSV"),
        ("t.csv", parquet(), r"is a Parquet file, .*name it .parquet"),
        ("t.xlsx", parquet(), r"is a Parquet file"),
        ("t.csv", b"%PDF-1.7\n", "is a PDF document"),
        ("t.csv", b" <!DOCTYPE html><table>", "is an HTML page"),
        ("t.xlsx", b"<html><table><tr>", "is an HTML page"),
        ("t.csv", b'\xef\xbb\xbf{"a": [1]}', "is a JSON file"),
        ("t.csv", b'[{"a": 1}]', "is a JSON file"),
        ("t.csv", b"<?xml version='1.0'?><a/>", "is an XML file"),
        ("t.csv", b"<stata_dta><header>", "is a Stata file, .*name it .dta"),
        ("t.sav", b"<stata_dta><header>", "is a Stata file"),
        ("t.csv", b"$FL2@(#) SPSS DATA FILE", "is an SPSS file"),
        ("t.csv", b"RDX3\nX\n", "is a file of R"),
        ("t.rds", b"\x1f\x8b", "is a file of R"),
        ("t.csv", b"SQLite format 3\0", "is an SQLite database"),
    ],
)
def test_what_is_something_else_says_what_it_is(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InputFileError, match=message) as refused:
        open_table(write(tmp_path, name, content), guess=True)
    assert len(str(refused.value)) < 500


def test_a_database_is_none_of_ours(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "t.csv") as database:
        database.execute("create table t (a)")
    database.close()
    with pytest.raises(InputFileError, match="is an SQLite database"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["t.csv.gz", "t.zip", "t.xlsx"])
def test_what_unpacks_to_more_than_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    zeros = b"0" * 20_000_000
    bomb = gzip.compress(zeros, mtime=0) if name.endswith(".gz") else zipped(t_dot_csv=zeros)
    if name.endswith(".xlsx"):
        members = {"xl/workbook.xml": b"", "xl/worksheets/sheet1.xml": zeros}
        bomb = zipped(**members)
    monkeypatch.setattr(limits, "machine_memory", lambda: 8_000_000)
    with pytest.raises(InputFileError, match=r"unpacks to more than 0\.00186 GB"):
        open_table(write(tmp_path, name, bomb))
