"""Join the columns' drafts into a schema, and write it as a file that explains itself."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import pandas as pd

from synthvae._frozen import write_yaml
from synthvae._text import brief, counted, one_line
from synthvae.declared import first_repeated
from synthvae.drafting import header, redcap_values, two_tables
from synthvae.drafting.columns import ColumnDraft, draft_column, draft_profile
from synthvae.drafting.keys import Column, KeyDraft, propose_key
from synthvae.drafting.order_proposal import propose_order
from synthvae.drafting.profile import MISSING_SPELLINGS, Profile
from synthvae.drafting.rule_proposals import propose_rules, rules_summary, rules_text
from synthvae.errors import DataError
from synthvae.schema import Dialect, Schema
from synthvae.table.codes import find_problems
from synthvae.table.problems import Problem

Labels = Mapping[str, Mapping[Any, str]]
Known = Mapping[str, Mapping[str, Any]]

HEAD = """\
# A DRAFT, made from private data: handle it as private until a person has gone through it.
# - `review: true` marks what was read off the data (bounds, categories, steps, whether values are
#   missing, rules between columns). `synthvae schema review` asks where each is publicly known, and
#   takes the mark away; `synthvae fit` refuses what is under review when it has a privacy budget.
# - What has no such mark comes from the column's name and a dictionary; but that a column holds true
#   and false, or is `omit` or `identifier`, was seen in its values too.
# - Where a patient has several rows, `perPatient: true` says that a column (sex, say) holds the same
#   value in all of them; without it, synthetic patients may differ from row to row.
# - Look at the types too, and at `role`: what is `omit` is left out of the output, `identifier` is
#   made up in it, and `empty` stays an empty column.
"""
PATIENTS = """\
# patients:   # how many patients the table covers. It has to be a public number, such as the
#             # published size of the study; it is not counted here, since the count is private.
"""
MAX_ROWS_NOTE = (
    "Rows kept per patient; noise grows with it, so take a public number that few patients exceed."
)
WITHOUT_NOTE = (
    "some patients have no visits, which was seen in the data, and `visitsOptional: true` drafted: is "
    "it publicly known that there may be such patients?"
)
ORDER_NOTE = "What puts a patient's rows in time; the field's own remarks say why it seems so"
LEFT_OUT_SHOWN = 20
MOST_MENDINGS = 3
MOST_UNFIT = 0.05  # of the values may break what a data dictionary says, for it to be believed


@dataclass(frozen=True)
class Draft:
    """A drafted schema.

    Attributes
    ----------
    value
        The schema as plain values, which `Schema.from_dict` takes.
    text
        The same as a YAML file with remarks.
    summary
        What it rests on, a line each: with counts of the data, so for the steward's terminal alone.
    """

    value: dict[str, Any]
    text: str
    summary: tuple[str, ...]

    @property
    def schema(self) -> Schema:
        return Schema.from_dict(self.value, "the draft")


def draft_schema(frame: pd.DataFrame, name: str = "table") -> Schema:
    """Draft a schema from a table's column names and types.

    Ranges of common clinical variables come from the shipped dictionary; what had to be read off
    the data has `review` set.

    Parameters
    ----------
    frame
        The table, as `read_table` gives it or with typed columns.
    name
        The schema's name.

    Returns
    -------
    Schema
        Without `patients`, which has to be declared.

    Raises
    ------
    DataError
        The table has no rows or columns, a column without a name, or two of the same name; or its
        columns are named like their values.
    SchemaError
        Every column seems to be an identifier, so nothing is left to model.

    Examples
    --------
    >>> frame = pd.DataFrame({"age": ["61", "47"], "ward": ["A", "B"]})
    >>> draft_schema(frame, "demo").to_review
    ('ward',)
    """
    return draft_table(frame, name).schema


def draft_yaml(frame: pd.DataFrame, name: str = "table") -> str:
    """Draft a schema as the text of a YAML file with remarks, which `Schema.load` reads.

    Parameters, errors and content are those of `draft_schema`.

    Examples
    --------
    >>> text = draft_yaml(pd.DataFrame({"age": ["61", "47"], "ward": ["A", "B"]}), "demo")
    >>> print(text[text.index("fields:"):])
    fields:
      # dictionary: age; the longest documented human life is 122 years
      - name: age
        type: integer
        unit: years
        constraints: {minimum: 0, maximum: 122}
      # REVIEW: these are the categories that stand in the data
      - name: ward
        type: string
        constraints:
          enum: [A, B]
        review: true
    <BLANKLINE>
    """
    return draft_table(frame, name).text


def draft_table(
    frame: pd.DataFrame,
    name: str = "table",
    *,
    dialect: Dialect | None = None,
    labels: Labels | None = None,
    titles: Mapping[str, str] | None = None,
    known: Known | None = None,
    has_header: bool | None = None,
    patients: pd.DataFrame | None = None,
) -> Draft:
    """Draft a schema, with what the file itself and other files say about its columns.

    Parameters
    ----------
    dialect
        How the file is laid out; it stands in the draft where it is not the default.
    labels, titles
        By column: the labels of its codes, and its title.
    known
        Fields that a data dictionary declares, by column, as plain values; they are taken as they are
        where the values fit them.
    has_header
        Whether the file is known to have names of columns, or none; else a first line that looks like
        data is refused.
    patients
        Where the table is joined of two files (`two_tables.beside`), that of patients.

    Raises
    ------
    DataError, SchemaError
        As `draft_schema`.
    """
    names = _names(frame)
    profiles, missing = _profiles(frame, dialect is not None and dialect.delimiter == ";")
    if has_header is None and all(map(_is_text, frame.dtypes)):
        header.refuse_data_as_header(names, profiles)
    columns = [
        Column(_draft_one(each, profile, labels or {}, titles or {}, known or {}), profile)
        for each, profile in zip(names, profiles, strict=True)
    ]
    if patients is not None:

        def draft_one(each: str, profile: Profile) -> ColumnDraft:
            return _draft_one(each, profile, labels or {}, titles or {}, known or {})

        columns = two_tables.with_patients(columns, patients, draft_one)
    key, drafts = propose_key(columns, frame)
    if patients is not None:
        drafts = two_tables.in_their_files(drafts[0], columns, patients)
    value = _table_facts(name, missing, dialect, key)
    drafts = [
        _with_signs(draft, column.profile, missing)
        for draft, column in zip(drafts, columns, strict=True)
    ]
    drafts = _mend(frame, value, drafts)
    value["fields"] = [draft.field for draft in drafts]
    order = propose_order(frame, Schema.from_dict(value, "the draft"))
    if order is not None:
        reasons = [order.reason]
        if patients is not None and two_tables.some_without_visits(patients, frame):
            value["visitsOptional"] = True
            reasons.append(WITHOUT_NOTE)
        drafts = [
            reduce(ColumnDraft.for_review, reasons, draft) if draft.name == order.column else draft
            for draft in drafts
        ]
        value |= {"orderBy": order.value, "fields": [draft.field for draft in drafts]}
    proposals = propose_rules(frame, Schema.from_dict(value, "the draft"))
    if proposals:
        value["rules"] = [proposal.rule for proposal in proposals]
    remarks = header.header_remarks(names, profiles)
    if _lacks_identifiers(columns, key):
        remarks.append("Some rows have no patient identifier: fill in whose they are.")
    text = _render(value, drafts, key, remarks) + rules_text(proposals)
    summary = (*_summary(drafts, key, remarks), *rules_summary(proposals))
    return Draft(value, text, summary)


def _table_facts(
    name: str, missing: list[str], dialect: Dialect | None, key: KeyDraft
) -> dict[str, Any]:
    """Return what a draft says of the table as a whole."""
    value: dict[str, Any] = {"name": name, "missingValues": missing}
    if dialect is not None and dialect != Dialect():
        value["dialect"] = dialect.model_dump(mode="json", exclude_defaults=True)
    if key.columns:
        value["patientKey"] = list(key.columns) if len(key.columns) > 1 else key.columns[0]
        value["maxRows"] = key.max_rows
    return value


def _profiles(frame: pd.DataFrame, comma_decimals: bool) -> tuple[list[Profile], list[str]]:
    """Return the columns' profiles, and the spellings that mean missing in all of them.

    `-` is a result where only signs such as `+` stand beside it, and then no spelling of missing,
    unless another column needs it for that and cannot read it as no value of its own: missing values
    are those of the whole table.
    """
    profiles = [Profile(frame.iloc[:, j], comma_decimals) for j in range(frame.shape[1])]
    signs = {text for profile in profiles for text in profile.signs}
    needed = {
        text
        for name, profile in zip(map(str, frame.columns), profiles, strict=True)
        if (there := signs.intersection(profile.blanks))
        and not _reads_others_as_missing(name, profile)
        for text in there
    }
    for j, profile in enumerate(profiles):
        if needed.intersection(profile.signs):
            profiles[j] = Profile(frame.iloc[:, j], comma_decimals, keep_signs=False)
            profiles[j].lost_signs = profile.signs
    commas = [profile.has_decimal_commas for profile in profiles]
    for profile in profiles:
        profile.commas_elsewhere = any(commas)
    results = {text for profile in profiles for text in profile.signs}
    return profiles, [text for text in MISSING_SPELLINGS if text not in results]


def _reads_others_as_missing(name: str, profile: Profile) -> bool:
    """Whether a column's field may read what is none of its values as missing."""
    if profile.kind not in ("number", "date", "datetime"):
        return False
    drafted = draft_profile(name, profile)
    return drafted.is_modelled and drafted.field.get("invalid", "missing") == "missing"


def _with_signs(draft: ColumnDraft, profile: Profile, missing: list[str]) -> ColumnDraft:
    """Return a draft with what is to be said of `-` and the like, which may be results or missing."""
    unlisted = tuple(text for text in profile.blanks if text not in missing)
    if unlisted and draft.is_modelled:
        return draft.for_review(
            f"{_named(unlisted)} is a result in another column, and not under missingValues; here it "
            "is missing, as `invalid` says",
            invalid="missing",
        )
    if profile.signs:
        return draft.for_review(
            f"{_named(profile.signs)} is a result here, and not missing: is it so? It is left out of "
            "missingValues for the whole table"
        )
    if profile.lost_signs:
        return draft.for_review(
            f"{_named(profile.lost_signs)} may be a result here, but is read as missing, since it is "
            "in another column: write the result as a word, such as neg"
        )
    return draft


def _named(spellings: tuple[str, ...]) -> str:
    return " or ".join(f"`{text}`" for text in spellings)


def _mend(
    frame: pd.DataFrame, value: dict[str, Any], drafts: list[ColumnDraft]
) -> list[ColumnDraft]:
    """Return the drafts, those that the table does not fit made wider and marked for review.

    It is for what no rule of drafting foresees, and for dictionaries that a table breaks: a draft
    always fits its table.
    """
    for _ in range(MOST_MENDINGS):
        schema = Schema.from_dict(
            value | {"fields": [draft.field for draft in drafts]}, "the draft"
        )
        problems = {problem.column: problem for problem in find_problems(frame, schema)}
        drafts = [
            _widened(draft, problems[draft.name], frame.iloc[:, j])
            if draft.name in problems
            else draft
            for j, draft in enumerate(drafts)
        ]
        if not problems:
            break
    return drafts


def _widened(draft: ColumnDraft, problem: Problem, values: pd.Series) -> ColumnDraft:
    """Return a draft that a table breaks so that it fits."""
    if not draft.is_modelled:
        return draft
    rule, share = problem.rule, problem.rows / len(values)
    if draft.field.get("perPatient") and "first row" in rule:
        field = {key: item for key, item in draft.field.items() if key != "perPatient"}
        return replace(draft, field=field).for_review("it differs between rows of a patient")
    rules = dict(draft.field.get("constraints", {})) | {"required": False}
    if "missing value" in rule:
        return draft.for_review("values are missing: is it so by design?", constraints=rules)
    if share > MOST_UNFIT and redcap_values.SAID in draft.notes:
        reason = f"{share:.0%} of the values do not fit the data dictionary: drafted from the data"
        return draft_column(draft.name, values, None, draft.field.get("title")).for_review(reason)
    reason = (
        f"{max(share, 0.001):.1%} of the values do not fit, and are read as missing: correct them, or "
        "the field"
    )
    return draft.for_review(reason, constraints=rules, invalid="missing")


def _lacks_identifiers(columns: list[Column], key: KeyDraft) -> bool:
    """Whether some rows lack an identifier of their patient."""
    return any(column.profile.missing for column in columns if column.name in key.columns)


def _names(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        raise DataError("The table has no rows or no columns; there is nothing to draft from.")
    names = [str(column) for column in frame.columns]
    twice = first_repeated(names)
    if twice is not None:
        raise DataError(f"The column '{twice}' stands twice in the table; rename one of them.")
    if "" in names:
        raise DataError(f"Column {names.index('') + 1} of the table has no name; give it one.")
    return names


def _is_text(dtype: Any) -> bool:
    return bool(pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype))


def _draft_one(
    name: str,
    profile: Profile,
    labels: Labels,
    titles: Mapping[str, str],
    known: Known,
) -> ColumnDraft:
    drafted = draft_profile(name, profile, labels.get(name), titles.get(name))
    declared = known.get(name)
    if declared is None:
        return drafted
    if declared.get("role") is None:
        return redcap_values.beside_data(declared, drafted, profile)
    repeats = declared.get("role") == "identifier" and not profile.is_unique
    return ColumnDraft(
        dict(declared),
        ("as the data dictionary says",),
        is_patient_key=drafted.is_patient_key or repeats,
        left_out="as the data dictionary says" if declared.get("role") in ("omit", "empty") else "",
    )


def _render(
    value: dict[str, Any], drafts: list[ColumnDraft], key: KeyDraft, remarks: list[str]
) -> str:
    parts = [HEAD, *_remarks(remarks), write_yaml({"name": value["name"]})]
    if "dialect" in value:
        parts.append(write_yaml({"dialect": value["dialect"]}))
    if key.columns:
        parts += [*_remarks(key.key_remarks), write_yaml({"patientKey": value["patientKey"]})]
        parts += _remarks([MAX_ROWS_NOTE, *key.row_remarks])
        parts.append(write_yaml({"maxRows": value["maxRows"]}))
        if "orderBy" in value:
            parts += _remarks([ORDER_NOTE])
            parts.append(write_yaml({"orderBy": value["orderBy"]}))
        if "visitsOptional" in value:
            parts.append(write_yaml({"visitsOptional": True}))
    else:
        parts += _remarks(key.row_remarks)
    parts += [PATIENTS, write_yaml({"missingValues": value["missingValues"]}), "fields:\n"]
    parts += [_field_text(draft) for draft in drafts]
    return "".join(parts)


def _remarks(texts: list[str] | tuple[str, ...]) -> list[str]:
    lines = [one_line(text, 1000) for text in texts]
    return [f"# {line}{'' if line.endswith('?') else '.'}\n" for line in lines]


def _field_text(draft: ColumnDraft) -> str:
    """Return one field as an item of the list, its remarks above it."""
    first, *rest = write_yaml(draft.field).splitlines()
    remarks = (f"# {one_line(note, 1000)}" for note in draft.notes)
    lines = (*remarks, f"- {first}", *(f"  {line}" for line in rest))
    return "".join(f"  {line}\n" for line in lines)


def _summary(drafts: list[ColumnDraft], key: KeyDraft, remarks: list[str]) -> tuple[str, ...]:
    modelled = sum(draft.is_modelled for draft in drafts)
    marked = sum(bool(draft.field.get("review")) for draft in drafts)
    of_them = "of them " if len(drafts) > 1 else ""
    lines = [
        f"{counted(len(drafts), 'field')}, {modelled} {of_them}modelled; {marked} marked "
        f"`review: true` {'needs' if marked == 1 else 'need'} a person's word.",
        *key.summary,
        *remarks,
    ]
    out = [draft for draft in drafts if draft.left_out]
    lines += [f"{brief(draft.name)}: {draft.left_out}." for draft in out[:LEFT_OUT_SHOWN]]
    more = len(out) - LEFT_OUT_SHOWN
    return (*lines, *([f"... and {more} more left out."] if more > 0 else []))
