"""What the synthetic records are meant for: analyses, and the effects that depend on each other."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field as Setting
from pydantic import model_validator

from synthvae._frozen import FrozenSettings
from synthvae._text import brief, shortened
from synthvae.declared import first_repeated
from synthvae.field import Field

Text = Annotated[str, Setting(min_length=1, max_length=500)]
INTERACTION_SIZES = (2, 3)  # predictors of an interaction


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
    interactions: tuple[tuple[Text, ...], ...] = ()

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

    @model_validator(mode="before")
    @classmethod
    def _sets_of_predictors(cls, value: Any) -> Any:
        """Refuse interactions that are not sets in a list, as where a pair of brackets is forgotten."""
        sets = value.get("interactions", ()) if isinstance(value, dict) else ()
        is_list = isinstance(sets, list | tuple)
        if not is_list or not all(isinstance(one, list | tuple) for one in sets):
            names = sets if is_list and all(isinstance(one, str) for one in sets) else ()
            meant = shortened(", ".join(names or ("arm", "marker")), 60)
            raise ValueError(f"interactions is a list of sets of predictors; write [[{meant}]]")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.is_survival and self.outcome is not None:
            raise ValueError(
                f"the outcome {brief(self.outcome)} does not go with a survival analysis: take it out, "
                "since the schema's `survival` pair is used"
            )
        if not self.is_survival and self.outcome is None:
            raise ValueError(
                f"a {self.kind} analysis needs an outcome: name the column that it explains, as "
                "`outcome`"
            )
        if self.kind != "kaplan-meier" and not self.predictors:
            raise ValueError(
                f"a {self.kind} analysis needs predictors: name the columns that explain its outcome, "
                "as `predictors`"
            )
        for interaction in self.interactions:
            self._check_interaction(interaction)
        return self

    def _check_interaction(self, interaction: tuple[str, ...]) -> None:
        if len(interaction) not in INTERACTION_SIZES:
            found = f"{interaction_text(interaction)} has {len(interaction):,}"
            way_out = "add another" if len(interaction) == 1 else "take some out"
            raise ValueError(
                "an interaction is of two or three predictors, but "
                + (f"{found}: {way_out}" if interaction else "one is empty: take it out")
            )
        what = f"the interaction {interaction_text(interaction)}"
        twice = first_repeated(interaction)
        if twice is not None:
            raise ValueError(f"{what} names {brief(twice)} twice: name another predictor")
        unknown = next((name for name in interaction if name not in self.predictors), None)
        if unknown is not None:
            raise ValueError(
                f"{what} names {brief(unknown)}, which is not among the predictors: add it there"
            )


def interaction_text(interaction: Sequence[str]) -> str:
    """Return a set of predictors in words.

    Examples
    --------
    >>> interaction_text(("arm", "marker"))
    'arm x marker'
    """
    return shortened(" x ".join(shortened(name, 30) for name in interaction), 100)


def check_purposes(
    purposes: Sequence[AnalysisRequest], modelled: Mapping[str, Field], survival: tuple[str, ...]
) -> None:
    """Raise `ValueError` where a table's purposes share a name, or ask for what no record will tell.

    Parameters
    ----------
    modelled
        The columns whose values a model learns, by name: all that are named must be fields.
    survival
        The columns of the follow-up time and of the event; empty where none are declared.
    """
    twice = first_repeated([purpose.name for purpose in purposes])
    if twice is not None:
        raise ValueError(f"two purposes are named {brief(twice)}; give each its own name")
    for purpose in purposes:
        where = f"the purpose {brief(purpose.name)}"
        invented = next((name for name in purpose.columns if name not in modelled), None)
        if invented is not None:
            raise ValueError(
                f"{where} names {brief(invented)}, an identifier, whose values are invented: take it "
                "out"
            )
        if misfit := why_unfit(purpose, modelled, survival):
            raise ValueError(f"{where} {misfit}")


def why_unfit(
    analysis: AnalysisRequest, modelled: Mapping[str, Field], survival: tuple[str, ...]
) -> str | None:
    """Return why an analysis does not fit the columns that it names, None where it does.

    The reason goes on from the analysis's name; the parameters are those of `check_purposes`.
    """
    if analysis.is_survival and (reason := survival_misfit(modelled, survival)):
        return f"cannot be done: {reason}"
    hidden = survival if analysis.is_survival else (analysis.outcome,)
    for name in analysis.predictors:
        if name in hidden:
            return f"has its outcome {brief(name)} among its predictors; take it out"
    twice = first_repeated(analysis.predictors)
    if twice is not None:
        return f"names the predictor {brief(twice)} twice; keep one"
    return _why_other_kind(analysis, modelled)


def _why_other_kind(analysis: AnalysisRequest, modelled: Mapping[str, Field]) -> str | None:
    """Return why a kind does not go with the outcome, group or interactions, None where it does."""
    kind, group = analysis.kind, analysis.group
    if kind == "kaplan-meier" and analysis.interactions:
        return (
            f"has the interaction {interaction_text(analysis.interactions[0])}, but curves have no "
            "effects that could depend on each other; use `kind: cox`, or take it out"
        )
    if analysis.outcome is not None:
        outcome, field = brief(analysis.outcome), modelled[analysis.outcome]
        if kind == "linear" and not field.is_lattice:
            return (
                f"is linear, but its outcome {outcome} is no number with bounds; use `kind: logistic` "
                "for an outcome of two categories, or explain another column"
            )
        if kind == "logistic" and not is_binary(field):
            return (
                f"is logistic, but its outcome {outcome} has {_size(field):,} values, not two; use "
                "`kind: linear` for a number, or an outcome of two categories"
            )
    if group is not None and modelled[group].is_lattice:
        return (
            f"has the group {brief(group)}, which has no categories; name a column that has, or take "
            "the group out"
        )
    return None


def survival_misfit(modelled: Mapping[str, Field], survival: tuple[str, ...]) -> str | None:
    """Return why a table's columns allow no survival analysis, None where they do.

    The parameters are those of `check_purposes`.
    """
    if not survival:
        return (
            "the schema declares no survival columns; name them as `survival: {duration: ..., "
            "event: ...}`"
        )
    invented = next((name for name in survival if name not in modelled), None)
    if invented is not None:
        return (
            f"the survival column {brief(invented)} is an identifier, never modelled; name another"
        )
    time, event = (modelled[name] for name in survival)
    if not time.is_lattice or not time.is_number:
        return (
            f"the survival column {brief(time.name)} is no number with bounds; name one as duration"
        )
    if not is_binary(event):
        return (
            f"the survival column {brief(event.name)} has {_size(event):,} values, not two; name one "
            "as event that tells whether it happened"
        )
    return None


def is_binary(field: Field) -> bool:
    """Whether a field has two values."""
    return _size(field) == 2


def _size(field: Field) -> int:
    return field.lattice_size if field.is_lattice else len(field.categories)
