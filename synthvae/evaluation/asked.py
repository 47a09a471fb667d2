"""What a user asks of an evaluation beyond the table: rules, analyses, depth, limits of their own."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from synthvae._frozen import FrozenSettings, read_mapping
from synthvae.errors import ConfigError
from synthvae.evaluation.values import Depth

Text = Annotated[str, Field(min_length=1, max_length=500)]


class Rule(FrozenSettings):
    """A clinical rule that every record should keep: where `if` holds, `then` must hold.

    Examples
    --------
    >>> Rule.model_validate({"name": "men do not give birth", "if": "sex == 'male'",
    ...     "then": "births == 0 or births is missing"}).then
    'births == 0 or births is missing'
    """

    model_config = ConfigDict(populate_by_name=True)

    name: Text
    condition: Annotated[Text | None, Field(alias="if")] = None
    then: Text


class Wanted(FrozenSettings):
    """An analysis that the synthetic records are meant for."""

    name: Text
    kind: Literal["linear", "logistic", "cox", "kaplan-meier"]
    outcome: Text | None = None
    predictors: tuple[Text, ...] = ()
    group: Text | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        survival = self.kind in ("cox", "kaplan-meier")
        if survival and self.outcome is not None:
            raise ValueError(
                "outcome does not go with a survival analysis: the schema's `survival` pair is used"
            )
        if not survival and self.outcome is None:
            raise ValueError(f"a {self.kind} analysis needs an outcome")
        if self.kind != "kaplan-meier" and not self.predictors:
            raise ValueError(f"a {self.kind} analysis needs predictors")
        return self


class Limit(FrozenSettings):
    """A steward's own threshold for one figure: see `synthvae.evaluation.values.Threshold`."""

    good: float
    poor: float
    reason: Text


class Asked(FrozenSettings):
    """What an evaluation does beyond what every table gets.

    Parameters
    ----------
    depth
        How hard the attacks try: `screen` takes about a minute, `deep` trains shadow models.
    draws
        Synthetic tables to score, of which the first is the one to release; the others show the
        spread of sampling.
    rules
        Clinical rules that records should keep.
    analyses
        What the records are meant for.
    limits
        The steward's own thresholds, by key of a score.
    """

    depth: Depth = "standard"
    draws: Annotated[int, Field(ge=1, le=20)] = 3
    rules: tuple[Rule, ...] = ()
    analyses: tuple[Wanted, ...] = ()
    limits: dict[str, Limit] = {}

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the `evaluation` section of a YAML or JSON file, such as a run's settings.

        Raises
        ------
        ConfigError
            The file does not exist, is not valid, has no such section, or has unknown keys in it.
        """
        path = Path(path)
        value = read_mapping(path, ConfigError, "config").get("evaluation")
        if not isinstance(value, dict):
            raise ConfigError(
                f"The config file {path} has no `evaluation` section; write what is asked of the "
                "evaluation under that name."
            )
        return cls.from_dict(value, f"{path}, evaluation")
