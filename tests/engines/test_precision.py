"""Which products stay in float32 when bfloat16 is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bprune.case.output import Output
from bprune.engines.tensorflow import Precision, TensorFlowEngine
from bprune.engines.tensorflow.precision import median_snr, wide_layers
from bprune.lowering.ops import Dense, Function
from bprune.lowering.program import Program, weights_of, with_weights
from bprune.lowering.weights import Weights
from tests.lowering.programs import Builder, examples


def two_layers(snr: float) -> Program:
    """A layer in which all weights have one signal-to-noise ratio, and a last one."""
    b = Builder(30, seed=3)
    hidden = b.dense("input", 40)
    program = b.build(b.dense(b.act(hidden), 3, ""))
    op = program.by_name[hidden]
    kernel = weights_of(op)["kernel"]
    sure = replace(kernel, scale=np.abs(kernel.loc) / np.float32(snr))
    return program.replaced([with_weights(item, {"kernel": sure}) if item is op else item for item in program.ops])


def test_the_median_is_of_the_weights_that_are_sampled() -> None:
    program = two_layers(10.0)
    kernel = weights_of(program.ops[0])["kernel"]
    assert np.isclose(median_snr(kernel), 10.0)
    pruned = np.zeros(kernel.shape, np.bool_)
    pruned[:20] = True
    assert np.isclose(median_snr(kernel.without(pruned)), 10.0)
    assert median_snr(Weights(kernel.loc)) == np.inf


def test_certain_layers_and_the_last_products_stay_wide() -> None:
    names = [op.name for op in two_layers(1.0).ops if isinstance(op, Dense)]
    assert wide_layers(two_layers(100.0)) == {names[1]}
    assert wide_layers(two_layers(200.0)) == set(names)


def test_the_last_product_of_every_output_is_found_behind_other_operations() -> None:
    b = Builder(5, 5, 2)
    x = b.act(b.conv("input", 4))
    mean = b.affine(b.reduce(b.conv(x, 2)), 2.0)
    scale = b.act(b.dense(b.flatten(x), 2))
    program = b.build(mean, scale)
    products = [op.name for op in program.ops if "kernel" in weights_of(op)]
    assert wide_layers(program) == set(products[1:])


def test_the_noise_of_certain_weights_survives() -> None:
    """At an SNR of 500, bfloat16 would round most of a weight's noise away; the spread of the draws must stay."""
    program = two_layers(500.0)
    inputs = examples(program, 20)
    spreads = [
        TensorFlowEngine(program, Output.PREDICTION, 1, precision).draw(inputs, range(60)).values.std(0)
        for precision in Precision
    ]
    np.testing.assert_allclose(spreads[0], spreads[1], rtol=1e-3)


def test_no_product_before_an_angle_is_narrow() -> None:
    """Angles of thousands: bfloat16 would round them to multiples of 16. What follows the last sine may be narrow."""
    b = Builder(30, seed=3)
    x = b.dense(b.affine("input", 1e3), 40)
    angles = b.dense(b.act(x), 40)
    waves = b.concat(b.act(angles, Function.COS), b.act(b.affine(angles, 2.0), Function.SIN))
    hidden = b.dense(waves, 20)
    program = b.build(b.dense(b.act(hidden), 3, ""))
    products = [op.name for op in program.ops if isinstance(op, Dense)]
    assert wide_layers(program) == {*products} - {hidden}
    inputs = examples(program, 20)
    wide, narrow = (
        TensorFlowEngine(program, Output.PREDICTION, 1, precision).draw(inputs, range(4)).values
        for precision in Precision
    )
    assert np.abs(wide - narrow).max() < 0.02 * np.abs(wide).max()
    assert np.ptp(wide, axis=1).max() > 0.2 * np.abs(wide).max(), "examples differ"
