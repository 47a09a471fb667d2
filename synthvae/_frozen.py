"""Frozen values: the settings that a person writes, and the values that we save.

Both may come from anywhere: a file is read within limits, and an error says what is wrong with it.
Plain scalars are resolved as in YAML 1.2 where 1.1 surprises: `yes` and `no`, `1:30` and codes with
leading zeros (`007`) stay text, and `1e-5` is a number.

ruamel.yaml, which speaks YAML 1.2, was tried in PyYAML's place: for a schema of 2,000 columns it takes
1.3 to 2.1 times as long, reads codes such as `007` as numbers, repeats a file's values in its errors,
and needs the same guards against aliases, tags and floods of values, so that nothing would be spared.
"""

import json
import os
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from synthvae._files import read_ordinary
from synthvae._text import brief, nearest, one_line, shortened
from synthvae.errors import ConfigError, InputFileError, SynthvaeError

LARGEST_SETTINGS = 10_000_000  # bytes
LARGEST_VALUE = 100_000_000
MOST_VALUES = 250_000  # of one YAML file; more would take minutes to read
PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str")
SHOWN = 12  # findings listed in one error message
PYDANTICS = ("function-", "constrained-")  # steps of a location that are no keys
OTHER_VERSION = "other_version"  # an error of ours, which says where it is
LARGEST_WHOLE = 2**63  # beyond, arithmetic with other numbers fails
# Plain scalars of YAML 1.2: a pattern, and with what such a scalar may begin.
PLAIN_SCALARS = {
    "bool": (r"^(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"^[-+]?(0|[1-9][0-9]*)$", "-+0123456789"),
    "float": (
        r"^([-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?"
        r"|[-+]?(0|[1-9][0-9]*)(\.([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        "-+.0123456789",
    ),
}

Value = TypeVar("Value", bound=BaseModel)


class Frozen(BaseModel):
    """A value that cannot be changed, and has no keys but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FrozenSettings(Frozen):
    """Settings that a person writes: their numbers are finite, and errors name the key to mend."""

    model_config = ConfigDict(allow_inf_nan=False)

    _what: ClassVar[str] = "config"
    _error: ClassVar[type[SynthvaeError]] = ConfigError

    @classmethod
    def from_dict(cls, value: dict[str, Any], source: str | None = None) -> Self:
        """Build settings from plain values of a source; the error names each key that is wrong."""
        try:
            return cls.model_validate(value)
        except ValidationError as cause:
            where = source or f"the {cls._what}"
            raise cls._error(f"In {where}: {explain(cause, cls, value)}") from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read settings from a YAML or JSON file; the error names each key that is wrong."""
        return cls.from_dict(read_mapping(Path(path), cls._error, cls._what), str(path))


def read_value(path: Path, kind: type[Value]) -> Value:
    """Read one value of a kind from a JSON file, or raise `InputFileError`."""
    content = _content(path, LARGEST_VALUE, InputFileError, "file")
    what = kind.__name__.lower()
    try:
        value = kind.model_validate_json(content)
    except ValidationError as cause:
        raise InputFileError(f"The file {path} is no {what}: {first_finding(cause)}.") from None
    numbers = (item for item in _scalars(value.model_dump()) if isinstance(item, int))
    if any(abs(number) > LARGEST_WHOLE for number in numbers):
        raise InputFileError(
            f"The file {path} is no {what}: it holds a whole number beyond {LARGEST_WHOLE:.3g}."
        )
    return value


def read_value_if_any(path: Path, kind: type[Value]) -> Value | None:
    """Read one value as `read_value` does, or return None where nothing is at the path."""
    return read_value(path, kind) if os.path.lexists(path) else None


def first_finding(cause: ValidationError) -> str:
    """Return the first thing that pydantic finds wrong with a saved value, and where it is."""
    first = cause.errors(include_url=False)[0]
    where = shortened(".".join(map(str, first["loc"])) or "its start", 100)
    why = shortened(first["msg"], 200)
    return why if first["type"] == OTHER_VERSION else f"{why} at {where}"


def _content(path: Path, most: int, error: type[SynthvaeError], what: str) -> bytes:
    try:
        return read_ordinary(path, most)
    except FileNotFoundError:
        raise error(f"There is no {what} {path}.") from None
    except OSError as cause:
        raise error(f"The {what} {path} cannot be read: {cause.strerror}.") from cause


def _scalars(value: Any) -> Iterator[Any]:
    """Yield what stands in lists and mappings, keys too, in order."""
    if isinstance(value, dict):
        for pair in value.items():
            yield from _scalars(pair)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _scalars(item)
    else:
        yield value


def explain(cause: ValidationError, model: type[BaseModel], value: dict[str, Any]) -> str:
    """Return pydantic's findings as sentences that name the setting, its value and the rule."""
    sentences = []
    for error in cause.errors(include_url=False):
        where, owner = _where(error["loc"], model, value)
        if error["type"] == "extra_forbidden":
            key = str(error["loc"][-1])
            known = owner.model_fields if owner else {}
            sentences.append(f"{where}: unknown key {brief(key)}{nearest(key[:100], known)}")
        elif error["type"] == "missing":
            sentences.append(f"{where}: missing")
        else:
            message = error["msg"].removeprefix("Value error, ")
            if error["type"] in ("model_type", "dict_type"):
                message = "must be a mapping of names to values"
            item = error.get("input")
            got = f" (got {brief(item)})" if isinstance(item, str | int | float) else ""
            message = shortened(message, 300)
            sentences.append(f"{where}: {message}{got}" if where else message)
    distinct = list(dict.fromkeys(sentences))
    more = f"; and {len(distinct) - SHOWN} more" if len(distinct) > SHOWN else ""
    return "; ".join(distinct[:SHOWN]) + more + "."


def _where(
    location: tuple[int | str, ...], model: type[BaseModel], value: Any
) -> tuple[str, type[BaseModel] | None]:
    """Return a location as text (a field by its column's name) and the model that owns it."""
    steps: list[str] = []
    owner: type[BaseModel] | None = model
    for depth, part in enumerate(location):
        if isinstance(part, str) and depth < len(location) - 1:
            owner = _model_of(owner, part) or owner
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int):
            named = value.get("name") if isinstance(value, dict) else None
            kinds = {"rules": "rule", "analyses": "analysis", "purposes": "purpose"}
            kind = kinds.get(steps[-1], "field")
            steps[-1:] = [f"{kind} {brief(named)}" if named else f"{steps[-1]}[{part}]"]
        elif not part.startswith(PYDANTICS) and part not in ("float", "int", "str"):
            steps.append(part)
    return ", ".join(shortened(step, 100) for step in steps), owner


def _model_of(owner: type[BaseModel] | None, key: str) -> type[BaseModel] | None:
    """Return the model that a key's value is read as (or is a list of), where it is one."""
    fields = owner.model_fields if owner else {}
    field = next((f for name, f in fields.items() if key in (name, f.alias)), None)
    kinds: list[Any] = [field.annotation] if field else []
    while kinds:
        kind = kinds.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
        kinds += get_args(kind)
    return None


class _Loader(yaml.SafeLoader):
    """Safe YAML with the plain scalars of YAML 1.2, without aliases, tags and duplicate keys."""

    _values = 0

    def check_plain(self) -> bool:
        # A rule may begin with a name between backquotes, which YAML keeps for later versions.
        plain: bool = self.peek() == "`" or super().check_plain()
        return plain

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, Hashable):
                raise yaml.YAMLError(f"a key must be a word (line {line})")
            if key in seen:
                raise yaml.YAMLError(f"the key {brief(key)} stands twice (line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"aliases (*name) are not allowed (line {self.line + 1})")
        tag = getattr(self.peek_event(), "tag", None)  # type: ignore[no-untyped-call]
        if tag not in PLAIN_TAGS:
            raise yaml.YAMLError(f"tags ({brief(tag)}) are not allowed (line {self.line + 1})")
        self._values += 1
        if self._values > MOST_VALUES:
            raise yaml.YAMLError(f"it holds more than {MOST_VALUES:,} words")
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """YAML in blocks whose innermost lists and mappings stand on one line, without aliases."""

    def represent(self, data: Any) -> None:
        node = self.represent_data(data)
        if isinstance(node, yaml.CollectionNode):
            node.flow_style = False
        self.serialize(node)

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In other styles the emitter lets these line ends through and the scanner folds them.
        style = '"' if re.search("[\x85\u2028\u2029]", data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag.rpartition(":")[2] not in PLAIN_SCALARS]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in PLAIN_SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list(_first))
_Dumper.add_representer(str, _Dumper.represent_str)
# Text that any reader of YAML might take for a number is written in quotes.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?\.?[0-9][0-9._]*([eE][-+]?[0-9]+)?$|^0[ox][0-9a-fA-F]+$"),
    list("-+.0123456789"),
)


def read_mapping(path: Path, error: type[SynthvaeError], what: str) -> dict[str, Any]:
    """Return the one mapping that a YAML or JSON file holds, with plain Python values.

    Parameters
    ----------
    path
        The file; JSON where its name ends in `.json`.
    error
        The class of the exception to raise.
    what
        What the file is ("schema", "config"), for the message.
    """
    try:
        text = _content(path, LARGEST_SETTINGS, error, f"{what} file").decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(
            f"The {what} file {path} is not UTF-8 text (byte {cause.start}); save it as UTF-8."
        ) from cause
    try:
        if path.suffix.lower() == ".json":
            value = json.loads(text, object_pairs_hook=_without_repeats)
        else:
            value = yaml.load(text, _Loader)
        for item in _scalars(value):
            half = isinstance(item, str) and re.search("[\ud800-\udfff]", item)
            if half:  # an escaped surrogate, which no file can hold
                raise ValueError(f"{half.group()!r} is half a character; write the whole one")
    except RecursionError as cause:
        deep = "its lists and mappings are nested too deeply"
        raise error(f"The {what} file {path} is not valid: {deep}.") from cause
    except (yaml.YAMLError, ValueError) as cause:
        why = one_line(_without_excerpt(cause))
        raise error(f"The {what} file {path} is not valid: {why}.") from cause
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise error(f"The {what} file {path} must hold a mapping of names to values.")
    return value


def compose_yaml(text: str) -> yaml.Node | None:
    """Return the nodes of YAML text that `read_mapping` takes, with the places where they stand."""
    node: yaml.Node | None = yaml.compose(text, _Loader)
    return node


def _without_excerpt(cause: Exception) -> str:
    """Return what is wrong and where, without the lines around it: the file may be another's."""
    if not isinstance(cause, yaml.MarkedYAMLError) or cause.problem_mark is None:
        return str(cause)
    return f"{cause.problem} (line {cause.problem_mark.line + 1})"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key {brief(key)} stands twice")
        value[key] = item
    return value


def write_yaml(value: dict[str, Any]) -> str:
    """Return `value` as YAML that `read_mapping` reads back equal."""
    text: str = yaml.dump(
        value,
        None,
        _Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=100,
        default_flow_style=None,
    )
    return text
