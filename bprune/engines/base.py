"""What every engine does: given inputs and draw numbers, return draws of the network's predictive parameters."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from bprune.arrays import AnyArray, FloatArray

__all__ = ["MOST_DRAWS", "Draws", "Engine", "Sampling"]

MOST_DRAWS = 20
"""Draws of a call, at most, of an engine without a reason for more: a signal or a progress display waits for it."""


class Sampling(str, enum.Enum):
    """How the weights of one draw are shared between examples."""

    AS_TRAINED = "as-trained"
    """Each layer samples the way its TFP class does: flipout, reparameterization, local reparameterization."""
    PER_EXAMPLE = "per-example"
    """The law of each example is exact, but a draw is not one network for all: where it is faster, a first layer draws
    its outputs, and examples whose numbers differ by a multiple of 64 share their noise. Shared weights elsewhere."""
    WEIGHTS = "weights"
    """One set of weights for all examples of a draw: every draw is one coherent network."""


@dataclass(frozen=True)
class Draws:
    """Some draws for a block of examples.

    Attributes:
        values: Classification: probabilities `[draw, example, class]`, sum to 1 on the last axis. Regression:
            predictive means `[draw, example, output]`. float32.
        scale: Regression: predictive standard deviations of the shape of `values`, or None when the network does
            not predict its noise. Classification: None.
    """

    values: FloatArray
    scale: FloatArray | None = None


class Engine(Protocol):
    """A network that is ready to draw. Making one is the expensive step; drawing is repeated.

    Attributes:
        name: The engine's name on the command line.
        sampling: How weights are shared between the examples of a draw.
        output_size: The length of the last axis of `Draws.values`.
        block: The examples that are run together whatever comes in: fewer cost as much. 1 where there is no such
            number.
        most_draws: Draws of a call, at most: a signal or a progress display waits for it.
    """

    name: str
    sampling: Sampling
    output_size: int
    block: int
    most_draws: int

    def prepare(self, examples: int) -> None:
        """Make ready for a run; call it before the first draw, and with the same number when a run is continued.

        An engine that chooses the size of its blocks does so once.

        Args:
            examples: How many examples the whole run has.
        """
        ...

    def draw(self, inputs: AnyArray, draws: range, first: int = 0) -> Draws:
        """Run some draws on some inputs.

        Args:
            inputs: `[example, ...]`, of the shape and dtype of the case's input.
            draws: The numbers of the draws to run.
            first: The number of the first of these examples in the whole run; examples that are drawn one by one have
                noise that depends on it.

        Returns:
            The draws, in the order of `draws`.

        Raises:
            EngineError: If the network cannot be run.
            SelfCheckError: If a value is not finite.
        """
        ...

    def example_bytes(self) -> int:
        """An upper estimate of the memory that one example needs while a draw runs."""
        ...
