"""What a REDCap data dictionary leaves open of a column, taken from its values and marked for review."""

from collections.abc import Mapping
from typing import Any

from synthvae.drafting.columns import NOT_PUBLIC, ColumnDraft
from synthvae.drafting.number_fields import describe_numbers, lattice_field, outward_bounds
from synthvae.drafting.profile import Profile

MEASURED = ("integer", "number", "date", "datetime")
SAID = "as the data dictionary says"
NO_BOUNDS = "the data dictionary has no bounds for it"


def beside_data(declared: Mapping[str, Any], drafted: ColumnDraft, profile: Profile) -> ColumnDraft:
    """Return the draft of a declared column: what the dictionary does not say is taken from the data.

    Parameters
    ----------
    declared
        The field as `fields_from_redcap` gives it beside a table.
    drafted
        The column's draft without the dictionary.

    Returns
    -------
    ColumnDraft
        For review wherever something rests on the values; it keeps all their decimals.
    """
    field, kind = dict(declared), declared.get("type")
    rules = field.get("constraints", {})
    is_open = kind in MEASURED and not {"minimum", "maximum"} <= rules.keys()
    if is_open and not _is_same_kind(kind, profile):
        reason = f"the data dictionary says {kind}, and the values are not so"
        if profile.kind == "empty":
            return drafted
        return drafted.for_review(reason) if drafted.is_modelled else drafted.with_remark(reason)
    draft = ColumnDraft(field, (SAID,), is_patient_key=drafted.is_patient_key)
    if is_open:
        draft = _bounded(field, drafted, profile)
    if kind not in ("integer", "number") or profile.kind != "number":
        return draft
    return _with_decimals(draft, profile)


def _is_same_kind(kind: Any, profile: Profile) -> bool:
    return profile.kind == ("number" if kind in ("integer", "number") else kind)


def _bounded(declared: dict[str, Any], drafted: ColumnDraft, profile: Profile) -> ColumnDraft:
    """Return a draft with the bounds that are drafted from the data, where none are declared."""
    found, notes = drafted.field, drafted.notes
    if "minimum" not in found.get("constraints", {}):  # drafted as categories, or as an identifier
        if profile.kind != "number":
            return drafted
        numbers = describe_numbers(profile)
        found = lattice_field(numbers, outward_bounds(numbers))
        notes = tuple(f"REVIEW: {text}" for text in (NOT_PUBLIC, *numbers.reasons))
    said, bounds = declared.get("constraints", {}), found["constraints"]
    rules = bounds | said
    if not said.keys().isdisjoint(("minimum", "maximum")):
        found = {key: item for key, item in found.items() if key != "step"}
        if rules["minimum"] >= rules["maximum"]:
            rules = said | bounds
    if bounds.get("required") is False or found.get("invalid") == "missing":
        rules["required"] = False
    own = ("name", "type", "title", "role", "constraints", "review")
    settings = {key: item for key, item in found.items() if key not in own}
    if {found.get("type"), declared["type"]} == {"number", "integer"}:
        settings = {"type": "number", "decimals": 0} | settings
    field = {key: item for key, item in declared.items() if key not in ("review", "basis")}
    kept = {"decimals": field["decimals"]} if "decimals" in field else {}
    field |= settings | kept | {"constraints": rules, "review": True}
    marked = any(note.startswith("REVIEW") for note in notes)
    return ColumnDraft(field, (SAID, *notes, *(() if marked else (f"REVIEW: {NO_BOUNDS}",))))


def _with_decimals(draft: ColumnDraft, profile: Profile) -> ColumnDraft:
    """Return a number's draft that keeps the decimals of the values, for review where it takes them."""
    rules, said = draft.field["constraints"], draft.field.get("decimals")
    held = lattice_field(describe_numbers(profile), (rules["minimum"], rules["maximum"]))
    needed = int(held.get("decimals", 0))
    if draft.field["type"] == "integer" and needed:
        reason = f"no whole number as the data dictionary says: the values keep {needed} decimals"
        return draft.for_review(reason, type="number", decimals=needed)
    if draft.field["type"] == "integer":
        return draft
    if said is None:
        return draft.for_review("the decimals are those of the data", decimals=needed)
    if needed > said:
        reason = f"the values have more decimals than the data dictionary's {said}; they are kept"
        return draft.for_review(reason, decimals=needed)
    return draft
