"""Posteriors are read from the graph: families, estimators, parts; what is not recognised says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.posterior import Network, read_network
from tests.networks import INPUTS, posterior_fn


def test_every_family_and_estimator(mixed_case: Path) -> None:
    network = read_network(load_case(mixed_case))
    found = {item.name: (item.kind, item.family.name, item.shape) for item in network.posteriors}
    assert found == {
        "flip/kernel": ("DenseFlipout", "Normal", (6, 8)),
        "laplace/kernel": ("DenseReparameterization", "Laplace", (8, 7)),
        "lognormal/kernel": ("DenseReparameterization", "LogNormal", (7, 5)),
        "lognormal/bias": ("DenseReparameterization", "Normal", (5,)),
        "local/kernel": ("DenseLocalReparameterization", "Normal", (5, 3)),
    }
    assert network.unrecognised == ()
    assert network.layers == ("flip", "laplace", "lognormal", "local")


def test_kinds_are_found_without_annotations(mixed_case: Path, tmp_path: Path) -> None:
    import shutil

    bare = tmp_path / "bare"
    shutil.copytree(mixed_case, bare)
    names = (bare / "LayerNames.txt").read_text().splitlines()
    (bare / "LayerNames.txt").write_text("\n".join(line for line in names if not line.startswith("#")))
    kinds = {item.layer: item.kind for item in read_network(load_case(bare)).posteriors if item.part == "kernel"}
    assert kinds == {
        "flip": "DenseFlipout",
        "laplace": "DenseReparameterization",
        "lognormal": "DenseReparameterization",
        "local": "DenseLocalReparameterization",
    }


def test_values_are_those_of_the_checkpoint(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    posterior = read_network(case).posteriors[0]
    loc = case.checkpoint.read("flip/kernel_posterior_loc")
    untransformed = case.checkpoint.read("flip/kernel_posterior_untransformed_scale").astype(np.float64)
    scale = np.finfo(np.float32).eps + np.log1p(np.exp(untransformed))
    np.testing.assert_array_equal(posterior.loc, loc)
    np.testing.assert_allclose(posterior.scale, scale, rtol=1e-12)
    np.testing.assert_allclose(posterior.snr, np.abs(loc) / scale, rtol=1e-6)


def test_packed_variable_is_split_into_kernel_and_bias(variational_case: Path) -> None:
    case = load_case(variational_case)
    network = read_network(case)
    assert [(item.name, item.shape) for item in network.posteriors] == [
        ("first/kernel", (6, 4)),
        ("first/bias", (4,)),
        ("second/kernel", (4, 2)),
    ]
    packed = case.checkpoint.read(network.posteriors[0].stored_loc.variable)
    np.testing.assert_array_equal(network.posteriors[0].loc.reshape(-1), packed[:24])
    np.testing.assert_array_equal(network.posteriors[1].loc, packed[24:28])
    shift = np.log(np.expm1(1.0))
    expected = 1e-5 + np.log1p(np.exp(packed[28:52].astype(np.float64) + shift))
    np.testing.assert_allclose(network.posteriors[0].scale.reshape(-1), expected, rtol=1e-6)


def _network_of(folder: Path, layer: Callable[[], Any]) -> Network:
    import tf_keras

    from bprune.training import write_case

    model = tf_keras.Sequential([tf_keras.Input((6,)), layer(), tf_keras.layers.Dense(3, name="last")])
    write_case(folder, model, task="classification")
    return read_network(load_case(folder))


def _full_covariance() -> Any:
    import tensorflow_probability as tfp
    import tf_keras

    from tests.training.worlds import prior_trainable

    def posterior(kernel_size: int, bias_size: int = 0, dtype: Any = None) -> Any:
        n = kernel_size + bias_size
        return tf_keras.Sequential(
            [
                tfp.layers.VariableLayer(tfp.layers.MultivariateNormalTriL.params_size(n), dtype=dtype),
                tfp.layers.MultivariateNormalTriL(n),
            ]
        )

    return tfp.layers.DenseVariational(2, posterior, prior_trainable, name="full")


def _transformed() -> Any:
    """Weights that are a softplus of a Normal: zero is not where the location is zero."""
    import tensorflow_probability as tfp

    def make(dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: Any) -> Any:
        inner = posterior_fn("Normal")(dtype, shape, name, trainable, add_variable_fn)
        return tfp.distributions.TransformedDistribution(inner, tfp.bijectors.Softplus())

    return tfp.layers.DenseReparameterization(
        3, kernel_posterior_fn=make, kernel_divergence_fn=None, name="transformed"
    )


def _exponential_scale() -> Any:
    import tensorflow as tf
    import tensorflow_probability as tfp

    def make(dtype: Any, shape: Any, name: str, trainable: bool, add_variable_fn: Any) -> Any:
        loc = add_variable_fn(name=name + "_loc", shape=shape, dtype=dtype, trainable=trainable)
        rho = add_variable_fn(name=name + "_untransformed_scale", shape=shape, dtype=dtype, trainable=trainable)
        scale = tfp.util.DeferredTensor(rho, tf.exp)
        normal = tfp.distributions.Normal(loc=loc, scale=scale)
        return tfp.distributions.Independent(normal, reinterpreted_batch_ndims=len(shape))

    return tfp.layers.DenseReparameterization(3, kernel_posterior_fn=make, name="exponential")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("layer", "name"), [(_full_covariance, "full"), (_transformed, "transformed"), (_exponential_scale, "exponential")]
)
def test_other_forms_run_but_are_not_prunable(tmp_path: Path, layer: Callable[[], Any], name: str) -> None:
    network = _network_of(tmp_path / "case", layer)
    assert network.posteriors == ()
    assert [item.name.split("/")[0] for item in network.unrecognised] == [name]
    assert "not" in network.unrecognised[0].reason or "go through" in network.unrecognised[0].reason

    from bprune.engines.graph import GraphEngine

    case = load_case(tmp_path / "case")
    draws = GraphEngine(case, network, {}, seed=1).draw(INPUTS, range(3)).values
    assert np.max(np.ptp(draws, axis=0)) > 1e-4


def test_mc_dropout_is_told_apart(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case

    layer = tfp.layers.DenseFlipout(5, name="flip")
    last = tf_keras.layers.Dense(3)
    layer(INPUTS), last(np.zeros((1, 5), np.float32))
    spec = tf.TensorSpec([None, 6], tf.float32)
    write_case(
        tmp_path / "case",
        tf.function(lambda x: last(tf.nn.dropout(layer(x), 0.5))),
        input_spec=spec,
        task="classification",
    )
    network = read_network(load_case(tmp_path / "case"))
    assert [item.layer for item in network.posteriors] == ["flip"] or len(network.posteriors) == 1
    assert len(network.unrecognised) == 1


def test_diverged_training_is_refused(mixed_case: Path, tmp_path: Path) -> None:
    import shutil

    from bprune.case.checkpoint import write_checkpoint
    from bprune.errors import DamagedFileError

    case = load_case(mixed_case)
    values = case.checkpoint.read_all()
    name = "laplace/kernel_posterior_loc"
    broken = np.array(values[name])
    broken[2, 3] = np.nan
    shutil.copytree(mixed_case, tmp_path / "nan")
    write_checkpoint(tmp_path / "nan" / "model-10.ckpt", {**values, name: broken}, overwrite=True)
    with pytest.raises(DamagedFileError, match=r"'laplace/kernel' has the loc nan at \[2, 3\]"):
        read_network(load_case(tmp_path / "nan"))


def test_an_absurd_chain_is_refused(mixed_case: Path, tmp_path: Path) -> None:
    """A hostile graph: the scale goes through more identities than Python can follow."""
    import shutil

    import tensorflow as tf

    from bprune.errors import DamagedFileError

    shutil.copytree(mixed_case, tmp_path / "deep")
    path = tmp_path / "deep" / "model-10.ckpt.meta"
    meta_graph = tf.compat.v1.MetaGraphDef.FromString(path.read_bytes())
    softplus = next(node for node in meta_graph.graph_def.node if node.op == "Softplus")
    source = softplus.input[0]
    for number in range(5000):
        node = meta_graph.graph_def.node.add(name=f"deep_{number}", op="Identity", input=[source])
        node.attr["T"].type = tf.float32.as_datatype_enum
        source = node.name
    softplus.input[0] = source
    path.write_bytes(meta_graph.SerializeToString())
    with pytest.raises(DamagedFileError, match="an endless-looking chain"):
        read_network(load_case(tmp_path / "deep"))
