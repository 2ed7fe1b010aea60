"""Criteria on the command line: what they choose, what is recorded, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bprune.case import load_case
from bprune.cli import run
from bprune.engines import measure_activations
from bprune.posterior import read_network
from bprune.pruning import CRITERIA, Context, Prior, Rule, Scope, choose_masks, count_layers, count_total
from tests.commands.test_commands import run_json
from tests.networks import INPUTS


def test_prune_records_criterion_scope_and_prior(variational_case: Path, tmp_path: Path) -> None:
    content = run_json(
        *("prune", "--case-dir", variational_case, "--criterion", "bmr", "--prior-scale", "2", "--sparsity", "0.5"),
        *("--scope", "layer", "--no-infer", "--out", "out"),
        cwd=tmp_path,
    )
    record = json.loads((tmp_path / "out" / "pruning.json").read_text())
    for item in (content, record):
        assert (item["criterion"], item["scope"], item["sparsity_target"]) == ("bmr", "layer", 0.5)
        assert item["parameters"] == {"prior_loc": 0.0, "prior_scale": 2.0}
    network = read_network(load_case(variational_case))
    rule = Rule(None, 0.5, criterion=CRITERIA["bmr"], scope=Scope.LAYER, context=Context(Prior(0.0, 2.0)))
    counts = count_layers(network, choose_masks(network, rule))
    assert [item["nonzeros"] for item in content["layers"]] == [item.nonzeros for item in counts]
    assert run_json("inspect", "--case-dir", "out", cwd=tmp_path)["pruning"]["scope"] == "layer"


def test_activations_come_from_the_heldout_data(mixed_case: Path, tmp_path: Path) -> None:
    arguments = ("--criterion", "activation-moment", "--sparsity", "0.4", "--examples", "3")
    content = run_json("prune", "--case-dir", mixed_case, *arguments, "--no-infer", "--out", "out", cwd=tmp_path)
    assert content["parameters"] == {"activation_examples": 3}
    case = load_case(mixed_case)
    network = read_network(case)
    context = Context(activations=measure_activations(case, INPUTS[:3], network))
    masks = choose_masks(network, Rule(None, 0.4, criterion=CRITERIA["activation-moment"], context=context))
    found = read_network(load_case(tmp_path / "out")).masks
    assert all((found[name] == mask).all() for name, mask in masks.items())


def test_infer_prunes_on_the_fly(variational_case: Path, tmp_path: Path) -> None:
    arguments = ("--criterion", "inclusion", "--prior-inclusion", "0.4", "--mc-iters", "3", "--engine", "graph")
    content = run_json("infer", "--case-dir", variational_case, *arguments, "--allow-empty-layers", cwd=tmp_path)
    network = read_network(load_case(variational_case))
    rule = Rule(criterion=CRITERIA["inclusion"], context=Context(inclusion=0.4))
    total = count_total(network, choose_masks(network, rule))
    assert 0 < total.nonzeros < total.weights
    assert (content["nonzeros"], content["threshold"]) == (total.nonzeros, 0.5)


def test_inspect_shows_scores_and_information(variational_case: Path, tmp_path: Path) -> None:
    content = run_json("inspect", "--case-dir", variational_case, "--criterion", "bmr", cwd=tmp_path)
    network = read_network(load_case(variational_case))
    total = count_total(network, choose_masks(network, Rule(criterion=CRITERIA["bmr"])))
    assert content["total"]["below_threshold"] == pytest.approx(total.sparsity)
    assert content["threshold"] == 0.0
    bits = run_json("inspect", "--case-dir", variational_case, "--criterion", "kl-bits", cwd=tmp_path)
    assert bits["threshold"] is None
    assert bits["total"]["below_threshold"] is None
    assert bits["total"]["bits"] == pytest.approx(sum(item["bits"] for item in bits["layers"]))
    assert bits["total"]["bits"] > 0.0


def test_inspect_prints_what_the_score_is(mixed_case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", "--case-dir", str(mixed_case), "--criterion", "kl-bits"]) == 0
    printed = capsys.readouterr().out
    assert "score: kl-bits, bits with prior_loc 0, prior_scale 1" in printed
    assert "score median" in printed
    assert run(["inspect", "--case-dir", str(mixed_case), "--criterion", "group-snr", "--threshold", "1"]) == 0
    assert "score < 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prune", "--criterion", "kl-bits", "--sparsity", "0.5"], 2, "kl-bits is a report and no criterion to prune"),
        (["prune", "--criterion", "magnitude"], 2, "give either a threshold or a sparsity"),
        (["prune", "--prior-scale", "2"], 2, "the criterion snr does not use a prior"),
        (["prune", "--scope", "layer"], 2, "the scope layer goes with a sparsity"),
        (["prune", "--criterion", "bmr-reduced"], 2, "bmr-reduced needs the scale of the reduced prior"),
        (["prune", "--criterion", "bmr", "--prior-scale", "0"], 2, "the prior has the scale 0.0"),
        (["prune", "--criterion", "bmr", "--threshold", "nan"], 2, "the threshold is nan; it must be a number"),
        (["prune", "--criterion", "size"], 2, "'size' is not one of"),
        (["infer", "--prior-inclusion", "0.5"], 2, "the criterion snr does not use a prior inclusion"),
        (["verify", "--criterion", "magnitude"], 2, "give either a threshold or a sparsity"),
        (["inspect", "--data", "x.npz"], 2, "the criterion snr looks at no data"),
        (["inspect", "--threshold", "-1"], 2, "the threshold is -1.0; it must be a number of at least 0"),
        (["prune", "--criterion", "bmr", "--no-infer"], 4, "bmr does not score lognormal/kernel (LogNormal)"),
    ],
)
def test_what_does_not_go_together(
    mixed_case: Path, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    content = run_json(*arguments, "--case-dir", mixed_case, cwd=tmp_path, code=code)
    assert message in content["error"]["message"]
    assert list(tmp_path.iterdir()) == []
