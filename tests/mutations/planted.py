"""Bugs that would void the guarantee, planted one at a time in the real code, each at one place.

The first nine are those that the project promises to notice. Most were found in some published
synthesizer or training loop; the others sit where our own code could break in the same way.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import synthvae.baselines.plain_vae as plain_vae_module
import synthvae.fit as fit_module
import synthvae.fit_visits as fit_visits_module
import synthvae.pipeline as pipeline_module
import synthvae.privacy.mechanisms as mechanisms_module
import synthvae.synthesizer as synthesizer_module
from synthvae._types import Ints
from synthvae.errors import StorageError
from synthvae.marginals import interactions as interactions_module
from synthvae.marginals import measure as measure_module
from synthvae.marginals import visit_counts as visit_counts_module
from synthvae.marginals.interactions import InteractionQuery
from synthvae.marginals.moments import PairQuery
from synthvae.marginals.visit_moments import MARGIN, VisitQuery
from synthvae.model import training as training_module
from synthvae.model.clipping import ACTIVATION_STEP, GhostClippedModule
from synthvae.model.training import GaussianOptimizer, PrivateTraining
from synthvae.model.vae import MaskedLinear
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.storage.checkpoint import Checkpoint
from synthvae.synthesizer import Synthesizer
from synthvae.table import PatientRows
from synthvae.table import patients as patients_module
from synthvae.table.cells import RawColumn
from synthvae.table.codes import column_codes, inspect
from synthvae.table.patients import SplitKey, derived_key
from synthvae.timeline import Timeline

Patch = pytest.MonkeyPatch
DECODER = slice(4, 6)  # weights and biases of the decoder's layer, among those that are trained


@dataclass(frozen=True)
class Bug:
    """A bug that can be planted: its name, what it breaks, and how."""

    name: str
    breaks: str
    plant: Callable[[Patch], None]


BUGS: dict[str, Bug] = {}


def bug(breaks: str) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Add a function that plants a bug to the list, under its own name."""

    def add(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
        name = plant.__name__.replace("_", " ")
        BUGS[name] = Bug(name, breaks, plant)
        return plant

    return add


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Run with one bug, or with none."""
    with Patch.context() as patch:
        if name is not None:
            BUGS[name].plant(patch)
        yield


@bug("one layer's gradients leave the training without noise")
def no_noise_on_one_layer(patch: Patch) -> None:
    add_noise = GaussianOptimizer.add_noise

    def without(self: GaussianOptimizer) -> None:
        add_noise(self)
        for weight in self.params[DECODER]:
            weight.grad = (weight.summed_grad / self._stage.expected_batch).float()

    patch.setattr(GaussianOptimizer, "add_noise", without)


@bug("gradients get half the noise that is accounted for")
def half_the_noise(patch: Patch) -> None:
    release = Mechanisms.gaussian

    def halved(self: Mechanisms, sums: np.ndarray, training: Any) -> np.ndarray:
        half = {"noise_multiplier": training.noise_multiplier / 2}
        return release(self, sums, training.model_copy(update=half))

    patch.setattr(Mechanisms, "gaussian", halved)


@bug("a patient moves one parameter without limit")
def no_clipping_of_one_parameter(patch: Patch) -> None:
    clip = GhostClippedModule._clipped_parts

    def but_one(self: GhostClippedModule) -> Any:
        passed = list(self._passed)
        clipped = clip(self)
        return [
            (layer, inputs.double() / ACTIVATION_STEP, backprops.double() / self._step)
            if layer is self._module.loadings
            else part
            for part, (layer, inputs, backprops) in zip(clipped, passed, strict=True)
        ]

    patch.setattr(GhostClippedModule, "_clipped_parts", but_one)


@bug("one extreme record shows in every bin and in the range of what is made")
def bounds_from_data(patch: Patch) -> None:
    fit = Synthesizer.fit

    def fit_within(self: Synthesizer, frame: pd.DataFrame, *more: Any, **named: Any) -> Synthesizer:
        assert self._plan is not None
        self.schema = _tightened(self.schema, frame)
        self._plan = replace(self._plan, schema=self.schema)
        return fit(self, frame, *more, **named)

    patch.setattr(Synthesizer, "fit", fit_within)


def _tightened(schema: Schema, frame: pd.DataFrame) -> Schema:
    """Return a schema whose numbers end at the table's largest."""
    codes = inspect(frame, schema).codes
    largest = {f.name: int(codes[:, j].max()) for j, f in enumerate(schema.modelled)}
    fields = []
    for field in schema.fields:
        if field.type in ("integer", "number") and field.is_lattice and largest[field.name] > 0:
            low, step = float(field.constraints.minimum or 0), 10.0 ** -(field.decimals or 0)
            bound = round(low + largest[field.name] * step, 6)
            limits = field.constraints.model_copy(update={"maximum": bound})
            fields.append(field.model_copy(update={"constraints": limits}))
        else:
            fields.append(field)
    return Schema.from_dict(schema.replace(fields=tuple(fields)).to_dict())


@bug("fixed batches from a shuffled table lack the amplification that is accounted for")
def shuffled_batches_accounted_as_Poisson(patch: Patch) -> None:
    orders: dict[int, list[int]] = {}

    def next_batch(self: RandomStream, count: int, probability: float) -> np.ndarray:
        size = round(count * probability)
        order = orders.setdefault(id(self), [])
        if len(order) < size:
            order[:] = np.argsort(self.words(count)).tolist()
        drawn = np.zeros(count, bool)
        drawn[order[:size]] = True
        del order[:size]
        return drawn

    patch.setattr(RandomStream, "bernoulli", next_batch)


def _with_stage(patch: Patch, change: Callable[[Any, Any], dict[str, float]]) -> None:
    train = training_module.train_privately

    def changed(layout: Any, data: Any, stage: Any, *more: Any) -> Any:
        return train(layout, data, stage.model_copy(update=change(data, stage)), *more)

    patch.setattr(training_module, "train_privately", changed)


@bug("the true number of patients shows in every weight")
def a_normaliser_from_the_true_n(patch: Patch) -> None:
    _with_stage(patch, lambda data, s: {"expected_batch": s.sampling_rate * len(data)})


@bug("training looks at the data once more than is accounted for")
def one_step_unaccounted(patch: Patch) -> None:
    _with_stage(patch, lambda data, stage: {"steps": stage.steps + 1})


@bug("whoever knows the seed subtracts the noise")
def fixed_noise_seed(patch: Patch) -> None:
    make = RandomStream.__init__

    def seeded(self: RandomStream, test_seed: int | None = None) -> None:
        make(self, 0 if test_seed is None else test_seed)
        self.is_secure = test_seed is None

    patch.setattr(RandomStream, "__init__", seeded)


@bug("a margin is measured twice and averaged, and paid for once")
def an_anchor_released_twice(patch: Patch) -> None:
    count = measure_module._Counter.count

    def twice(self: Any, starts: np.ndarray) -> Any:
        noises = list(self._noise_multipliers)
        first = count(self, starts)
        if self._noise_multipliers:
            return first  # the last count of a column alone
        self._noise_multipliers[:] = noises
        second = count(self, starts)
        return replace(first, values=np.mean([one.values for one in (first, second)], axis=0))  # noqa: PD011

    patch.setattr(measure_module._Counter, "count", twice)


@bug("one parameter's part of a patient's norm is not in the norm that is clipped")
def a_norm_left_out(patch: Patch) -> None:
    samplers = GhostClippedModule.NORM_SAMPLERS
    find = samplers[MaskedLinear]

    def without(layer: MaskedLinear, *passed: Any) -> dict[Any, torch.Tensor]:
        return {weight: torch.zeros_like(norm) for weight, norm in find(layer, *passed).items()}

    patch.setitem(samplers, MaskedLinear, without)


@bug("one patient who overflows takes everybody out of the batch")
def an_overflow_that_spoils_the_batch(patch: Patch) -> None:
    find = GhostClippedModule.get_clipping_coef

    def all_or_none(self: GhostClippedModule) -> torch.Tensor:
        factors = find(self)
        return factors * bool((factors > 0).all())

    patch.setattr(GhostClippedModule, "get_clipping_coef", all_or_none)


@bug("a step that takes no noise tells that nobody was drawn")
def empty_batches_left_out(patch: Patch) -> None:
    take_step = PrivateTraining._take_step

    def unless_empty(self: PrivateTraining, *arguments: Any) -> float:
        return take_step(self, *arguments) if len(arguments[2]) else 0.0

    patch.setattr(PrivateTraining, "_take_step", unless_empty)


@bug("the learning rate falls when the private loss rises: a look that nobody pays for")
def a_learning_rate_that_follows_the_loss(patch: Patch) -> None:
    take_step = PrivateTraining._take_step
    losses: list[float] = []

    def slower(self: PrivateTraining, *arguments: Any) -> float:
        if len(losses) > 1 and losses[-1] > losses[-2]:
            arguments[1].param_groups[0]["lr"] *= 0.5
        total = take_step(self, *arguments)
        losses.append(total / max(len(arguments[2]), 1))
        return total

    patch.setattr(PrivateTraining, "_take_step", slower)


@bug("counts get the noise for one row where a patient has several")
def counts_for_one_row_a_patient(patch: Patch) -> None:
    measured = fit_module.measure_marginals

    def for_one(codes: Any, fields: Any, noises: Any, bins: int, _: int, *more: Any) -> Any:
        return measured(codes, fields, noises, bins, 1, *more)

    patch.setattr(fit_module, "measure_marginals", for_one)


@bug("a patient with many rows counts with all of them")
def rows_that_are_not_capped(patch: Patch) -> None:
    group = synthesizer_module.group_by_patient

    def keep_all(frame: pd.DataFrame, schema: Schema, *more: Any) -> Any:
        wide = schema if schema.patientKey is None else schema.replace(maxRows=30)
        return group(frame, wide, *more)

    patch.setattr(synthesizer_module, "group_by_patient", keep_all)


@bug("an unusual patient moves the pair moments without limit")
def moments_without_a_bound(patch: Patch) -> None:
    sums = PairQuery._sums

    def unbounded(self: PairQuery, features: Any, rows: Any, bound: float) -> Any:
        return sums(self, features, rows, np.inf)

    patch.setattr(PairQuery, "_sums", unbounded)


@bug("an unusual patient moves the moments of three and four columns without limit")
def interactions_without_a_bound(patch: Patch) -> None:
    patch.setattr(interactions_module, "_shares", lambda part, _bound: np.ones(len(part)))


@bug("moments of three and four columns get noise for half of what a patient may add")
def half_the_sensitivity_of_interactions(patch: Patch) -> None:
    whole = vars(InteractionQuery)["sensitivity"].fget
    patch.setattr(InteractionQuery, "sensitivity", property(lambda self: whole(self) // 2))


@bug("moments of three and four columns are released with hardly any noise")
def interactions_without_noise(patch: Patch) -> None:
    release = InteractionQuery.release

    def nearly(self: InteractionQuery, features: Any, rows: Any, noise: float, *more: Any) -> Any:
        return release(self, features, rows, noise / 1000, *more)

    patch.setattr(InteractionQuery, "release", nearly)


@bug("a count gets a rounded float for noise, with a floating-point side channel")
def rounded_noise_for_counts(patch: Patch) -> None:
    def rounded(exact: np.ndarray, sigma: float, stream: RandomStream) -> np.ndarray:
        noise = np.rint(stream.normal(exact.size) * sigma).astype(np.int64)
        return exact + noise.reshape(exact.shape)

    patch.setattr(mechanisms_module, "add_discrete_gaussian", rounded)


@bug("the log that is released holds a figure of the data")
def a_private_figure_in_the_log(patch: Patch) -> None:
    promise = synthesizer_module.guarantee_of
    size = training_module.PatientTensor.__len__
    found: list[int] = []

    def note(self: training_module.PatientTensor) -> int:
        found.append(size(self))
        return found[-1]

    def with_figure(*arguments: Any, **named: Any) -> Any:
        made = promise(*arguments, **named)
        return made.model_copy(update={"software": made.software | {"rows": str(found[-1])}})

    patch.setattr(training_module.PatientTensor, "__len__", note)
    patch.setattr(synthesizer_module, "guarantee_of", with_figure)


class _Torch:
    """Normal draws of torch's generator, of whose seed 32 bits count."""

    def __init__(self, word: int) -> None:
        self.generator = torch.Generator().manual_seed(word >> 1)

    def normal(self, count: int) -> np.ndarray:
        return torch.randn(count, generator=self.generator).double().numpy()


def _parts_of_torch(patch: Patch, names: tuple[str, ...]) -> None:
    part = RandomStream.part

    def seeded(self: RandomStream, name: str) -> Any:
        found = part(self, name)
        return _Torch(int(found.words(1)[0])) if name in names else found

    patch.setattr(RandomStream, "part", seeded)


@bug("latents and first weights follow from 32 bits, which a released model gives away")
def latents_from_a_seed_of_torch(patch: Patch) -> None:
    _parts_of_torch(patch, ("latents", "first weights"))


@bug("the latents of the plain VAE follow from 32 bits")
def latents_of_the_plain_VAE_from_a_seed_of_torch(patch: Patch) -> None:
    train = plain_vae_module._train

    def seeded(*arguments: Any) -> Any:
        with Patch.context() as inner:
            _parts_of_torch(inner, ("latents",))
            return train(*arguments)

    patch.setattr(plain_vae_module, "_train", seeded)


@bug("one patient more shifts everybody's noise, since all draws follow each other")
def one_stream_for_all_draws(patch: Patch) -> None:
    patch.setattr(RandomStream, "part", lambda self, _name: self)


@bug("a long training meets the same numbers again")
def a_counter_that_runs_out(patch: Patch) -> None:
    begin = RandomStream._begin

    def again(self: RandomStream, key: bytes) -> None:
        begin(self, getattr(self, "_key", key))

    patch.setattr(RandomStream, "_begin", again)


@bug("one patient's cell changes how others' cells are read")
def cells_read_beside_others(patch: Patch) -> None:
    factorize = RawColumn.factorize

    def by_equality(self: RawColumn) -> None:
        if self.places is None and self.cells.dtype == object:
            places, distinct = pd.factorize(self.cells)
            self.places, self.distinct = places.astype(np.int64), list(distinct)
        factorize(self)

    patch.setattr(RawColumn, "factorize", by_equality)


@bug("a fit that its folder does not hold is handed out, and a second one can follow")
def a_fit_that_can_be_released_twice(patch: Patch) -> None:
    keep = Checkpoint.keep

    def if_it_can_be(self: Checkpoint, released: Any) -> None:
        with contextlib.suppress(StorageError):
            keep(self, released)

    patch.setattr(Checkpoint, "keep", if_it_can_be)


@bug("which rows of a patient are used tells who else is in the table")
def kept_rows_that_hang_on_others(patch: Patch) -> None:
    def shuffled(frame: pd.DataFrame, schema: Schema, key: bytes | None = None) -> PatientRows:
        order = np.random.default_rng(list(key or b"")).permutation(len(frame))
        return _first_rows_of(frame, schema, order)

    for module in (patients_module, synthesizer_module):
        patch.setattr(module, "group_by_patient", shuffled)


@bug("which visits of a patient are used follows from the days on which the others came")
def kept_visits_by_others_values(patch: Patch) -> None:
    def around_the_middle(
        frame: pd.DataFrame, schema: Schema, key: bytes | None = None
    ) -> PatientRows:
        if schema.orderBy is None:
            return group(frame, schema, key)
        times = column_codes(frame, schema, schema.orderBy.column)
        return _first_rows_of(frame, schema, np.argsort(np.abs(times - np.mean(times))))

    group = patients_module.group_by_patient
    for module in (patients_module, synthesizer_module):
        patch.setattr(module, "group_by_patient", around_the_middle)


def _first_rows_of(frame: pd.DataFrame, schema: Schema, order: Ints) -> PatientRows:
    """Return each patient's first rows in an order of all rows, as many as are kept."""
    whose, _ = pd.factorize(frame[schema.patientKey])
    rows = np.full((whose.max() + 1, schema.rows_per_patient), -1, np.int64)
    for patient, mine in pd.Series(order).groupby(whose[order]):
        kept = mine.to_numpy()[: schema.rows_per_patient]
        rows[patient, : len(kept)] = kept  # type: ignore[index]
    return PatientRows(rows)


def _counts_of_visits(patch: Patch, change: Callable[..., tuple[Any, int]]) -> None:
    """Change what is counted together of visits, and for how many of a patient: `change` says how."""
    measure, marginals = fit_visits_module.measure_visits, visit_counts_module.measure_marginals

    def changed(timeline: Timeline, codes: Ints, *more: Any) -> Any:
        def counted(part: Ints, fields: Any, noises: Any, bins: int, most: int, door: Any) -> Any:
            part, most = change(timeline, codes, part, most)
            return marginals(part, fields, noises, bins, most, door)

        with Patch.context() as inner:
            inner.setattr(visit_counts_module, "measure_marginals", counted)
            return measure(timeline, codes, *more)

    patch.setattr(fit_visits_module, "measure_visits", changed)


@bug("times between visits get the noise for one of them where a patient has several")
def a_lag_counted_for_one_row(patch: Patch) -> None:
    def for_one(timeline: Timeline, _: Ints, part: Ints, most: int) -> tuple[Ints, int]:
        return part, 1 if most == timeline.schema.rows_per_patient - 1 else most

    _counts_of_visits(patch, for_one)


@bug("what never changes is counted at every visit, with the noise for one")
def static_columns_counted_by_visit(patch: Patch) -> None:
    def by_visit(timeline: Timeline, codes: Ints, part: Ints, most: int) -> tuple[Ints, int]:
        return (codes[:, : timeline.static] if most == 1 else part), most

    _counts_of_visits(patch, by_visit)


@bug("the longest time between two visits in the table shows in every bin of such times")
def a_gaps_bounds_from_the_data(patch: Patch) -> None:
    fit = Synthesizer.fit

    def fit_within(self: Synthesizer, frame: pd.DataFrame, *more: Any, **named: Any) -> Synthesizer:
        order, plan = self.schema.orderBy, self._plan
        if order is not None and plan is not None:
            times = frame.sort_values([order.column]).groupby(self.schema.patientKey)[order.column]
            gap = order.gap.model_copy(update={"maximum": float(times.diff().max())})
            declared = {"column": order.column, "gap": gap.model_dump()}
            self.schema = self.schema.replace(orderBy=declared)
            self._plan = replace(plan, schema=self.schema)
        return fit(self, frame, *more, **named)

    patch.setattr(Synthesizer, "fit", fit_within)


@bug("an unusual patient moves the moments of visits without limit")
def moments_of_visits_without_a_bound(patch: Patch) -> None:
    patch.setattr(VisitQuery, "_shares", lambda _self, part: np.ones(len(part)))


@bug("products of a visit with the one before it are not in the norm that is bounded")
def lags_left_out_of_the_norm(patch: Patch) -> None:
    def without(self: VisitQuery, part: Any) -> Any:
        ends = np.cumsum(list(self.sizes.values()))
        blocks = dict(zip(self.sizes, np.split(part, ends[:-1], axis=1), strict=True))
        norms = np.linalg.norm(
            np.concatenate([block for name, block in blocks.items() if name != "step"], axis=1),
            axis=1,
        )
        return np.minimum(1.0, self.bound * MARGIN / np.maximum(norms, 1e-300))

    patch.setattr(VisitQuery, "_shares", without)


@bug("whoever knows the published seed and an identifier knows who was trained on")
def a_split_by_the_published_seed(patch: Patch) -> None:
    def by_seed(_folder: Any, config: Any, **_: Any) -> SplitKey:
        return SplitKey(key=derived_key(config.seed).hex())

    patch.setattr(pipeline_module, "kept_split_key", by_seed)


@bug("sums over many patients are rounded, and one patient more moves them by more than the bound")
def sums_in_single_precision(patch: Patch) -> None:
    def add(weight: Any, part: torch.Tensor) -> None:
        before = 0.0 if weight.summed_grad is None else weight.summed_grad.float()
        weight.summed_grad = (before + part.float()).double()

    patch.setattr(GhostClippedModule, "_add", staticmethod(add))
