"""The synthesizer: the one place where schema, anchors, training and sampling meet."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae._checkpoint_file import Released
from synthvae._checks import check_positive_integer
from synthvae._memory import machine_memory
from synthvae._progress import Progress, given_or_console
from synthvae._threads import one_blas_thread
from synthvae.anchors import PairQuery, measure_anchors
from synthvae.artefact import SavedModel, load_model, save_model
from synthvae.checkpoint import KEY_BYTES, WORDS, Checkpoint
from synthvae.errors import ConfigError, DataError
from synthvae.model.calibration import calibrate_margins
from synthvae.model.conditions import parse_conditions
from synthvae.model.coupling import Bounding, couple, couple_untrained
from synthvae.model.layout import Layout
from synthvae.model.records import draw_records
from synthvae.model.sampling import Sampler
from synthvae.model.state import FittedState
from synthvae.plan import Plan, make_plan
from synthvae.privacy.counts import noisy_counts
from synthvae.privacy.guarantee import Guarantee
from synthvae.privacy.stream import RandomStream
from synthvae.promise import promise
from synthvae.schema import Schema
from synthvae.settings import Settings
from synthvae.table import PatientRows, decode, encode, group_by_patient

if TYPE_CHECKING:
    from synthvae.model.training import TrainingCurve

FEWEST_PATIENTS = 10
BEFORE = 0.75  # of the time that coupling takes under a budget passes before training
BYTES_A_CELL = 40  # while sampling: codes, drawn values, the frame
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Synthesizer:
    """A tabular variational autoencoder trained under differential privacy.

    Parameters
    ----------
    schema
        Public facts about the table.
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

    def __init__(
        self,
        schema: Schema,
        epsilon: float | None,
        delta: float | None = None,
        *,
        settings: Settings | None = None,
        test_seed: int | None = None,
    ) -> None:
        if schema.patients is not None and schema.patients < FEWEST_PATIENTS:
            raise ConfigError(
                f"patients is {schema.patients}; a model needs at least {FEWEST_PATIENTS} patients."
            )
        self.schema = schema
        self._plan: Plan | None = make_plan(schema, epsilon, delta, settings)
        self._settings = self._plan.settings
        self._test_seed = test_seed
        self._state: FittedState | None = None
        self._guarantee: Guarantee | None = None
        self._curve: TrainingCurve | None = None

    @property
    def settings(self) -> Settings:
        """Sizes and schedule of the fit: public."""
        return self._settings

    @property
    def guarantee(self) -> Guarantee:
        """What is promised about the fitted model, with the log to recompute it from."""
        self.state()
        assert self._guarantee is not None
        return self._guarantee

    @property
    def training_curve(self) -> "TrainingCurve | None":
        """Losses during training: computed from real rows, not covered, never saved with a model."""
        return self._curve

    @property
    def default_rows(self) -> int:
        """Rows that `sample` makes unless told: those of the declared number of patients."""
        state = self.state()
        per_patient = 1.0
        if state.row_shares is not None:
            per_patient = float(state.row_shares @ np.arange(1, len(state.row_shares) + 1))
        return max(1, round(state.patients * per_patient))

    def state(self) -> FittedState:
        """Return what the fit left behind, or raise `ConfigError` before there was one."""
        if self._state is None:
            raise ConfigError("This synthesizer has not been fitted; call fit first, or load one.")
        return self._state

    @classmethod
    def from_state(cls, schema: Schema, state: FittedState, guarantee: Guarantee) -> "Synthesizer":
        """Return a fitted synthesizer from its parts; it samples, and cannot be fitted further."""
        made = cls.__new__(cls)
        made.schema, made._state, made._guarantee, made._curve = schema, state, guarantee, None
        made._test_seed, made._settings, made._plan = None, state.layout.settings, None
        return made

    def fit(
        self,
        frame: pd.DataFrame,
        progress: Progress | None = None,
        checkpoint: str | Path | None = None,
    ) -> "Synthesizer":
        """Learn from a table; the only place where the budget is spent.

        Parameters
        ----------
        frame
            The table, as it was read; every row is checked against the schema first.
        progress
            Called with what is being done and how much of it is done, from 0 to 1; by default, a
            bar on a terminal.
        checkpoint
            A folder in which what was released so far is kept, so that the same call in a new
            process goes on after a stop, at no cost to the budget. Remove it once the model is
            saved: with it, the same call gives the same model again. Without privacy nothing is
            kept. Without a folder nothing is kept either, and every call is a fit of its own.

        Raises
        ------
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
        codes = encode(frame, self.schema)
        folder = None if checkpoint is None else Path(checkpoint).resolve()
        test_mode = self._test_seed is not None
        with Checkpoint.at(folder, plan, test_mode=test_mode) as kept:
            # A key of its own for each process: noise is never drawn twice from one.
            stream = RandomStream(self._test_seed)
            key = kept.key_of_rows(stream.part("rows").take(KEY_BYTES))
            patients = group_by_patient(frame, self.schema, key)
            if len(patients) < FEWEST_PATIENTS:
                raise DataError(
                    f"The table has {len(patients)} patient{'' if len(patients) == 1 else 's'}; a "
                    f"model needs at least {FEWEST_PATIENTS}."
                )
            kept.check_table(key, codes, patients.rows)
            with given_or_console(progress) as show:
                state, curve = self._learn(plan, codes, patients, stream, kept, show)
        self._guarantee = promise(
            plan.with_patients(state.patients), state.patients, test_mode=test_mode
        )
        self._state, self._curve = state, curve
        return self

    def _learn(
        self,
        plan: Plan,
        codes: Ints,
        patients: PatientRows,
        stream: RandomStream,
        kept: Checkpoint,
        progress: Progress,
    ) -> tuple[FittedState, "TrainingCurve | None"]:
        """Measure, train and calibrate, in this order: the plan's releases and nothing else.

        Each release is made once, and kept before the next; what an earlier process kept is not
        made again. The model is kept before it is returned.
        """
        if kept.released is not None:
            progress(f"going on {WORDS[kept.released.stage]}", 1.0)
        else:
            kept.keep(self._measure(plan, codes, patients, stream.part("counts"), progress))
        assert kept.released is not None
        if kept.released.model is not None:
            return kept.released.model, None
        counts = kept.released
        layout = Layout.build(list(counts.anchors), self.schema.modelled, plan.settings)
        plan = plan.with_patients(counts.patients)
        features = layout.record_features(layout.tokens(codes))

        def show_coupling(done: float) -> None:
            progress("coupling columns", done)

        with one_blas_thread():
            query = PairQuery.build(
                layout.owner,
                layout.order,
                plan.settings.taper,
                self.schema.rows_per_patient,
                plan.settings.pair_bound,
            )
            moments = counts.moments
            if moments is None:
                noise = plan.pair_noise
                moments = query.release(features, patients.rows, noise, stream.part("moments"))
                kept.keep(replace(counts, moments=moments))
            shared = sum(field.perPatient for field in self.schema.modelled)
            bounding = Bounding(query, counts.row_shares, shared) if plan.is_private else None
            start, moments, ridge = couple_untrained(
                layout, moments, bounding, lambda done: show_coupling(BEFORE * done)
            )
        weights, curve = self._train(
            plan, layout, features, patients, stream.part("training"), start, progress
        )
        with one_blas_thread():
            weights = couple(
                layout,
                moments,
                ridge,
                weights,
                lambda done: show_coupling(BEFORE + (1 - BEFORE) * done),
            )
            offsets = calibrate_margins(
                layout, weights, lambda done: progress("calibrating margins", done)
            )
        state = FittedState(layout, weights, offsets, counts.row_shares, counts.patients)
        kept.keep(Released.finished(state))
        return state, curve

    def _measure(
        self,
        plan: Plan,
        codes: Ints,
        patients: PatientRows,
        stream: RandomStream,
        progress: Progress,
    ) -> Released:
        """Take the noisy counts: of patients, of columns, of patients by their rows."""
        progress("measuring anchors", 0.0)
        counted = self._count_patients(patients, stream)
        scale = self.schema.rows_per_patient
        anchors = measure_anchors(
            codes[patients.kept],
            self.schema.modelled,
            tuple(tuple(scale * noise for noise in column) for column in plan.column_noise),
            plan.settings.bins,
            stream,
            lambda done: progress("measuring anchors", done),
        )
        return Released(tuple(anchors), self._count_rows(patients, stream), counted)

    def _count_patients(self, patients: PatientRows, stream: RandomStream) -> int:
        """Return the declared number of patients, or a noisy count where none is declared."""
        if self.schema.patients is not None:
            return self.schema.patients
        counted = np.array([len(patients)], np.int64)
        if self._plan is not None and self._plan.count_noise is not None:
            counted = noisy_counts(counted, self._plan.count_noise, stream)
        return max(FEWEST_PATIENTS, int(counted[0]))

    def _count_rows(self, patients: PatientRows, stream: RandomStream) -> Floats | None:
        """Return the noisy shares of patients with 1, 2, ... rows."""
        if self.schema.patientKey is None:
            return None
        most = self.schema.rows_per_patient
        rows = np.bincount(patients.present.sum(axis=1), minlength=most + 1)[1:]
        if self._plan is not None and self._plan.rows_noise:
            rows = noisy_counts(rows, self._plan.rows_noise, stream)
        shares = np.maximum(rows, 0).astype(float)
        shares = shares if shares.sum() > 0 else np.ones(most)
        normalised: Floats = shares / shares.sum()
        return normalised

    def _train(
        self,
        plan: Plan,
        layout: Layout,
        features: Floats,
        patients: PatientRows,
        stream: RandomStream,
        start: dict[str, Floats],
        progress: Progress,
    ) -> tuple[dict[str, Floats], "TrainingCurve"]:
        progress("training", 0.0)
        # torch takes seconds to import: only training needs it.
        from synthvae.model.open_training import train_openly
        from synthvae.model.training import PatientTensor, one_torch_thread, train_privately

        data = PatientTensor(features, patients.rows, layout.settings.latent)

        def show(step: int, steps: int) -> None:
            progress("training", step / steps)

        with one_torch_thread():
            if plan.training is None:
                seed = int(stream.words(1)[0] >> np.uint64(33))
                found = train_openly(layout, data, seed, start, show)
            else:
                found = train_privately(layout, data, plan.training, stream, start, show)
        progress("training", 1.0)
        return found

    def sample(
        self,
        rows: int | None = None,
        *,
        where: Mapping[str, Any] | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> pd.DataFrame:
        """Draw synthetic records: post-processing, which costs no privacy.

        Parameters
        ----------
        rows
            How many; the declared table's by default.
        where
            Conditions by column: a value, a list of categories, a pair (low, high) for numbers and
            dates, or None for missing. Records are drawn from the model given these, by
            importance resampling over the order of the columns, each of a patient of its own.
        seed
            The same seed and number of rows give the same records on every machine; drawn from the
            operating system where none is given.

        Returns
        -------
        DataFrame
            Typed columns in the schema's order; identifiers are made up.

        Raises
        ------
        ConfigError
            The model is not fitted, or a condition names no column or an impossible value.
        """
        state = self.state()
        rows = self.default_rows if rows is None else check_positive_integer("rows", rows)
        seed = secrets.randbits(63) if seed is None else seed
        check_memory(rows, self.schema)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ConfigError(f"seed is {seed!r}; it must be a whole number of at least 0.")
        conditions = parse_conditions(where or {}, self.schema, state.layout.anchors)
        sampler = Sampler(state.layout, state.weights, state.offsets)
        shared = sum(field.perPatient for field in self.schema.modelled)
        with one_blas_thread(), given_or_console(progress) as show:
            codes, patients = draw_records(
                sampler, conditions, state.row_shares, shared, rows, int(seed), show
            )
        return self._with_identifiers(decode(codes, self.schema), patients)

    def _with_identifiers(self, frame: pd.DataFrame, patients: Ints) -> pd.DataFrame:
        """Add made-up identifiers, numbered from 1, and put the columns in the schema's order."""
        columns = {}
        for field in self.schema.fields:
            if field.name not in self.schema.identifiers:
                columns[field.name] = frame[field.name]
                continue
            of_patients = field.name == self.schema.patientKey
            number = (patients if of_patients else np.arange(len(frame))) + 1
            if field.type in ("integer", "number"):
                columns[field.name] = pd.Series(number)
            else:
                columns[field.name] = pd.Series([f"synthetic-{i:07d}" for i in number])
        return pd.DataFrame(columns)

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


def check_memory(rows: int, schema: Schema) -> None:
    """Raise `ConfigError` for more rows than this machine's memory holds."""
    needed = rows * len(schema.fields) * BYTES_A_CELL
    memory = machine_memory()
    if memory is not None and needed > memory:
        raise ConfigError(
            f"rows is {rows}; so many need about {needed / 2**30:.3g} GB of memory, and this machine "
            f"has {memory / 2**30:.3g}: make fewer at a time, each with a seed of its own."
        )
