"""Small real cases, made the way users make them, and tools to alter their graphs."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray

FEATURES, CLASSES, ITERATION = 6, 3, 14000
TINY = -40.0
"""An untransformed scale: softplus of it is 4e-18, so that only TFP's own floor remains of the scale."""

THIRD_PARTY = (
    "ignore:distutils Version classes are deprecated:DeprecationWarning",
    "ignore:`layer.add_variable` is deprecated:UserWarning",
    "ignore:The initializer RandomNormal is unseeded:UserWarning",
)
"""Warnings of TensorFlow Probability and Keras that a module which makes cases has to let pass."""


@dataclass(frozen=True)
class Made:
    """A case and what its own session says of it."""

    path: Path
    inputs: AnyArray
    outputs: AnyArray


def inputs(examples: int = 4, features: int = FEATURES) -> AnyArray:
    return np.random.default_rng(1).standard_normal((examples, features)).astype(np.float32)


def labels(examples: int = 4) -> AnyArray:
    return np.asarray(np.arange(examples) % CLASSES, np.int32)


# Layers


def flipout(units: int, name: str, seed: int, scale: float = TINY, **arguments: Any) -> Any:
    """TFP's DenseFlipout with known values."""
    import tensorflow_probability as tfp
    import tf_keras

    posterior = tfp.layers.default_mean_field_normal_fn(
        loc_initializer=tf_keras.initializers.RandomNormal(stddev=0.5, seed=seed),
        untransformed_scale_initializer=tf_keras.initializers.Constant(scale),
    )
    return tfp.layers.DenseFlipout(units, kernel_posterior_fn=posterior, name=name, **arguments)


def bayesian_dense(tensor: Any, units: int, name: str, *, scale: float = TINY, use_resource: bool = True) -> Any:
    """A dense layer with sampled weights, written by hand: the same form without TFP and Keras."""
    import tensorflow as tf

    v1 = tf.compat.v1
    shape, dtype = (int(tensor.shape[-1]), units), tensor.dtype.base_dtype
    normal, constant = v1.random_normal_initializer(0.0, 0.5, seed=len(name)), v1.constant_initializer(scale)
    with v1.variable_scope(name, use_resource=use_resource):
        loc = v1.get_variable("kernel_posterior_loc", shape, dtype, normal)
        untransformed = v1.get_variable("kernel_posterior_untransformed_scale", shape, dtype, constant)
        noise = tf.random.normal(shape, dtype=dtype)
        kernel = loc + (tf.constant(1e-7, dtype) + tf.nn.softplus(untransformed)) * noise
        return tf.matmul(tensor, kernel, name="logits")


# Cases


def graph_case(
    folder: Path,
    build: Callable[[], tuple[Any, Any]],
    *,
    given: AnyArray | None = None,
    feeds: dict[str, Any] | None = None,
    name: str = "model-7.ckpt",
) -> Made:
    """Build a TensorFlow 1 graph, run it and save it with a plain saver, as a script without our hook does.

    Args:
        folder: The case directory.
        build: Makes the graph in the default graph; returns input and output.
        given: What to feed to the input; an input that is not a placeholder is not fed.
        feeds: What to feed to further tensors, by name.
        name: The checkpoint's name.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    values = inputs() if given is None else given
    folder.mkdir(parents=True, exist_ok=True)
    with tf.Graph().as_default():
        v1.set_random_seed(5)
        source, output = build()
        fed = {source: values} if source.op.type == "Placeholder" else {}
        saver = v1.train.Saver()
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            result = session.run(output, {**fed, **(feeds or {})})
            saver.save(session, str(folder / name), write_state=False)
    return Made(folder, values, np.asarray(result))


def dense_case(folder: Path, extra: Callable[[Any, Any], Any] | None = None) -> Made:
    """A case of one layer by hand; `extra(input, output)` may add to the graph and return another output."""

    def build() -> tuple[Any, Any]:
        import tensorflow as tf

        source = tf.compat.v1.placeholder(tf.float32, [None, FEATURES], name="x")
        output = bayesian_dense(source, CLASSES, "den_1")
        other = extra(source, output) if extra else None
        if extra is None:
            tf.nn.softmax(output, name="probabilities")
        return source, output if other is None else other

    return graph_case(folder, build)


def _train(folder: Path) -> None:
    """What the predecessor's users ran: two flipout layers, ELBO, Adam, metrics, summaries, a plain saver."""
    import tensorflow as tf
    import tensorflow_probability as tfp

    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        v1.set_random_seed(3)
        images = v1.placeholder(tf.float32, [None, FEATURES])
        label = v1.placeholder(tf.int32, [None])
        layers = [flipout(5, "den_1", 1, -3.0, activation=tf.nn.relu), flipout(CLASSES, "den_2", 2, -3.0)]
        twin = v1.placeholder(tf.float32, [None, FEATURES], name="den_1_input")  # as a Keras Sequential makes
        layers[1](layers[0](twin))
        logits = layers[1](layers[0](images))
        loss = -tf.reduce_mean(tfp.distributions.Categorical(logits=logits).log_prob(label))
        loss += sum(layer.losses[0] for layer in layers) / 100.0
        _, update = v1.metrics.accuracy(labels=label, predictions=tf.argmax(logits, axis=1))
        step = v1.train.get_or_create_global_step()
        train = v1.train.AdamOptimizer(0.01).minimize(loss, global_step=step)
        v1.summary.scalar("elbo", loss)
        v1.summary.histogram("weights", layers[0].kernel_posterior.mean())
        merged = v1.summary.merge_all()
        saver = v1.train.Saver()
        with v1.Session() as session:
            session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
            session.run([train, update, merged], {images: inputs(9), label: labels(9)})
            saver.save(session, str(folder / "checkout" / "model.ckpt"), global_step=0)
            saver.save(session, str(folder / "checkout" / "model.ckpt"), global_step=ITERATION)
        names = [operation.name for operation in graph.get_operations()]
        variables = [variable.name for variable in v1.trainable_variables()]
    (folder / "LayerNames.txt").write_text("".join(f"{name}\n" for name in variables))
    (folder / "Ops_name_BNN.txt").write_text("".join(f"{name}\n" for name in names))
    state = folder / "checkout" / "checkpoint"
    state.write_text(state.read_text().replace('"model', '"/scratch/someone/bnn/checkout/model'))
    np.savez(folder / "heldout.npz", x=inputs(9), y=labels(9))


def _write(folder: Path) -> None:
    """What the training package writes for a Keras model, twice."""
    import tf_keras

    from bprune.training import write_case

    model = tf_keras.Sequential([flipout(5, "den_1", 1, -3.0, activation="relu"), flipout(CLASSES, "den_2", 2, -3.0)])
    model(inputs())
    for iteration in (900, 1000):
        write_case(folder, model, iteration=iteration, task="classification", heldout=(inputs(9), labels(9)))


@functools.cache
def _made() -> Path:
    return Path(tempfile.mkdtemp(prefix="bprune-cases-"))


@functools.cache
def trained_case() -> Path:
    """A full training MetaGraph in the predecessor's layout, two iterations; do not write into it."""
    folder = _made() / "trained"
    (folder / "checkout").mkdir(parents=True)
    _train(folder)
    return folder


@functools.cache
def keras_case() -> Path:
    """A case of the training package, two iterations; do not write into it."""
    folder = _made() / "keras"
    _write(folder)
    return folder


@functools.cache
def small_case() -> Path:
    """A case of one layer by hand and a plain saver; do not write into it."""
    return dense_case(_made() / "small").path


def forget_cases() -> None:
    """Delete what the functions above have made."""
    shutil.rmtree(_made(), ignore_errors=True)


# Altering graphs


def meta_of(case: Path) -> Path:
    """The `.meta` file of the latest checkpoint of a case."""
    from bprune.case.paths import find_case

    return find_case(case).meta


def read_meta(case: Path) -> Any:
    import tensorflow as tf

    return tf.compat.v1.MetaGraphDef.FromString(meta_of(case).read_bytes())


def alter(case: Path, change: Callable[[Any], None]) -> Path:
    """Change the graph of a case in its file."""
    meta_graph = read_meta(case)
    change(meta_graph.graph_def)
    meta_of(case).write_bytes(meta_graph.SerializeToString())
    return case


def node(graph_def: Any, name: str) -> Any:
    return next(item for item in graph_def.node if item.name == name)


def all_files(*folders: Path) -> dict[Path, bytes]:
    """Every file below some folders, with its content."""
    return {path: path.read_bytes() for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()}


def copied(case: Path, target: Path) -> Path:
    shutil.copytree(case, target)
    return target
