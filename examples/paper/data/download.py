"""MNIST or CIFAR-10 from the internet, kept in `~/.keras/datasets`."""

from __future__ import annotations

from bprune.errors import InputError
from examples.paper.data.images import Images

__all__ = ["fetch"]

_DATASETS = {(28, 28, 1): "mnist", (32, 32, 3): "cifar10"}


def fetch(shape: tuple[int, int, int]) -> Images:
    """Download the data set with pictures of a size through tf_keras.datasets, or take it from Keras' folder.

    Args:
        shape: Rows, columns and channels.

    Raises:
        InputError: If it cannot be downloaded.
    """
    import tf_keras

    name = _DATASETS[shape]
    try:
        train, test = getattr(tf_keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a plain Exception where the download fails
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} could not be downloaded: {reason}",
            hint="Without internet pass a file: --data mnist.npz, or for CIFAR-10 the folder cifar-10-batches-bin.",
        ) from error
    return Images(name, *train, *test)
