"""What the synthetic records are meant for: analyses, and the effects that depend on each other."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from synthvae._frozen import FrozenSettings
from synthvae._text import brief
from synthvae.declared import first_repeated

Text = Annotated[str, Field(min_length=1, max_length=500)]


class AnalysisRequest(FrozenSettings):
    """An analysis that the synthetic records are meant for.

    `interactions` lists sets of two or three predictors whose effects depend on each other, such as a
    treatment and the marker that decides whom it helps.
    """

    name: Text
    kind: Literal["linear", "logistic", "cox", "kaplan-meier"]
    outcome: Text | None = None
    predictors: tuple[Text, ...] = ()
    group: Text | None = None
    interactions: tuple[Annotated[tuple[Text, ...], Field(min_length=2, max_length=3)], ...] = ()

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
        for interaction in self.interactions:
            twice = first_repeated(interaction)
            if twice is not None:
                raise ValueError(
                    f"the interaction of {brief(interaction)} names {brief(twice)} twice"
                )
            unknown = next((name for name in interaction if name not in self.predictors), None)
            if unknown is not None:
                raise ValueError(
                    f"the interaction of {brief(interaction)} names {brief(unknown)}, which is not "
                    "among the predictors: add it there"
                )
        return self
