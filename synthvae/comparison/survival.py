"""Would a survival model fitted on synthetic rows rank real patients? The c-index."""

import warnings
from importlib.util import find_spec

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from synthvae.evaluation.codes import number_of
from synthvae.evaluation.learners import LinearFeatures
from synthvae.evaluation.tables import Table
from synthvae.schema import Schema

PENALTIES = (0.05, 0.5)  # a table too odd for the first may do with the second

Floats = NDArray[np.float64]


def why_not(schema: Schema) -> str | None:
    """Return why there is no c-index, None where there may be one."""
    if schema.survival is None:
        return "the schema declares no survival columns"
    if find_spec("lifelines") is None:
        return "lifelines is not installed: pip install 'synthvae[survival]'"
    return None


def concordance(learn: Table, test: Table, schema: Schema) -> float | None:
    """Return the c-index on `test` of a Cox model fitted on `learn`; None where none can be fitted.

    Columns that a declared target says would give the event away are left out.

    References
    ----------
    Cox 1972, JRSS B 34(2); Harrell, Lee and Mark 1996, Statistics in Medicine 15(4).
    """
    assert schema.survival is not None
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError
    from lifelines.utils import concordance_index

    durations, happened = zip(*(_outcome(table, schema) for table in (learn, test)), strict=True)
    columns = _covariates(schema)
    fields = [schema.modelled[j] for j in columns]
    features = LinearFeatures(learn.codes[:, columns], fields)
    known, asked = (features(table.codes[:, columns]) for table in (learn, test))
    usable = [np.isfinite(lasted) for lasted in durations]
    varied = known[usable[0]].std(axis=0) > 1e-3
    frame = pd.DataFrame(known[usable[0]][:, varied]).add_prefix("x")
    frame["lasted"] = np.maximum(durations[0][usable[0]], 0.01)
    frame["happened"] = happened[0][usable[0]]
    for penalty in PENALTIES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the table's oddities, which are its own
                model = CoxPHFitter(penalizer=penalty).fit(frame, "lasted", "happened")
            risk = asked[usable[1]][:, varied] @ model.params_.to_numpy()
            return float(concordance_index(durations[1][usable[1]], -risk, happened[1][usable[1]]))
        except (ConvergenceError, ZeroDivisionError, ValueError, np.linalg.LinAlgError):
            continue
    return None


def _place(schema: Schema, name: str) -> int:
    return [field.name for field in schema.modelled].index(name)


def _outcome(table: Table, schema: Schema) -> tuple[Floats, NDArray[np.bool_]]:
    """Return each row's follow-up time, and whether the event happened: its last category."""
    assert schema.survival is not None
    time, event = (_place(schema, n) for n in (schema.survival.duration, schema.survival.event))
    field = schema.modelled[event]
    last = field.lattice_size - 1 if field.is_lattice else len(field.categories) - 1
    return number_of(schema.modelled[time], table.codes[:, time]), table.codes[:, event] == last


def _covariates(schema: Schema) -> list[int]:
    assert schema.survival is not None
    hidden = {schema.survival.duration, schema.survival.event}
    for target in schema.target:
        hidden |= {target.column, *target.without} if target.column in hidden else set()
    return [j for j, field in enumerate(schema.modelled) if field.name not in hidden]
