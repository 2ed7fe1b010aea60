"""The networks have the numbers of parameters that the paper states, and start where it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from examples.paper.networks import NETWORKS, BayesianLayers, DeterministicLayers, build

BAYESIAN = {
    "vgg16": (18_829_066, 18_823_178),
    "resnet18": (9_814_026, 9_810_058),
    "bnn_conv": (3_802_122, 3_802_122),
    "bnn_fc": (538_122, 538_122),
}
DETERMINISTIC = {
    "vgg16": (9_421_898, 9_416_010),
    "resnet18": (4_912_458, 4_908_490),
    "bnn_conv": (1_901_322, 1_901_322),
    "bnn_fc": (269_322, 269_322),
}


def test_every_network_is_counted() -> None:
    assert set(BAYESIAN) == set(DETERMINISTIC) == set(NETWORKS)


@pytest.mark.parametrize("name", BAYESIAN)
def test_parameters_are_those_of_the_paper(name: str) -> None:
    for layers, counts in ((BayesianLayers(1.0), BAYESIAN), (DeterministicLayers(), DETERMINISTIC)):
        model = build(name, layers)
        trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
        assert (model.count_params(), trainable) == counts[name]
        assert model.output_shape == (None, 10)


def test_the_dense_layer_behind_the_convolutions_takes_25600_features() -> None:
    model = build("bnn_conv", DeterministicLayers())
    assert model.get_layer("Conv_1").output_shape == (None, 28, 28, 256)
    assert model.get_layer("Conv_2").output_shape == (None, 10, 10, 256)
    assert model.get_layer("Dense_I_4").input_shape == (None, 25_600)


def values(model: Any) -> list[Any]:
    return [variable.numpy() for variable in model.variables]


def test_initial_values_depend_on_seed_and_layer() -> None:
    for make in (lambda seed: BayesianLayers(1.0, -9.0, seed), DeterministicLayers):
        first, again, other = (values(build("bnn_fc", make(seed), 1 / 8)) for seed in (3, 3, 4))
        for a, b, c in zip(first, again, other, strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.any(a != c) or a.ndim == 1  # biases are 0
        assert not np.array_equal(first[0].ravel()[:100], first[3].ravel()[:100])


def test_scales_start_where_they_are_told_to() -> None:
    """9,344 values of N(-9, 0.1): six standard errors of mean and deviation, false-alarm rate below 1e-8."""
    model = build("bnn_fc", BayesianLayers(1.0, scale_mean=-9.0), 1 / 22)
    found = [item for item in model.variables if "untransformed_scale" in item.name]
    scales = np.concatenate([item.numpy().ravel() for item in found])
    assert len(found) == 3
    assert abs(scales.mean() + 9.0) < 6 * 0.1 / np.sqrt(scales.size)
    assert abs(scales.std() - 0.1) < 6 * 0.1 / np.sqrt(2 * scales.size)


def test_the_divergence_is_weighted() -> None:
    """Against KL(N(m, s) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s."""
    model = build("bnn_fc", BayesianLayers(0.25), 1 / 22)
    model(np.zeros((1, 784), np.float32))
    total = 0.0
    for layer in model.layers:
        posterior = layer.kernel_posterior
        loc, scale = (np.asarray(part, np.float64) for part in (posterior.distribution.loc, posterior.stddev()))
        total += float(np.sum((loc**2 + scale**2 - 1) / 2 - np.log(scale)))
    assert float(sum(model.losses)) == pytest.approx(0.25 * total, rel=1e-5)
