"""A comparison as values, to render without a single fit."""

from synthvae.comparison.results import Cell, Comparison, Outcome, Reference, advise, summarise
from synthvae.comparison.scorer import meanings
from tests.simulated import CLINIC

METHODS = ("synthvae", "independent", "aim", "no <b>calibration</b>")
MEANINGS = meanings(CLINIC)
REAL = {meaning.key: 0.5 if meaning.direction == "towards" else 0.9 for meaning in MEANINGS}


def outcome(cell: Cell) -> Outcome:
    """Return an outcome whose figures are better at larger epsilons."""
    place = METHODS.index(cell.method) + 1
    figures: dict[str, float | None] = {
        m.key: round(0.4 + 0.04 * cell.epsilon**0.5 + 0.01 * place + 0.002 * cell.run, 4)
        for m in MEANINGS
    }
    return Outcome(
        cell=cell,
        settings={"calibration_rounds": 0.0} if place == 4 else {},
        figures=figures,
        spent=cell.epsilon,
        seconds=5.0 * place + cell.run,
        cpu_seconds=4.0 * place,
        fit_seconds=3.0 * place,
        megabytes=400.0 * place,
        notes=("some triples were <u>left out</u>",) if cell.method == "aim" else (),
    )


def comparison(sizes: tuple[int | None, ...] = (None,), runs: int = 2) -> Comparison:
    """Return a comparison of four methods at three budgets, of which some runs failed."""
    cells = [
        Cell(method=method, epsilon=epsilon, size=size, run=run)
        for size in sizes
        for run in range(runs)
        for epsilon in (0.5, 1.0, 10.0)
        for method in METHODS
    ]
    outcomes = [
        Outcome(cell=cell, failed="took longer than the timeout of 60 seconds")
        if cell.method == "aim" and cell.epsilon > 5
        else outcome(cell)
        for cell in cells
    ]
    return Comparison(
        name="clinic",
        title="A <i>small</i> clinic",
        created="2026-01-02",
        schema_digest="0123456789abcdef" * 4,
        declared_patients=320,
        columns=6,
        runs=runs,
        seed=0,
        meanings=MEANINGS,
        references=tuple(
            Reference(
                size=size, patients=320, delta=1e-5, train_rows=320, holdout_rows=80, figures=REAL
            )
            for size in sizes
        ),
        summaries=summarise(outcomes, cells),
        variants=("no <b>calibration</b>",),
        advice=advise(CLINIC, 320, (0.5, 1.0, 10.0)),
        software={"synthvae": "0.1.0"},
    )
