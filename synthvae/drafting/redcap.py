"""Fields from a REDCap data dictionary: public facts that a study wrote down before it had data.

Exports of REDCap hold raw codes and dates as year, month and day whatever the form shows; a box of a
checkbox is a column of its own, `name___code`. Bounds of a dictionary are bounds of entry, so they
need no review.

References
----------
Harris et al. 2009, "Research electronic data capture (REDCap)", J. Biomed. Inform. 42(2):377-381.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from synthvae._frozen import write_yaml
from synthvae._text import shortened
from synthvae.errors import DataError
from synthvae.schema import Schema

SOURCE = "REDCap data dictionary"
# The dictionary's columns as the program calls them, and as its interface does.
HEADINGS = {
    "Variable / Field Name": "field_name",
    "Form Name": "form_name",
    "Field Type": "field_type",
    "Field Label": "field_label",
    "Choices, Calculations, OR Slider Labels": "select_choices_or_calculations",
    "Field Note": "field_note",
    "Text Validation Type OR Show Slider Number": "text_validation_type_or_show_slider_number",
    "Text Validation Min": "text_validation_min",
    "Text Validation Max": "text_validation_max",
    "Identifier?": "identifier",
    "Branching Logic (Show field only if...)": "branching_logic",
    "Required Field?": "required_field",
}
NEEDED = ("field_name", "field_type")
CHOICES = ("radio", "dropdown")
WITHOUT_DATA = ("descriptive",)
REPEATS = ("redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance")
STATUS = {"0": "Incomplete", "1": "Unverified", "2": "Complete"}
MOMENTS = {
    "date": ("date", "%Y-%m-%d"),
    "datetime": ("datetime", "%Y-%m-%d %H:%M"),
    "datetime_seconds": ("datetime", "%Y-%m-%d %H:%M:%S"),
    "time": ("datetime", "%H:%M"),
    "time_hh_mm_ss": ("datetime", "%H:%M:%S"),
}
PAIRS = (("1", "0"), ("Yes", "No"), ("True", "False"), ("Checked", "Unchecked"))
ORDERS = re.compile(r"_(ymd|dmy|mdy)$")
CLOCK = {"minimum": "1900-01-01T00:00:00", "maximum": "1900-01-01T23:59:59"}
YEARS = {"date": ("1900-01-01", "2099-12-31"), "datetime": ("1900-01-01T00:00", "2099-12-31T23:59")}
GUESSED = "guessed"  # key of a draft, for the settings that the dictionary does not say
DECIMALS = 2  # of a number whose validation says none
WIDE = (0, 1000)  # of a number without bounds, for review
PLACES = re.compile(r"number_([1-4])dp(_comma_decimal)?$")
NEVER_KEPT = ("email", "phone", "phone_australia", "mrn_10d", "mrn_generic", "ssn", "zipcode")
LONGEST_TITLE = 200
LONGEST_DESCRIPTION = 1000


@dataclass(frozen=True)
class _Question:
    """A row of the dictionary that asks for a number, a date or a time."""

    name: str
    kind: str
    validation: str
    ends: tuple[str, str]  # the bounds of entry, as they are written
    rules: dict[str, Any]  # whether it has to be answered

    @property
    def base(self) -> dict[str, Any]:
        """What every field says whose bounds are the dictionary's."""
        return {"name": self.name, "basis": {"source": SOURCE}}


def is_redcap(frame: pd.DataFrame) -> bool:
    """Whether a table is a REDCap data dictionary, by the names of its columns."""
    return set(NEEDED) <= {_key(str(name)) for name in frame.columns}


def fields_from_redcap(
    dictionary: pd.DataFrame,
    names: Sequence[str] | None = None,
    values: pd.DataFrame | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the fields that a REDCap data dictionary declares, by column, as plain values.

    Parameters
    ----------
    dictionary
        The dictionary as REDCap exports it, or as its interface gives it.
    names
        The columns of a table; without, every column that an export has.
    values
        The table, to tell an export of labels from one of raw codes.

    Returns
    -------
    dict
        For each column that the dictionary knows, the values of a `synthvae.field.Field`. Where a
        number or a date has no bounds in the dictionary, `review` is set and the bounds are wide;
        given the table, they are left out, for `redcap_values` to take them from its values.

    Raises
    ------
    DataError
        The table is no REDCap data dictionary.
    """
    if not is_redcap(dictionary):
        raise DataError(
            "The dictionary is no data dictionary of REDCap: it lacks the columns 'Variable / Field "
            "Name' and 'Field Type'; export it from the project as CSV."
        )
    entries = _entries(dictionary)
    drafts: dict[str, dict[str, Any]] = {}
    first = entries[0]["field_name"] if entries else ""
    for entry in entries:
        drafts |= _columns_of(entry, first)
    drafts |= {
        f"{form}_complete": _choice(f"{form}_complete", STATUS, f"Status of the form {form}")
        for form in dict.fromkeys(entry.get("form_name", "") for entry in entries)
        if form
    }
    if names is None:
        return {name: _closed(draft) for name, draft in drafts.items()}
    repeated = bool(set(REPEATS) & set(names))
    titled = {draft["title"]: name for name, draft in drafts.items() if "title" in draft}
    choices = {entry["field_name"]: _choices(entry) for entry in entries}
    kept: dict[str, dict[str, Any]] = {}
    for name in names:
        known = name if name in drafts else titled.get(name)  # an export may have labels as names
        if known is None:
            continue
        labels = STATUS if known.endswith("_complete") else choices.get(known, {})
        draft = drafts[known] | {"name": name}
        if values is None:
            draft = _closed(draft)
        else:
            draft = _as_held(_opened(draft), values[name], labels, is_record=known == first)
        if repeated and "constraints" in draft:  # blank in the rows of other forms and events
            draft["constraints"] = draft["constraints"] | {"required": False}
        kept[name] = draft
    return kept


def redcap_yaml(dictionary: pd.DataFrame, name: str) -> str:
    """Return a schema that a dictionary declares, as the text of a YAML file, without any data."""
    drafts = fields_from_redcap(dictionary)
    value = {"name": name, "missingValues": [""], "fields": list(drafts.values())}
    Schema.from_dict(value, "the dictionary")
    head = (
        "# A DRAFT from a REDCap data dictionary; no record was read. `review: true` marks bounds that\n"
        "# the dictionary does not say: `synthvae schema review` asks for what is publicly known.\n"
        "# Where records have several rows (events, repeated instruments), name the record's field\n"
        "# under patientKey with maxRows. `patients` has to be a public number.\n"
    )
    return head + write_yaml(value)


def _key(heading: str) -> str:
    plain = heading.strip().strip('\ufeff"')
    return HEADINGS.get(plain, plain)


def _entries(dictionary: pd.DataFrame) -> list[dict[str, str]]:
    """Return the dictionary's rows as text by the program's own names, without nameless ones."""
    renamed = dictionary.set_axis([_key(str(name)) for name in dictionary.columns], axis=1)
    known = [name for name in HEADINGS.values() if name in renamed.columns]
    rows = renamed[known].astype(object).where(renamed[known].notna(), "")
    entries = [
        {str(name): str(text).strip() for name, text in row.items()}
        for row in rows.to_dict("records")
    ]
    return [entry for entry in entries if entry["field_name"]]


def _columns_of(entry: Mapping[str, str], first: str) -> dict[str, dict[str, Any]]:
    """Return the fields of the columns that one row of the dictionary stands for."""
    name, kind = entry["field_name"], entry["field_type"].lower()
    title = _title(entry)
    if kind in WITHOUT_DATA:
        return {}
    if kind == "checkbox":
        boxes = {}
        for code, label in _choices(entry).items():
            column = f"{name}___{code.lower().replace('-', '_')}"
            text = shortened(f"{title}: {label}" if title else label, LONGEST_TITLE)
            boxes[column] = _flag(column, text)
        return boxes
    draft = _draft(entry, name, kind, first)
    if title:
        draft = {"name": name, "title": title} | draft
    return {name: draft}


def _title(entry: Mapping[str, str]) -> str:
    plain = re.sub(r"<[^>]*>", " ", entry.get("field_label", ""))
    return shortened(" ".join(plain.split()), LONGEST_TITLE)


def _draft(entry: Mapping[str, str], name: str, kind: str, first: str) -> dict[str, Any]:
    validation = entry.get("text_validation_type_or_show_slider_number", "").lower()
    required = _is_yes(entry, "required_field") and not entry.get("branching_logic", "")
    if name == first or _is_yes(entry, "identifier"):
        return {"name": name, "role": "identifier"}
    if kind in CHOICES:
        return _choice(name, _choices(entry), "", required=required)
    if kind in ("yesno", "truefalse"):
        return _flag(name, "", required=required)
    if kind not in ("text", "calc", "slider") or validation in NEVER_KEPT:
        return {"name": name, "role": "omit"}
    low, high = (entry.get(f"text_validation_{end}", "") for end in ("min", "max"))
    return _measured(_Question(name, kind, validation, (low, high), {"required": required}))


def _measured(question: _Question) -> dict[str, Any]:
    """Return the field of a number, a date or a time; other text is left out."""
    if question.kind == "slider":
        low, high = map(_number, question.ends)
        bounds = {"minimum": low or 0, "maximum": high or 100, "required": False}
        return question.base | {"type": "integer", "constraints": bounds}
    order = ORDERS.sub("", question.validation)
    if order in MOMENTS:
        return _moment(question, order)
    if question.kind == "calc" or question.validation.startswith(("integer", "number")):
        return _numeric(question)
    return {"name": question.name, "role": "omit", "description": "free text"}


def _is_yes(entry: Mapping[str, str], heading: str) -> bool:
    return entry.get(heading, "").lower() in ("y", "yes", "1", "true")


def _choices(entry: Mapping[str, str]) -> dict[str, str]:
    """Return {code: label} of `1, Male | 2, Female`."""
    choices = {}
    for part in entry.get("select_choices_or_calculations", "").split("|"):
        code, _, label = part.partition(",")
        if code.strip():
            choices[code.strip()] = " ".join(re.sub(r"<[^>]*>", " ", label).split()) or code.strip()
    return choices


def _choice(
    name: str, choices: Mapping[str, str], title: str, *, required: bool = False
) -> dict[str, Any]:
    if not choices:
        return {"name": name, "role": "omit", "description": "a choice without choices"}
    meaning = shortened(
        "; ".join(f"{code} = {label}" for code, label in choices.items()), LONGEST_DESCRIPTION
    )
    draft: dict[str, Any] = {"name": name, "title": title} if title else {"name": name}
    return draft | {
        "type": "string",
        "description": meaning,
        "constraints": {"enum": list(choices), "required": required},
        "basis": {"source": SOURCE},
    }


def _flag(name: str, title: str, *, required: bool = False) -> dict[str, Any]:
    draft: dict[str, Any] = {"name": name, "title": title} if title else {"name": name}
    return draft | {
        "type": "boolean",
        "trueValues": [true for true, _ in PAIRS],
        "falseValues": [false for _, false in PAIRS],
        "constraints": {"required": required},
        "basis": {"source": SOURCE},
    }


def _number(text: str) -> float | int | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return int(number) if number.is_integer() else number


def _numeric(question: _Question) -> dict[str, Any]:
    low, high = map(_number, question.ends)
    validation, rules = question.validation, question.rules
    draft = question.base | {"type": "integer" if validation == "integer" else "number"}
    places = PLACES.match(validation)
    if draft["type"] == "number":
        draft["decimals"] = DECIMALS if places is None else int(places[1])
        draft |= {} if places else {GUESSED: ("decimals",)}
    if "comma_decimal" in validation:
        draft["decimalChar"] = ","
    if question.kind == "calc":
        low = high = None
        rules = {"required": False}
    if low is not None and high is not None and low < high:
        return draft | {"constraints": {"minimum": low, "maximum": high, **rules}}
    guessed = [] if low is not None and high is not None else _unsaid(low, high)
    guessed += draft.get(GUESSED, ())
    low = WIDE[0] if low is None else low
    bounds = {"minimum": low, "maximum": max(WIDE[1], 2 * low) if high is None else high}
    if bounds["maximum"] <= low:
        bounds["minimum"] = bounds["maximum"] - WIDE[1]
    return _for_review(draft | {"constraints": bounds | rules, GUESSED: tuple(guessed)})


def _unsaid(low: Any, high: Any) -> list[str]:
    """Return which bounds a dictionary does not say; both where it contradicts itself."""
    ends = {"minimum": low, "maximum": high}
    return [name for name, end in ends.items() if end is None] or list(ends)


def _closed(draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return a draft with what was guessed."""
    return {key: item for key, item in draft.items() if key != GUESSED}


def _opened(draft: Mapping[str, Any]) -> dict[str, Any]:
    """Return a draft without what was guessed."""
    guessed = draft.get(GUESSED, ())
    kept = {key: item for key, item in _closed(draft).items() if key not in guessed}
    if "constraints" in kept:
        kept["constraints"] = {k: v for k, v in kept["constraints"].items() if k not in guessed}
    return kept


def _for_review(draft: dict[str, Any]) -> dict[str, Any]:
    """Return a draft whose bounds the dictionary does not say."""
    return {key: item for key, item in draft.items() if key != "basis"} | {"review": True}


def _moment(question: _Question, order: str) -> dict[str, Any]:
    (kind, form), rules = MOMENTS[order], question.rules
    draft = question.base | {"type": kind, "format": form}
    if order.startswith("time"):
        return draft | {"constraints": CLOCK | rules}
    given = [_iso(text) for text in question.ends]
    wide = YEARS[kind]
    bounds = [text or wide[i] for i, text in enumerate(given)]
    if bounds[0] > bounds[1]:
        bounds = list(wide)
    draft["constraints"] = {"minimum": bounds[0], "maximum": bounds[1], **rules}
    if bounds == given:
        return draft
    return _for_review(draft | {GUESSED: tuple(_unsaid(*(text or None for text in given)))})


def _iso(text: str) -> str:
    """Return a bound as the dictionary writes it, 2020-01-31 or 2020-01-31 10:00; else nothing."""
    plain = text.strip().replace(" ", "T")
    return plain if re.fullmatch(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?)?", plain) else ""


def _as_held(
    draft: dict[str, Any], values: pd.Series, labels: Mapping[str, str], *, is_record: bool
) -> dict[str, Any]:
    """Return a field as a table holds it: labels in place of codes, or a name that repeats left out."""
    held = {str(cell).strip() for cell in values.dropna().unique()} - {""}
    if draft.get("role") == "identifier" and not is_record and values.dropna().duplicated().any():
        return draft | {"role": "omit"}  # of a person, and none that tells persons apart
    rules = draft.get("constraints", {})
    if draft.get("type") == "boolean" and held and not pd.api.types.is_bool_dtype(values.dtype):
        return draft | _spelled_first(held)
    spelled = held and not held & set(labels) and held <= set(labels.values())
    if "enum" not in rules or not spelled:
        return draft
    kept = {key: item for key, item in draft.items() if key != "description"}
    return kept | {"constraints": rules | {"enum": list(dict.fromkeys(labels.values()))}}


def _spelled_first(held: set[str]) -> dict[str, list[str]]:
    """Return the spellings of yes and no, first the pair that a table holds: it is written again."""
    cased = [tuple(map(case, pair)) for case in (str, str.upper, str.lower) for pair in PAIRS]
    first = next((pair for pair in cased if held & {*pair}), cased[0])
    true, false = (list(dict.fromkeys(side)) for side in zip(first, *PAIRS, strict=True))
    return {"trueValues": true, "falseValues": false}
