"""The bytes of a text file as text: Unicode by rule; another encoding as declared, or by a guess.

A guess rests on the bytes of the lines that need it, which are patients'. So it serves a person's
eyes, on the terminal, and a draft; a fit wants the encoding declared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthvae._text import brief
from synthvae.errors import InputFileError

MARKS = (  # that begin a file; the longest first
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# What is tried, the likeliest first where several fit as well.
CANDIDATES = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp1255", "cp1256", "cp850"),
    *("mac_roman", "iso8859_2", "koi8_r", "cp932", "gb18030", "big5", "cp949", "euc_jp"),
)
MOST_BYTES = 64_000  # that a guess looks at
FIT = 0.15  # charset-normalizer's share of what looks wrong, up to which an encoding fits
WITHIN_WORDS = "’‘´`–-·\u00ad\u00a0"  # signs that may stand between two letters
# What UTF-8 looks like where it was read as cp1252 or Latin-1, and what replaces lost letters.
TAILS = (
    "[\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u2013-\u203a\u20ac\u2122]"
)
GARBLED = re.compile(f"[ÃÂ]{TAILS}|(?<=[A-Za-z])[ÅÄ]{TAILS}|[ÅÄ]{TAILS}(?=[A-Za-z])|â€|\ufffd")
LONGEST_WORD = 30
SHOWN = 3


@dataclass(frozen=True)
class Guess:
    """The likeliest encoding, words as it reads them, and another that would read them otherwise."""

    encoding: str
    words: tuple[str, ...]
    other: str = ""
    other_words: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """How sure the guess is, in words: for the terminal, since it shows what stands in the file."""
        shown = ", ".join(map(brief, self.words))
        if not self.other:
            return f"it reads {shown}, and no other likely encoding reads these otherwise"
        others = ", ".join(map(brief, self.other_words))
        return f"it reads {shown}, where {self.other} would read {others}: look which is right"


def decode_text(
    content: bytes, declared: str | None, path: Path, *, guess: bool
) -> tuple[str, str | None, list[str]]:
    """Return the text of a file, its encoding where that has to be declared, and notes.

    UTF-8 is tried first, and a byte order mark (also of UTF-16) decides over what is declared.

    Raises
    ------
    InputFileError
        The bytes are no text in the encoding, or in UTF-8 where none is declared and none may be
        guessed; the message names a guess and the way out.
    """
    marked = next((name for mark, name in MARKS if content.startswith(mark)), None)
    name = marked or declared or "utf-8"
    if name == "utf-8" and not marked and _wide_name(content):  # which UTF-8 would let pass
        return _by_guess(content, content.index(b"\0"), path, guess=guess)
    try:
        text = content.decode(name).removeprefix("\ufeff")
    except UnicodeError as cause:
        if marked or declared:
            where = f" (byte {cause.start})" if isinstance(cause, UnicodeDecodeError) else ""
            raise InputFileError(
                f"The file {path} is not {name} text{where}; correct --encoding, or `dialect` in the "
                "schema."
            ) from None
        place = cause.start if isinstance(cause, UnicodeDecodeError) else 0
        return _by_guess(content, place, path, guess=guess)
    notes = []
    if marked and declared and marked != declared.lower().replace("_", "-"):
        notes.append(f"{path} is {marked} by the mark that it begins with, not {declared}")
    needed = None if _is_utf8(name) else name
    return text, needed, notes + _garbled(text, path)


def _is_utf8(name: str | None) -> bool:
    return name is None or name.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def _by_guess(
    content: bytes, place: int, path: Path, *, guess: bool
) -> tuple[str, str | None, list[str]]:
    likely = guess_encoding(content)
    if likely is None:
        raise InputFileError(
            f"The file {path} is not UTF-8 text (byte {place}), nor does it look like another "
            "encoding; save it as UTF-8, or pass --encoding."
        )
    name = likely.encoding
    if not guess:
        raise InputFileError(
            f"The file {path} is not UTF-8 text (byte {place}); it seems to be {name}. Pass "
            f"`--encoding {name}`, write `dialect: {{encoding: {name}}}` in the schema, or save it as "
            "UTF-8."
        )
    text = content.decode(name)
    note = f"{path} is not UTF-8 text, and is read as {name}, a guess: {likely.sentence}"
    return text, name, [note, *_garbled(text, path)]


def guess_encoding(content: bytes) -> Guess | None:
    """Return the likeliest encoding of text that is not UTF-8; None where no likely one fits."""
    wide = _wide_name(content)
    if wide:
        text = content.decode(wide, "replace")
        return Guess(wide, _words(text) or (text[:LONGEST_WORD],)) if _fits(content, wide) else None
    sample = _lines_in_need(content)
    fitting = [name for name in _fitting(sample) if _fits(content, name)]
    if not fitting:
        return None
    readings = {name: _words(sample.decode(name, "replace")) for name in fitting}
    first = readings[fitting[0]]
    other = next((name for name in fitting if readings[name] != first), "")
    return Guess(fitting[0], first, other, readings.get(other, ()))


def _wide_name(content: bytes) -> str:
    """Return the UTF-16 whose zero bytes stand at every second place, or an empty text."""
    head = content[:1000]
    for name, zeros, others in (
        ("utf-16-le", head[1::2], head[::2]),
        ("utf-16-be", head[::2], head[1::2]),
    ):
        if zeros.count(0) * 2 > len(zeros) and others.count(0) * 10 < len(others):
            return name
    return ""


def _fits(content: bytes, name: str) -> bool:
    try:
        content.decode(name)
    except UnicodeError:
        return False
    return True


def _lines_in_need(content: bytes) -> bytes:
    """Return the first lines that hold other bytes than ASCII's."""
    lines, size = [], 0
    for found in re.finditer(rb"[^\r\n]*[\x80-\xff][^\r\n]*", content):
        lines.append(found.group()[:MOST_BYTES])
        size += len(lines[-1])
        if size >= MOST_BYTES:
            break
    return b"\n".join(lines)


def _fitting(sample: bytes) -> list[str]:
    """Return the encodings that fit a sample, the likeliest first."""
    from charset_normalizer import from_bytes

    matches = from_bytes(sample, cp_isolation=list(CANDIDATES), threshold=FIT)
    ranks: dict[str, tuple[float, float, int]] = {}
    for match in matches:
        for name in (match.encoding, *match.could_be_from_charset):
            if name in CANDIDATES:
                ranks[name] = (match.chaos, -match.coherence, CANDIDATES.index(name))
    best = sorted(ranks, key=lambda name: ranks[name])
    # charset-normalizer has little to go by in short words; what is plainly Western is likeliest cp1252.
    others = [name for name in best if name != "cp1252"]
    if _western(sample):
        return ["cp1252", *others]
    return [*others, *(name for name in best if name == "cp1252")]


def _western(sample: bytes) -> bool:
    """Whether cp1252 reads letters with accents among plain ones, and signs where they belong."""
    if not _fits(sample, "cp1252"):
        return False
    text = sample.decode("cp1252")
    odd = total = 0
    for found in re.finditer(r"[^\W\d_]*[^\x00-\x7f]\S*", text):
        word = found.group()
        plain = sum(sign.isascii() and sign.isalpha() for sign in word)
        accented = sum(not sign.isascii() and sign.isalpha() for sign in word)
        total += accented
        odd += accented if accented > max(plain, 1) else 0
    for found in re.finditer(r"(?=(.)([^\x00-\x7f])(.))", text, re.DOTALL):
        before, sign, after = found.groups()
        if not sign.isalpha() and sign not in WITHIN_WORDS:
            total += 1
            among = before.isalpha() and after.isalpha()
            odd += among or (not before.isascii() and not before.isalpha())
    return odd <= total / 8


def _words(text: str) -> tuple[str, ...]:
    """Return the first words that hold other letters than ASCII's."""
    words = re.findall(r"[^\s,;|\"]*[^\x00-\x7f\s][^\s,;|\"]*", text[:MOST_BYTES])
    return tuple(word[:LONGEST_WORD] for word in dict.fromkeys(words))[:SHOWN]


def _garbled(text: str, path: Path) -> list[str]:
    if text.isascii() or GARBLED.search(text) is None:
        return []
    words = _garbled_words(text.split("\n"))
    return [
        f"{path} holds text that seems to have been read in a wrong encoding before "
        f"({', '.join(map(brief, words))}); mend it where the file comes from"
    ]


def _garbled_words(lines: Sequence[str]) -> list[str]:
    words: dict[str, None] = {}
    for line in lines:
        for found in re.finditer(r"[^\s,;|\"]*", line if GARBLED.search(line) else ""):
            if GARBLED.search(found.group()):
                words[found.group()[:LONGEST_WORD]] = None
        if len(words) >= SHOWN:
            break
    return list(words)[:SHOWN]
