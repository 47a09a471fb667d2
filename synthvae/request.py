"""A steward's request of an evaluation, checked against the schema before anything is spent on it."""

from dataclasses import dataclass

from synthvae._text import brief, nearest
from synthvae.config import EvaluationRequest
from synthvae.errors import ConfigError
from synthvae.evaluation.survival import why_no_survival
from synthvae.evaluation.validity import CheckedRule, distinct_slugs, read_rules
from synthvae.levels import check_limits, metric_of
from synthvae.purposes import AnalysisRequest, is_binary, why_unfit
from synthvae.schema import Schema

MOST_PREDICTORS = 12  # of an analysis that nobody declared
MOST_LEVELS = 10


@dataclass(frozen=True)
class CheckedRequest:
    """A request that fits the schema; `declared`: whether the analyses are the steward's.

    The first `purposes` of the analyses are the schema's, which a fit favours.
    """

    request: EvaluationRequest
    rules: tuple[CheckedRule, ...]
    analyses: tuple[AnalysisRequest, ...]
    declared: bool
    purposes: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the scores of each analysis say of its use: declared before the fit, or not."""
        if not self.declared:
            default = "A default: no analysis was declared, in the schema or under `evaluation`. "
            return (default,) * len(self.analyses)
        favoured = "A purpose of the schema: its columns come first where a fit cannot afford all. "
        undeclared = "An undeclared use: no purpose of the schema, so nothing was favoured for it. "
        others = len(self.analyses) - self.purposes
        return (favoured,) * self.purposes + (undeclared,) * others


def check_request(request: EvaluationRequest, schema: Schema) -> CheckedRequest:
    """Check a request against a schema, and fill in analyses where neither declares any.

    The purposes of the schema come first; one that the request has too is not repeated.

    Raises
    ------
    ConfigError
        A rule cannot be read, an analysis does not fit the schema, or a limit is of no known figure.
    """
    rules = read_rules(request.rules, schema)
    undeclared = tuple(each for each in request.analyses if each not in schema.purposes)
    declared = (*schema.purposes, *undeclared)
    distinct_slugs([analysis.name for analysis in declared], "analyses")
    for analysis in undeclared:  # the schema has checked its purposes
        _check_analysis(analysis, schema)
    check_limits(request.limits)
    known = [rule.metric.key for rule in rules]
    for key in request.limits:
        if metric_of(key).family == "rules" and key not in known:
            raise ConfigError(f"evaluation: limits names '{key}', no rule{nearest(key, known)}.")
    analyses = declared or default_analyses(schema)
    return CheckedRequest(request, rules, analyses, bool(declared), len(schema.purposes))


def _check_analysis(analysis: AnalysisRequest, schema: Schema) -> None:
    where = f"evaluation: the analysis {brief(analysis.name)}"
    modelled = {field.name: field for field in schema.modelled}
    for name in analysis.columns:
        if name in modelled:
            continue
        if name in schema.names:
            raise ConfigError(
                f"{where} names {brief(name)}, which is never modelled (an identifier, or left out): "
                "take it out."
            )
        close = nearest(name[:100], modelled)
        raise ConfigError(f"{where} names {brief(name)}, which is no column{close}.")
    if misfit := why_unfit(analysis, modelled, schema.survival_columns):
        raise ConfigError(f"{where} {misfit}.")


def default_analyses(schema: Schema) -> tuple[AnalysisRequest, ...]:
    """Return what an analyst would likely do: a model of each target, and of survival.

    Predictors are the first twelve columns, in the order of the file, that are numbers or have at most
    ten categories and are not said to give the target away.
    """
    likely: list[dict[str, object]] = []
    for target in schema.target:
        field = schema[target.column]
        if field.name in schema.identifiers:
            continue
        predictors = _predictors(schema, {target.column, *target.without})
        kind = "logistic" if is_binary(field) else "linear" if field.is_lattice else None
        if kind and predictors:
            name = f"{kind} regression of {field.name}"
            likely.append(
                {"name": name, "kind": kind, "outcome": field.name, "predictors": predictors}
            )
    if why_no_survival(schema) is None:
        assert schema.survival is not None
        pair = {schema.survival.duration, schema.survival.event}
        gives_away = {n for t in schema.target if t.column in pair for n in t.without}
        if predictors := _predictors(schema, pair | gives_away):
            name = "Cox regression of survival"
            likely.append({"name": name, "kind": "cox", "predictors": predictors})
        protected = [f.name for f in schema.fields if f.role == "protected" and f.categories]
        group = protected[0] if protected else None
        likely.append({"name": "survival curves", "kind": "kaplan-meier", "group": group})
    return tuple(AnalysisRequest.model_validate(facts) for facts in likely)


def _predictors(schema: Schema, hidden: set[str]) -> tuple[str, ...]:
    usable = [
        field.name
        for field in schema.fields
        if field in schema.modelled
        and field.name not in hidden
        and (field.is_lattice or len(field.categories) <= MOST_LEVELS)
    ]
    return tuple(usable[:MOST_PREDICTORS])
