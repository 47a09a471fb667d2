"""maxRows by a noisy histogram: one door, a choice from noisy numbers alone, a price that is kept."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from synthvae import max_rows
from synthvae.baselines import make
from synthvae.errors import BudgetError, ConfigError, DataError, OutputExistsError, SchemaError
from synthvae.max_rows import RowHistogram, count_patients, levels_up_to, pay_for_rows
from synthvae.plan import Plan, make_plan, stages_before_fit
from synthvae.privacy.accounting import compose, gaussian_mu, squared_mu
from synthvae.privacy.guarantee import GaussianStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.promise import guarantee_of
from synthvae.schema import Schema
from tests.simulated import VISITS, visits

TODAY = date(2026, 11, 30)
ENTRY = {"what": "rows per patient", "patientKey": "patient", "epsilon": 0.2, "delta": 1e-6}
ENTRY |= {"on": TODAY, "beyond": 0.05}
PEOPLE = visits(2000)
DECLARED = VISITS.replace(patients=2000)


def paid_for(*entries: dict[str, Any], rows: int = 3) -> Schema:
    return DECLARED.replace(releases=list(entries), maxRows=rows)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "visits.yaml"
    path.write_text(DECLARED.to_yaml())
    return path


def pay(path: Path, frame: pd.DataFrame = PEOPLE, epsilon: float = 0.2, **asked: Any) -> Any:
    stream = Mechanisms(RandomStream(test_seed=3))
    usual: dict[str, Any] = {"mechanisms": stream, "beyond": 0.05, "most": 20}
    return pay_for_rows(path, frame, epsilon, on=TODAY, **(usual | asked))


def test_every_patient_stands_in_one_bin() -> None:
    frame = pd.DataFrame({"patient": [*"aaaaaaa", *"bb", *"ccccc", "d"], "sex": "male", "score": 1})
    counts = count_patients(frame, VISITS, (1, 2, 4, 6))
    assert counts.tolist() == [1, 1, 0, 2]  # five rows and seven: both beyond four
    more = count_patients(frame[frame["patient"] != "c"], VISITS, (1, 2, 4, 6))
    assert np.abs(counts - more).sum() == 1


@pytest.mark.parametrize(
    ("counts", "beyond", "rows"),
    [
        ((90, 6, 4, 0), 0.05, 2),
        ((90, 6, 4, 0), 0.04, 4),  # 4 % is not below it
        ((90, 6, 4, 0), 0.11, 1),
        ((50, 20, 10, 20), 0.05, 6),  # nothing smaller will do: the last one
        ((97, 9, -8, 2), 0.05, 1),  # noise may be negative, and is not cut off
        ((-3, 1, 1, 0), 0.05, 6),  # nobody, as far as noise tells
    ],
)
def test_the_choice_is_a_function_of_noisy_numbers_alone(
    counts: tuple[int, ...], beyond: float, rows: int
) -> None:
    assert RowHistogram((1, 2, 4, 6), counts, sigma=10.0).choose(beyond) == rows


def test_bins_are_public_and_their_noise_is_known() -> None:
    assert levels_up_to(14) == (1, 2, 3, 4, 5, 6, 8, 10, 12, 14)
    histogram = RowHistogram((1, 2, 4), (50, 30, 20), sigma=3.0)
    assert histogram.names == ("1", "2", "3 or more")
    assert histogram.share_beyond(1) == 0.5
    assert histogram.error_beyond(1) == pytest.approx(0.03 * 2**0.5)


def test_it_is_released_through_the_door_with_the_noise_of_its_price(file: Path) -> None:
    mechanisms = Mechanisms(RandomStream(test_seed=3))
    paid = pay(file, mechanisms=mechanisms)
    (entry,) = mechanisms.log
    assert (entry.stage, entry.mechanism, entry.sensitivity) == ("max-rows", "discrete Gaussian", 1)
    assert entry.parameter == paid.histogram.sigma == 1 / gaussian_mu(0.2, paid.release.delta)
    schema = Schema.load(file)
    (stage,) = mechanisms.stages(schema.rows_per_patient)
    assert stages_before_fit(schema) == (
        stage.model_copy(update={"clipping": "one bin per patient"}),
    )


def test_the_outcome_and_its_price_stand_in_the_file(file: Path) -> None:
    paid = pay(file)
    schema = Schema.load(file)
    assert (schema.maxRows, paid.rows) == (5, 5)
    (release,) = schema.releases
    assert (release.epsilon, release.delta, release.on) == (0.2, 1e-5, TODAY)
    assert release.patientKey == "patient"
    assert tuple(release.counts.values()) == paid.histogram.counts
    assert RowHistogram(tuple(release.counts), paid.histogram.counts, 0.0).choose(0.05) == 5
    assert schema.replace(releases=[], maxRows=3) == DECLARED


def test_a_second_time_is_a_second_price(file: Path) -> None:
    first, second = pay(file), pay(file)
    schema = Schema.load(file)
    assert [release.epsilon for release in schema.releases] == [0.2, 0.2]
    assert (first.releases, second.releases) == (1, 2)
    assert 0.2 < second.spent < 0.4
    assert gaussian_mu(second.spent, 1e-5) == pytest.approx(2**0.5 * gaussian_mu(0.2, 1e-5))


def test_whoever_is_stopped_at_the_release_has_paid(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(max_rows, "release_histogram", stop)
        with pytest.raises(KeyboardInterrupt):
            pay(file)
    (release,) = Schema.load(file).releases
    assert (release.epsilon, release.counts, release.maxRows) == (0.2, {}, None)
    assert [bool(each.counts) for each in pay(file) and Schema.load(file).releases] == [False, True]


def test_two_at_a_time_are_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pay_again(*_: Any) -> RowHistogram:
        pay(file)
        raise AssertionError("both have the file")

    monkeypatch.setattr(max_rows, "release_histogram", pay_again)
    with pytest.raises(OutputExistsError, match="Another process is at work"):
        pay(file)
    assert len(Schema.load(file).releases) == 1


def test_another_name_of_the_file_is_the_same_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = file.parent / "folder" / "link.yaml"
    link.parent.mkdir()
    link.symlink_to(file)

    def pay_again(*_: Any) -> RowHistogram:
        pay(link)
        raise AssertionError("both have the file")

    monkeypatch.setattr(max_rows, "release_histogram", pay_again)
    with pytest.raises(OutputExistsError, match="Another process is at work"):
        pay(file)
    assert link.is_symlink()
    assert len(Schema.load(file).releases) == 1


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("score", "it is 'score' now: set it back"),
        (["patient", "sex"], r"it is \['patient', 'sex'\] now"),
        (None, "there is none now"),
    ],
)
def test_a_price_holds_for_the_key_by_which_rows_were_counted(key: Any, message: str) -> None:
    changes = {"patientKey": key} | ({"maxRows": None} if key is None else {})
    with pytest.raises(SchemaError, match=f"for the patientKey 'patient', .*{message}"):
        paid_for(ENTRY).replace(**changes)


def test_a_key_of_several_columns_is_recorded_whatever_their_order(file: Path) -> None:
    file.write_text(DECLARED.replace(patientKey=["sex", "patient"]).to_yaml())
    pay(file)
    schema = Schema.load(file)
    assert schema.releases[0].patientKey == ("sex", "patient")
    assert schema.replace(patientKey=["patient", "sex"]).releases == schema.releases


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"epsilon": 0.0}, BudgetError, "finite number above 0"),
        ({"epsilon": -1.0}, BudgetError, "finite number above 0"),
        ({"epsilon": 3.0}, BudgetError, "more than 0.926 buys nothing"),
        ({"epsilon": 0.02}, BudgetError, "noise alone would decide: .* 100. Take a larger epsilon"),
        ({"delta": 0.1}, BudgetError, "not below 1/n"),
        ({"beyond": 0.0}, ConfigError, "beyond is 0"),
        ({"most": 1}, ConfigError, "most is 1"),
        ({"frame": PEOPLE.assign(score=99)}, DataError, "does not fit the schema"),
    ],
)
def test_what_is_refused_costs_nothing(
    file: Path, asked: dict[str, Any], error: type[Exception], message: str
) -> None:
    before = file.read_bytes()
    with pytest.raises(error, match=message):
        pay(file, **asked)
    assert file.read_bytes() == before


def test_without_a_key_there_is_nothing_to_choose(file: Path) -> None:
    fields = [{"name": "score", "type": "integer", "constraints": {"minimum": 0, "maximum": 40}}]
    file.write_text(Schema.from_dict({"name": "visits", "fields": fields}).to_yaml())
    with pytest.raises(SchemaError, match="has no patientKey"):
        pay(file)


def planned(schema: Schema, epsilon: float = 1.0) -> Plan:
    return make_plan(schema, epsilon, 1e-5)


@pytest.mark.parametrize("entries", [1, 3])
def test_the_epsilon_of_a_fit_is_that_of_both_together(entries: int) -> None:
    schema = paid_for(*[ENTRY] * entries)
    plan = planned(schema)
    found = guarantee_of(plan, 2000, test_mode=False)
    assert found.epsilon is not None
    assert 0.99 < found.epsilon <= 1.0
    before, *_ = found.stages
    assert isinstance(before, GaussianStage)
    assert (before.stage, before.queries) == ("max-rows", entries)
    assert found.epsilon == pytest.approx(compose(found.stages, 1e-5), abs=1e-3)
    assert compose(found.stages[1:], 1e-5) < found.epsilon - 0.01  # of the fit alone
    assert found.epsilon_before_fit == pytest.approx(compose((before,), 1e-5))
    # A release is composed at the delta of the fit, whatever delta it was bought at.
    assert squared_mu((before,)) == pytest.approx(entries * gaussian_mu(0.2, 1e-6) ** 2)
    said = {one.id: one.text for one in found.assumptions}
    assert said["public-inputs"].endswith("the schema records every such release")
    assert "was spent on choosing maxRows" in found.public_inputs[-1]


def test_a_schema_without_releases_is_fitted_as_before() -> None:
    found = guarantee_of(planned(DECLARED), 2000, test_mode=False)
    assert found.epsilon_before_fit is None
    assert not any("maxRows," in text for text in found.public_inputs)


def test_no_noise_of_a_fit_depends_on_max_rows() -> None:
    plans = [planned(paid_for(ENTRY, rows=rows)) for rows in (2, 20)]
    noises = [
        (plan.column_noise, plan.rows_noise, plan.count_noise, plan.pair_noise) for plan in plans
    ]
    assert noises[0] == noises[1]
    trainings = [plan.training for plan in plans]
    steps = [
        (t.sampling_rate, t.noise_multiplier, t.steps, t.expected_batch) for t in trainings if t
    ]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", ["independent", "plain-vae"])
def test_a_baseline_pays_for_it_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthvae.baselines.plain_vae.STEPS", 3)
    record = make(name, paid_for(ENTRY), 1.0, 1e-5).fit(visits(300)).record
    assert isinstance(record.stages[0], GaussianStage)
    assert record.stages[0].stage == "max-rows"
    assert record.epsilon <= 1.0 + 1e-6
    assert record.epsilon > compose(record.stages[1:], 1e-5) + 0.01


def test_a_budget_that_is_spent_is_refused() -> None:
    for fails in (lambda: planned(paid_for(ENTRY), 0.1), lambda: make("mst", paid_for(ENTRY), 0.1)):
        with pytest.raises(BudgetError, match="that the schema records have spent"):
            fails()
