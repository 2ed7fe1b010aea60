"""Which engines can run on this machine, and how fast it does what they are made of."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bprune.engines.machine import Machine, read_machine
from bprune.engines.rates import Rates, measure_rates
from bprune.errors import EngineError

__all__ = ["EngineState", "Health", "Kernels", "examine", "try_kernels"]

_KERNEL_FILES = "*.nbc"
_ELEMENTS = 4096
_SIDE, _PICTURE, _EXAMPLES = 48, 6, 16


@dataclass(frozen=True)
class Kernels:
    """The compiled kernels of the engine `native`.

    Attributes:
        problem: Why they do not run; empty where they do.
        cache: The folder in which they are kept; empty where none can be written, or numba is missing.
        compiled: How many were compiled now, not loaded from the cache; None without a cache, where all are.
        seconds: How long it took until they had run, numba's own start included; None where they do not run.
    """

    problem: str
    cache: str
    compiled: int | None
    seconds: float | None


@dataclass(frozen=True)
class EngineState:
    """Whether an engine can run.

    Attributes:
        name: The engine's name.
        problem: Why it cannot; empty where it can.
    """

    name: str
    problem: str


@dataclass(frozen=True)
class Health:
    """What `examine` found.

    Attributes:
        machine: The machine.
        engines: The engines.
        kernels: The compiled kernels of the engine `native`.
        rates: How fast the machine is.
    """

    machine: Machine
    engines: tuple[EngineState, ...]
    kernels: Kernels
    rates: Rates

    @property
    def failure(self) -> EngineError | None:
        """The error that says that no engine can run; None where one can."""
        if not all(item.problem for item in self.engines):
            return None
        reasons = dict.fromkeys(item.problem for item in self.engines)
        return EngineError(
            f"no engine can run: {'; '.join(reasons)}",
            hint="Install the package again in a fresh environment: pip install bprune.",
        )


def examine() -> Health:
    """Try the engines and measure the machine; takes about a second, and more where kernels have to be compiled.

    What is broken is told in the result, not raised.
    """
    tensorflow = _tensorflow_problem()
    kernels = try_kernels()
    engines = (
        EngineState("graph", tensorflow),
        EngineState("tensorflow", tensorflow),
        EngineState("native", tensorflow or kernels.problem),
    )
    return Health(read_machine(), engines, kernels, measure_rates(native=not kernels.problem))


def _tensorflow_problem() -> str:
    """Every engine needs TensorFlow, if only to read a case."""
    try:
        import tensorflow as tf

        return "" if float(tf.reduce_sum(tf.ones([2]))) == 2.0 else "TensorFlow computes wrong sums"
    except Exception as error:
        return f"TensorFlow cannot be used: {_told(error)}"


def _told(error: Exception) -> str:
    """An error in a line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def try_kernels() -> Kernels:
    """Run every kernel once, and see whether some of them compute what they should.

    Those that are not kept on disk are compiled; TensorFlow is not needed.
    """
    start = time.perf_counter()
    try:
        importlib.import_module("numba")
        from bprune.engines.native.jit import cache_folder
    except Exception as error:
        return Kernels(f"numba cannot be used: {_told(error)}", "", None, None)
    folder = cache_folder()
    before = _files(folder)
    try:
        problem = _run_noise() or _run_products() or _run_convolutions() or _run_images() or _run_softmax()
    except Exception as error:
        problem = f"the kernels do not run: {_told(error)}"
    seconds = None if problem else time.perf_counter() - start
    compiled = None if folder is None else max(_files(folder) - before, 0)
    return Kernels(problem, "" if folder is None else str(folder), compiled, seconds)


def _files(folder: Path | None) -> int:
    return 0 if folder is None else sum(1 for _ in folder.rglob(_KERNEL_FILES))


def _run_noise() -> str:
    """The samplers of weights and units; the deviations of 4 096 normals are known up to a hundredth or so."""
    from bprune.engines.native.noise import WeightSampler, unit_noise
    from bprune.lowering.weights import Stream

    stream, ones = Stream("doctor", 0, 2 * _ELEMENTS), np.ones(_ELEMENTS, np.float32)
    deviations = []
    for ids in (None, np.arange(_ELEMENTS) * 2):
        out = np.empty(_ELEMENTS, np.float32)
        WeightSampler(0, stream, "Normal", np.zeros(_ELEMENTS), ones, ids).sample(out, 0)
        deviations.append(float(out.std()))
    deviations.append(float(unit_noise(0, "doctor", 2 * np.arange(_ELEMENTS // 64), 0).std()))
    wrong = [item for item in deviations if not 0.9 < item < 1.1]
    return f"the kernels' normals have the standard deviation {wrong[0]:.3g}" if wrong else ""


def _run_products() -> str:
    """Dense and sparse products, against NumPy's."""
    from bprune.engines.native.chain import Chain, Link, tiles_of
    from bprune.engines.native.noise import DrawNoise
    from bprune.lowering.ops import Dense
    from bprune.lowering.weights import Weights

    generator = np.random.default_rng(0)
    kernel = generator.standard_normal((_SIDE, _SIDE)).astype(np.float32)
    kernel[generator.random(kernel.shape) < 0.8] = 0.0
    x, out = generator.standard_normal((_EXAMPLES, _SIDE)), np.empty((1, _EXAMPLES, _SIDE), np.float32)
    op, right = Dense("doctor", ("x",), Weights(kernel), None, None, "doctor"), True
    for is_sparse in (False, True):
        chain = Chain(0, [Link(op, relu=False, sparse=is_sparse)])
        chain.run(out, 0, 0, np.arange(_EXAMPLES), [DrawNoise(0)], mean=tiles_of(x))
        right = right and np.allclose(out[0], x @ kernel, rtol=1e-3, atol=1e-3)
    return "" if right else "the kernels' products differ from NumPy's"


def _run_convolutions() -> str:
    """Every way to compute a convolution, against NumPy's, and the pooling behind it."""
    from bprune.engines.native.convolutions import Plain, Sparse, Winograd
    from bprune.engines.native.kernels_images import pool_lanes
    from bprune.engines.native.noise import DrawNoise
    from bprune.engines.native.sparse import aligned
    from bprune.lowering.ops import Conv
    from bprune.lowering.program import Program
    from bprune.lowering.shapes import Shape
    from bprune.lowering.weights import Weights

    generator = np.random.default_rng(0)
    kernel = generator.standard_normal((3, 3, 1, 2)).astype(np.float32)
    op = Conv("doctor", ("x",), Weights(kernel), None, (1, 1), ((0, 0), (0, 0)), (1, 1))
    program, right = Program("x", Shape((_PICTURE, _PICTURE, 1)), (op,), ("doctor",)), True
    side = _PICTURE - 2
    for kind in (Plain, Sparse, Winograd):
        layer = kind(0, op, program)
        pictures, result = aligned((1, 1, layer.room.rows, layer.room.columns, 16)), aligned((1, 2, side, side, 16))
        pictures[:] = generator.standard_normal(pictures.shape)
        layer.run(result, (0, 0), pictures, layer.draw(DrawNoise(0)), False, (1, 1))
        corner = np.einsum("ijf,ijn->fn", kernel[:, :, 0], pictures[0, 0, :3, :3])
        right = right and np.allclose(result[0, :, 0, 0], corner, rtol=1e-3, atol=1e-3)
    pooled = aligned((2, side // 2, side // 2, 16))
    pool_lanes(pooled, (0, 0), (side // 2,) * 2, result[0], (0, 0), (side, side), (2, 2), (2, 2), (0, 0), False)
    right = right and np.array_equal(pooled[:, 0, 0], result[0, :, :2, :2].max((1, 2)))
    return "" if right else "the kernels' convolutions differ from NumPy's"


def _run_images() -> str:
    """Layouts and pooling, there and back."""
    from bprune.engines.native import kernels_images

    rows = np.arange(_EXAMPLES * _PICTURE * _PICTURE * 2, dtype=np.float32).reshape(_EXAMPLES, _PICTURE, _PICTURE, 2)
    lanes, back = np.empty((2, _PICTURE, _PICTURE, 16), np.float32), np.empty_like(rows)
    kernels_images.images_to_lanes(lanes, rows, (0, 0))
    kernels_images.images_from_lanes(back, lanes, (0, 0))
    pooled = np.empty((_EXAMPLES, _PICTURE // 2, _PICTURE // 2, 2), np.float32)
    kernels_images.pool_rows(pooled, rows, (2, 2), (2, 2), (0, 0), False)
    right = np.array_equal(back, rows)
    right = right and np.array_equal(pooled, rows[:, 1::2, 1::2])
    return "" if right else "the kernels' layouts of images differ from NumPy's"


def _run_softmax() -> str:
    """Probabilities and their entropies: those of equal logits are known."""
    from bprune.engines.native.kernels_softmax import softmax_statistics

    logits, out = np.zeros((_EXAMPLES, 4), np.float32), np.empty((_EXAMPLES, 4), np.float32)
    sums, squares, entropies = np.zeros(logits.shape), np.zeros(logits.shape), np.zeros(_EXAMPLES)
    softmax_statistics(logits, out, sums, squares, entropies)
    right = np.allclose(out, 0.25) and np.allclose(sums, out) and np.allclose(entropies, np.log(4.0), atol=1e-5)
    return "" if right else "the kernels' probabilities are not those of a softmax"
