"""Settings that a user writes: of an evaluation, of a comparison, and of a whole run."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from synthvae._frozen import FrozenSettings, read_mapping
from synthvae.declared import as_delimiter, as_encoding, first_repeated
from synthvae.errors import ConfigError
from synthvae.purposes import AnalysisRequest, Text


def _as_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _as_epsilon(value: Any) -> Any:
    if value is None:
        raise ValueError("must be a number above 0, or the word none for no privacy")
    is_none = isinstance(value, str) and value.strip().lower() == "none"
    return None if is_none else _as_number(value)


def _as_path(value: Any) -> Any:
    if isinstance(value, str) and not value.strip("\0"):
        raise ValueError("must be a path")
    return Path(value).expanduser() if isinstance(value, str) else value


def _as_settings(value: Any) -> Any:
    if isinstance(value, dict):
        for name, item in value.items():
            if isinstance(item, bool) or not isinstance(item, int | float):
                raise ValueError(f"{name} must be a number, not {item!r}")
    return value


AnyPath = Annotated[Path, BeforeValidator(_as_path)]
Whole = Annotated[int, BeforeValidator(_as_number)]
Real = Annotated[float, BeforeValidator(_as_number)]
Method = Literal["synthvae", "independent", "mst", "aim", "aim-3way", "plain-vae"]
Depth = Literal["screen", "standard", "deep"]  # of attacks


class Rule(FrozenSettings):
    """A clinical rule that every record should keep: where `if` holds, `then` must hold.

    Examples
    --------
    >>> Rule.model_validate({"name": "men do not give birth", "if": "sex == 'male'",
    ...     "then": "births == 0 or births is missing"}).then
    'births == 0 or births is missing'
    """

    model_config = ConfigDict(populate_by_name=True)

    name: Text
    condition: Annotated[Text | None, Field(alias="if")] = None
    then: Text


class Limit(FrozenSettings):
    """A steward's own threshold for one figure: see `synthvae.evaluation.results.Threshold`."""

    good: float
    poor: float
    reason: Text


class EvaluationRequest(FrozenSettings):
    """What an evaluation does beyond what it does for every table.

    Parameters
    ----------
    depth
        How hard the attacks try: `screen` takes about a minute, `deep` trains shadow models.
    draws
        Synthetic tables to score, of which the first is the one to release; the others show the
        spread of sampling.
    rules
        Clinical rules that records should keep.
    analyses
        What the records are meant for.
    limits
        The steward's own thresholds, by key of a score.
    """

    depth: Depth = "standard"
    draws: Annotated[int, Field(ge=1, le=20)] = 3
    rules: tuple[Rule, ...] = ()
    analyses: tuple[AnalysisRequest, ...] = ()
    limits: dict[str, Limit] = {}

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the `evaluation` section of a YAML or JSON file, such as a run's settings."""
        path = Path(path)
        value = read_mapping(path, ConfigError, "config").get("evaluation")
        if not isinstance(value, dict):
            raise ConfigError(
                f"The config file {path} has no `evaluation` section; write the evaluation's settings "
                "under that name."
            )
        return cls.from_dict(value, f"{path}, evaluation")


class Source(FrozenSettings):
    """Where the table comes from: a file, two of them, or a data set that is shipped or simulated.

    Of two files, `patients` has a row a patient and `visits` many. `rows` goes with a simulated data
    set, and is its number of rows. `delimiter`, `encoding`, `sheet` and `header` say how the files are
    laid out, in place of the schema's `dialect`.
    """

    path: AnyPath | None = None
    patients: AnyPath | None = None
    visits: AnyPath | None = None
    dataset: Literal["clinic", "randhie"] | None = None
    rows: Annotated[Whole, Field(ge=100, le=10_000_000)] | None = None
    delimiter: Annotated[str, BeforeValidator(as_delimiter)] | None = None
    encoding: str | None = None
    sheet: str | None = None
    header: bool | None = None

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        return None if value is None else as_encoding(value)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.patients is None) != (self.visits is None):
            one, other = ("patients", "visits") if self.visits is None else ("visits", "patients")
            raise ValueError(f"{one} is given without {other}; name both files, or one under path")
        if [self.path, self.patients, self.dataset].count(None) != 2:
            raise ValueError(
                "give either path (a table's file), or patients and visits (two files), or dataset "
                "(clinic or randhie)"
            )
        if self.visits is not None and self.visits == self.patients:
            raise ValueError(
                "patients and visits name one file; a table in one file goes under path"
            )
        if self.rows is not None and not self.is_simulated:
            raise ValueError("rows goes with `dataset: clinic`, which is simulated; leave it out")
        return self

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are named: the patients' first."""
        return tuple(path for path in (self.path, self.patients, self.visits) if path is not None)

    @property
    def of_patients(self) -> "Source":
        """The file of patients by itself."""
        return self.model_copy(update={"path": self.patients, "patients": None, "visits": None})

    @property
    def of_visits(self) -> "Source":
        """The file of visits by itself."""
        return self.model_copy(update={"path": self.visits, "patients": None, "visits": None})

    @property
    def is_simulated(self) -> bool:
        """Whether the data set has any number of rows."""
        return self.dataset == "clinic"


class Variant(FrozenSettings):
    """The VAE with some settings replaced, under a name: one line of an ablation."""

    name: Annotated[str, Field(min_length=1, max_length=60)]
    settings: Annotated[dict[str, int | float], BeforeValidator(_as_settings)]


class Compare(FrozenSettings):
    """What `synthvae compare` does beyond a run.

    Parameters
    ----------
    epsilons
        Privacy budgets; left out, the run's.
    runs
        Fits of each method at each budget and size.
    methods
        Names of methods; left out, all that are installed.
    variants
        The VAE with settings replaced: an ablation.
    sizes
        Numbers of training patients; left out, the table as it is.
    timeout
        Seconds that one fit, with its sampling, may take.
    """

    epsilons: Annotated[tuple[Real, ...], Field(min_length=1)] | None = None
    runs: Annotated[Whole, Field(ge=1, le=1000)] = 3
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] | None = None
    variants: tuple[Variant, ...] = ()
    sizes: tuple[Annotated[Whole, Field(ge=50)], ...] = ()
    timeout: Annotated[Real, Field(gt=0)] = 3600.0

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = tuple(variant.name for variant in self.variants)
        for what in ("epsilons", "methods", "sizes", "variants"):
            items: tuple[object, ...] = (names if what == "variants" else getattr(self, what)) or ()
            twice = first_repeated(items)
            if twice is not None:
                raise ValueError(f"{what} names {twice!r} twice")
        taken = set(names) & set(get_args(Method))
        if taken:
            raise ValueError(f"the variant {min(taken)!r} has a method's name; give it another")
        return self


class RunConfig(FrozenSettings):
    """Everything that `synthvae run` and `synthvae compare` need.

    Parameters
    ----------
    name
        Names the folder of results.
    purpose
        What the records are for, in words; stands in the report.
    epsilon
        Privacy budget; `none` trains without privacy and marks everything so.
    delta
        Probability with which the guarantee may fail; left out, a tenth of 1/n.
    holdout
        Probability with which a patient is held out, to judge the synthetic records by.
    rows
        Synthetic rows; left out, as many as the declared patients have.
    seed
        Repeats the sampling and the evaluation; never the training's noise, nor the split, whose key
        is secret and stays in `custodian/`. The report shows it.
    test_split_seed
        Makes the split repeatable for tests: whoever knows it and an identifier learns which side a
        patient is on. The report says so.
    settings
        Sizes and schedule in place of the public rule's, by name.
    evaluation
        Rules, analyses, draws, limits and depth of the evaluation.
    compare
        What `synthvae compare` does; `synthvae run` leaves it alone.
    """

    name: str
    title: str | None = None
    purpose: str | None = None
    data: Source
    schema_path: Annotated[AnyPath, Field(alias="schema")]
    # A budget is checked where it is spent, with an exit code of its own.
    epsilon: Annotated[float | None, Field(allow_inf_nan=True), BeforeValidator(_as_epsilon)]
    delta: Annotated[float | None, Field(allow_inf_nan=True), BeforeValidator(_as_number)] = None
    holdout: Annotated[Real, Field(gt=0, lt=1)] = 0.2
    rows: Annotated[Whole, Field(ge=1)] | None = None
    seed: Annotated[Whole, Field(ge=0)] = 0
    test_split_seed: Annotated[Whole, Field(ge=0)] | None = None
    out: AnyPath = Path("reports")
    settings: Annotated[dict[str, int | float], BeforeValidator(_as_settings)] = {}
    evaluation: EvaluationRequest = EvaluationRequest()
    compare: Compare = Compare()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
            raise ValueError(
                "names a folder: use up to 100 letters, digits, dots, dashes and underscores, and "
                "begin with a letter or digit"
            )
        return value

    @property
    def folder(self) -> Path:
        """The folder of results."""
        return self.out / self.name

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a run's settings from a YAML or JSON file.

        Paths of tables and the schema are relative to the file, `out` to the working folder.
        """
        config, folder = super().load(path), Path(path).parent
        named = {name: getattr(config.data, name) for name in ("path", "patients", "visits")}
        data = config.data.model_copy(
            update={name: folder / file for name, file in named.items() if file is not None}
        )
        return config.model_copy(update={"data": data, "schema_path": folder / config.schema_path})
