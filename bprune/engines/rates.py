"""How fast the machine does what draws are made of: the limits that a benchmark is read against.

Every rate is that of all cores together, as the engine `native` uses them: threads that work on data of their own, one
core each.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bprune.engines.machine import usable_cores

__all__ = ["Rates", "measure_rates"]

_SECONDS = 0.25
_NORMALS = 1 << 16
_SIDE = 512
_EXAMPLES = 128
_SPARSE_SIDE, _SPARSE_SHARE = 256, 0.1
_LAYERS, _DRAWS = 8, 4
_COPIED_BYTES = 128 << 20
"""What all threads copy together: more than caches hold."""
_LEAST_COPIED_BYTES = 4 << 20

Work = Callable[[], object]


@dataclass(frozen=True)
class Rates:
    """What the machine does in a second.

    Attributes:
        threads: Threads that worked at the same time.
        normals_per_s: Standard normals of the engine `native`; None where its kernels do not run.
        matmul_flop_per_s: Operations of matrix products in float32: NumPy's BLAS.
        sparse_flop_per_s: Operations of products with a kernel of which a tenth of the weights is live, by the engine
            `native`; None where its kernels do not run.
        copy_bytes_per_s: Bytes read and written while memory is copied.
    """

    threads: int
    normals_per_s: float | None
    matmul_flop_per_s: float
    sparse_flop_per_s: float | None
    copy_bytes_per_s: float


def measure_rates(*, native: bool, seconds: float = _SECONDS) -> Rates:
    """Measure the rates.

    Args:
        native: Whether the kernels of the engine `native` run.
        seconds: How long each is measured.
    """
    from threadpoolctl import threadpool_limits

    threads = usable_cores()
    copied = max(_COPIED_BYTES // threads, _LEAST_COPIED_BYTES)
    sparse = 2.0 * round(_SPARSE_SIDE**2 * _SPARSE_SHARE) * _EXAMPLES * _LAYERS * _DRAWS
    with threadpool_limits(1, "blas"):
        return Rates(
            threads=threads,
            normals_per_s=_NORMALS * _calls_per_s(_normals, threads, seconds) if native else None,
            matmul_flop_per_s=2.0 * _SIDE**3 * _calls_per_s(_matmul, threads, seconds),
            sparse_flop_per_s=sparse * _calls_per_s(_sparse, threads, seconds) if native else None,
            copy_bytes_per_s=2.0 * copied * _calls_per_s(lambda: _copy(copied), threads, seconds),
        )


def _calls_per_s(prepare: Callable[[], Work], threads: int, seconds: float) -> float:
    """Calls per second of all threads together; each makes its own work, and calls it once before."""
    barrier = threading.Barrier(threads)
    rates = [0.0] * threads

    def run(number: int, work: Work) -> None:
        barrier.wait()
        start = now = time.perf_counter()
        calls = 0
        while now - start < seconds:
            work()
            calls += 1
            now = time.perf_counter()
        rates[number] = calls / (now - start)

    works = [prepare() for _ in range(threads)]
    for work in works:
        work()
    workers = [threading.Thread(target=run, args=item, daemon=True) for item in enumerate(works)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates)


def _normals() -> Work:
    from bprune.engines.native.noise import WeightSampler
    from bprune.lowering.weights import Stream

    sampler = WeightSampler(0, Stream("rate", 0, _NORMALS), "Normal", np.zeros(_NORMALS), np.ones(_NORMALS))
    out = np.empty(_NORMALS, np.float32)
    return lambda: sampler.sample(out, 0)


def _matmul() -> Work:
    left, right, out = (np.ones((_SIDE, _SIDE), np.float32) for _ in range(3))
    return lambda: np.matmul(left, right, out=out)


def _sparse() -> Work:
    from bprune.engines.native.chain import Chain, Link, tiles_of
    from bprune.engines.native.noise import DrawNoise
    from bprune.lowering.ops import Dense
    from bprune.lowering.weights import Weights

    count = _SPARSE_SIDE**2
    kernel = np.zeros(count, np.float32)
    kernel[np.random.default_rng(0).permutation(count)[: round(count * _SPARSE_SHARE)]] = 1.0 / _SPARSE_SIDE
    weights = Weights(kernel.reshape(_SPARSE_SIDE, _SPARSE_SIDE))
    link = Link(Dense("rate", ("x",), weights, None, None, "rate"), relu=False, sparse=True)
    chain = Chain(0, [link] * _LAYERS)
    x, out = tiles_of(np.ones((_EXAMPLES, _SPARSE_SIDE))), np.empty((_DRAWS, _EXAMPLES, _SPARSE_SIDE), np.float32)
    examples, draws = np.arange(_EXAMPLES), [DrawNoise(0)] * _DRAWS
    return lambda: chain.run(out, 0, 0, examples, draws, mean=x)


def _copy(size: int) -> Work:
    source, target = (np.ones(size, np.uint8) for _ in range(2))
    return lambda: np.copyto(target, source)
