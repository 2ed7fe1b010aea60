"""The deep GP of the examples: what it is, and that its case goes through the commands like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.engines.check import LARGEST_ERROR, check_lowering
from bprune.errors import InputError, MissingFileError
from bprune.lowering.lower import lower
from bprune.posterior import read_network
from bprune.training import write_case
from examples import dgp
from examples.random_features import Design, build
from tests.examples.command_line import ROOT, run_json
from tests.training.distribute.jobs import cluster_command

pytestmark = pytest.mark.xdist_group("dgp")  # its fixtures are made once

LAYERS = ("omega_1/kernel", "gp_1/kernel", "omega_2/kernel", "gp_2/kernel")
DESIGN = Design(features=7, gps=3, share=0.01)
INPUTS = np.linspace(-2.0, 2.0, 4 * 5, dtype=np.float32).reshape(4, 5)


@pytest.fixture(scope="module")
def case_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the script on the made regression: asynchronous, two workers and a parameter server."""
    out = tmp_path_factory.mktemp("dgp") / "wave"
    design = ["--features", "20", "--gps", "4", "--short", "--out", str(out)]
    command = [str(ROOT / "examples" / "dgp.py"), "--distribute", "ps", *design]
    jobs = cluster_command(out, command, ("chief", "ps", "worker", "worker"))
    assert [job.code for job in jobs] == [0] * 4, jobs[0].errors[-3000:]
    return out


def test_the_case_is_inspected_and_pruned(case_dir: Path, tmp_path: Path) -> None:
    content = run_json("inspect", "--case-dir", case_dir)
    assert content["checkpoint"] == "model-16.ckpt"
    assert tuple(f"{item['layer']}/{item['part']}" for item in content["layers"]) == LAYERS
    assert content["unpruned"] == []
    pruned = run_json("prune", "--case-dir", case_dir, "--sparsity", "0.5", "--out", tmp_path / "pruned")
    assert pruned["total"]["sparsity"] == pytest.approx(0.5, abs=0.01)
    kept = run_json("inspect", "--case-dir", tmp_path / "pruned")["total"]["nonzeros"]
    assert kept == pruned["total"]["nonzeros"]


@pytest.mark.parametrize("engine", ["graph", "tensorflow", "native"])
def test_every_engine_infers(engine: str, case_dir: Path, tmp_path: Path) -> None:
    options = ("--mc-iters", "4", "--sparsity", "0.5", "--examples", "50", "--engine", engine)
    inferred = run_json("infer", "--case-dir", case_dir, *options, "--out", tmp_path / "results.h5")
    assert inferred["engine"] == engine
    assert np.isfinite(inferred["metrics"]["nll"]["value"])


def test_program_and_graph_have_one_law(case_dir: Path) -> None:
    """False-alarm rate 1e-6."""
    content = run_json("verify", "--case-dir", case_dir, "--sparsity", "0.5", "--mc-iters", "200", "--examples", "4")
    assert content["holds"]


def test_a_sweep_measures_sparsities(case_dir: Path, tmp_path: Path) -> None:
    options = ("--mc-iters", "4", "--examples", "50", "--sparsity", "0", "--sparsity", "0.5")
    content = run_json("sweep", "--case-dir", case_dir, *options, "--out", tmp_path / "sweep.h5")
    assert [point["sparsity"] for point in content["points"]] == [0.0, 0.5]


def kl_divergence(loc: Any, scale: Any, prior: Any) -> float:
    """Of N(loc, scale^2) to N(0, prior^2), summed."""
    return float(np.sum(np.log(prior / scale) + 0.5 * ((scale**2 + loc**2) / prior**2 - 1.0)))


@pytest.mark.parametrize("frequencies", ["var-resampled", "var-fixed"])
def test_frequencies_diverge_from_the_prior_of_their_lengthscales(frequencies: str) -> None:
    """Every input has a lengthscale of its own; a prior that forgets them would be far off."""
    model = build(5, 3, Design(features=7, gps=3, share=0.01, frequencies=frequencies))
    values = {}
    for number, variable in enumerate(model.get_layer("omega_2").variables):
        generator = np.random.default_rng(number)
        variable.assign(generator.normal(-0.5, 0.5, variable.shape))
        values[variable.name.split("/")[-1].removesuffix(":0").removeprefix("kernel_")] = variable.numpy()
    (log_scale,) = (value for name, value in values.items() if name.endswith("prior_log_scale"))
    (loc,) = (value for name, value in values.items() if name.endswith("loc"))
    (untransformed,) = (value for name, value in values.items() if name.endswith("untransformed_scale"))
    assert log_scale.shape == (3 + 5, 1)
    model(INPUTS)
    expected = kl_divergence(loc, np.log1p(np.exp(untransformed)), np.exp(log_scale))
    assert float(model.get_layer("omega_2").losses[-1]) == pytest.approx(0.01 * expected, rel=1e-4)
    assert kl_divergence(loc, np.log1p(np.exp(untransformed)), 1.0) != pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("frequencies", ["prior-fixed", "var-fixed"])
def test_kept_frequencies_are_lowered(frequencies: str, tmp_path: Path) -> None:
    design = Design(features=7, gps=3, frequencies=frequencies, feed_forward=frequencies != "var-fixed")
    model = build(5, 2, design, targets=np.asarray([[1.0, 5.0], [3.0, 4.0]], np.float32))
    write_case(tmp_path / "case", model, iteration=1, heldout=(INPUTS, np.zeros((4, 2), np.float32)))
    case = load_case(tmp_path / "case")
    network = read_network(case)
    program = lower(case, network)
    names = {item.name for item in network.posteriors}
    assert names == set(LAYERS[1::2]), "the weights alone"
    assert network.unrecognised == ()
    assert len(program.outputs) == 2
    assert check_lowering(case, network, program) < LARGEST_ERROR


def test_data_of_ones_own(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4)).astype(np.uint8)
    labels = np.asarray([0, 1, 2, 0, 1, 2], np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images[:2], y_test=labels[:2])
    data = dgp.load(str(tmp_path / "images.npz"))
    assert data.is_classification
    assert data.x_test.shape == (2, 16)
    np.testing.assert_allclose(data.x_train.mean(0), 0.0, atol=1e-6)
    assert np.mean(np.square(data.x_train)) < 1.0 < 2.0 * np.mean(np.square(data.x_train))
    np.savez(tmp_path / "targets.npz", x_train=images, y_train=labels / 2.0, x_test=images, y_test=labels / 2.0)
    assert dgp.load(str(tmp_path / "targets.npz")).y_train.shape == (6, 1)
    np.savez(tmp_path / "bare.npz", x_train=images)
    with pytest.raises(InputError, match="has no y_train; it needs x_train, y_train, x_test, y_test"):
        dgp.load(str(tmp_path / "bare.npz"))
    with pytest.raises(MissingFileError, match="there is no such file, and it is not wave, diabetes or keras"):
        dgp.load("waves")
    assert dgp.load("diabetes").x_train.shape[1] == 10
