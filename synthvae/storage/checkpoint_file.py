"""The file of a checkpoint: safetensors with a header in JSON, read as if a stranger had sent it.

Nothing in a file is run, none of its names is a path, and every name, shape, kind and value is checked
against what the plan of the fit makes of them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synthvae._files import read_ordinary
from synthvae._types import Floats, Ints
from synthvae.errors import ArtefactError
from synthvae.marginals.column import ColumnMarginal
from synthvae.marginals.interactions import InteractionMoments, affordable_factors
from synthvae.marginals.moments import PairMoments
from synthvae.marginals.visit_moments import BlockMoments
from synthvae.model.histories import visit_layout
from synthvae.model.history_state import HistoryState, read_moves, read_visit_marginals
from synthvae.model.layout import Layout
from synthvae.model.state import Arrays, FittedState, count_arrays, read_marginals, read_row_shares
from synthvae.model.visit_goals import visit_query
from synthvae.plan import Plan
from synthvae.precedence import declared_uses
from synthvae.storage.model_folder import INVALID, pack_arrays, reason_of, unpack_arrays
from synthvae.timeline import Timeline

FORMAT, VERSION = "synthvae checkpoint", 4
LARGEST_BYTES = 2_000_000_000
LARGEST_HEADER = 50_000_000
# Moments of standardised features are about 1 and their noise, at the smallest epsilon and a table that
# looks empty, about 1e4 times what a column adds: far below this, and far from an overflow.
LARGEST_MOMENT = 1e9
VALUES, NOISE = "pairs/values", "pairs/noise"
INTERACTIONS = ("interactions/values", "interactions/noise")
COUNTS, MOMENTS, MODEL = STAGES = ("counts", "moments", "model")
OR_START_OVER = "or pass --start-over; what it has spent counts then too."


@dataclass(frozen=True)
class Released:
    """What a fit has released so far: no real row.

    Attributes
    ----------
    marginals
        One a column, from noisy counts.
    row_shares
        Share of patients with 1, 2, ... rows; None where each row is one patient.
    patients
        The declared or noisily counted number of patients.
    moments, interactions
        Of pairs, then of three and four columns: None until they are released, and again when the
        fit is finished.
    moves, visits
        Of visits in time: by how much columns move on, and the moments of each block in place of those
        of pairs; None elsewhere, and as these.
    model
        What the finished fit leaves behind; None until then.
    """

    marginals: tuple[ColumnMarginal, ...]
    row_shares: Floats | None
    patients: int
    moments: PairMoments | None = None
    interactions: InteractionMoments | None = None
    moves: Ints | None = None
    visits: Mapping[str, BlockMoments] | None = None
    model: FittedState | HistoryState | None = None

    @property
    def stage(self) -> str:
        """What was released last."""
        if self.model is not None:
            return MODEL
        return COUNTS if self.moments is None and self.visits is None else MOMENTS

    @classmethod
    def finished(cls, model: FittedState | HistoryState) -> "Released":
        """Return what is left to keep when the fit is finished: its model alone."""
        return cls(model.marginals, model.row_shares, model.patients, model=model)

    def arrays(self) -> Arrays:
        """Return the arrays of what was released, by name."""
        if self.model is not None:
            return self.model.arrays()
        arrays = count_arrays(self.marginals, self.row_shares)
        if self.moments is not None:
            arrays |= {VALUES: self.moments.values, NOISE: self.moments.noise}
        if self.interactions is not None:
            both = (self.interactions.values, self.interactions.noise)
            arrays |= dict(zip(INTERACTIONS, both, strict=True))
        if self.moves is not None:
            arrays["moves"] = self.moves
        for name, block in (self.visits or {}).items():
            arrays |= {f"visits/{name}/values": block.values, f"visits/{name}/noise": block.noise}
        return arrays


def pack(released: Released, identity: dict[str, Any]) -> bytes:
    """Return the content of a checkpoint's file."""
    arrays = released.arrays()
    about = json.dumps(
        {
            "format": FORMAT,
            "version": VERSION,
            "identity": identity,
            "patients": released.patients,
            "stage": released.stage,
            "arrays_sha256": _digest(arrays),
        }
    )
    digest = hashlib.sha256(about.encode()).hexdigest()
    return pack_arrays(arrays, {"about": about, "about_sha256": digest})


def unpack_about(file: Path) -> dict[str, Any]:
    """Return what a checkpoint's header says; `ArtefactError` if it is damaged or of another version."""
    return _about(file, read_bytes(file))


def unpack(file: Path, plan: Plan) -> Released:
    """Return what a checkpoint holds; `ArtefactError` for what a fit under this plan does not keep."""
    content = read_bytes(file)
    about = _about(file, content)
    try:
        arrays = unpack_arrays(content)
        if _digest(arrays) != about["arrays_sha256"]:
            raise ValueError("its arrays are not those that it was written with")
        return _released(arrays, about, plan)
    except INVALID as cause:
        raise _damaged(file, reason_of(cause)) from cause


def read_bytes(file: Path) -> bytes:
    """Return the content of an ordinary file of a bearable size, and follow no link."""
    try:
        return read_ordinary(file, LARGEST_BYTES, links=False)
    except OSError as cause:
        raise _damaged(file, f"it cannot be read ({cause.strerror})") from cause


def _damaged(file: Path, reason: str) -> ArtefactError:
    return ArtefactError(
        f"The checkpoint {file} is damaged: {reason}. Nothing can go on from it; pass "
        "--start-over to begin again: what was spent counts then too."
    )


def _about(file: Path, content: bytes) -> dict[str, Any]:
    try:
        size = int.from_bytes(content[:8], "little")
        if not 2 <= size <= min(len(content) - 8, LARGEST_HEADER):
            raise ArtefactError("it is cut short or was altered")
        sealed = json.loads(content[8 : 8 + size])["__metadata__"]
        text = sealed["about"]
        if hashlib.sha256(text.encode()).hexdigest() != sealed["about_sha256"]:
            raise ArtefactError("its header was altered")
        about = json.loads(text)
        if not isinstance(about, dict) or about["format"] != FORMAT:
            raise ArtefactError("it is no synthvae checkpoint")
        if not isinstance(about["identity"], dict):
            raise ArtefactError("its header does not say what it is of")
        version = about["version"]
    except ArtefactError as cause:
        raise _damaged(file, str(cause)) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as cause:
        raise _damaged(file, "its header is cut short or was altered") from cause
    if type(version) is not int or version != VERSION:
        raise ArtefactError(
            f"The checkpoint {file} has version {version!r}, this synthvae reads {VERSION}: go on with "
            f"the synthvae that began it, {OR_START_OVER}"
        )
    return about


def _released(arrays: Arrays, about: dict[str, Any], plan: Plan) -> Released:
    patients, stage = about["patients"], about["stage"]
    if type(patients) is not int or patients < 1 or plan.schema.patients not in (None, patients):
        raise ValueError(f"patients is {patients!r}, which is not the fit's number of patients")
    if stage not in STAGES:
        raise ValueError(f"stage is {stage!r}, not one of {', '.join(STAGES)}")
    if stage == MODEL:
        state = FittedState if plan.schema.orderBy is None else HistoryState
        released = Released.finished(
            state.from_arrays(arrays, plan.schema, plan.settings, patients)
        )
    elif plan.schema.orderBy is not None:
        released = _visits(arrays, plan, patients, stage)
    else:
        marginals = tuple(read_marginals(arrays, plan.schema.drawn))
        schema = plan.schema
        layout = Layout.build(marginals, schema.drawn, plan.settings, schema.rule_set)
        moments = _moments(arrays, layout) if stage == MOMENTS else None
        has_more = moments is not None and INTERACTIONS[0] in arrays
        more = _interactions(arrays, layout, plan) if has_more else None
        shares = read_row_shares(arrays, plan.schema)
        released = Released(marginals, shares, patients, moments, more)
    unknown = arrays.keys() - released.arrays().keys()
    if unknown:
        raise ValueError(f"it holds {min(unknown)!r}, which no checkpoint does")
    return released


def _visits(arrays: Arrays, plan: Plan, patients: int, stage: str) -> Released:
    """Return what a fit of visits has released."""
    timeline = Timeline(plan.schema)
    marginals = read_visit_marginals(arrays, timeline)
    moves, found = read_moves(arrays, len(timeline.columns)), None
    if stage == MOMENTS:
        layout = visit_layout(timeline, marginals, plan.settings)
        found = {
            name: _block(arrays, name, size)
            for name, size in visit_query(timeline, layout).sizes.items()
        }
    return Released(tuple(marginals.values()), None, patients, moves=moves, visits=found)


def _block(arrays: Arrays, name: str, size: int) -> BlockMoments:
    """Return the moments of one block of visits."""
    values, noise = arrays[f"visits/{name}/values"], arrays[f"visits/{name}/noise"]
    if not values.shape == noise.shape == (size,):
        raise ValueError(f"the moments of visits do not fit the schema: {name}")
    if max(np.abs(values).max(initial=0), noise.max(initial=0)) > LARGEST_MOMENT:
        raise ValueError(
            f"a moment of visits, or its noise, is above {LARGEST_MOMENT:g}, which no fit releases"
        )
    if (noise <= 0).any():
        raise ValueError("the moments of visits have no noise")
    return BlockMoments(values, noise)


def _moments(arrays: Arrays, layout: Layout) -> PairMoments:
    moments = PairMoments(arrays[VALUES], arrays[NOISE])
    same = layout.owner[:, None] == layout.owner[None, :]
    for array in (moments.values, moments.noise):
        if array.shape != (layout.features, layout.features):
            raise ValueError("the moments of pairs do not fit the schema")
        if (array != array.T).any() or array[same].any():
            raise ValueError(
                "the moments of pairs are not symmetric, or some stand within a column"
            )
        if (np.abs(array) > LARGEST_MOMENT).any():
            raise ValueError(
                f"a moment of pairs, or its noise, is above {LARGEST_MOMENT:g}, which no fit releases"
            )
    if (moments.noise[~same] <= 0).any():
        raise ValueError("the moments of pairs have no noise")
    return moments


def _interactions(arrays: Arrays, layout: Layout, plan: Plan) -> InteractionMoments:
    rank, most = plan.settings.interaction_rank, plan.settings.interactions
    factors = affordable_factors(layout.smooth_first, rank, most, declared_uses(plan.schema))
    values, noise = (arrays[name] for name in INTERACTIONS)
    if plan.interaction_noise is None or not values.shape == noise.shape == (len(factors),):
        raise ValueError("the moments of three and four columns do not fit the schema")
    if max(np.abs(values).max(initial=0), noise.max(initial=0)) > LARGEST_MOMENT:
        raise ValueError(
            f"a moment of three or four columns, or its noise, is above {LARGEST_MOMENT:g}, which no "
            "fit releases"
        )
    if (noise <= 0).any():
        raise ValueError("the moments of three and four columns have no noise")
    return InteractionMoments(values, noise)


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
