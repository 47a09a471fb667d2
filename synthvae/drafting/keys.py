"""Whose row is whose, in a draft: the key, rows per patient, and columns constant in a patient."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from synthvae._text import brief, counted
from synthvae._types import Bools, Ints
from synthvae.drafting.columns import ColumnDraft, has_word
from synthvae.drafting.profile import Profile
from synthvae.field import Field
from synthvae.table.cells import identities

MAX_ROWS = 5  # a public default
LADDER = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)  # of maxRows
MANY = 50  # patients, from which on the rows of each are looked at
SHOWN_ROWS = (1, 2, 3, 5, 10)
NEARLY_ALL = 0.95  # of the patients
SEVERAL = 10  # patients with several rows, from which on a column may be said to hold still
RARELY = 0.02  # of these patients: where a column varies in fewer, it may be an error
CONTRADICTED = 0.05  # of the identifiers: where sex differs in more, they are no patients
MOST_SITES = 500
FEW_COPIES = 0.2  # of the rows: more are no doubles, but people alike
MANY_COLUMNS = 6  # in which two people are hardly alike


@dataclass(frozen=True)
class KeyDraft:
    """The drafted key: its columns, rows per patient, and remarks for the file and the terminal."""

    columns: tuple[str, ...] = ()
    max_rows: int | None = None
    key_remarks: tuple[str, ...] = ()
    row_remarks: tuple[str, ...] = ()
    summary: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column's draft, and the profile that it was drafted from."""

    draft: ColumnDraft
    profile: Profile

    @property
    def name(self) -> str:
        return self.draft.name


def propose_key(
    columns: Sequence[Column], frame: pd.DataFrame
) -> tuple[KeyDraft, list[ColumnDraft]]:
    """Return the key of a table, and its columns' drafts with what follows from it.

    The key's field is marked for review where `maxRows` or a key of several columns was read off the
    data; so is each column that is drafted as `perPatient`.
    """
    copies = exact_copies(columns)
    drafts = {column.name: column.draft for column in columns}
    # The first one: a table of visits has it before others.
    person = next((column for column in columns if column.draft.is_patient_key), None)
    if person is None:
        return _without_key(columns, copies)
    ids = _identities(frame, person.draft)
    key, remarks, reason = _composite(columns, person, ids)
    for name in key[:-1]:
        settings = {"perPatient": True}
        drafts[name] = replace(drafts[name], field=drafts[name].field | settings)
    if reason:
        drafts[person.name] = drafts[person.name].for_review(reason)
    whose = _combined([ids, *(c.profile.codes for c in columns if c.name in key[:-1])])
    draft = _rows_per_patient(key, whose, copies)
    if len(np.bincount(whose)) >= MANY:
        drafts[person.name] = drafts[person.name].for_review(
            "maxRows was chosen to hold nearly all patients of the data: take a public number, such as "
            "the protocol's visits, or pay for it with `synthvae schema rows`"
        )
    summary = list(draft.summary)
    for column in columns:
        if column.name not in key and drafts[column.name].is_modelled and draft.max_rows != 1:
            drafts[column.name], line = _per_patient(column, whose, copies)
            summary += [line] if line else []
    draft = replace(draft, key_remarks=(*remarks,), summary=(*remarks, *summary))
    return draft, list(drafts.values())


def exact_copies(columns: Sequence[Column]) -> Bools:
    """Return which rows hold the same in every column as an earlier one."""
    codes = pd.DataFrame({j: column.profile.codes for j, column in enumerate(columns)})
    return codes.duplicated().to_numpy(bool)


def _identities(frame: pd.DataFrame, draft: ColumnDraft) -> Ints:
    field = Field(name=draft.name, type=draft.field.get("type", "string"))
    place = [str(name) for name in frame.columns].index(draft.name)
    return np.asarray(pd.factorize(identities(frame.iloc[:, place], field).to_numpy())[0], np.int64)


def _combined(parts: Sequence[Ints]) -> Ints:
    """Return which rows are equal in all parts, as one number a row."""
    whose = parts[0]
    for part in parts[1:]:
        whose = np.unique(whose * (part.max(initial=0) + 2) + part + 1, return_inverse=True)[1]
    return np.asarray(whose, np.int64)


def _without_key(columns: Sequence[Column], copies: Bools) -> tuple[KeyDraft, list[ColumnDraft]]:
    drafts = []
    for column in columns:
        draft, profile = column.draft, column.profile
        if draft.field.get("role") == "identifier" and not profile.is_unique:
            draft = draft.omitted(
                "seems to identify persons, but repeats: left out of the model and the output"
            )
        drafts.append(draft)
    summary: tuple[str, ...] = ("No patientKey: each row is taken for one patient.",)
    remarks: tuple[str, ...] = ()
    modelled = sum(draft.is_modelled for draft in drafts)
    if copies.any() and copies.mean() < FEW_COPIES and modelled >= MANY_COLUMNS:
        remarks = (
            "Some rows are exact copies of others: if these are one patient's, remove them first.",
        )
        summary += (
            f"{counted(int(copies.sum()), 'row is an exact copy', 'rows are exact copies')}.",
        )
    return KeyDraft(row_remarks=remarks, summary=summary), drafts


def _composite(
    columns: Sequence[Column], person: Column, ids: Ints
) -> tuple[tuple[str, ...], list[str], str]:
    """Return the key's columns, remarks on it, and why it has several columns if it has."""
    sites = [
        column
        for column in columns
        if has_word(column.name, "sites")
        and column.draft.is_modelled
        and 2 <= len(column.profile.distinct) <= MOST_SITES
        and not column.profile.missing
    ]
    lasting = [
        column
        for column in columns
        if column.draft.is_modelled
        and (has_word(column.name, "lasting") or column.draft.field.get("role") == "protected")
        and column not in sites
    ]
    alone = (person.name,)
    groups = _contradictions(ids, lasting)
    contradicted = groups.mean() > CONTRADICTED and groups.sum() >= 5 if groups.size else False
    for site in sites:
        inside = _combined([ids, site.profile.codes])
        within = _contradictions(inside, lasting)
        both = (site.name, person.name)
        asks = "patients who were at two of them would count twice, with half the protection each"
        if contradicted and within.sum() <= 0.1 * groups.sum():
            reason = (
                f"one {person.name} is several people ({_differing(lasting)} within it), and one "
                f"within each {site.name}: is it numbered there?"
            )
            return both, [f"patientKey has {site.name}, too: {reason}"], reason
        shared = _shared(ids, site.profile.codes)
        if shared.mean() >= 0.5 and _numbered_within(inside, ids, site):
            reason = (
                f"each {site.name} seems to number its own patients from the start: if not, "
                f"{asks}, so take `patientKey: {person.name}`"
            )
            return both, [f"patientKey has {site.name}, too: {reason}"], reason
        if shared.any():
            text = f"Some {person.name} stand under several {site.name}: if each numbers its own "
            text += f"patients, write `patientKey: [{site.name}, {person.name}]`; if not, {asks}."
            return alone, [text], ""
    if contradicted:
        text = (
            f"Within one {person.name}, {_differing(lasting)}: does it stand for several people? "
        )
        return alone, [text + "If another column tells them apart, name both under patientKey."], ""
    return alone, [], ""


def _differing(columns: Sequence[Column]) -> str:
    named = ", ".join(column.name for column in columns[:3])
    return f"{named} {'differs' if len(columns) == 1 else 'differ'}"


def _contradictions(whose: Ints, lasting: Sequence[Column]) -> Bools:
    """Return for each group of several rows whether a column that should last differs in it."""
    counts = np.bincount(whose)
    differs = np.zeros(len(counts), bool)
    for column in lasting:
        there = column.profile.codes >= 0
        differs |= _varies(whose[there], column.profile.codes[there], len(counts))
    return differs[counts > 1]


def _varies(whose: Ints, codes: Ints, groups: int) -> Bools:
    """Return for each group whether it holds several codes."""
    least = np.full(groups, np.iinfo(np.int64).max)
    most = np.full(groups, -1)
    np.minimum.at(least, whose, codes)
    np.maximum.at(most, whose, codes)
    return most > least


def _shared(ids: Ints, site: Ints) -> Bools:
    """Return for each identifier whether it stands under several sites."""
    return _varies(ids, site, int(ids.max(initial=-1)) + 1)


def _numbered_within(inside: Ints, ids: Ints, site: Column) -> bool:
    """Whether each pair of site and identifier is one row, and sites share most identifiers."""
    once = len(np.unique(inside)) == len(inside)
    patients = len(np.unique(ids))
    sizes = np.bincount(site.profile.codes[site.profile.codes >= 0])
    return once and len(ids) >= MANY and bool(sizes.max() <= 1.2 * patients)


def _rows_per_patient(key: tuple[str, ...], whose: Ints, copies: Bools) -> KeyDraft:
    """Return how many rows a patient has, and the maxRows that follows."""
    rows = np.bincount(whose)
    apart = np.bincount(whose[~copies], minlength=len(rows))
    max_rows = MAX_ROWS
    if len(rows) >= MANY:
        fitting = (most for most in LADDER if (apart <= most).mean() >= NEARLY_ALL)
        max_rows = 1 if (apart <= 1).mean() >= 0.999 else next(fitting, LADDER[-1])
    full = next((most for most in SHOWN_ROWS if (rows <= most).all()), SHOWN_ROWS[-1])
    shares = [
        f"{_percent((rows <= most).mean())} within {most}" for most in SHOWN_ROWS if most <= full
    ]
    text = f"Patients by rows: {', '.join(shares)}."
    name = key[0] if len(key) == 1 else f"[{', '.join(key)}]"
    summary = [
        f"patientKey: {name}, {counted(len(rows), 'patient')}; maxRows: {max_rows}, with which noise "
        f"grows. {text}"
    ]
    remarks = [text]
    if copies.any():
        advice = "remove them first, or they count as a patient's further rows"
        if max_rows == 1:
            advice = "best remove them first; with maxRows: 1 they count once"
        remarks.append(f"Some rows are exact copies of others: {advice}.")
        number = counted(int(copies.sum()), "row is an exact copy", "rows are exact copies")
        summary.append(f"{number} of others: {advice}.")
    return KeyDraft(key, max_rows, (), tuple(remarks), tuple(summary))


def _percent(share: float) -> str:
    """Return a share so that only all and nothing are 100 % and 0 %."""
    percent = 100 * share
    if 0 < percent < 1:
        return "under 1 %"
    return f"{percent:.0f} %" if percent == 100 or percent < 99 else f"{int(percent * 10) / 10:g} %"


def _per_patient(column: Column, whose: Ints, copies: Bools) -> tuple[ColumnDraft, str]:
    """Propose `perPatient` where no patient of several rows varies, and ask where hardly any does."""
    kept = whose[~copies]
    counts = np.bincount(kept)
    several = counts > 1
    codes = column.profile.codes[~copies]
    varies = _varies(kept, codes + 1, len(counts)) & several
    if several.sum() < SEVERAL or len(column.profile.distinct) < 2:
        return column.draft, ""
    if not varies.any():
        reason = "no patient's rows differ in it: is it the same by definition, as sex is?"
        return column.draft.for_review(reason, perPatient=True), ""
    lasting = has_word(column.name, "lasting") or column.draft.field.get("role") == "protected"
    if varies.sum() <= RARELY * several.sum() or (lasting and varies.mean() < 0.5):
        number = counted(int(varies.sum()), "patient")
        asks = "if these are errors, correct them and set `perPatient: true`"
        remark = f"differs between rows of few patients: {asks}"
        return column.draft.with_remark(
            remark
        ), f"{brief(column.name)} differs between rows of {number}: {asks}."
    return column.draft, ""
