"""Train one small network per layer kind in a process of its own, write its case, and keep draws for comparison.

Run as `python worlds.py OUT FORM WRITER KIND...`: FORM is sequential, functional or subclassed; WRITER is callback,
hook or write_case.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bprune.training import BPruneCallback, BPruneHook, write_case

tfd, tfpl = tfp.distributions, tfp.layers
DRAWS = 600
EXAMPLES = 3
SHAPES = {"Dense": (6,), "Conv1D": (7, 2), "Conv2D": (6, 6, 2), "Conv3D": (4, 4, 4, 2)}
KINDS = {
    "DenseFlipout": "Dense",
    "DenseReparameterization": "Dense",
    "DenseLocalReparameterization": "Dense",
    "DenseVariational": "Dense",
    "Convolution1DFlipout": "Conv1D",
    "Convolution1DReparameterization": "Conv1D",
    "Convolution2DFlipout": "Conv2D",
    "Convolution2DReparameterization": "Conv2D",
    "Convolution3DFlipout": "Conv3D",
    "Convolution3DReparameterization": "Conv3D",
}
CLASSES = 3


def posterior_mean_field(kernel_size: int, bias_size: int = 0, dtype: Any = None) -> Any:
    """The posterior of TFP's tutorials: one packed variable of location and scale."""
    n = kernel_size + bias_size
    c = np.log(np.expm1(1.0))

    def make(t: Any) -> Any:
        normal = tfd.Normal(loc=t[..., :n], scale=1e-5 + tf.nn.softplus(c + t[..., n:]))
        return tfd.Independent(normal, reinterpreted_batch_ndims=1)

    initial = tf_keras.initializers.RandomNormal(mean=-1.0, stddev=0.5, seed=3)
    return tf_keras.Sequential(
        [tfpl.VariableLayer(2 * n, dtype=dtype, initializer=initial), tfpl.DistributionLambda(make)]
    )


def prior_trainable(kernel_size: int, bias_size: int = 0, dtype: Any = None) -> Any:
    """The prior of TFP's tutorials."""
    n = kernel_size + bias_size

    def make(t: Any) -> Any:
        return tfd.Independent(tfd.Normal(loc=t, scale=1.0), reinterpreted_batch_ndims=1)

    return tf_keras.Sequential([tfpl.VariableLayer(n, dtype=dtype), tfpl.DistributionLambda(make)])


def bayesian_layer(kind: str) -> Any:
    """One layer of the kind, with scales large enough to show."""
    if kind == "DenseVariational":
        return tfpl.DenseVariational(5, posterior_mean_field, prior_trainable, kl_weight=0.01, name="bayes")
    wide = tf_keras.initializers.RandomNormal(mean=-1.0, stddev=0.3, seed=1)
    arguments = {
        "kernel_posterior_fn": tfpl.default_mean_field_normal_fn(untransformed_scale_initializer=wide),
        "activation": "relu",
        "name": "bayes",
    }
    if kind.startswith("Dense"):
        return getattr(tfpl, kind)(5, **arguments)
    return getattr(tfpl, kind)(4, 3, padding="same" if "Flipout" in kind else "valid", **arguments)


def plain_layers() -> list[Any]:
    """Ordinary layers around the Bayesian one."""
    return [tf_keras.layers.Flatten(), tf_keras.layers.BatchNormalization(name="norm")]


def last_layer() -> Any:
    """A second Bayesian layer, of another kind."""
    return tfpl.DenseReparameterization(CLASSES, name="logits")


class Subclassed(tf_keras.Model):  # type: ignore[misc]
    """The network as a class of the user's."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first = bayesian_layer(kind)
        self.middle = plain_layers()
        self.last = last_layer()

    def call(self, inputs: Any, training: bool = False) -> Any:
        values = self.first(inputs)
        for layer in self.middle:
            values = layer(values, training=training) if "norm" in layer.name else layer(values)
        return self.last(values)


def make_model(form: str, kind: str) -> Any:
    """The network of a kind in a form."""
    shape = SHAPES[KINDS[kind]]
    if form == "subclassed":
        return Subclassed(kind)
    layers = [bayesian_layer(kind), *plain_layers(), last_layer()]
    if form == "sequential":
        return tf_keras.Sequential([tf_keras.Input(shape), *layers])
    inputs = values = tf_keras.Input(shape)
    for layer in layers:
        values = layer(values)
    return tf_keras.Model(inputs, values)


def data(kind: str) -> tuple[Any, Any]:
    """Training data."""
    generator = np.random.default_rng(7)
    shape = SHAPES[KINDS[kind]]
    return generator.normal(size=(64, *shape)).astype(np.float32), generator.integers(0, CLASSES, 64).astype(np.int32)


def train_eager(out: Path, form: str, writer: str, kind: str) -> None:
    """Train with Keras or with a loop, and write with the callback or with write_case."""
    x, y = data(kind)
    model = make_model(form, kind)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(0.05), loss)
    callbacks = [BPruneCallback(out, heldout=(x[:8], y[:8]))] if writer == "callback" else []
    model.fit(x, y, batch_size=32, epochs=1, verbose=0, callbacks=callbacks)
    if writer == "write_case":
        write_case(out, model, iteration=2, heldout=(x[:8], y[:8]))
    call = tf.function(lambda inputs: model(inputs, training=False))
    reference = np.stack([call(x[:EXAMPLES]).numpy() for _ in range(DRAWS)])
    names = {variable.name: variable.numpy() for variable in model.variables}
    np.savez(out.with_suffix(".npz"), x=x[:EXAMPLES], logits=reference, **{f"value/{k}": v for k, v in names.items()})


def train_session(out: Path, form: str, kind: str) -> None:
    """Train a TensorFlow 1 graph under a MonitoredTrainingSession with the hook."""
    x, y = data(kind)
    with tf.Graph().as_default():
        inputs = tf.compat.v1.placeholder(tf.float32, [None, *x.shape[1:]], name="images")
        labels = tf.compat.v1.placeholder(tf.int32, [None], name="labels")
        logits = make_model(form, kind)(inputs)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits))
        step = tf.compat.v1.train.get_or_create_global_step()
        train = tf.compat.v1.train.RMSPropOptimizer(0.01).minimize(loss, global_step=step)
        hook = BPruneHook(out, heldout=(x[:8], y[:8]), input=inputs, logits=logits, label=labels)
        with tf.compat.v1.train.MonitoredTrainingSession(hooks=[hook]) as session:
            for _ in range(3):
                session.run(train, {inputs: x, labels: y})

            def draw(step_context: Any) -> Any:
                run = step_context.session.run
                return np.stack([run(logits, {inputs: x[:EXAMPLES]}) for _ in range(DRAWS)])

            reference = session.run_step_fn(draw)
    np.savez(out.with_suffix(".npz"), x=x[:EXAMPLES], logits=reference)


def main() -> None:
    """Train all kinds that the command line names."""
    folder, form, writer, *kinds = sys.argv[1:]
    for kind in kinds:
        tf_keras.utils.set_random_seed(11)
        tf_keras.backend.clear_session()
        out = Path(folder) / f"{kind}-{form}-{writer}"
        if writer == "hook":
            train_session(out, form, kind)
        else:
            train_eager(out, form, writer, kind)


if __name__ == "__main__":
    main()
