"""Whether two engines draw from the same law, example by example, with a stated false-alarm rate (law 5 of DESIGN).

For one example, the draws of an engine are independent of each other. Nothing else is assumed: draws of different
examples may depend on each other, differently in the two engines, and laws may be skewed, saturated, heavy-tailed or
point masses. Every example is compared by rank-sum tests (`bprune.inference.rank_sum`) of

- each coordinate's values, against a shift;
- their distances from the pooled median, against another spread;
- products of two coordinates' deviations from their pooled medians, against another correlation.

Pooled medians are symmetric functions of both samples, so that under the same law the compared values stay
exchangeable, and p-values are exact up to the normal tail. Small effects that many examples share are found by the
same ranks summed over groups of examples. All comparisons share the false-alarm rate equally (Bonferroni's bound, valid
however they depend on each other).

Coordinates of a classifier are log-odds, ln(p / (1 - p)): ranks are the same as those of probabilities, but what
saturates keeps its digits. Those of a regression are the means and the logarithms of the predicted scales.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from bprune.arrays import Float64Array
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import SelfCheckError, UsageError
from bprune.inference.coordinates import Features, coordinates, features, widest
from bprune.inference.rank_sum import MIN_DRAWS, Ranks, detectable, normal_tail, rank_sum

__all__ = [
    "DEFAULT_FALSE_ALARM",
    "DRAWS_PER_EXAMPLE",
    "SUM_FACTOR",
    "Agreement",
    "Comparison",
    "Detectable",
    "Kind",
    "compare_laws",
]

DEFAULT_FALSE_ALARM = 1e-6
"""One false alarm in a million runs: a comparison that fails is a bug, not bad luck. A looser rate would gain little:
with 1e-3 and 4,000 comparisons, the effects that are found are 14 % smaller."""

DRAWS_PER_EXAMPLE = 64
"""Examples are summed in groups of at most one per so many draws."""

SUM_FACTOR = 100.0
"""What p-values of sums are multiplied with, because their law is not known exactly; see `_Sums`."""


class Kind(str, enum.Enum):
    """What of a law was compared."""

    LOCATION = "location"
    """Where the values lie: their median."""
    SPREAD = "spread"
    """How far they lie from the pooled median."""
    CORRELATION = "correlation"
    """How two coordinates move together."""


@dataclass(frozen=True)
class Comparison:
    """One comparison of two samples.

    Attributes:
        kind: What was compared.
        coordinates: One coordinate's name, or two for a correlation.
        example: The example's number, or None where a group of examples was summed.
        p_value: The probability, if the laws are the same, of samples that differ as much or more.
        first: Location: the first sample's median. Spread: its median distance from the pooled median. Correlation:
            its median product of deviations, with the sign of the common correlation. The mean of these over examples
            where examples were summed.
        second: The same of the second sample.
    """

    kind: Kind
    coordinates: tuple[str, ...]
    example: int | None
    p_value: float
    first: float
    second: float

    def describe(self) -> str:
        """In words: what, where, and the two values."""
        where = "a sum over examples" if self.example is None else f"example {self.example}"
        what = " and ".join(self.coordinates)
        return f"{self.kind.value} of {what}, {where}: {self.first:.4g} and {self.second:.4g}"


@dataclass(frozen=True)
class Detectable:
    """Effects, for normal laws, that would have been found with a probability of 95 %.

    Attributes:
        shift: A shift, in standard deviations.
        ratio: A ratio of standard deviations above 1; its inverse would have been found as well.
        correlation: A difference of correlations near 0; None where there is one coordinate alone.
    """

    shift: float
    ratio: float
    correlation: float | None = None


@dataclass(frozen=True)
class Agreement:
    """The verdict of a comparison of laws.

    Attributes:
        false_alarm: The probability, at most, that a comparison of equal laws fails.
        examples: Number of examples.
        draws: Draws per example of each engine.
        comparisons: How many tests share the false-alarm rate.
        failed: How many of them have a p-value below `level`.
        worst: The comparison with the smallest p-value.
        in_one_example: What would have been found in a single example; the median over examples and coordinates.
        in_all_examples: What would have been found if all examples had it, by the spread of the sums that was
            measured; the median over coordinates. None for one example.
    """

    false_alarm: float
    examples: int
    draws: int
    comparisons: int
    failed: int
    worst: Comparison
    in_one_example: Detectable
    in_all_examples: Detectable | None

    @property
    def level(self) -> float:
        """The p-value below which a comparison fails."""
        return self.false_alarm / self.comparisons

    @property
    def agrees(self) -> bool:
        """Whether no comparison fails."""
        return self.failed == 0


def compare_laws(
    first: Draws, second: Draws, task: Task, *, false_alarm: float = DEFAULT_FALSE_ALARM, tolerance: float = 1e-5
) -> Agreement:
    """Compare the laws of two engines, example by example.

    Args:
        first: Draws of one engine, independent along the draw axis, at least 100.
        second: As many draws of the other engine for the same examples, independent of the first.
        task: What the network predicts.
        false_alarm: The probability, at most, with which equal laws are told apart, in (0, 1).
        tolerance: How far rounding may move a value, relative to the size of the example's values; see
            `bprune.inference.coordinates`. What it explains is never evidence.

    Raises:
        UsageError: If the two are not of the same shape, if there are too few draws, or a number is out of range.
        SelfCheckError: If a value is not finite.
    """
    _check(first, second, false_alarm, tolerance)
    draws, examples, _ = first.values.shape
    tests = list(_tests(first, second, task, tolerance))
    comparisons = sum(len(test.p_values) for test in tests)
    level = false_alarm / comparisons
    single = _detectable([test for test in tests if test.example is not None], float(stats.norm.isf(level / 2.0)))
    sums = [test for test in tests if test.example is None]
    return Agreement(
        false_alarm=false_alarm,
        examples=examples,
        draws=draws,
        comparisons=comparisons,
        failed=sum(int(np.count_nonzero(test.p_values < level)) for test in tests),
        worst=min((test.worst for test in tests), key=lambda item: item.p_value),
        in_one_example=single,
        in_all_examples=_detectable(sums, float(stats.t.isf(level / 2.0 / SUM_FACTOR, draws - 1))) if sums else None,
    )


@dataclass(frozen=True)
class _Tests:
    """Tests of one kind in one example, or in the sum over some: one per row.

    `stddev` and `slack` are what P(X > Y) - 1/2 is estimated with, and what rounding may move it by.
    """

    kind: Kind
    names: tuple[tuple[str, ...], ...]
    example: int | None
    p_values: Float64Array
    first: Float64Array
    second: Float64Array
    stddev: Float64Array
    slack: Float64Array

    @property
    def worst(self) -> Comparison:
        row = int(np.argmin(self.p_values))
        p_value, first, second = (float(item[row]) for item in (self.p_values, self.first, self.second))
        return Comparison(self.kind, self.names[row], self.example, p_value, first, second)


def _tests(first: Draws, second: Draws, task: Task, tolerance: float) -> Iterator[_Tests]:
    """All tests, example by example, and those of the sums over groups of examples."""
    draws, examples, _ = first.values.shape
    groups = math.ceil(examples / max(draws // DRAWS_PER_EXAMPLE, 1))
    paired = widest(first, second, task)
    for group in np.array_split(np.arange(examples), groups):
        sums = {kind: _Sums(kind) for kind in Kind}
        for example in map(int, group):
            parts = features(coordinates(first, second, example, task, tolerance), paired)
            for kind, part in zip(Kind, parts, strict=True):
                if part.names:
                    ranks = rank_sum(part.values, part.slack)
                    stddev = np.full(len(part.names), math.sqrt((2 * draws + 1) / 12.0) / draws)
                    p_values = normal_tail(ranks.score)
                    tests = _Tests(kind, part.names, example, p_values, *_medians(part), stddev, ranks.slack)
                    sums[kind].add(tests, ranks)
                    yield tests
        if len(group) > 1:
            yield from (item.tests() for item in sums.values() if item.names)


def _medians(part: Features) -> tuple[Float64Array, Float64Array]:
    first, second = (np.median(half, axis=1) for half in np.split(part.values, 2, axis=1))
    return first, second


class _Sums:
    """The ranks of a group of examples, summed, draw by draw.

    The sums of one engine are independent between draws, and their mean is the same in both engines if every example
    has one law. Their variance is not, because examples may depend on each other differently, so Welch's comparison of
    two means is used, with Student's law of the smaller possible number of degrees of freedom; and a variance below
    that of independent uniform ranks counts as this.

    Its tail is too light where rare draws move all examples at once in one engine alone: their number is binomial. In
    the worst such case, joint draws at the end of every example's law against independent examples, a p-value of 3e-10
    is reached 70 times as often as it says if there is one example in 64 draws (11,000 times for one in 8; between 400
    and 4,000 draws, by the exact binomial law). Hence the bounds `DRAWS_PER_EXAMPLE` and `SUM_FACTOR`.
    """

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self.names: tuple[tuple[str, ...], ...] = ()
        self._members: list[_Tests] = []
        self._low: Float64Array = np.zeros(())
        self._high: Float64Array = np.zeros(())

    def add(self, tests: _Tests, ranks: Ranks) -> None:
        """Add an example."""
        self.names = tests.names
        self._members.append(tests)
        self._low = self._low + ranks.low
        self._high = self._high + ranks.high

    def tests(self) -> _Tests:
        """The comparisons of the sums, one per row."""
        count, draws = len(self._members), self._low.shape[1] // 2
        low, low_stddev = _welch(self._low, count)
        high, high_stddev = _welch(self._high, count)
        score = np.maximum(np.maximum(-low / low_stddev, high / high_stddev), 0.0)
        return _Tests(
            self._kind,
            self.names,
            None,
            np.asarray(np.minimum(2.0 * SUM_FACTOR * stats.t.sf(score, draws - 1), 1.0)),
            np.mean([item.first for item in self._members], axis=0),
            np.mean([item.second for item in self._members], axis=0),
            np.maximum(low_stddev, high_stddev) / count,
            np.mean([item.slack for item in self._members], axis=0),
        )


def _welch(sums: Float64Array, count: int) -> tuple[Float64Array, Float64Array]:
    """The difference of the halves' means, and its standard deviation, per row."""
    first, second = np.split(sums, 2, axis=1)
    variance = sum(np.maximum(np.var(half, axis=1, ddof=1), count / 12.0) for half in (first, second))
    return np.mean(first, axis=1) - np.mean(second, axis=1), np.sqrt(variance / first.shape[1])


def _detectable(tests: list[_Tests], threshold: float) -> Detectable:
    """What such tests find, in the median over them."""
    effects = {}
    for kind in Kind:
        members = [test for test in tests if test.kind is kind]
        if members:
            stddev, slack = (
                float(np.median(np.concatenate([getattr(test, name) for test in members])))
                for name in ("stddev", "slack")
            )
            effects[kind] = detectable(threshold, stddev, slack)
    correlation = effects[Kind.CORRELATION][2] if Kind.CORRELATION in effects else None
    return Detectable(effects[Kind.LOCATION][0], effects[Kind.SPREAD][1], correlation)


def _check(first: Draws, second: Draws, false_alarm: float, tolerance: float) -> None:
    shapes = [(item.values.shape, None if item.scale is None else item.scale.shape) for item in (first, second)]
    if shapes[0] != shapes[1]:
        raise UsageError(f"draws of the shapes {shapes[0]} and {shapes[1]} cannot be compared; they must be the same")
    draws, examples, outputs = first.values.shape
    if draws < MIN_DRAWS:
        raise UsageError(f"{draws} draws are too few to compare laws; at least {MIN_DRAWS} are needed")
    if not examples or not outputs:
        raise UsageError("there is no example to compare")
    if not 0.0 < false_alarm < 1.0:
        raise UsageError(f"the false-alarm rate {false_alarm} must be between 0 and 1")
    if not 0.0 <= tolerance < 1.0:
        raise UsageError(f"the tolerance {tolerance} must be at least 0 and below 1")
    for item in (first.values, second.values, first.scale, second.scale):
        if item is not None and not np.isfinite(item).all():
            raise SelfCheckError("the draws hold values that are not finite")
