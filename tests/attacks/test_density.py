import numpy as np
import pandas as pd
import pytest

from synthvae.attacks.density import BLUR, WIDTH, Kernel, blocks
from synthvae.evaluation.tables import Table
from synthvae.schema import Schema
from synthvae.table import encode
from tests.attacks.known_generators import PEOPLE, people
from tests.evaluation.evaluation_example import table, yes_no


def test_equal_categories_weigh_by_how_rare_they_are() -> None:
    kernel = Kernel(yes_no(1), table([0, 0, 0, 1]))
    tokens = kernel.tokens(table([0, 1]))
    # Masses with half a count for each of four tokens (missing, a, b, c): a 3.5/6, b 1.5/6.
    expected = [BLUR + (1 - BLUR) * 6 / 3.5, BLUR, BLUR, BLUR + (1 - BLUR) * 6 / 1.5]
    found = np.exp(kernel.log_weights(tokens, tokens)).ravel()
    assert found == pytest.approx(expected, rel=1e-5)


def test_numbers_weigh_by_the_distance_of_their_ranks_and_missing_stands_alone() -> None:
    field = {
        "name": "x",
        "type": "integer",
        "constraints": {"minimum": 0, "maximum": 99, "required": False},
    }
    kernel = Kernel(Schema.from_dict({"fields": [field]}), table([*range(100), -1]))
    logs = kernel.log_weights(*(kernel.tokens(table([50, 52, 90, -1])) for _ in range(2)))
    weights = (np.exp(logs) - BLUR) / (1 - BLUR)
    assert weights[0, 1] / weights[0, 0] == pytest.approx(np.exp(-0.02 / WIDTH), rel=0.01)
    assert weights[0, 2] / weights[0, 0] < 0.001
    assert weights[0, 3] == pytest.approx(0, abs=1e-6)
    assert weights[3, 3] == pytest.approx(101, rel=0.01)


def test_weights_are_products_and_the_density_their_mean() -> None:
    codes = Table(*_rows(people(300, 1)))
    kernel = Kernel(PEOPLE, codes)
    tokens = kernel.tokens(codes)
    whole = kernel.log_weights(tokens[:20], tokens)
    single = sum(kernel.log_weights(tokens[:20], tokens, np.array([j])) for j in range(10))
    assert whole == pytest.approx(single, abs=1e-4)
    expected = np.log(np.exp(whole.astype(float)).mean(axis=1))
    assert kernel.log_density(tokens[:20], tokens) == pytest.approx(expected, abs=1e-4)


def test_a_margin_weighs_one_on_average() -> None:
    codes = Table(*_rows(people(2000, 2)))
    kernel = Kernel(PEOPLE, codes)
    tokens = kernel.tokens(codes)
    for j in (0, 9):
        logs = kernel.log_weights(tokens[:200], tokens, np.array([j]))
        assert np.exp(logs).mean(axis=1) == pytest.approx(1, abs=0.05)


def test_blocks_are_all_rows_once() -> None:
    found = [i for part in blocks(7, 2_000_000) for i in range(7)[part]]
    assert found == list(range(7))


def _rows(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    codes = encode(frame, PEOPLE)
    return codes, np.zeros(codes.shape, bool), np.arange(len(codes))
