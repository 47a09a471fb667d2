"""Read YAML or JSON settings files safely, with the errors a person can act on.

Plain words are resolved as in YAML 1.2 where 1.1 surprises: `yes` and `no`, `1:30` and codes with
leading zeros (`007`) stay text, and `1e-5` is a number.
"""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from synthvae._explain import brief, shortened
from synthvae._files import read_ordinary
from synthvae.errors import SynthvaeError

MAX_BYTES = 10_000_000
MOST_VALUES = 250_000  # of one YAML file; more would take minutes to read
PLAIN_TAGS = (None, "!", "tag:yaml.org,2002:str")


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
        text = read_ordinary(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise error(f"There is no {what} file {path}.") from None
    except UnicodeDecodeError as cause:
        raise error(
            f"The {what} file {path} is not UTF-8 text (byte {cause.start}); save it as UTF-8."
        ) from cause
    except OSError as cause:
        raise error(f"The {what} file {path} cannot be read: {cause.strerror}.") from cause
    try:
        if path.suffix.lower() == ".json":
            value = json.loads(text, object_pairs_hook=_without_twins)
        else:
            value = yaml.load(text, _Loader)
        _refuse_half_characters(value)
    except RecursionError as cause:
        reason = "its lists and mappings are nested too deeply"
        raise error(f"The {what} file {path} is not valid: {reason}.") from cause
    except (yaml.YAMLError, ValueError) as cause:
        reason = shortened(" ".join(_without_excerpt(cause).split()), 300)
        raise error(f"The {what} file {path} is not valid: {reason}.") from cause
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
