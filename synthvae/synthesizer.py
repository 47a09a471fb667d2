"""The synthesizer: fit, sample, save and load."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from synthvae._runtime import Progress, given_or_console, machine_memory, one_blas_thread
from synthvae._text import brief, counted
from synthvae.errors import ConfigError, DataError, check_positive_integer
from synthvae.fit import Fit
from synthvae.fit_visits import FitVisits
from synthvae.model.conditions import parse_conditions
from synthvae.model.given_visits import draw_continued
from synthvae.model.history_state import HistoryState
from synthvae.model.people import draw_people
from synthvae.model.records import draw_records
from synthvae.model.sampling import Sampler
from synthvae.model.state import FittedState
from synthvae.model.visit_conditions import parse_visit_conditions
from synthvae.plan import Plan, make_plan
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.promise import guarantee_of
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.storage.checkpoint import KEY_BYTES, Checkpoint
from synthvae.storage.model_folder import SavedModel, load_model, save_model
from synthvae.table import (
    decode,
    encode,
    encode_with_notes,
    group_by_patient,
    identify_patients,
    with_identifiers,
)
from synthvae.table.arguments import check_frame, check_schema
from synthvae.table.reading_warnings import warn_of_reading

if TYPE_CHECKING:
    from synthvae.model.training import TrainingCurve

FEWEST_PATIENTS = 10  # of a model
BYTES_PER_CELL = 40  # while sampling: codes, drawn values, the frame


class Synthesizer:
    """A tabular variational autoencoder trained under differential privacy.

    Parameters
    ----------
    epsilon
        Privacy budget; None trains without privacy and marks everything so.
    delta
        Probability with which the guarantee may fail, below 1/n; None for the default.
    settings
        Sizes and schedule, in place of the public rule's.
    test_seed
        Makes training repeatable for tests. The noise is then predictable: the guarantee is void,
        and every artefact says so.

    Raises
    ------
    BudgetError
        Epsilon is not above 0 and finite, or delta is not below 1/n.
    ConfigError
        The schema is no `Schema`, but a path, say.

    Examples
    --------
    >>> import pandas as pd
    >>> schema = Schema.from_dict({"patients": 200, "fields": [
    ...     {"name": "sex", "constraints": {"enum": ["female", "male"]}},
    ...     {"name": "age", "type": "integer", "constraints": {"minimum": 0, "maximum": 99}}]})
    >>> table = pd.DataFrame({"sex": ["female", "male"] * 100, "age": range(200)}).assign(
    ...     age=lambda t: t["age"] % 100)
    >>> synth = Synthesizer(schema, epsilon=2.0).fit(table)
    >>> list(synth.sample(5, where={"sex": "female"}, seed=7)["sex"].unique())
    ['female']
    """

    _fewest_patients = FEWEST_PATIENTS  # of a table

    def __init__(
        self,
        schema: Schema,
        epsilon: float | None,
        delta: float | None = None,
        *,
        settings: Settings | None = None,
        test_seed: int | None = None,
    ) -> None:
        schema = check_schema(schema)
        if settings is not None and not isinstance(settings, Settings):
            raise ConfigError(
                f"settings is {brief(settings)}, not Settings; take settings_for(schema, epsilon) of "
                "synthvae.settings and change it with model_copy(update={...})."
            )
        if settings is not None:  # a copy may have been changed to anything
            settings = Settings.from_dict(settings.model_dump(), "settings")
        if schema.patients is not None and schema.patients < FEWEST_PATIENTS:
            raise ConfigError(
                f"patients is {schema.patients}; a model needs at least {FEWEST_PATIENTS}."
            )
        self.schema = schema
        self._plan: Plan | None = make_plan(schema, epsilon, delta, settings)
        self._settings = self._plan.settings
        self._test_seed = test_seed
        self._state: FittedState | HistoryState | None = None
        self._guarantee: Guarantee | None = None
        self._curve: TrainingCurve | None = None

    @property
    def settings(self) -> Settings:
        """Sizes and schedule of the fit: public."""
        return self._settings

    @property
    def guarantee(self) -> Guarantee:
        """The guarantee of the fitted model, with the log to recompute it from."""
        self.state()
        assert self._guarantee is not None
        return self._guarantee

    @property
    def training_curve(self) -> "TrainingCurve | None":
        """Losses during training: computed from real rows, not covered, never saved with a model."""
        return self._curve

    @property
    def default_rows(self) -> int:
        """Rows that `sample` draws by default: those of the declared number of patients."""
        state = self.state()
        shares = np.ones(1) if state.row_shares is None else state.row_shares
        return max(1, round(state.patients * float(shares @ np.arange(1, len(shares) + 1))))

    def state(self) -> FittedState | HistoryState:
        """Return the fitted state, or raise `ConfigError` before a fit."""
        if self._state is None:
            raise ConfigError("This synthesizer has not been fitted; call fit first, or load one.")
        return self._state

    @classmethod
    def from_state(
        cls, schema: Schema, state: FittedState | HistoryState, guarantee: Guarantee
    ) -> "Synthesizer":
        """Return a fitted synthesizer from its parts; it samples, and cannot be fitted further."""
        fitted = cls.__new__(cls)
        fitted.schema, fitted._state, fitted._guarantee = schema, state, guarantee
        fitted._settings, fitted._plan, fitted._test_seed = state.layout.settings, None, None
        fitted._curve = None
        return fitted

    def fit(
        self,
        frame: pd.DataFrame,
        progress: Progress | None = None,
        checkpoint: str | Path | None = None,
    ) -> "Synthesizer":
        """Learn from a table, whose rows are checked against the schema before the budget is spent.

        What was rounded, merged or left out in reading it, and what is odd about its patients, is said
        in warnings of kind `ReadingWarning`: they are private, as errors about a table are.

        Parameters
        ----------
        progress
            Called with the work at hand and the share of it that is done; by default, a bar on a
            terminal.
        checkpoint
            A folder that keeps what was released so far: the same call in a new process goes on
            after a stop, at no cost to the budget. Remove it once the model is saved: with it, the
            same call gives the same model again. Without a folder, or without privacy, nothing is
            kept and every call is a fit of its own.

        Raises
        ------
        ConfigError
            What was given is no data frame, or the model was loaded from a folder.
        DataError
            The table does not fit the schema, or has too few patients: nothing was spent. Or it is
            not the one that the checkpoint began with.
        OutputExistsError
            The checkpoint is of a fit with other settings, or another process is at work on it.
        ArtefactError
            The checkpoint is damaged.
        StorageError
            What was released could not be kept: nothing is handed out, and the same call goes on
            from what was kept before.

        Guarantee
        ---------
        (epsilon, delta)-differential privacy for adding or removing one patient, where a patient is
        all rows with one patientKey (or one row), for everything that the object holds afterwards
        except `training_curve`; and for the checkpoint at any time, together with it.
        """
        plan = self._plan
        if plan is None:
            raise ConfigError("A loaded model cannot be fitted again; make a new Synthesizer.")
        frame = check_frame(frame, "frame")
        codes, notes = encode_with_notes(frame, self.schema)
        warn_of_reading(frame, codes, notes, self.schema)
        folder = None if checkpoint is None else Path(checkpoint).resolve()
        test_mode = self._test_seed is not None
        with Checkpoint.at(folder, plan, test_mode=test_mode) as kept:
            mechanisms = self._mechanisms(plan)
            key = kept.row_key(mechanisms.stream.part("rows").take(KEY_BYTES))
            patients = group_by_patient(frame, self.schema, key)
            fewest = self._fewest_patients
            if len(patients) < fewest:
                raise DataError(
                    f"The table has {counted(len(patients), 'patient')}; a model needs at least "
                    f"{fewest}."
                )
            kept.check_table(key, codes, patients.rows)
            with given_or_console(progress) as show:
                job = Fit if self.schema.orderBy is None else FitVisits
                state, curve = job(plan, codes, patients, mechanisms, kept, fewest, show).run()
        self._guarantee = guarantee_of(
            plan.with_patients(state.patients), state.patients, test_mode=test_mode
        )
        self._state, self._curve = state, curve
        return self

    def _mechanisms(self, plan: Plan) -> Mechanisms:
        """Return the mechanisms of a fit, with a key of their own, since noise must not repeat."""
        return Mechanisms(RandomStream(self._test_seed), exact=not plan.is_private)

    def sample(
        self,
        rows: int | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Draw `rows` synthetic records, by default `default_rows`: post-processing.

        Parameters
        ----------
        where
            Conditions by column: a value, a list of categories, a pair (low, high) for numbers and
            dates, or None for missing. Records are drawn from the model given these, by
            importance resampling over the order of the columns, each of a patient of its own.
            Of visits in time, whole patients are drawn who meet the conditions: `"sex"` for a column
            that never changes, `"first:age"` for the first visit, `"any:admitted"` for any visit.
        seed
            The same seed and number of rows give the same records on every machine; by default
            from the operating system.

        Returns
        -------
        DataFrame
            Typed columns in the schema's order; identifiers are invented.

        Raises
        ------
        ConfigError
            The model is not fitted, or a condition names no column or an impossible value.
        """
        state = self.state()
        rows = self.default_rows if rows is None else check_positive_integer("rows", rows)
        seed = _checked_seed(seed)
        check_memory(rows, self.schema)
        if not isinstance(where, Mapping | None):
            raise ConfigError(
                f"where is {brief(where)}; give a mapping of columns to values, such as "
                "{'sex': 'female', 'age': (60, 80)}."
            )
        if isinstance(state, HistoryState):
            with one_blas_thread(), given_or_console(progress) as show:
                visits = state.sampler
                asked = parse_visit_conditions(where or {}, visits.timeline, visits.layout)
                codes, patients = draw_people(visits, rows, seed, show, asked)
            return with_identifiers(decode(codes, self.schema), self.schema, patients)
        conditions = parse_conditions(where or {}, self.schema, state.layout.marginals)
        sampler = Sampler(state.layout, state.weights, state.offsets)
        shared = sum(field.perPatient for field in self.schema.drawn)
        with one_blas_thread(), given_or_console(progress) as show:
            codes, patients = draw_records(
                sampler,
                self.schema.rule_set,
                conditions,
                state.row_shares,
                shared,
                rows,
                seed,
                show,
            )
        return with_identifiers(decode(codes, self.schema), self.schema, patients)

    def sample_given(
        self, frame: pd.DataFrame, *, seed: int | None = None, progress: Progress | None = None
    ) -> pd.DataFrame:
        """Return histories that are given, gone on with: each patient's visits, then drawn ones.

        A patient may have no further visit, as many as `maxRows` at most in all; who is without visits
        remains so. Keys stay as they are
        given; other identifiers are invented.

        Parameters
        ----------
        frame
            Patients with their visits so far, as the schema has them.
        seed
            As of `sample`.

        Guarantee
        ---------
        None for the patients of `frame`: their records stand in the result, and what is drawn follows
        from them. Unless they are synthetic, it is NOT FOR RELEASE.

        Raises
        ------
        ConfigError
            The model is not fitted, or its records are no visits in time.
        DataError
            The table does not fit the schema, or a patient has more visits than `maxRows`.
        """
        state, schema = self.state(), self.schema
        if not isinstance(state, HistoryState):
            raise ConfigError(
                "The model's rows are in no order, so nothing follows given ones: only a model whose "
                "schema has orderBy goes on from histories."
            )
        seed = _checked_seed(seed)
        frame = check_frame(frame, "frame")
        codes = encode(frame, schema)
        whose, names = pd.factorize(identify_patients(frame, schema))
        most = int(np.bincount(whose).max(initial=0))
        if not len(names) or most > schema.rows_per_patient:
            raise DataError(
                f"The table has {'no patient' if not most else f'a patient with {most} visits'}; the "
                f"model goes on from 1 to {schema.rows_per_patient} (maxRows): leave out what is beyond."
            )
        check_memory(len(names) * schema.rows_per_patient, schema)
        rows = group_by_patient(frame, schema).rows
        with one_blas_thread(), given_or_console(progress) as show:
            codes, patients = draw_continued(state.sampler, codes, rows, seed, show)
        drawn = with_identifiers(decode(codes, schema), schema, patients)
        firsts = rows[patients, 0]
        for name in schema.key_columns:
            keys = frame[name].iloc[firsts].reset_index(drop=True)
            drawn[name] = pd.to_numeric(keys) if schema[name].is_number else keys
        return drawn

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the model to a folder: safetensors and JSON, with nothing of the real rows.

        Raises
        ------
        OutputExistsError
            The folder exists and `force` is not given.
        """
        save_model(SavedModel(self.state(), self.schema, self.guarantee), Path(path), force)

    @classmethod
    def load(cls, path: str | Path) -> "Synthesizer":
        """Read a model from a folder.

        Raises
        ------
        ArtefactError
            The folder holds no model, a damaged one, or one of another version.
        """
        saved = load_model(Path(path))
        return cls.from_state(saved.schema, saved.state, saved.guarantee)


def _checked_seed(seed: object) -> int:
    """Return a seed as a number, by default one from the operating system."""
    seed = secrets.randbits(63) if seed is None else seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number of at least 0.")
    return int(seed)


def check_memory(rows: int, schema: Schema) -> None:
    """Raise `ConfigError` for more rows than this machine's memory holds."""
    needed = rows * len(schema.fields) * BYTES_PER_CELL
    memory = machine_memory()
    if memory is not None and needed > memory:
        raise ConfigError(
            f"rows is {rows}, which need about {needed / 2**30:.3g} GB of memory; this "
            f"machine has {memory / 2**30:.3g}: draw fewer at a time, each with a seed of its own."
        )
