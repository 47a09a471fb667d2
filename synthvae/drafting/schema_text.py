"""The text of a schema file: one field at a time is written anew, and all else stays as it is."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from synthvae import _frozen
from synthvae._files import read_ordinary, write_whole
from synthvae.errors import OutputExistsError, SchemaError

UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
COMMENT = re.compile(r"(?:^|(?<=\s))#[^\n\r]*", re.MULTILINE)
LAST_REMARKS = re.compile(r"((?:^[ \t]*#[^\n]*\n)*)([ \t]*-[ \t]+|[ \t]*)\Z", re.MULTILINE)


class SchemaText:
    """A schema file as plain values and as text, each field with the remarks that stand above it.

    `value` is what the file says. Between the fields, the text is kept byte for byte. A JSON file,
    or one in which everything stands between braces, is written anew as a whole.

    Raises
    ------
    SchemaError
        The file does not exist or is no mapping with a list of fields.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.value = _frozen.read_mapping(path, SchemaError, "schema")
        fields = self.value.get("fields")
        if not isinstance(fields, list) or not all(isinstance(field, dict) for field in fields):
            raise SchemaError(f"The schema file {path} has no list of fields to review.")
        self._written = read_ordinary(path, _frozen.LARGEST_SETTINGS)
        text = self._written.decode("utf-8")
        self._line_end = "\r\n" if "\r\n" in text else "\n"
        self._is_json = path.suffix.lower() == ".json"
        if not self._is_json:
            self._take_apart(text)

    def _take_apart(self, text: str) -> None:
        # Before each field, the text since the field before; then what follows the last one.
        self._between: list[str] = []
        self._items: list[str] = []
        self._inside: list[list[str]] = []  # remarks inside a field's text
        self._columns: list[int | None] = []  # None for a field between braces in a list of such
        root = _frozen.compose_yaml(text)
        assert isinstance(root, yaml.MappingNode), "read as a mapping before"
        self._indent = " " * root.start_mark.column
        listed = next(node for key, node in root.value if key.value == "fields")
        if root.flow_style:
            self._is_json = True
            return
        end = 0
        for node in listed.value:
            start = node.start_mark.index
            self._between.append(text[end:start])
            item = _without_tail(text[start : node.end_mark.index])
            end = start + len(item)
            self._inside.append(_comments_of(node, item, start))
            self._items.append(item)
            self._columns.append(None if listed.flow_style else node.start_mark.column)
        self._between.append(text[end:])

    def remarks(self, place: int) -> tuple[str, ...]:
        """Return the remarks directly above a field, without their signs."""
        if self._is_json:
            return ()
        match = LAST_REMARKS.search(self._between[place])
        lines = match[1].splitlines() if match else []
        return tuple(line.strip().lstrip("#").strip() for line in lines)

    def remark_of(self, key: str) -> str:
        """Return the remarks directly above one of the table's own keys, as one text."""
        found = None if self._is_json else self._find_key(key)
        return "" if found is None else " ".join(re.findall(r"#\s*(.*)", found[1]))

    def replace_field(self, place: int, field: Mapping[str, Any], drop: str | None) -> None:
        """Write one field anew; its remarks that begin with the word `drop`, if any, go."""
        self.value = self.value | {
            "fields": [
                dict(field) if i == place else each for i, each in enumerate(self.value["fields"])
            ]
        }
        if self._is_json:
            return
        self._mend_remarks(place, drop)
        column = self._columns[place]
        if column is None:  # what is JSON is YAML between braces, too
            self._items[place] = _as_json(dict(field))
            return
        first, *rest = _frozen.write_yaml(dict(field)).rstrip("\n").split("\n")
        lines = [first, *(" " * column + line for line in rest)]
        self._items[place] = self._line_end.join(lines)

    def _mend_remarks(self, place: int, drop: str | None) -> None:
        """Take remarks that begin with a word away, and put those inside the field above it."""
        before = self._between[place]
        match = LAST_REMARKS.search(before)
        if match is None or self._columns[place] is None:
            return
        indent = match[2].partition("-")[0]
        inside = [f"{indent}{each}{self._line_end}" for each in self._inside[place]]
        remarks = match[1].splitlines(keepends=True) + inside
        self._inside[place] = []
        kept = [line for line in remarks if not (drop and line.strip("# \t").startswith(drop))]
        self._between[place] = before[: match.start()] + "".join(kept) + match[2]

    def set_number(self, key: str, number: int, remark: str) -> None:
        """Set one of the table's own keys, with a remark in place of those above it."""
        self.value = _with_key(self.value, key, number)
        if self._is_json:
            return
        line = f"{self._indent}# {remark}{self._line_end}{self._indent}{key}: {number}"
        # Where a draft keeps the key as a remark, the rest of that remark stays.
        draft = re.compile(rf"(?m)^#\s*{key}:[^#\n\r]*")
        found = self._find_key(key)
        if found is not None:
            piece, whole = found[0], found[1] + found[2]
            self._between[piece] = self._between[piece].replace(whole, line, 1)
        elif draft.search(self._between[0]):
            setting = f"{self._indent}{key}: {number}   "
            self._between[0] = draft.sub(setting, self._between[0], count=1)
        else:
            head = re.compile(rf"(?m)^{self._indent}['\"]?fields['\"]?\s*:")
            self._between[0] = head.sub(
                lambda match: f"{line}{self._line_end}{match.group()}", self._between[0], count=1
            )

    def set_list(self, key: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Set one of the table's keys to a list, in its place or before the fields; remarks in it go."""
        self.value = _with_key(self.value, key, [dict(item) for item in items])
        if self._is_json:
            return
        text = self.text
        root = _frozen.compose_yaml(text)
        assert isinstance(root, yaml.MappingNode), "as it was read"
        places = {node.value: (node.start_mark.index, item) for node, item in root.value}
        lines = _frozen.write_yaml({key: self.value[key]}).rstrip("\n").split("\n")
        block = (self._line_end + self._indent).join(lines)
        if key in places:
            start, item = places[key]
            end = start + len(_without_tail(text[start : item.end_mark.index]))
        else:
            start = end = places["fields"][0]
            block += self._line_end + self._indent
        self._take_apart(text[:start] + block + text[end:])

    def replace_rule(self, place: int, rule: Mapping[str, Any] | None, drop: str) -> None:
        """Write one of the table's rules anew, or take it away; all others stay as they are.

        Remarks above it that begin with the word `drop` go, and all of them where the rule does.
        """
        rules = list(self.value["rules"])
        rules[place : place + 1] = [] if rule is None else [dict(rule)]
        self.value = self.value | {"rules": rules}
        if self._is_json:
            return
        text = self.text
        root = _frozen.compose_yaml(text)
        assert isinstance(root, yaml.MappingNode), "as it was read"
        listed = next(node for key, node in root.value if key.value == "rules")
        if listed.flow_style or not rules:
            self.set_list("rules", rules)
            return
        node = listed.value[place]
        start = node.start_mark.index
        end = start + len(_without_tail(text[start : node.end_mark.index]))
        match = LAST_REMARKS.search(text[:start])
        assert match is not None, "a list has a dash before each item"
        remarks = match[1].splitlines(keepends=True)
        if rule is None:
            self._take_apart(text[: match.start()] + text[end:].removeprefix(self._line_end))
            return
        kept = [line for line in remarks if not line.strip("# \t").startswith(drop)]
        lines = [line for key, item in rule.items() for line in _lines_of({key: item})]
        block = (self._line_end + " " * node.start_mark.column).join(lines)
        head = text[: match.start()] + "".join(kept) + match[2]
        self._take_apart(head + block + text[end:])

    def _find_key(self, key: str) -> tuple[int, str, str] | None:
        """Return the piece of text with a key of the table, the remarks above it, and the key."""
        setting = rf"^{self._indent}['\"]?{key}['\"]?[ \t]*:[ \t]*[^\s#]*"
        pattern = re.compile(rf"((?:^[ \t]*#[^\n]*\n)*)({setting})", re.MULTILINE)
        for piece in (0, len(self._between) - 1):
            match = pattern.search(self._between[piece])
            if match:
                return piece, match[1], match[2]
        return None

    @property
    def text(self) -> str:
        """The file's text as it now is."""
        if self._is_json:
            return _as_json(self.value, indent=1) + "\n"
        pairs = zip(self._between, [*self._items, ""], strict=True)
        return "".join(before + item for before, item in pairs)

    def write(self) -> None:
        """Write the file whole or not at all; `SchemaError` where somebody else has changed it."""
        if read_ordinary(self.path, _frozen.LARGEST_SETTINGS) != self._written:
            raise SchemaError(
                f"The schema file {self.path} was changed by another program during the review: what "
                "was answered before is in it, the last answer is not; start the review again."
            )
        mode = self.path.stat().st_mode & 0o777
        write_whole(self.path.resolve(), self.text, mode=mode)
        self._written = self.text.encode("utf-8")


def refuse_forgetting(path: Path) -> None:
    """Raise `OutputExistsError` where a file records what was spent on it, which would be lost."""
    try:
        recorded = _frozen.read_mapping(path, SchemaError, "schema").get("releases")
    except SchemaError:  # no schema, or none that can be read: nothing is known to be in it
        return
    if recorded:
        raise OutputExistsError(
            f"{path} records what was spent on choosing maxRows, which a new draft would forget: write "
            "to another file, and take its `releases` over."
        )


def _with_key(value: Mapping[str, Any], key: str, item: Any) -> dict[str, Any]:
    """Return a mapping with a key set; a new one stands before the fields."""
    if key in value:
        return {**value, key: item}
    rest = {name: other for name, other in value.items() if name != "fields"}
    return {**rest, key: item, "fields": value["fields"]}


def _lines_of(value: dict[str, Any]) -> list[str]:
    return _frozen.write_yaml(value).rstrip("\n").split("\n")


def _as_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON that YAML takes, too; dates are text."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, default=str)
    return UNPRINTABLE.sub(lambda sign: f"\\u{ord(sign.group()):04x}", text)


def _without_tail(text: str) -> str:
    """Return a node's text without the blank lines and remarks that follow it."""
    lines = text.splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return "".join(lines).rstrip()


def _comments_of(node: yaml.Node, item: str, start: int) -> list[str]:
    """Return the remarks inside a field's text, which would be lost when it is written anew."""
    spans = [(n.start_mark.index - start, n.end_mark.index - start) for n in _scalars(node)]
    return [
        match.group()
        for match in COMMENT.finditer(item)
        if not any(first <= match.start() < last for first, last in spans)
    ]


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            for each in pair:
                yield from _scalars(each)
    elif isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _scalars(each)
