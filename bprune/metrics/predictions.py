"""What metrics are computed from: the mean over draws of each example, and the same for blocks of draws.

See `bprune.metrics.blocks` for what blocks are, and for the halves of them that are made here.

An ensemble is the mixture of its members, each with the same weight. Members are fixed, and their draws independent: a
half of the ensemble is the mixture of the same half of every member, so that what tells members apart is no error of
finite draws. The entropy H of the mean probability p over members m and draws splits into three parts that add up,

    H[p] = mean_m mean_s H[p_ms]  +  mean_m (H[p_m] - mean_s H[p_ms])  +  (H[p] - mean_m H[p_m])
           expected entropy          information within members           information between members

and so does the variance of a predictive mean: the mean over members of each member's variance, and the variance of the
members' means (no member is left over, so that it is divided by their number). With S draws the part between members is
too large by about a share 1 / S of the part within.

Source: Lakshminarayanan et al. (2017), "Simple and scalable predictive uncertainty estimation using deep ensembles";
Houlsby et al. (2011), "Bayesian active learning for classification and preference learning"; Depeweg et al. (2018),
"Decomposition of uncertainty in Bayesian deep learning for efficient and risk-sensitive learning".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bprune.arrays import AnyArray, Float64Array, IntArray
from bprune.errors import UsageError
from bprune.metrics.blocks import SIGNS, Halves
from bprune.metrics.entropy import entropy

__all__ = ["ClassPredictions", "Predictions", "ValuePredictions", "average", "average_likelihood"]


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
        members: The predictions of each member of an ensemble, whose blocks are its own; see `mixture`.

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
    members: tuple[ClassPredictions, ...] = ()

    def __post_init__(self) -> None:
        shape = self.mean.shape
        if len(shape) != 2 or not all(shape):
            raise UsageError(f"mean probabilities are of the shape {shape}; [example, class] is needed, neither 0")
        _check("expected_entropy", self.expected_entropy, shape[:1])
        _check("vote_share", self.vote_share, shape)
        shapes = {"block_mean": shape, "block_expected_entropy": shape[:1], "block_vote_share": shape}
        _check_blocks(self, shapes, optional="block_vote_share")

    @classmethod
    def mixture(cls, members: Sequence[ClassPredictions]) -> ClassPredictions:
        """The predictions of an ensemble, every member with the same weight.

        Args:
            members: Its members, of the same examples and classes, with the same numbers of draws.

        Raises:
            UsageError: If there is no member, or they differ in shape or numbers of draws.
        """
        _check_members(members)
        votes = [member.vote_share for member in members if member.vote_share is not None]
        return cls(
            average([member.mean for member in members]),
            np.asarray(np.mean([member.expected_entropy for member in members], axis=0, dtype=np.float64)),
            average(votes) if len(votes) == len(members) else None,
            members=tuple(members),
        )

    @property
    def half_scale(self) -> float:
        """What differences between halves are multiplied with; NaN where there are none."""
        return _half_scale(self)

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

    @property
    def within_members(self) -> Float64Array:
        """The part of the mutual information that members have on their own, `[example]`, nats; all without members."""
        if not self.members:
            return self.mutual_information
        return average([member.mutual_information for member in self.members])

    @property
    def between_members(self) -> Float64Array:
        """The part of the mutual information that lies between members, not below 0, `[example]`, nats."""
        if not self.members:
            return np.zeros(len(self.mean))
        own = average([member.predictive_entropy for member in self.members])
        return np.maximum(self.predictive_entropy - own, 0.0)

    def take(self, rows: AnyArray) -> ClassPredictions:
        """The predictions of some examples, `[row]`."""
        return replace(self, **_rows(self, rows))

    def halves(self) -> Iterator[tuple[ClassPredictions, ClassPredictions]]:
        """The predictions of both halves of the draws, for every choice of `SIGNS`; none without blocks."""
        if self.members:
            for pairs in zip(*(member.halves() for member in self.members), strict=True):
                yield (
                    ClassPredictions.mixture([one for one, _ in pairs]),
                    ClassPredictions.mixture([other for _, other in pairs]),
                )
            return
        if self.block_draws is None or self.block_mean is None or self.block_expected_entropy is None:
            return
        halves = Halves.of(self.block_draws)
        if math.isnan(halves.scale):
            return
        means = _filled(self.block_mean, self.block_draws)
        entropies = _filled(self.block_expected_entropy, self.block_draws)
        votes = None if self.block_vote_share is None else _filled(self.block_vote_share, self.block_draws)
        for number in range(len(SIGNS)):
            one, other = (
                ClassPredictions(
                    _mean(weights, means), _mean(weights, entropies), None if votes is None else _mean(weights, votes)
                )
                for weights in halves.weights(number)
            )
            yield one, other


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
        members: The predictions of each member of an ensemble, whose blocks are its own; see `mixture`.

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
    members: tuple[ValuePredictions, ...] = ()

    def __post_init__(self) -> None:
        shape = self.mean.shape
        if len(shape) != 2 or not all(shape):
            raise UsageError(f"predictive means are of the shape {shape}; [example, output] is needed, neither 0")
        _check("noise_variance", self.noise_variance, shape)
        _check("spread_variance", self.spread_variance, shape)
        _check("log_likelihood", self.log_likelihood, shape[:1])
        shapes = dict.fromkeys(("block_mean", "block_noise_variance", "block_squares"), shape)
        _check_blocks(self, shapes | {"block_log_likelihood": shape[:1]}, optional="block_log_likelihood")

    @classmethod
    def mixture(cls, members: Sequence[ValuePredictions]) -> ValuePredictions:
        """The predictions of an ensemble, every member with the same weight; see `ClassPredictions.mixture`."""
        _check_members(members)
        likelihoods = [member.log_likelihood for member in members if member.log_likelihood is not None]
        within = average([member.spread_variance for member in members])
        return cls(
            average([member.mean for member in members]),
            average([member.noise_variance for member in members]),
            within + np.var([member.mean for member in members], axis=0, dtype=np.float64),
            average_likelihood(likelihoods) if len(likelihoods) == len(members) else None,
            members=tuple(members),
        )

    @property
    def half_scale(self) -> float:
        """What differences between halves are multiplied with; NaN where there are none."""
        return _half_scale(self)

    @property
    def within_members(self) -> Float64Array:
        """The part of `spread_variance` that members have on their own, `[example, output]`; all without members."""
        variances = [member.spread_variance for member in self.members or (self,)]
        return np.asarray(np.mean(variances, axis=0, dtype=np.float64))

    @property
    def between_members(self) -> Float64Array:
        """The part of `spread_variance` that lies between members, `[example, output]`."""
        return np.asarray(np.var([member.mean for member in self.members or (self,)], axis=0, dtype=np.float64))

    @property
    def stddev(self) -> Float64Array:
        """Total predictive standard deviation, `[example, output]`."""
        return np.sqrt(np.asarray(self.noise_variance, np.float64) + self.spread_variance)

    def take(self, rows: AnyArray) -> ValuePredictions:
        """The predictions of some examples, `[row]`."""
        return replace(self, **_rows(self, rows))

    def halves(self) -> Iterator[tuple[ValuePredictions, ValuePredictions]]:
        """The predictions of both halves of the draws, for every choice of `SIGNS`; none without blocks."""
        if self.members:
            for pairs in zip(*(member.halves() for member in self.members), strict=True):
                yield (
                    ValuePredictions.mixture([one for one, _ in pairs]),
                    ValuePredictions.mixture([other for _, other in pairs]),
                )
            return
        if self.block_draws is None:
            return
        halves = Halves.of(self.block_draws)
        if math.isnan(halves.scale):
            return
        for number in range(len(SIGNS)):
            one, other = (self._half(self.block_draws, weights) for weights in halves.weights(number))
            yield one, other

    def _half(self, counts: IntArray, weights: Float64Array) -> ValuePredictions:
        """The predictions where blocks have these weights, `[block, example]`."""
        means, squares, noise = (
            _filled(item, counts)
            for item in (self.block_mean, self.block_squares, self.block_noise_variance)
            if item is not None
        )
        mean = _mean(weights, means)
        per_draw = squares / np.maximum(counts, 1)[..., None] + np.square(means - mean)
        draws = 1.0 / np.maximum(np.sum(np.square(weights) / np.maximum(counts, 1), axis=0), 1e-300)
        variance = _mean(weights, per_draw) * np.where(draws > 1.0 + 1e-9, draws / (draws - 1.0), 1.0)[:, None]
        log_likelihood = None
        if self.block_log_likelihood is not None:
            parts = _filled(self.block_log_likelihood, counts)
            with np.errstate(divide="ignore"):
                log_likelihood = np.asarray(logsumexp(parts + np.log(weights), axis=0))
        return ValuePredictions(mean, _mean(weights, noise), variance, log_likelihood)


Predictions = ClassPredictions | ValuePredictions
"""The predictions of either task."""


def average(values: Sequence[AnyArray]) -> AnyArray:
    """The mean over members, computed in float64, in the members' own dtype."""
    return np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype)


def average_likelihood(values: Sequence[AnyArray]) -> AnyArray:
    """The logarithm of the mean over members of what these are logarithms of, in the members' own dtype."""
    summed = logsumexp(np.asarray(values, np.float64), axis=0) - math.log(len(values))
    return np.asarray(summed).astype(values[0].dtype)


def _half_scale(predictions: Predictions) -> float:
    if predictions.members:
        return predictions.members[0].half_scale
    return math.nan if predictions.block_draws is None else Halves.of(predictions.block_draws).scale


def _check_members(members: Sequence[Predictions]) -> None:
    if not members:
        raise UsageError("an ensemble needs at least one member")
    first = members[0]
    for member in members[1:]:
        if member.mean.shape != first.mean.shape:
            raise UsageError(
                f"members of an ensemble have means of the shapes {first.mean.shape} and {member.mean.shape}; all must "
                "be of the same examples and outputs"
            )
        a, b = first.block_draws, member.block_draws
        if (a is None) != (b is None) or (a is not None and b is not None and not np.array_equal(a, b)):
            raise UsageError("members of an ensemble have other numbers of draws; all must have the same")


def _filled(values: AnyArray, counts: IntArray) -> Float64Array:
    """The blocks' values, 0 where a block has no draws."""
    empty = (counts == 0).reshape(counts.shape + (1,) * (values.ndim - 2))
    return np.asarray(np.where(empty, 0.0, values), np.float64)


def _mean(weights: Float64Array, values: Float64Array) -> Float64Array:
    """The weighted mean over blocks, `[example, ...]`; weights are `[block, example]`."""
    if (weights == weights[:, :1]).all():  # as where all examples have the same number of draws
        return np.asarray(np.tensordot(weights[:, 0], values, axes=1))
    return np.asarray(np.einsum("be,be...->e...", weights, values))


def _rows(predictions: Predictions, rows: AnyArray) -> dict[str, Any]:
    """The values of some examples, of every field that has values."""
    values = {item.name: getattr(predictions, item.name) for item in fields(predictions)}
    members = tuple(member.take(rows) for member in values.pop("members"))
    taken = {
        name: value[:, rows] if name.startswith("block_") else value[rows]
        for name, value in values.items()
        if value is not None
    }
    return taken | {"members": members}


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
