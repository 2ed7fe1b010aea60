"""Running MC statistics: what is kept of the draws when the draws themselves are not kept.

A block of draws is reduced to a count, a mean and a sum of squared deviations, and two of these are merged (see
`spread`), so that draws may arrive in chunks of any size, in any order and from any worker; antithetic pairs in whole
pairs. Everything is float64 until `summary`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray, Float64Array, FloatArray
from bprune.engines.base import Draws
from bprune.errors import UsageError
from bprune.inference.spread import Spread, check_same
from bprune.metrics.labels import class_labels, regression_targets

__all__ = [
    "ClassificationMoments",
    "ClassificationSummary",
    "RegressionMoments",
    "RegressionSummary",
    "Scores",
    "classification_scores",
    "regression_scores",
]

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class ClassificationSummary:
    """What the draws say about each example of a classification.

    Attributes:
        mean: Mean probability over draws, `[example, class]`, float32, in [0, 1].
        stddev: Sample standard deviation over draws (ddof 1), `[example, class]`, float32; 0 when there is one draw.
        predictive_entropy: Entropy of the mean probability, `[example]`, float32, nats.
        expected_entropy: Mean over draws of each draw's entropy (aleatoric), `[example]`, float32, nats.
        mutual_information: Predictive minus expected entropy, not below 0 (epistemic), `[example]`, float32, nats.
        mc_stderr: MC standard error of `mean`, `[example, class]`, float32: stddev / sqrt(draws); for antithetic pairs
            the sample standard deviation of pair means / sqrt(pairs).
    """

    mean: FloatArray
    stddev: FloatArray
    predictive_entropy: FloatArray
    expected_entropy: FloatArray
    mutual_information: FloatArray
    mc_stderr: FloatArray


@dataclass(frozen=True)
class RegressionSummary:
    """What the draws say about each example of a regression.

    Attributes:
        mean: Mean over draws of the predictive mean, `[example, output]`, float32.
        stddev: Total predictive standard deviation, sqrt(E[scale^2] + Var(mean)), `[example, output]`, float32.
        aleatoric_stddev: sqrt(E[scale^2]), `[example, output]`, float32; 0 when the network predicts no scale.
        epistemic_stddev: Sample standard deviation over draws of the predictive mean (ddof 1),
            `[example, output]`, float32; 0 when there is one draw.
        mc_stderr: MC standard error of `mean`, `[example, output]`, float32: epistemic_stddev / sqrt(draws); for
            antithetic pairs the sample standard deviation of pair means / sqrt(pairs).
        log_likelihood: ln(1/S sum_s prod_o N(target_o; mean_so, scale_so^2)), the outputs of an example jointly,
            `[example]`, float32, nats; None when the network predicts no scale or targets were not given.
    """

    mean: FloatArray
    stddev: FloatArray
    aleatoric_stddev: FloatArray
    epistemic_stddev: FloatArray
    mc_stderr: FloatArray
    log_likelihood: FloatArray | None = None


@dataclass(frozen=True)
class ClassificationMoments:
    """Running statistics over draws of a block of examples.

    Attributes:
        spread: Mean and spread of the probabilities, `[example, class]`.
        entropy: Sum over draws of each draw's entropy, `[example]`, float64, nats.
    """

    spread: Spread
    entropy: Float64Array

    @classmethod
    def start(cls, examples: int, classes: int, *, paired: bool = False) -> ClassificationMoments:
        """The statistics of no draws; see `Spread.start`."""
        return cls(Spread.start(examples, classes, paired=paired), np.zeros(examples))

    def update(self, draws: Draws) -> ClassificationMoments:
        """These statistics with more draws.

        Args:
            draws: Probabilities of the same examples, `[draw, example, class]`.

        Raises:
            UsageError: If the draws are of other examples or classes than these statistics, or a pair is not complete.
        """
        spread = self.spread.update(draws.values)
        entropy = sum((_entropy(draw) for draw in draws.values), np.zeros(len(self.entropy)))
        return ClassificationMoments(spread, self.entropy + entropy)

    def merge(self, other: ClassificationMoments) -> ClassificationMoments:
        """The statistics of these draws and the other's together.

        Raises:
            UsageError: If the other statistics are of other examples or classes, or only one of the two is paired.
        """
        return ClassificationMoments(self.spread.merge(other.spread), self.entropy + other.entropy)

    def take(self, rows: AnyArray) -> ClassificationMoments:
        """The statistics of some examples, `[row]`."""
        return ClassificationMoments(self.spread.take(rows), self.entropy[rows])

    def summary(self) -> ClassificationSummary:
        """The statistics as a user reads them.

        Raises:
            UsageError: If there are no draws yet.
        """
        stddev, mc_stderr = self.spread.deviations()
        predictive_entropy = _entropy(self.spread.mean)
        expected_entropy = self.entropy / self.spread.draws
        return ClassificationSummary(
            mean=_float32(self.spread.mean),
            stddev=_float32(stddev),
            predictive_entropy=_float32(predictive_entropy),
            expected_entropy=_float32(expected_entropy),
            mutual_information=_float32(np.maximum(predictive_entropy - expected_entropy, 0.0)),
            mc_stderr=_float32(mc_stderr),
        )


@dataclass(frozen=True)
class RegressionMoments:
    """Running statistics over draws of a block of examples.

    Attributes:
        spread: Mean and spread of the predictive means, `[example, output]`.
        scale_squares: Sum over draws of scale^2, `[example, output]`, float64; None when no scale was predicted.
        log_likelihood: ln of the sum over draws of the likelihood of the example's target, `[example]`, float64,
            nats; None when there was no scale or no target.
    """

    spread: Spread
    scale_squares: Float64Array | None = None
    log_likelihood: Float64Array | None = None

    @classmethod
    def start(cls, examples: int, outputs: int, *, paired: bool = False) -> RegressionMoments:
        """The statistics of no draws; see `Spread.start`."""
        return cls(Spread.start(examples, outputs, paired=paired))

    def update(self, draws: Draws, targets: AnyArray | None = None) -> RegressionMoments:
        """These statistics with more draws.

        Args:
            draws: Predictive means, and scales if any, of the same examples, `[draw, example, output]`. A scale
                below the smallest normal float32 counts as that number in the likelihood.
            targets: The true values, `[example, output]`, or None. Give them with every update or with none.

        Raises:
            UsageError: If the draws are of other examples or outputs, scales or targets come and go, or a pair is not
                complete.
            InputError: If the targets do not fit the examples and outputs.
        """
        shape = self.spread.mean.shape
        spread = Spread.start(*shape, paired=self.spread.pair_squares is not None).update(draws.values)
        if not spread.draws:
            return self
        scale_squares = log_likelihood = None
        if draws.scale is not None:
            check_same(draws.scale.shape, draws.values.shape)
            scale_squares = np.zeros(shape)
            for scale in draws.scale:
                scale_squares += np.square(scale, dtype=np.float64)
            if targets is not None:
                log_likelihood = _log_likelihood(draws.values, draws.scale, regression_targets(targets, *shape))
        return self.merge(RegressionMoments(spread, scale_squares, log_likelihood))

    def merge(self, other: RegressionMoments) -> RegressionMoments:
        """The statistics of these draws and the other's together.

        Raises:
            UsageError: If the other statistics are of other examples or outputs, or if one of the two has a scale,
                targets or pairs and the other has not.
        """
        spread = self.spread.merge(other.spread)
        if not self.spread.draws or not other.spread.draws:
            return self if self.spread.draws else other
        scale_squares = log_likelihood = None
        if self.scale_squares is not None and other.scale_squares is not None:
            scale_squares = self.scale_squares + other.scale_squares
        elif self.scale_squares is not None or other.scale_squares is not None:
            raise UsageError("some draws have a scale and some have none; they cannot be of one network")
        if self.log_likelihood is not None and other.log_likelihood is not None:
            log_likelihood = np.logaddexp(self.log_likelihood, other.log_likelihood)
        elif self.log_likelihood is not None or other.log_likelihood is not None:
            raise UsageError("targets were given with some draws and not with others; give them always or never")
        return RegressionMoments(spread, scale_squares, log_likelihood)

    def take(self, rows: AnyArray) -> RegressionMoments:
        """The statistics of some examples, `[row]`."""
        parts = (None if item is None else item[rows] for item in (self.scale_squares, self.log_likelihood))
        return RegressionMoments(self.spread.take(rows), *parts)

    def summary(self) -> RegressionSummary:
        """The statistics as a user reads them.

        Raises:
            UsageError: If there are no draws yet.
        """
        epistemic, mc_stderr = self.spread.deviations()
        draws = self.spread.draws
        noise = np.zeros(epistemic.shape) if self.scale_squares is None else self.scale_squares / draws
        log_likelihood = None
        if self.log_likelihood is not None:  # a target far off a tiny scale can leave the range of float32
            log_likelihood = np.maximum(self.log_likelihood - math.log(draws), np.finfo(np.float32).min)
        return RegressionSummary(
            mean=_float32(self.spread.mean),
            stddev=_float32(np.sqrt(noise + np.square(epistemic))),
            aleatoric_stddev=_float32(np.sqrt(noise)),
            epistemic_stddev=_float32(epistemic),
            mc_stderr=_float32(mc_stderr),
            log_likelihood=None if log_likelihood is None else _float32(log_likelihood),
        )


@dataclass(frozen=True)
class Scores:
    """How well the mean prediction fits the labels. What does not apply to the task is None.

    The standard errors are those of the finite data: how much a score would change on other examples of the same
    kind. They do not hold the MC error.

    Attributes:
        examples: Number of examples scored.
        accuracy: Share of the examples whose most probable class is the label; the lowest class number wins a tie.
        accuracy_stderr: sqrt(accuracy (1 - accuracy) / examples).
        rmse: Root mean squared error over examples and outputs, in the unit of the targets.
        rmse_stderr: By the delta method, stderr(squared error) / (2 rmse); NaN for one example.
        nll: Mean over examples of the negative log-likelihood of the mean over draws, in nats. Classification:
            -ln(mean probability of the label), the probability floored at the smallest normal float32 (1.2e-38,
            87.3 nats). Regression: see `RegressionSummary.log_likelihood`; None when the network predicts no scale.
        nll_stderr: Sample standard deviation over examples / sqrt(examples); NaN for one example.
    """

    examples: int
    accuracy: float | None = None
    accuracy_stderr: float | None = None
    rmse: float | None = None
    rmse_stderr: float | None = None
    nll: float | None = None
    nll_stderr: float | None = None


def classification_scores(summary: ClassificationSummary, labels: AnyArray) -> Scores:
    """Accuracy and negative log-likelihood of the mean probability.

    Args:
        summary: Statistics of the examples.
        labels: Class numbers, `[example]`.

    Raises:
        InputError: If a label is not a class number of this network.
    """
    examples, classes = summary.mean.shape
    truth = class_labels(labels, examples, classes)
    accuracy = float(np.mean(np.argmax(summary.mean, axis=-1) == truth))
    probability = summary.mean[np.arange(examples), truth].astype(np.float64)
    nll, nll_stderr = _mean_and_stderr(-np.log(np.maximum(probability, _TINY)))
    accuracy_stderr = math.sqrt(accuracy * (1.0 - accuracy) / examples)
    return Scores(examples, accuracy=accuracy, accuracy_stderr=accuracy_stderr, nll=nll, nll_stderr=nll_stderr)


def regression_scores(summary: RegressionSummary, targets: AnyArray) -> Scores:
    """Root mean squared error of the mean prediction, and the negative log-likelihood if there is one.

    Args:
        summary: Statistics of the examples.
        targets: True values, `[example, output]`.

    Raises:
        InputError: If the targets do not fit the examples and outputs.
    """
    truth = regression_targets(targets, *summary.mean.shape).astype(np.float64)
    error, error_stderr = _mean_and_stderr(np.mean(np.square(summary.mean - truth), axis=-1))
    rmse = math.sqrt(error)
    rmse_stderr = error_stderr / (2.0 * rmse) if rmse > 0.0 else error_stderr
    nll = nll_stderr = None
    if summary.log_likelihood is not None:
        nll, nll_stderr = _mean_and_stderr(-summary.log_likelihood.astype(np.float64))
    return Scores(len(truth), rmse=rmse, rmse_stderr=rmse_stderr, nll=nll, nll_stderr=nll_stderr)


def _float32(values: Float64Array) -> FloatArray:
    return values.astype(np.float32)


def _entropy(probabilities: AnyArray) -> Float64Array:
    """-sum_c p_c ln p_c on the last axis, in nats; 0 ln 0 = 0."""
    p = probabilities.astype(np.float64)
    entropy: Float64Array = -np.sum(p * np.log(np.maximum(p, np.finfo(np.float64).tiny)), axis=-1)
    return entropy + 0.0  # turns -0.0 into 0.0


def _log_likelihood(mean: FloatArray, scale: FloatArray, targets: FloatArray) -> Float64Array:
    """Log of the summed likelihood, ln sum_s prod_o N(target_o; mean_so, scale_so^2), `[example]`."""
    total = np.full(len(targets), -np.inf)
    for draw_mean, draw_scale in zip(mean, scale, strict=True):
        sigma = np.maximum(draw_scale.astype(np.float64), _TINY)
        z = (targets.astype(np.float64) - draw_mean) / sigma
        log_density = -0.5 * np.square(z) - np.log(sigma) - 0.5 * math.log(2.0 * math.pi)
        total = np.logaddexp(total, np.sum(log_density, axis=-1))
    return total


def _mean_and_stderr(values: Float64Array) -> tuple[float, float]:
    stderr = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), stderr
