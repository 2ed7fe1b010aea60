"""Time ways to make the same draws in turns, so that whatever else the machine does strikes all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping

import numpy as np

from bprune.arrays import AnyArray, Float64Array, read_only
from bprune.engines.base import Engine
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import choose_blocks

__all__ = ["DrawLoop", "median_s", "time_in_turns"]


class DrawLoop:
    """The mean of an engine's draws of some examples (eq. 4 of the paper), a number of draws at every call.

    Examples and draws are divided as `bprune infer` divides them. Every call goes on where the last one ended.

    Args:
        engine: The engine.
        inputs: `[example, ...]`, as the network takes them.
        draws: Draws of one call.
    """

    def __init__(self, engine: Engine, inputs: AnyArray, draws: int) -> None:
        self._engine, self._inputs, self._draws = engine, read_only(inputs), draws
        self._blocks = choose_blocks(engine, len(inputs), draws)
        self._sum = np.zeros((len(inputs), engine.output_size))
        self._next = 0

    def __call__(self) -> None:
        """Make the next draws."""
        end = self._next + self._draws
        for start in range(0, len(self._inputs), self._blocks.examples):
            examples = slice(start, start + self._blocks.examples)
            block, total = self._inputs[examples], self._sum[examples]
            for first in range(self._next, end, self._blocks.draws):
                numbers = range(first, min(first + self._blocks.draws, end))
                total += self._engine.draw(block, numbers, start).values.sum(0)
        self._next = end

    def mean(self) -> Float64Array:
        """The mean of all draws so far, `[example, class]` or `[example, output]`."""
        return self._sum / max(self._next, 1)


def time_in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, progress: Progress = no_progress
) -> dict[str, tuple[float, ...]]:
    """The seconds that every call of every side takes.

    Each side is called once before, to warm up. Then all are called in turns; every round begins with another one, so
    that none always comes behind the same one.

    Args:
        sides: What to time, by name.
        rounds: How often each is timed, at least 1.
        progress: Told after every call.

    Returns:
        `rounds` numbers for every side, in the order of `sides`.
    """
    names = list(sides)
    calls, done = len(names) * (rounds + 1), 0
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        first = number % len(names) if names else 0
        gc.collect()  # not in the middle of somebody's time
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            sides[name]()
            if number:
                seconds[name].append(time.perf_counter() - start)
            done += 1
            progress(done / calls)
    return {name: tuple(items) for name, items in seconds.items()}


def median_s(seconds: tuple[float, ...]) -> float:
    """The median of some times, which one slow repetition does not move."""
    return float(np.median(seconds))
