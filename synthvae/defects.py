"""Known defects of models that earlier versions made: one table, by version of a model's format.

`check_model` reads the version in model.json, and guarantee.json; both may come from anywhere. It
reads no array.
"""

import hashlib
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from synthvae._files import read_ordinary
from synthvae._frozen import first_finding
from synthvae._text import shortened
from synthvae.errors import ArtefactError, DefectError

DATE = "2026-11"  # of the table
NEWEST = 7  # the newest version of a model that the table knows about
LARGEST_BYTES = 10_000_000  # of each file that is read; ours have thousands
LARGEST_WHOLE = 1_000_000  # that can be a version


@dataclass(frozen=True, kw_only=True)
class Defect:
    """What models of some versions of the format, `first` to `last`, keep less than promised.

    `of_guarantee` says that it matters only to whoever relies on a guarantee.
    """

    id: str
    title: str
    found: str
    meaning: str
    first: int
    last: int
    releases: str
    mended: str
    advice: str
    of_guarantee: bool = True


_until_4 = partial(
    Defect,
    found="2026-11",
    first=1,
    last=4,
    releases="0.1.0",
    mended="model version 5 (synthvae 0.2.0)",
)
DEFECTS = (
    _until_4(
        id="latent-noise-from-a-32-bit-seed",
        title="Latents and first weights of private training came from a seed of 32 bits",
        meaning="Serious: first weights and latents were drawn by a generator of which 32 bits of "
        "the seed count, so that the seed can be found from a released model's weights. One "
        "patient more shifts the draws of all others, and whoever knows the seed sees that: where "
        "everybody takes part in every step (a sampling_rate of 1), 40 fits of each world refuted "
        "epsilon = 1 and showed 2.3 or more. The plain VAE of `compare` had this too.",
        advice="Do not rely on the stated epsilon, least of all for a small table, where the "
        "sampling_rate is high. Fit again with a mended version; what was spent counts. Treat a "
        "model that was published, and records from it, as having leaked more than stated.",
    ),
    _until_4(
        id="cells-read-beside-others",
        title="A cell's reading could depend on other patients' cells",
        meaning="One patient's cell could change how the others' in its column were read. Affected "
        "are data frames given from Python with columns of mixed types, and data frames and "
        "Parquet files whose boolean or whole-number columns have missing cells; CSV files hold "
        "text alone and are not affected.",
        advice="If the model was fitted from such a frame or file, fit again with a mended "
        "version; what was spent counts. Otherwise nothing.",
    ),
    _until_4(
        id="a-fit-released-twice",
        title="A fit that could not keep its last checkpoint could give a second model",
        meaning="Where a checkpoint could not be written (a full disk) the fit warned and went on. "
        "The same command, run again, then resumed from before and made a second valid model of "
        "the same patients, with the same epsilon stated for each of the two.",
        advice="If you saw the warning that a checkpoint could not be kept, and then ran the "
        "command again, count what was spent twice. Otherwise nothing.",
    ),
    _until_4(
        id="kept-rows-hang-on-others",
        title="Which rows of a patient were kept depended on the other patients",
        meaning="Of a patient with more rows than the schema's maxRows, some are kept by chance. "
        "Which ones followed from draws that one patient more or less in the table shifts for "
        "everybody. Tables without a patientKey, or in which nobody has more rows than maxRows, "
        "are not affected.",
        advice="If patients had more rows than maxRows, do not rely on the stated epsilon: fit "
        "again with a mended version; what was spent counts. Otherwise nothing.",
    ),
    _until_4(
        id="split-key-published",
        title="The split of a run followed from its published seed",
        meaning="`synthvae run` held patients out by draws that follow from the run's seed, which "
        "its report and context.json state. Whoever has these, the code and a patient's identifier "
        "learns whether the patient would be in the part that the model was fitted on. It is a "
        "matter of what was published beside a model, and does not concern models of `fit`.",
        advice="Keep the seed and the reports of such a run to those who may know who was in the "
        "training part. Where they were published, count that as a disclosure; run again for a new "
        "one.",
        of_guarantee=False,
    ),
    _until_4(
        id="float32-sums",
        title="Sums of clipped gradients were taken in single precision",
        meaning="Gradients were clipped patient by patient and then added in single precision. "
        "Over millions of patients rounding adds up, and one patient could move the sum by "
        "slightly more than the clip norm: 1.12 clip norms at 4 million patients in a step.",
        advice="Nothing, for tables of fewer than some hundred thousand patients. For larger ones, "
        "expect epsilon to be somewhat above what is stated, or fit again with a mended version.",
    ),
)


def defects_of(version: int) -> tuple[Defect, ...]:
    """Return the known defects of models of one version.

    Examples
    --------
    >>> len(defects_of(4)), len(defects_of(5))
    (6, 0)
    """
    return tuple(defect for defect in DEFECTS if defect.first <= version <= defect.last)


@dataclass(frozen=True)
class ModelCheck:
    """What is known about one saved model.

    Attributes
    ----------
    version, synthvae
        Of its format, and of the program that made it, where its guarantee says so.
    promises, why_void
        Whether it states a valid guarantee, and why it does not.
    is_known
        Whether the table of defects goes as far as its version.
    defects
        Of its version; where it promises nothing, without those of the guarantee alone.
    """

    version: int
    synthvae: str | None
    promises: bool
    why_void: str | None
    is_known: bool
    defects: tuple[Defect, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it for JSON, with how far the table goes."""
        return {"checked_for": {"date": DATE, "newest_version": NEWEST}, **asdict(self)}


class _Loose(BaseModel):
    """What is read of a file of any version; other keys are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _About(_Loose):
    format: str | None = None
    version: StrictInt = Field(ge=1, le=LARGEST_WHOLE)
    guarantee_sha256: str | None = None  # version 1 had none


class _Promise(_Loose):
    valid: StrictBool
    why_void: str | None = None
    software: dict[str, str] = {}


_File = TypeVar("_File", bound=_Loose)


def check_model(path: Path) -> ModelCheck:
    """Return what is known about the model in a folder; `ArtefactError` where there is none."""
    check_is_model(path)
    about, _ = _read(path, "model.json", _About)
    if about.format != "synthvae model":
        raise ArtefactError(f"{path} holds no synthvae model.")
    promise, content = _read(path, "guarantee.json", _Promise)
    if about.guarantee_sha256 not in (None, hashlib.sha256(content).hexdigest()):
        raise damaged_model(path, "guarantee.json is not the one that it was saved with")
    synthvae = promise.software.get("synthvae")
    return ModelCheck(
        version=about.version,
        synthvae=None if synthvae is None else shortened(synthvae, 60),
        promises=promise.valid,
        why_void=None if promise.why_void is None else shortened(promise.why_void, 300),
        is_known=about.version <= NEWEST,
        defects=tuple(
            defect
            for defect in defects_of(about.version)
            if promise.valid or not defect.of_guarantee
        ),
    )


def raise_for_defects(path: Path, check: ModelCheck) -> None:
    """Raise `DefectError` for known defects, and `ArtefactError` for a model of a newer synthvae."""
    if not check.is_known:
        raise ArtefactError(
            f"The model in {path} has version {check.version}, made by a newer synthvae; this one "
            f"knows defects up to version {NEWEST} ({DATE}): ask a newer one."
        )
    if check.defects:
        names = ", ".join(defect.id for defect in check.defects)
        count = len(check.defects)
        known = "1 known defect concerns" if count == 1 else f"{count} known defects concern"
        raise DefectError(f"The model in {path} has version {check.version}; {known} it: {names}.")


def _read(path: Path, name: str, kind: type[_File]) -> tuple[_File, bytes]:
    content = read_model_file(path, name, LARGEST_BYTES)
    try:
        return kind.model_validate_json(content), content
    except ValidationError as cause:
        raise damaged_model(path, f"{name}: {first_finding(cause)}") from None


def check_is_model(path: Path) -> None:
    """Raise `ArtefactError` where no model lies."""
    if not path.exists():
        raise ArtefactError(f"There is no model {path}; name the folder that fit wrote.")
    if not (path / "model.json").exists():
        raise ArtefactError(
            f"{path} holds no model: there is no model.json in it; name the folder that fit wrote, or "
            "release/model of a run."
        )


def read_model_file(path: Path, name: str, most: int) -> bytes:
    """Return one file of a model's folder, of at most `most` bytes."""
    try:
        return read_ordinary(path / name, most)
    except OSError as cause:
        raise damaged_model(path, f"{name} cannot be read ({cause.strerror})") from cause


def damaged_model(path: Path, reason: str) -> ArtefactError:
    """Return the error of a model whose files are not as they were written."""
    return ArtefactError(
        f"The model in {path} is damaged: {reason}; copy it again from where it was made."
    )
