"""Line 19: scores against real rows are disclosures, so the report has two renderings.

The custodian's has everything; the public one is made of an allow-list, in which counts come in whole
steps and nobody can tell a small cell; it has nothing of the training. Neither is covered by the
guarantee, and `release/` holds none. Nothing that is published tells on which side of the split a
patient is.
"""

import base64
import hashlib
from pathlib import Path

import pandas as pd
import pytest

import synthvae.scoring
from synthvae._frozen import write_yaml
from synthvae._runtime import Progress
from synthvae.config import RunConfig
from synthvae.evaluation.results import Evaluation
from synthvae.pipeline import CUSTODIAN, read_split_key, run, split
from synthvae.report.disclosure import for_public
from synthvae.report.disclosure_rules import ACRO, HES, Profile
from synthvae.report.document import Report, custodian_report, public_report
from synthvae.table import write_table
from synthvae.table.patients import derived_key
from tests.hospital import SCHEMA, make_table, write_schema
from tests.report import report_example


@pytest.fixture(scope="module")
def custodians() -> Report:
    """A report in which some cells, groups and rates are of very few patients."""
    found = report_example.evaluation()
    tables = found.tables.model_copy(update={"train_rows": 203, "holdout_rows": 101})
    return custodian_report(
        found.model_copy(update={"tables": tables}),
        report_example.guarantee(),
        report_example.training(),
    )


@pytest.mark.parametrize("profile", [ACRO, HES], ids=lambda profile: profile.name)
def test_line_19_the_public_rendering_says_what_it_is_and_leaves_out_the_training(
    custodians: Report, profile: Profile
) -> None:
    public = public_report(custodians, profile)
    assert (custodians.rendering, public.rendering) == ("custodian", "public")
    assert public.profile == profile
    assert custodians.training is not None
    assert public.training is None
    assert '"loss"' in custodians.to_json()
    assert '"loss"' not in public.to_json()


@pytest.mark.parametrize("profile", [ACRO, HES], ids=lambda profile: profile.name)
def test_line_19_no_cell_of_the_public_rendering_is_small(
    custodians: Report, profile: Profile
) -> None:
    before, after = custodians.evaluation, public_report(custodians, profile).evaluation
    assert after.tables.train_rows % profile.step == 0
    sides = {"train": before.tables.train_rows, "holdout": before.tables.holdout_rows}
    small = 0
    for margin in before.margins:
        shown = next((m.labels for m in after.margins if m.column == margin.column), ())
        for side, people in sides.items():
            counts = [round(share * people) for share in getattr(margin, side)]
            for label, count in zip(margin.labels, counts, strict=True):
                if 0 < count < profile.smallest_cell:
                    small += 1
                    assert label not in shown, (margin.column, label)
    assert small > 20  # there was something to leave out


def test_line_19_an_attack_that_found_one_patient_does_not_say_so(custodians: Report) -> None:
    public = public_report(custodians, ACRO).evaluation
    # A curve with a step for each patient tells every score apart; a coarse one does not.
    for before, after in zip(custodians.evaluation.attacks, public.attacks, strict=True):
        assert len(before.fpr) > 100
        assert len(after.fpr) <= 11
        assert after.tpr[0] == 0
        assert after.tpr_at == ()
    # Nor does a rate, its interval, or the gain beside it.
    few = [
        custodians.evaluation.risks[0].model_copy(
            update={"success": right / 700, "gain": right / 700 - 0.3, "control": 0.3}
        )
        for right in (0, 1, 9)
    ]
    found = {
        for_public(custodians.evaluation.model_copy(update={"risks": (one,)}), ACRO).to_json()
        for one in few
    }
    assert len(found) == 1


def test_line_19_the_values_of_a_report_hold_no_table(custodians: Report) -> None:
    def values(one: object) -> list[object]:
        if isinstance(one, dict):
            return [inner for part in one.values() for inner in values(part)]
        if isinstance(one, list | tuple):
            return [inner for part in one for inner in values(part)]
        return [one]

    assert not any(isinstance(one, pd.DataFrame | Path) for one in values(custodians.model_dump()))


def listener(said: list[str]) -> Progress:
    return lambda what, _done: said.append(what)


def test_line_19_the_split_is_no_function_of_what_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has all that is published, the table and every identifier learns nobody's side.

    Two runs of one config publish the same seed, and have splits of their own. The key is in one file
    of `custodian/`: not in the release, not in a report, not in what is said on the way.
    """
    frame = make_table(120)
    write_table(frame, tmp_path / "train.csv", SCHEMA)
    write_schema(tmp_path)
    value = {
        "name": "trial",
        "data": {"path": str(tmp_path / "train.csv")},
        "schema": str(tmp_path / "schema.yaml"),
        "epsilon": 2,
        "settings": {"steps": 2},
        "seed": 5,
    }
    (tmp_path / "run.yaml").write_text(write_yaml(value), encoding="utf-8")
    config = RunConfig.load(tmp_path / "run.yaml")
    seen: list[pd.DataFrame] = []

    def look(train: pd.DataFrame, *_: object, **__: object) -> Evaluation:
        seen.append(train)
        return report_example.few_figures()

    monkeypatch.setattr(synthvae.scoring, "evaluate", look)
    keys = []
    for place in ("first", "second"):
        here = config.model_copy(update={"out": tmp_path / place})
        said: list[str] = []
        result = run(here, listener(said))
        key = read_split_key(result.folder / CUSTODIAN)
        keys.append(key)
        assert split(frame, SCHEMA, config, key)[0].index.equals(seen[-1].index)
        files = {
            str(file.relative_to(here.out)): file.read_bytes()
            for file in here.out.rglob("*")
            if file.is_file()
        }
        spelled = (key, key.hex().encode(), base64.b64encode(key), repr(key).encode())
        where = [name for name, content in files.items() if any(one in content for one in spelled)]
        assert where == ["trial/custodian/split.json"]
        assert {"context.json", "report.json", "public-report.html"} <= {
            Path(name).name for name in files
        }
        assert not any(key.hex() in text for text in said)
        assert key.hex() not in repr(result)
    assert keys[0] != keys[1]
    assert not seen[0].index.equals(seen[1].index)
    # What was published before: a key made of the seed, and ways to make one that come to mind.
    for guess in (derived_key(5), hashlib.sha256(b"5").digest(), (5).to_bytes(32, "little")):
        assert guess not in keys
        assert not any(split(frame, SCHEMA, config, guess)[0].index.equals(s.index) for s in seen)
