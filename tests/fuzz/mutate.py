"""Mutations of a file's bytes, and of the structure of JSON, CSV and safetensors."""

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

WORDS = (
    b"",
    b"\0",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\r",
    b"\r\n",
    b"\n\n",
    b'"',
    b'""',
    b"'",
    b",",
    b";",
    b"\t",
    b"|",
    b"=1+1",
    b"@SUM(A1)",
    b"=cmd|' /C calc'!A0",
    b"NaN",
    b"inf",
    b"-inf",
    b"1e999",
    b"-0",
    b"9" * 400,
    b"0x1f",
    b"007",
    b"1_0",
    b"2012-02-30",
    b"0000-00-00",
    b"99999-01-01",
    b"2012-01-01T00:00:00+25:00",
    b"\x1b[31m",
    b"[red]",
    b"\xe2\x80\xae",
    b"\xcc\x81",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x92\xa9",
    b"</style><script>",
    b"{{ 7*7 }}",
    b"../../etc/passwd",
    b"<<: *a",
    b"&a ",
    b"*a",
    b"!!python/object/apply:os.system",
    b"!!binary ",
    b"!!timestamp ",
    b"? ",
    b": ",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b"[" * 300,
    b"null",
    b"true",
    b"~",
    b"|\n",
    b">\n",
    b"%YAML 9.9\n---\n",
    b"---\n",
    b"...\n",
    b"# ",
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 200, 1000, 100_000, 2**31, 2**63, 2**64, -(2**63), 10**18),
    *(10**400, 0.5, -0.5, 1e-320, 1e15, 1e16, 1e300, 1e308, float("inf"), float("nan")),
    *(
        "",
        " ",
        "a",
        "\0",
        "\x1b[2J",
        "é",
        "e\u0301",
        "\u0430ge",
        "\u202e",
        "\ud800",
        "[red]x[/red]",
    ),
    *("NaN", "1e999", "9" * 5000, "x" * 100_000, "2012-02-30", "9999-12-31", "0001-01-01", "%Y"),
    *("%", "%%%", "%f", "%z", "%Q", "other", "identifier", "../../etc/passwd", "/dev/zero", "\n"),
    *("<script>alert(1)</script>", "</style>", "{{ 7*7 }}", "$x_1^2$", "$\\frac{", "javascript:1"),
    *([], {}, [[]], [None], [1, 2, 3], ["a", "a"], {"a": 1}, {"": {}}, [[[[[[]]]]]], ["x"] * 3000),
)


def mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Return bytes with a few changes: flips, cuts, repeats, words, and splices of other inputs."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        at = random.randrange(len(changed) + 1)
        size = random.choice((1, 1, 2, 4, 16, 64, 1024))
        match random.randrange(8):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << random.randrange(8)
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = changed[at : at + size] * random.choice((1, 2, 50))
            case 3:
                changed[at : at + size] = random.randbytes(size)
            case 4:
                other = random.choice(others)
                start = random.randrange(len(other) + 1)
                changed[at : at + size] = other[start : start + 4 * size]
            case 5 if len(changed) > 8:
                number = random.choice((0, 1, 2**31 - 1, 2**32 - 1, 2**63, 2**64 - 1, at))
                changed[at : at + 8] = struct.pack("<Q", number)
            case _:
                word = random.choice(WORDS)
                changed[at : at + random.choice((0, 0, len(word)))] = word
    return bytes(changed[:2_000_000])


def mutated_value(value: Any, random: Random) -> Any:
    """Return plain values with one place changed, dropped, repeated or swapped for another."""
    whole = json.loads(json.dumps(value))
    node = whole
    while isinstance(node, dict | list) and node:
        key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        inner = node[key]
        if isinstance(inner, dict | list) and inner and random.random() < 0.85:
            node = inner
            continue
        _change(node, key, random)
        return whole
    return random.choice(VALUES)


def _change(node: Any, key: Any, random: Random) -> None:
    kind = random.randrange(8)
    number = node[key]
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, list):
        node[key:key] = [node[key]] * random.choice((1, 2, 200))
    elif kind == 1:
        node[random.choice((str(key) + "x", "\x1b[0m", "", str(key).upper()))] = node[key]
    elif kind == 2 and type(number) in (int, float) and abs(number) < 1e300:
        node[key] = random.choice((-number, number * 10, number + 1, number - 0.5, number * 10**9))
    elif kind == 3 and isinstance(number, str):
        node[key] = number + random.choice([v for v in VALUES if isinstance(v, str)])
    else:
        node[key] = random.choice(VALUES)


def json_mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Mutate JSON by its structure, one time in four by its bytes."""
    if random.random() < 0.25:
        return mutated(content, others, random)
    try:
        value = json.loads(content)
    except ValueError:
        return mutated(content, others, random)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        value = mutated_value(value, random)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def lines_mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Mutate a file of one JSON value a line."""
    if random.random() < 0.3:
        return mutated(content, others, random)
    lines = content.split(b"\n")
    at = random.randrange(len(lines))
    lines[at] = json_mutated(lines[at], others, random)
    if random.random() < 0.2:
        lines.insert(random.randrange(len(lines)), random.choice(lines))
    return b"\n".join(lines)


def csv_mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Mutate a CSV by its cells, one time in three by its bytes."""
    if random.random() < 0.33:
        return mutated(content, others, random)
    rows = [line.split(b",") for line in content.split(b"\n")]
    for _ in range(random.choice((1, 2, 4))):
        row = random.choice(rows) if random.random() < 0.7 else rows[0]
        at = random.randrange(len(row))
        match random.randrange(6):
            case 0:
                row[at] = row[at] * random.choice((2, 300))
            case 1:
                row.insert(at, random.choice(row))
            case 2:
                rows.insert(random.randrange(len(rows) + 1), list(row))
            case 3:
                for each in rows:
                    each[at : at + 1] = []
            case _:
                row[at] = random.choice(WORDS)
        rows = [row for row in rows if row] or [[b"a"]]
    return random.choice((b"\n", b"\n", b"\r\n", b"\r")).join(map(b",".join, rows))


def safetensors_mutated(content: bytes, others: list[bytes], random: Random) -> bytes:
    """Mutate safetensors: the header's structure, the numbers behind it, or any bytes."""
    kind = random.random()
    try:
        (size,) = struct.unpack("<Q", content[:8])
        header, body = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
        spans = [tuple(each["data_offsets"]) for each in header.values() if "dtype" in each]
        start, end = random.choice([span for span in spans if 0 <= span[0] < span[1]])
    except (struct.error, ValueError, TypeError, LookupError, AttributeError):
        kind = 0.0
    if kind < 0.1:
        return mutated(content, others, random)
    if kind < 0.4:
        header = mutated_value(header, random)
    else:
        _change_numbers(body, range(start, min(end, len(body)), 8), random)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def _change_numbers(body: bytearray, places: Sequence[int], random: Random) -> None:
    """Put odd numbers in the place of some, or all, of one array."""
    if random.random() < 0.6:
        places = random.sample(places, min(len(places), random.choice((1, 3))))
    odd = (0.0, -0.0, 1e-320, 1e-300, -1.0, 1.0, 1e6, 1e30, 1e150, -1e150, 1e300, 1.7e308)
    whole = (0, 1, -1, 2, 7, 10**6, 2**31, 2**62, -(2**63))
    form: Callable[[], bytes] = random.choice(
        (
            lambda: struct.pack("<d", random.choice(odd)),
            lambda: struct.pack("<q", random.choice(whole)),
        )
    )
    chosen = form()
    for place in places:
        body[place : place + 8] = chosen if random.random() < 0.7 else form()
