"""Read YAML or JSON settings files safely, with the errors a person can act on."""

import json
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from synthvae.errors import SynthvaeError

MAX_BYTES = 10_000_000


class _Loader(yaml.SafeLoader):
    """Safe YAML with the booleans of YAML 1.2 (`yes` and `no` stay text) and no duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"the key {key!r} stands twice (line {line})")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1
            raise yaml.YAMLError(f"aliases (*name) are not allowed (line {line})")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
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
        if path.stat().st_size > MAX_BYTES:
            raise error(f"The {what} file {path} is larger than {MAX_BYTES // 10**6} MB.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise error(f"There is no {what} file {path}.") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"The {what} file {path} cannot be read: {cause}.") from cause
    try:
        value = json.loads(text) if path.suffix == ".json" else yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as cause:
        reason = " ".join(str(cause).split())
        raise error(f"The {what} file {path} is not valid: {reason}.") from cause
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise error(f"The {what} file {path} must hold a mapping of names to values.")
    return value


def write_yaml(value: dict[str, Any]) -> str:
    """Return `value` as YAML that `read_mapping` reads back equal."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
