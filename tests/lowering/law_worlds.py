"""The networks that the laws of the lowering are tested on, from one table; each is written and lowered once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.arrays import AnyArray, BoolArray
from bprune.case import load_case
from bprune.case.bundle_index import read_index
from bprune.case.case import Case
from bprune.case.checkpoint import write_checkpoint
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.engines.tensorflow import TensorFlowEngine
from bprune.lowering.lower import lower, specialise
from bprune.lowering.program import Program
from bprune.posterior import Network, read_network
from bprune.pruning import Rule, choose_masks
from tests.lowering import every_op, paper_networks

__all__ = ["FULL", "NETWORKS", "SMALL", "World", "columns", "each", "open_world", "random_units"]


@dataclass(frozen=True)
class World:
    """A network with everything that a law needs.

    Attributes:
        name: Its name in `NETWORKS`.
        case: The case.
        network: Its posteriors.
        inputs: A few examples, of the input's type.
    """

    name: str
    case: Case
    network: Network
    inputs: AnyArray

    @cached_property
    def program(self) -> Program:
        """The whole network."""
        return lower(self.case, self.network)

    def masks(self, sparsity: float) -> dict[str, BoolArray]:
        """The masks of a sparsity of the whole network."""
        return choose_masks(self.network, Rule(threshold=None, sparsity=sparsity))

    def pruned(self, masks: Mapping[str, BoolArray], *, compact: bool = True) -> Program:
        """The program of the pruned network."""
        return specialise(self.program, masks, compact=compact)

    def engine(self, program: Program, seed: int = 3) -> TensorFlowEngine:
        """An engine of a program of this network."""
        return TensorFlowEngine(program, self.case.roles.kind, seed)


def columns(draws: Draws) -> AnyArray:
    """Draws as numbers, `[draw, example, column]`, float64: predictions, then the logarithms of predicted scales."""
    parts = [draws.values] if draws.scale is None else [draws.values, np.log(draws.scale)]
    return np.concatenate(parts, axis=-1).astype(np.float64)


def random_units(network: Network, share: float, kept: float, seed: int = 0) -> dict[str, BoolArray]:
    """Masks that empty whole units at random, and single weights of the others.

    The last posterior is pruned by single weights alone, so that every output stays.

    Args:
        network: The posteriors.
        share: Share of the units (the last axis) that lose all their weights.
        kept: Share of the other weights that stay.
        seed: Seed.
    """
    generator = np.random.default_rng(seed)
    masks = {item.name: generator.random(item.shape) < kept for item in network.posteriors}
    for item in network.posteriors[:-1]:
        masks[item.name] &= generator.random(item.shape[-1]) >= share
    return masks


Writer = Callable[[Path, pytest.FixtureRequest], Path]


def _sample(name: str) -> Writer:
    return lambda _, request: Path(request.getfixturevalue("samples")) / name


def _fixture(name: str) -> Writer:
    return lambda _, request: Path(request.getfixturevalue(name))


def _random(build: Callable[[], Any], untransformed_scale: float) -> Writer:
    """A network of the paper with random weights."""

    def write(folder: Path, request: pytest.FixtureRequest) -> Path:
        model = paper_networks.randomise(build(), untransformed_scale=untransformed_scale)
        return paper_networks.write(folder, model)

    return write


def _trained(name: str, posteriors: str) -> Writer:
    """A network of the paper with the posteriors that were trained on MNIST, and the first test images."""

    def write(folder: Path, request: pytest.FixtureRequest) -> Path:
        shared = Path(request.getfixturevalue("shared_data"))
        model = paper_networks.build(name)
        with np.load(shared / "posteriors" / posteriors, allow_pickle=False) as file:
            paper_networks.assign(model, dict(file))
        with np.load(shared / "mnist.npz", allow_pickle=False) as file:
            images = file["x_test"][:4] / np.float32(255.0)
        return paper_networks.write(folder, model, images.reshape(4, *model.input_shape[1:]))

    return write


def _dgp(folder: Path, request: pytest.FixtureRequest) -> Path:
    """A small deep GP of the examples: angles of some radians, inputs fed forward."""
    from examples.random_features import Design, build

    inputs = np.random.default_rng(5).uniform(-3.0, 3.0, (4, 6)).astype(np.float32)
    model = build(inputs=6, outputs=4, design=Design(features=7, gps=5, share=0.1))
    return paper_networks.write(folder, paper_networks.randomise(model, untransformed_scale=-2.0), inputs)


def _every_op(name: str) -> Writer:
    def write(folder: Path, request: pytest.FixtureRequest) -> Path:
        return paper_networks.write(folder, every_op.make(name), every_op.inputs_for(name))

    return write


def _original(folder: Path, request: pytest.FixtureRequest) -> Path:
    """The case that the predecessor wrote in 2020, with the kernels that survived and zero biases."""
    source = Path(request.getfixturevalue("shared_data")) / "original_case"
    (folder / "checkout").mkdir(parents=True)
    for name in ("LayerNames.txt", "Ops_name_BNN.txt", "checkout/checkpoint", "checkout/model.ckpt-14000.meta"):
        shutil.copyfile(source / name, folder / name)
    prefix = "checkout/model.ckpt-14000"
    entries = read_index(source / f"{prefix}.index", require_data=False).entries
    values = {name: np.zeros(entry.shape, entry.dtype) for name, entry in entries.items()}
    with np.load(source / "kernel_posteriors.npz", allow_pickle=False) as file:
        for layer in ("den_1", "den_2", "den_3"):
            values[f"{layer}/kernel_posterior_loc"] = file[f"{layer}/kernel_loc"]
            untransformed = paper_networks.untransformed(file[f"{layer}/kernel_scale"])
            values[f"{layer}/kernel_posterior_untransformed_scale"] = untransformed
    write_checkpoint(folder / prefix, values)
    with np.load(source.parent / "mnist.npz", allow_pickle=False) as file:
        images, labels = file["x_test"][:4] / np.float32(255.0), file["y_test"][:4]
    np.savez(folder / "heldout.npz", x=images.reshape(4, 784), y=labels)
    return folder


NETWORKS: dict[str, Writer] = {
    "digits_fc": _sample("digits_fc"),
    "digits_conv": _sample("digits_conv"),
    "regression_1d": _sample("regression_1d"),
    "mixed": _fixture("mixed_case"),
    "variational": _fixture("variational_case"),
    "dgp": _dgp,
    "every_activation": _every_op("every_activation"),
    "every_conv_2d": _every_op("every_conv_2d"),
    "every_conv_1d_3d": _every_op("every_conv_1d_3d"),
    "narrow_vgg_16": _random(lambda: paper_networks.build("vgg16", 1 / 8), -4.0),
    "narrow_resnet_18": _random(lambda: paper_networks.build("resnet18", 1 / 8), -4.0),
    "original_2020": _original,
    "mnist_bnn_fc": _trained("bnn_fc", "mnist_bnn_fc.npz"),
    "mnist_bnn_conv": _trained("bnn_conv", "mnist_bnn_conv.npz"),
    "vgg_16": _random(lambda: paper_networks.build("vgg16"), -9.0),
    "resnet_18": _random(lambda: paper_networks.build("resnet18"), -9.0),
}
"""Who writes each case: a sample case, a small world of other tests, or a network of the paper."""

FULL = ("vgg_16", "resnet_18")
"""Networks of many millions of weights, for laws that need a few draws only."""

SMALL = tuple(name for name in NETWORKS if name not in FULL)
"""The others."""

SHARED = ("original_2020", "mnist_bnn_fc", "mnist_bnn_conv")
"""Those that need the shared data."""

_opened: dict[str, World] = {}


def each(*names: str) -> list[Any]:
    """Parameters of a test that runs on some networks: with pytest-xdist, a network is opened by one process alone."""
    shared = {name: [pytest.mark.shared_data] for name in SHARED}
    return [pytest.param(name, marks=[pytest.mark.xdist_group(name), *shared.get(name, [])]) for name in names]


def open_world(name: str, request: pytest.FixtureRequest) -> World:
    """A network of `NETWORKS`; it is written by the first test that needs it, and of the large ones one is kept.

    Logits are read as the predictions of a regression, so that draws are the logits themselves: probabilities hide what
    is small, and those of the networks that were trained on MNIST are 0 and 1.
    """
    if name in _opened:
        return _opened[name]
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    folder = NETWORKS[name](factory.mktemp("law") / name, request)
    case = load_case(folder)
    if case.task is Task.CLASSIFICATION:
        case = load_case(folder, output_op=case.roles.output, task=Task.REGRESSION)
    assert case.files.heldout is not None
    with np.load(case.files.heldout, allow_pickle=False) as file:
        examples = np.linspace(0, len(file["x"]) - 1, 4).astype(int)
        inputs = file["x"][examples].astype(case.graph.input_dtype)
    world = World(name, case, read_network(case), inputs)
    for old in FULL:
        _opened.pop(old, None)
    _opened[name] = world
    return world
