"""CSV and Parquet files to begin with, and Parquet of every type."""

import functools
import io
from random import Random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.mutate import mutated
from tests.hospital import SCHEMA, make_table


@functools.cache
def csv_inputs() -> list[bytes]:
    table = make_table(6)
    plain = table.head(5).to_csv(index=False).encode()
    quoted = table.head(3).to_csv(index=False, quoting=1).encode()
    return [plain, quoted, b"a,b\n1,2\n", "age,sex\n61,männlich\n,\n".encode(), b"a\n1\n"]


def _parquet(frame: pd.DataFrame | pa.Table) -> bytes:
    table = pa.Table.from_pandas(frame) if isinstance(frame, pd.DataFrame) else frame
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


@functools.cache
def parquet_inputs() -> list[bytes]:
    table = make_table(6)
    indexed = pd.DataFrame({"a": [1, 2]}, index=pd.Index([3, 4], name="b"))
    return [_parquet(table), _parquet(table.astype(str)), _parquet(indexed)]


TYPES = (
    *(pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_(), pa.string(), pa.binary()),
    *(pa.large_string(), pa.date32(), pa.date64(), pa.time64("ns"), pa.duration("s"), pa.null()),
    *(pa.timestamp("ns"), pa.timestamp("s", "Europe/London"), pa.timestamp("us", "+25:00")),
    *(pa.decimal128(38, 3), pa.decimal256(70, 5), pa.list_(pa.int32()), pa.binary(3)),
    *(pa.struct([("a", pa.int8()), ("b", pa.string())]), pa.map_(pa.string(), pa.int8())),
    pa.dictionary(pa.int8(), pa.string()),
)


def parquet_mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Alter a Parquet file's bytes, or make a table of odd types under the schema's names."""
    if random.random() < 0.5:
        return mutated(content, others, random)
    raw = np.frombuffer(random.randbytes(64), np.int64)
    columns = {}
    for name in random.sample(SCHEMA.names, random.choice((1, 3, 14))):
        kind = random.choice(TYPES)
        columns[name] = _odd_values(kind, raw, random)
    try:
        return _parquet(pa.table(columns))
    except pa.ArrowException:  # values that Parquet has no place for
        return mutated(content, others, random)


def _odd_values(kind: pa.DataType, raw: np.ndarray, random: Random) -> pa.Array:
    """Return eight cells of a type: bits that mean anything where that is allowed, else nulls."""
    size = len(raw)
    primitive = pa.types.is_primitive(kind) or pa.types.is_boolean(kind)
    width = kind.bit_width if primitive else 0
    if pa.types.is_dictionary(kind):
        places = pa.array([0, 1, None] + [1] * (size - 3), pa.int8())
        return pa.DictionaryArray.from_arrays(places, pa.array(["a", "\0"]))
    if width and random.random() < 0.9:
        bits = raw.tobytes()[: size * width // 8]
        return pa.Array.from_buffers(kind, size, [None, pa.py_buffer(bits)])
    if kind in (pa.string(), pa.large_string()):
        return pa.array([random.choice(["", "a", "\0", "1e999", "NaN", None])] * size, kind)
    if pa.types.is_list(kind):
        return pa.array([[1, 2], [], None, [3]] * (size // 4), kind)
    return pa.nulls(size, kind)
