"""The networks of the paper have the numbers of parameters that the paper states."""

from __future__ import annotations

import numpy as np
import pytest

from tests.lowering import paper_networks

COUNTS = {
    "bnn_fc": (538_122, 538_122),
    "bnn_conv": (3_802_122, 3_802_122),
    "vgg_16": (18_829_066, 18_823_178),
    "resnet_18": (9_814_026, 9_810_058),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_of_the_paper(name: str) -> None:
    model = getattr(paper_networks, name)()
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert (model.count_params(), trainable) == COUNTS[name]


def test_random_values_depend_on_the_seed_alone() -> None:
    first, second, other = (paper_networks.randomise(paper_networks.resnet_18(1 / 16), seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.variables, second.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert np.any(a.numpy() != c.numpy())
        if a.name.endswith("untransformed_scale:0"):
            assert -9.1 < a.numpy().mean() < -8.9
