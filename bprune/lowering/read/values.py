"""What the reader knows of a tensor of the graph: the values of its abstract interpretation."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray
from bprune.lowering.read.groups import Group
from bprune.lowering.read.sizes import ViewShape
from bprune.lowering.weights import Weights

__all__ = [
    "Coin",
    "Dead",
    "Draw",
    "Filled",
    "Known",
    "Law",
    "Noise",
    "Perturbed",
    "RefusedError",
    "Scale",
    "Seed",
    "Signed",
    "Spaced",
    "SpacedProduct",
    "Spread",
    "Tensor",
    "Unknown",
    "Value",
    "Variance",
]


class RefusedError(ValueError):
    """Why an operation cannot be part of a program: the end of a sentence that begins with the operation."""


class Law(enum.Enum):
    """The law of random numbers, and the steps by which Laplace noise is made of uniform noise u on (-1, 1)."""

    NORMAL = "normal"
    UNIFORM = "uniform"
    SIGN = "sign(u)"
    MAGNITUDE = "|u|"
    NEGATIVE = "-|u|"
    LOGARITHM = "log1p(-|u|)"
    LAPLACE = "laplace"


@dataclass(frozen=True, eq=False)
class Value:
    """What is known of a tensor."""


@dataclass(frozen=True, eq=False)
class Known(Value):
    """Numbers that are known now.

    Attributes:
        array: The numbers; sizes that depend on the number of examples are objects in it (`Size`).
        origin: The variable that they come from, or empty.
    """

    array: AnyArray
    origin: str = ""

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.array.shape


@dataclass(frozen=True, eq=False)
class Filled(Value):
    """Known numbers, the same for every example.

    Attributes:
        array: The numbers; it can be broadcast to the shape.
        shape: The shape, with the example axis.
    """

    array: AnyArray
    shape: ViewShape


@dataclass(frozen=True, eq=False)
class Tensor(Value):
    """A tensor of the program.

    Attributes:
        name: Its name there.
        shape: Its shape in the graph. It holds all examples, one after the other, each in row-major order: mostly
            `[examples, *shape of one example]`, but other axes of length 1 may come first, and axes may be merged.
    """

    name: str
    shape: ViewShape


@dataclass(frozen=True, eq=False)
class Seed(Value):
    """What only decides which random numbers come: seeds, keys, counters."""


@dataclass(frozen=True, eq=False)
class Noise(Value):
    """`gain * z + shift`, with independent random numbers z, or a step on the way to Laplace noise.

    Attributes:
        law: The law of z: standard normal, or uniform on [0, 1).
        shape: The shape.
        source: The operation that drew.
        gain: Factor.
        shift: Summand.
    """

    law: Law
    shape: ViewShape
    source: str
    gain: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True, eq=False)
class Coin(Value):
    """`gain * b + shift`, with independent b, 0 or 1 at even odds.

    Attributes:
        shape: The shape.
        gain: Factor.
        shift: Summand.
    """

    shape: ViewShape
    gain: float = 1.0
    shift: float = 0.0

    @property
    def is_sign(self) -> bool:
        """Whether it is -1 or 1."""
        return {self.shift, self.shift + self.gain} == {-1.0, 1.0}


@dataclass(frozen=True, eq=False)
class Scale(Value):
    """Scales of posteriors, or their squares.

    Attributes:
        group: The posteriors.
        ids: The elements' numbers in the group, int32, of the tensor's shape.
        squared: Whether these are the squares.
    """

    group: Group
    ids: AnyArray
    squared: bool = False

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.ids.shape


@dataclass(frozen=True, eq=False)
class Spread(Value):
    """Scales times noise, without a location.

    Attributes:
        group: The posteriors.
        ids: The elements' numbers in the group, int32, of the tensor's shape.
        law: The law of the noise.
        source: The operation that drew the noise.
    """

    group: Group
    ids: AnyArray
    law: Law
    source: str

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.ids.shape


@dataclass(frozen=True, eq=False)
class Draw(Value):
    """Sampled weights.

    Attributes:
        group: The posteriors.
        ids: The elements' numbers in the group, int32, of the tensor's shape.
        law: The law of the noise.
        source: The operation that drew the noise.
        exponentiated: Whether the exponential was taken of location and noise.
    """

    group: Group
    ids: AnyArray
    law: Law
    source: str
    exponentiated: bool = False

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.ids.shape


@dataclass(frozen=True, eq=False)
class Signed(Value):
    """A tensor of the program times random signs, the same for all positions that share weights.

    Attributes:
        tensor: The tensor.
    """

    tensor: Tensor

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.tensor.shape


@dataclass(frozen=True, eq=False)
class Perturbed(Value):
    """What the noise of weights alone contributes to a layer's output; random signs do not change its law.

    Attributes:
        tensor: A tensor of the program: the layer with location 0.
        located: The layer's weights with their location.
    """

    tensor: Tensor
    located: Weights

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.tensor.shape

    @property
    def is_whole(self) -> bool:
        """Whether this is all that the layer gives, because its location is 0 everywhere."""
        return not np.any(self.located.loc)


@dataclass(frozen=True, eq=False)
class Variance(Value):
    """The variance, or standard deviation, of what the noise of weights contributes to a layer's output.

    Attributes:
        tensor: A tensor of the program: the layer with location 0.
        located: The layer's weights with their location.
        product: The operation that multiplied the squares.
        is_root: Whether this is the standard deviation.
    """

    tensor: Tensor
    located: Weights
    product: str
    is_root: bool = False

    @property
    def shape(self) -> ViewShape:
        """The shape."""
        return self.tensor.shape


@dataclass(frozen=True, eq=False)
class Spaced(Value):
    """A tensor cut into interleaved pictures (SpaceToBatchND): how older graphs write dilated convolutions.

    Attributes:
        inner: The tensor, perhaps with signs.
        block: The dilation per spatial axis.
        pads: The padding per spatial axis, before it is cut.
    """

    inner: Tensor | Signed
    block: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class SpacedProduct(Value):
    """A convolution of interleaved pictures that still have to be put together.

    Attributes:
        source: What is convolved.
        kernel: The kernel.
        is_depthwise: Whether every channel is convolved by itself.
        dropped: How many axes of length 1 in front of the spatial ones were dropped behind it.
    """

    source: Spaced
    kernel: Value
    is_depthwise: bool = False
    dropped: int = 0


@dataclass(frozen=True, eq=False)
class Dead(Value):
    """The output of a branch that is not taken."""


@dataclass(frozen=True, eq=False)
class Unknown(Value):
    """Nothing is known.

    Attributes:
        reason: Why, a sentence that names the operation.
    """

    reason: str
