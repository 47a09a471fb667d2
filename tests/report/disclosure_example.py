"""Evaluations of tables that are given as counts, for tests of the public rendering."""

from synthvae.evaluation.values import (
    Associations,
    Evaluation,
    Margin,
    Score,
    TableFacts,
)

KNOWN = (100, 20, 23)  # cells of holdouts


def margin(train, holdout, synthetic, column="ward", kind="category"):
    shares = [
        tuple(round(count / sum(counts), 6) for count in counts)
        for counts in (train, holdout, synthetic)
    ]
    return Margin(
        column=column, kind=kind, labels=tuple("abcdefgh"[: len(train)]), train=shares[0],
        holdout=shares[1], synthetic=shares[2], distance=0.1, holdout_distance=0.1,
    )  # fmt: skip


def facts(train, holdout, columns=1, **more):
    return TableFacts(
        train_rows=train, train_patients=train, holdout_rows=holdout, holdout_patients=holdout,
        synthetic_rows=5000, columns=columns, most_rows=1,
    ).model_copy(update=more)  # fmt: skip


def evaluation(*margins, tables=None, **more):
    found = {
        "name": "x", "schema_digest": "0", "seed": 0, "scores": (), "worst_pairs": (),
        "associations": Associations(columns=(), measure="", train=(), synthetic=()),
        "attacks": (), "tables": tables or facts(620, 600), "margins": margins,
    }  # fmt: skip
    return Evaluation(**(found | more))


def counted(*columns, holdout=None, synthetic=None, **more):
    """Return an evaluation of columns with such counts in train."""
    train = sum(columns[0])
    held = holdout or columns[0]
    made = synthetic or columns[0]
    margins = [
        margin(c, c if n else held, c if n else made, f"column {n}") for n, c in enumerate(columns)
    ]
    return evaluation(*margins, tables=facts(train, sum(held)), **more)


def score(key, value, topic="fidelity", **more):
    asked = {"title": key, "meaning": "m", "direction": "lower"}
    return Score(key=key, topic=topic, value=value, **(asked | more))
