"""How each network is trained unless the command line says otherwise."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SETTINGS", "Setting"]


class Setting(NamedTuple):
    """The paper's choices for a network, and how long it is trained.

    Attributes:
        image_shape: Rows, columns and channels of the pictures.
        scale_mean: Mean of the initial untransformed scales.
        optimizer: Name in tf_keras.optimizers.
        epsilon: The optimizer's; TensorFlow 1's default, which the paper had.
        learning_rate: Of one worker.
        rate_per_worker: Whether the learning rate is multiplied by the number of workers.
        batch: Examples of a step on one worker.
        epochs: Passes over the training set.
        kl_anneal_epochs: Epochs over which the weight of the KL divergence rises from 0.
        final_rate: What the learning rate falls to by the end, as a share; 1 is constant.
    """

    image_shape: tuple[int, int, int]
    scale_mean: float
    optimizer: str
    epsilon: float
    learning_rate: float
    rate_per_worker: bool
    batch: int
    epochs: int
    kl_anneal_epochs: float
    final_rate: float


_CIFAR = Setting(
    image_shape=(32, 32, 3),
    scale_mean=-9.0,
    optimizer="Adam",
    epsilon=1e-8,
    learning_rate=1e-4,
    rate_per_worker=True,
    batch=256,
    epochs=200,
    kl_anneal_epochs=50.0,
    final_rate=1.0,
)
_MNIST = Setting(
    image_shape=(28, 28, 1),
    scale_mean=-3.0,
    optimizer="RMSprop",
    epsilon=1e-10,  # Keras' own, 1e-7, is larger than the squared gradients of the divergence, which it would stop
    learning_rate=1e-3,
    rate_per_worker=False,
    batch=100,
    epochs=24,
    kl_anneal_epochs=0.0,
    final_rate=1.0,
)

SETTINGS: dict[str, Setting] = {"vgg16": _CIFAR, "resnet18": _CIFAR, "bnn_conv": _MNIST, "bnn_fc": _MNIST}
