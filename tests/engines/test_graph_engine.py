"""The graph engine: law of the draws, seeds, blocks, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from bprune.case import load_case
from bprune.case.output import Output
from bprune.engines.graph import GraphEngine
from bprune.engines.head import class_probabilities, predicted_values
from bprune.errors import SelfCheckError, UnsupportedError
from bprune.inference.run import choose_blocks
from bprune.posterior import read_network
from tests.networks import INPUTS

ALARM = 1e-6


@pytest.fixture(scope="module")
def linear_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One DenseReparameterization layer and nothing else."""
    import tensorflow_probability as tfp
    import tf_keras

    from bprune.training import write_case

    folder = tmp_path_factory.mktemp("linear") / "case"
    model = tf_keras.Sequential([tf_keras.Input((6,)), tfp.layers.DenseReparameterization(3, name="den")])
    write_case(folder, model, task="regression")
    return folder


def test_a_linear_layer_has_the_law_that_its_posterior_says(linear_case: Path) -> None:
    """One DenseReparameterization layer: its logits are Normal with known means and variances.

    False-alarm rate 1e-6 over all comparisons (Bonferroni); the negative control halves the scales.
    """
    case = load_case(linear_case)
    network = read_network(case)
    (posterior,) = network.posteriors
    bias = case.checkpoint.read("den/bias_posterior_loc")
    draws = 4000
    values = GraphEngine(case, network, network.masks, seed=8).draw(INPUTS, range(draws)).values
    mean = INPUTS @ posterior.loc + bias
    variance = np.square(INPUTS.astype(np.float64)) @ np.square(posterior.scale)

    def distance(variance: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
        z_mean = np.abs(values.mean(0) - mean) / np.sqrt(variance / draws)
        z_variance = np.abs(values.var(0, ddof=1) / variance - 1.0) / np.sqrt(2.0 / (draws - 1))
        return float(max(np.max(z_mean), np.max(z_variance)))

    bound = stats.norm.isf(ALARM / 2 / (2 * mean.size))
    assert distance(variance) < bound
    assert distance(variance / 4.0) > bound


def test_masked_weights_do_not_move_and_others_do(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    network = read_network(case)
    masks = {item.name: np.zeros(item.shape, np.bool_) for item in network.posteriors}
    masks["flip/kernel"] = network.masks["flip/kernel"]
    draws = GraphEngine(case, network, masks, seed=1).draw(INPUTS, range(4)).values
    assert np.max(np.ptp(draws, axis=0)) == 0.0, "the layers behind are pruned, so nothing of the first one arrives"


def test_example_bytes_grow_with_the_network_and_blocks_fit(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    network = read_network(case)
    engine = GraphEngine(case, network, network.masks, seed=1)
    assert engine.output_size == 3
    assert 4 * (6 + 8 + 7 + 5 + 3) < engine.example_bytes() < 20_000
    assert choose_blocks(engine, 10, 400).examples == 10
    assert choose_blocks(engine, 10_000_000, 400).examples <= 8192
    assert choose_blocks(engine, 10, 400, batch_size=3).examples == 3


def test_blocks_have_nearly_equal_sizes(mixed_case: Path) -> None:
    case = load_case(mixed_case)
    network = read_network(case)
    engine = GraphEngine(case, network, network.masks, seed=1)
    assert choose_blocks(engine, 8193, 1).examples == 4097


def test_inputs_that_are_not_finite_fail_the_self_check(linear_case: Path) -> None:
    case = load_case(linear_case)
    network = read_network(case)
    engine = GraphEngine(case, network, network.masks, seed=1)
    with pytest.raises(SelfCheckError, match="draw 2 gives values that are not finite"):
        engine.draw(np.full((1, 6), np.nan, np.float32), range(2, 4))


def test_heads() -> None:
    logits = np.array([[0.0, np.log(3.0)], [1e30, -1e30]], np.float32)
    np.testing.assert_allclose(class_probabilities(logits, 2, Output.LOGITS), [[0.25, 0.75], [1.0, 0.0]], rtol=1e-6)
    single = np.array([np.log(3.0), 0.0], np.float32)
    np.testing.assert_allclose(class_probabilities(single, 2, Output.LOGITS), [[0.25, 0.75], [0.5, 0.5]], rtol=1e-6)
    with pytest.raises(SelfCheckError, match="said to hold probabilities, but they are negative or do not sum to 1"):
        class_probabilities(logits, 2, Output.PROBABILITIES)
    with pytest.raises(UnsupportedError, match=r"must be \[example, class\]; it is \[2, 2, 1\] for 2 examples"):
        class_probabilities(logits[..., None], 2, Output.LOGITS)
    with pytest.raises(UnsupportedError, match=r"must be \[example, ...\]; it is \[2, 2\] for 3 examples"):
        predicted_values(logits, 3)


def test_a_graph_that_was_built_for_one_example(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.Graph().as_default():
        source = tf.compat.v1.placeholder(tf.float32, [1, 2, 3], name="x")
        kernel = tf.compat.v1.get_variable("den/kernel", [6, 2], use_resource=True)
        tf.identity(tf.reshape(source, [1, 6]) @ kernel, name="logits")
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            weights = session.run(kernel)
            tf.compat.v1.train.Saver().save(session, str(tmp_path / "model-1.ckpt"))
    (tmp_path / "LayerNames.txt").write_text("den/kernel:0\n")
    (tmp_path / "OpsNames.txt").write_text("# role input x\n# role logits logits\nx\nlogits\n")
    case = load_case(tmp_path)
    network = read_network(case)
    inputs = np.arange(18, dtype=np.float32).reshape(3, 2, 3) / 10
    values = GraphEngine(case, network, network.masks, seed=0).draw(inputs, range(1)).values[0]
    np.testing.assert_allclose(values, softmax(inputs.reshape(3, 6) @ weights, axis=1), rtol=1e-5)
