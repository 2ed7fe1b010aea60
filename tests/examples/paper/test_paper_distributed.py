"""The paper's networks on two processes, and what all commands make of the cases."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.examples.command_line import ROOT, run_json
from tests.examples.paper.tiny_data import write_npz
from tests.training.distribute.jobs import cluster_command, mpi_command

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distribute")]
SCRIPT = ROOT / "tests" / "examples" / "paper" / "narrow_train.py"
POSTERIORS = {"bnn_fc": 3, "bnn_conv": 3, "vgg16": 11, "resnet18": 14}


@pytest.mark.parametrize(("mode", "models"), [("mpi", ("bnn_conv", "vgg16")), ("multiworker", ("bnn_fc", "resnet18"))])
def test_networks_of_two_processes_go_through_all_commands(mode: str, models: tuple[str, ...], tmp_path: Path) -> None:
    write_npz(tmp_path / "grey.npz")
    write_npz(tmp_path / "colour.npz", colour=True)
    command = [str(SCRIPT), mode, str(tmp_path), *models]
    if mode == "mpi":
        jobs = [mpi_command(tmp_path, command)]
    else:
        jobs = cluster_command(tmp_path, command, ("worker", "worker"))
    assert {job.code for job in jobs} == {0}, jobs[0].errors[-3000:]
    for model in models:
        case, pruned = tmp_path / model, tmp_path / f"{model}-pruned"
        header = json.loads((case / "training.json").read_text(encoding="utf-8"))
        assert header.items() >= {"distribute": mode, "workers": 2, "batch": 2}.items()
        with open(case / "training.csv", newline="", encoding="utf-8") as stream:
            assert [(row["steps"], row["samples"]) for row in csv.DictReader(stream)] == [("2", "8")]
        content = run_json("inspect", "--case-dir", case)
        assert len(content["layers"]) == POSTERIORS[model]
        run_json("prune", "--case-dir", case, "--sparsity", "0.5", "--no-infer", "--out", pruned)
        quick = ("--case-dir", pruned, "--engine", "tensorflow")
        assert run_json("infer", *quick, "--mc-iters", "2", "--out", tmp_path / f"{model}.h5")["examples"] == 4
        if model.startswith("bnn"):
            assert run_json("verify", *quick, "--mc-iters", "100", "--examples", "1")["holds"]
