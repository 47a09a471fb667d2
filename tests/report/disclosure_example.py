"""Evaluations of tables that are given as counts, for tests of the public rendering."""

from collections.abc import Sequence
from typing import Any, Literal

from synthvae.evaluation.results import Associations, Evaluation, Margin, Score, TableFacts, Topic

KNOWN = (100, 20, 23)  # cells of holdouts


def margin(
    train: Sequence[int],
    holdout: Sequence[int],
    synthetic: Sequence[int],
    column: str = "ward",
    kind: Literal["category", "number"] = "category",
) -> Margin:
    shares = [
        tuple(round(count / sum(counts), 6) for count in counts)
        for counts in (train, holdout, synthetic)
    ]
    return Margin(
        column=column, kind=kind, labels=tuple("abcdefgh"[: len(train)]), train=shares[0],
        holdout=shares[1], synthetic=shares[2], distance=0.1, holdout_distance=0.1,
    )  # fmt: skip


def facts(train: int, holdout: int, columns: int = 1, **more: Any) -> TableFacts:
    return TableFacts(
        train_rows=train, train_patients=train, holdout_rows=holdout, holdout_patients=holdout,
        synthetic_rows=5000, columns=columns, most_rows=1,
    ).model_copy(update=more)  # fmt: skip


def evaluation(*margins: Margin, tables: TableFacts | None = None, **more: Any) -> Evaluation:
    found = {
        "name": "x", "schema_digest": "0", "seed": 0, "scores": (), "worst_pairs": (),
        "associations": Associations(columns=(), measure="", train=(), synthetic=()),
        "attacks": (), "tables": tables or facts(620, 600), "margins": margins,
    }  # fmt: skip
    return Evaluation(**(found | more))


def counted(
    *columns: Sequence[int],
    holdout: Sequence[int] | None = None,
    synthetic: Sequence[int] | None = None,
    **more: Any,
) -> Evaluation:
    """Return an evaluation of columns with such counts in train."""
    train = sum(columns[0])
    held = holdout or columns[0]
    made = synthetic or columns[0]
    margins = [
        margin(c, c if n else held, c if n else made, f"column {n}") for n, c in enumerate(columns)
    ]
    return evaluation(*margins, tables=facts(train, sum(held)), **more)


def score(key: str, value: float | None, topic: Topic = "fidelity", **more: Any) -> Score:
    asked = {"title": key, "meaning": "m", "direction": "lower"}
    return Score(key=key, topic=topic, value=value, **(asked | more))
