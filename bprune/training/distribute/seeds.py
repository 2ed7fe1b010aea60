"""Seeds that differ per worker, and a warning where they do not."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Sequence

from bprune.errors import UsageError

__all__ = ["base_seed", "global_seed", "seed_after", "seed_of", "warn_of_equal_seeds"]

_STRIDE = 1000
_STRIDE_OF_EPOCHS = 1_000_003
_LIMIT = 2**31


def base_seed(seed: int | None) -> int:
    """The seed of the whole job: the one given, or one from the operating system.

    Raises:
        UsageError: If it is out of range.
    """
    if seed is None:
        return secrets.randbelow(_LIMIT)
    if not 0 <= seed < _LIMIT:
        raise UsageError(f"seed={seed} must be at least 0 and less than 2**31")
    return seed


def seed_of(base: int, rank: int) -> int:
    """The seed of one worker: that of the job for the chief, so that it starts with the weights of serial training."""
    return (base + _STRIDE * rank) % _LIMIT


def seed_after(seed: int, epochs: int) -> int:
    """A worker's seed for the noise of a training that goes on after some epochs, whose noise it must not repeat."""
    return (seed + _STRIDE_OF_EPOCHS * epochs) % _LIMIT


def global_seed() -> int | None:
    """TensorFlow's seed in this process, or None if there is none."""
    from tensorflow.python.eager import context

    seed: int | None = context.global_seed()
    return seed


def warn_of_equal_seeds(seeds: Sequence[int | None]) -> None:
    """Warn if workers draw the same noise, which takes away part of what averaging over them gains.

    Args:
        seeds: TensorFlow's seed on every worker, None where it was not set.
    """
    known = [seed for seed in seeds if seed is not None]
    if len(set(known)) < len(known):
        warnings.warn(
            f"workers have equal seeds ({', '.join(map(str, known))}) and draw the same noise: use "
            "distribute(..., seed=) or workers.seed in place of a tf.random.set_seed of your own",
            UserWarning,
            stacklevel=4,
        )
