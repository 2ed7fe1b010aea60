"""Every script of `examples/` runs and writes a case that the commands understand."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from bprune import load_case
from tests.examples.command_line import run_example, run_json


class Script(NamedTuple):
    """A script with its arguments, and the case that it writes.

    Attributes:
        arguments: File name and command line, without `--short` and `--out`.
        layers: The Bayesian tensors with their kinds, as `bprune inspect` lists them.
        heldout: Shape of the held-out inputs.
        iterations: The training iterations of the checkpoints.
    """

    arguments: tuple[str, ...]
    layers: dict[str, str]
    heldout: tuple[int, ...]
    iterations: tuple[int, ...]


DENSE_FLIPOUT = {f"den_{number}/kernel": "DenseFlipout" for number in (1, 2, 3)}
SCRIPTS = {
    "digits_fc": Script(("digits.py", "--network", "fc"), DENSE_FLIPOUT, (360, 8, 8, 1), (15, 30)),
    "digits_conv": Script(
        ("digits.py", "--network", "conv"),
        {"conv_1/kernel": "Conv2DFlipout", "conv_2/kernel": "Conv2DFlipout", "den_1/kernel": "DenseFlipout"},
        (360, 8, 8, 1),
        (30,),
    ),
    "regression_1d": Script(
        ("regression.py",),
        {
            "den_1/kernel": "DenseReparameterization",
            "den_2/kernel": "DenseVariational",
            "den_2/bias": "DenseVariational",
            "den_3/kernel": "DenseFlipout",
        },
        (360, 1),
        (16,),
    ),
    "moons": Script(
        ("custom_loop.py",),
        {"den_1/kernel": "DenseFlipout", "den_2/kernel": "DenseReparameterization", "den_3/kernel": "DenseFlipout"},
        (200, 2),
        (100,),
    ),
    "mnist": Script(("mnist_session.py",), DENSE_FLIPOUT, (500, 784), (100,)),
}

HOROVOD = """
import os
import tensorflow as tf

def init(): pass
def is_initialized(): return True
def rank(): return int(os.environ["RANK"])
def size(): return 2
def DistributedOptimizer(optimizer): return optimizer

class BroadcastGlobalVariablesHook(tf.compat.v1.train.SessionRunHook):
    def __init__(self, root_rank): assert root_rank == 0
"""
"""What the script uses of Horovod, for one of two processes that train alone."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_writes_a_case(name: str, tmp_path: Path) -> None:
    script, out = SCRIPTS[name], tmp_path / name
    printed = run_example(*script.arguments, "--short", "--out", out)
    assert [line for line in printed if line.startswith("bprune")] == printed[-2:]
    assert printed[-2] == f"bprune inspect --case-dir {out}"
    assert printed[-1].startswith(f"bprune prune --case-dir {out}")
    case = load_case(out)
    assert tuple(item.number for item in case.files.iterations) == script.iterations
    content = run_json("inspect", "--case-dir", out)
    assert {f"{item['layer']}/{item['part']}": item["kind"] for item in content["layers"]} == script.layers
    assert content["input"]["shape"][1:] == list(script.heldout[1:])
    assert content["unpruned"] == []
    inferred = run_json("infer", "--case-dir", out, "--mc-iters", "2", "--out", tmp_path / "results.h5")
    assert inferred["examples"] == script.heldout[0]


@pytest.mark.parametrize("rank", [0, 1])
def test_only_the_first_horovod_process_writes(rank: int, tmp_path: Path) -> None:
    package = tmp_path / "fake" / "horovod"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "tensorflow.py").write_text(HOROVOD)
    out = tmp_path / "mnist"
    printed = run_example("mnist_session.py", "--short", "--out", out, PYTHONPATH=str(package.parent), RANK=str(rank))
    if rank == 0:
        assert load_case(out).files.iteration.number == 50  # half of the steps
        assert printed
    else:
        assert not out.exists()
        assert printed == []


@pytest.mark.shared_data
@pytest.mark.slow
def test_session_learns_mnist(shared_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "mnist"
    run_example("mnist_session.py", "--data", shared_data / "mnist.npz", "--steps", "300", "--out", out)
    inferred = run_json("infer", "--case-dir", out, "--mc-iters", "10", "--draws", "none", "--out", tmp_path / "r.h5")
    assert inferred["examples"] == 10_000
    assert inferred["metrics"]["accuracy"]["value"] > 0.85
