"""Bugs that would void the guarantee, planted one at a time in the real code, each at one place.

The first nine are those that the project promises to notice. Most were found in some published
synthesizer or training loop; the others sit where our own code could break in the same way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import synthvae.synthesizer as synthesizer_module
from synthvae.anchors import PairQuery
from synthvae.anchors import measure as measure_module
from synthvae.model import training as training_module
from synthvae.model.ghost import GhostClippedModule
from synthvae.model.training import StreamNoiseOptimizer
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.synthesizer import Synthesizer
from synthvae.table.codes import inspect

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
    add_noise = StreamNoiseOptimizer.add_noise

    def without(self: StreamNoiseOptimizer) -> None:
        add_noise(self)
        for weight in self.params[DECODER]:
            weight.grad = weight.summed_grad / self._stage.expected_batch

    patch.setattr(StreamNoiseOptimizer, "add_noise", without)


@bug("gradients get half the noise that is accounted for")
def half_the_noise(patch: Patch) -> None:
    make = StreamNoiseOptimizer.__init__

    def halved(self: StreamNoiseOptimizer, *arguments: Any) -> None:
        make(self, *arguments)
        self.noise_multiplier /= 2

    patch.setattr(StreamNoiseOptimizer, "__init__", halved)


@bug("a patient moves one parameter without limit")
def no_clipping_of_one_parameter(patch: Patch) -> None:
    clip = GhostClippedModule.sum_clipped

    def but_one(self: GhostClippedModule) -> None:
        passed = list(self._passed)
        clip(self)
        for layer, inputs, backprops in passed:
            if layer is self._module.loadings:
                flat = backprops.flatten(end_dim=-2)
                layer.weight.grad = flat.T @ inputs.flatten(end_dim=-2)

    patch.setattr(GhostClippedModule, "sum_clipped", but_one)


@bug("one extreme record shows in every bin and in the range of what is made")
def bounds_from_data(patch: Patch) -> None:
    fit = Synthesizer.fit

    def fit_within(self: Synthesizer, frame: pd.DataFrame, *more: Any, **named: Any) -> Synthesizer:
        self.schema = _tightened(self.schema, frame)
        return fit(self, frame, *more, **named)

    patch.setattr(Synthesizer, "fit", fit_within)


def _tightened(schema: Schema, frame: pd.DataFrame) -> Schema:
    """Return a schema whose numbers end at the table's largest."""
    codes, _, _ = inspect(frame, schema)
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
        sigmas = list(self._sigmas)
        first = count(self, starts)
        if self._sigmas:
            return first  # the last count of a column alone
        self._sigmas[:] = sigmas
        second = count(self, starts)
        return replace(first, values=np.mean([one.values for one in (first, second)], axis=0))  # noqa: PD011

    patch.setattr(measure_module._Counter, "count", twice)


@bug("one parameter's part of a patient's norm is not in the norm that is clipped")
def a_norm_left_out(patch: Patch) -> None:
    find = GhostClippedModule.get_clipping_coef

    def without(self: GhostClippedModule) -> torch.Tensor:
        weight = self._module.loadings.weight
        weight._norm_sample = torch.zeros_like(weight._norm_sample)
        return find(self)

    patch.setattr(GhostClippedModule, "get_clipping_coef", without)


@bug("one patient who overflows takes everybody out of the batch")
def an_overflow_that_spoils_the_batch(patch: Patch) -> None:
    find = GhostClippedModule.get_clipping_coef

    def all_or_none(self: GhostClippedModule) -> torch.Tensor:
        factors = find(self)
        return factors * bool((factors > 0).all())

    patch.setattr(GhostClippedModule, "get_clipping_coef", all_or_none)


@bug("a step that takes no noise tells that nobody was drawn")
def empty_batches_left_out(patch: Patch) -> None:
    accumulate = training_module._accumulate

    def unless_empty(*arguments: Any) -> float:
        begun = bool(arguments[1].state)  # Adam's moments must be there at the end
        return 0.0 if begun and not len(arguments[3]) else accumulate(*arguments)

    patch.setattr(training_module, "_accumulate", unless_empty)


@bug("the learning rate falls when the private loss rises: a look that nobody pays for")
def a_learning_rate_that_follows_the_loss(patch: Patch) -> None:
    accumulate = training_module._accumulate
    losses: list[float] = []

    def slower(*arguments: Any) -> float:
        if len(losses) > 1 and losses[-1] > losses[-2]:
            arguments[1].param_groups[0]["lr"] *= 0.5
        total = accumulate(*arguments)
        losses.append(total / max(len(arguments[3]), 1))
        return total

    patch.setattr(training_module, "_accumulate", slower)


@bug("counts get the noise for one row where a patient has several")
def counts_for_one_row_a_patient(patch: Patch) -> None:
    fit, measured = Synthesizer.fit, synthesizer_module.measure_anchors

    def fit_with_less(self: Synthesizer, *arguments: Any, **named: Any) -> Synthesizer:
        most = self.schema.rows_per_patient

        def measure(codes: Any, fields: Any, sigmas: Any, *more: Any) -> Any:
            less = tuple(tuple(sigma / most for sigma in column) for column in sigmas)
            return measured(codes, fields, less, *more)

        with Patch.context() as inner:
            inner.setattr(synthesizer_module, "measure_anchors", measure)
            return fit(self, *arguments, **named)

    patch.setattr(Synthesizer, "fit", fit_with_less)


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


@bug("a count gets a rounded float for noise, with a floating-point side channel")
def rounded_noise_for_counts(patch: Patch) -> None:
    from synthvae.privacy import counts

    def rounded(exact: np.ndarray, sigma: float, stream: RandomStream) -> np.ndarray:
        noise = np.rint(stream.normal(exact.size) * sigma).astype(np.int64)
        return exact + noise.reshape(exact.shape)

    for module in (counts, measure_module, synthesizer_module):
        patch.setattr(module, "noisy_counts", rounded)


@bug("the log that is released holds a figure of the data")
def a_private_figure_in_the_log(patch: Patch) -> None:
    promise = synthesizer_module.promise
    size = training_module.PatientTensor.__len__
    found: list[int] = []

    def note(self: training_module.PatientTensor) -> int:
        found.append(size(self))
        return found[-1]

    def with_figure(*arguments: Any, **named: Any) -> Any:
        made = promise(*arguments, **named)
        return made.model_copy(update={"software": made.software | {"rows": str(found[-1])}})

    patch.setattr(training_module.PatientTensor, "__len__", note)
    patch.setattr(synthesizer_module, "promise", with_figure)
