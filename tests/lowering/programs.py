"""Worlds: small programs with random weights, in which no two units, axes or signs are alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.lowering.ops import (
    Activation,
    Add,
    Affine,
    Bias,
    Concat,
    Conv,
    Dense,
    DepthwiseConv,
    Function,
    Multiply,
    Op,
    Pad,
    Pads,
    Pool,
    Pooling,
    Reduce,
    Reduction,
    Reshape,
    Select,
    Transpose,
)
from bprune.lowering.program import Program, check_program, weights_of, with_weights
from bprune.lowering.shapes import Shape, output_shape
from bprune.lowering.weights import Stream, Weights

__all__ = ["WORLDS", "Builder", "examples", "posterior_sizes", "random_masks", "same_pads", "thinned"]

FIXED = ""
"""The family of weights that are not sampled."""


def same_pads(spatial: tuple[int, ...], window: tuple[int, ...], strides: tuple[int, ...], dilation: int = 1) -> Pads:
    """The pads of TensorFlow's SAME: more behind than before where the number is odd."""
    pads = []
    for size, extent, stride in zip(spatial, window, strides, strict=True):
        total = max((-(-size // stride) - 1) * stride + (extent - 1) * dilation + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


class Builder:
    """Writes a program, one operation after the other; every method gives the name of the new tensor."""

    def __init__(self, *shape: int, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.ops: list[Op] = []
        self.shapes = {"input": Shape(shape)}

    def put(self, op: Op) -> str:
        self.shapes[op.name] = output_shape(op, [self.shapes[name] for name in op.inputs])
        self.ops.append(op)
        return op.name

    def build(self, *outputs: str) -> Program:
        program = Program("input", self.shapes["input"], tuple(self.ops), outputs)
        check_program(program)
        return program

    def name(self, kind: str) -> str:
        return f"{kind}_{len(self.ops)}"

    def weights(self, name: str, shape: tuple[int, ...], family: str, spread: float = 1.0) -> Weights:
        loc = self.rng.normal(0.05, spread, shape).astype(np.float32)
        if family == FIXED:
            return Weights(loc)
        size = int(np.prod(shape))
        scale = self.rng.uniform(0.1, 0.5, shape).astype(np.float32) * np.float32(spread)
        if family == "LogNormal":
            loc = loc - np.float32(1.0)
        return Weights(
            loc, scale, family, Stream(name, 0, size, shape[-1]), np.arange(size, dtype=np.int32).reshape(shape)
        )

    def kernel(self, layer: str, shape: tuple[int, ...], family: str) -> Weights:
        fan_in = int(np.prod(shape[:-1])) if len(shape) < 4 or shape[-2] > 1 else int(np.prod(shape[:-2]))
        return self.weights(f"{layer}/kernel", shape, family, float(1.0 / np.sqrt(max(fan_in, 1))))

    def bias(self, layer: str, units: int, family: str | None) -> Weights | None:
        return None if family is None else self.weights(f"{layer}/bias", (units,), family, 0.5)

    def dense(self, x: str, units: int, family: str = "Normal", bias: str | None = FIXED) -> str:
        name = self.name("dense")
        kernel = self.kernel(name, (self.shapes[x].units, units), family)
        return self.put(Dense(name, (x,), kernel, self.bias(name, units, bias), layer=name))

    def conv(
        self,
        x: str,
        units: int,
        family: str = "Normal",
        bias: str | None = FIXED,
        *,
        window: tuple[int, ...] = (),
        strides: tuple[int, ...] = (),
        pads: Pads | str = "same",
        dilation: int = 1,
    ) -> str:
        name, shape = self.name("conv"), self.shapes[x]
        window, strides = window or (3, 2, 3)[: len(shape) - 1], strides or (1,) * (len(shape) - 1)
        kernel = self.kernel(name, (*window, shape.units, units), family)
        if isinstance(pads, str):
            same = same_pads(shape.spatial, window, strides, dilation)
            pads = same if pads == "same" else ((0, 0),) * len(window)
        dilations = (dilation,) * len(window)
        return self.put(Conv(name, (x,), kernel, self.bias(name, units, bias), strides, pads, dilations, layer=name))

    def depthwise(self, x: str, multiplier: int = 1, family: str = "Normal", bias: str | None = FIXED) -> str:
        name, shape = self.name("depthwise"), self.shapes[x]
        kernel = self.kernel(name, (3, 2, shape.units, multiplier), family)
        pads = same_pads(shape.spatial, (3, 2), (1, 1))
        total = self.bias(name, shape.units * multiplier, bias)
        return self.put(DepthwiseConv(name, (x,), kernel, total, (1, 1), pads, (1, 1), layer=name))

    def sampled_bias(self, x: str, family: str = "Normal") -> str:
        name = self.name("bias")
        return self.put(Bias(name, (x,), self.weights(f"{name}/bias", (self.shapes[x].units,), family), layer=name))

    def norm(self, x: str) -> str:
        """A batch normalisation, folded: a gain of either sign and a shift per unit."""
        units = self.shapes[x].units
        gain = self.rng.uniform(0.5, 1.5, units) * self.rng.choice([-1.0, 1.0], units)
        return self.affine(x, gain, self.rng.normal(0.1, 0.3, units))

    def affine(self, x: str, gain: Any = None, shift: Any = None) -> str:
        parts = [None if item is None else np.asarray(item, np.float32) for item in (gain, shift)]
        return self.put(Affine(self.name("affine"), (x,), *parts))

    def act(self, x: str, function: Function = Function.RELU, alpha: float = 0.0) -> str:
        return self.put(Activation(self.name(function.value), (x,), function, alpha))

    def pool(
        self, x: str, pooling: Pooling = Pooling.MAX, window: int = 2, strides: int = 2, pads: Pads | None = None
    ) -> str:
        axes = len(self.shapes[x]) - 1
        pads = ((0, 0),) * axes if pads is None else pads
        return self.put(Pool(self.name("pool"), (x,), pooling, (window,) * axes, (strides,) * axes, pads))

    def reduce(self, x: str, reduction: Reduction = Reduction.MEAN, keep_axes: bool = False) -> str:
        axes = tuple(range(len(self.shapes[x]) - 1))
        return self.put(Reduce(self.name("reduce"), (x,), reduction, axes, keep_axes))

    def reshape(self, x: str, *shape: int) -> str:
        return self.put(Reshape(self.name("reshape"), (x,), shape))

    def flatten(self, x: str) -> str:
        return self.reshape(x, self.shapes[x].size)

    def transpose(self, x: str, *permutation: int) -> str:
        return self.put(Transpose(self.name("transpose"), (x,), permutation))

    def pad(self, x: str, *pads: tuple[int, int]) -> str:
        return self.put(Pad(self.name("pad"), (x,), pads))

    def select(self, x: str, *units: int) -> str:
        return self.put(Select(self.name("select"), (x,), np.asarray(units, np.int32)))

    def add(self, first: str, second: str) -> str:
        return self.put(Add(self.name("add"), (first, second)))

    def multiply(self, first: str, second: str) -> str:
        return self.put(Multiply(self.name("multiply"), (first, second)))

    def concat(self, *inputs: str, axis: int | None = None) -> str:
        axis = len(self.shapes[inputs[0]]) - 1 if axis is None else axis
        return self.put(Concat(self.name("concat"), inputs, axis))


def posterior_sizes(program: Program) -> dict[str, int]:
    """How many elements each posterior has, by name."""
    found = [weights.stream for op in program.ops for weights in weights_of(op).values()]
    return {stream.posterior: stream.size for stream in found if stream is not None}


def random_masks(program: Program, kept: float, seed: int) -> Mapping[str, BoolArray]:
    """Masks that keep about a part of all weights; some units and inputs lose everything, some nothing."""
    rng = np.random.default_rng(seed)
    masks: dict[str, BoolArray] = {}
    for op in program.ops:
        for weights in weights_of(op).values():
            if weights.stream is not None:
                masks[weights.stream.posterior] = _random_mask(weights, kept, rng)
    return masks


def thinned(program: Program, kept: float, seed: int) -> Program:
    """Zeros in the fixed kernels as well: units of a fixed layer that read constant units alone are constant."""
    rng = np.random.default_rng([seed, 1])
    ops: list[Op] = []
    for op in program.ops:
        kernel = weights_of(op).get("kernel")
        if kernel is None or kernel.is_sampled:
            ops.append(op)
        else:
            ops.append(with_weights(op, {"kernel": kernel.without(~_random_mask(kernel, kept, rng))}))
    return program.replaced(ops)


def _random_mask(weights: Weights, kept: float, rng: np.random.Generator) -> BoolArray:
    mask = rng.random(weights.shape) < kept
    mask[..., rng.random(weights.shape[-1]) < 0.4] = False
    if len(weights.shape) > 1:
        mask[..., rng.random(weights.shape[-2]) < 0.4, :] = False
    return mask


def examples(program: Program, count: int = 3, seed: int = 0) -> AnyArray:
    """Inputs `[example, ...]`."""
    return np.random.default_rng(seed).normal(0.2, 1.0, (count, *program.input_shape)).astype(np.float32)


def dense_chain(seed: int = 0) -> Program:
    """Every family, a fixed layer, sampled biases, batch norm; softmax."""
    b = Builder(7, seed=seed)
    x = b.act(b.norm(b.dense("input", 9)))
    x = b.act(b.dense(x, 8, "Laplace", "Normal"), Function.TANH)
    x = b.act(b.dense(x, 6, "LogNormal", None), Function.ELU)
    x = b.act(b.sampled_bias(b.dense(x, 7, FIXED, None)), Function.SIGMOID)
    return b.build(b.act(b.dense(x, 4), Function.SOFTMAX))


def regression(seed: int = 0) -> Program:
    """Two outputs of one trunk."""
    b = Builder(3, seed=seed)
    trunk = b.act(b.dense("input", 8, "Normal", "Laplace"), Function.SWISH)
    return b.build(b.dense(trunk, 1), b.act(b.dense(trunk, 1, "Laplace"), Function.SOFTPLUS))


def conv_chain(seed: int = 0) -> Program:
    """SAME and VALID, strides, dilations, both poolings, flatten."""
    b = Builder(9, 8, 2, seed=seed)
    x = b.act(b.norm(b.conv("input", 5)))
    x = b.pool(b.act(b.conv(x, 6, strides=(2, 1)), Function.SOFTPLUS), pads=((0, 1), (1, 0)))
    x = b.act(b.conv(x, 5, "Laplace", window=(2, 2), dilation=2), Function.LEAKY_RELU, 0.3)
    x = b.pool(x, Pooling.AVERAGE, 3, 1, ((1, 1), (0, 1)))
    return b.build(b.dense(b.act(b.dense(b.flatten(x), 6)), 3))


def residual(seed: int = 0) -> Program:
    """Identity and projected shortcuts, global pooling."""
    b = Builder(6, 5, 3, seed=seed)
    x = b.act(b.conv("input", 6))
    y = b.norm(b.conv(b.act(b.norm(b.conv(x, 6, bias=None))), 6, bias="Normal"))
    x = b.act(b.add(x, y))
    y = b.conv(b.act(b.conv(x, 7, strides=(2, 2))), 8, FIXED)
    x = b.act(b.add(b.conv(x, 8, window=(1, 1), strides=(2, 2)), y))
    return b.build(b.dense(b.reduce(x), 4))


def concatenation(seed: int = 0) -> Program:
    """Two branches side by side, and one that skips."""
    b = Builder(5, 6, 2, seed=seed)
    x = b.act(b.conv("input", 4))
    y = b.concat(b.act(b.conv(x, 3, "LogNormal")), b.pool(x, Pooling.MAX, 3, 1, ((1, 1), (1, 1))), x)
    return b.build(b.dense(b.flatten(b.act(b.conv(y, 4, pads="valid"))), 3))


def separable(seed: int = 0) -> Program:
    """Depthwise convolutions with and without a multiplier, and a gate per channel."""
    b = Builder(6, 6, 3, seed=seed)
    x = b.act(b.depthwise("input", 2))
    x = b.act(b.norm(b.conv(x, 6, window=(1, 1))), Function.RELU6)
    gate = b.act(b.dense(b.act(b.dense(b.reduce(x, keep_axes=True), 3)), 6), Function.SIGMOID)
    x = b.act(b.depthwise(b.multiply(x, gate), 1, "Laplace", "Normal"), Function.GELU)
    return b.build(b.dense(b.reduce(x, Reduction.MAX), 4))


def signal(seed: int = 0) -> Program:
    """One spatial axis."""
    b = Builder(11, 2, seed=seed)
    x = b.act(b.conv("input", 5, window=(4,), strides=(2,)), Function.SELU)
    x = b.act(b.conv(x, 4, "Laplace", None, window=(3,), dilation=2), Function.SOFTSIGN)
    return b.build(b.act(b.dense(b.flatten(b.pool(x, Pooling.AVERAGE)), 3), Function.LOG_SOFTMAX))


def volume(seed: int = 0) -> Program:
    """Three spatial axes."""
    b = Builder(4, 5, 3, 2, seed=seed)
    x = b.act(b.conv("input", 4, window=(2, 3, 2)), Function.SIN)
    x = b.act(b.conv(b.pool(x, Pooling.MAX, 2, 1), 3, strides=(2, 1, 1), pads="valid", window=(1, 2, 2)))
    return b.build(b.dense(b.reduce(x, Reduction.SUM), 2))


def decoder(seed: int = 0) -> Program:
    """A picture from features, padded by hand, with selected and rearranged units."""
    b = Builder(4, seed=seed)
    x = b.reshape(b.act(b.dense("input", 24)), 3, 2, 4)
    x = b.conv(b.transpose(b.pad(x, (1, 1), (0, 2), (0, 0)), 1, 0, 2), 5, pads="valid")
    x = b.select(b.act(x, Function.ABS), 4, 0, 3, 3)
    x = b.act(b.dense(b.pad(x, (0, 0), (0, 0), (1, 2)), 3), Function.SQUARE)
    return b.build(b.dense(b.transpose(b.reduce(x, keep_axes=True), 2, 1, 0), 2))


def with_constants(seed: int = 0) -> Program:
    """A convolution and a dense layer that read constant units as well."""
    b = Builder(4, 5, 2, seed=seed)
    kernel = b.kernel("first", (3, 3, 4, 3), "Normal")
    constant = b.rng.normal(size=(4, 5, 2)).astype(np.float32)
    ones, pads = (1, 1), ((1, 1), (0, 2))
    x = b.put(Conv("first", ("input",), kernel, None, ones, pads, ones, constant, "first"))
    x = b.reduce(b.act(x))
    kernel, bias = b.kernel("second", (5, 4), "LogNormal"), b.bias("second", 4, "Normal")
    constant = np.asarray([0.7, -1.3], np.float32)
    return b.build(b.put(Dense("second", (x,), kernel, bias, constant, "second")))


WORLDS: dict[str, Callable[[int], Program]] = {
    function.__name__: function
    for function in (
        dense_chain,
        regression,
        conv_chain,
        residual,
        concatenation,
        separable,
        signal,
        volume,
        decoder,
        with_constants,
    )
}
"""Every world by name; the argument is the seed of the weights."""
