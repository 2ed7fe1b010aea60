"""Sums over blocks of draws, kept while the draws pass by; see `bprune.metrics.blocks` for what the blocks are.

Draws are added one by one in the order of their numbers, so that a block's sums are the same to the last bit whatever
the size of batches and chunks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.metrics.blocks import BLOCKS, block_of

__all__ = ["ClassBlocks", "ValueBlocks"]


@dataclass(frozen=True)
class ClassBlocks:
    """What a classifier's draws sum to in each block; each attribute is a tuple over blocks.

    Attributes:
        draws: Number of draws.
        probability: Sum of probabilities, `[example, class]`.
        entropy: Sum of the draws' entropies, `[example]`.
        votes: How often each class was the most probable one, `[example, class]`, int32.
    """

    draws: tuple[int, ...]
    probability: tuple[Float64Array, ...]
    entropy: tuple[Float64Array, ...]
    votes: tuple[AnyArray, ...]

    @classmethod
    def start(cls, examples: int, classes: int) -> ClassBlocks:
        """The sums of no draws."""
        zeros, none = np.zeros((examples, classes)), np.zeros((examples, classes), np.int32)
        return cls((0,) * BLOCKS, (zeros,) * BLOCKS, (np.zeros(examples),) * BLOCKS, (none,) * BLOCKS)

    def update(self, values: AnyArray, entropies: Float64Array, first: int, *, paired: bool) -> ClassBlocks:
        """These sums with more draws.

        Args:
            values: Probabilities, `[draw, example, class]`.
            entropies: The entropy of each, `[draw, example]`.
            first: The number of the first draw.
            paired: Whether draws are antithetic pairs.
        """
        counts, sums, entropy, votes = (list(getattr(self, item.name)) for item in fields(self))
        first_of_row, own = np.arange(values.shape[1]) * values.shape[2], set()
        for offset, draw in enumerate(values):
            block = block_of(first + offset, paired=paired)
            counts[block] += 1
            sums[block] = sums[block] + draw
            entropy[block] = entropy[block] + entropies[offset]
            if block not in own:
                votes[block] = votes[block].copy()
                own.add(block)
            votes[block].reshape(-1)[first_of_row + draw.argmax(axis=-1)] += 1
        return ClassBlocks(tuple(counts), tuple(sums), tuple(entropy), tuple(votes))

    def take(self, rows: AnyArray) -> ClassBlocks:
        """The sums of some examples."""
        return ClassBlocks(
            self.draws, _taken(self.probability, rows), _taken(self.entropy, rows), _taken(self.votes, rows)
        )


@dataclass(frozen=True)
class ValueBlocks:
    """What a regression's draws sum to in each block; each attribute is a tuple over blocks.

    Attributes:
        draws: Number of draws.
        mean: Mean of the predictive means, `[example, output]`.
        squares: Sum of squared deviations from it, `[example, output]`.
        scale_squares: Sum of scale^2, `[example, output]`; zeros where no scale is predicted.
        log_likelihood: ln of the sum of the likelihoods of the target, `[example]`; -inf where they are not known.
    """

    draws: tuple[int, ...]
    mean: tuple[Float64Array, ...]
    squares: tuple[Float64Array, ...]
    scale_squares: tuple[Float64Array, ...]
    log_likelihood: tuple[Float64Array, ...]

    @classmethod
    def start(cls, examples: int, outputs: int) -> ValueBlocks:
        """The sums of no draws."""
        zeros = (np.zeros((examples, outputs)),) * BLOCKS
        return cls((0,) * BLOCKS, zeros, zeros, zeros, (np.full(examples, -math.inf),) * BLOCKS)

    def update(
        self,
        values: AnyArray,
        scale: AnyArray | None,
        log_likelihood: Callable[[int], Float64Array] | None,
        first: int,
        *,
        paired: bool,
    ) -> ValueBlocks:
        """These sums with more draws.

        Args:
            values: Predictive means, `[draw, example, output]`.
            scale: Predictive standard deviations of the same shape, or None.
            log_likelihood: The log-likelihood of the targets in a draw of `values`, by its position, `[example]`; or
                None.
            first: The number of the first draw.
            paired: Whether draws are antithetic pairs.
        """
        counts, mean, squares, noise, likelihood = (list(getattr(self, item.name)) for item in fields(self))
        for offset, draw in enumerate(values):
            block = block_of(first + offset, paired=paired)
            counts[block] += 1
            step = draw - mean[block]
            mean[block] = mean[block] + step / counts[block]
            squares[block] = squares[block] + step * (draw - mean[block])
            if scale is not None:
                noise[block] = noise[block] + np.square(scale[offset], dtype=np.float64)
            if log_likelihood is not None:
                likelihood[block] = np.logaddexp(likelihood[block], log_likelihood(offset))
        return ValueBlocks(tuple(counts), tuple(mean), tuple(squares), tuple(noise), tuple(likelihood))

    def take(self, rows: AnyArray) -> ValueBlocks:
        """The sums of some examples."""
        return ValueBlocks(
            self.draws,
            _taken(self.mean, rows),
            _taken(self.squares, rows),
            _taken(self.scale_squares, rows),
            _taken(self.log_likelihood, rows),
        )


def _taken(values: tuple[Any, ...], rows: AnyArray) -> Any:
    return tuple(item[rows] for item in values)
