"""What weights are multiplied with, against forward passes written out in NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import signal

from bprune.arrays import AnyArray
from bprune.case import Case, load_case
from bprune.engines import measure_activations
from bprune.errors import InputError, SelfCheckError
from bprune.posterior import read_network
from tests.networks import INPUTS


def _mean(case: Case, name: str) -> AnyArray:
    return next(item.mean for item in read_network(case).posteriors if item.name == name)


def test_dense_layers_and_batch_normalisation(mixed_case: Path) -> None:
    """The mean of a LogNormal is not the exponential of its location, and normalisation is not folded away."""
    case = load_case(mixed_case)
    found = measure_activations(case, INPUTS)
    value = {name: case.checkpoint.read(name).astype(np.float64) for name in case.checkpoint.entries}
    first = np.tanh(INPUTS @ _mean(case, "flip/kernel") + value["flip/bias_posterior_loc"])
    scale = value["norm/gamma"] / np.sqrt(value["norm/moving_variance"] + 1e-3)
    second = (first - value["norm/moving_mean"]) * scale + value["norm/beta"]
    third = np.maximum(second @ _mean(case, "laplace/kernel") + value["laplace/bias_posterior_loc"], 0.0)
    fourth = third @ _mean(case, "lognormal/kernel") + _mean(case, "lognormal/bias")
    inputs: dict[str, AnyArray] = {"flip": INPUTS, "laplace": second, "lognormal": third, "local": fourth}
    for layer, x in inputs.items():
        squares = found.mean_square[f"{layer}/kernel"]
        np.testing.assert_allclose(squares, np.mean(x**2, 0)[:, None] * np.ones(squares.shape), rtol=1e-4, atol=1e-9)
    np.testing.assert_array_equal(found.mean_square["lognormal/bias"], np.ones(5))
    assert found.examples == len(INPUTS)
    # a planted error, the first layer without its normalisation, is far outside of the tolerance
    assert np.abs(np.mean(first**2, 0) / found.mean_square["laplace/kernel"][:, 0] - 1.0).max() > 0.05


def test_convolutions(samples: Path) -> None:
    """Every weight of a filter's window sees the mean square of its channel over all positions."""
    case = load_case(samples / "digits_conv")
    with np.load(samples / "digits_conv" / "heldout.npz", allow_pickle=False) as file:
        images = file["x"][:70].reshape(-1, 8, 8, 1)  # more than one block
    found = measure_activations(case, images)
    kernel, bias = _mean(case, "conv_1/kernel"), case.checkpoint.read("conv_1/bias_posterior_loc")
    seen = np.array(
        [
            [signal.correlate2d(image[..., 0], kernel[:, :, 0, unit], "same") + bias[unit] for unit in range(32)]
            for image in images
        ]
    )
    pooled = np.maximum(seen, 0.0).reshape(len(images), 32, 4, 2, 4, 2).max((3, 5))
    np.testing.assert_allclose(found.mean_square["conv_1/kernel"], np.mean(images**2), rtol=1e-5)
    expected = np.mean(pooled**2, (0, 2, 3))[None, None, :, None] * np.ones((3, 3, 32, 64))
    np.testing.assert_allclose(found.mean_square["conv_2/kernel"], expected, rtol=1e-4, atol=1e-9)


def test_packed_variables(variational_case: Path) -> None:
    case = load_case(variational_case)
    found = measure_activations(case, INPUTS)
    first = np.maximum(INPUTS @ _mean(case, "first/kernel") + _mean(case, "first/bias"), 0.0)
    expected = np.mean(first**2, 0)[:, None] * np.ones((4, 2))
    np.testing.assert_allclose(found.mean_square["second/kernel"], expected, rtol=1e-5, atol=1e-9)


def test_data_that_cannot_be_used(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    with pytest.raises(InputError, match="there is no example to measure activations on"):
        measure_activations(case, INPUTS[:0])
    with pytest.raises(SelfCheckError, match=r"the input of \w+ is not finite on this data"):
        measure_activations(case, np.full_like(INPUTS, np.nan))


def test_a_layer_that_is_called_twice_has_the_mean_over_its_calls(tmp_path: Path) -> None:
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case

    shared = tfp.layers.DenseReparameterization(6, name="shared", kernel_divergence_fn=None)
    given = tf_keras.Input((6,))
    last = tfp.layers.DenseFlipout(2, name="last", kernel_divergence_fn=None)
    model = tf_keras.Model(given, last(tf_keras.layers.ReLU()(shared(shared(given)))))
    write_case(tmp_path / "twice", model, task="classification")
    case = load_case(tmp_path / "twice")
    found = measure_activations(case, INPUTS).mean_square
    kernel, bias = _mean(case, "shared/kernel"), case.checkpoint.read("shared/bias_posterior_loc")
    middle = INPUTS @ kernel + bias
    expected = 0.5 * (np.mean(INPUTS.astype(np.float64) ** 2, 0) + np.mean(middle**2, 0))
    np.testing.assert_allclose(found["shared/kernel"], expected[:, None] * np.ones((6, 6)), rtol=1e-4)
    reached = np.mean(np.maximum(middle @ kernel + bias, 0.0) ** 2, 0)
    np.testing.assert_allclose(found["last/kernel"], reached[:, None] * np.ones((6, 2)), rtol=1e-4, atol=1e-9)
