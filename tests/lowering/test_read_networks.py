"""Whole networks are read: sample cases, every kind of layer, every family and estimator (law 4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.lowering.ops import Add, Affine, Bias, Conv, Dense, DepthwiseConv, Op, Pool
from bprune.lowering.program import Program, weights_of
from bprune.lowering.read import read_program
from bprune.posterior import read_network
from tests.lowering.graphs import NETWORKS, check_reading, keras_case
from tests.training import worlds


def kinds(program: Program) -> list[type[Op]]:
    return [type(op) for op in program.ops]


def streams(program: Program) -> list[str]:
    found = [weights.stream for op in program.ops for weights in weights_of(op).values()]
    return [stream.key for stream in found if stream is not None]


@pytest.mark.parametrize("name", ["digits_conv", "digits_fc", "regression_1d"])
def test_sample_cases(samples: Path, name: str) -> None:
    program = check_reading(samples / name)
    assert program.input == "input"
    assert len(program.outputs) == (2 if name == "regression_1d" else 1)


def test_a_bayesian_layer_is_one_operation(samples: Path) -> None:
    program = read_program(case := load_case(samples / "digits_conv"), read_network(case))
    layers = [op for op in program.ops if weights_of(op)]
    assert [type(op) for op in layers] == [Conv, Conv, Dense]
    assert [op.name for op in layers] == [f"digits_conv/{layer}/add" for layer in ("conv_1", "conv_2", "den_1")]
    assert streams(program) == ["conv_1/kernel#0", "conv_2/kernel#0", "den_1/kernel#0"]
    assert isinstance(layers[0], Conv)
    assert (layers[0].pads, layers[0].strides, layers[0].dilations) == (((1, 1), (1, 1)), (1, 1), (1, 1))


def test_every_family_and_estimator(mixed_case: Path) -> None:
    program = check_reading(mixed_case)
    assert [op.kernel.family for op in program.ops if isinstance(op, Dense)] == [
        "Normal",
        "Laplace",
        "LogNormal",
        "Normal",
    ]
    biases = [op for op in program.ops if isinstance(op, Bias)]
    assert [(op.layer, op.bias.shape) for op in biases] == [("lognormal", (5,))]


def test_a_packed_posterior_is_kernel_and_bias(variational_case: Path) -> None:
    program = check_reading(variational_case)
    assert streams(program) == ["first/kernel#0", "first/bias#0", "second/kernel#0"]
    first, bias = program.ops[0], program.ops[1]
    assert isinstance(first, Dense)
    assert isinstance(bias, Bias)
    assert first.kernel.ids is not None
    assert bias.bias.ids is not None
    np.testing.assert_array_equal(first.kernel.ids, np.arange(24).reshape(6, 4))
    np.testing.assert_array_equal(bias.bias.ids, np.arange(4))
    assert program.outputs[1].endswith("noise/add")


@pytest.mark.parametrize("name", NETWORKS)
def test_layers(name: str, tmp_path: Path) -> None:
    check_reading(keras_case(tmp_path / "case", NETWORKS[name]))


@pytest.mark.parametrize("kind", worlds.KINDS)
def test_every_kind_of_bayesian_layer(kind: str, tmp_path: Path) -> None:
    def build() -> Any:
        model = worlds.make_model("subclassed", kind)
        model(np.zeros((2, *worlds.SHAPES[worlds.KINDS[kind]]), np.float32))
        return model

    program = check_reading(keras_case(tmp_path / "case", build))
    layers = [op for op in program.ops if weights_of(op)]
    assert isinstance(layers[0], Conv if kind.startswith("Conv") else Dense)
    if isinstance(layers[0], Conv):
        assert f"Conv{len(layers[0].strides)}D" == worlds.KINDS[kind]


def test_1d_convolutions_have_one_axis(tmp_path: Path) -> None:
    """Also behind the detours over pictures of height 1 that a graph makes for them."""
    program = check_reading(keras_case(tmp_path / "case", NETWORKS["1D convolutions"]))
    windows = [op for op in program.ops if isinstance(op, (Conv, Pool))]
    assert [len(op.strides) for op in windows] == [1] * 6
    assert [op.dilations for op in windows if isinstance(op, Conv)] == [(1,), (1,), (2,), (2,)]


def test_dilation_that_is_written_with_interleaved_pictures(tmp_path: Path) -> None:
    program = check_reading(keras_case(tmp_path / "case", NETWORKS["dilated convolutions"]))
    layers = [op for op in program.ops if isinstance(op, (Conv, DepthwiseConv))]
    assert [op.dilations for op in layers] == [(2, 3), (2, 2), (2, 2), (2, 2)]
    assert [op.pads for op in layers] == [((2, 2), (3, 3)), ((0, 0), (0, 0)), ((2, 2), (2, 2)), ((0, 0), (0, 0))]


def test_what_does_nothing_leaves_nothing(tmp_path: Path) -> None:
    program = check_reading(keras_case(tmp_path / "case", NETWORKS["layers that do nothing now"]))
    assert kinds(program) == [Dense, Affine]


def test_residual_networks_add(tmp_path: Path) -> None:
    program = check_reading(keras_case(tmp_path / "case", NETWORKS["residual"]))
    assert kinds(program).count(Add) == 2
    assert len(set(streams(program))) == len(streams(program)) == 6


def test_fixed_layers_carry_the_names_of_layer_names(samples: Path) -> None:
    program = read_program(case := load_case(samples / "regression_1d"), read_network(case))
    assert [op.layer for op in program.ops if isinstance(op, (Dense, Bias))] == [
        "places",
        "den_1",
        "den_2",
        "den_2",
        "den_3",
    ]


@pytest.mark.shared_data
def test_the_case_of_2020(shared_data: Path, tmp_path: Path) -> None:
    """The predecessor's graph of TF 1.15 and TFP 0.8; the kernels are those that survived of its checkpoint."""
    import shutil

    from bprune.case.bundle_index import read_index
    from bprune.case.checkpoint import write_checkpoint

    folder, source, prefix = tmp_path / "bnn_fc", shared_data / "original_case", "checkout/model.ckpt-14000"
    (folder / "checkout").mkdir(parents=True)
    for name in ("LayerNames.txt", "Ops_name_BNN.txt", "checkout/checkpoint", f"{prefix}.meta"):
        shutil.copyfile(source / name, folder / name)
    entries = read_index(source / f"{prefix}.index", require_data=False).entries
    values = {name: np.full(entry.shape, 0.25, entry.dtype) for name, entry in entries.items()}
    with np.load(source / "kernel_posteriors.npz", allow_pickle=False) as kernels:
        for layer in ("den_1", "den_2", "den_3"):
            scale = kernels[f"{layer}/kernel_scale"].astype(np.float64) - np.finfo(np.float32).eps
            values[f"{layer}/kernel_posterior_loc"] = kernels[f"{layer}/kernel_loc"]
            values[f"{layer}/kernel_posterior_untransformed_scale"] = np.log(np.expm1(scale)).astype(np.float32)
    write_checkpoint(folder / prefix, values)
    program = check_reading(folder)
    assert streams(program) == ["den_1/kernel#0", "den_2/kernel#0", "den_3/kernel#0"]
    assert program.input_shape == (784,)
