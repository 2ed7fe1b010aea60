"""A model trained in one process reloads in another with no training code: every layer kind, form and writer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case import load_case
from bprune.engines.graph import GraphEngine
from bprune.posterior import read_network
from tests.laws import same_law

pytestmark = pytest.mark.slow

FORMS = ("sequential", "functional", "subclassed")
DRAWS = 600
WRITERS = ("callback", "hook", "write_case")
KINDS = {  # as the training script names it: the class that LayerNames.txt or the graph tells, parts, kernel shape
    "DenseFlipout": ("DenseFlipout", (6, 5)),
    "DenseReparameterization": ("DenseReparameterization", (6, 5)),
    "DenseLocalReparameterization": ("DenseLocalReparameterization", (6, 5)),
    "DenseVariational": ("DenseVariational", (6, 5)),
    "Convolution1DFlipout": ("Conv1DFlipout", (3, 2, 4)),
    "Convolution1DReparameterization": ("Conv1DReparameterization", (3, 2, 4)),
    "Convolution2DFlipout": ("Conv2DFlipout", (3, 3, 2, 4)),
    "Convolution2DReparameterization": ("Conv2DReparameterization", (3, 3, 2, 4)),
    "Convolution3DFlipout": ("Conv3DFlipout", (3, 3, 3, 2, 4)),
    "Convolution3DReparameterization": ("Conv3DReparameterization", (3, 3, 3, 2, 4)),
}


FEW_KINDS = ("DenseReparameterization", "DenseVariational", "Convolution2DFlipout")
ALL_KINDS = ("sequential-callback", "functional-hook", "subclassed-write_case")
"""Every form and every writer sees all kinds once; the other pairs of form and writer see a few."""

WORLDS = {
    f"{form}-{writer}": tuple(KINDS) if f"{form}-{writer}" in ALL_KINDS else FEW_KINDS
    for form in FORMS
    for writer in WRITERS
}


def in_world(name: str, *rest: str) -> Any:
    """Parameters of a test of a world; all of its tests run in one process."""
    return pytest.param(name, *rest, marks=pytest.mark.xdist_group(name))


@pytest.fixture(scope="module")
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The cases of one form and writer, trained in a process of their own."""
    folder = tmp_path_factory.mktemp("cases")
    script = Path(__file__).with_name("worlds.py")
    arguments = [str(folder), *request.param.split("-"), *WORLDS[request.param]]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, request.param


@pytest.mark.parametrize(
    ("trained", "kind"),
    [in_world(name, kind) for name, kinds in WORLDS.items() for kind in kinds],
    indirect=["trained"],
)
def test_reloads_with_the_same_law(trained: tuple[Path, str], kind: str) -> None:
    folder, name = trained
    case = load_case(folder / f"{kind}-{name}")
    network = read_network(case)
    reference = np.load(folder / f"{kind}-{name}.npz")

    kernels = [posterior for posterior in network.posteriors if posterior.part == "kernel"]
    assert (kernels[0].kind, kernels[0].shape) == KINDS[kind]
    assert kernels[1].kind == "DenseReparameterization"
    assert all(posterior.family.name == "Normal" for posterior in network.posteriors)
    assert network.unrecognised == ()

    engine = GraphEngine(case, network, network.masks, seed=5)
    probabilities = engine.draw(reference["x"], range(DRAWS)).values
    expected = np.exp(reference["logits"] - reference["logits"].max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    assert same_law(probabilities.reshape(DRAWS, -1), expected.reshape(DRAWS, -1))


@pytest.mark.parametrize("trained", [in_world(name) for name in WORLDS], indirect=True)
def test_a_wrong_scale_is_noticed(trained: tuple[Path, str]) -> None:
    """The negative control: the same comparison fails when every scale is 1.5 times too large."""
    folder, name = trained
    case = load_case(folder / f"DenseReparameterization-{name}")
    network = read_network(case)
    reference = np.load(folder / f"DenseReparameterization-{name}.npz")
    sites = {site for posterior in network.posteriors for site in posterior.sites}
    for node in case.graph.graph_def.node:  # the planted bug: the addition of TFP's epsilon becomes one of 0.2
        if node.name in sites:
            constant = next(item for item in case.graph.graph_def.node if item.name == node.input[0].split(":")[0])
            assert constant.op == "Const"
            constant.attr["value"].tensor.ClearField("tensor_content")
            constant.attr["value"].tensor.float_val[:] = [0.2]
    probabilities = GraphEngine(case, network, network.masks, seed=5).draw(reference["x"], range(DRAWS)).values
    expected = np.exp(reference["logits"] - reference["logits"].max(-1, keepdims=True))
    expected /= expected.sum(-1, keepdims=True)
    assert not same_law(probabilities.reshape(DRAWS, -1), expected.reshape(DRAWS, -1))
