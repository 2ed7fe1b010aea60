"""Laws 1, 2, 3 and 8 of pruning, as properties."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.case import load_case
from bprune.engines.graph import GraphEngine
from bprune.errors import UsageError
from bprune.posterior import Network, pruned_values, read_network
from bprune.pruning import (
    CRITERIA,
    Activations,
    Context,
    Rule,
    Scope,
    choose_masks,
    count_total,
    pooled_scores,
    prune,
    read_pruning_record,
)
from tests.networks import INPUTS

thresholds = st.floats(0.0, 60.0)
sparsities = st.floats(0.0, 1.0)


@pytest.fixture(scope="module", params=["mixed_case", "variational_case"])
def source(request: pytest.FixtureRequest) -> Path:
    """A case of every family, and one with packed variables."""
    path: Path = request.getfixturevalue(request.param)
    return path


@pytest.fixture(scope="module")
def network(source: Path) -> Network:
    """Its posteriors."""
    return read_network(load_case(source))


def test_law_1_threshold_0_is_the_identity(source: Path, tmp_path: Path) -> None:
    pruned = prune(source, tmp_path / "same", threshold=0.0)
    assert pruned.total.sparsity == 0.0
    before, after = (load_case(path).checkpoint.read_all() for path in (source, tmp_path / "same"))
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(value, after[name])


@given(thresholds, thresholds)
def test_law_2_masks_are_nested_in_the_threshold(network: Network, first: float, second: float) -> None:
    low, high = sorted((first, second))
    looser, tighter = (choose_masks(network, Rule(value)) for value in (low, high))
    for name, mask in tighter.items():
        assert np.all(looser[name][mask])


@given(sparsities, sparsities)
def test_law_2_masks_are_nested_in_the_sparsity(network: Network, first: float, second: float) -> None:
    low, high = sorted((first, second))
    looser, tighter = (choose_masks(network, Rule(None, value)) for value in (low, high))
    for name, mask in tighter.items():
        assert np.all(looser[name][mask])


@given(sparsities)
def test_sparsity_is_exact(network: Network, sparsity: float) -> None:
    total = count_total(network, choose_masks(network, Rule(None, sparsity)))
    assert total.weights - total.nonzeros == round(sparsity * total.weights)


@settings(deadline=None, max_examples=8)
@given(sparsity=st.floats(0.05, 0.8))
def test_law_3_saved_and_reloaded_is_the_same(
    source: Path, network: Network, tmp_path_factory: pytest.TempPathFactory, sparsity: float
) -> None:
    out = tmp_path_factory.mktemp("pruned") / "case"
    masks = choose_masks(network, Rule(None, sparsity))
    prune(source, out, sparsity=sparsity, allow_empty_layers=True)
    reloaded = read_network(load_case(out))
    for before, after in zip(network.posteriors, reloaded.posteriors, strict=True):
        np.testing.assert_array_equal(after.mask, masks[before.name])
        np.testing.assert_array_equal(after.loc[after.mask], before.loc[after.mask])
        np.testing.assert_array_equal(after.scale[after.mask], before.scale[after.mask])
        assert np.all(after.snr[~after.mask] == 0.0)


ORDERS = [name for name, criterion in CRITERIA.items() if not criterion.reported_only]
"""The criteria that are pruned by."""


def context_of(name: str, network: Network) -> Context:
    """What a criterion needs: activations that differ between inputs, and a reduced prior."""
    uses = CRITERIA[name].uses
    squares = {item.name: np.arange(1.0, item.size + 1.0).reshape(item.shape) % 7.0 for item in network.posteriors}
    return Context(
        reduced_scale=0.05 if "reduced_scale" in uses else None,
        activations=Activations(squares, 3) if "activations" in uses else None,
    )


@pytest.fixture(scope="module")
def normal_network(variational_case: Path) -> Network:
    """Posteriors of the Normal family, kernels and biases, which every criterion scores."""
    return read_network(load_case(variational_case))


@pytest.mark.parametrize("name", ORDERS)
def test_law_1_the_lowest_threshold_is_the_identity(normal_network: Network, name: str) -> None:
    """0 where no score is negative; -inf for decibels and free energies, whose 0 is a number like any other."""
    criterion, context = CRITERIA[name], context_of(name, normal_network)
    assert (criterion.lowest == 0.0) != (name in {"snr-db", "bmr", "bmr-reduced", "group-bmr"})
    for rule in (
        Rule(criterion.lowest, criterion=criterion, context=context),
        Rule(None, 0.0, criterion=criterion, context=context),
        Rule(None, 0.0, criterion=criterion, context=context, scope=Scope.LAYER),
    ):
        assert all(mask.all() for mask in choose_masks(normal_network, rule).values())


@pytest.mark.parametrize("name", ORDERS)
def test_law_2_for_every_criterion(normal_network: Network, name: str) -> None:
    criterion, context = CRITERIA[name], context_of(name, normal_network)
    scores = np.sort(pooled_scores(normal_network, criterion, context))
    ladders: list[list[Rule]] = [
        [Rule(float(value), criterion=criterion, context=context) for value in scores[:: len(scores) // 8]],
        *(
            [Rule(None, share, criterion=criterion, context=context, scope=scope) for share in np.linspace(0, 1, 14)]
            for scope in Scope
        ),
    ]
    for rules in ladders:
        found = [choose_masks(normal_network, rule) for rule in rules]
        sizes = [count_total(normal_network, masks).nonzeros for masks in found]
        assert sizes[0] > sizes[-1]
        for looser, tighter in itertools.pairwise(found):
            assert all(np.all(looser[item][mask]) for item, mask in tighter.items())


@pytest.mark.parametrize("name", ORDERS)
def test_law_3_for_every_criterion(variational_case: Path, normal_network: Network, tmp_path: Path, name: str) -> None:
    """Saved and reloaded, what was pruned is lowest, and pruning again by the lowest threshold changes nothing."""
    context = context_of(name, normal_network)
    rule = Rule(None, 0.5, criterion=CRITERIA[name], context=context)
    masks = choose_masks(normal_network, rule)
    assert 0.0 < count_total(normal_network, masks).sparsity <= 0.5
    prune(variational_case, tmp_path / "out", sparsity=0.5, criterion=name, context=context, allow_empty_layers=True)
    reloaded = read_network(load_case(tmp_path / "out"))
    for item in reloaded.posteriors:
        np.testing.assert_array_equal(item.mask, masks[item.name])
    again = choose_masks(reloaded, Rule(CRITERIA[name].lowest, criterion=CRITERIA[name], context=context))
    assert all(np.array_equal(again[item], mask) for item, mask in masks.items())
    record = read_pruning_record(tmp_path / "out" / "pruning.json")
    assert (record.criterion, record.scope, record.sparsity_target) == (name, "global", 0.5)
    assert record.parameters == rule.parameters()


def test_the_record_keeps_a_threshold_that_json_has_no_word_for(variational_case: Path, tmp_path: Path) -> None:
    prune(variational_case, tmp_path / "out", criterion="snr-db", threshold=-np.inf)
    assert read_pruning_record(tmp_path / "out" / "pruning.json").threshold == -np.inf


def test_pruning_again_keeps_what_was_pruned(source: Path, tmp_path: Path) -> None:
    prune(source, tmp_path / "half", sparsity=0.5, allow_empty_layers=True)
    again = prune(tmp_path / "half", tmp_path / "again", threshold=0.0, allow_empty_layers=True)
    assert again.total.nonzeros == again.total.weights - round(0.5 * again.total.weights)


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_law_8_the_source_is_never_written(source: Path, tmp_path: Path) -> None:
    from bprune import infer

    before = _digests(source)
    prune(source, tmp_path / "pruned", sparsity=0.5, allow_empty_layers=True)
    infer(source, out=tmp_path / "results.h5", mc_iters=3).close()
    assert _digests(source) == before


def test_pruned_weights_are_exactly_zero_in_every_draw(source: Path, network: Network) -> None:
    """All weights pruned: draws of every family and estimator are equal to the last bit."""
    nothing = {posterior.name: np.zeros(posterior.shape, np.bool_) for posterior in network.posteriors}
    draws = GraphEngine(load_case(source), network, nothing, seed=2).draw(INPUTS, range(5)).values
    assert np.max(np.ptp(draws, axis=0)) == 0.0


def test_zero_scale_alone_does_not_prune(source: Path, network: Network) -> None:
    """The predecessor's bug, planted: an untransformed scale of 0 gives the noisiest weight, and draws differ."""
    case = load_case(source)
    nothing = {posterior.name: np.zeros(posterior.shape, np.bool_) for posterior in network.posteriors}
    values = case.checkpoint.read_all()
    right = pruned_values(network, nothing, values)
    wrong = {name: np.where(value == -1e4, 0.0, value) for name, value in right.items()}
    scales = [
        item.transform.scale(item.stored_scale.take(wrong[item.stored_scale.variable])) for item in network.posteriors
    ]
    assert min(float(np.min(scale)) for scale in scales) > 0.5


def test_python_infers_with_any_rule(variational_case: Path, normal_network: Network, tmp_path: Path) -> None:
    from bprune import infer

    rule = Rule(None, 0.5, criterion=CRITERIA["bmr"], scope=Scope.LAYER)
    with infer(variational_case, out=tmp_path / "a.h5", mc_iters=2, engine="graph", rule=rule) as results:
        nonzeros = sum(layer.nonzeros for layer in results.layers)
        assert (results.run.criterion, results.run.threshold) == ("bmr", None)
    assert nonzeros == count_total(normal_network, choose_masks(normal_network, rule)).nonzeros
    with pytest.raises(UsageError, match="give either a threshold or a rule"):
        infer(variational_case, out=tmp_path / "b.h5", threshold=1.0, rule=rule)
    out = tmp_path / "identity"
    prune(variational_case, out, criterion="snr-db", threshold=-np.inf)
    with infer(out, out=tmp_path / "c.h5", mc_iters=2, engine="graph") as results:
        assert (results.run.criterion, results.run.threshold) == ("snr-db", None)
