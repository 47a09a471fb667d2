"""What a file is by its first bytes, and what is packed in gzip and zip, unpacked within limits."""

import re
import zipfile
import zlib
from pathlib import Path

from synthvae._text import brief
from synthvae.errors import InputFileError
from synthvae.table import limits

HEAD = 4096  # bytes by which a format is recognised
PIECE = 1 << 20
TEXT_ENDINGS = (".csv", ".tsv", ".tab", ".txt")
GZIP, ZIP, WORKBOOK, PARQUET = "a gzip file", "a zip archive", "an Excel workbook", "a Parquet file"
XPT = "a SAS transport file"
STATA, SPSS, SAS = "a Stata file", "an SPSS file", "a SAS data set"
# What begins how: a pattern, the kind, and the way out.
CONTENTS: tuple[tuple[bytes, str, str], ...] = (
    (rb"\x1f\x8b", GZIP, "name it .csv.gz"),
    (rb"PAR1", PARQUET, "name it .parquet"),
    (rb"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls), or one with a password", "save as .xlsx"),
    (rb"%PDF", "a PDF document", "export the table as CSV"),
    (rb"\$FL[23]", SPSS, "name it .sav"),
    (rb"<stata_dta>", STATA, "name it .dta"),
    (rb"\0{12}\xc2\xea\x81\x60", SAS, "name it .sas7bdat"),
    (rb"HEADER RECORD\*{7}LIB", XPT, "name it .xpt"),
    (rb"ARROW1|FEA1", "a Feather file", "save it as Parquet"),
    (rb"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (rb"BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|\x28\xb5\x2f\xfd", "a packed file", "unpack it"),
    (rb"RD[ABX][23]\n|[XA]\n\0\0\0[\x02\x03]", "a file of R", "save it as CSV with write.csv"),
    (rb"(?i)\s*<(!doctype html|html|table|head|body)\b", "an HTML page", "save it as CSV or .xlsx"),
    (rb"\s*<\?xml", "an XML file", "save it as CSV or .xlsx"),
    (rb'\s*(\{\s*("|\})|\[\s*[\[{])', "a JSON file", "export the table as CSV"),
)


def content_kind(path: Path) -> tuple[str, str] | None:
    """Return what a file is by its first bytes and the way out; None for text and the unknown."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(b"PK\x03\x04"):
        return _zip_kind(path)
    head = head.removeprefix(b"\xef\xbb\xbf")
    return next(((kind, out) for form, kind, out in CONTENTS if re.match(form, head)), None)


def _zip_kind(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:10_000]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "a damaged zip archive or workbook", "get it again"
    if any(name.lower() == "xl/workbook.xml" for name in names):
        return WORKBOOK, "name it .xlsx"
    if any(name.lower() == "xl/workbook.bin" for name in names):
        return "a binary Excel workbook (.xlsb)", "save as .xlsx"
    if "content.xml" in names and "mimetype" in names:
        return "an OpenDocument file, such as .ods", "save as .xlsx or CSV"
    return ZIP, "unpack it, or name it .zip if it holds one CSV file"


def gunzip(path: Path) -> bytes:
    """Return what a gzip file holds, in one part or several.

    Raises
    ------
    InputFileError
        It is damaged, was cut off, or holds more than there is memory for.
    """
    most, size = limits.most_bytes(), 0
    pieces: list[bytes] = []
    with path.open("rb") as file:
        unpacker = zlib.decompressobj(wbits=31)
        rest = file.read(PIECE)
        while rest:
            if unpacker.eof:
                rest = rest.lstrip(b"\0") or file.read(PIECE)  # parts may be padded
                unpacker = zlib.decompressobj(wbits=31) if rest else unpacker
                continue
            try:
                pieces.append(unpacker.decompress(rest, PIECE))
            except zlib.error as cause:
                raise InputFileError(
                    f"The file {path} is damaged: it is no whole gzip file ({cause}); get it again."
                ) from None
            size += len(pieces[-1])
            _refuse_large(size, most, path)
            rest = unpacker.unconsumed_tail or unpacker.unused_data or file.read(PIECE)
    if not unpacker.eof:
        raise InputFileError(f"The file {path} was cut off: its end is missing; get it again.")
    return b"".join(pieces)


def unzip_table(path: Path) -> tuple[str, bytes]:
    """Return the name and content of the only text table in a zip archive.

    Raises
    ------
    InputFileError
        It holds several tables or none, a password protects it, or there is no memory for it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [
                member
                for member in archive.infolist()
                if not member.is_dir() and not member.filename.startswith("__MACOSX/")
            ]
            if len(members) != 1 or not members[0].filename.lower().endswith(TEXT_ENDINGS):
                held = ", ".join(brief(member.filename) for member in members[:3]) or "nothing"
                raise InputFileError(
                    f"The zip archive {path} holds {held}{', ...' if len(members) > 3 else ''}; "
                    "one CSV file alone can be read from an archive: unpack it."
                )
            if members[0].flag_bits & 1:
                raise InputFileError(f"A password protects {path}; unpack it first.")
            return members[0].filename, b"".join(_pieces(archive, members[0], path))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as cause:
        raise InputFileError(
            f"The zip archive {path} is damaged ({cause}); get it again."
        ) from None


def _pieces(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> list[bytes]:
    most, size = limits.most_bytes(), 0
    pieces = []
    with archive.open(member) as file:
        while piece := file.read(PIECE):
            pieces.append(piece)
            size += len(piece)
            _refuse_large(size, most, path)
    return pieces


def _refuse_large(size: int, most: int, path: Path) -> None:
    if size > most:
        raise InputFileError(
            f"The file {path} unpacks to more than {most / 2**30:.3g} GB, which this machine has no "
            "memory for; unpack it and keep the rows and columns that you need."
        )
