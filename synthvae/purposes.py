"""What the synthetic records are meant for: analyses, and the effects that depend on each other."""

from collections.abc import Collection, Sequence
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

    @property
    def is_survival(self) -> bool:
        """Whether it explains the schema's survival pair."""
        return self.kind in ("cox", "kaplan-meier")

    @property
    def explaining(self) -> tuple[str, ...]:
        """The columns by which it explains its outcome: predictors, and the group."""
        return self.predictors if self.group is None else (*self.predictors, self.group)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it names."""
        return self.explaining if self.outcome is None else (self.outcome, *self.explaining)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.is_survival and self.outcome is not None:
            raise ValueError(
                "outcome does not go with a survival analysis: the schema's `survival` pair is used"
            )
        if not self.is_survival and self.outcome is None:
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


def check_purposes(
    purposes: Sequence[AnalysisRequest], identifiers: Collection[str], *, has_survival: bool
) -> None:
    """Raise `ValueError` where a table's purposes share a name, or ask for what no record will tell.

    `has_survival` says whether the table has a follow-up time and an event.
    """
    twice = first_repeated([purpose.name for purpose in purposes])
    if twice is not None:
        raise ValueError(f"two purposes are named {brief(twice)}; give each its own name")
    for purpose in purposes:
        where = f"the purpose {brief(purpose.name)}"
        invented = next((name for name in purpose.columns if name in identifiers), None)
        if invented is not None:
            raise ValueError(
                f"{where} names {brief(invented)}, an identifier, whose values are invented: take it "
                "out"
            )
        if purpose.is_survival and not has_survival:
            raise ValueError(
                f"{where} is a {purpose.kind} analysis, which needs `survival: {{duration: ..., "
                "event: ...}`: declare the pair of columns"
            )
