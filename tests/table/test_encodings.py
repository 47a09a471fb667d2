import codecs
from pathlib import Path

import pytest

from synthvae.errors import InputFileError
from synthvae.schema import Dialect
from synthvae.table import open_table

WESTERN = "centre,age\nZürich,59\nGenève,48\nNîmes,30\n"
ENCODINGS = {
    "cp1252": WESTERN,
    "cp850": WESTERN,
    "cp1250": "miasto,wiek\nŁódź,50\nKraków,60\nPoznań,40\nWrocław,55\n",
    "cp1251": "город,пол\nМосква,муж\nПетербург,жен\nКазань,жен\n",
    "cp1253": "πόλη,φύλο\nΑθήνα,άνδρας\nΘεσσαλονίκη,γυναίκα\n",
    "cp932": "都市,性別\n東京,男性\n大阪,女性\n病院,男性\n",
    "cp949": "도시,성별\n서울,남자\n부산,여자\n",
    "utf-16-le": WESTERN,
}


def write(folder: Path, content: bytes) -> Path:
    path = folder / "t.csv"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_guess_reads_the_text_and_names_itself(tmp_path: Path, encoding: str) -> None:
    text = ENCODINGS[encoding]
    table = open_table(write(tmp_path, text.encode(encoding)), guess=True)
    assert [",".join(table.frame.columns), *map(",".join, table.frame.to_numpy())] == text.split(
        "\n"
    )[:-1]
    assert table.dialect == Dialect(encoding=encoding)
    (note,) = (note for note in table.notes if "a guess" in note)
    assert f"is read as {encoding}" in note
    assert any(word in note for word in text.replace("\n", ",").split(",") if not word.isascii())


def test_a_guess_says_what_another_encoding_would_read(tmp_path: Path) -> None:
    table = open_table(write(tmp_path, "stadt\nGenève\n".encode("cp1252")), guess=True)
    assert "it reads 'Genève', where cp1250 would read 'Genčve'" in table.notes[0]


@pytest.mark.parametrize("encoding", ["cp1252", "cp850", "cp1251"])
def test_without_leave_to_guess_the_error_names_the_guess_and_the_ways_out(
    tmp_path: Path, encoding: str
) -> None:
    path = write(tmp_path, ENCODINGS[encoding].encode(encoding))
    ways = rf"`--encoding {encoding}`, write `dialect: {{encoding: {encoding}}}` in the schema"
    with pytest.raises(InputFileError, match=f"seems to be {encoding}. Pass {ways}"):
        open_table(path)
    declared = open_table(path, Dialect(encoding=encoding))
    assert declared.frame.shape == (3, 2)
    assert declared.notes == ()


@pytest.mark.parametrize(
    ("encoding", "needed"), [("utf-8-sig", None), ("utf-16", "utf-16"), ("utf-32", "utf-32")]
)
def test_a_byte_order_mark_decides(tmp_path: Path, encoding: str, needed: str | None) -> None:
    path = write(tmp_path, WESTERN.encode(encoding))
    table = open_table(path)
    assert table.frame["centre"].tolist() == ["Zürich", "Genève", "Nîmes"]
    assert (table.notes, table.dialect) == ((), Dialect(encoding=needed))
    assert open_table(path, table.dialect).notes == ()
    (note,) = open_table(path, Dialect(encoding="cp1252")).notes
    assert "by the mark that it begins with, not cp1252" in note


def test_a_declared_encoding_that_does_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path, codecs.BOM_UTF8 + b"a\n\xff\n")
    with pytest.raises(InputFileError, match=r"is not utf-8 text \(byte 5\); correct --encoding"):
        open_table(path, guess=True)


@pytest.mark.parametrize("wrong", ["cp1252", "latin-1"])
def test_text_that_was_garbled_before_is_pointed_out(tmp_path: Path, wrong: str) -> None:
    garbled = WESTERN.encode().decode(wrong)
    (note,) = open_table(write(tmp_path, garbled.encode())).notes
    assert "seems to have been read in a wrong encoding before ('ZÃ¼rich'" in note
    (note,) = open_table(write(tmp_path, "a\nM\ufffdller\n".encode())).notes
    assert "M\ufffdller" in note


@pytest.mark.parametrize("text", ["a\nSÃO PAULO\n", "a\nÂge\n", "a\nÅse\n", "a\n5 Å²\n"])
def test_capital_letters_with_accents_are_not_taken_for_garbled_text(
    tmp_path: Path, text: str
) -> None:
    assert open_table(write(tmp_path, text.encode())).notes == ()
