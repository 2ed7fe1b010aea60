"""What the writers do around training: when they save, what they keep, who writes, and what they refuse."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.case.output import Output
from bprune.case.task import Task
from bprune.errors import AmbiguousCaseError, UnsupportedError, UsageError
from bprune.training import BPruneCallback, BPruneHook, write_case
from bprune.training.chief import is_chief
from tests.networks import INPUTS

LABELS = np.array([0, 1, 2, 1])


def classifier(activation: str | None = "softmax", units: int = 3) -> Any:
    """A small compiled classifier."""
    import tensorflow_probability as tfp
    import tf_keras

    model = tf_keras.Sequential(
        [tf_keras.Input((6,)), tfp.layers.DenseFlipout(units, activation=activation, name="den")]
    )
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None))
    return model


def checkpoints(folder: Path) -> list[str]:
    """The names of the complete checkpoints."""
    return sorted(path.name for path in folder.glob("*.index"))


def test_callback_saves_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    callback = BPruneCallback(tmp_path / "case", every_steps=2, keep=None)
    classifier().fit(INPUTS, LABELS, batch_size=1, epochs=2, shuffle=False, verbose=0, callbacks=[callback])
    assert checkpoints(tmp_path / "case") == [f"model-{step}.ckpt.index" for step in (2, 4, 6, 8)]


def test_callback_saves_every_so_many_epochs_and_keeps_the_last(tmp_path: Path) -> None:
    callback = BPruneCallback(tmp_path / "case", every_epochs=1, keep=2, heldout=(INPUTS, LABELS))
    classifier().fit(INPUTS, LABELS, batch_size=2, epochs=5, verbose=0, callbacks=[callback])
    assert checkpoints(tmp_path / "case") == ["model-10.ckpt.index", "model-8.ckpt.index"]
    assert len(list((tmp_path / "case").glob("*.meta"))) == 2
    case = load_case(tmp_path / "case")
    assert case.files.iteration.number == 10
    assert [item.number for item in case.files.iterations] == [8, 10]
    with np.load(tmp_path / "case" / "heldout.npz", allow_pickle=False) as data:
        np.testing.assert_array_equal(data["x"], INPUTS)
        np.testing.assert_array_equal(data["y"], LABELS)
    assert not [path for path in (tmp_path / "case").iterdir() if path.name.startswith(".")]


def test_callback_takes_the_step_count_on_from_an_earlier_fit(tmp_path: Path) -> None:
    model, callback = classifier(), BPruneCallback(tmp_path / "case", keep=None)
    for _ in range(2):
        model.fit(INPUTS, LABELS, batch_size=2, verbose=0, callbacks=[callback])
    assert checkpoints(tmp_path / "case") == ["model-2.ckpt.index", "model-4.ckpt.index"]


def test_saved_values_are_the_models(tmp_path: Path) -> None:
    model = classifier()
    model.fit(INPUTS, LABELS, verbose=0, callbacks=[BPruneCallback(tmp_path / "case")])
    case = load_case(tmp_path / "case")
    for variable in model.variables:
        np.testing.assert_array_equal(case.checkpoint.read(variable.name.removesuffix(":0")), variable.numpy())


@pytest.mark.parametrize("arguments", [{"every_steps": 0}, {"every_epochs": -1}])
def test_callback_refuses_odd_intervals(tmp_path: Path, arguments: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be at least 1, or None"):
        BPruneCallback(tmp_path, **arguments)  # type: ignore[arg-type]


def test_keep_must_leave_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="keep=0: at least 1 checkpoint has to be kept"):
        BPruneCallback(tmp_path, keep=0)


@pytest.mark.parametrize(
    ("heldout", "message"),
    [
        ((INPUTS, LABELS[:2]), "differ in length: 4 and 2"),
        ((INPUTS, np.array(["a"] * 4)), "labels must be an array of numbers"),
        ((INPUTS,), "a pair of arrays"),
    ],
)
def test_heldout_data_is_checked_before_training(tmp_path: Path, heldout: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BPruneCallback(tmp_path, heldout=heldout)


def test_keras_3_models_are_told_what_to_do(tmp_path: Path) -> None:
    import keras

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    with pytest.raises(UnsupportedError, match=r"built with Keras 3(.|\n)*TF_USE_LEGACY_KERAS=1"):
        write_case(tmp_path / "case", model)
    with pytest.raises(UnsupportedError, match="built with Keras 3"):
        BPruneCallback(tmp_path / "case").set_model(model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "chief"),
    [
        ({}, True),
        ({"OMPI_COMM_WORLD_RANK": "0"}, True),
        ({"OMPI_COMM_WORLD_RANK": "3"}, False),
        ({"PMI_RANK": "1"}, False),
        ({"SLURM_PROCID": "2"}, False),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'}, True),
        ({"TF_CONFIG": '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'}, False),
        (
            {"TF_CONFIG": '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}'},
            False,
        ),
        (
            {"TF_CONFIG": '{"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}'},
            True,
        ),
        ({"TF_CONFIG": '{"cluster": {"ps": ["a:1"], "worker": ["b:1"]}, "task": {"type": "ps", "index": 0}}'}, False),
    ],
)
def test_the_chief_alone_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], chief: bool
) -> None:
    for name in ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK", "SLURM_PROCID", "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_chief() is chief
    prefix = write_case(tmp_path / "case", classifier(), heldout=(INPUTS, LABELS))
    assert (prefix is not None) is chief
    assert (tmp_path / "case").exists() is chief


@pytest.mark.parametrize("rank", [0, 1])
def test_horovod_decides_where_it_is_imported(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    module = types.ModuleType("horovod.tensorflow")
    module.rank = lambda: rank  # type: ignore[attr-defined]
    module.is_initialized = lambda: True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "horovod.tensorflow", module)
    assert is_chief() is (rank == 0)


def test_mirrored_training_gives_the_same_case(tmp_path: Path) -> None:
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        model = classifier()
    model.fit(INPUTS, LABELS, batch_size=2, verbose=0, callbacks=[BPruneCallback(tmp_path / "case")])
    case = load_case(tmp_path / "case")
    assert case.layer_names.variables == (
        "den/kernel_posterior_loc",
        "den/kernel_posterior_untransformed_scale",
        "den/bias_posterior_loc",
    )
    np.testing.assert_array_equal(case.checkpoint.read("den/bias_posterior_loc"), model.variables[-1].numpy())


def _role(folder: Path) -> tuple[Output, str]:
    roles = load_case(folder).roles
    return roles.kind, roles.output


def test_softmax_is_peeled_to_logits(tmp_path: Path) -> None:
    write_case(tmp_path / "case", classifier())
    kind, name = _role(tmp_path / "case")
    assert kind is Output.LOGITS
    assert name.endswith("BiasAdd:0")


def test_binary_sigmoid_counts_as_two_classes(tmp_path: Path) -> None:
    from bprune import infer

    write_case(tmp_path / "case", classifier("sigmoid", units=1), heldout=(INPUTS, np.array([0, 1, 0, 1])))
    with infer(tmp_path / "case", out=tmp_path / "out.h5", mc_iters=3) as results:
        assert results.summary.mean.shape == (4, 2)


def test_multi_label_sigmoid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="a sigmoid with 3 columns, which is a multi-label classifier"):
        write_case(tmp_path / "case", classifier("sigmoid"))


def test_an_unclear_output_is_an_error(tmp_path: Path) -> None:
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((6,)), tf_keras.layers.Dense(3)])
    with pytest.raises(AmbiguousCaseError, match=r"not clear what the model's output means(.|\n)*task='regression'"):
        write_case(tmp_path / "case", model)


@pytest.mark.parametrize(
    ("loss", "task"),
    [("mse", Task.REGRESSION), ("sparse_categorical_crossentropy", Task.CLASSIFICATION), ("huber", Task.REGRESSION)],
)
def test_the_loss_tells_the_task(tmp_path: Path, loss: str, task: Task) -> None:
    import tf_keras

    model = tf_keras.Sequential([tf_keras.Input((6,)), tf_keras.layers.Dense(3)])
    model.compile("sgd", loss)
    write_case(tmp_path / "case", model)
    assert load_case(tmp_path / "case").task is task


def test_predict_replaces_the_models_call(tmp_path: Path) -> None:
    model = classifier(activation=None, units=4)
    write_case(tmp_path / "case", model, predict=lambda x: (model(x)[:, :2], 0.1 + model(x)[:, 2:] ** 2))
    roles = load_case(tmp_path / "case").roles
    assert roles.kind is Output.PREDICTION
    assert roles.scale is not None


def test_a_distribution_tells_mean_and_scale(variational_case: Path) -> None:
    roles = load_case(variational_case).roles
    assert roles.kind is Output.PREDICTION
    assert roles.scale is not None


def test_a_model_that_was_never_called_needs_a_spec(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    class Late(tf_keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = tfp.layers.DenseFlipout(3, name="den")

        def call(self, inputs: Any) -> Any:
            return tf.nn.softmax(self.layer(inputs))

    with pytest.raises(UsageError, match="never called"):
        write_case(tmp_path / "case", Late())
    model = Late()
    model(INPUTS)
    write_case(tmp_path / "case", model, input_spec=tf.TensorSpec([None, 6], tf.float32))
    assert load_case(tmp_path / "case").graph.input_shape == (None, 6)


def test_functions_are_written_with_the_variables_that_they_read(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp

    layer = tfp.layers.DenseReparameterization(3, name="den")
    layer(INPUTS)
    shift = tf.Variable([0.5, 0.0, -0.5], name="shift")

    def network(inputs: Any) -> Any:
        return tf.nn.softmax(layer(inputs) + shift)

    write_case(tmp_path / "case", tf.function(network, input_signature=[tf.TensorSpec([None, 6], tf.float32)]))
    case = load_case(tmp_path / "case")
    np.testing.assert_array_equal(case.checkpoint.read("shift"), shift.numpy())


def test_what_only_training_reads_is_left_out(tmp_path: Path) -> None:
    """A divergence may be weighted with a variable, which is no part of the network."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    weight = tf.Variable(0.5, name="kl_weight")
    layer = tfp.layers.DenseFlipout(
        3, name="den_1", kernel_divergence_fn=lambda q, p, _: tfp.distributions.kl_divergence(q, p) * weight
    )
    write_case(tmp_path / "case", tf_keras.Sequential([tf_keras.Input((6,)), layer]), task="classification")
    case = load_case(tmp_path / "case")
    assert [item.name for item in case.layer_names.layers] == ["den_1"]
    assert {name.split("/")[0] for name in case.checkpoint.entries} == {"den_1"}


def test_a_session_needs_no_names_where_the_graph_is_clear(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp

    with tf.Graph().as_default():
        inputs = tf.compat.v1.placeholder(tf.float32, [None, 6], name="x")
        labels = tf.compat.v1.placeholder(tf.int32, [None], name="y")
        logits = tfp.layers.DenseFlipout(3, name="den")(inputs)
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            write_case(tmp_path / "case", session)
    roles = load_case(tmp_path / "case").roles
    assert (roles.input, roles.output) == ("x:0", "den/BiasAdd:0")


def test_arguments_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="logits go with a session only"):
        write_case(tmp_path, classifier(), logits="den/BiasAdd")
    with pytest.raises(UsageError, match="a network of type int cannot be written"):
        write_case(tmp_path, 3)


def test_hook_in_a_plain_script(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp

    hook = BPruneHook(tmp_path / "case", keep=1, input="x", logits="den/BiasAdd")
    with tf.Graph().as_default():
        inputs = tf.compat.v1.placeholder(tf.float32, [None, 6], name="x")
        tfp.layers.DenseFlipout(3, name="den")(inputs)
        hook.begin()
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for iteration in (5, 7):
                hook.save(session, iteration)
    assert checkpoints(tmp_path / "case") == ["model-7.ckpt.index"]


def test_hook_saves_when_the_global_step_passes_a_multiple(tmp_path: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp

    with tf.Graph().as_default():
        inputs = tf.compat.v1.placeholder(tf.float32, [None, 6], name="x")
        labels = tf.compat.v1.placeholder(tf.int32, [None], name="y")
        logits = tfp.layers.DenseFlipout(3, name="den")(inputs)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        step = tf.compat.v1.train.get_or_create_global_step()
        train = tf.compat.v1.train.AdamOptimizer().minimize(loss, global_step=step)
        hook = BPruneHook(tmp_path / "case", every_steps=3, keep=None)
        with tf.compat.v1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for _ in range(7):
                session.run(train, {inputs: INPUTS, labels: LABELS})
    assert checkpoints(tmp_path / "case") == ["model-3.ckpt.index", "model-6.ckpt.index", "model-7.ckpt.index"]
    names = set(load_case(tmp_path / "case").checkpoint.entries)
    assert {"global_step", "den/kernel_posterior_loc", "den/kernel_posterior_loc/Adam"} <= names


def test_hook_without_a_global_step_says_so(tmp_path: Path) -> None:
    hook = BPruneHook(tmp_path / "case")
    with pytest.raises(UsageError, match="the graph has no global step"):
        hook.before_run(None)


def test_annotations_are_what_the_design_says(tmp_path: Path) -> None:
    write_case(tmp_path / "case", classifier(), heldout=(INPUTS, LABELS))
    layers = (tmp_path / "case" / "LayerNames.txt").read_text().splitlines()
    assert layers[:3] == [
        "# bprune-layers 1",
        "# layer den kind=DenseFlipout family=Normal trainable=39",
        "den/kernel_posterior_loc:0",
    ]
    operations = (tmp_path / "case" / "OpsNames.txt").read_text().splitlines()
    roles = [line.split()[2] for line in operations if line.startswith("# role ")]
    assert roles == ["input", "label", "logits", "log_prob", "accuracy", "sample"]
    assert "input" in operations


def test_families_are_those_of_the_layers(mixed_case: Path, variational_case: Path) -> None:
    families = [
        {layer.name: layer.family for layer in load_case(case).layer_names.layers}
        for case in (mixed_case, variational_case)
    ]
    assert families == [
        {"flip": "Normal", "norm": None, "laplace": "Laplace", "lognormal": "LogNormal", "local": "Normal"},
        {"first": "Normal", "second": "Normal"},
    ]
