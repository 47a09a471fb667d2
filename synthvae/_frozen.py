"""Frozen values: the settings that a person writes, and the values that we save.

Both may come from anywhere: a file is read within limits, and what is wrong with it is said in words.
In YAML plain words are resolved as in YAML 1.2 where 1.1 surprises: `yes` and `no`, `1:30` and codes
with leading zeros (`007`) stay text, and `1e-5` is a number.

ruamel.yaml, which speaks YAML 1.2, was tried in PyYAML's place: for a schema of 2,000 columns it takes
1.3 to 2.1 times as long, reads codes such as `007` as numbers, repeats a file's values in its errors,
and needs the same guards against aliases, tags and floods of values, so that nothing would be spared.
"""

import json
import os
import re
from collections.abc import Hashable
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
OTHER_VERSION = "other_version"  # an error of ours, which says where it is
LARGEST_WHOLE = 2**63  # beyond, arithmetic with other numbers fails


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
        """Read settings from a YAML or JSON file.

        Raises
        ------
        SynthvaeError
            The file does not exist, is not valid, or has unknown keys; the nearest is named.
        """
        return cls.from_dict(read_mapping(Path(path), cls._error, cls._what), str(path))


Value = TypeVar("Value", bound=BaseModel)


def read_value(path: Path, kind: type[Value]) -> Value:
    """Read one value from a JSON file that may come from anywhere.

    Raises
    ------
    InputFileError
        There is no such file, or it holds no value of this kind.
    """
    content = _content(path, LARGEST_VALUE, InputFileError, "file")
    what = kind.__name__.lower()
    try:
        value = kind.model_validate_json(content)
    except ValidationError as cause:
        raise InputFileError(f"The file {path} is no {what}: {first_finding(cause)}.") from None
    if _holds_giant(value.model_dump()):
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


def _holds_giant(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_giant, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_giant, value))
    return isinstance(value, int) and abs(value) > LARGEST_WHOLE


def explain(cause: ValidationError, model: type[BaseModel], value: dict[str, Any]) -> str:
    """Return pydantic's findings as sentences that name the setting, its value and the rule."""
    sentences = []
    for error in cause.errors(include_url=False):
        where, owner = _where(error["loc"], model, value)
        if error["type"] == "extra_forbidden":
            word = str(error["loc"][-1])
            known = owner.model_fields if owner else {}
            sentences.append(f"{where}: unknown key {brief(word)}{nearest(word[:100], known)}")
        elif error["type"] == "missing":
            sentences.append(f"{where}: missing")
        else:
            message = error["msg"].removeprefix("Value error, ")
            if error["type"] in ("model_type", "dict_type"):
                message = "must be a mapping of names to values"
            shown = error.get("input")
            got = f" (got {brief(shown)})" if isinstance(shown, str | int | float | bool) else ""
            message = shortened(message, 300)
            sentences.append(f"{where}: {message}{got}" if where else message)
    told = list(dict.fromkeys(sentences))
    more = f"; and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return "; ".join(told[:SHOWN]) + more + "."


def _where(
    location: tuple[int | str, ...], model: type[BaseModel], value: Any
) -> tuple[str, type[BaseModel] | None]:
    """Return a location as text (a field by its column's name) and the model that owns it."""
    words: list[str] = []
    owner: type[BaseModel] | None = model
    for depth, part in enumerate(location):
        if isinstance(part, str) and depth < len(location) - 1:
            owner = _model_of(owner, part) or owner
        value = _step(value, part)
        if isinstance(part, int):
            named = value.get("name") if isinstance(value, dict) else None
            words[-1:] = [f"field {brief(named)}" if named else f"{words[-1]}[{part}]"]
        elif not part.startswith(("function-", "constrained-")) and part not in (
            "float",
            "int",
            "str",
        ):
            words.append(part)
    return ", ".join(shortened(word, 100) for word in words), owner


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


def _step(value: Any, part: int | str) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return None


class _Loader(yaml.SafeLoader):
    """Safe YAML with the plain words of YAML 1.2, without aliases, tags and duplicate keys."""

    _values = 0

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
            line = self.line + 1
            raise yaml.YAMLError(f"aliases (*name) are not allowed (line {line})")
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        tag = getattr(event, "tag", None)
        if tag not in PLAIN_TAGS:
            line = self.line + 1
            raise yaml.YAMLError(f"tags ({brief(tag)}) are not allowed (line {line})")
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


PLAIN_WORDS = {
    "bool": (r"^(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"^[-+]?(0|[1-9][0-9]*)$", "-+0123456789"),
    "float": (
        r"^([-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?"
        r"|[-+]?(0|[1-9][0-9]*)(\.([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$",
        "-+.0123456789",
    ),
}


_CHANGED = {f"tag:yaml.org,2002:{name}" for name in PLAIN_WORDS}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag not in _CHANGED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, (_pattern, _first) in PLAIN_WORDS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(_pattern), list(_first))
_Dumper.add_representer(str, _Dumper.represent_str)
# Text that any reader of YAML might take for a number is written in quotes.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?\.?[0-9][0-9._]*([eE][-+]?[0-9]+)?$|^0[ox][0-9a-fA-F]+$"),
    list("-+.0123456789"),
)


def read_mapping(path: Path, error: type[SynthvaeError], what: str) -> dict[str, Any]:
    """Read a YAML or JSON file that holds one mapping.

    Parameters
    ----------
    path
        The file; JSON where its name ends in `.json`.
    error
        The class of the exception to raise.
    what
        What the file is ("schema", "config"), for the message.

    Returns
    -------
    dict
        The mapping, with plain Python values.
    """
    try:
        text = _content(path, LARGEST_SETTINGS, error, f"{what} file").decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(
            f"The {what} file {path} is not UTF-8 text (byte {cause.start}); save it as UTF-8."
        ) from cause
    try:
        if path.suffix.lower() == ".json":
            value = json.loads(text, object_pairs_hook=_without_twins)
        else:
            value = yaml.load(text, _Loader)
        _refuse_half_characters(value)
    except RecursionError as cause:
        deep = "its lists and mappings are nested too deeply"
        raise error(f"The {what} file {path} is not valid: {deep}.") from cause
    except (yaml.YAMLError, ValueError) as cause:
        why = one_line(_without_excerpt(cause))
        raise error(f"The {what} file {path} is not valid: {why}.") from cause
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise error(f"The {what} file {path} must hold a mapping of names to values.")
    return value


def _without_excerpt(cause: Exception) -> str:
    """Return what is wrong and where, without the lines around it: the file may be another's."""
    if not isinstance(cause, yaml.MarkedYAMLError) or cause.problem_mark is None:
        return str(cause)
    return f"{cause.problem} (line {cause.problem_mark.line + 1})"


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key {brief(key)} stands twice")
        value[key] = item
    return value


def _refuse_half_characters(value: Any) -> None:
    """Raise `ValueError` for an escaped half of a character (a surrogate), which no file can hold."""
    if isinstance(value, str):
        half = re.search("[\ud800-\udfff]", value)
        if half is not None:
            raise ValueError(f"{half.group()!r} is half a character; write the whole one")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_half_characters(key)
            _refuse_half_characters(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_half_characters(item)


def write_yaml(value: dict[str, Any]) -> str:
    """Return `value` as YAML that `read_mapping` reads back equal."""
    return str(
        yaml.dump(
            value,
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=100,
            default_flow_style=None,
        )
    )
