"""When the draws of an example end: sequential tests that hold whenever one looks.

Looks are taken at fixed numbers of draws, 8, 12, 16, 24, 32, 48, ..., and use the example's own draws alone, so that
the decision depends on nothing else. The error rate `alpha` holds for all looks of an example together. An antithetic
pair counts as one observation, its mean.

`TopClassTest` settles which class has the largest mean probability over infinitely many draws. For each class j it
tests "j has the largest mean" by betting. Before some draws the class `a` that leads so far and a stake in [0, 0.9] are
chosen; each of these draws then multiplies a capital, 1 at first, by 1 + stake (p_a - p_j). While the hypothesis holds,
that factor is 1 on average at most, whatever was chosen before, so the capital is a supermartingale and reaches
1 / alpha with a probability of alpha at most (Ville). j is then ruled out; an example is settled when all classes
but the one that leads are. The class announced is wrong only if the best class was ruled out: one event for each
example, so that no correction for the number of classes or of looks is needed. The stake is near Kelly's, with
Var(p_a - p_j) bounded by (sd_a + sd_j)^2; it affects how soon an example settles, never the error rate.

Source: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting"; Ville (1939).

`StderrTest` settles when sd / sqrt(n) is at most the target for each value, with an upper bound of the standard
deviation sd in place of its estimate, which early on is too small by chance. Look number k has the share
alpha / (k (k + 1)) of the error rate, divided among the values. For probabilities, Maurer and Pontil (2009), "Empirical
Bernstein bounds and sample variance penalization", theorem 10: sd <= s + sqrt(2 ln(1 / delta) / (n - 1)), for every law
on [0, 1]. A zero that was seen n times leaves room for sd of about sqrt(ln(1 / delta) / n), so that no valid rule stops
before about 3.5 / target draws. Regression outputs have no bounds; there the upper bound is that of the normal law,
sd <= s sqrt((n - 1) / chi2_delta(n - 1)), which is too low for laws with heavy tails.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array, FloatArray
from bprune.case.task import Task
from bprune.errors import UsageError
from bprune.inference.spread import Spread

__all__ = [
    "DEFAULT_MAX_MC_ITERS",
    "ERROR_RATE",
    "SequentialTest",
    "StderrTest",
    "Stopping",
    "TopClassTest",
    "looks",
]

DEFAULT_MAX_MC_ITERS = 4000
"""Draws after which an example ends, settled or not."""

ERROR_RATE = 0.01
"""Probability, at most, that the decision for one example is wrong."""

_FIRST_LOOK = 8
_LARGEST_STAKE = 0.9
_PRIOR_VARIANCE = 0.25  # of one observation: keeps early stakes moderate when little was seen to vary


@dataclass(frozen=True)
class Stopping:
    """When the draws of an example end.

    Attributes:
        max_mc_iters: Draws after which an example ends, settled or not.
        target_stderr: The MC standard error that each probability, or each mean of a regression, is to have; None
            asks for a settled top class instead.
        alpha: Probability, at most, that the decision for one example is wrong.

    Raises:
        UsageError: If a number is out of range.
    """

    max_mc_iters: int = DEFAULT_MAX_MC_ITERS
    target_stderr: float | None = None
    alpha: float = ERROR_RATE

    def __post_init__(self) -> None:
        if self.max_mc_iters < 1:
            raise UsageError(f"the largest number of draws is {self.max_mc_iters}; at least 1 is needed")
        if self.target_stderr is not None and not 0.0 < self.target_stderr < math.inf:
            raise UsageError(f"the target standard error is {self.target_stderr}; a number above 0 is needed")
        if not 0.0 < self.alpha < 1.0:
            raise UsageError(f"the error rate is {self.alpha}; it must be between 0 and 1")

    def check(self, task: Task) -> None:
        """Refuse a rule that does not fit the task.

        Raises:
            UsageError: If a regression is to settle a class.
        """
        if task is Task.REGRESSION and self.target_stderr is None:
            raise UsageError(
                "a regression has no top class that could settle",
                hint="Say how precise its mean is to be with --target-stderr, or give --mc-iters a number.",
            )

    def start(self, task: Task, examples: int, outputs: int) -> SequentialTest:
        """The test of no draws."""
        self.check(task)
        if self.target_stderr is None:
            return TopClassTest.start(examples, outputs, self.alpha)
        return StderrTest(self.target_stderr, self.alpha, task is Task.CLASSIFICATION)

    def to_json(self) -> str:
        """The rule as one JSON object."""
        rule = "top-class" if self.target_stderr is None else "target-stderr"
        content = {"rule": rule, "max_mc_iters": self.max_mc_iters, "alpha": self.alpha, "first_look": _FIRST_LOOK}
        return json.dumps(content | ({} if self.target_stderr is None else {"target_stderr": self.target_stderr}))


def looks(largest: int) -> Iterator[int]:
    """The numbers of draws after which one looks: 8, 12, 16, 24, 32, 48, ... and at last `largest`."""
    power = _FIRST_LOOK
    while power < largest:
        yield power
        if power * 3 // 2 < largest:
            yield power * 3 // 2
        power *= 2
    yield largest


class SequentialTest(Protocol):
    """A test of some examples; it is a value, and each step gives a new one."""

    def update(self, values: FloatArray) -> SequentialTest:
        """The test after more observations, `[observation, example, value]`."""
        ...

    def look(self, spread: Spread, number: int) -> tuple[SequentialTest, BoolArray]:
        """Decide.

        Args:
            spread: Mean and spread of all draws so far.
            number: The number of this look, 1 at first.

        Returns:
            The test with which to go on, and which examples are settled, `[example]`.
        """
        ...

    def take(self, rows: AnyArray) -> SequentialTest:
        """The test of some examples, `[row]`."""
        ...


@dataclass(frozen=True)
class TopClassTest:
    """Is the class that leads the best one?

    Attributes:
        alpha: The error rate of each example.
        log_capital: Logarithm of what was won against "this class is the best", `[example, class]`, float64.
        is_ruled_out: Whether the capital was 1 / alpha at a look, `[example, class]`.
        leader: The class that is bet on, `[example]`.
        stakes: The stakes, `[example, class]`, float64, 0 for the leader itself.
    """

    alpha: float
    log_capital: Float64Array
    is_ruled_out: BoolArray
    leader: AnyArray
    stakes: Float64Array

    @classmethod
    def start(cls, examples: int, classes: int, alpha: float) -> TopClassTest:
        """No draws, no bets."""
        zeros = np.zeros((examples, classes))
        return cls(alpha, zeros, zeros > 0.0, np.zeros(examples, np.int64), zeros)

    def update(self, values: FloatArray) -> TopClassTest:
        """See `SequentialTest.update`."""
        capital = self.log_capital
        if self.stakes.any():
            rows = np.arange(len(self.leader))
            capital = capital.copy()
            for value in values:
                lead = value[rows, self.leader].astype(np.float64)
                capital += np.log1p(self.stakes * (lead[:, None] - value))
        return TopClassTest(self.alpha, capital, self.is_ruled_out, self.leader, self.stakes)

    def look(self, spread: Spread, number: int) -> tuple[TopClassTest, BoolArray]:
        """See `SequentialTest.look`."""
        mean, rows = spread.mean, np.arange(len(spread.mean))
        leader = np.argmax(mean.astype(np.float32), axis=-1)  # as the summary has it
        is_ruled_out = self.is_ruled_out | (self.log_capital >= -math.log(self.alpha))
        others = is_ruled_out.copy()
        others[rows, leader] = ~is_ruled_out[rows, leader]
        deviation, _, observations = spread.observed()
        lead = mean[rows, leader][:, None] - mean
        variance = np.square(deviation[rows, leader][:, None] + deviation) + _PRIOR_VARIANCE / observations
        stakes = np.clip(lead / (variance + np.square(lead)), 0.0, _LARGEST_STAKE)
        return TopClassTest(self.alpha, self.log_capital, is_ruled_out, leader, stakes), np.asarray(others.all(axis=-1))

    def take(self, rows: AnyArray) -> TopClassTest:
        """See `SequentialTest.take`."""
        return TopClassTest(
            self.alpha, self.log_capital[rows], self.is_ruled_out[rows], self.leader[rows], self.stakes[rows]
        )


@dataclass(frozen=True)
class StderrTest:
    """Is the standard error of each value small enough?

    Attributes:
        target: The largest standard error that is allowed.
        alpha: The error rate of each example.
        is_bounded: Whether values lie in [0, 1]; else they are taken as normal.
    """

    target: float
    alpha: float
    is_bounded: bool

    def update(self, values: FloatArray) -> StderrTest:
        """See `SequentialTest.update`; the spread knows all that is needed."""
        return self

    def look(self, spread: Spread, number: int) -> tuple[StderrTest, BoolArray]:
        """See `SequentialTest.look`."""
        deviation, _, observations = spread.observed()
        if observations < 2:
            return self, np.zeros(len(deviation), bool)
        delta = self.alpha / (number * (number + 1) * deviation.shape[1])
        bound = self._bound(deviation, observations, delta)
        return self, np.asarray((bound <= self.target * math.sqrt(observations)).all(axis=-1))

    def _bound(self, deviation: Float64Array, observations: int, delta: float) -> Float64Array:
        """An upper bound of the standard deviation that fails with a probability of `delta` at most."""
        freedom = observations - 1
        if self.is_bounded:
            return deviation + math.sqrt(-2.0 * math.log(delta) / freedom)
        from scipy.stats import chi2

        return deviation * math.sqrt(freedom / float(chi2.ppf(delta, freedom)))

    def take(self, rows: AnyArray) -> StderrTest:
        """See `SequentialTest.take`."""
        return self
