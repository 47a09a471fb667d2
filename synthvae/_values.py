"""Read values that were saved as JSON: an evaluation, a guarantee, and what lies beside them."""

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from synthvae._explain import shortened
from synthvae._files import read_ordinary
from synthvae.errors import InputFileError

LARGEST_BYTES = 100_000_000
OTHER_VERSION = "other_version"  # an error of ours, which says where it is
LARGEST_WHOLE = 2**63  # beyond, arithmetic with other numbers fails

Value = TypeVar("Value", bound=BaseModel)


def read_value(path: Path, kind: type[Value]) -> Value:
    """Read one value from a JSON file that may come from anywhere.

    Raises
    ------
    InputFileError
        There is no such file, or it holds no value of this kind.
    """
    try:
        content = read_ordinary(path, LARGEST_BYTES)
    except FileNotFoundError:
        raise InputFileError(f"There is no file {path}.") from None
    except OSError as cause:
        raise InputFileError(f"The file {path} cannot be read: {cause.strerror}.") from cause
    what = kind.__name__.lower()
    try:
        value = kind.model_validate_json(content)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        where = shortened(".".join(str(part) for part in first["loc"]) or "its start", 100)
        why = first["msg"] if first["type"] == OTHER_VERSION else f"{first['msg']} at {where}"
        raise InputFileError(f"The file {path} is no {what}: {why}.") from None
    if _holds_giant(value.model_dump()):
        raise InputFileError(
            f"The file {path} is no {what}: it holds a whole number beyond {LARGEST_WHOLE:.3g}."
        )
    return value


def read_value_if_any(path: Path, kind: type[Value]) -> Value | None:
    """Read one value as `read_value` does, or return None where nothing is at the path."""
    return read_value(path, kind) if os.path.lexists(path) else None


def _holds_giant(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_giant, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_giant, value))
    return isinstance(value, int) and abs(value) > LARGEST_WHOLE
