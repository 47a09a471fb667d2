"""A small layout and data for the model's tests."""

from dataclasses import replace

import numpy as np
import pytest

from synthvae.marginals.interactions import NONE
from synthvae.marginals.measure import measure_marginals, query_weights
from synthvae.model.layout import Layout
from synthvae.privacy.mechanisms import Mechanisms
from synthvae.privacy.stream import RandomStream
from synthvae.table import encode
from tests.simulated import CLINIC, clinic, quick


@pytest.fixture(scope="session", params=[0, 8], ids=["plain", "mixture"])
def layout(request: pytest.FixtureRequest) -> Layout:
    settings = quick(CLINIC, 1.0, mixture=request.param)
    codes = encode(clinic(300), CLINIC)
    noise = tuple(tuple(0.0 for _ in query_weights(f, settings.bins)) for f in CLINIC.modelled)
    mechanisms = Mechanisms(RandomStream(test_seed=0), exact=True)
    marginals = measure_marginals(codes, CLINIC.modelled, noise, settings.bins, 1, mechanisms)
    layout = Layout.build(marginals, CLINIC.modelled, settings)
    first = layout.ends[:-1]  # of each column's functions
    products = [(first[1], first[0], NONE), (first[2] + 1, first[1], NONE)]
    products += [(first[4], first[2], first[0] + 1)]
    return replace(layout, products=np.array(products))


@pytest.fixture(scope="session")
def features(layout: Layout) -> np.ndarray:
    return layout.record_features(layout.tokens(encode(clinic(60), CLINIC)))
