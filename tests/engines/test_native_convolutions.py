"""Convolutions of the native engine: every way to compute one against NumPy in float64, alone and in chains."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bprune.arrays import AnyArray, FloatArray
from bprune.case.output import Output
from bprune.engines.base import Sampling
from bprune.engines.native import NativeEngine
from bprune.engines.native.convolutions import Plain, Sparse, Winograd, choose_convolution
from bprune.engines.native.noise import DrawNoise
from bprune.engines.native.pictures import PictureStep
from bprune.engines.tensorflow import Precision
from bprune.lowering.ops import Activation, Conv, Dense, Function, Pool, Pooling, Reshape
from bprune.lowering.program import Program
from bprune.lowering.shapes import Shape
from bprune.lowering.weights import Stream, Weights
from tests.laws import same_law
from tests.lowering.reference import run_program


def weights(
    rng: np.random.Generator, name: str, *shape: int, sampled: bool = True, share: float = 1.0, scale: float = 0.1
) -> Weights:
    size = int(np.prod(shape))
    live = rng.random(shape) < share
    loc = (rng.normal(0.02, 0.3, shape) * live).astype(np.float32)
    if not sampled:
        return Weights(loc)
    sigma = (rng.uniform(0.2, 1.0, shape) * scale * live).astype(np.float32)
    return Weights(
        loc, sigma, "Normal", Stream(name, 0, size, shape[-1]), np.arange(size, dtype=np.int32).reshape(shape)
    )


def convolution(
    window: tuple[int, int],
    channels: int,
    filters: int,
    *,
    source: str = "x",
    name: str = "c",
    strides: tuple[int, int] = (1, 1),
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    dilations: tuple[int, int] = (1, 1),
    bias: str = "sampled",
    constant: AnyArray | None = None,
    share: float = 1.0,
    seed: int = 0,
) -> Conv:
    rng = np.random.default_rng([seed, *window, channels, filters])
    given = channels + (0 if constant is None else constant.shape[-1])
    kernel = weights(rng, f"{name}/kernel", *window, given, filters, share=share)
    drawn = None if not bias else weights(rng, f"{name}/bias", filters, sampled=bias == "sampled")
    return Conv(name, (source,), kernel, drawn, strides, pads, dilations, constant, name)


def program(shape: tuple[int, ...], *ops: object) -> Program:
    return Program("x", Shape(shape), ops, (ops[-1].name,))  # type: ignore[arg-type, attr-defined]


def noise_of(draw: int) -> object:
    from bprune.engines.native.noise import standard_noise

    return lambda stream: standard_noise(3, stream, "Normal", np.arange(stream.size), draw)


def check(made: Program, examples: int, rtol: float = 2e-5) -> None:
    """Some draws of the engine are those of the oracle, which is given the noise."""
    x = np.random.default_rng(examples).normal(0.2, 1.0, (examples, *made.input_shape)).astype(np.float32)
    engine = NativeEngine(made, Output.PREDICTION, 3, Sampling.WEIGHTS)
    found = engine.draw(x, range(4, 6)).values
    for index, number in enumerate((4, 5)):
        expected = run_program(made, x, noise_of(number))[0].reshape(examples, -1)  # type: ignore[arg-type]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[index].reshape(examples, -1), expected, rtol=1e-3, atol=rtol * scale)
    assert np.abs(found[0] - found[1]).max() > 1e-3 * np.abs(found).max()


CASES = {
    "winograd 3": ((3, 3), 20, 12, {"pads": ((1, 1), (1, 1))}, Winograd),
    "winograd 3, odd": ((3, 3), 20, 13, {"pads": ((0, 1), (2, 0)), "bias": ""}, Winograd),
    "winograd 5": ((5, 5), 20, 48, {"bias": "fixed"}, Winograd),
    "winograd 5, padded": ((5, 5), 17, 51, {"pads": ((2, 2), (2, 2))}, Winograd),
    "plain, one channel": ((5, 5), 1, 7, {"pads": ((2, 2), (2, 2))}, Plain),
    "plain, strides": ((3, 3), 5, 9, {"strides": (2, 3), "pads": ((1, 0), (1, 1))}, Plain),
    "plain, dilations": ((3, 2), 4, 6, {"dilations": (2, 3)}, Plain),
    "plain, 1 x 1": ((1, 1), 6, 14, {}, Plain),
    "plain, 3 x 5": ((3, 5), 20, 5, {}, Plain),
    "sparse": ((3, 3), 20, 12, {"share": 0.1, "pads": ((1, 1), (1, 1))}, Sparse),
    "sparse, strides": ((3, 3), 5, 9, {"share": 0.2, "strides": (2, 2)}, Sparse),
}


@pytest.mark.parametrize("examples", [1, 37, 130])
@pytest.mark.parametrize("case", CASES)
def test_draws_are_those_of_the_oracle(case: str, examples: int) -> None:
    window, channels, filters, options, kind = CASES[case]
    op = convolution(window, channels, filters, **options)  # type: ignore[arg-type]
    made = program((11, 9, channels), op)
    assert isinstance(choose_convolution(0, op, made), kind)
    check(made, examples)


@pytest.mark.parametrize("case", ["winograd 3", "plain, one channel", "sparse"])
def test_constant_channels(case: str) -> None:
    window, channels, filters, options, _ = CASES[case]
    constant = np.random.default_rng(5).normal(size=(11, 9, 3)).astype(np.float32)
    check(program((11, 9, channels), convolution(window, channels, filters, constant=constant, **options)), 20)  # type: ignore[arg-type]


def pooled(window: int, strides: int, pooling: Pooling, pads: tuple[int, int] = (0, 0), source: str = "r") -> Pool:
    return Pool("p", (source,), pooling, (window,) * 2, (strides,) * 2, (pads, pads))


@pytest.mark.parametrize(
    ("pool", "at_once"),
    [
        (pooled(2, 2, Pooling.MAX), True),
        (pooled(4, 4, Pooling.MAX), True),
        (pooled(2, 2, Pooling.AVERAGE), False),
        (pooled(3, 2, Pooling.MAX, (1, 0)), False),
        (pooled(5, 5, Pooling.MAX), False),
    ],
)
def test_pooling_behind_a_convolution(pool: Pool, at_once: bool) -> None:
    op = convolution((5, 5), 1, 9, pads=((2, 2), (2, 2)))
    made = program((12, 16, 1), op, Activation("r", ("c",), Function.RELU), pool)
    step = NativeEngine(made, Output.PREDICTION, 3).steps[0]
    assert isinstance(step, PictureStep)
    assert ("pooled at once" in step.describe) is at_once
    check(made, 21)


def test_a_chain_of_convolutions_is_one_step() -> None:
    """Constants behind the channels of a layer between, margins for the zeros and the tiles of the next."""
    constant = np.random.default_rng(5).normal(size=(8, 8, 2)).astype(np.float32)
    ops = (
        convolution((5, 5), 1, 18, pads=((2, 2), (2, 2)), name="a"),
        Activation("ar", ("a",), Function.RELU),
        Pool("p", ("ar",), Pooling.MAX, (2, 2), (2, 2), ((0, 0), (0, 0))),
        convolution((3, 3), 18, 20, source="p", name="b", pads=((1, 1), (1, 1)), constant=constant),
        Activation("br", ("b",), Function.RELU),
        convolution((3, 3), 20, 10, source="br", name="d", pads=((1, 1), (1, 1)), share=0.1),
        Pool("q", ("d",), Pooling.AVERAGE, (2, 2), (2, 2), ((0, 0), (0, 0))),
        Reshape("f", ("q",), Shape((160,))),
        Dense("e", ("f",), weights(np.random.default_rng(1), "e/kernel", 160, 3), None, None, "e"),
    )
    made = program((16, 16, 1), *ops)
    engine = NativeEngine(made, Output.PREDICTION, 3)
    assert sum(isinstance(step, PictureStep) for step in engine.steps) == 1
    for way in ("plain convolution, pooled at once", "Winograd", "sparse"):
        assert way in engine.steps[0].describe
    check(made, 70)


def test_a_tensor_that_others_read_ends_a_chain() -> None:
    from bprune.lowering.ops import Add

    first, second = convolution((3, 3), 20, 20, name="a", pads=((1, 1), (1, 1))), None
    second = convolution((3, 3), 20, 20, source="a", name="b", pads=((1, 1), (1, 1)))
    made = program((8, 8, 20), first, second, Add("s", ("a", "b")))
    engine = NativeEngine(made, Output.PREDICTION, 3)
    assert sum(isinstance(step, PictureStep) for step in engine.steps) == 2
    check(made, 20)


@pytest.mark.parametrize("case", ["winograd 3", "winograd 5", "plain, one channel", "sparse"])
def test_draws_do_not_depend_on_the_division(case: str) -> None:
    """Bit for bit: other examples beside one, other blocks, other threads."""
    window, channels, filters, options, _ = CASES[case]
    made = program((9, 9, channels), convolution(window, channels, filters, **options))  # type: ignore[arg-type]
    x = np.random.default_rng(2).normal(size=(150, *made.input_shape)).astype(np.float32)
    engine = NativeEngine(made, Output.PREDICTION, 3)
    whole = engine.draw(x, range(3)).values
    engine.block = 40
    np.testing.assert_array_equal(engine.draw(x, range(3)).values, whole)
    np.testing.assert_array_equal(engine.draw(x[7:9], range(2, 3), 7).values[0], whole[2, 7:9])
    one = NativeEngine(made, Output.PREDICTION, 3, threads=1)
    np.testing.assert_array_equal(one.draw(x, range(3)).values, whole)


def test_the_law_of_winograd_convolutions() -> None:
    """Means, variances, products; false-alarm rate 1e-6 per comparison. A scale that is a variance is noticed."""
    op = convolution((3, 3), 20, 12, pads=((1, 1), (1, 1)))
    made, x = program((4, 4, 20), op), np.random.default_rng(0).normal(size=(2, 4, 4, 20)).astype(np.float32)
    assert isinstance(choose_convolution(0, op, made), Winograd)
    pictures = NativeEngine(program((4, 4, 20), op), Output.PREDICTION, 1).draw(x, range(3000)).values
    draws = pictures.reshape(3000, 2, 4, 4, 12)[:, :, 1:3, 1:3].reshape(3000, 2, 48)[..., :18]
    rng = np.random.default_rng(4)
    windows = np.stack([x[:, i : i + 2, j : j + 2] for i in range(3) for j in range(3)], axis=3).astype(np.float64)
    assert op.bias is not None
    kernel = op.kernel.loc + op.kernel.scale * rng.normal(size=(3000, *op.kernel.shape))  # type: ignore[operator]
    bias = op.bias.loc + op.bias.scale * rng.normal(size=(3000, 12))  # type: ignore[operator]
    other = np.einsum("nijkc,skcf->snijf", windows, kernel.reshape(3000, 9, 20, 12)) + bias[:, None, None, None]
    expected = other.reshape(3000, 2, 48)[..., :18]

    def columns(values: AnyArray) -> AnyArray:
        return np.concatenate([values, values[..., :1] * values[..., 1:]], axis=-1)

    assert same_law(columns(draws), columns(expected))
    centre = expected.mean(0)
    assert not same_law(columns(draws), columns(centre + 1.3 * (expected - centre)))


@pytest.mark.parametrize("constant", [0, 3])
def test_bfloat16_where_the_cpu_is_fast_in_it(constant: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same draws to a few thousandths, in TensorFlow's products; the last layer before the output stays float32."""
    fixed = np.random.default_rng(5).normal(size=(12, 12, constant)).astype(np.float32) if constant else None
    first = convolution((3, 3), 8, 6, pads=((1, 1), (1, 1)), constant=fixed)
    last = convolution((3, 3), 6, 4, source="r", name="d")
    made = program((12, 12, 8), first, Activation("r", ("c",), Function.RELU), last)
    x = np.random.default_rng(2).normal(0.2, 1.0, (20, 12, 12, 8)).astype(np.float32)
    exact = NativeEngine(made, Output.PREDICTION, 3).draw(x, range(3)).values
    slow = NativeEngine(made, Output.PREDICTION, 3, precision=Precision.BFLOAT16)
    monkeypatch.setattr("bprune.engines.native.engine.bfloat16_speed", lambda: 50.0)
    engine = NativeEngine(made, Output.PREDICTION, 3, precision=Precision.BFLOAT16)
    assert not slow.narrow
    assert engine.narrow == {"c"}
    assert (slow.precision, engine.precision) == (Precision.FLOAT32, Precision.BFLOAT16)
    assert "c: drawn weights, TensorFlow's products in bfloat16" in engine.describe()
    difference = np.abs(engine.draw(x, range(3)).values - exact).mean() / np.abs(exact).mean()
    assert 1e-5 < difference < 0.01


def test_nan_spreads_to_what_reads_it_and_no_further() -> None:
    for case in ("winograd 3", "plain, one channel"):
        window, channels, filters, _, _ = CASES[case]
        made = program((12, 12, channels), convolution(window, channels, filters, bias=""))
        convolved = choose_convolution(0, made.ops[0], made)  # type: ignore[arg-type]
        room = convolved.room
        x = np.zeros((1, channels, room.rows, room.columns, 16), np.float32)
        x[0, 0, 0, 0, 3] = np.nan
        out = np.zeros((1, filters, 12, 12, 16), np.float32)
        convolved.run(out, (0, 0), x, convolved.draw(DrawNoise(0)), True, (1, 1))
        assert np.isnan(out[..., 3]).any()
        assert np.isfinite(np.delete(out, 3, axis=-1)).all()


def test_two_threads_get_what_one_gets() -> None:
    window, channels, filters, options, _ = CASES["winograd 5"]
    made = program((9, 9, channels), convolution(window, channels, filters, **options))  # type: ignore[arg-type]
    layer = choose_convolution(0, made.ops[0], made)  # type: ignore[arg-type]
    x = np.random.default_rng(1).normal(size=(2, channels, layer.room.rows, layer.room.columns, 16)).astype(np.float32)

    def work(draw: int) -> FloatArray:
        out = np.empty((2, filters, 5, 5, 16), np.float32)
        layer.run(out, (0, 0), x, layer.draw(DrawNoise(draw)), False, (1, 1))
        return out

    alone = [work(draw) for draw in range(20)]
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(list(pool.map(work, range(20))), alone)


def test_shapes_that_do_not_fit_are_refused() -> None:
    """A kernel would read or write beyond the arrays."""
    from bprune.engines.native.kernels_conv import plain_convolution
    from bprune.engines.native.kernels_winograd import transform_kernel, winograd_convolution

    x, out, bias = (
        np.zeros((1, 2, 6, 6, 16), np.float32),
        np.zeros((1, 3, 4, 4, 16), np.float32),
        np.zeros(3, np.float32),
    )
    points, offsets = np.zeros(36 * 6, np.float32), np.zeros(1, np.uint32)
    winograd_convolution(out, (0, 0), (4, 4), x, points, bias, 3, False)
    plain_convolution(out, (0, 0), (4, 4), x, offsets, (1, 1), bias, bias, False, (1, 1))
    for corner, size in (((0, 0), (5, 4)), ((1, 0), (4, 4)), ((-1, 0), (4, 4))):
        with pytest.raises(ValueError, match="do not fit together"):
            winograd_convolution(out, corner, size, x, points, bias, 3, False)
        with pytest.raises(ValueError, match="do not fit together"):
            plain_convolution(out, corner, size, x, offsets, (1, 1), bias, bias, False, (1, 1))
    with pytest.raises(ValueError, match="do not fit together"):
        winograd_convolution(out, (0, 0), (4, 4), x, points[:-1].copy(), bias, 3, False)
    with pytest.raises(ValueError, match="do not fit together"):
        plain_convolution(out, (0, 0), (4, 4), x, offsets + np.uint32(51), (1, 1), bias, bias, False, (1, 1))
    with pytest.raises(ValueError, match="do not fit together"):
        plain_convolution(out, (0, 0), (4, 4), x, offsets, (1, 1), bias, bias, False, (3, 1))
    with pytest.raises(ValueError, match="the kernel is not of its size"):
        transform_kernel(points, np.zeros(53, np.float32), 3, 2, 3)
    with pytest.raises(ValueError, match="the transformed kernel is not of its size"):
        transform_kernel(points[:-1].copy(), np.zeros(54, np.float32), 3, 2, 3)
