"""Every criterion against the integral or the loop that defines it; a planted error must be found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from bprune.arrays import Float64Array
from bprune.commands.options import CRITERION_NAMES
from bprune.errors import SelfCheckError, UnsupportedError, UsageError
from bprune.posterior import Posterior
from bprune.pruning import (
    CRITERIA,
    Activations,
    Context,
    Criterion,
    Prior,
    Rule,
    Scope,
    choose_masks,
    pooled_scores,
    quantiles,
    score_weights,
)
from tests.pruning.score_worlds import LOC, SCALE, layer_of, posterior

PRIOR = Prior(0.3, 1.7)
LAWS = {"Normal": stats.norm, "Laplace": stats.laplace}


def scored(name: str, item: Posterior, context: Context | None = None) -> Float64Array:
    """The scores of one tensor."""
    return score_weights(layer_of(item), CRITERIA[name], context)[item.name]


def expected(family: str, function: Any) -> Float64Array:
    """E[function(w)] of every weight by numerical integration."""

    def one(loc: float, scale: float) -> float:
        law = LAWS[family](loc, scale)
        return sum(
            float(integrate.quad(lambda w: function(w) * law.pdf(w), low, high, epsabs=0.0, epsrel=1e-11)[0])
            for low, high in ((loc - 40 * scale, min(0.0, loc)), (min(0.0, loc), max(0.0, loc)), (max(0.0, loc), 45.0))
            if low < high
        )

    return np.vectorize(one)(LOC, SCALE)  # type: ignore[no-any-return]


def each(function: Any) -> Float64Array:
    """A function of a location and a scale, of every weight."""
    return np.vectorize(function)(LOC, SCALE)  # type: ignore[no-any-return]


def test_every_criterion_is_complete_and_named_by_the_command_line() -> None:
    assert tuple(CRITERIA) == CRITERION_NAMES
    for name, criterion in CRITERIA.items():
        assert criterion.name == name
        assert criterion.title
        assert criterion.unit
        assert type(criterion).__module__.rpartition(".")[2] == name.replace("-", "_")
        assert "Source: " in (__import__(type(criterion).__module__, fromlist=["x"]).__doc__ or "")
        assert bool(criterion.refusal) == (len(criterion.families) < 3)


@pytest.mark.parametrize("family", ["Normal", "Laplace"])
def test_moments(family: str) -> None:
    item, factor = posterior(family=family), 1.0 if family == "Normal" else math.sqrt(2.0)
    np.testing.assert_allclose(scored("snr", item), np.abs(LOC) / (factor * SCALE), rtol=1e-12)
    np.testing.assert_allclose(scored("mse", item), scored("snr", item))
    np.testing.assert_array_equal(scored("magnitude", item), np.abs(LOC))
    np.testing.assert_allclose(scored("signal-plus-noise", item), np.abs(LOC) + factor * SCALE, rtol=1e-12)
    np.testing.assert_allclose(scored("second-moment", item), expected(family, np.square), rtol=1e-8)
    np.testing.assert_allclose(scored("expected-magnitude", item), expected(family, np.abs), rtol=1e-8)
    decibels = scored("snr-db", item)
    assert decibels[0, 1] == -np.inf
    np.testing.assert_allclose(np.power(10.0, decibels / 20.0), scored("snr", item), rtol=1e-12)


def test_moments_of_a_lognormal() -> None:
    item, law = posterior(family="LogNormal"), stats.lognorm(SCALE, scale=np.exp(LOC))
    np.testing.assert_allclose(scored("magnitude", item), law.mean(), rtol=1e-12)
    np.testing.assert_allclose(scored("expected-magnitude", item), law.mean(), rtol=1e-12)
    np.testing.assert_allclose(scored("second-moment", item), law.moment(2), rtol=1e-9)


@pytest.mark.parametrize("family", ["Normal", "Laplace"])
def test_sign(family: str) -> None:
    item = posterior(family=family)
    right = each(lambda loc, scale: LAWS[family](abs(loc), scale).sf(0.0))
    np.testing.assert_allclose(scored("sign", item), right, rtol=1e-12)
    assert scored("sign", item)[0, 1] == 0.5
    ranked = score_weights(layer_of(item), CRITERIA["sign"], rank=True)[item.name]
    np.testing.assert_array_equal(np.argsort(ranked, axis=None), np.argsort(scored("snr", item), axis=None))


def test_large_signals_round_to_the_same_score_and_keep_their_order() -> None:
    item = posterior(np.array([90.0, 30.0, 60.0, 100.0]), np.ones(4))
    for name in ("sign", "inclusion"):
        assert np.all(scored(name, item) == 1.0)
        kept = choose_masks(layer_of(item), Rule(None, 0.5, criterion=CRITERIA[name]))[item.name]
        np.testing.assert_array_equal(kept, [True, False, False, True])


@pytest.mark.parametrize("family", ["Normal", "Laplace"])
def test_spike_evidence_is_the_savage_dickey_ratio(family: str) -> None:
    item, context = posterior(family=family), Context(PRIOR)
    ratio = each(lambda loc, scale: stats.norm(PRIOR.loc, PRIOR.scale).logpdf(0) - LAWS[family](loc, scale).logpdf(0))
    np.testing.assert_allclose(scored("bmr", item, context), ratio, rtol=1e-12, atol=1e-12)


def test_spike_evidence_is_an_snr_threshold_of_each_weight() -> None:
    kept = choose_masks(layer_of(posterior()), Rule(criterion=CRITERIA["bmr"]))["first/kernel"]
    np.testing.assert_array_equal(kept, np.abs(LOC) / SCALE >= np.sqrt(2.0 * np.log(1.0 / SCALE)))
    assert 0 < kept.sum() < kept.size


def _evidence(loc: float, scale: float, prior: Prior, reduced: float) -> float:
    """-ln E_q[p_reduced / p] by numerical integration, in logarithms about the largest value."""
    q, p, less = stats.norm(loc, scale), stats.norm(prior.loc, prior.scale), stats.norm(0.0, reduced)

    def log(w: Any) -> Any:
        return q.logpdf(w) + less.logpdf(w) - p.logpdf(w)

    grid = np.linspace(-8.0, 8.0, 400_001)
    values = log(grid)
    top = float(values.max())
    return -(top + math.log(integrate.simpson(np.exp(values - top), x=grid)))


@pytest.mark.parametrize("reduced", [0.5, 0.03])
def test_reduced_evidence_is_the_integral(reduced: float) -> None:
    found = scored("bmr-reduced", posterior(), Context(PRIOR, reduced_scale=reduced))
    truth = each(lambda loc, scale: _evidence(loc, scale, PRIOR, reduced))
    np.testing.assert_allclose(found, truth, rtol=1e-8, atol=1e-8)
    planted = found + 0.5 * np.log(reduced / PRIOR.scale) * 0.01  # one percent of one of its terms
    assert np.abs(planted - truth).max() > 1e-3


def test_a_narrow_reduced_prior_is_the_spike() -> None:
    narrow = scored("bmr-reduced", posterior(), Context(PRIOR, reduced_scale=1e-6))
    np.testing.assert_allclose(narrow, scored("bmr", posterior(), Context(PRIOR)), rtol=1e-5, atol=1e-5)


@given(
    loc=st.floats(-5.0, 5.0),
    scale=st.floats(1e-6, 0.9),
    prior_loc=st.floats(-2.0, 2.0),
    reduced=st.floats(1e-4, 0.99),
)
def test_reduced_evidence_is_that_of_the_textbook(loc: float, scale: float, prior_loc: float, reduced: float) -> None:
    """The form that is computed avoids the difference of large squares of the usual one."""
    item = posterior(np.array([loc]), np.array([scale]))
    found = float(scored("bmr-reduced", item, Context(Prior(prior_loc), reduced_scale=reduced))[0])
    full, less = 1.0 / scale**2, 1.0 / reduced**2
    precision = full + less - 1.0
    mean = (full * loc - prior_loc) / precision
    usual = 0.5 * (full * loc**2 - prior_loc**2 - precision * mean**2) - 0.5 * math.log(less * full / precision)
    assert math.isclose(found, usual, rel_tol=1e-6, abs_tol=1e-9 * max(1.0, full * loc**2, precision * mean**2))


@pytest.mark.parametrize("inclusion", [0.5, 0.02])
def test_inclusion_is_bayes_rule(inclusion: float) -> None:
    found = scored("inclusion", posterior(), Context(PRIOR, inclusion=inclusion))
    prior = stats.norm(PRIOR.loc, PRIOR.scale)
    factor = each(lambda loc, scale: prior.pdf(0.0) / stats.norm(loc, scale).pdf(0.0))  # evidence with over without
    with np.errstate(over="ignore"):
        truth = 1.0 / (1.0 + (1.0 - inclusion) / (inclusion * factor))
    np.testing.assert_allclose(found, truth, rtol=1e-12)


def test_half_inclusion_is_the_median_model() -> None:
    network = layer_of(posterior())
    half, spike = (choose_masks(network, Rule(criterion=CRITERIA[name])) for name in ("inclusion", "bmr"))
    np.testing.assert_array_equal(half["first/kernel"], spike["first/kernel"])


@pytest.mark.parametrize("family", ["Normal", "Laplace"])
def test_information_is_the_integral(family: str) -> None:
    prior = stats.norm(PRIOR.loc, PRIOR.scale)

    def one(loc: float, scale: float) -> float:
        q = LAWS[family](loc, scale)
        parts = [(loc - 40 * scale, loc), (loc, loc + 40 * scale)]
        return sum(
            float(integrate.quad(lambda w: q.pdf(w) * (q.logpdf(w) - prior.logpdf(w)) / math.log(2.0), low, high)[0])
            for low, high in parts
        )

    found = scored("kl-bits", posterior(family=family), Context(PRIOR))
    np.testing.assert_allclose(found, each(one), rtol=1e-7)


def test_information_of_the_prior_is_zero() -> None:
    assert scored("kl-bits", posterior(np.zeros(3), np.ones(3))).max() == 0.0


def test_activations_weigh_the_input() -> None:
    squares = np.array([[4.0], [0.0], [0.25]]) * np.ones(LOC.shape)
    context = Context(activations=Activations({"first/kernel": squares}, 5))
    np.testing.assert_allclose(
        scored("activation-magnitude", posterior(), context), [[2.0], [0.0], [0.5]] * np.abs(LOC), rtol=1e-12
    )
    moment = [[4.0], [0.0], [0.25]] * (LOC**2 + SCALE**2)
    np.testing.assert_allclose(scored("activation-moment", posterior(), context), moment, rtol=1e-12)


@pytest.mark.parametrize("known", [None, Activations({}, 1), Activations({"first/kernel": np.ones(3)}, 1)])
def test_unknown_activations_are_an_error(known: Activations | None) -> None:
    with pytest.raises(UsageError, match=r"activation-moment needs to know what the weights of first/kernel are mult"):
        scored("activation-moment", posterior(), Context(activations=known))


def _unit_loop(mask: Any, bias_loc: Any, bias_scale: Any) -> tuple[list[float], list[float]]:
    """SNR and evidence of every unit of the dense layer, weight by weight."""
    ratios, evidences = [], []
    for unit in range(LOC.shape[1]):
        signal = noise = evidence = 0.0
        weights = [(LOC[row, unit], SCALE[row, unit]) for row in range(LOC.shape[0]) if mask[row, unit]]
        for loc, scale in [*weights, (bias_loc[unit], bias_scale[unit])]:
            signal, noise = signal + float(loc**2), noise + float(scale**2)
            evidence += float(stats.norm(PRIOR.loc, PRIOR.scale).logpdf(0.0) - stats.norm(loc, scale).logpdf(0.0))
        ratios.append(math.sqrt(signal / noise))
        evidences.append(float(evidence))
    return ratios, evidences


def test_units_of_a_dense_layer_are_columns_and_take_their_bias_with_them() -> None:
    mask = np.ones(LOC.shape, np.bool_)
    mask[0, 3] = mask[2, 0] = False
    bias_loc, bias_scale = np.array([0.1, -0.2, 0.3, 1.0]), np.array([0.2, 0.3, 0.1, 0.4])
    network = layer_of(posterior(mask=mask), posterior(bias_loc, bias_scale, part="bias"), posterior(layer="last"))
    truth = _unit_loop(mask, bias_loc, bias_scale)
    for name, context, wanted in (("group-snr", Context(), truth[0]), ("group-bmr", Context(PRIOR), truth[1])):
        found = score_weights(network, CRITERIA[name], context)
        lowest = CRITERIA[name].lowest
        np.testing.assert_allclose(found["first/kernel"], np.where(mask, wanted, lowest), rtol=1e-12)
        np.testing.assert_allclose(found["first/bias"], wanted, rtol=1e-12)
        assert np.all(found["last/kernel"] == np.inf)


def test_units_of_convolutions_are_filters() -> None:
    generator = np.random.default_rng(1)
    loc, scale = generator.normal(size=(3, 2, 4, 5)), generator.uniform(0.1, 1.0, (3, 2, 4, 5))
    network = layer_of(posterior(loc, scale), posterior(layer="last"))
    found = score_weights(network, CRITERIA["group-snr"])["first/kernel"]
    for unit in range(5):
        ratio = math.sqrt(np.sum(loc[..., unit] ** 2) / np.sum(scale[..., unit] ** 2))
        np.testing.assert_allclose(found[..., unit], ratio, rtol=1e-12)
    network = layer_of(posterior(loc, scale, part="depthwise_kernel"), posterior(layer="last"))
    found = score_weights(network, CRITERIA["group-snr"])["first/depthwise_kernel"]
    for channel, unit in np.ndindex(4, 5):
        ratio = float(np.linalg.norm(loc[:, :, channel, unit]) / np.linalg.norm(scale[:, :, channel, unit]))
        np.testing.assert_allclose(found[:, :, channel, unit], ratio, rtol=1e-12)


@pytest.mark.parametrize("name", ["group-snr", "group-bmr"])
@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.61, 1.0])
def test_whole_units_go(name: str, scope: Scope, sparsity: float) -> None:
    generator = np.random.default_rng(2)
    shapes = {"one": (7, 5), "two": (5, 6), "last": (6, 2)}
    network = layer_of(
        *(posterior(generator.normal(size=s), generator.uniform(0.1, 1, s), layer=n) for n, s in shapes.items())
    )
    masks = choose_masks(network, Rule(None, sparsity, criterion=CRITERIA[name], scope=scope))
    last = masks["last/kernel"]
    assert last.all() != (sparsity == 1.0)  # outputs stay, unless everything is to go
    parts = [list(masks.values())] if scope is Scope.GLOBAL else [[masks["one/kernel"]], [masks["two/kernel"]]]
    for part in parts:
        assert all(np.all(mask.all(0) == mask.any(0)) for mask in part)
        size, pruned = sum(mask.size for mask in part), sum(int((~mask).sum()) for mask in part)
        assert 0 <= round(sparsity * size) - pruned < max(mask.shape[0] for mask in part)


@pytest.mark.parametrize("name", CRITERIA)
def test_pruned_weights_are_lowest_and_no_score_is_nan(name: str) -> None:
    criterion = CRITERIA[name]
    mask = np.ones(LOC.shape, np.bool_)
    mask[0] = mask[1:, 2] = False  # of the third unit nothing is left
    squares = {"first/kernel": np.ones(LOC.shape), "last/kernel": np.ones(LOC.shape)}
    activations = Activations(squares, 1) if "activations" in criterion.uses else None
    context = Context(reduced_scale=0.1 if "reduced_scale" in criterion.uses else None, activations=activations)
    network = layer_of(posterior(mask=mask), posterior(layer="last"))
    found = score_weights(network, criterion, context)["first/kernel"]
    assert not np.isnan(found).any()
    assert np.all(found[~mask] == criterion.lowest)
    assert found[mask].min() >= criterion.lowest


@pytest.mark.parametrize("name", ["sign", "bmr", "bmr-reduced", "inclusion", "group-bmr"])
def test_families_without_a_meaning_are_refused(name: str) -> None:
    criterion = CRITERIA[name]
    context = Context(reduced_scale=0.1) if name == "bmr-reduced" else Context()
    with pytest.raises(UnsupportedError, match=rf"{name} does not score first/kernel \(LogNormal\): .*\nChoose"):
        score_weights(layer_of(posterior(family="LogNormal")), criterion, context)


def test_outputs_alone_are_no_groups() -> None:
    with pytest.raises(UnsupportedError, match="group-snr scores hidden units, and the units of first, the only layer"):
        score_weights(layer_of(posterior()), CRITERIA["group-snr"])


def test_a_score_that_is_no_number_is_an_error() -> None:
    class Broken(Criterion):
        name, title, unit = "broken", "nothing", "none"

        def score(self, posterior: Posterior, context: Context) -> Float64Array:
            return np.full(posterior.shape, np.nan)

    with pytest.raises(SelfCheckError, match="the criterion broken gives no number for a weight of first/kernel"):
        score_weights(layer_of(posterior()), Broken())


def test_quantiles_of_infinite_scores() -> None:
    assert quantiles(np.array([-np.inf, -np.inf, 1.0, np.inf]), (0.0, 0.4, 0.7, 1.0)) == (-np.inf, -np.inf, 1.0, np.inf)
    assert math.isnan(quantiles(np.zeros(0), (0.5,))[0])
    assert quantiles(np.array([1.0, 2.0]), (0.5,)) == (1.5,)
    assert pooled_scores(layer_of(), CRITERIA["snr"]).size == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"prior": Prior(0.0, 1.0), "reduced_scale": 1.0},
            "reduced prior has the scale 1.0; it must be above 0 and",
        ),
        ({"reduced_scale": 0.0}, "the reduced prior has the scale 0.0"),
        ({"inclusion": 1.0}, "the prior inclusion is 1.0; it must be a probability between 0 and 1"),
    ],
)
def test_bad_contexts(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Context(**arguments)


@pytest.mark.parametrize(("loc", "scale"), [(math.nan, 1.0), (math.inf, 1.0), (0.0, 0.0), (0.0, math.nan)])
def test_bad_priors(loc: float, scale: float) -> None:
    with pytest.raises(UsageError, match="the prior has the (mean|scale) .*; it must be"):
        Prior(loc, scale)
