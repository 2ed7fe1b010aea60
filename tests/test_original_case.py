"""The real case that the predecessor wrote in 2020 with TF 1.15 and TFP 0.8."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bprune import infer, load_case, prune
from bprune.case.bundle_index import read_index
from bprune.case.checkpoint import write_checkpoint
from bprune.errors import MissingFileError
from bprune.inference.data import read_data
from bprune.posterior import read_network

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def original(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The case with a data shard made from the kernels that survived, and zero biases."""
    folder = tmp_path_factory.mktemp("original") / "bnn_fc"
    source = shared_data / "original_case"
    (folder / "checkout").mkdir(parents=True)
    for name in ("LayerNames.txt", "Ops_name_BNN.txt", "checkout/checkpoint", "checkout/model.ckpt-14000.meta"):
        shutil.copyfile(source / name, folder / name)
    prefix = "checkout/model.ckpt-14000"
    entries = read_index(source / f"{prefix}.index", require_data=False).entries
    values = {name: np.zeros(entry.shape, entry.dtype) for name, entry in entries.items()}
    with np.load(source / "kernel_posteriors.npz", allow_pickle=False) as kernels:
        for layer in ("den_1", "den_2", "den_3"):
            scale = kernels[f"{layer}/kernel_scale"].astype(np.float64) - np.finfo(np.float32).eps
            values[f"{layer}/kernel_posterior_loc"] = kernels[f"{layer}/kernel_loc"]
            values[f"{layer}/kernel_posterior_untransformed_scale"] = np.log(np.expm1(scale)).astype(np.float32)
    write_checkpoint(folder / prefix, values)
    return folder


@pytest.mark.parametrize("path", ["", "checkout", "checkout/model.ckpt-14000", "checkout/model.ckpt-14000.meta"])
def test_loads_from_any_of_its_paths(original: Path, path: str) -> None:
    case = load_case(original / path)
    assert case.files.root.resolve() == original.resolve()
    assert case.files.iteration.number == 14000
    assert (case.roles.input, case.roles.label) == ("Placeholder:0", "Placeholder_1:0")
    assert case.roles.output == "sequential/den_3/BiasAdd:0"
    assert case.graph.input_shape == (None, 784)


def test_posteriors_are_those_that_were_trained(original: Path, shared_data: Path) -> None:
    network = read_network(load_case(original))
    assert [(item.name, item.kind, item.shape) for item in network.posteriors] == [
        ("den_1/kernel", "DenseFlipout", (784, 256)),
        ("den_2/kernel", "DenseFlipout", (256, 256)),
        ("den_3/kernel", "DenseFlipout", (256, 10)),
    ]
    with np.load(shared_data / "original_case" / "kernel_posteriors.npz", allow_pickle=False) as kernels:
        for posterior in network.posteriors:
            np.testing.assert_array_equal(posterior.loc, kernels[f"{posterior.layer}/kernel_loc"])
            np.testing.assert_allclose(posterior.scale, kernels[f"{posterior.layer}/kernel_scale"], rtol=1e-4)


def test_classifies_mnist(original: Path, shared_data: Path, tmp_path: Path) -> None:
    data = read_data(shared_data / "mnist.npz")
    with infer(original, data, tmp_path / "full.h5", mc_iters=10, scale=255.0, keep_draws=False) as results:
        accuracy = results.metrics(["accuracy"])["accuracy"].value
        assert len(results.summary.mean) == 10_000
    assert accuracy > 0.9

    prune(original, tmp_path / "pruned", sparsity=0.8)
    with infer(
        tmp_path / "pruned", data, tmp_path / "pruned.h5", mc_iters=10, scale=255.0, keep_draws=False
    ) as results:
        pruned = results.metrics(["accuracy"])["accuracy"].value
        assert sum(layer.nonzeros for layer in results.layers) == 268_800 - round(0.8 * 268_800)
    assert pruned > accuracy - 0.02


def test_the_lost_shard_is_named(shared_data: Path) -> None:
    with pytest.raises(MissingFileError, match=r"model.ckpt-14000.data-00000-of-00001"):
        load_case(shared_data / "original_case")


def test_command_line(original: Path, shared_data: Path, tmp_path: Path) -> None:
    arguments = ["infer", "--case-dir", str(original), "--data", str(shared_data / "mnist.npz"), "--mc-iters", "3"]
    run = [sys.executable, "-m", "bprune", *arguments, "--json"]
    refused = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 4
    assert "--scale 255" in json.loads(refused.stdout)["error"]["hint"]
    assert list(tmp_path.iterdir()) == []
    done = subprocess.run(
        [*run, "--scale", "255", "--examples", "500"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["accuracy"]["value"] > 0.85
