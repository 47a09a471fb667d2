import numpy as np
import pandas as pd
import pytest

from synthvae.attacks import run_attacks
from synthvae.attacks.setup import EFFORTS, AttackFindings
from synthvae.attacks.shadow import (
    Retrain,
    as_frame,
    attack_by_shadow_models,
    shadow_count,
    vulnerable,
)
from synthvae.evaluation.results import Attack
from synthvae.evaluation.tables import Table, prepare
from synthvae.table import encode
from tests.attacks.known_generators import PEOPLE, fresh, people, tables_of
from tests.simulated import VISITS, visits

DEEP = EFFORTS["deep"]


def silent(what: str, share: float) -> None:
    """Show nothing."""


def copier(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the rows themselves."""
    return rows.sample(frac=1, random_state=seed)


def forgetful(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return rows that have nothing to do with those given."""
    return fresh(rows, seed)


def attacked(retrain: Retrain, seed: int = 0) -> tuple[Attack, AttackFindings]:
    tables = tables_of("fresh", 3, 400, 400)
    found = attack_by_shadow_models(tables, DEEP, retrain, np.random.default_rng(seed), silent)
    return found.attacks[0], found


def test_a_procedure_that_copies_gives_its_vulnerable_records_away() -> None:
    attack, found = attacked(copier)
    assert attack.auc_interval.low > 0.9
    assert attack.tpr_at[2][2].low > 0.5
    assert attack.members == attack.non_members == 100
    assert "retrained models, not the table" in attack.meaning
    assert "10 targets in 40 models" in found.scores[0].detail


def test_a_procedure_that_ignores_its_rows_gives_nothing_away() -> None:
    attack, _ = attacked(forgetful)
    assert attack.auc_interval.low <= 0.5 <= attack.auc_interval.high
    assert all(at.low <= rate for rate, _, at in attack.tpr_at)


@pytest.mark.slow
def test_its_interval_covers_chance() -> None:
    covered = 0
    for seed in range(40):
        attack, _ = attacked(forgetful, seed)
        covered += attack.auc_interval.low <= 0.5 <= attack.auc_interval.high
    assert covered >= 34


def test_models_see_the_rows_that_they_are_said_to_see() -> None:
    seen: list[pd.DataFrame] = []

    def watched(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
        seen.append(rows)
        return copier(rows, seed)

    tables = tables_of("fresh", 3, 400, 400)
    attack_by_shadow_models(tables, DEEP, watched, np.random.default_rng(0), silent)
    held = {row.tobytes() for row in tables.holdout.codes}
    targets = vulnerable(tables.holdout, PEOPLE, DEEP.targets, np.random.default_rng(0))
    aimed = {row.tobytes() for target in targets for row in target.codes}
    assert len(seen) == 40
    for rows in seen:
        codes = {row.tobytes() for row in encode(rows, PEOPLE)}
        assert codes <= held  # nobody of train
        assert len(codes - aimed) == 195
        assert len(rows) == 195 + len(codes & aimed)
    present = [len(rows) - 195 for rows in seen]
    assert sum(present) == 40 * 10 / 2


def test_the_vulnerable_are_those_far_from_others() -> None:
    rows = people(200, 1)
    rows.loc[17, [f"lab {k}" for k in range(7)]] = 99.9
    tables = prepare(people(50, 2), rows, people(50, 3), PEOPLE, np.random.default_rng(0))
    worst = vulnerable(tables.holdout, PEOPLE, 3, np.random.default_rng(0))
    assert (worst[0].codes == tables.holdout.codes[17]).all()
    assert len(worst) == 3


def test_frames_keep_patients_together() -> None:
    frame = visits(20, 1)
    codes = encode(frame, VISITS)
    whose = pd.factorize(frame["patient"])[0]
    table = Table(codes, np.zeros(codes.shape, bool), whose)
    made = as_frame([table.take(whose < 5), table.take(whose == 9)], VISITS)
    assert (encode(made, VISITS) == codes[(whose < 5) | (whose == 9)]).all()
    assert made["patient"].nunique() == 6


def test_models_are_fewer_where_tables_are_large() -> None:
    assert [shadow_count(cells, 40) for cells in (100, 300_000, 10**9)] == [40, 20, 16]


def test_it_says_why_it_did_not_run() -> None:
    tables = tables_of("fresh", 3, 100, 100)
    deep = run_attacks(tables, "deep", np.random.default_rng(0))
    reason = next(score.not_run for score in deep.scores if score.key == "attack.shadow.auc")
    assert "no generator to train again" in str(reason)
    few = tables_of("fresh", 3, 100, 30)
    found = attack_by_shadow_models(few, DEEP, copier, np.random.default_rng(0), silent)
    assert "needs 50 patients in the holdout" in str(found.scores[0].not_run)
