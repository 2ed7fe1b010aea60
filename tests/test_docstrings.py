"""The examples in docstrings run as they stand, one after the other, in a folder with the bundled cases."""

from __future__ import annotations

import ast
import doctest
import importlib
import shutil
from pathlib import Path
from typing import Any

import pytest

import bprune
from bprune.engines.choose import prepare_engine
from bprune.engines.graph import GraphEngine
from bprune.inference.data import first_examples
from bprune.metrics import evaluate
from bprune.plots import snr_data, write_figure
from bprune.posterior import read_network
from bprune.pruning import Rule, choose_masks
from bprune.results.record import load_data
from tests.conftest import ROOT

PACKAGE = ROOT / "bprune"
ELSEWHERE = {
    "bprune.training.callback": "tests/test_readme.py trains a model with it",
    "bprune.training.custom": "tests/training calls it with every kind of model",
    "bprune.training.distribute.choose": "tests/training/distribute runs the same script in every mode",
    "bprune.inference.data.read": "its file is MNIST's",
    "bprune.report.write": "tests/report makes the same call",
    "bprune.judgement.largest": "tests/test_readme.py makes the same call",
}
"""Modules whose examples need more than a case, or time."""

SHORTER = {
    "mc_iters=400": "mc_iters=20",
    "sparsities=[0.9])": "sparsities=[0.9], rounds=1)",
    "sparsities=[0.5, 0.8])": "sparsities=[0.5, 0.8], mc_iters=10)",
}
"""What makes an example quick."""


def examples() -> dict[str, list[str]]:
    """The statements of every example, by module."""
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                parsed = doctest.DocTestParser().get_examples(ast.get_docstring(node) or "")
                found.setdefault(name, []).extend(item.source for item in parsed)
    return {name: sources for name, sources in found.items() if sources}


EXAMPLES = examples()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which examples find the files that they name."""
    work = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "sample_checkpoints", work / "sample_checkpoints")
    case = work / "sample_checkpoints" / "digits_conv"
    bprune.infer(case, out=work / "digits-results.h5", mc_iters=20).close()
    bprune.infer(case, out=work / "digits-80.h5", mc_iters=20, rule=Rule(sparsity=0.8)).close()
    return work


@pytest.fixture(scope="module")
def names(folder: Path) -> dict[str, Any]:
    """What examples take for granted: a small case, its posteriors and a few held-out examples."""
    case = bprune.load_case(folder / "sample_checkpoints" / "digits_fc")
    network, rule = read_network(case), Rule(sparsity=0.5)
    prepared = prepare_engine(case, network, network.masks, seed=0)
    engine = prepared.engine
    data = first_examples(load_data(case, engine, None), 24)
    with bprune.infer(case, data, folder / "first.h5", mc_iters=20) as results:
        predictions = results.predictions()
    return {
        "Path": Path,
        "bprune": bprune,
        "case": case,
        "GraphEngine": GraphEngine,
        "evaluate": evaluate,
        "snr_data": snr_data,
        "write_figure": write_figure,
        "data": data,
        "engine": engine,
        "heldout": data,
        "inputs": data.inputs,
        "labels": data.labels,
        "masks": choose_masks(network, rule),
        "network": network,
        "open_results": bprune.open_results,
        "predictions": predictions,
        "prepared": prepared,
        "rule": rule,
    }


def test_there_are_examples_to_run() -> None:
    assert set(ELSEWHERE) < set(EXAMPLES)
    public = {"load_case", "prune", "infer", "open_results", "sweep"}
    told = "\n".join(source for sources in EXAMPLES.values() for source in sources)
    assert all(f"{name}(" in told for name in public)
    assert len(EXAMPLES) >= 15


@pytest.mark.parametrize("module", sorted(set(EXAMPLES) - set(ELSEWHERE)))
def test_examples_run(module: str, folder: Path, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    globals_ = vars(importlib.import_module(module)) | names
    for source in EXAMPLES[module]:
        for whole, short in SHORTER.items():
            source = source.replace(whole, short)
        exec(compile(source, module, "single"), globals_)
