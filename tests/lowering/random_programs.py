"""Random small programs for property tests: chains, residuals, branches, rearrangements, in any order."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from bprune.lowering.ops import Function, Pooling, Reduction
from bprune.lowering.program import Program
from tests.lowering.programs import FIXED, Builder

__all__ = ["programs"]

_FUNCTIONS = [
    Function.RELU,
    Function.RELU6,
    Function.LEAKY_RELU,
    Function.ELU,
    Function.GELU,
    Function.SWISH,
    Function.TANH,
    Function.SIGMOID,
    Function.SOFTPLUS,
    Function.COS,
    Function.SQUARE,
    Function.SOFTMAX,
]
_FAMILIES = ["Normal", "Normal", "Laplace", "LogNormal", FIXED]
_BIASES = [None, FIXED, FIXED, "Normal", "Laplace"]

Draw = Callable[..., object]
Step = Callable[[Builder, str, Draw], str]


def _family(draw: Draw) -> str:
    return str(draw(st.sampled_from(_FAMILIES)))


def _bias(draw: Draw) -> str | None:
    bias = draw(st.sampled_from(_BIASES))
    return None if bias is None else str(bias)


def _units(draw: Draw) -> int:
    return _int(draw, 1, 5)


def _int(draw: Draw, low: int, high: int) -> int:
    number = draw(st.integers(low, high))
    assert isinstance(number, int)
    return number


def _conv(b: Builder, x: str, draw: Draw) -> str:
    strides = tuple(_int(draw, 1, 2) for _ in range(len(b.shapes[x]) - 1))
    pads = str(draw(st.sampled_from(["same", "same", "valid"])))
    if pads == "valid" and min(b.shapes[x].spatial) < 3:
        pads = "same"
    return b.conv(x, _units(draw), _family(draw), _bias(draw), strides=strides, pads=pads)


def _dilated(b: Builder, x: str, draw: Draw) -> str:
    return b.conv(x, _units(draw), _family(draw), _bias(draw), dilation=2)


def _residual(b: Builder, x: str, draw: Draw) -> str:
    y = b.act(b.conv(x, _units(draw), _family(draw), _bias(draw)))
    return b.add(x, b.conv(y, b.shapes[x].units, _family(draw), _bias(draw)))


def _gate(b: Builder, x: str, draw: Draw) -> str:
    gate = b.dense(b.reduce(x, keep_axes=True), draw(st.sampled_from([1, b.shapes[x].units])), _family(draw))  # type: ignore[arg-type]
    return b.multiply(x, b.act(gate, Function.TANH))


def _branches(b: Builder, x: str, draw: Draw) -> str:
    return b.concat(b.act(b.conv(x, _units(draw), _family(draw), _bias(draw))), x)


def _stacked(b: Builder, x: str, draw: Draw) -> str:
    return b.concat(x, b.conv(x, b.shapes[x].units, _family(draw)), axis=0)


def _zero_gain(b: Builder, x: str, draw: Draw) -> str:
    units = b.shapes[x].units
    return b.affine(x, b.rng.normal(size=units) * (b.rng.random(units) < 0.5), b.rng.normal(size=units))


def _spatial_shift(b: Builder, x: str, draw: Draw) -> str:
    return b.affine(x, None, b.rng.normal(size=b.shapes[x]))


def _select(b: Builder, x: str, draw: Draw) -> str:
    return b.select(x, *(_int(draw, 0, b.shapes[x].units - 1) for _ in range(_int(draw, 1, 5))))


def _act(b: Builder, x: str, draw: Draw) -> str:
    function = draw(st.sampled_from(_FUNCTIONS))
    assert isinstance(function, Function)
    return b.act(x, function, 0.2 if function is Function.LEAKY_RELU else 0.0)


def _pool(b: Builder, x: str, draw: Draw) -> str:
    pooling = draw(st.sampled_from(Pooling))
    assert isinstance(pooling, Pooling)
    return b.pool(x, pooling, 2, _int(draw, 1, 2), ((0, 1), (1, 0)))


def _split(b: Builder, x: str, draw: Draw) -> str:
    """Features become a picture whose channels are every second or third feature."""
    units = b.shapes[x].units
    channels = next(number for number in (3, 2, 1) if units % number == 0)
    return b.reshape(x, units // channels, 1, channels)


_PICTURE: dict[str, Step] = {
    "conv": _conv,
    "dilated": _dilated,
    "depthwise": lambda b, x, draw: b.depthwise(x, _int(draw, 1, 2), _family(draw), _bias(draw)),
    "residual": _residual,
    "gate": _gate,
    "branches": _branches,
    "stacked": _stacked,
    "pool": _pool,
    "pad": lambda b, x, draw: b.pad(x, (1, 0), (0, 2), (0, 0)),
    "turned": lambda b, x, draw: b.transpose(x, 1, 0, 2),
    "rolled": lambda b, x, draw: b.transpose(x, 2, 0, 1),
    "rows": lambda b, x, draw: b.reshape(b.reshape(x, b.shapes[x][0] * b.shapes[x][1], b.shapes[x][2]), *b.shapes[x]),
}
_FEATURES: dict[str, Step] = {
    "residual": lambda b, x, draw: b.add(x, b.dense(x, b.shapes[x].units, _family(draw), _bias(draw))),
    "branches": lambda b, x, draw: b.concat(b.dense(x, _units(draw), _family(draw)), x),
    "split": _split,
}
_ANY: dict[str, Step] = {
    "dense": lambda b, x, draw: b.dense(x, _units(draw), _family(draw), _bias(draw)),
    "act": _act,
    "norm": lambda b, x, draw: b.norm(x),
    "zero_gain": _zero_gain,
    "spatial_shift": _spatial_shift,
    "bias": lambda b, x, draw: b.sampled_bias(x),
    "select": _select,
    "pad_units": lambda b, x, draw: b.pad(x, *((0, 0),) * (len(b.shapes[x]) - 1), (1, 0)),
    "double": lambda b, x, draw: b.add(x, x),
}


@st.composite
def programs(draw: Draw) -> Program:
    """A program of up to eleven steps that ends in a dense layer; sometimes an inner tensor is given out as well."""
    shape = draw(st.sampled_from([(5,), (4, 3, 2), (5, 4, 1), (3, 3, 3)]))
    assert isinstance(shape, tuple)
    b = Builder(*shape, seed=_int(draw, 0, 2**20))
    x = "input"
    for _ in range(_int(draw, 1, 9)):
        steps = {**_ANY, **(_PICTURE if len(b.shapes[x]) == 3 else _FEATURES)}
        x = steps[str(draw(st.sampled_from(sorted(steps))))](b, x, draw)
        if b.shapes[x].size > 400:
            x = b.reduce(x, Reduction.MEAN)
    inner = x
    if len(b.shapes[x]) == 3:
        x = b.flatten(x) if draw(st.booleans()) else b.reduce(x, Reduction.MAX)
    x = b.dense(x, 3, _family(draw), _bias(draw))
    return b.build(x, inner) if _int(draw, 0, 7) == 0 and inner != "input" else b.build(x)
