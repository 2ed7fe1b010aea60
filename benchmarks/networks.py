"""The networks of the benchmark: TFP models with trained posteriors, and the data they were trained for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras

from bprune import load_case
from bprune.arrays import AnyArray, BoolArray
from bprune.posterior import PRUNED_UNTRANSFORMED_SCALE, read_network
from bprune.training import write_case

__all__ = ["NETWORKS", "Trained", "load", "shared_data"]

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = ("fc", "conv", "digits_fc", "digits_conv")
"""The paper's BNN-FC and BNN-Conv, trained on MNIST (these need the shared data), and two bundled sample cases."""

_layers, _tfpl = tf_keras.layers, tfp.layers


@dataclass(frozen=True)
class Trained:
    """A trained network and its test set.

    Attributes:
        name: One of `NETWORKS`.
        model: TFP's own layers with the posteriors.
        inputs: `[example, ...]`, float32, in [0, 1].
        labels: `[example]`.
        posteriors: `<layer>/kernel_loc`, `<layer>/kernel_scale` (a standard deviation), `<layer>/bias_loc`.
    """

    name: str
    model: Any
    inputs: AnyArray
    labels: AnyArray
    posteriors: Mapping[str, AnyArray]

    def write(self, folder: Path | str) -> Path:
        """The same network as a case."""
        write_case(folder, self.model, task="classification")
        return Path(folder)

    def prune(self, masks: Mapping[str, BoolArray]) -> None:
        """Give the model its posteriors, with location and scale 0 where a weight is pruned."""
        _assign(self.model, self.posteriors, masks)


def shared_data() -> Path | None:
    """The data folder beside the project, which users do not have."""
    folder = Path(os.environ.get("BPRUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "mnist.npz").is_file() else None


def load(name: str) -> Trained:
    """One of `NETWORKS`.

    Raises:
        FileNotFoundError: If it needs the shared data and there is none.
    """
    if name in {"fc", "conv"}:
        folder = shared_data()
        if folder is None:
            raise FileNotFoundError(f"the network {name} needs the shared data; set BPRUNE_SHARED_DATA to its folder")
        with np.load(folder / "posteriors" / f"mnist_bnn_{name}.npz", allow_pickle=False) as file:
            posteriors = {key: file[key].astype(np.float32) for key in file.files}
        with np.load(folder / "mnist.npz", allow_pickle=False) as file:
            pixels, labels = file["x_test"] / np.float32(255.0), file["y_test"]
    else:
        posteriors, pixels, labels = _sample(ROOT / "sample_checkpoints" / name)
    model = _MODELS[name]()
    _assign(model, posteriors, None)
    return Trained(name, model, pixels.reshape(-1, *model.input_shape[1:]), labels, posteriors)


def _sample(folder: Path) -> tuple[dict[str, AnyArray], AnyArray, AnyArray]:
    case = load_case(folder)
    posteriors: dict[str, AnyArray] = {}
    for item in read_network(case).posteriors:
        posteriors[f"{item.name}_loc"] = item.loc
        posteriors[f"{item.name}_scale"] = item.scale.astype(np.float32)
        posteriors[f"{item.layer}/bias_loc"] = case.checkpoint.read(f"{item.layer}/bias_posterior_loc")
    with np.load(folder / "heldout.npz", allow_pickle=False) as file:
        return posteriors, file["x"], file["y"]


def _assign(model: Any, posteriors: Mapping[str, AnyArray], masks: Mapping[str, BoolArray] | None) -> None:
    """Set the variables of a model's Bayesian layers; a pruned weight gets location and scale 0."""
    for layer in model.layers:
        if not hasattr(layer, "kernel_posterior"):
            continue
        loc, scale = posteriors[f"{layer.name}/kernel_loc"], posteriors[f"{layer.name}/kernel_scale"]
        floor = np.finfo(np.float32).eps  # TFP adds it behind the softplus
        untransformed = np.log(np.expm1(scale.astype(np.float64) - floor))
        if masks is not None:
            kept = masks[f"{layer.name}/kernel"]
            loc, untransformed = loc * kept, np.where(kept, untransformed, PRUNED_UNTRANSFORMED_SCALE)
        values = {
            "kernel_posterior_loc": loc,
            "kernel_posterior_untransformed_scale": untransformed,
            "bias_posterior_loc": posteriors[f"{layer.name}/bias_loc"],
        }
        for variable in layer.trainable_variables:
            variable.assign(values[variable.name.split("/")[-1].removesuffix(":0")])


def _dense(units: int, name: str, activation: str | None = "relu") -> Any:
    # Without a divergence, so that the loop has no training term to compute.
    return _tfpl.DenseFlipout(units, activation=activation, name=name, kernel_divergence_fn=None)


def _conv(units: int, size: int, padding: str, name: str) -> Any:
    return _tfpl.Convolution2DFlipout(
        units, size, padding=padding, activation="relu", name=name, kernel_divergence_fn=None
    )


def _sequential(shape: tuple[int, ...], *layers: Any) -> Any:
    tf.random.set_seed(0)
    return tf_keras.Sequential([tf_keras.Input(shape), *layers])


def _fc() -> Any:
    return _sequential((784,), _dense(256, "den_1"), _dense(256, "den_2"), _dense(10, "den_3", None))


def _paper_conv() -> Any:
    return _sequential(
        (28, 28, 1),
        _conv(256, 5, "same", "Conv_1"),
        _layers.MaxPooling2D(2),
        _conv(256, 5, "valid", "Conv_2"),
        _layers.Flatten(),
        _dense(10, "Dense_I_4", None),
    )


def _digits_fc() -> Any:
    flat = _layers.Flatten()
    return _sequential((8, 8, 1), flat, _dense(64, "den_1"), _dense(64, "den_2"), _dense(10, "den_3", None))


def _digits_conv() -> Any:
    return _sequential(
        (8, 8, 1),
        _conv(32, 3, "same", "conv_1"),
        _layers.MaxPooling2D(2),
        _conv(64, 3, "same", "conv_2"),
        _layers.MaxPooling2D(2),
        _layers.Flatten(),
        _dense(10, "den_1", None),
    )


_MODELS = {"fc": _fc, "conv": _paper_conv, "digits_fc": _digits_fc, "digits_conv": _digits_conv}
