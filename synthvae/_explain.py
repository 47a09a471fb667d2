"""Turn what pydantic finds wrong with settings into sentences that a person can act on."""

from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from synthvae._checks import nearest

SHOWN = 12  # findings listed in one error message


def brief(item: Any) -> str:
    """Return a value as text, cut short."""
    return shortened(repr(item), 60)


def shortened(text: str, most: int) -> str:
    """Return a text of at most so many characters: its middle gives way."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[: most - 3 - half]}...{text[len(text) - half :]}"


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
