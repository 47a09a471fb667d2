import contextlib
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthvae.drafting import draft_yaml
from synthvae.errors import InputFileError
from synthvae.table import find_problems, read_table
from tests.hostile.limits import said_within
from tests.simulated import CLINIC, clinic

PAYLOAD = b"cposix\nsystem\n(S'touch ran'\ntR."  # a pickle that would leave a file behind


@pytest.fixture
def good(tmp_path: Path) -> Path:
    clinic(20).to_parquet(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


@pytest.mark.parametrize("size", [0, 3, 4, 8, 12, 500, -1, -4, -8, -200])
def test_a_file_that_was_cut_is_refused(good: Path, size: int) -> None:
    content = good.read_bytes()
    good.write_bytes(content[:size])
    with pytest.raises(InputFileError, match=r"is empty|cannot be read as a table"):
        read_table(good)


@pytest.mark.parametrize("length", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_footer_of_an_impossible_length_is_refused(good: Path, length: int) -> None:
    content = good.read_bytes()
    good.write_bytes(content[:-8] + length.to_bytes(4, "little") + b"PAR1")
    with pytest.raises(InputFileError, match="cannot be read as a table"):
        read_table(good)


@pytest.mark.parametrize("text", ["PAR1 not really", "a,b\n1,2\n" * 10])
def test_text_called_parquet_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.parquet").write_text(text)
    with pytest.raises(InputFileError, match="cannot be read as a table"):
        read_table(tmp_path / "t.parquet")


def test_a_small_file_of_a_thousand_million_cells_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = pa.table({"a": pa.array([1] * 3_000_000, pa.int8())})
    pq.write_table(table, tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 20_000
    monkeypatch.setattr("synthvae.table.limits.machine_memory", lambda: 20_000_000)
    message = r"says that it has 3,000,000 rows, which need at least 0\.0224 GB of memory"
    with pytest.raises(InputFileError, match=message):
        read_table(tmp_path / "bomb.parquet")


def test_a_file_of_many_equal_texts_stays_small(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 500_000, pa.int32()), ["x" * 50])
    pq.write_table(pa.table({"a": texts.dictionary_decode()}), tmp_path / "t.parquet")
    call = "from synthvae.table import read_table; read_table('t.parquet')"
    assert said_within(call, tmp_path, seconds=60, gigabytes=2) == "READ"


def test_too_many_columns_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame([range(50)]).rename(columns=str).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr("synthvae.table.limits.MOST_COLUMNS", 49)
    with pytest.raises(InputFileError, match="has 50 columns; at most 49"):
        read_table(tmp_path / "t.parquet")


def test_nothing_in_a_files_metadata_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = {b"ARROW:extension:name": b"arrow.py_extension_type"}
    kind = pa.field("a", pa.int8(), metadata=named | {b"ARROW:extension:metadata": PAYLOAD})
    pandas = {b"pandas": json.dumps({"index_columns": [PAYLOAD.decode()]}).encode()}
    pq.write_table(pa.table([pa.array([1], pa.int8())], pa.schema([kind])), "extension.parquet")
    plain = pa.table({"a": [1]})
    pq.write_table(plain.replace_schema_metadata(pandas), "pandas.parquet")
    for name in ("extension.parquet", "pandas.parquet"):
        with contextlib.suppress(InputFileError):
            assert read_table(tmp_path / name)["a"].tolist() == [1]
    assert not (tmp_path / "ran").exists()


def test_a_zone_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    moments = pa.array([0], pa.timestamp("us", "+25:00"))
    pq.write_table(pa.table({"a": moments}), tmp_path / "t.parquet")
    with pytest.raises(InputFileError, match=r"cannot be read as a table: .*\+25:00"):
        read_table(tmp_path / "t.parquet")


def test_nested_columns_are_no_values(tmp_path: Path) -> None:
    nested = [{"b": [{"c": [1, 2, None]}]}, None]
    pq.write_table(pa.table({"age": nested, "x": [[1], []]}), tmp_path / "t.parquet")
    frame = read_table(tmp_path / "t.parquet")
    assert any("column 'age'" in str(problem) for problem in find_problems(frame, CLINIC))
    draft_yaml(frame)
