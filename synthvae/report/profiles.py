"""Profiles of statistical disclosure control: what counts as small, and how figures are rounded."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from synthvae._frozen import FrozenSettings
from synthvae.errors import ConfigError


class Profile(FrozenSettings):
    """One set of rules for what may be published.

    Parameters
    ----------
    name, title, source
        What it is called, says, and rests on.
    smallest_cell
        Fewest patients that a cell may stand for without being small. A cell of nobody is small, too.
    round_to
        The step that counts are rounded to is a multiple of this.
    smallest_freedom
        Fewest residual degrees of freedom of a published regression.
    digits
        Digits after the point that figures keep at most.

    Examples
    --------
    >>> ACRO.step, HES.step
    (20, 20)
    """

    _what = "profile"

    name: Annotated[str, Field(min_length=1, max_length=60)]
    title: Annotated[str, Field(max_length=500)] = ""
    source: Annotated[str, Field(max_length=500)] = ""
    smallest_cell: Annotated[int, Field(ge=2)]
    round_to: Annotated[int, Field(ge=1)] = 1
    smallest_freedom: Annotated[int, Field(ge=1)] = 10
    digits: Annotated[int, Field(ge=1, le=4)] = 2

    @property
    def step(self) -> int:
        """How many patients one step of a published count is: at least two smallest cells."""
        return -(-2 * self.smallest_cell // self.round_to) * self.round_to


ACRO = Profile(
    name="acro",
    title="the defaults of the ACRO tool for trusted research environments.",
    source=(
        "AI-SDC/ACRO, acro/default.yaml: safe_threshold 10, safe_dof_threshold 10, "
        "zeros_are_disclosive. Its rules of dominance (n = 2, k = 0.9; p = 0.1) are for sums of "
        "amounts, of which this report has none."
    ),
    smallest_cell=10,
)
HES = Profile(
    name="hes",
    title="the method of NHS England for Hospital Episode Statistics below national level.",
    source=(
        "NHS Digital 2018, Disclosure control methodology for HES and ECDS: counts of 1 to 7 are not "
        "shown, zeros are, all others are rounded to the nearest 5. This rendering is stricter: it "
        "tells zeros from small counts no more than those from one another."
    ),
    smallest_cell=8,
    round_to=5,
)
PROFILES = {profile.name: profile for profile in (ACRO, HES)}


def find_profile(name: str) -> Profile:
    """Return a profile by its name, or from a YAML or JSON file.

    Raises
    ------
    ConfigError
        There is neither such a profile nor such a file, or the file is not valid.

    Examples
    --------
    >>> find_profile("hes").round_to
    5
    """
    if name in PROFILES:
        return PROFILES[name]
    if not Path(name).exists():
        known = " or ".join(PROFILES)
        raise ConfigError(f"profile is {name!r}; give {known}, or a file with a profile in it.")
    return Profile.load(name)
