"""Running MC statistics: what is kept of the draws when the draws themselves are not kept.

Draws are reduced to a count, a mean and a sum of squared deviations (see `spread`), one by one in the order of their
numbers, so that they may arrive in chunks of any size; antithetic pairs in whole pairs. The same is kept for 20 blocks
of draws (see `blocks`), from which the errors of metrics of the whole data set follow.
Everything is float64 until `summary`.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bprune.arrays import AnyArray, Float64Array, FloatArray
from bprune.engines.base import Draws
from bprune.errors import UsageError
from bprune.inference.blocks import ClassBlocks, ValueBlocks
from bprune.inference.spread import Spread, check_same
from bprune.metrics.entropy import entropy
from bprune.metrics.labels import regression_targets

__all__ = [
    "ClassificationMoments",
    "ClassificationSummary",
    "RegressionMoments",
    "RegressionSummary",
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
        block_mean: Mean probability over the draws of each block (see `bprune.metrics.blocks`),
            `[example, block, class]`, float32; NaN where a block has no draws. None in files of older versions.
        block_expected_entropy: Mean entropy of the draws of each block, `[example, block]`, float32, nats, or None.
        block_votes: How many draws of each block have this class as their most probable one, the lowest class number in
            a tie, `[example, block, class]`, int32, or None.
    """

    mean: FloatArray
    stddev: FloatArray
    predictive_entropy: FloatArray
    expected_entropy: FloatArray
    mutual_information: FloatArray
    mc_stderr: FloatArray
    block_mean: FloatArray | None = None
    block_expected_entropy: FloatArray | None = None
    block_votes: AnyArray | None = None


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
        block_mean: Mean of the predictive means of the draws of each block (see `bprune.metrics.blocks`),
            `[example, block, output]`, float32; NaN where a block has no draws. None in files of older versions.
        block_squares: Sum of squared deviations from it, `[example, block, output]`, float32, or None.
        block_noise_variance: Mean of scale^2 over the draws of each block, `[example, block, output]`, float32; 0 when
            the network predicts no scale; or None.
        block_log_likelihood: `log_likelihood` of the draws of each block, `[example, block]`, float32, or None.
    """

    mean: FloatArray
    stddev: FloatArray
    aleatoric_stddev: FloatArray
    epistemic_stddev: FloatArray
    mc_stderr: FloatArray
    log_likelihood: FloatArray | None = None
    block_mean: FloatArray | None = None
    block_squares: FloatArray | None = None
    block_noise_variance: FloatArray | None = None
    block_log_likelihood: FloatArray | None = None


@dataclass(frozen=True)
class ClassificationMoments:
    """Running statistics over draws of a block of examples.

    Attributes:
        spread: Mean and spread of the probabilities, `[example, class]`.
        blocks: Sums over blocks of draws.
    """

    spread: Spread
    blocks: ClassBlocks

    @classmethod
    def start(cls, examples: int, classes: int, *, paired: bool = False) -> ClassificationMoments:
        """The statistics of no draws; see `Spread.start`."""
        return cls(Spread.start(examples, classes, paired=paired), ClassBlocks.start(examples, classes))

    def update(self, draws: Draws, first: int | None = None) -> ClassificationMoments:
        """These statistics with more draws.

        Args:
            draws: Probabilities of the same examples, `[draw, example, class]`.
            first: The number of the first of these draws; None where they follow those that are known.

        Raises:
            UsageError: If the draws are of other examples or classes than these statistics, or a pair is not complete.
        """
        spread = self.spread.update(draws.values)
        number = self.spread.draws if first is None else first
        entropies = np.zeros(draws.values.shape[:2])
        for position, draw in enumerate(draws.values):  # so that no float64 copy of all draws is made
            entropies[position] = entropy(draw)
        paired = self.spread.pair_squares is not None
        return ClassificationMoments(spread, self.blocks.update(draws.values, entropies, number, paired=paired))

    def take(self, rows: AnyArray) -> ClassificationMoments:
        """The statistics of some examples, `[row]`."""
        return ClassificationMoments(self.spread.take(rows), self.blocks.take(rows))

    def summary(self) -> ClassificationSummary:
        """The statistics as a user reads them.

        Raises:
            UsageError: If there are no draws yet.
        """
        stddev, mc_stderr = self.spread.deviations()
        predictive_entropy = entropy(self.spread.mean)
        expected_entropy = _total(self.blocks.entropy) / self.spread.draws
        return ClassificationSummary(
            mean=_float32(self.spread.mean),
            stddev=_float32(stddev),
            predictive_entropy=_float32(predictive_entropy),
            expected_entropy=_float32(expected_entropy),
            mutual_information=_float32(np.maximum(predictive_entropy - expected_entropy, 0.0)),
            mc_stderr=_float32(mc_stderr),
            block_mean=_block_means(self.blocks.probability, self.blocks.draws),
            block_expected_entropy=_block_means(self.blocks.entropy, self.blocks.draws),
            block_votes=np.stack(self.blocks.votes, axis=1),
        )


@dataclass(frozen=True)
class RegressionMoments:
    """Running statistics over draws of a block of examples.

    Attributes:
        spread: Mean and spread of the predictive means, `[example, output]`.
        blocks: Sums over blocks of draws.
        has_scale: Whether the draws had scales.
        has_likelihood: Whether they had scales and targets.
    """

    spread: Spread
    blocks: ValueBlocks
    has_scale: bool = False
    has_likelihood: bool = False

    @classmethod
    def start(cls, examples: int, outputs: int, *, paired: bool = False) -> RegressionMoments:
        """The statistics of no draws; see `Spread.start`."""
        return cls(Spread.start(examples, outputs, paired=paired), ValueBlocks.start(examples, outputs))

    def update(self, draws: Draws, targets: AnyArray | None = None, first: int | None = None) -> RegressionMoments:
        """These statistics with more draws.

        Args:
            draws: Predictive means, and scales if any, of the same examples, `[draw, example, output]`. A scale
                below the smallest normal float32 counts as that number in the likelihood.
            targets: The true values, `[example, output]`, or None. Give them with every update or with none.
            first: The number of the first of these draws; None where they follow those that are known.

        Raises:
            UsageError: If the draws are of other examples or outputs, scales or targets come and go, or a pair is not
                complete.
            InputError: If the targets do not fit the examples and outputs.
        """
        shape = self.spread.mean.shape
        spread = self.spread.update(draws.values)
        if not len(draws.values):
            return self
        mean, scale, log_likelihood = draws.values, draws.scale, None
        if scale is not None:
            check_same(scale.shape, mean.shape)
            if targets is not None:
                truth = regression_targets(targets, *shape).astype(np.float64)
                log_likelihood = partial(_log_likelihood, mean, scale, truth)
        number = self.spread.draws if first is None else first
        paired = self.spread.pair_squares is not None
        blocks = self.blocks.update(mean, scale, log_likelihood, number, paired=paired)
        made = RegressionMoments(spread, blocks, scale is not None, log_likelihood is not None)
        self._check(made)
        return made

    def _check(self, other: RegressionMoments) -> None:
        """Refuse to mix draws that know more with draws that know less."""
        if self.spread.draws and self.has_scale != other.has_scale:
            raise UsageError("some draws have a scale and some have none; they cannot be of one network")
        if self.spread.draws and self.has_likelihood != other.has_likelihood:
            raise UsageError("targets were given with some draws and not with others; give them always or never")

    def take(self, rows: AnyArray) -> RegressionMoments:
        """The statistics of some examples, `[row]`."""
        return RegressionMoments(self.spread.take(rows), self.blocks.take(rows), self.has_scale, self.has_likelihood)

    def summary(self) -> RegressionSummary:
        """The statistics as a user reads them.

        Raises:
            UsageError: If there are no draws yet.
        """
        epistemic, mc_stderr = self.spread.deviations()
        draws, blocks = self.spread.draws, self.blocks
        noise = _total(blocks.scale_squares) / draws
        log_likelihood = block_log_likelihood = None
        if self.has_likelihood:
            log_likelihood = _log_mean(np.logaddexp.reduce(blocks.log_likelihood), draws)
            parts = zip(blocks.log_likelihood, blocks.draws, strict=True)
            block_log_likelihood = np.stack([_log_mean(values, count) for values, count in parts], axis=1)
        seen = [min(count, 1) for count in blocks.draws]  # these are no sums
        return RegressionSummary(
            mean=_float32(self.spread.mean),
            stddev=_float32(np.sqrt(noise + np.square(epistemic))),
            aleatoric_stddev=_float32(np.sqrt(noise)),
            epistemic_stddev=_float32(epistemic),
            mc_stderr=_float32(mc_stderr),
            log_likelihood=log_likelihood,
            block_mean=_block_means(blocks.mean, seen),
            block_squares=_block_means(blocks.squares, seen),
            block_noise_variance=_block_means(blocks.scale_squares, blocks.draws),
            block_log_likelihood=block_log_likelihood,
        )


def _total(parts: Sequence[Float64Array]) -> Float64Array:
    """The sum, one by one: NumPy adds up the parts of a single number in another order than those of many."""
    return functools.reduce(operator.add, parts)


def _float32(values: Float64Array) -> FloatArray:
    return values.astype(np.float32)


def _block_means(sums: Sequence[Float64Array], draws: Sequence[int]) -> FloatArray:
    """Means of blocks from their sums and counts, `[example, block, ...]`; NaN where a block has no draws."""
    examples, *others = sums[0].shape
    means = np.empty((examples, len(sums), *others), np.float32)
    with np.errstate(invalid="ignore"):
        for block, (item, count) in enumerate(zip(sums, draws, strict=True)):
            means[:, block] = np.divide(item, count)
    return means


def _log_mean(log_sum: Float64Array, draws: int) -> FloatArray:
    """ln(sum / draws), within float32, which a target far off a tiny scale would leave; NaN without draws."""
    if not draws:
        return np.full(log_sum.shape, np.nan, np.float32)
    return _float32(np.maximum(log_sum - math.log(draws), np.finfo(np.float32).min))


def _log_likelihood(mean: FloatArray, scale: FloatArray, targets: Float64Array, draw: int) -> Float64Array:
    """Log-likelihood of one draw, sum_o ln N(target_o; mean_o, scale_o^2), `[example]`."""
    sigma = np.maximum(scale[draw].astype(np.float64), _TINY)
    z = (targets - mean[draw]) / sigma
    log_density = -0.5 * np.square(z) - np.log(sigma) - 0.5 * math.log(2.0 * math.pi)
    return np.asarray(np.sum(log_density, axis=-1))
