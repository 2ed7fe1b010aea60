"""The operations of a program. There are few, each is a value, and each says what it computes for one example.

Shapes leave the example axis out. Spatial axes come first, channels (or features) last. `inputs` are names of tensors,
`name` is the tensor that the operation makes.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from bprune.arrays import AnyArray
from bprune.lowering.weights import Weights

__all__ = [
    "Activation",
    "Add",
    "Affine",
    "Bias",
    "Concat",
    "Conv",
    "Dense",
    "DepthwiseConv",
    "Function",
    "Multiply",
    "Op",
    "Pad",
    "Pads",
    "Pool",
    "Pooling",
    "Reduce",
    "Reduction",
    "Reshape",
    "Select",
    "Transpose",
]

Pads = tuple[tuple[int, int], ...]
"""How many elements are added before and after, per axis."""


class Function(str, enum.Enum):
    """Activations; all but softmax work elementwise."""

    RELU = "relu"
    RELU6 = "relu6"
    LEAKY_RELU = "leaky_relu"
    """max(x, 0) + alpha min(x, 0)."""
    ELU = "elu"
    SELU = "selu"
    GELU = "gelu"
    """x Phi(x), by the error function."""
    GELU_TANH = "gelu_tanh"
    """GELU by its approximation with tanh (Hendrycks and Gimpel 2016)."""
    SWISH = "swish"
    """x sigmoid(x)."""
    TANH = "tanh"
    SIGMOID = "sigmoid"
    SOFTPLUS = "softplus"
    SOFTSIGN = "softsign"
    SOFTMAX = "softmax"
    """Over the last axis."""
    LOG_SOFTMAX = "log_softmax"
    SIN = "sin"
    COS = "cos"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    RSQRT = "rsqrt"
    SQUARE = "square"
    ABS = "abs"
    ERF = "erf"
    RECIPROCAL = "reciprocal"

    @property
    def is_elementwise(self) -> bool:
        """Whether an element of the result depends on one element alone."""
        return self not in {Function.SOFTMAX, Function.LOG_SOFTMAX}


class Pooling(str, enum.Enum):
    """What a pooling window gives."""

    MAX = "max"
    AVERAGE = "average"
    """Of the elements inside the picture: padding is not counted."""


class Reduction(str, enum.Enum):
    """What is left of an axis."""

    MEAN = "mean"
    MAX = "max"
    SUM = "sum"


@dataclass(frozen=True, eq=False)
class Op:
    """One operation.

    Attributes:
        name: The tensor that it makes.
        inputs: The tensors that it reads.
    """

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Dense(Op):
    """y = [x, constant] kernel + bias, along the last axis.

    Attributes:
        kernel: `[in + k, out]`.
        bias: `[out]`, or None.
        constant: Features that do not depend on the example, appended behind those of x: `[..., k]`, of the shape of
            x but for the last axis; None for none.
        layer: The layer's name.
    """

    kernel: Weights
    bias: Weights | None = None
    constant: AnyArray | None = None
    layer: str = ""


@dataclass(frozen=True, eq=False)
class Conv(Op):
    """A convolution (cross-correlation) over one, two or three spatial axes, zero-padded.

    Attributes:
        kernel: `[*window, in + k, out]`.
        bias: `[out]`, or None.
        strides: Per spatial axis.
        pads: Zeros per spatial axis, explicit.
        dilations: Per spatial axis.
        constant: Channels that do not depend on the example, appended behind those of x before the zeros are added:
            `[*spatial, k]`; None for none.
        layer: The layer's name.
    """

    kernel: Weights
    bias: Weights | None
    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    constant: AnyArray | None = None
    layer: str = ""


@dataclass(frozen=True, eq=False)
class DepthwiseConv(Op):
    """A 2D convolution of every channel by itself; output channel c * multiplier + m comes from input channel c.

    Attributes:
        kernel: `[height, width, in, multiplier]`.
        bias: `[in * multiplier]`, or None.
        strides: Per spatial axis.
        pads: Zeros per spatial axis, explicit.
        dilations: Per spatial axis.
        layer: The layer's name.
    """

    kernel: Weights
    bias: Weights | None
    strides: tuple[int, ...]
    pads: Pads
    dilations: tuple[int, ...]
    layer: str = ""


@dataclass(frozen=True, eq=False)
class Bias(Op):
    """y = x + bias, along the last axis, where the bias is sampled; a fixed one is an `Affine`.

    Attributes:
        bias: `[channel]`.
        layer: The layer's name.
    """

    bias: Weights
    layer: str = ""


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """y = gain * x + shift, elementwise with broadcasting (folded batch normalisation, constant arithmetic).

    Attributes:
        gain: float32, broadcast to the shape of x; None for 1.
        shift: float32, broadcast to the shape of x; None for 0.
    """

    gain: AnyArray | None = None
    shift: AnyArray | None = None


@dataclass(frozen=True, eq=False)
class Activation(Op):
    """y = function(x).

    Attributes:
        function: Which.
        alpha: The slope of a leaky relu for negative numbers; 0 for other functions.
    """

    function: Function
    alpha: float = 0.0


@dataclass(frozen=True, eq=False)
class Pool(Op):
    """Max or average pooling over all spatial axes, per channel.

    Attributes:
        pooling: Which.
        window: Per spatial axis.
        strides: Per spatial axis.
        pads: Per spatial axis; padding is never chosen by max and not counted by average.
    """

    pooling: Pooling
    window: tuple[int, ...]
    strides: tuple[int, ...]
    pads: Pads


@dataclass(frozen=True, eq=False)
class Reduce(Op):
    """Mean, maximum or sum over axes (global pooling).

    Attributes:
        reduction: Which.
        axes: Axes of one example, from 0, ascending.
        keep_axes: Whether they stay, of length 1.
    """

    reduction: Reduction
    axes: tuple[int, ...]
    keep_axes: bool = False


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The same elements of one example in another shape, in row-major order.

    Attributes:
        shape: The new shape.
    """

    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Transpose(Op):
    """Other order of the axes of one example.

    Attributes:
        permutation: Axis `i` of the result is axis `permutation[i]` of x.
    """

    permutation: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Pad(Op):
    """Zeros around the elements of one example.

    Attributes:
        pads: Per axis of one example, the last included.
    """

    pads: Pads


@dataclass(frozen=True, eq=False)
class Select(Op):
    """Some units of the last axis, in the given order.

    Attributes:
        units: `[unit]`, int32.
    """

    units: AnyArray


@dataclass(frozen=True, eq=False)
class Add(Op):
    """The elementwise sum of two tensors, with broadcasting of axes of length 1."""


@dataclass(frozen=True, eq=False)
class Multiply(Op):
    """The elementwise product of two tensors, with broadcasting of axes of length 1."""


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Two or more tensors joined along an axis.

    Attributes:
        axis: Of one example, from 0.
    """

    axis: int
