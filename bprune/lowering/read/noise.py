"""Rules for random numbers: how graphs make weights, signs and layers of noise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.read.context import Context, Rules, shape_of
from bprune.lowering.read.products import merge
from bprune.lowering.read.sizes import Size, ViewShape, broadcast, product, sizes_of
from bprune.lowering.read.values import (
    Coin,
    Draw,
    Filled,
    Known,
    Law,
    Noise,
    Perturbed,
    RefusedError,
    Scale,
    Seed,
    Signed,
    Spread,
    Tensor,
    Value,
    Variance,
)

__all__ = ["RULES", "add", "compare", "function", "multiply", "negate"]

BESIDE = "draws random noise beside the posteriors, such as dropout that stays active"
CONSTANT = "draws the same random numbers every time: its seed is a constant"
POSITIONS = (
    "gives the positions of an example signs or noise of their own, though they share weights; "
    "a draw of a program is the same for all of them"
)
_UNIT_TOLERANCE = 1e-5


def _shape(values: list[Value]) -> ViewShape:
    if not isinstance(values[0], Known):
        raise RefusedError("draws random numbers of a shape that is not known")
    return sizes_of(values[0].array)


def _source(node: Any, values: list[Value]) -> str:
    """What names the random numbers: the operation, or the seed of one that keeps no state.

    Raises:
        RefusedError: If the seed is a constant.
    """
    if not node.op.startswith("Stateless"):
        return str(node.name)
    if any(isinstance(item, Known) for item in values[1:2]):
        raise RefusedError(CONSTANT)
    return "seed " + ", ".join(node.input[1 : 3 if node.op.endswith("V2") else 2])


def _normal(context: Context, node: Any, values: list[Value]) -> Value:
    return Noise(Law.NORMAL, _shape(values), _source(node, values))


def _uniform(context: Context, node: Any, values: list[Value]) -> Value:
    return Noise(Law.UNIFORM, _shape(values), _source(node, values))


def _integers(context: Context, node: Any, values: list[Value]) -> Value:
    """Integers of two values are coins; other ones serve as seeds."""
    low, high = values[-2:]
    if isinstance(low, Known) and isinstance(high, Known) and low.array.size == high.array.size == 1:
        first, beyond = int(low.array.reshape(())), int(high.array.reshape(()))
        if beyond - first == 2 and isinstance(values[0], Known):
            return Coin(_shape(values), 1.0, float(first))
    return Seed()


def _seed(context: Context, node: Any, values: list[Value]) -> list[Value]:
    if values and node.op.startswith("StatelessRandomGetKey") and isinstance(values[0], Known):
        raise RefusedError(CONSTANT)
    return [Seed(), Seed(), Seed()]


def _beside(context: Context, node: Any, values: list[Value]) -> Value:
    raise RefusedError(BESIDE)


RULES: Rules = {
    "Multinomial": _beside,
    "ParameterizedTruncatedNormal": _beside,
    "RandomGamma": _beside,
    "RandomPoissonV2": _beside,
    "RandomShuffle": _beside,
    "RandomStandardNormal": _normal,
    "RandomUniform": _uniform,
    "RandomUniformInt": _integers,
    "StatelessMultinomial": _beside,
    "StatelessRandomGammaV2": _beside,
    "StatelessRandomGammaV3": _beside,
    "StatelessRandomGetAlg": _seed,
    "StatelessRandomGetKeyCounter": _seed,
    "StatelessRandomGetKeyCounterAlg": _seed,
    "StatelessRandomNormal": _normal,
    "StatelessRandomNormalV2": _normal,
    "StatelessRandomUniform": _uniform,
    "StatelessRandomUniformFullInt": _seed,
    "StatelessRandomUniformFullIntV2": _seed,
    "StatelessRandomUniformInt": _integers,
    "StatelessRandomUniformIntV2": _integers,
    "StatelessRandomUniformV2": _uniform,
    "StatelessTruncatedNormal": _beside,
    "StatelessTruncatedNormalV2": _beside,
    "TruncatedNormal": _beside,
}
"""Operations that draw."""


def _scalar(value: Value) -> float | None:
    """The number, when a value is one number and nothing else."""
    if not isinstance(value, (Known, Filled)) or value.array.size != 1:
        return None
    is_number = value.array.dtype.kind in "iuf" or value.array.dtype.name == "bfloat16"
    return float(value.array.reshape(())) if is_number else None


def add(context: Context, node: Any, first: Value, second: Value) -> Value | None:
    """The sum of two values, one of them random; None when this is no rule for them."""
    for a, b in ((first, second), (second, first)):
        number = _scalar(b)
        if isinstance(a, (Noise, Coin)) and number is not None:
            _same_shape(a, b)
            return replace(a, shift=a.shift + number)
        if isinstance(a, Spread) and isinstance(b, Known):
            return _located(a, b)
        if isinstance(a, Perturbed) and isinstance(b, Tensor):
            return merge(context, node, b, a)
    return None


def negate(value: Value) -> Value | None:
    """Minus a random value; None when this is no rule for it. Weight noise is symmetric."""
    if isinstance(value, Noise) and value.law is Law.MAGNITUDE:
        return replace(value, law=Law.NEGATIVE)
    if isinstance(value, Coin) or (isinstance(value, Noise) and value.law in {Law.NORMAL, Law.UNIFORM}):
        return replace(value, gain=-value.gain, shift=-value.shift)
    if isinstance(value, Spread) and value.law in {Law.NORMAL, Law.LAPLACE}:
        return value
    return None


def multiply(context: Context, node: Any, first: Value, second: Value) -> Value | None:
    """The product of two values, one of them random; None when this is no rule for them."""
    for a, b in ((first, second), (second, first)):
        number = _scalar(b)
        if isinstance(a, (Noise, Coin)) and number is not None and _is_affine(a):
            _same_shape(a, b)
            return replace(a, gain=a.gain * number, shift=a.shift * number)
        if isinstance(a, Scale) and isinstance(b, Scale):
            return _squared(a, b)
        if isinstance(a, Scale) and isinstance(b, Noise):
            return _spread(context, a, b)
        if isinstance(a, (Spread, Noise)) and isinstance(b, Noise) and b.law is Law.LOGARITHM:
            return _laplace(a, b)
        if isinstance(a, (Tensor, Perturbed)) and isinstance(b, Coin):
            return _signed(context, a, b)
        if isinstance(a, Variance) and isinstance(b, Noise):
            return _perturbed(context, a, b)
    return None


def _is_affine(value: Noise | Coin) -> bool:
    return isinstance(value, Coin) or value.law in {Law.NORMAL, Law.UNIFORM}


def _same_shape(value: Noise | Coin, other: Value) -> None:
    if broadcast(value.shape, shape_of(other)) != value.shape:
        raise RefusedError("uses the same random numbers in several places")


def _squared(first: Scale, second: Scale) -> Value | None:
    same = first.group is second.group and np.array_equal(first.ids, second.ids)
    return replace(first, squared=True) if same and not first.squared and not second.squared else None


def _spread(context: Context, scale: Scale, noise: Noise) -> Value | None:
    if scale.squared or noise.law in {Law.UNIFORM, Law.MAGNITUDE, Law.NEGATIVE, Law.LOGARITHM}:
        return None
    if noise.law is Law.NORMAL and (abs(noise.gain) != 1.0 or noise.shift):
        raise RefusedError("scales weights by noise that is not standard normal")
    shape = broadcast(scale.shape, noise.shape)
    sizes = [size for size in shape if not isinstance(size, Size)]
    if len(sizes) != len(shape) or math.prod(sizes) != scale.ids.size or broadcast(noise.shape, shape) != noise.shape:
        raise RefusedError("draws another number of random numbers than there are weights")
    context.call_of(noise.source, scale.group)
    return Spread(scale.group, scale.ids.reshape(sizes), noise.law, noise.source)


def _laplace(first: Spread | Noise, logarithm: Noise) -> Value | None:
    """sign(u) log1p(-|u|) is minus Laplace noise, which is symmetric."""
    if first.law is not Law.SIGN or first.source != logarithm.source:
        return None
    shape = broadcast(first.shape, logarithm.shape)
    if product(shape) != product(first.shape) or product(shape) != product(logarithm.shape):
        raise RefusedError("draws another number of random numbers than there are weights")
    if isinstance(first, Spread):
        return replace(first, law=Law.LAPLACE, ids=first.ids.reshape([int(size) for size in shape]))
    return replace(first, law=Law.LAPLACE, shape=shape)


def _located(spread: Spread, known: Known) -> Value:
    if spread.law not in {Law.NORMAL, Law.LAPLACE}:
        raise RefusedError(BESIDE)
    if broadcast(known.shape, spread.shape) != spread.shape:
        raise RefusedError("adds a location of another shape to the noise of weights")
    if not np.any(known.array):
        return spread
    loc = spread.group.loc[spread.ids]
    if not np.array_equal(np.broadcast_to(known.array, loc.shape).astype(np.float32), loc):
        raise RefusedError("adds something to the noise of weights that is not their location")
    return Draw(spread.group, spread.ids, spread.law, spread.source)


def _check_positions(context: Context, noise: ViewShape, shape: ViewShape) -> None:
    """Refuse noise by which the positions of one example differ, or which stretches the tensor that it multiplies."""
    if broadcast(noise, shape) != shape:
        raise RefusedError("stretches a tensor by random numbers")
    layout = context.layout(shape)
    sizes = (1,) * (len(shape) - len(noise)) + tuple(noise)
    if any(size != 1 for size in sizes[layout.lead + 1 : -1]) or (layout.merged != 1 and sizes[layout.lead] != 1):
        raise RefusedError(POSITIONS)


def _signed(context: Context, value: Tensor | Perturbed, coin: Coin) -> Value:
    if not coin.is_sign:
        raise RefusedError(BESIDE)
    _check_positions(context, coin.shape, value.shape)
    return Signed(value) if isinstance(value, Tensor) else value


def _perturbed(context: Context, variance: Variance, noise: Noise) -> Value:
    if not variance.is_root or noise.law is not Law.NORMAL or abs(noise.gain) != 1.0 or noise.shift:
        raise RefusedError("scales a layer's noise by what is not standard normal")
    shape = broadcast(variance.shape, noise.shape)
    layout = context.layout(shape)
    if not layout.rest or math.prod(layout.rest[:-1]) != 1 or layout.merged != 1:
        raise RefusedError(POSITIONS)
    if noise.shape[-1:] != layout.rest[-1:]:
        raise RefusedError("gives several units of a layer the same noise")
    context.call_of(noise.source, variance.product)
    return Perturbed(context.view(variance.tensor.name, variance.tensor, shape), variance.located)


def function(node: Any, value: Value) -> Value | None:
    """A function of a random value; None when this is no rule for it."""
    if isinstance(value, Scale) and node.op == "Square" and not value.squared:
        return replace(value, squared=True)
    if isinstance(value, Draw) and node.op == "Exp" and not value.exponentiated:
        return replace(value, exponentiated=True)
    if isinstance(value, Variance) and node.op == "Sqrt" and not value.is_root:
        return replace(value, is_root=True)
    if isinstance(value, Noise):
        return _function_of_noise(node, value)
    return None


def _function_of_noise(node: Any, noise: Noise) -> Value | None:
    symmetric = abs(noise.shift + 1.0) < _UNIT_TOLERANCE and abs(noise.gain - 2.0) < _UNIT_TOLERANCE
    if noise.law is Law.UNIFORM and symmetric and node.op in {"Sign", "Abs"}:
        return replace(noise, law=Law.SIGN if node.op == "Sign" else Law.MAGNITUDE)
    if noise.law is Law.NEGATIVE and node.op == "Log1p":
        return replace(noise, law=Law.LOGARITHM)
    if noise.law is Law.UNIFORM and node.op == "Floor" and noise.gain > 0:
        low, high = noise.shift, noise.shift + noise.gain
        if math.floor(low) == math.ceil(high) - 1:
            return Filled(np.asarray(math.floor(low), np.float32), noise.shape)
    return None


def compare(node: Any, first: Value, second: Value) -> Value | None:
    """Whether uniform noise lies above a number, where this is sure; None when this is no rule for the values."""
    flipped = {"Greater": "Less", "GreaterEqual": "LessEqual", "Less": "Greater", "LessEqual": "GreaterEqual"}
    relation = node.op
    if isinstance(second, Noise):
        first, second, relation = second, first, flipped[relation]
    number = _scalar(second)
    if not isinstance(first, Noise) or first.law is not Law.UNIFORM or number is None or first.gain <= 0:
        return None
    low, high = first.shift, first.shift + first.gain  # low may come, high never does
    sure = {
        "GreaterEqual": (low >= number, high <= number),
        "Greater": (low > number, high <= number),
        "LessEqual": (high <= number, low > number),
        "Less": (high <= number, low >= number),
    }[relation]
    if not any(sure):
        raise RefusedError(BESIDE)
    answer: AnyArray = np.asarray(sure[0])
    return Filled(answer, first.shape)
