"""Predictions with known laws: a network whose draws share noise between examples, and plain tables."""

from __future__ import annotations

import numpy as np

from bprune.arrays import AnyArray, Float64Array, IntArray
from bprune.engines.base import Draws
from bprune.inference.predict import predictions_of
from bprune.inference.statistics import ClassificationMoments, RegressionMoments
from bprune.metrics import ClassPredictions, ValuePredictions

CLASSES = 4


def table(examples: int = 60, classes: int = 7) -> tuple[AnyArray, IntArray]:
    """Probabilities from a formula, some on the edges of bins and some certain, and labels; float32."""
    ramp = np.arange(examples * classes).reshape(examples, classes)
    weights = ((ramp * 37 + ramp**2 * 3) % 101 + 0.5) ** 4
    p = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    p[0], p[1] = np.eye(classes)[2], np.eye(classes)[5]
    for row, top in enumerate((0.2, 0.4, 0.6, 0.8, 1 / 3, 2 / 3), start=2):
        p[row] = np.float32((1.0 - top) / (classes - 1))
        p[row, row % classes] = np.float32(top)
    labels = np.where(np.arange(examples) % 3 == 0, (np.arange(examples) * 5) % classes, p.argmax(axis=-1))
    return p, labels.astype(np.int64)


def plain(p: AnyArray) -> ClassPredictions:
    """Predictions without blocks."""
    return ClassPredictions(p, np.zeros(len(p)))


class Classifier:
    """A network with `CLASSES` classes: logits with noise that examples share and noise of their own.

    Args:
        examples: Number of examples.
        seed: Seed of the examples.
        shared: Standard deviation of the noise that all examples share.
        own: Standard deviation of each example's own noise.
    """

    def __init__(self, examples: int, seed: int = 0, *, shared: float = 0.8, own: float = 0.5) -> None:
        rng = np.random.default_rng(seed)
        self.labels: IntArray = rng.integers(0, CLASSES, examples)
        self._logits = rng.normal(0.0, 1.0, (examples, CLASSES))
        self._logits[np.arange(examples), self.labels] += 1.0
        self._direction = rng.normal(0.0, 1.0, (3, examples, CLASSES))
        self._shared, self._own = shared, own

    def draws(self, seed: int, mc_iters: int, *, bias: float = 0.0) -> AnyArray:
        """Probabilities, `[draw, example, class]`, float32; `bias` moves the logit of class 0."""
        rng = np.random.default_rng(seed + 1_000_000)
        noise = self._shared * np.einsum("sk,kec->sec", rng.normal(size=(mc_iters, 3)), self._direction) / 3**0.5
        logits = self._logits + noise + self._own * rng.normal(size=(mc_iters, *self._logits.shape))
        logits[..., 0] += bias
        p = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray((p / p.sum(axis=-1, keepdims=True)).astype(np.float32))

    def predict(self, seed: int, mc_iters: int, *, bias: float = 0.0) -> ClassPredictions:
        """The predictions of a run."""
        return of_draws(self.draws(seed, mc_iters, bias=bias))


def of_draws(p: AnyArray) -> ClassPredictions:
    """The predictions of draws, `[draw, example, class]`."""
    summary = ClassificationMoments.start(*p.shape[1:]).update(Draws(p)).summary()
    found = predictions_of(summary, np.full(p.shape[1], len(p)))
    assert isinstance(found, ClassPredictions)
    return found


def of_values(mean: AnyArray, scale: AnyArray | None, targets: Float64Array | None) -> ValuePredictions:
    """The predictions of draws of a regression, `[draw, example, output]`."""
    summary = RegressionMoments.start(*mean.shape[1:]).update(Draws(mean, scale), targets).summary()
    found = predictions_of(summary, np.full(mean.shape[1], len(mean)))
    assert isinstance(found, ValuePredictions)
    return found
