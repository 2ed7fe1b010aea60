"""Rules and masks: kept when equal, ties, layer thresholds, empty layers, messages."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from bprune.arrays import Float64Array
from bprune.case import load_case
from bprune.errors import InputError, TargetError, UsageError
from bprune.posterior import Network, read_network
from bprune.posterior.posterior import Posterior
from bprune.pruning import (
    CRITERIA,
    Context,
    Criterion,
    Prior,
    Rule,
    Scope,
    check_no_empty_layer,
    choose_masks,
    count_layers,
    find_criterion,
    find_scope,
)


@pytest.fixture(scope="module")
def network(mixed_case: Path) -> Network:
    """The posteriors of the mixed case."""
    return read_network(load_case(mixed_case))


def test_kept_when_equal(network: Network) -> None:
    snr = network.posteriors[0].snr
    value = float(np.sort(snr.reshape(-1))[10])
    mask = choose_masks(network, Rule(value))["flip/kernel"]
    assert mask[snr == value].all()
    assert mask.sum() == snr.size - 10


def test_layer_threshold_wins(network: Network) -> None:
    masks = choose_masks(network, Rule(0.0, layer_thresholds={"local": 2.0}))
    assert masks["flip/kernel"].all()
    local = next(item for item in network.posteriors if item.layer == "local")
    np.testing.assert_array_equal(masks["local/kernel"], local.snr >= 2.0)


def test_counts_are_those_of_the_mask(network: Network) -> None:
    masks = choose_masks(network, Rule(1.0))
    for counts in count_layers(network, masks):
        parts = [masks[item.name] for item in network.of_layer(counts.name)]
        assert counts.nonzeros == sum(int(mask.sum()) for mask in parts)
        assert counts.nonzero_parameters == 2 * counts.nonzeros
        assert counts.sparsity == 1.0 - counts.nonzeros / counts.weights


def test_unknown_layer_suggests_a_near_one(network: Network) -> None:
    with pytest.raises(InputError, match=r"no prunable layer 'lapalce'\nDid you mean laplace\? Prunable layers: fl"):
        choose_masks(network, Rule(1.0, layer_thresholds={"lapalce": 1.0}))


def test_emptied_layer_is_refused_with_thresholds_that_work(network: Network) -> None:
    rule = Rule(1e6)
    with pytest.raises(TargetError, match=r"leaves no weight in: flip/kernel \(largest snr .*\n.* 50 / 80 / 95 % "):
        check_no_empty_layer(network, choose_masks(network, rule), rule)


def test_an_empty_bias_is_no_empty_layer(network: Network) -> None:
    masks = {**network.masks, "lognormal/bias": np.zeros(5, np.bool_)}
    check_no_empty_layer(network, masks, Rule(1.0))


def test_the_largest_threshold_that_is_named_works(network: Network) -> None:
    rule = Rule(1e6)
    with pytest.raises(TargetError, match="every layer a weight") as caught:
        check_no_empty_layer(network, choose_masks(network, rule), rule)
    found = re.search(r"every layer a weight: ([0-9.e+-]+)\. ", str(caught.value))
    assert found
    largest = Rule(float(found[1]))
    check_no_empty_layer(network, choose_masks(network, largest), largest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"criterion": CRITERIA["magnitude"]}, "the criterion magnitude has no threshold of its own"),
        ({"threshold": -0.5, "criterion": CRITERIA["inclusion"]}, "must be a number of at least 0"),
        ({"criterion": CRITERIA["kl-bits"], "sparsity": 0.5}, "kl-bits is a report and no criterion to prune by"),
        (
            {"context": Context(Prior(0.0, 2.0))},
            "snr does not use a prior\nThese do: bmr, bmr-reduced, inclusion",
        ),
        ({"criterion": CRITERIA["bmr"], "context": Context(inclusion=0.1)}, "bmr does not use a prior inclusion"),
        ({"criterion": CRITERIA["bmr-reduced"]}, "bmr-reduced needs the scale of the reduced prior"),
        ({"threshold": 1.0, "scope": Scope.LAYER}, "the scope layer goes with a sparsity"),
        ({"threshold": 1.0, "sparsity": 0.5}, "either a threshold or a sparsity"),
        ({"threshold": -1.0}, r"the threshold is -1.0; it must be a number of at least 0"),
        ({"threshold": float("nan")}, "the threshold is nan"),
        ({"threshold": None, "sparsity": 1.5}, "the sparsity 1.5 is not a fraction between 0 and 1"),
        ({"threshold": 1.0, "layer_thresholds": {"a": -2.0}}, "the threshold of a is -2.0"),
        ({"threshold": None, "sparsity": 0.5, "layer_thresholds": {"a": 2.0}}, "do not go with a sparsity"),
    ],
)
def test_bad_rules(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Rule(**arguments)  # type: ignore[arg-type]


def test_ties_go_by_original_index(network: Network) -> None:
    """Weights of the same score are pruned from the front, so that a run can be repeated anywhere."""

    class Constant(Criterion):
        name, title, unit = "constant", "nothing", "none"

        def score(self, posterior: Posterior, context: Context) -> Float64Array:
            return np.ones(posterior.shape)

    masks = choose_masks(network, Rule(None, 0.25, criterion=Constant()))
    flat = np.concatenate([masks[item.name].reshape(-1) for item in network.posteriors])
    pruned = round(0.25 * flat.size)
    assert not flat[:pruned].any()
    assert flat[pruned:].all()


def test_names_of_criteria_and_scopes() -> None:
    assert find_criterion("bmr") is CRITERIA["bmr"]
    with pytest.raises(UsageError, match=r"there is no criterion 'magnitud'\nDid you mean magnitude\? Criteria: snr, "):
        find_criterion("magnitud")
    assert find_scope("layer") is Scope.LAYER
    with pytest.raises(UsageError, match="there is no scope 'weight'; allowed are global, layer"):
        find_scope("weight")


def test_a_sparsity_of_every_layer(network: Network) -> None:
    masks = choose_masks(network, Rule(None, 0.4, scope=Scope.LAYER))
    for counts in count_layers(network, masks):
        assert counts.weights - counts.nonzeros == round(0.4 * counts.weights)
    for posterior in network.posteriors:
        if len(network.of_layer(posterior.layer)) == 1:
            kept = masks[posterior.name]
            assert posterior.snr[kept].min() >= posterior.snr[~kept].max()


def test_an_emptied_layer_by_a_sparsity_of_every_layer(network: Network) -> None:
    rule = Rule(None, 1.0, scope=Scope.LAYER)
    with pytest.raises(TargetError, match=r"the weights of every layer .* leaves no weight in: flip.*\nAsk for"):
        check_no_empty_layer(network, choose_masks(network, rule), rule)
