"""What a report shows besides the evaluation and the guarantee: the training curve and the run."""

from typing import TYPE_CHECKING, Self

from pydantic import model_validator

from synthvae._frozen import Frozen

if TYPE_CHECKING:
    from synthvae.field import Field
    from synthvae.schema import Schema


class TrainingCurve(Frozen):
    """The loss at some training steps.

    Losses are computed from real records without noise: private information, for the custodian
    only, never in anything that is released. `active_units` is how many dimensions of the latent
    tell patients apart.
    """

    steps: tuple[int, ...]
    loss: tuple[float, ...]
    validation: tuple[float, ...] | None = None
    active_units: int | None = None

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        for name, values in (("loss", self.loss), ("validation", self.validation)):
            if values is not None and len(values) != len(self.steps):
                raise ValueError(
                    f"{name} has {len(values)} values for {len(self.steps)} steps; "
                    "give one value a step"
                )
        return self


class FieldSummary(Frozen):
    """One line of the data dictionary, as the schema declares it."""

    name: str
    type: str
    rule: str = ""
    role: str = ""


class RunContext(Frozen):
    """What surrounds an evaluation: whose it is, what for, what the table is, and what made it.

    `created` is a date as text; a report has no clock of its own. `synthetic_digest` is the SHA-256
    of the file with the synthetic rows. `split_is_predictable` says that the split into train and
    holdout follows from a test's seed; else its key is secret, and is nowhere in a report.
    """

    title: str | None = None
    purpose: str | None = None
    description: str | None = None
    created: str | None = None
    seed: int | None = None
    split_is_predictable: bool = False
    synthetic_digest: str | None = None
    software: dict[str, str] = {}
    settings: dict[str, str] = {}
    fields: tuple[FieldSummary, ...] = ()


def data_dictionary(schema: "Schema") -> tuple[FieldSummary, ...]:
    """Return one line for each field of a schema: its type, the rule for its values, its role.

    Examples
    --------
    >>> from synthvae.schema import Schema
    >>> schema = Schema.from_dict({"name": "demo", "fields": [
    ...     {"name": "age", "type": "integer", "unit": "years",
    ...      "constraints": {"minimum": 0, "maximum": 110, "required": False}}]})
    >>> data_dictionary(schema)[0].rule
    '0 to 110 years; may be missing'
    """
    return tuple(
        FieldSummary(
            name=field.name,
            type=field.type,
            rule=_rule(field),
            role=field.role or ("identifier" if field.name in schema.identifiers else ""),
        )
        for field in schema.fields
    )


def _rule(field: "Field") -> str:
    rules = field.constraints
    parts = []
    if rules.enum is not None:
        parts.append("one of " + ", ".join(rules.enum))
    elif rules.minimum is not None and rules.maximum is not None:
        parts.append(" ".join(filter(None, [f"{rules.minimum} to {rules.maximum}", field.unit])))
    if field.specials:
        parts.append("special values " + ", ".join(str(value) for value in field.specials))
    if not rules.required:
        parts.append("may be missing")
    return "; ".join(parts)
