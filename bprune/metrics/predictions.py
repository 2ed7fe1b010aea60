"""What metrics are computed from: the mean over draws of each example, and the same for blocks of draws.

See `bprune.metrics.blocks` for what blocks are, and for the jackknife whose replicates are made here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bprune.arrays import AnyArray, Float64Array, IntArray
from bprune.errors import UsageError
from bprune.metrics.blocks import shrinkage
from bprune.metrics.entropy import entropy

__all__ = ["ClassPredictions", "Predictions", "ValuePredictions"]


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """What a classifier says of some examples.

    Attributes:
        mean: Mean probability over draws, `[example, class]`, float32 or float64.
        expected_entropy: Mean over draws of each draw's entropy, `[example]`, nats.
        vote_share: Share of the draws whose most probable class is this one, `[example, class]`; the lowest class
            number wins a tie. None where it is not known.
        block_mean: Mean probability over the draws of each block, `[block, example, class]`; None where blocks are not
            known.
        block_expected_entropy: `[block, example]`, or None.
        block_vote_share: `[block, example, class]`, or None.
        block_draws: Number of draws in each block, `[block, example]`, or None. Where it is 0 the values of that block
            are of no matter.

    Raises:
        UsageError: If shapes do not agree, or only some of what blocks need is given.
    """

    mean: AnyArray
    expected_entropy: AnyArray
    vote_share: AnyArray | None = None
    block_mean: AnyArray | None = None
    block_expected_entropy: AnyArray | None = None
    block_vote_share: AnyArray | None = None
    block_draws: IntArray | None = None

    def __post_init__(self) -> None:
        shape = self.mean.shape
        if len(shape) != 2 or not all(shape):
            raise UsageError(f"mean probabilities are of the shape {shape}; [example, class] is needed, neither 0")
        _check("expected_entropy", self.expected_entropy, shape[:1])
        _check("vote_share", self.vote_share, shape)
        shapes = {"block_mean": shape, "block_expected_entropy": shape[:1], "block_vote_share": shape}
        _check_blocks(self, shapes, optional="block_vote_share")

    @property
    def blocks(self) -> int:
        """The number of blocks; 0 where they are not known."""
        return 0 if self.block_draws is None else len(self.block_draws)

    @property
    def top_class(self) -> IntArray:
        """The most probable class, `[example]`; the lowest class number wins a tie."""
        return np.asarray(np.argmax(self.mean, axis=-1), np.int64)

    @property
    def predictive_entropy(self) -> Float64Array:
        """Entropy of the mean probability, `[example]`, nats."""
        return entropy(self.mean)

    @property
    def mutual_information(self) -> Float64Array:
        """Predictive minus expected entropy, not below 0 (epistemic), `[example]`, nats."""
        return np.maximum(self.predictive_entropy - self.expected_entropy, 0.0)

    def take(self, rows: AnyArray) -> ClassPredictions:
        """The predictions of some examples, `[row]`."""
        return replace(self, **_rows(self, rows))

    def replicates(self) -> Iterator[ClassPredictions]:
        """The predictions without each block of draws in turn; none for fewer than two blocks."""
        if self.block_draws is None or self.block_mean is None or self.block_expected_entropy is None:
            return
        deleted = _Deleted(self.block_draws)
        parts = [deleted.means(self.block_mean), deleted.means(self.block_expected_entropy)]
        if self.block_vote_share is not None:
            parts.append(deleted.means(self.block_vote_share))
        for mean, expected_entropy, *votes in zip(*parts, strict=True):
            yield ClassPredictions(mean, expected_entropy, votes[0] if votes else None)


@dataclass(frozen=True, eq=False)
class ValuePredictions:
    """What a regression says of some examples.

    Attributes:
        mean: Predictive mean, `[example, output]`.
        noise_variance: Mean over draws of scale^2 (aleatoric), `[example, output]`; 0 where no scale is predicted.
        spread_variance: Variance over draws of the predictive mean (epistemic), `[example, output]`.
        log_likelihood: ln of the mean over draws of the likelihood of the target, `[example]`, nats; None where the
            network predicts no scale or targets were not known.
        block_mean: Mean over the draws of each block, `[block, example, output]`; None where blocks are not known.
        block_noise_variance: Mean of scale^2 over the draws of each block, or None.
        block_squares: Sum of squared deviations from `block_mean` over the draws of each block, or None.
        block_log_likelihood: ln of the mean likelihood over the draws of each block, `[block, example]`, or None.
        block_draws: Number of draws in each block, `[block, example]`, or None.

    Raises:
        UsageError: If shapes do not agree, or only some of what blocks need is given.
    """

    mean: AnyArray
    noise_variance: AnyArray
    spread_variance: AnyArray
    log_likelihood: AnyArray | None = None
    block_mean: AnyArray | None = None
    block_noise_variance: AnyArray | None = None
    block_squares: AnyArray | None = None
    block_log_likelihood: AnyArray | None = None
    block_draws: IntArray | None = None

    def __post_init__(self) -> None:
        shape = self.mean.shape
        if len(shape) != 2 or not all(shape):
            raise UsageError(f"predictive means are of the shape {shape}; [example, output] is needed, neither 0")
        _check("noise_variance", self.noise_variance, shape)
        _check("spread_variance", self.spread_variance, shape)
        _check("log_likelihood", self.log_likelihood, shape[:1])
        shapes = dict.fromkeys(("block_mean", "block_noise_variance", "block_squares"), shape)
        _check_blocks(self, shapes | {"block_log_likelihood": shape[:1]}, optional="block_log_likelihood")

    @property
    def blocks(self) -> int:
        """The number of blocks; 0 where they are not known."""
        return 0 if self.block_draws is None else len(self.block_draws)

    @property
    def stddev(self) -> Float64Array:
        """Total predictive standard deviation, `[example, output]`."""
        return np.sqrt(np.asarray(self.noise_variance, np.float64) + self.spread_variance)

    def take(self, rows: AnyArray) -> ValuePredictions:
        """The predictions of some examples, `[row]`."""
        return replace(self, **_rows(self, rows))

    def replicates(self) -> Iterator[ValuePredictions]:
        """The predictions without each block of draws in turn; none for fewer than two blocks."""
        if self.block_draws is None or self.block_mean is None:
            return
        if self.block_noise_variance is None or self.block_squares is None:
            return
        deleted = _Deleted(self.block_draws)
        parts = zip(
            deleted.means(self.block_mean),
            deleted.means(self.block_noise_variance),
            deleted.variances(self.block_mean, self.block_squares),
            strict=True,
        )
        likelihoods: Iterator[Float64Array | None] = iter([None] * self.blocks)
        if self.block_log_likelihood is not None:
            likelihoods = iter(deleted.log_means(self.block_log_likelihood))
        for mean, noise, step in parts:
            spread = np.maximum(self.spread_variance + step, 0.0)
            yield ValuePredictions(mean, np.maximum(noise, 0.0), spread, next(likelihoods))


Predictions = ClassPredictions | ValuePredictions
"""The predictions of either task."""


class _Deleted:
    """Statistics of all draws but those of one block, for each block in turn."""

    def __init__(self, counts: IntArray) -> None:
        filled = counts.any(axis=1)
        self._filled = np.flatnonzero(filled)
        self._counts = counts[filled]
        self._total = self._counts.sum(axis=0)
        self._factor = shrinkage(self._counts)

    def __len__(self) -> int:
        return len(self._filled) if len(self._filled) > 1 else 0

    def means(self, values: AnyArray) -> Iterator[Float64Array]:
        """Means without each block; `values` are the blocks' means, `[block, example, ...]`."""
        if not len(self):
            return
        parts = self._parts(values)
        counts, total = self._like(self._counts, parts[0]), self._like(self._total, parts[0])
        everything = sum(count * part for count, part in zip(counts, parts, strict=True))
        mean = everything / total
        for count, part in zip(counts, parts, strict=True):
            rest = (everything - count * part) / np.maximum(total - count, 1)
            yield mean + self._like(self._factor, part) * (rest - mean)

    def variances(self, values: AnyArray, squares: AnyArray) -> Iterator[Float64Array]:
        """What the sample variance changes by without each block, from the blocks' means and squared deviations."""
        if not len(self):
            return
        means, within = self._parts(values), self._parts(squares)
        counts, total = self._like(self._counts, means[0]), self._like(self._total, means[0])
        mean = sum(count * part for count, part in zip(counts, means, strict=True)) / total
        offsets = [part - mean for part in means]
        own = [part + count * step**2 for count, part, step in zip(counts, within, offsets, strict=True)]
        everything = np.sum(own, axis=0)
        variance = everything / np.maximum(total - 1, 1)
        for count, part, step in zip(counts, own, offsets, strict=True):
            left = np.maximum(total - count, 1)
            rest = (everything - part - (count * step) ** 2 / left) / np.maximum(left - 1, 1)
            yield self._like(self._factor, part) * (rest - variance)

    def log_means(self, values: AnyArray) -> Iterator[Float64Array]:
        """Logarithms of means without each block, from the logarithms of the blocks' means, `[block, example]`."""
        if not len(self):
            return
        with np.errstate(divide="ignore"):
            logs = np.where(self._counts > 0, self._parts(values), 0.0) + np.log(self._counts)
            mean = logsumexp(logs, axis=0) - np.log(self._total)
            for number, count in enumerate(self._counts):
                others = np.delete(logs, number, axis=0)
                rest = logsumexp(others, axis=0) - np.log(np.maximum(self._total - count, 1))
                kept = np.log1p(-np.minimum(self._factor, 1.0))
                moved = np.logaddexp(np.log(self._factor) + rest, kept + mean)
                yield np.where(self._factor > 0.0, moved, mean)

    def _parts(self, values: AnyArray) -> Float64Array:
        parts = np.asarray(values[self._filled], np.float64)
        empty = self._counts == 0
        return np.asarray(np.where(self._like(empty, parts[0]), 0.0, parts)) if empty.any() else parts

    @staticmethod
    def _like(items: AnyArray, values: AnyArray) -> AnyArray:
        """Numbers of each example, with axes of length 1 for the axes that `values[example, ...]` has more."""
        return items.reshape(items.shape + (1,) * (values.ndim - 1))


def _rows(predictions: Predictions, rows: AnyArray) -> dict[str, Any]:
    """The values of some examples, of every field that has values."""
    values = {item.name: getattr(predictions, item.name) for item in fields(predictions)}
    return {
        name: value[:, rows] if name.startswith("block_") else value[rows]
        for name, value in values.items()
        if value is not None
    }


def _check(name: str, values: AnyArray | None, shape: tuple[int, ...]) -> None:
    if values is not None and values.shape != shape:
        raise UsageError(f"{name} is of the shape {values.shape}; {shape} fits the means")


def _check_blocks(predictions: Predictions, shapes: Mapping[str, tuple[int, ...]], *, optional: str) -> None:
    counts = predictions.block_draws
    for name, shape in shapes.items():
        values = getattr(predictions, name)
        if (values is None) != (counts is None) and name != optional:
            raise UsageError(f"{name} and block_draws come together or not at all")
        if counts is not None:
            _check(name, values, (len(counts), *shape))
    if counts is not None:
        _check("block_draws", counts, (len(counts), len(predictions.mean)))
