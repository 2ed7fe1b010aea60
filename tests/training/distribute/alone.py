"""The trainings of `worker.py` by Keras alone, in one process: what every mode must equal."""

from __future__ import annotations

from typing import Any

import tf_keras

from tests.training.distribute import networks


def kl_only() -> list[float]:
    """Four steps on the KL divergence alone."""
    model, optimizer = networks.bayesian(networks.EXAMPLES), tf_keras.optimizers.SGD(1.0)
    return _trained(model, optimizer, networks.no_loss, epochs=1)


def noise_free() -> list[float]:
    """Four epochs of a network that draws nothing, with the batches of two workers together."""
    return _trained(networks.plain(), tf_keras.optimizers.Adam(0.01), networks.loss(), epochs=4)


def _trained(model: Any, optimizer: Any, loss: Any, epochs: int) -> list[float]:
    model.compile(optimizer, loss)
    networks.set_values(model, start=1.0)
    model.fit(networks.batches(8)(0, 1).repeat(), steps_per_epoch=4, epochs=epochs, verbose=0)
    return networks.sums(model)
