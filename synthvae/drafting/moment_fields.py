"""A draft of a field of dates or times: format, zone, bounds of whole years, and the step they keep."""

from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd

from synthvae.drafting import moment_formats
from synthvae.drafting.profile import FEW, Profile
from synthvae.field import DEFAULT_FORMATS

CENTURY = 100
FEWEST = 10  # distinct moments that tell a step


def moment_field(profile: Profile, review: list[str]) -> dict[str, Any]:
    """Return a field of dates or date-times whose bounds are whole years, with what to review."""
    moments = profile.moments
    assert moments is not None, "checked by the profile's kind"
    form = moments.form
    by_bounds = _in_past(moments) if moment_formats.is_two_digit_year(form) else None
    moments = by_bounds or moments
    there = [item for item in moments.read if item is not None]
    sound = [item for item in there if item.year <= moment_formats.LATEST_YEAR] or there
    timed = moment_formats.has_time(form)
    years = [item.year for item in sound]
    ends = [f"{min(years):04d}-01-01", f"{max(years):04d}-12-31"]
    if by_bounds is not None:
        this_year = date.today().year
        first = min(years) // 10 * 10
        ends = [f"{first:04d}-01-01", f"{this_year:04d}-12-31"]
    if timed and not moment_formats.has_date(form):
        ends = ["1900-01-01T00:00:00", "1900-01-01T23:59:59"]
    elif timed:
        ends = [f"{ends[0]}T00:00:00", f"{ends[1]}T23:59:59"]
    if by_bounds is not None:
        review.append(
            "years of two digits, for which the bounds decide the century: 69 to 99 are 1969 to 1999, "
            "00 to 68 are 2000 to 2068 or, where that lies after `maximum`, 1900 to 1968; `maximum` is "
            "the end of this year, `minimum` is read off the data: replace it by a public one"
        )
    elif not timed or moment_formats.has_date(form):
        review.append(
            "the bounds are the first and last year in the data: replace them by those of the study"
        )
    field: dict[str, Any] = {"type": "datetime" if timed else "date", "format": form}
    if form in DEFAULT_FORMATS.values():
        del field["format"]
    if moments.zone is not None:
        field["timezone"] = moments.zone
        why = "" if moments.zone_is_sure else "the cells are of several offsets: "
        review.append(f"{why}in which zone's clock should the times be kept, Europe/Berlin say?")
    if moment_formats.swapped_day(moments, profile.distinct):
        review.append("the day and the month might as well be the other way around")
    if moment_formats.is_two_digit_year(form) and by_bounds is None:
        review.append(
            "years of two digits: 69 to 99 are read as 1969 to 1999, 00 to 68 as 2000 to 2068"
        )
    if len(sound) < len(moments.read):
        field["invalid"] = "missing"
        review.append(
            "some values are no such dates, or far in the future, and are read as missing"
        )
    field |= _moment_step(profile, moments, ends, review)
    field["constraints"] = {"minimum": ends[0], "maximum": ends[1]}
    return field


def _in_past(moments: moment_formats.Moments) -> moment_formats.Moments | None:
    """Return moments of two-digit years with those after this year a century earlier.

    None where one lies after today all the same, so that the dates are not all of the past.
    """
    today = date.today()
    read = tuple(
        item.replace(year=item.year - CENTURY)
        if item is not None and item.year > today.year
        else item
        for item in moments.read
    )
    if any(item is not None and item.date() > today for item in read):
        return None
    return replace(moments, read=read)


def _moment_step(
    profile: Profile, moments: moment_formats.Moments, ends: list[str], review: list[str]
) -> dict[str, Any]:
    """Return the step that all moments keep, and move the bounds to it."""
    if profile.rows < FEW or len(profile.distinct) < FEWEST:
        return {}
    timed = moment_formats.has_time(moments.form)
    found = moment_formats.step_of(moments, not timed)
    if found is None:
        return {}
    step, seconds = found
    if seconds <= moment_formats.finest_seconds(moments.form):
        return {}
    review.append("every value keeps this `step`: is that how it is recorded?")
    if seconds > 86_400:
        first = min(item for item in moments.read if item is not None)
        start = pd.Timestamp(ends[0])
        moved = start + pd.Timedelta(seconds=int((first - start).total_seconds()) % seconds)
        ends[0] = moved.strftime("%Y-%m-%dT%H:%M:%S" if timed else "%Y-%m-%d")
    return {"step": step}
