"""The random values of the paper's networks are what the laws rely on."""

from __future__ import annotations

import numpy as np

from tests.lowering import paper_networks


def test_random_values_depend_on_the_seed_alone() -> None:
    networks = (paper_networks.randomise(paper_networks.build("resnet18", 1 / 16), seed=seed) for seed in (1, 1, 2))
    first, second, other = networks
    for a, b, c in zip(first.variables, second.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert np.any(a.numpy() != c.numpy())
        if a.name.endswith("untransformed_scale:0"):
            assert -9.1 < a.numpy().mean() < -8.9
