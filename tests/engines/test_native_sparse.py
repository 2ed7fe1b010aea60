"""Sparse layers, pooling and layouts of the native engine against NumPy."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.sparse import LANES, SparseConvolution, SparseProduct, aligned

SHARES = [0.0, 0.03, 0.4, 1.0]


def sparse(rng: np.random.Generator, shape: tuple[int, ...], share: float) -> FloatArray:
    return np.where(rng.random(shape) < share, rng.normal(0.3, 1.0, shape), 0.0).astype(np.float32)


def convolve(x: AnyArray, kernel: AnyArray, strides: tuple[int, int], dilations: tuple[int, int]) -> AnyArray:
    """A convolution without padding, in lanes, one position of the window after the other, float64."""
    spans = [(count - 1) * gap for count, gap in zip(kernel.shape[:2], dilations, strict=True)]
    rows, columns = ((x.shape[1 + i] - spans[i] - 1) // strides[i] + 1 for i in range(2))
    total = np.zeros((kernel.shape[3], rows, columns, x.shape[3]))
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]):
            top, left = i * dilations[0], j * dilations[1]
            part = x[:, top :: strides[0], left :: strides[1]][:, :rows, :columns]
            total += np.einsum("co,crsn->orsn", kernel[i, j].astype(np.float64), part)
    return total


def test_aligned_arrays_begin_on_cache_lines() -> None:
    for shape in [(1,), (3, 5), (0, 4), (7, 2, 16)]:
        array = aligned(shape)
        assert array.shape == shape
        assert array.dtype == np.float32
        assert array.ctypes.data % 64 == 0 or not array.size
        assert array.flags.c_contiguous


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (7, 5), (300, 33), (784, 10)])
def test_the_order_of_a_sparse_product(inputs: int, outputs: int, share: float) -> None:
    """Every live weight once; by block of inputs, then output, then input."""
    live = sparse(np.random.default_rng(inputs), (inputs, outputs), share) != 0.0
    product = SparseProduct(live, 64)
    np.testing.assert_array_equal(np.sort(product.order), np.flatnonzero(live))
    np.testing.assert_array_equal(product.order // outputs, product.inputs)
    starts = np.concatenate([[0], product.ends.reshape(-1)])
    assert starts[-1] == product.order.size
    blocks = [part for part in np.split(product.inputs, product.ends[:-1, -1]) if part.size]
    assert all(one.max() < two.min() for one, two in itertools.pairwise(blocks))
    for index, (start, end) in enumerate(itertools.pairwise(starts)):
        assert (product.order[start:end] % outputs == index % outputs).all()
        assert (np.diff(product.inputs[start:end].astype(int)) > 0).all()


CONVOLUTIONS = [  # window, in, out, picture, strides, dilations
    ((1, 1), 3, 2, (4, 5), (1, 1), (1, 1)),
    ((3, 2), 5, 7, (9, 11), (1, 1), (1, 1)),
    ((2, 3), 4, 3, (8, 13), (2, 3), (1, 1)),
    ((3, 3), 2, 4, (11, 30), (1, 2), (3, 2)),
    ((5, 5), 40, 6, (7, 31), (1, 1), (1, 1)),
    ((3, 4), 2, 3, (3, 4), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(("window", "inputs", "outputs", "picture", "strides", "dilations"), CONVOLUTIONS)
def test_a_sparse_convolution(
    window: tuple[int, int],
    inputs: int,
    outputs: int,
    picture: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
    share: float,
) -> None:
    rng = np.random.default_rng(inputs)
    kernel, bias = sparse(rng, (*window, inputs, outputs), share), rng.normal(size=outputs).astype(np.float32)
    x = aligned((inputs, *picture, LANES))
    x[...] = rng.normal(0.1, 1.0, x.shape)
    layer = SparseConvolution(kernel != 0.0, picture, strides, dilations)
    exact = convolve(x, kernel, strides, dilations) + bias[:, None, None, None]
    assert layer.size == exact.shape[1:3]
    rows, columns = layer.size
    for relu in (False, True):
        out = aligned((outputs, rows + 3, columns + 4, LANES))
        out[...] = 7.0
        layer.run(out, x, kernel.reshape(-1)[layer.order], bias, relu=relu, corner=(2, 1))
        inside = out[:, 2 : 2 + rows, 1 : 1 + columns]
        np.testing.assert_allclose(inside, np.maximum(exact, 0.0) if relu else exact, rtol=1e-5, atol=5e-5)
        inside[...] = 7.0
        assert (out == 7.0).all()  # margins are left alone


def test_a_window_larger_than_the_picture_gives_nothing() -> None:
    layer = SparseConvolution(np.ones((3, 3, 2, 2), bool), (2, 5))
    assert layer.size[0] == 0
    out = aligned((2, 0, 3, LANES))
    layer.run(out, aligned((2, 2, 5, LANES)), np.ones(36, np.float32), None)


@pytest.mark.parametrize("examples", [0, 1, 11, 16])
def test_lanes_and_back(examples: int) -> None:
    from bprune.engines.native.kernels_images import images_from_lanes, images_to_lanes

    x = np.random.default_rng(1).normal(size=(examples, 3, 5, 37)).astype(np.float32)
    lanes = np.full((37, 6, 9, LANES), np.nan, np.float32)
    images_to_lanes(lanes, x, (2, 1))
    np.testing.assert_array_equal(lanes[:, 2:5, 1:6, :examples], x.transpose(3, 1, 2, 0))
    lanes[:, 2:5, 1:6, :examples] = 0.0
    assert (lanes == 0.0).all()
    images_to_lanes(lanes, x, (2, 1))
    back = np.empty_like(x)
    images_from_lanes(back, lanes, (2, 1))
    np.testing.assert_array_equal(back, x)


POOLS = [  # window, strides, pads before and after
    ((2, 2), (2, 2), ((0, 0), (0, 0))),
    ((3, 2), (1, 3), ((1, 1), (0, 1))),
    ((2, 3), (3, 1), ((0, 1), (2, 0))),
]


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize(("window", "strides", "pads"), POOLS)
def test_pooling_in_both_layouts(
    window: tuple[int, int], strides: tuple[int, int], pads: tuple[tuple[int, int], ...], mean: bool
) -> None:
    from bprune.engines.native.kernels_images import images_to_lanes, pool_lanes, pool_rows

    x = np.random.default_rng(1).normal(-5.0, 1.0, (13, 7, 8, 3)).astype(np.float32)
    padded = np.pad(x.astype(np.float64), ((0, 0), *pads, (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, (1, 2))[:, :: strides[0], :: strides[1]]
    expected = (np.nanmean if mean else np.nanmax)(windows, (4, 5))
    size, before = expected.shape[1:3], (pads[0][0], pads[1][0])
    rows = np.empty(expected.shape, np.float32)
    pool_rows(rows, x, window, strides, before, mean)
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    lanes = np.empty((3, 10, 10, LANES), np.float32)
    images_to_lanes(lanes, x, (1, 2))
    out = np.full((3, size[0] + 2, size[1] + 1, LANES), 7.0, np.float32)
    pool_lanes(out, (1, 0), size, lanes, (1, 2), (7, 8), window, strides, before, mean)
    inside = out[:, 1 : 1 + size[0], : size[1]]
    np.testing.assert_array_equal(inside[..., :13].transpose(3, 1, 2, 0), rows)
    inside[...] = 7.0
    assert (out == 7.0).all()


def test_the_maximum_of_nan_is_nan() -> None:
    from bprune.engines.native.kernels_images import pool_rows

    x = np.zeros((1, 2, 2, 4), np.float32)
    x.reshape(4, 4)[np.arange(4), np.arange(4)] = np.nan  # in every position of the window, for one channel each
    out = np.empty((1, 1, 1, 4), np.float32)
    pool_rows(out, x, (2, 2), (2, 2), (0, 0), False)
    assert np.isnan(out).all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    """A kernel would read or write beyond the arrays."""
    from bprune.engines.native import kernels_images as images

    layer = SparseConvolution(np.ones((2, 2, 1, 1), bool), (4, 5))
    values = np.ones(4, np.float32)
    lanes, result = np.ones((1, 4, 5, LANES), np.float32), np.ones((1, 3, 4, LANES), np.float32)
    layer.run(result, lanes, values, None)
    for corner in ((1, 0), (0, 1), (-1, 0)):
        with pytest.raises(ValueError, match="does not fit into"):
            layer.run(result, lanes, values, None, corner=corner)
    with pytest.raises(ValueError, match="does not fit into"):
        layer.run(result, lanes[:, :3].copy(), values, None)
    rows = np.ones((17, 2, 2, 1), np.float32)
    with pytest.raises(ValueError, match="do not fit into the array of lanes"):
        images.images_to_lanes(lanes, rows, (0, 0))
    with pytest.raises(ValueError, match="do not fit into the array of lanes"):
        images.images_from_lanes(rows[:3].copy(), lanes, (3, 0))
    with pytest.raises(ValueError, match="do not fit into the array of lanes"):
        images.pool_lanes(result, (0, 0), (3, 4), lanes, (1, 0), (4, 5), (2, 2), (1, 1), (0, 0), False)
    with pytest.raises(ValueError, match="the results of pooling do not fit"):
        images.pool_rows(rows[:2].copy(), rows, (1, 1), (1, 1), (0, 0), False)


def test_two_threads_get_what_one_gets() -> None:
    rng = np.random.default_rng(3)
    kernel = sparse(rng, (3, 3, 8, 8), 0.3)
    layer = SparseConvolution(kernel != 0.0, (12, 12))
    x = rng.normal(size=(40, 8, 12, 12, LANES)).astype(np.float32)

    def work(index: int) -> FloatArray:
        out = np.empty((8, *layer.size, LANES), np.float32)
        layer.run(out, x[index], kernel.reshape(-1)[layer.order], None)
        return out

    alone = [work(index) for index in range(40)]
    with ThreadPoolExecutor(2) as pool:
        np.testing.assert_array_equal(list(pool.map(work, range(40))), alone)
