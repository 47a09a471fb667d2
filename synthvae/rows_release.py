"""What was released of the patients to choose a schema's `maxRows`, as the schema records it."""

from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from synthvae._frozen import FrozenSettings
from synthvae._text import brief


def _as_key(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if len(set(map(str, value))) < len(value):
            raise ValueError("patientKey names a column twice")
        return value[0] if len(value) == 1 else tuple(value) or None
    return value


PatientKey = Annotated[str | tuple[str, ...] | None, BeforeValidator(_as_key)]


class RowsRelease(FrozenSettings):
    """A noisy histogram of rows per patient, released to choose `maxRows`, and its price.

    Every fit with the schema counts the price into its own epsilon. It holds for the `patientKey` by
    which rows were counted, and for no other: whoever has several values of it stands in several bins.
    `maxRows` is the least number that fewer than the share `beyond` of the patients exceed, by the noisy
    `counts` of patients alone: by the most rows that they have, the last of them open. Both are missing
    where the release was cut short.
    """

    what: Literal["rows per patient"]
    patientKey: Annotated[str | tuple[str, ...], BeforeValidator(_as_key)]
    epsilon: Annotated[float, Field(ge=1e-3, le=100)]
    delta: Annotated[float, Field(ge=1e-12, lt=1)]
    on: date
    beyond: Annotated[float, Field(gt=0, lt=1)]
    counts: dict[int, int] = {}
    maxRows: int | None = None


def check_key(releases: Iterable[RowsRelease], key: str | tuple[str, ...] | None) -> None:
    """Raise `ValueError` where rows were counted by another key than a schema's.

    One patient may have many values of that other key, and change as many counts.
    """
    for release in releases:
        if _columns(release.patientKey) != _columns(key):
            now = "there is none now" if key is None else f"it is {_named(key)} now"
            raise ValueError(
                f"releases records a price that holds for the patientKey {_named(release.patientKey)}, "
                f"by which rows were counted on {release.on}, and {now}: set it back; or, if that "
                "key was wrong, take the entry and the maxRows that it gave out, and account for that "
                "release yourself, since no epsilon is known for patients with several values of it"
            )


def _columns(key: str | tuple[str, ...] | None) -> frozenset[str]:
    return frozenset((key,) if isinstance(key, str) else key or ())


def _named(key: str | tuple[str, ...]) -> str:
    return brief(key) if isinstance(key, str) else f"[{', '.join(map(brief, key))}]"
