"""What was asked of an evaluation, checked against the schema before anything is spent on it."""

from dataclasses import dataclass

from synthvae._text import nearest
from synthvae.config import Asked, Wanted
from synthvae.errors import ConfigError
from synthvae.evaluation.levels import check_limits, metric_of
from synthvae.evaluation.survival import why_not_followed
from synthvae.evaluation.validity import ReadRule, distinct_slugs, read_rules
from synthvae.field import Field
from synthvae.schema import Schema

MOST_PREDICTORS = 12  # of an analysis that nobody declared
MOST_LEVELS = 10


@dataclass(frozen=True)
class Ready:
    """What was asked, found to fit the schema; `declared`: whether the analyses were asked for."""

    asked: Asked
    rules: tuple[ReadRule, ...]
    analyses: tuple[Wanted, ...]
    declared: bool


def check_asked(asked: Asked, schema: Schema) -> Ready:
    """Check what was asked against a schema, and fill in analyses where none were declared.

    Raises
    ------
    ConfigError
        A rule cannot be read, an analysis does not fit the schema, or a limit is of no known figure.
    """
    rules = read_rules(asked.rules, schema)
    distinct_slugs([wanted.name for wanted in asked.analyses], "analyses")
    for wanted in asked.analyses:
        _check_analysis(wanted, schema)
    check_limits(asked.limits)
    _check_rule_limits(asked, rules)
    analyses = asked.analyses or default_analyses(schema)
    return Ready(asked, rules, analyses, bool(asked.analyses))


def _check_rule_limits(asked: Asked, rules: tuple[ReadRule, ...]) -> None:
    known = [rule.metric.key for rule in rules]
    for key in asked.limits:
        if metric_of(key).family == "rules" and key not in known:
            raise ConfigError(f"evaluation: limits names '{key}', no rule{nearest(key, known)}.")


def _check_analysis(wanted: Wanted, schema: Schema) -> None:
    where = f"evaluation: the analysis '{wanted.name}'"
    named = [wanted.outcome, wanted.group, *wanted.predictors]
    modelled = [field.name for field in schema.modelled]
    for name in named:
        if name is None or name in modelled:
            continue
        if name in schema.names:
            raise ConfigError(f"{where} names '{name}', an identifier, which is never modelled.")
        raise ConfigError(f"{where} names '{name}', which is no column{nearest(name, modelled)}.")
    hidden = {wanted.outcome}
    if wanted.kind in ("cox", "kaplan-meier"):
        reason = why_not_followed(schema)
        if reason is not None:
            raise ConfigError(f"{where} cannot be done: {reason}.")
        assert schema.survival is not None
        hidden = {schema.survival.duration, schema.survival.event}
    for name in wanted.predictors:
        if name in hidden:
            raise ConfigError(
                f"{where} has its outcome '{name}' among its predictors; take it out."
            )
        if wanted.predictors.count(name) > 1:
            raise ConfigError(f"{where} names the predictor '{name}' twice; keep one.")
    if wanted.outcome is not None:
        _check_outcome(wanted, schema[wanted.outcome], where)
    if wanted.group is not None and schema[wanted.group].is_lattice:
        raise ConfigError(f"{where} has the group '{wanted.group}', which has no categories.")


def _check_outcome(wanted: Wanted, field: Field, where: str) -> None:
    if wanted.kind == "linear" and not field.is_lattice:
        raise ConfigError(
            f"{where} is linear, but its outcome '{field.name}' is no number with bounds; use "
            "`kind: logistic` for an outcome of two categories."
        )
    if wanted.kind == "logistic" and not _is_binary(field):
        raise ConfigError(
            f"{where} is logistic, but its outcome '{field.name}' has not two values; use "
            "`kind: linear` for a number."
        )


def _is_binary(field: Field) -> bool:
    return (field.lattice_size if field.is_lattice else len(field.categories)) == 2


def default_analyses(schema: Schema) -> tuple[Wanted, ...]:
    """Return what an analyst would likely do: a model of each target, and of survival.

    Predictors are the first twelve columns, in the order of the file, that are numbers or have at most
    ten categories and are not said to give the target away.
    """
    found = []
    for target in schema.target:
        field = schema[target.column]
        predictors = _predictors(schema, {target.column, *target.without})
        if field.name in schema.identifiers or not predictors:
            continue
        if _is_binary(field):
            name = f"logistic regression of {field.name}"
            found.append(
                Wanted(name=name, kind="logistic", outcome=field.name, predictors=predictors)
            )
        elif field.is_lattice:
            name = f"linear regression of {field.name}"
            found.append(
                Wanted(name=name, kind="linear", outcome=field.name, predictors=predictors)
            )
    if why_not_followed(schema) is None:
        assert schema.survival is not None
        pair = {schema.survival.duration, schema.survival.event}
        gives_away = {n for t in schema.target if t.column in pair for n in t.without}
        if predictors := _predictors(schema, pair | gives_away):
            name = "Cox regression of survival"
            found.append(Wanted(name=name, kind="cox", predictors=predictors))
        protected = [f.name for f in schema.fields if f.role == "protected" and f.categories]
        group = protected[0] if protected else None
        found.append(Wanted(name="survival curves", kind="kaplan-meier", group=group))
    return tuple(found)


def _predictors(schema: Schema, hidden: set[str]) -> tuple[str, ...]:
    usable = [
        field.name
        for field in schema.fields
        if field.name not in schema.identifiers | hidden
        and (field.is_lattice or len(field.categories) <= MOST_LEVELS)
    ]
    return tuple(usable[:MOST_PREDICTORS])
