"""Public facts about a table: a Frictionless Table Schema with a few additions.

Every bound and category stands in the schema because a person declared it; none is ever learned
from the data. The additions to Table Schema (Frictionless Standards, v1) are `patientKey`,
`patients`, `maxRows`, `orderBy`, `keepRows`, `visitsOptional`, `releases`, `target`, `survival`,
`purposes`, `dialect` (as of a Frictionless resource), and those of `Field`. Unlike there, a value is
`required` unless the field says otherwise.
"""

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, field_validator, model_validator
from pydantic import Field as Setting

from synthvae._frozen import FrozenSettings, read_mapping, write_yaml
from synthvae._text import brief, nearest
from synthvae.declared import (
    as_delimiter,
    as_encoding,
    as_labels,
    as_tuple,
    first_repeated,
    read_list,
)
from synthvae.errors import ConfigError, SchemaError
from synthvae.field import Field
from synthvae.ordering import OrderBy, as_order, check_order, gap_codes
from synthvae.purposes import AnalysisRequest, check_purposes
from synthvae.rows_release import PatientKey, RowsRelease, check_key
from synthvae.rules.setting import Rule, check_names, combinations_of

if TYPE_CHECKING:
    from synthvae.rules.compiled import CompiledRule, RuleSet
    from synthvae.rules.values import Columns

FINE = 20  # categories from which on a column counts as fine
MOST_PATIENTS = 10**11  # more than have ever lived
MOST_ROWS = 1000  # of one patient
MOST_CATEGORIES = 200_000  # of all columns together


class Target(FrozenSettings):
    """A column that analysts predict, and the columns that would give it away."""

    column: str
    without: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


class Dialect(FrozenSettings):
    """How a file is laid out: what separates cells, its encoding, its sheet, and whether names lead.

    What is not said is read off the file: the separator off its first line, UTF-8 for the encoding.
    """

    delimiter: Annotated[str, BeforeValidator(as_delimiter)] | None = None
    encoding: str | None = None
    sheet: str | None = None
    header: bool = True

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        return None if value is None else as_encoding(value)


class Survival(FrozenSettings):
    """A pair of columns for survival analysis: follow-up time, and whether the event happened."""

    duration: str
    event: str


def _as_targets(value: Any) -> Any:
    items = as_tuple(value)
    return tuple({"column": item} if isinstance(item, str) else item for item in items)


class Schema(FrozenSettings):
    """Public facts about one table.

    Examples
    --------
    >>> schema = Schema.from_dict({"name": "demo", "patients": 100, "fields": [
    ...     {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 110}},
    ...     {"name": "sex", "constraints": {"enum": ["female", "male"]}}]})
    >>> [field.name for field in schema.modelled]
    ['sex', 'age']
    >>> schema["age"].lattice_size
    111
    """

    _what = "schema"
    _error = SchemaError

    name: str = "table"
    title: str | None = None
    description: str | None = None
    primaryKey: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    patientKey: PatientKey = None
    patients: Annotated[int | None, Setting(ge=1, le=MOST_PATIENTS)] = None
    maxRows: Annotated[int | None, Setting(ge=1, le=MOST_ROWS)] = None
    orderBy: Annotated[OrderBy | None, BeforeValidator(as_order)] = None
    keepRows: Literal["first", "last", "window"] = "window"
    visitsOptional: bool = False
    releases: tuple[RowsRelease, ...] = ()
    target: Annotated[tuple[Target, ...], BeforeValidator(_as_targets)] = ()
    survival: Survival | None = None
    purposes: Annotated[tuple[AnalysisRequest, ...], BeforeValidator(as_tuple)] = ()
    dialect: Dialect = Dialect()
    missingValues: Annotated[tuple[str, ...], BeforeValidator(as_labels)] = ("", "NA")
    rules: Annotated[tuple[Rule, ...], BeforeValidator(as_tuple)] = ()
    fields: tuple[Field, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.fields:
            raise ValueError("fields is empty; declare at least one column")
        names = [field.name for field in self.fields]
        twice = first_repeated(names)
        if twice is not None:
            raise ValueError(f"the field {brief(twice)} is declared twice")
        known = set(names)
        for where, name in self._mentions():
            if name not in known:
                raise ValueError(
                    f"{where} names {brief(name)}, which is no field{nearest(name[:100], names)}"
                )
        left_out = {field.name for field in self.fields if field.is_left_out}
        for where, name in self._mentions():
            if name in left_out:
                raise ValueError(f"{where} names {brief(name)}, which is left out by its `role`")
        check_key(self.releases, self.patientKey)
        if self.patientKey is not None and self.maxRows is None:
            raise ValueError(
                "patientKey needs maxRows, the declared largest number of rows kept per patient"
            )
        if self.patientKey is None:
            per_patient = any(field.perPatient for field in self.fields)
            setting = "perPatient" if per_patient else "maxRows" if self.maxRows else None
            if setting is not None:
                raise ValueError(
                    f"{setting} goes with patientKey; without one each row is one patient"
                )
        self._check_order()
        self._check_key()
        for field in self.modelled:
            self._check_modelled(field)
        categories = sum(len(field.categories) for field in self.fields)
        if categories > MOST_CATEGORIES:
            most = max(self.fields, key=lambda field: len(field.categories))
            raise ValueError(
                f"the fields have {categories:,} categories together; at most {MOST_CATEGORIES:,} can "
                f"be modelled, and {brief(most.name)} has {len(most.categories):,} of them: group "
                "some, or set `role: omit` to leave a column out"
            )
        if not self.modelled:
            raise ValueError("every field is an identifier or left out; there is nothing to model")
        modelled = {field.name: field for field in self.modelled}
        check_purposes(self.purposes, modelled, self.survival_columns)
        self._check_time()
        self._check_rules()
        return self

    def _check_order(self) -> None:
        """Refuse columns that are derived from themselves, or from what is not there."""
        try:
            _ = self.modelled
        except ConfigError as cause:
            raise ValueError(str(cause).removesuffix(".")) from None

    def _check_time(self) -> None:
        """Refuse an order in time that rows cannot have, and kept rows that need one."""
        drawn = {field.name: field for field in self.drawn}
        needy = {"keepRows": self.keepRows != "window", "visitsOptional": self.visitsOptional}
        check_order(self.orderBy, drawn, self.patientKey is not None, needy)
        if self.orderBy is not None:
            check_names([field.name for field in self.modelled])

    def _check_rules(self) -> None:
        """Refuse rules that cannot be read, do not fit the fields, or clash."""
        if not self.rules:
            return
        twice = first_repeated([rule.name for rule in self.rules if rule.name])
        if twice is not None:
            raise ValueError(f"two rules are named {brief(twice)}; give each its own name")
        # They need numpy, which a command that only explains itself does without.
        from synthvae.rules.consistency import check_rules, check_steps

        try:
            rules = self.rule_set
        except ConfigError as cause:
            raise ValueError(str(cause).removesuffix(".")) from None
        check_rules(rules)
        if self.step_rules:
            check_steps(self.rules, self.columns, rules.drawn, frozenset(self.key_columns))

    def _check_key(self) -> None:
        """Refuse a key of several columns all modelled, or of which one may vary within a patient."""
        if not isinstance(self.patientKey, tuple):
            return
        modelled = {field.name for field in self.modelled}
        if modelled.issuperset(self.patientKey):
            raise ValueError(
                "patientKey has several columns, all with categories or bounds: take these off the one "
                "that numbers the patients, whose values are then invented"
            )
        varying = [f.name for f in self.modelled if f.name in self.patientKey and not f.perPatient]
        if varying:
            raise ValueError(
                f"the field {brief(varying[0])} is part of patientKey, so it is the same in all rows of "
                "a patient: add `perPatient: true`, or `role: identifier` to have it invented"
            )

    def _check_modelled(self, field: Field) -> None:
        if field.is_lattice and None in (field.constraints.minimum, field.constraints.maximum):
            raise ValueError(
                f"field {field.name!r}: {field.kind} needs minimum and maximum under "
                "constraints (public bounds, not read off the data)"
            )
        if not field.is_lattice and not field.categories:
            raise ValueError(
                f"field {field.name!r} is text without an enum: list its categories under "
                "constraints, or set `role: omit` to leave it out"
            )
        if field.nullable and not self.missingValues:
            raise ValueError(
                f"field {field.name!r} may be missing, but missingValues names no spelling for that"
            )
        spellings = field.constraints.enum or ()
        if field.type == "boolean":
            spellings = field.trueValues + field.falseValues
        missing = set(self.missingValues)
        both = next((label for label in spellings if label in missing), None)
        if both is not None:
            raise ValueError(
                f"field {field.name!r}: the category {brief(both)} is listed under missingValues too"
            )

    def _mentions(self) -> list[tuple[str, str]]:
        """Return which setting names which field, for all that do."""
        named = {
            "primaryKey": self.primaryKey,
            "patientKey": self.key_columns,
            "target": [n for target in self.target for n in (target.column, *target.without)],
            "survival": self.survival_columns,
            "orderBy": [] if self.orderBy is None else [self.orderBy.column],
        }
        uses = [(f"the purpose {brief(use.name)}", use.columns) for use in self.purposes]
        return [(where, name) for where, names in (*named.items(), *uses) for name in names]

    @cached_property
    def identifiers(self) -> frozenset[str]:
        """Names of the fields whose values are invented: keys, and fields of that role.

        Of a patientKey of several columns, those with categories or bounds (a centre) are modelled.
        """
        keys = {*self.primaryKey, *self.key_columns}
        if isinstance(self.patientKey, tuple):
            keys -= {
                field.name
                for field in self.fields
                if field.name in self.patientKey and field.has_domain and field.role != "identifier"
            }
        return frozenset(keys | {f.name for f in self.fields if f.role == "identifier"})

    @property
    def survival_columns(self) -> tuple[str, ...]:
        """The columns of the follow-up time and of the event; empty where none are declared."""
        pair = self.survival
        return () if pair is None else (pair.duration, pair.event)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that say whose row it is, together; empty where each row is a patient."""
        if self.patientKey is None:
            return ()
        return (self.patientKey,) if isinstance(self.patientKey, str) else self.patientKey

    @cached_property
    def modelled(self) -> tuple[Field, ...]:
        """The fields with values, in the model's order; those that are derived come last.

        Those of patients come first; then those of few categories, the fewest first; then the rest
        in the order of the file. What is coarse explains what is fine better than the other way
        round: a visit or none, then how many.
        """
        if not any(rule.derive for rule in self.rules):
            return self._with_values
        from synthvae.rules.compiled import derived_order, modelled_instead

        columns = self._columns_of(self._with_values)
        order, instead = derived_order(self.rules, columns), modelled_instead(self.rules, columns)
        names = [field.name for field in self._with_values if field.name not in instead.values()]
        names = [instead.get(name, name) for name in names]
        return tuple(self[name] for name in (*(n for n in names if n not in order), *order))

    @cached_property
    def _with_values(self) -> tuple[Field, ...]:
        def place(field: Field) -> tuple[bool, int]:
            fineness = FINE if field.is_lattice else min(FINE, len(field.categories))
            return not field.perPatient, fineness

        return tuple(
            sorted(
                (f for f in self.fields if f.name not in self.identifiers and not f.is_left_out),
                key=place,
            )
        )

    @cached_property
    def drawn(self) -> tuple[Field, ...]:
        """The fields that the model learns and draws: the modelled ones that are not derived."""
        return self.modelled[: len(self.modelled) - len(self._derived)]

    @property
    def _derived(self) -> tuple[Field, ...]:
        return self.modelled[len(self.modelled) - sum(bool(rule.derive) for rule in self.rules) :]

    @cached_property
    def columns(self) -> "Columns":
        """The columns that rules may name."""
        return self._columns_of(self.modelled)

    def _columns_of(self, fields: tuple[Field, ...]) -> "Columns":
        from synthvae.rules.values import Columns

        others = set(self.names) - {field.name for field in fields}
        return Columns(fields, frozenset(others), self.orderBy.column if self.orderBy else None)

    @cached_property
    def rule_set(self) -> "RuleSet":
        """The rules about a row by itself, with their meaning."""
        from synthvae.rules.compiled import compile_rules

        steps = [rule.setting for rule in self.step_rules]
        rules = [rule for rule in self.rules if rule not in steps]
        derived = [field.name for field in self._derived]
        return compile_rules(rules, self.columns, derived, frozenset(self.key_columns))

    @cached_property
    def step_columns(self) -> "Columns":
        """The columns that rules may name, then those of the visit before, under orderBy."""
        from synthvae.rules.steps import before_fields

        before = before_fields(self.modelled) if self.orderBy else ()
        return self._columns_of((*self.modelled, *before))

    @cached_property
    def step_rules(self) -> "tuple[CompiledRule, ...]":
        """The rules between a visit and the one before it, over `step_columns`."""
        from synthvae.rules.steps import step_rules

        return step_rules(self.rules, self.step_columns)

    @property
    def rows_per_patient(self) -> int:
        """The largest number of rows that one patient contributes (1 without a patientKey)."""
        return self.maxRows or 1

    @cached_property
    def gap_codes(self) -> tuple[int, int, int] | None:
        """The least gap between neighbouring rows, the largest and their step, in lattice steps."""
        order = self.orderBy
        return None if order is None else gap_codes(order, self[order.column])

    @property
    def names(self) -> tuple[str, ...]:
        """All column names, in the order of the file, those that are left out among them."""
        return tuple(field.name for field in self.fields)

    def __getitem__(self, name: str) -> Field:
        for field in self.fields:
            if field.name == name:
                return field
        raise KeyError(f"no field {name!r}{nearest(name, self.names)}")

    @property
    def to_review(self) -> tuple[str, ...]:
        """Fields and rules that were drafted from data and not yet confirmed by a person, by name."""
        fields = [field.name for field in self.fields if field.review]
        return (*fields, *(rule.title for rule in self.rules if rule.review))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a schema from a YAML or JSON file.

        An `enum` may be the name of a text file with one category a line. It must lie in the
        schema's folder or below, so that a schema from elsewhere reads no other file of its user's.

        Raises
        ------
        SchemaError
            What is given is no path; the file does not exist, is not valid, or contradicts itself;
            every problem is named.
        """
        if not isinstance(path, str | os.PathLike):
            kind = type(path).__name__
            way_out = "make one of values with Schema.from_dict(values)"
            if hasattr(path, "columns"):
                way_out = "draft one from a table with synthvae.drafting.draft_schema(frame)"
            raise SchemaError(
                f"A schema is read from the path of a YAML or JSON file, not from an object of type "
                f"{brief(kind)}; {way_out}."
            )
        path = Path(path)
        value = read_mapping(path, SchemaError, "schema")
        fields = value.get("fields")
        for field in fields if isinstance(fields, list) else []:
            rules = field.get("constraints") if isinstance(field, dict) else None
            if isinstance(rules, dict) and isinstance(rules.get("enum"), str):
                rules["enum"] = read_list(path.parent, rules["enum"])
        listed = value.get("rules")
        for rule in listed if isinstance(listed, list) else []:
            if isinstance(rule, dict) and isinstance(rule.get("values"), str):
                lines = read_list(path.parent, rule["values"], "combinations")
                rule["values"] = combinations_of(lines, rule.get("allowed"))
        return cls.from_dict(value, str(path))

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as plain values, without what equals the default."""
        rules = {"rules": [rule.to_plain() for rule in self.rules]} if self.rules else {}
        return (
            self.model_dump(mode="json", exclude_defaults=True)
            | rules
            | {
                "fields": [
                    {"name": field.name, "type": field.type}
                    | field.model_dump(mode="json", exclude_defaults=True)
                    for field in self.fields
                ]
            }
        )

    def to_yaml(self) -> str:
        """Return the schema as the text of a YAML file."""
        return write_yaml(self.to_dict())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the schema's content, to recognise it by."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def replace(self, **changes: Any) -> "Schema":
        """Return a copy with some top-level settings changed, validated again."""
        return Schema.from_dict(self.to_dict() | changes)
