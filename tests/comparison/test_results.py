"""The log, the means and the advice of a comparison: no fit is made here."""

import json
from pathlib import Path

import pytest

from synthvae.comparison.results import Cell, Log, Outcome, Reference, advise, mean, summarise
from synthvae.errors import ArtefactError, OutputExistsError
from tests.simulated import CLINIC

CELL = Cell(method="aim", epsilon=1.0, run=0)
GOOD = Outcome(cell=CELL, figures={"tvd2": 0.1}, spent=1.0, seconds=2.0, megabytes=100.0)
REAL = Reference(
    size=None, patients=80, delta=1e-5, train_rows=80, holdout_rows=20, figures={"tvd2": 0.05}
)
ORIGIN = {"schema": "abc", "seed": 0}


@pytest.fixture
def log(tmp_path: Path) -> Log:
    made = Log.create(tmp_path / "runs.jsonl", ORIGIN)
    made.add(REAL)
    made.add(GOOD)
    return made


def test_a_log_goes_on_where_it_ended(log: Log) -> None:
    again = Log.resume(log.path, ORIGIN)
    assert again.outcomes == {CELL: GOOD}
    assert again.references == {None: REAL}
    assert again.is_done(CELL, {})
    assert not again.is_done(CELL.model_copy(update={"run": 1}), {})


def test_a_line_that_was_being_written_is_forgotten(log: Log) -> None:
    text = log.path.read_text(encoding="utf-8")
    log.path.write_text(text + text.splitlines()[-1][:30], encoding="utf-8")
    again = Log.resume(log.path, ORIGIN)
    again.add(GOOD.model_copy(update={"cell": CELL.model_copy(update={"run": 1})}))
    assert len(Log.resume(log.path, ORIGIN).outcomes) == 2
    assert all(json.loads(line) for line in log.path.read_text(encoding="utf-8").splitlines())


def test_a_cell_that_failed_is_tried_again_and_the_last_line_holds(log: Log) -> None:
    other = CELL.model_copy(update={"run": 1})
    log.add(Outcome(cell=other, failed="out of memory"))
    assert not Log.resume(log.path, ORIGIN).is_done(other, {})
    log.add(GOOD.model_copy(update={"cell": other}))
    assert Log.resume(log.path, ORIGIN).is_done(other, {})


def test_a_log_of_something_else_is_refused(log: Log) -> None:
    with pytest.raises(OutputExistsError, match="made with another schema and another seed; pass"):
        Log.resume(log.path, {"schema": "xyz", "seed": 1})
    with pytest.raises(OutputExistsError, match="holds runs of 'aim' with other settings"):
        log.is_done(CELL, {"steps": 12.0})
    for text in ("", "{}\n", "[1]\n", "nothing\n", '{"origin": {}}\n{"outcome": {}}\n'):
        log.path.write_text(text, encoding="utf-8")
        with pytest.raises(ArtefactError, match="is no log of a comparison"):
            Log.resume(log.path, {})


def test_the_mean_of_three_by_hand() -> None:
    found = mean([0.1, 0.2, 0.3])
    # t(0.975, 2) = 4.3027; the standard error is 0.1 / sqrt(3).
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert found.high == pytest.approx(0.2 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert mean([0.4]).low is None


def test_summaries_keep_failures_apart_and_compare_costs_with_ours() -> None:
    cells = [
        Cell(method=method, epsilon=1.0, run=run)
        for run in (0, 1)
        for method in ("synthvae", "aim")
    ]
    outcomes = [
        Outcome(cell=cells[0], figures={"tvd2": 0.1, "c_index": None}, seconds=2.0, megabytes=500),
        Outcome(cell=cells[2], figures={"tvd2": 0.3, "c_index": 0.6}, seconds=4.0, megabytes=500),
        Outcome(cell=cells[1], figures={"tvd2": 0.2, "c_index": 0.5}, seconds=30.0, megabytes=750),
        Outcome(cell=cells[3], failed="took longer", seconds=99.0),
    ]
    ours, aim = summarise(outcomes, cells)
    assert (ours.method, ours.runs, ours.failed) == ("synthvae", 2, ())
    assert ours.figures["tvd2"].value == pytest.approx(0.2)
    assert ours.figures["c_index"].runs == 1
    assert ours.ratios == {"seconds": 1.0, "megabytes": 1.0}
    assert (aim.runs, aim.failed) == (1, ("took longer",))
    assert aim.ratios == {"seconds": 10.0, "megabytes": 1.5}


def test_advice_hangs_on_public_facts_alone() -> None:
    said = advise(CLINIC, 400, [10.0, 1.0])
    assert said[0].startswith("At epsilon 1, independent")
    assert said[1].startswith("At epsilon 10, synthvae")
    wide = CLINIC.to_dict()
    wide["fields"] += [{"name": f"b{i}", "type": "boolean"} for i in range(40)]
    slow = advise(type(CLINIC).from_dict(wide), 5000, [1.0])[1]
    assert "aim looks at 1,035 pairs in each round, and aim-3way at up to 15,180 triples" in slow
    few = CLINIC.replace(fields=[f for f in wide["fields"] if f["name"][0] == "b"][:5], target=None)
    assert advise(few, None, [1.0])[0].startswith("At epsilon 1, aim-3way")
