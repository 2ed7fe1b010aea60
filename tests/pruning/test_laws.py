"""Laws 1, 2, 3 and 8 of pruning, as properties."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.case import load_case
from bprune.engines.graph import GraphEngine
from bprune.posterior import Network, pruned_values, read_network
from bprune.pruning import Rule, choose_masks, count_total, prune
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
