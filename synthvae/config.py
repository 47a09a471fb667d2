"""One run's settings: which table, which budget, where the results go."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from synthvae._yaml import read_mapping
from synthvae.errors import ConfigError
from synthvae.schema import explain


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _as_epsilon(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() == "none" else value


class Source(_Frozen):
    """Where the table comes from: a file, or a data set that a dependency ships."""

    path: Path | None = None
    dataset: Literal["randhie"] | None = None
    delimiter: str = ","

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.path is None) == (self.dataset is None):
            raise ValueError("give either path (a CSV or Parquet file) or dataset (randhie)")
        return self


class RunConfig(_Frozen):
    """Everything that `synthvae run` needs.

    Parameters
    ----------
    name
        Names the folder of results.
    purpose
        What the records are asked for, in words; stands in the report.
    epsilon
        Privacy budget; `none` trains without privacy and marks everything so.
    delta
        Probability with which the guarantee may fail; left out, a tenth of 1/n.
    holdout
        Probability with which a patient is held out, to judge the synthetic records by.
    rows
        Synthetic rows; left out, as many as the declared patients have.
    seed
        Repeats the split, the sampling and the evaluation; never the training's noise.
    settings
        Sizes and schedule in place of the public rule's, by name.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    title: str | None = None
    purpose: str | None = None
    data: Source
    schema_path: Annotated[Path, Field(alias="schema")]
    epsilon: Annotated[float | None, BeforeValidator(_as_epsilon)]
    delta: float | None = None
    holdout: Annotated[float, Field(gt=0, lt=1)] = 0.2
    rows: Annotated[int | None, Field(ge=1)] = None
    seed: Annotated[int, Field(ge=0)] = 0
    out: Path = Path("reports")
    settings: dict[str, int | float] = {}

    @property
    def folder(self) -> Path:
        """The folder of results."""
        return self.out / self.name

    @property
    def private(self) -> bool:
        """Whether there is a privacy budget."""
        return self.epsilon is not None and math.isfinite(self.epsilon)

    @classmethod
    def load(cls, path: str | Path) -> "RunConfig":
        """Read a run's settings from a YAML or JSON file.

        Paths of the table and the schema are relative to the file, `out` to the working folder.

        Raises
        ------
        ConfigError
            The file does not exist, is not valid, or has unknown keys; the nearest is named.
        """
        path = Path(path)
        value = read_mapping(path, ConfigError, "config")
        try:
            config = cls.model_validate(value)
        except ValidationError as cause:
            raise ConfigError(f"In {path}: {explain(cause, cls, value)}") from None
        data = config.data
        if data.path is not None:
            data = data.model_copy(update={"path": path.parent / data.path})
        return config.model_copy(
            update={"data": data, "schema_path": path.parent / config.schema_path}
        )
