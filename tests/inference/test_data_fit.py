"""Fitting: the same values in the network's shape and dtype, or an error that says what settles it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.errors import InputError, UnsupportedError, UsageError
from bprune.inference.data import Dataset, fit_inputs, fit_labels, read_data

CLASSES, NUMBERS = Task.CLASSIFICATION, Task.REGRESSION


def of(inputs: AnyArray, labels: AnyArray | None = None) -> Dataset:
    return Dataset(inputs, labels, "heldout.npz")


def counting(*shape: int) -> AnyArray:
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("shape", [(None, 3, 4), (2, 3, 4), (128, 3, None), (None, None, None)])
def test_compatible_inputs_stay_in_place(shape: tuple[int | None, ...]) -> None:
    data = of(counting(2, 3, 4))
    fitted = fit_inputs(data, shape=shape, dtype="float32")
    assert fitted.inputs is data.inputs
    assert fitted.notes == ()


def test_a_mapped_file_stays_mapped(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", counting(5, 28, 28))
    data = read_data(tmp_path / "x.npy")
    fitted = fit_inputs(data, shape=(None, 784), dtype="float32", scale=1)
    assert np.shares_memory(fitted.inputs, data.inputs)


FORMS = [(5, 28, 28), (5, 28, 28, 1), (5, 1, 28, 28), (5, 784)]


@pytest.mark.parametrize("have", FORMS)
@pytest.mark.parametrize("want", FORMS)
def test_flattening_and_single_channels(have: tuple[int, ...], want: tuple[int, ...]) -> None:
    x = counting(*have)
    fitted = fit_inputs(of(x), shape=(None, *want[1:]), dtype="float32")
    np.testing.assert_array_equal(fitted.inputs, x.reshape(want))
    assert np.shares_memory(fitted.inputs, x)
    expected = () if have == want else (f"inputs reshaped from {list(have)} to {list(want)}",)
    assert fitted.notes == expected


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ((5, 20), (None, None, 1)),
        ((5, 20, 1), (None, None)),
        ((5, 784, 1), (None, 28, 28)),
        ((5, 32, 32, 3), (None, 3072)),
        ((5, 28, 28, 1), (None, None, None)),
    ],
)
def test_more_safe_reshapes(have: tuple[int, ...], want: tuple[int | None, ...]) -> None:
    fitted = fit_inputs(of(counting(*have)), shape=want, dtype="float32")
    np.testing.assert_array_equal(fitted.inputs.ravel(), counting(*have).ravel())
    assert fitted.inputs.ndim == len(want)


@pytest.mark.parametrize(
    ("have", "want", "hint"),
    [
        ((5, 3, 32, 32), (None, 32, 32, 3), r"channels seem to come first: save np\.moveaxis\(x, 1, -1\)"),
        ((5, 32, 32, 3), (None, 3, 32, 32), r"channels seem to come last: save np\.moveaxis\(x, -1, 1\)"),
        ((5, 3072), (None, 32, 32, 3), "number of values agrees, but not their order"),
        ((5, 3, 32, 32), (None, 3072), "number of values agrees, but not their order"),
        ((5, 28, 14), (None, 14, 28), "number of values agrees, but not their order"),
        ((28, 28), (None, 28, 28), r"single example: save x\[np\.newaxis\]"),
        ((5, 28, 28), (None, 783), "in the shape that the network was trained on"),
        ((5, 28, 28), (None, None), "in the shape that the network was trained on"),
        ((5, 20), (None, None, None), "in the shape that the network was trained on"),
        ((5,), (None, 2), "in the shape that the network was trained on"),
    ],
)
def test_shapes_that_do_not_fit(have: tuple[int, ...], want: tuple[int | None, ...], hint: str) -> None:
    shown = ", ".join("any" if length is None else str(length) for length in want)
    message = rf"heldout\.npz: inputs \{list(have)} do not fit the network's input \[{shown}\]\n.*{hint}"
    with pytest.raises(InputError, match=message):
        fit_inputs(of(counting(*have)), shape=want, dtype="float32")


def test_a_network_without_an_example_axis() -> None:
    with pytest.raises(UnsupportedError, match="has no axes"):
        fit_inputs(of(counting(2, 3)), shape=(), dtype="float32")


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_no_examples(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="hold no examples"):
        fit_inputs(of(np.empty(shape, np.float32)), shape=(None, 3), dtype="float32")


def test_integers_need_a_scale() -> None:
    x = np.array([[0, 51, 255]], np.uint8)
    with pytest.raises(
        InputError,
        match=r"integers \(uint8, 0 to 255\) and the network takes float32.*\nPass --scale 255 .* --scale 1 .* array",
    ):
        fit_inputs(of(x), shape=(None, 3), dtype="float32")
    fitted = fit_inputs(of(x), shape=(None, 3), dtype="float32", scale=255)
    np.testing.assert_array_equal(fitted.inputs, x.astype(np.float32) / np.float32(255))
    assert fitted.inputs.dtype == np.float32
    assert fitted.notes == ("inputs divided by 255 (uint8, 0 to 255)",)
    raw = fit_inputs(of(x), shape=(None, 3), dtype="float32", scale=1)
    np.testing.assert_array_equal(raw.inputs, [[0, 51, 255]])
    assert x.tolist() == [[0, 51, 255]]


def test_a_scale_divides_floats_too_and_leaves_the_source() -> None:
    x = np.array([[1.0, 3.0]])
    fitted = fit_inputs(of(x), shape=(None, 2), dtype="float32", scale=0.5)
    np.testing.assert_array_equal(fitted.inputs, [[2, 6]])
    assert fitted.notes == ("inputs divided by 0.5",)
    assert x.tolist() == [[1, 3]]


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_scales_that_are_never_allowed(scale: float) -> None:
    with pytest.raises(UsageError, match="allowed is a finite number above 0"):
        fit_inputs(of(counting(2, 3)), shape=(None, 3), dtype="float32", scale=scale)


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_scales_that_float32_cannot_hold(scale: float) -> None:
    with pytest.raises(UsageError, match="is not a number that float32 can hold"):
        fit_inputs(of(counting(2, 3)), shape=(None, 3), dtype="float32", scale=scale)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    x = np.ones((3, 2, 2))
    x[1, 0, 1] = x[2] = bad
    with pytest.raises(InputError, match=rf"index \[1, 0, 1\] is {bad}; all have to be finite"):
        fit_inputs(of(x), shape=(None, 2, 2), dtype="float32")


def test_values_that_are_not_finite_far_into_a_large_array() -> None:
    x = np.ones((5000, 1000), np.float16)
    x[4997, 3] = np.nan
    with pytest.raises(InputError, match=r"index \[4997, 3\] is nan"):
        fit_inputs(of(x), shape=(None, 1000), dtype="float32")


@pytest.mark.parametrize(
    ("x", "dtype", "scale", "message"),
    [
        (np.array([[1.0, 1e300]]), "float32", None, r"input 1e\+300 at index \[0, 1\] does not fit .* float32"),
        (np.array([[1.0, 1e300]]), "float32", 2.0, r"input 1e\+300 at index \[0, 1\], divided by 2, does not fit"),
        (np.array([[1, 70000]]), "float16", 1.0, r"input 70000 at index \[0, 1\], divided by 1, does not fit"),
        (np.array([[1.0, 1e30]], np.float32), "float32", 1e-20, "divided by 1e-20, does not fit"),
    ],
)
def test_values_that_the_dtype_cannot_hold(x: AnyArray, dtype: str, scale: float | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_inputs(of(x), shape=(None, 2), dtype=dtype, scale=scale)


def test_half_precision_divides_before_it_rounds() -> None:
    fitted = fit_inputs(of(np.array([[70000]])), shape=(None, 1), dtype="float16", scale=70000)
    assert fitted.inputs.dtype == np.float16
    assert fitted.inputs.tolist() == [[1.0]]


def test_bools_are_zero_and_one() -> None:
    fitted = fit_inputs(of(np.array([[True, False]])), shape=(None, 2), dtype="float32")
    assert fitted.inputs.dtype == np.float32
    assert fitted.inputs.tolist() == [[1, 0]]
    assert fitted.notes == ()


def test_integer_networks_take_integers_as_they_are() -> None:
    x = np.array([[3, 70000]])
    assert fit_inputs(of(x), shape=(None, None), dtype="int64").inputs is x
    fitted = fit_inputs(of(x), shape=(None, None), dtype="int32")
    assert fitted.inputs.dtype == np.int32
    assert fitted.inputs.tolist() == x.tolist()
    with pytest.raises(InputError, match="from 3 to 70000 do not fit the network's int16"):
        fit_inputs(of(x), shape=(None, None), dtype="int16")
    with pytest.raises(InputError, match=r"inputs are float32, the network takes int32\n.*x\.astype\('int32'\)"):
        fit_inputs(of(counting(2, 3)), shape=(None, None), dtype="int32")
    with pytest.raises(UsageError, match="--scale 255 does not apply: the network takes int32"):
        fit_inputs(of(x), shape=(None, None), dtype="int32", scale=255)


@pytest.mark.parametrize("dtype", ["bfloat16", "str", "bool", "complex64"])
def test_networks_with_other_dtypes(dtype: str) -> None:
    with pytest.raises(UnsupportedError, match=f"input dtype is {dtype}"):
        fit_inputs(of(counting(2, 3)), shape=(None, 3), dtype=dtype)


LENGTHS = st.integers(1, 6)


@st.composite
def images(draw: st.DrawFn) -> AnyArray:
    shape = draw(st.tuples(LENGTHS, LENGTHS, LENGTHS))
    elements = st.floats(-1e6, 1e6, width=32)
    return draw(hnp.arrays(np.float32, shape, elements=elements))


@given(images(), st.sampled_from([(), (1,)]))
def test_flatten_and_back_changes_no_value(x: AnyArray, channel: tuple[int, ...]) -> None:
    flat = fit_inputs(of(x), shape=(None, x[0].size), dtype="float32")
    back = fit_inputs(flat, shape=(None, *x.shape[1:], *channel), dtype="float32")
    np.testing.assert_array_equal(flat.inputs, x.reshape(len(x), -1))
    np.testing.assert_array_equal(back.inputs, x.reshape(*x.shape, *channel))


@given(images(), st.lists(st.one_of(st.none(), LENGTHS), max_size=4))
def test_every_fit_keeps_values_and_order_or_is_refused(x: AnyArray, want: list[int | None]) -> None:
    try:
        fitted = fit_inputs(of(x), shape=(None, *want), dtype="float32")
    except InputError:
        return
    np.testing.assert_array_equal(fitted.inputs.ravel(), x.ravel())
    assert len(fitted.inputs) == len(x)
    assert all(length in (None, got) for length, got in zip(want, fitted.inputs.shape[1:], strict=True))


@given(hnp.arrays(np.uint8, (3, 4)), st.floats(0.01, 1000))
def test_dividing_is_elementwise_in_float32(x: AnyArray, scale: float) -> None:
    fitted = fit_inputs(of(x), shape=(None, 4), dtype="float32", scale=scale)
    np.testing.assert_allclose(fitted.inputs, x / scale, rtol=3e-7)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2, 0, 1], np.uint8),
        np.array([2.0, 0.0, 1.0], np.float32),
        np.array([[2.0], [0.0], [1.0]]),
        np.eye(3, dtype=np.float32)[[2, 0, 1]],
        np.eye(3, dtype=np.bool_)[[2, 0, 1]],
    ],
)
def test_class_labels(labels: AnyArray) -> None:
    fitted = fit_labels(of(counting(3, 2), labels), task=CLASSES, outputs=3)
    assert fitted.labels is not None
    assert fitted.labels.dtype == np.int64
    assert fitted.labels.tolist() == [2, 0, 1]
    assert fitted.notes == (("one-hot labels [3, 3] taken as classes",) if labels.shape == (3, 3) else ())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([2, 0, 3], r"label 3 of example 2 is not one of the 3 classes \(0 to 2\)"),
        ([2, -1, 1], "label -1 of example 1 is not one of the 3 classes"),
        ([2.0, 0.5, 1.0], r"label 0\.5 of example 1 is not one of"),
        ([2.0, math.nan, 1.0], "label nan of example 1 is not one of"),
        ([2, 3, 1], r"labels go from 1 to 3(.|\n)*example 1 is out of range\n.*count from 1: save y - 1"),
        ([[1, 0, 0], [0, 1, 1], [0, 0, 1]], "label of example 1 is not one-hot"),
        ([[1, 0, 0], [0, 1, 0], [0.5, 0, 0.5]], "label of example 2 is not one-hot"),
        ([[1, 0, 2], [0, 1, 0], [0, 1, 0]], "label of example 0 is not one-hot"),
        ([[1, 0], [0, 1], [0, 1]], "class numbers are needed"),
    ],
)
def test_class_labels_that_do_not_fit(labels: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_labels(of(counting(3, 2), np.array(labels)), task=CLASSES, outputs=3)


@pytest.mark.parametrize("labels", [np.array([1, 2, 4]), np.array([[1.0], [2.0], [4.0]])])
def test_regression_labels_of_one_output(labels: AnyArray) -> None:
    fitted = fit_labels(of(counting(3, 2), labels), task=NUMBERS, outputs=1)
    assert fitted.labels is not None
    assert fitted.labels.dtype == np.float32
    assert fitted.labels.tolist() == [[1], [2], [4]]


def test_regression_labels_of_several_outputs() -> None:
    fitted = fit_labels(of(counting(3, 2), counting(3, 2) / 2), task=NUMBERS, outputs=2)
    np.testing.assert_array_equal(fitted.labels, counting(3, 2) / 2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, 2.0, 3.0], "numbers of the shape .* are needed"),
        ([[1.0], [2.0], [3.0]], "numbers of the shape .* are needed"),
        ([[1, 2], [3, math.inf], [5, 6]], "target of example 1 is inf"),
        ([[1, 2], [3, 1e300], [5, 6]], r"label 1e\+300 of example 1 does not fit float32"),
    ],
)
def test_regression_labels_that_do_not_fit(labels: list[object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_labels(of(counting(3, 2), np.array(labels)), task=NUMBERS, outputs=2)


@pytest.mark.parametrize("task", list(Task))
def test_no_labels_stay_none_and_no_outputs_are_refused(task: Task) -> None:
    data = of(counting(3, 2))
    assert fit_labels(data, task=task, outputs=2) is data
    with pytest.raises(UsageError, match="a network with 0 outputs"):
        fit_labels(data, task=task, outputs=0)
