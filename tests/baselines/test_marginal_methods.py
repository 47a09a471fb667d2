"""What every baseline must do, and what those that learn dependence must find."""

import sys
from functools import cache
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

from synthvae.baselines import NAMES, NEEDS_PGM, installed, make
from synthvae.baselines.base import Baseline, TokenTable, bins_for, tokenise
from synthvae.baselines.marginal_methods import ThreeWayAIM
from synthvae.errors import BudgetError, ConfigError, DataError, SchemaError
from synthvae.privacy.budget import BudgetFilter
from synthvae.privacy.guarantee import GaussianStage, SelectionStage
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.schema import Schema
from synthvae.table import encode, find_problems
from tests.simulated import VISITS, visits

NEEDED = pytest.mark.skipif(find_spec("mbi") is None, reason="the extra pgm (mbi) is not installed")
METHODS = [pytest.param(n, marks=NEEDED) if n in NEEDS_PGM else n for n in NAMES]
SCHEMA = Schema.from_dict(
    {
        "name": "planted",
        "patients": 1000,
        "fields": [
            {"name": "id", "role": "identifier"},
            {"name": "one", "constraints": {"enum": ["a", "b", "c"], "required": False}},
            {"name": "two", "constraints": {"enum": ["x", "y", "z"]}},
            {"name": "level", "type": "integer", "constraints": {"minimum": 0, "maximum": 300}},
        ],
    }
)


def planted(rows: int, seed: int = 0) -> pd.DataFrame:
    """Return a table in which `two` follows `one`, and nothing else hangs together."""
    drawn = np.random.default_rng(seed)
    one = drawn.integers(3, size=rows)
    two = np.where(drawn.random(rows) < 0.9, one, drawn.integers(3, size=rows))
    return pd.DataFrame(
        {
            "id": [f"p{i}" for i in range(rows)],
            "one": pd.Series(list("abc"))[one].where(drawn.random(rows) > 0.05).to_numpy(),
            "two": np.array(list("xyz"))[two],
            "level": np.exp(drawn.normal(3, 1, rows)).clip(0, 300).round().astype(int),
        }
    )


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let estimation and training take few steps: enough for tables of three columns."""
    from synthvae.baselines import marginal_methods, plain_vae

    monkeypatch.setattr(marginal_methods, "ROUNDS_PER_COLUMN", 1)
    monkeypatch.setattr(marginal_methods, "AIM_LAST_STEPS", 250)
    monkeypatch.setattr(marginal_methods, "AIM_STEPS", 250)
    monkeypatch.setattr(marginal_methods, "MST_STEPS", 250)
    monkeypatch.setattr(plain_vae, "STEPS", 30)


@cache
def fitted(name: str, epsilon: float = 20.0) -> Baseline:
    return make(name, SCHEMA, epsilon, 1e-5, test_seed=1).fit(planted(1000))


def test_all_are_installed_where_tests_run() -> None:
    assert installed() == NAMES or find_spec("mbi") is None


@pytest.mark.parametrize("name", METHODS)
def test_records_fit_the_schema(name: str) -> None:
    made = fitted(name).sample(500, seed=3)
    assert list(made.columns) == list(SCHEMA.names)
    assert len(made) == 500
    assert find_problems(made, SCHEMA) == []
    assert made["id"].is_unique
    assert made["one"].isna().any()


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seeds_give_the_same_records(name: str) -> None:
    again = make(name, SCHEMA, 20.0, 1e-5, test_seed=1).fit(planted(1000))
    pd.testing.assert_frame_equal(again.sample(50, seed=3), fitted(name).sample(50, seed=3))
    assert not again.record.valid
    assert not again.sample(50, seed=4).equals(again.sample(50, seed=3))


@pytest.mark.parametrize("name", METHODS)
def test_another_accountant_finds_no_more_than_was_promised(name: str) -> None:
    from dp_accounting.pld import privacy_loss_distribution as pld

    record = fitted(name).record
    total = pld.identity(value_discretization_interval=1e-3)
    for stage in record.stages:
        if isinstance(stage, SelectionStage):
            # The coin with losses of half its range each way, which is a worst one.
            parts = [
                pld.from_randomized_response(
                    2 / (1 + np.exp(epsilon / 2)), 2, value_discretization_interval=1e-3
                )
                for epsilon in stage.epsilons
            ]
        elif isinstance(stage, GaussianStage):
            parts = [
                pld.from_gaussian_mechanism(noise, value_discretization_interval=1e-3)
                for noise in stage.noise_multipliers
            ]
        else:
            step = pld.from_gaussian_mechanism(
                stage.noise_multiplier,
                sampling_prob=stage.sampling_rate,
                value_discretization_interval=1e-3,
            )
            parts = [step.self_compose(stage.steps)]
        for part in parts:
            total = total.compose(part)
    found = total.get_epsilon_for_delta(record.delta)
    assert found <= record.epsilon * 1.02
    assert record.epsilon <= record.epsilon_budget == 20.0


@pytest.mark.parametrize("name", METHODS)
def test_noise_does_not_depend_on_how_many_rows_there_are(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is fitted to the noisy counts does not matter here, and takes the time.
    monkeypatch.setattr("synthvae.baselines.pgm.GraphicalModel.fit", lambda *_: None)
    monkeypatch.setattr("synthvae.baselines.plain_vae._train", lambda *_: {})
    few, many = (
        make(name, SCHEMA, 1.0, 1e-5, test_seed=1).fit(planted(rows)).record.stages
        for rows in (300, 900)
    )
    assert few[0] == many[0]
    # AIM decides by released counts how it goes on; everybody else's log is known beforehand.
    assert few == many or name.startswith("aim")


@pytest.mark.parametrize("name", [pytest.param(n, marks=NEEDED) for n in NEEDS_PGM])
def test_a_planted_pair_is_found(name: str) -> None:
    made = fitted(name).sample(2000, seed=0)
    alike = made["one"].map({"a": "x", "b": "y", "c": "z"}) == made["two"]
    assert alike[made["one"].notna()].mean() > 0.85
    floor = fitted("independent").sample(2000, seed=0)
    assert (floor["one"].map({"a": "x", "b": "y", "c": "z"}) == floor["two"]).mean() < 0.5


@NEEDED
def test_aim_asks_for_the_planted_pair_first() -> None:
    model = fitted("aim")._model
    assert model.cliques[0] == (0, 1)


@NEEDED
@pytest.mark.parametrize(("name", "least", "most"), [("aim", 0.3, 0.7), ("aim-3way", 0.9, 1.0)])
def test_an_exclusive_or_takes_sets_of_three(name: str, least: float, most: float) -> None:
    names = ["one", "two", "differ"]
    fields = [{"name": name, "constraints": {"enum": ["no", "yes"]}} for name in names]
    schema = Schema.from_dict({"name": "parity", "patients": 1000, "fields": fields})
    coins = np.random.default_rng(0).integers(2, size=(1000, 2))
    codes = np.column_stack([coins, coins[:, 0] ^ coins[:, 1]])
    real = pd.DataFrame(np.array(["no", "yes"])[codes], columns=names)
    made = make(name, schema, 5.0, 1e-5, test_seed=1).fit(real).sample(1000, seed=0) == "yes"
    assert least <= ((made["one"] ^ made["two"]) == made["differ"]).mean() <= most


def test_large_triples_are_left_out_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    method = ThreeWayAIM(SCHEMA, 1.0)
    smaller = [(0,), (1,), (2,), (3,), (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    triples = [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)]  # of 30, 300, 500 and 750 cells
    assert method._candidates((2, 3, 5, 50)) == [*smaller, *triples]
    assert method.notes == ()
    monkeypatch.setattr("synthvae.baselines.marginal_methods.MOST_CELLS", 500)
    assert method._candidates((2, 3, 5, 50)) == [*smaller, *triples[:3]]
    assert "".join(method.notes).startswith("1 of 4 triples of columns were no candidates")
    monkeypatch.setattr("synthvae.baselines.marginal_methods.MOST_CELLS_TOGETHER", 700)
    assert method._candidates((2, 3, 5, 50)) == [*smaller, *triples[:2]]
    assert method._candidates((2, 3)) == [(0,), (1,), (0, 1)]
    assert method.notes == ()


def tokens_of(frame: pd.DataFrame, epsilon: float) -> TokenTable:
    budget = BudgetFilter(epsilon, 1e-5)
    return tokenise(frame, VISITS, Mechanisms(RandomStream(0), budget=budget), budget, 0.5)


def test_a_patient_with_many_rows_counts_no_more_than_declared() -> None:
    frame = visits(200)
    crowd = pd.DataFrame({"patient": "p0", "sex": frame["sex"].iloc[0], "score": [40] * 500})
    table = tokens_of(pd.concat([frame, crowd], ignore_index=True), 1.0)
    assert table.patients.present.sum() == len(table.tokens)
    assert (table.patients.present.sum(axis=1) <= 3).all()
    score = table.marginals[1].encode(np.array([40]))[0]
    assert (table.tokens[table.patients.rows[0]][:, 1] == score).sum() <= 3
    # Noise is for all of a patient's rows in one cell.
    assert all(sigma >= 3 * 4.0 for sigma in table.sigmas)


def test_rows_of_patients_point_to_their_own_tokens() -> None:
    frame = visits(50)
    table = tokens_of(frame, 10.0)
    codes = encode(frame, VISITS)
    tokens = np.stack([a.encode(codes[:, j]) for j, a in enumerate(table.marginals)], axis=1)
    whose = pd.factorize(frame["patient"])[0]
    for patient, rows in enumerate(table.patients.rows):
        mine = {tuple(row) for row in tokens[whose == patient]}
        assert {tuple(row) for row in table.tokens[rows[rows >= 0]]} <= mine


def test_the_vae_trains_on_patients_with_several_rows() -> None:
    made = make("plain-vae", VISITS, 5.0, 1e-5, test_seed=0).fit(visits(200)).sample(100, seed=0)
    assert find_problems(made, VISITS) == []


def test_clipping_bounds_what_a_patient_adds() -> None:
    import torch

    from synthvae.baselines.plain_vae import LATENT, Network
    from synthvae.model.clipping import MARGIN, GhostClippedModule

    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network, bare = Network([3, 4]), Network([3, 4])
    bare.load_state_dict(network.state_dict())
    tokens = torch.randint(0, 3, (6, 2, 2), generator=generator)
    rows = torch.cat(
        [torch.nn.functional.one_hot(tokens[..., j], n) for j, n in enumerate([3, 4])], -1
    ).float()
    noise, present = torch.randn((6, 2, LATENT), generator=generator), torch.ones(6, 2)
    clipped = GhostClippedModule(network, 0.5)
    clipped.add_clipped(clipped(rows, noise, present))
    expected = [torch.zeros_like(w, dtype=torch.float64) for w in bare.parameters()]
    for i in range(6):
        bare.zero_grad()
        bare(rows[i : i + 1], noise[i : i + 1], present[i : i + 1]).sum().backward()
        grads = [w.grad for w in bare.parameters() if w.grad is not None]
        norm = torch.sqrt(torch.stack([g.square().sum() for g in grads]).sum())
        for total, grad in zip(expected, grads, strict=True):
            total += grad.double() * MARGIN * min(1.0, 0.5 / float(norm))
    for weight, goal in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.summed_grad, goal, atol=1e-3, rtol=1e-2)


@NEEDED
def test_rare_tokens_are_merged_and_come_apart_by_their_masses() -> None:
    from synthvae.baselines.pgm import _split_groups, merge_rare

    mass = np.array([0.4, 0.03, 0.5, 0.01, 0.06])
    group = merge_rare(mass, 0.05)
    assert group.tolist() == [0, 3, 1, 3, 2]
    drawn = np.repeat([0, 1, 2, 3], [1, 1, 1, 4000])
    tokens = _split_groups(drawn, group, mass, np.random.default_rng(0))
    assert tokens[:3].tolist() == [0, 2, 4]
    assert np.bincount(tokens[3:], minlength=5)[[1, 3]] == pytest.approx([3000, 1000], rel=0.1)
    assert merge_rare(mass, 0.02).tolist() == [0, 1, 2, 3, 4]  # one alone stays as it is


def test_bins_follow_public_numbers_alone() -> None:
    assert bins_for(SCHEMA.replace(patients=7000), 1.0) == 12
    assert bins_for(SCHEMA.replace(patients=10**8), 1.0) == 32
    assert bins_for(SCHEMA, 0.01) == 6


@pytest.mark.parametrize("name", NEEDS_PGM)
def test_without_mbi_the_error_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mbi", None)
    with pytest.raises(ConfigError, match=r"need Private-PGM, .* pip install 'synthvae\[pgm\]'"):
        make(name, SCHEMA, 1.0).fit(planted(100))


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(ConfigError, match="There is no baseline 'ctgan'; the baselines are indep"):
        make("ctgan", SCHEMA, 1.0)
    with pytest.raises(ConfigError, match="independent has not been fitted"):
        make("independent", SCHEMA, 1.0).sample(3, seed=0)
    with pytest.raises(ConfigError, match="independent has not been fitted"):
        make("independent", SCHEMA, 1.0).record  # noqa: B018
    with pytest.raises(BudgetError, match="epsilon is 0"):
        make("independent", SCHEMA, 0)
    with pytest.raises(ConfigError, match="rows is 0"):
        fitted("independent").sample(0, seed=0)
    with pytest.raises(DataError, match="does not fit the schema"):
        make("independent", SCHEMA, 1.0).fit(planted(100).assign(two="other"))
    drafted = SCHEMA.to_dict()
    drafted["fields"][1]["review"] = True
    with pytest.raises(
        SchemaError, match="The field one was drafted from the data and not reviewed yet"
    ):
        make("independent", Schema.from_dict(drafted), 1.0)
