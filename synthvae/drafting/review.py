"""The review of a drafted schema: its open fields and rules, what a person says of each, and the file.

Every answer is in the file as soon as it is given, with its basis: where the field's facts are publicly
known, who said so, and on which day. Nothing here prints or asks.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from synthvae._text import brief, counted, shortened
from synthvae._types import Bools
from synthvae.drafting.schema_text import SchemaText
from synthvae.field import Field
from synthvae.rows_release import RowsRelease
from synthvae.rules.setting import BEFORE, Rule
from synthvae.schema import Schema
from synthvae.table import cells

SOURCES = (
    "study protocol",
    "data dictionary or case report form",
    "published paper or report",
    "physical or biological limit",
    "coding standard, such as ICD-10",
)
FROM_DATA = "the data themselves"
MARK = "REVIEW"
DRAFTED_ROWS = "Rows kept per patient"  # how the remark above a drafted maxRows begins
# How remarks begin on what was read off the data, and on what else any source answers.
READ_OFF = (
    *("the bounds are the ", "these are the categories", "these are the numbers"),
    *("the categories are the file's own", "no other values stand", "no value stands"),
)
PLAIN = ("usual bounds of adults", "wide bounds", "values are missing")
IN_CONSTRAINTS = ("minimum", "maximum", "enum", "required")
SHOWN = 12  # categories and commonest values
QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)


class SchemaReview:
    """A schema file under review.

    Parameters
    ----------
    path
        The schema file. Each answer is written into it, whole or not at all; its other fields and
        remarks stay as they are.
    by
        Who reviews, for the basis of each field.
    on
        The day of the review.

    Raises
    ------
    SchemaError
        The file does not exist, is not valid, or was changed by another program meanwhile.
    """

    def __init__(self, path: str | Path, by: str, on: date) -> None:
        self.by, self.on = by, on
        self.schema = Schema.load(path)
        self._text = SchemaText(Path(path))

    @property
    def open(self) -> tuple[str, ...]:
        """The fields that await review, in the order of the file."""
        return tuple(field.name for field in self.schema.fields if field.review)

    @property
    def open_rules(self) -> tuple[Rule, ...]:
        """The rules that await review, in the order of the file."""
        return tuple(rule for rule in self.schema.rules if rule.review)

    def field(self, name: str) -> Field:
        """The field as it stands now."""
        return self.schema[name]

    def remarks(self, name: str) -> tuple[str, ...]:
        """What the draft says about a field: what to review first, then the rest."""
        remarks = self._text.remarks(self._place(name))
        return (*self._marked(name), *(each for each in remarks if not each.startswith(MARK)))

    def alike(self, name: str) -> tuple[str, ...]:
        """The open fields that one source may cover; at least the field itself.

        They are of one kind, with bounds or categories of one origin (a dictionary, the data), and
        the draft asks nothing else of them.
        """
        if self._asks_more(name):
            return (name,)
        origin = kind_of(self.field(name)), self._is_read_off(name)
        return tuple(
            each
            for each in self.open
            if (kind_of(self.field(each)), self._is_read_off(each)) == origin
            and not self._asks_more(each)
        )

    def _marked(self, name: str) -> list[str]:
        """Return what is to be reviewed of a field, as its draft says."""
        remarks = self._text.remarks(self._place(name))
        return [each.removeprefix(MARK).lstrip(": ") for each in remarks if each.startswith(MARK)]

    def _is_read_off(self, name: str) -> bool:
        return any(text.startswith(READ_OFF) for text in self._marked(name))

    def _asks_more(self, name: str) -> bool:
        """Whether a draft asks more of a field than where its bounds or categories are known."""
        marked, field = self._marked(name), self.field(name)
        if not marked:  # a file without remarks
            return bool(field.special or field.step or field.invalid != "error")
        return not all(text.startswith((*READ_OFF, *PLAIN)) for text in marked)

    def accept(self, names: Sequence[str], source: str, *, from_data: bool = False) -> None:
        """Take the mark off fields and write down their basis.

        `from_data` says that nothing but the records shows it; the guarantee then names the fields.
        """
        basis = self._basis(source, from_data)
        self._answer({name: self._reviewed(name) | {"basis": basis} for name in names})

    def _basis(self, source: str, from_data: bool) -> dict[str, Any]:
        basis: dict[str, Any] = {"source": source, "by": self.by, "on": self.on}
        return basis | ({"fromData": True} if from_data or is_from_data(source) else {})

    def accept_rules(self, rules: Sequence[Rule], source: str) -> None:
        """Take the mark off rules and write down their basis."""
        for rule in rules:
            place = self.schema.rules.index(rule)
            written = self._text.value["rules"][place]
            value = {key: item for key, item in written.items() if key != "review"}
            self._set_rule(place, value | {"basis": self._basis(source, False)})
        self._text.write()

    def drop_rules(self, rules: Sequence[Rule]) -> None:
        """Take rules out of the schema."""
        for rule in rules:
            self._set_rule(self.schema.rules.index(rule), None)
        self._text.write()

    def _set_rule(self, place: int, value: dict[str, Any] | None) -> None:
        """Give a rule a new value, in the schema and in the text of its file, or take it away."""
        rules: list[Any] = [rule.to_plain() for rule in self.schema.rules]
        if value is None:
            del rules[place]
        else:  # combinations may stand in a file of their own
            values = {key: rules[place][key] for key in ("values",) if key in value}
            rules[place] = value | values
        self.schema = self.schema.replace(rules=rules)
        self._text.replace_rule(place, value, MARK)

    def omit(self, name: str) -> None:
        """Leave a column out of the model and of the output, with the open rules that name it."""
        place = self.schema.columns.places.get(name)
        naming = [each.setting for each in self.schema.rule_set.declared if place in each.places]
        fields = self.schema.step_columns.fields if self.schema.step_rules else ()
        naming += [
            each.setting
            for each in self.schema.step_rules
            if name in {fields[at].name.removesuffix(BEFORE) for at in each.places}
        ]
        self.drop_rules([rule for rule in self.open_rules if rule in naming])
        value = {k: v for k, v in self._reviewed(name).items() if k not in ("perPatient", "basis")}
        self._answer({name: value | {"role": "omit"}})

    def change(self, name: str, settings: Mapping[str, Any]) -> None:
        """Change settings of a field, which stays open where it is; None takes one away.

        `minimum`, `maximum`, `enum` and `required` stand under constraints.

        Raises
        ------
        SchemaError
            The schema would contradict itself; the file is as before.
        """
        value = dict(self._value(name))
        rules = dict(value.get("constraints") or {})
        for setting, item in settings.items():
            owner = rules if setting in IN_CONSTRAINTS else value
            owner.pop(setting, None)
            if item is not None:
                owner[setting] = item
        value.pop("constraints", None)
        marks = {key: value.pop(key) for key in ("review", "basis") if key in value}
        if marks.pop("basis", None) is not None:  # it spoke of what stood there before
            marks["review"] = True
        value |= ({"constraints": rules} if rules else {}) | marks
        self._write({name: value}, drop=None)

    def declare_patients(self, patients: int) -> None:
        """Declare how many patients the table covers."""
        self._declare("patients", patients, f"Declared by {self.by} on {self.on}, not counted.")

    @property
    def row_remarks(self) -> str:
        """What the draft says of `maxRows`; empty once somebody has decided on it."""
        remark = self._text.remark_of("maxRows")
        return remark if remark.startswith(DRAFTED_ROWS) else ""

    def declare_rows(self, rows: int) -> None:
        """Declare the largest number of rows of one patient that is used."""
        remark = f"Rows used of a patient at most: declared by {self.by} on {self.on}."
        self._declare("maxRows", rows, remark)

    @property
    def paid_rows(self) -> RowsRelease | None:
        """The release that `maxRows` follows from, if it does: it needs no public source."""
        releases, rows = self.schema.releases, self.schema.maxRows
        return releases[-1] if releases and releases[-1].maxRows == rows else None

    @property
    def open_key(self) -> str | None:
        """A column of the key that awaits review for more than the drafted `maxRows`, if any."""
        for name in self.schema.key_columns:
            marks = self._marked(name)
            asks_more = not marks or any(not mark.startswith("maxRows") for mark in marks)
            if self.field(name).review and asks_more:
                return name
        return None

    def record_release(self, release: RowsRelease) -> None:
        """Write down what is about to be released of the records, and its price."""
        self._set_releases((*self.schema.releases, release))
        self._text.write()

    def settle_rows(self, counts: Mapping[int, int], rows: int) -> None:
        """Write down what the last release gave, the `maxRows` that follows, and take its mark away."""
        *earlier, last = self.schema.releases
        settled = last.model_copy(update={"counts": dict(counts), "maxRows": rows})
        self.schema = self.schema.replace(maxRows=rows)
        remark = f"Rows used of a patient at most: paid for on {last.on}, see `releases`."
        self._text.set_number("maxRows", rows, remark)
        for name in self.schema.key_columns:
            marks = self._marked(name)
            asked = [each for each in marks if each.startswith("maxRows")]
            if asked:  # and where nothing else is asked, the field needs no review
                value = self._reviewed(name) if marks == asked else self._value(name)
                self._put({name: value}, drop=f"{MARK}: maxRows")
        self._set_releases((*earlier, settled))
        self._text.write()

    def _set_releases(self, releases: Sequence[RowsRelease]) -> None:
        values = [each.model_dump(exclude_defaults=True) for each in releases]
        self.schema = self.schema.replace(releases=values)
        self._text.set_list("releases", values)

    def _declare(self, key: str, number: int, remark: str) -> None:
        self.schema = self.schema.replace(**{key: number})
        self._text.set_number(key, number, remark)
        self._text.write()

    def _place(self, name: str) -> int:
        return self.schema.names.index(name)

    def _value(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = self._text.value["fields"][self._place(name)]
        return value

    def _reviewed(self, name: str) -> dict[str, Any]:
        return {key: item for key, item in self._value(name).items() if key != "review"}

    def _answer(self, values: Mapping[str, dict[str, Any]]) -> None:
        self._write(values, drop=MARK)

    def _write(self, values: Mapping[str, dict[str, Any]], drop: str | None) -> None:
        """Check the schema with some fields' new values, then write it."""
        self._put(values, drop)
        self._text.write()

    def _put(self, values: Mapping[str, dict[str, Any]], drop: str | None) -> None:
        """Give some fields new values, in the schema and in the text of its file."""
        fields = [
            field.model_dump(mode="json", exclude_defaults=True) for field in self.schema.fields
        ]
        for name, value in values.items():
            fields[self._place(name)] = self._with_categories(name, value)
        self.schema = Schema.from_dict(self.schema.to_dict() | {"fields": fields}, "the schema")
        for name, value in values.items():
            self._text.replace_field(self._place(name), value, drop)

    def _with_categories(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Return a field's value with the categories that stand in a file of their own."""
        rules = value.get("constraints") or {}
        if not isinstance(rules.get("enum"), str):
            return value
        return value | {
            "constraints": rules | {"enum": list(self.field(name).constraints.enum or ())}
        }


def is_from_data(source: str) -> bool:
    """Whether a source says, with a remark or without, that the data alone show it."""
    return source.partition(":")[0].strip().casefold() == FROM_DATA


def kind_of(field: Field) -> str:
    """Return what is to be confirmed of a field, in words."""
    if field.is_left_out or not field.has_domain:
        return "columns left out or invented"
    if field.type == "boolean":
        return "columns of true and false"
    if not field.is_lattice:
        return "lists of categories"
    return "bounds of numbers" if field.is_number else "bounds of dates"


def facts(field: Field) -> str:
    """Return what a field declares, on one line."""
    rules = field.constraints
    parts = [f"{field.type}, {field.unit}" if field.unit else field.type]
    if field.role is not None:
        parts.append(f"role {field.role}")
    if field.is_lattice and rules.minimum is not None:
        parts.append(f"{rules.minimum} to {rules.maximum}")
    if field.type == "number" and field.is_lattice:
        parts.append(counted(field.places, "decimal"))
    if field.step is not None:
        parts.append(f"steps of {field.step}")
    if not field.is_lattice and field.categories:
        more = f" and {len(field.categories) - SHOWN} more" if len(field.categories) > SHOWN else ""
        listed = ", ".join(shortened(each, 40) for each in field.categories[:SHOWN])
        parts.append(f"{counted(len(field.categories), 'category', 'categories')}: {listed}{more}")
    if field.special:
        parts.append(f"special {', '.join(map(str, field.special))}")
    if field.censored:
        parts.append(f"censored {', '.join(field.censored)}")
    parts += ["may be missing"] if field.nullable else []
    parts += ["the same in all rows of a patient"] if field.perPatient else []
    parts += [f"invalid: {field.invalid}"] if field.invalid != "error" else []
    return "; ".join(parts)


def evidence(values: pd.Series, field: Field, missing: Sequence[str]) -> list[str]:
    """Return what stands in a column, for the eyes of the steward alone: it is computed from records.

    Parameters
    ----------
    values
        The column as it was read, shape (rows,).
    missing
        The table's spellings of a missing cell.
    """
    raw = cells.RawColumn(values)
    blank = raw.blank(missing)
    raw.factorize()
    assert raw.places is not None
    texts = pd.Series(raw.spread([*map(cells.text_of, raw.distinct)], "", object))[~blank]
    counts = texts.value_counts()
    lines = [
        f"{counted(len(values), 'row')}, {int(blank.sum()):,} missing, "
        f"{counted(len(counts), 'different value')}"
    ]
    if field.is_lattice:
        lines += _quantiles(field, raw, blank)
    common = counts.head(SHOWN if not field.is_lattice else 5)
    if len(common):
        lines.append(
            "most often: "
            + ", ".join(f"{brief(text)} {times:,}" for text, times in common.items())
            + (", ..." if len(counts) > len(common) else "")
        )
    return lines


def _quantiles(field: Field, raw: cells.RawColumn, blank: Bools) -> list[str]:
    """Return quantiles of numbers or moments, and how many values lie outside the bounds."""
    read = cells.as_numbers(field, raw) if field.is_number else cells.as_moments(field, raw)
    values = read[~blank & np.isfinite(read)]
    if not values.size:
        return ["no value can be read as the field declares it"]
    at = np.quantile(values, QUANTILES, method="inverted_cdf")  # values that occur
    texts = [f"{value:.6g}" for value in at]
    if field.is_moment:
        moments = field.seconds_at(np.round(at).astype(np.int64)).astype("datetime64[s]")
        texts = [str(moment)[: 10 if field.type == "date" else 16] for moment in moments]
    lines = [", ".join(f"{q:.0%}: {text}" for q, text in zip(QUANTILES, texts, strict=True))]
    low, high = field.constraints.minimum, field.constraints.maximum
    if low is not None and high is not None:
        first, last = (float(low), float(high)) if field.is_number else _ends(field)
        outside = ((values < first) | (values > last)) & ~np.isin(values, field.specials)
        if outside.any():
            lines.append(f"{counted(int(outside.sum()), 'value')} outside the bounds")
    return lines


def _ends(field: Field) -> tuple[float, float]:
    return float(field.first_unit), float(field.first_unit + field.lattice_size - 1)
