"""`synthvae schema rows`: from a draft whose maxRows was read off the data to a fit that says so."""

import json
import re
from pathlib import Path

import pytest

from synthvae.drafting import draft_yaml
from synthvae.schema import Schema
from synthvae.table import write_table
from tests.cli.in_process import Ended, Run
from tests.simulated import VISITS, simulate_fewer, visits


@pytest.fixture
def draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drafted schema and its table in the working folder."""
    monkeypatch.chdir(tmp_path)
    simulate_fewer(monkeypatch)
    write_table(visits(2000), Path("t.csv"), VISITS)
    Path("s.yaml").write_text(draft_yaml(visits(2000)))
    return Path("s.yaml")


def rows(run: Run, *words: str) -> Ended:
    return run("schema", "rows", "s.yaml", "t.csv", "--epsilon", *(words or ("0.6",)))


def test_it_says_what_was_spent_and_on_what(run: Run, draft: Path) -> None:
    before = Schema.load(draft)
    assert "patient" in before.to_review
    ended = rows(run)
    assert ended.code == 0, ended.err
    assert "Spent epsilon 0.6 at delta 10⁻⁶ per patient on numbers of patients" in ended.out
    assert re.search(r"^ +16 or more +-?\d+$", ended.out, re.M)
    assert (
        "maxRows is now 5: by these numbers, fewer than 5 % of the patients have more" in ended.out
    )
    assert "of --epsilon 1, 39 % (in squared mu) is spent" in ended.out
    after = Schema.load(draft)
    assert after.to_review == tuple(name for name in before.to_review if name != "patient")
    text = draft.read_text()
    assert text.startswith("# A DRAFT")
    assert "# dictionary: sex" in text
    assert "Patients by rows" not in text
    again = rows(run)
    assert "records 2 such releases, and each has its price: together epsilon 0.871" in again.out


def test_a_review_asks_for_no_source_of_what_was_paid_for(run: Run, draft: Path) -> None:
    answers = ("--source", "protocol 7", "--by", "Ann", "--yes")
    assert "maxRows stands as drafted" in run("schema", "review", "s.yaml", *answers).out
    rows(run)
    ended = run("schema", "review", "s.yaml", *answers)
    assert "maxRows 5 was paid for with epsilon 0.6 on " in ended.out
    assert "it needs no public source" in ended.out
    assert "stands as drafted" not in ended.out


def test_a_key_that_is_doubted_is_reviewed_before_it_is_paid_for(run: Run, draft: Path) -> None:
    other = "  # REVIEW: one patient is several people: is it numbered there?\n  - name: patient"
    draft.write_text(draft.read_text().replace("  - name: patient", other))
    before = draft.read_bytes()
    assert "'patient' of patientKey awaits review for more than maxRows" in rows(run).message
    assert draft.read_bytes() == before
    run("schema", "review", "s.yaml", "--source", "protocol 7", "--by", "Ann", "--yes")
    assert rows(run).code == 0


def test_a_new_draft_does_not_forget_a_price(run: Run, draft: Path) -> None:
    rows(run)
    before = draft.read_bytes()
    ended = run("schema", "init", "t.csv", "--out", "s.yaml", "--force")
    assert "which a new draft would forget" in ended.message
    assert draft.read_bytes() == before


@pytest.mark.parametrize("epsilon", ["0", "-1", "nan"])
def test_a_price_that_is_none_is_refused(run: Run, draft: Path, epsilon: str) -> None:
    ended = rows(run, epsilon)
    assert "must be a finite number above 0" in ended.message
    assert Schema.load(draft).releases == ()


def test_a_fit_states_what_was_spent_before_it(run: Run, draft: Path) -> None:
    rows(run)
    run("schema", "review", "s.yaml", "--source", "protocol 7", "--by", "Ann", "--yes")
    ended = run(
        *("fit", "t.csv", "--schema", "s.yaml", "--epsilon", "1", "--patients", "2000"),
        *("--out", "model"),
    )
    assert ended.code == 0, ended.err
    assert "Spent epsilon 1 at delta 10⁻⁵ per patient. It includes epsilon 0.519" in ended.out
    promise = json.loads(Path("model/guarantee.json").read_text())
    assert promise["epsilon"] <= 1
    assert promise["stages"][0]["stage"] == "max-rows"
    ended = run("plan", "s.yaml", "--epsilon", "1")
    assert "before the fit: rows per patient" in " ".join(ended.out.split())
