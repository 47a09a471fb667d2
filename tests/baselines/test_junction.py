from importlib.util import find_spec
from itertools import combinations

import numpy as np
import pytest

from synthvae.baselines.junction import JunctionTree, calibrated, stratified, tree_cells

SIZES = (2, 3, 2, 4, 2)


@pytest.fixture
def model() -> tuple[JunctionTree, np.ndarray]:
    """A chain (0, 1), (1, 2, 3) and column 4 on its own; and its joint, multiplied out."""
    drawn = np.random.default_rng(0)
    left = drawn.random((2, 3))
    right = drawn.random((3, 2, 4))
    right *= (left.sum(axis=0) / right.sum(axis=(1, 2)))[:, None, None]
    left, right = left / left.sum(), right / right.sum()
    alone = np.array([0.3, 0.7])
    joint = np.einsum("ab,bcd,e,b->abcde", left, right, alone, 1 / left.sum(axis=0))
    tree = JunctionTree(((0, 1), (1, 2, 3), (4,)), (left, right, alone), ((0, 1),), 5)
    return tree, joint


def sets_of(columns: int) -> list[tuple[int, ...]]:
    return [c for size in (1, 2, 3) for c in combinations(range(columns), size)]


def test_margins_are_those_of_the_whole_joint(model: tuple[JunctionTree, np.ndarray]) -> None:
    tree, joint = model
    assert joint.sum() == pytest.approx(1)
    margins = tree.margins(sets_of(5))
    assert len(margins) == 5 + 10 + 10
    for columns, found in margins.items():
        gone = tuple(c for c in range(5) if c not in columns)
        np.testing.assert_allclose(found, joint.sum(axis=gone), atol=1e-12)


def test_longer_chains_carry_columns_through() -> None:
    drawn = np.random.default_rng(1)
    start, steps = np.array([0.2, 0.8]), drawn.dirichlet([1, 1], (3, 2))
    chain = [start[:, None] * steps[0]]
    for step in steps[1:]:
        chain.append(chain[-1].sum(axis=0)[:, None] * step)
    tree = JunctionTree(((0, 1), (1, 2), (2, 3)), tuple(chain), ((0, 1), (1, 2)), 4)
    margins = tree.margins([(0, 3), (0, 1, 3)])
    np.testing.assert_allclose(margins[0, 3], start[:, None] * (steps[0] @ steps[1] @ steps[2]))
    beyond = np.einsum("a,ab,bd->abd", start, steps[0], steps[1] @ steps[2])
    np.testing.assert_allclose(margins[0, 1, 3], beyond)


def test_records_have_the_margins_of_the_model(model: tuple[JunctionTree, np.ndarray]) -> None:
    tree, joint = model
    rows = tree.sample(20_000, np.random.default_rng(0))
    found = np.histogramdd(rows, bins=[np.arange(size + 1) - 0.5 for size in SIZES])[0] / 20_000
    # Cliques come out nearly exactly, by strata; the whole with a sample's noise.
    np.testing.assert_allclose(found.sum(axis=(2, 3, 4)), joint.sum(axis=(2, 3, 4)), atol=2e-4)
    np.testing.assert_allclose(found.sum(axis=(0, 4)), joint.sum(axis=(0, 4)), atol=2e-3)
    np.testing.assert_allclose(found, joint, atol=0.01)


def test_a_group_that_has_no_mass_is_drawn_from_the_clique() -> None:
    left, right = np.array([[0.5, 0.5]]), np.array([[0.0, 1.0], [0.0, 0.0]])
    tree = JunctionTree(((0, 1), (1, 2)), (left, right), ((0, 1),), 3)
    assert (tree.sample(50, np.random.default_rng(0))[:, 2] == 1).all()


def test_strata_hold_one_each() -> None:
    group = np.array([0, 3, 0, 0, 3])
    uniforms = stratified(group, np.random.default_rng(0))
    assert sorted((uniforms[group == 0] * 3).astype(int)) == [0, 1, 2]
    assert sorted((uniforms[group == 3] * 2).astype(int)) == [0, 1]


def test_calibration_gives_the_margins_of_the_product() -> None:
    drawn = np.random.default_rng(2)
    cliques, edges = [(0, 1), (1, 2, 3), (2, 3, 4), (4,)], [(1, 0), (1, 2), (2, 3)]
    tables = [
        ((1, 0), drawn.normal(0, 3, (3, 2))),
        ((1, 2), drawn.normal(0, 3, (3, 2))),
        ((3, 2), drawn.normal(0, 3, (4, 2))),
        ((2, 4), drawn.normal(-50, 3, (2, 2))),
        ((4,), np.array([500.0, 501.0])),
    ]
    names = "abcde"
    logs = np.zeros(SIZES)
    for columns, table in tables:
        word = "".join(names[c] for c in columns)
        logs = logs + np.einsum(f"{word},{names}->{names}", table, np.ones(SIZES))
    joint = np.exp(logs - logs.max())
    joint /= joint.sum()
    tree = calibrated(cliques, edges, tables, SIZES)
    found = dict(zip(tree.cliques, tree.marginals, strict=True)) | tree.margins(sets_of(5))
    for columns, margin in found.items():
        gone = tuple(c for c in range(5) if c not in columns)
        np.testing.assert_allclose(margin, joint.sum(axis=gone), atol=1e-12)


@pytest.mark.skipif(find_spec("mbi") is None, reason="the extra pgm (mbi) is not installed")
def test_a_trees_size_is_that_of_mbis_own_tree() -> None:
    from synthvae.baselines.pgm import load_mbi

    mbi, drawn = load_mbi(), np.random.default_rng(3)
    for _ in range(50):
        levels = tuple(map(int, drawn.integers(2, 9, size=7)))
        cliques = [
            tuple(map(int, np.sort(drawn.permutation(7)[: drawn.integers(1, 4)])))
            for _ in range(drawn.integers(1, 8))
        ]
        cliques.append((0, 1, 2))  # a triangle: no tree of pairs
        domain = mbi.Domain(range(7), levels)
        megabytes = mbi.junction_tree.hypothetical_model_size(domain, cliques)
        assert tree_cells(levels, cliques) * 8 / 2**20 == pytest.approx(megabytes)
