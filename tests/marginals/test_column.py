"""One column's marginal: codes to tokens and back, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthvae.marginals.column import ColumnMarginal


def marginal() -> ColumnMarginal:
    """Ten lattice points in cells 0-3, 4, 5-9; bins {0-3}, {4}, {5-9}; one special; missing."""
    return ColumnMarginal(
        starts=np.array([0, 4, 5]),
        cell_mass=np.array([0.2, 0.3, 0.1]),
        cell_bin=np.array([0, 1, 2]),
        mass=np.array([0.2, 0.3, 0.1, 0.25, 0.15]),
        size=10,
        specials=1,
        nullable=True,
    )


def test_codes_become_tokens() -> None:
    codes = np.array([0, 3, 4, 5, 9, -2, -1])
    assert marginal().encode(codes).tolist() == [0, 0, 1, 2, 2, 3, 4]


def test_tokens_become_codes_of_their_cells() -> None:
    tokens = np.array([0, 0, 1, 2, 2, 3, 4])
    uniforms = np.array([0.0, 0.99, 0.5, 0.0, 0.99, 0.5, 0.5])
    assert marginal().decode(tokens, uniforms).tolist() == [0, 3, 4, 5, 9, -2, -1]


def test_decoding_follows_the_masses_of_a_bins_cells() -> None:
    two_cells = ColumnMarginal(
        np.array([0, 4]),
        np.array([0.75, 0.25]),
        np.array([0, 0]),
        np.array([1.0]),
        8,
        0,
        False,
    )
    uniforms = (np.arange(1000) + 0.5) / 1000
    codes = two_cells.decode(np.zeros(1000, np.int64), uniforms)
    counts = np.bincount(codes, minlength=8)
    assert counts[:4] == pytest.approx([187.5] * 4, abs=1)
    assert counts[4:] == pytest.approx([62.5] * 4, abs=1)


def test_limits_are_honoured_exactly() -> None:
    uniforms = np.linspace(0, 1, 101, endpoint=False)
    tokens = np.arange(101) % 2 * 2
    codes = marginal().decode(tokens, uniforms, limits=(2, 6))
    assert set(codes) == {2, 3, 5, 6}


def test_the_mass_of_cells_within_limits() -> None:
    assert marginal().mass_within(2, 6) == pytest.approx([0.1, 0.3, 0.04])


@settings(deadline=None)
@given(st.integers(0, 4), st.floats(0, 1, exclude_max=True))
def test_a_token_survives_decoding(token: int, uniform: float) -> None:
    tokens = np.array([token])
    assert marginal().encode(marginal().decode(tokens, np.array([uniform]))).tolist() == [token]
