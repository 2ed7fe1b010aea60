"""What the weights of a network are multiplied with on data: the mean square of the input of every weight.

The program of the network, before anything is simplified, runs on the examples with all weights at their means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.case.case import Case
from bprune.engines.tensorflow.emit import emit
from bprune.errors import InputError, SelfCheckError
from bprune.lowering.ops import Conv, Dense, DepthwiseConv, Op
from bprune.lowering.program import Program, weights_of
from bprune.lowering.read import read_program
from bprune.lowering.weights import Weights
from bprune.posterior.families import FAMILIES
from bprune.posterior.posterior import Network
from bprune.posterior.recognise import read_network
from bprune.pruning.criteria import Activations

__all__ = ["DEFAULT_ACTIVATION_EXAMPLES", "measure_activations"]

DEFAULT_ACTIVATION_EXAMPLES = 256
"""How many examples are enough for second moments of activations."""

_BLOCK = 64  # examples that run together: all tensors of the network are held for so many


def measure_activations(case: Case, inputs: AnyArray, network: Network | None = None) -> Activations:
    """Measure E[x^2] of the input x of every weight.

    Args:
        case: The case.
        inputs: `[example, ...]`, as the network takes them; no labels are needed.
        network: Its posteriors; None reads them.

    Returns:
        By posterior name, of the weight's shape: the mean over examples, and in a convolution over all positions of its
        input channel; 1 for a bias, 0 for a weight that the output does not depend on. A layer that is called more than
        once has the mean over its calls.

    Raises:
        NotLoweredError: If the network cannot be lowered.
        InputError: If there is no example.
        SelfCheckError: If an activation is not finite.

    Example:
        >>> measure_activations(case, heldout.inputs[:256]).mean_square["den_1/kernel"]
    """
    network = network if network is not None else read_network(case)
    if not len(inputs):
        raise InputError("there is no example to measure activations on")
    program = read_program(case, network)
    weights = {op.name: _means(op) for op in program.ops}
    sums: dict[str, Float64Array] = {}
    for start in range(0, len(inputs), _BLOCK):
        block = inputs[start : start + _BLOCK]
        for name, value in _squares(program, weights, block).items():
            sums[name] = sums.get(name, 0.0) + value * (len(block) / len(inputs))
    found = {item.name: np.zeros(item.size) for item in network.posteriors}
    calls = {item.name: np.zeros(item.size) for item in network.posteriors}
    for op in program.ops:
        for field, item in weights_of(op).items():
            if item.stream is None or item.ids is None:
                continue
            squares = sums[op.name][:, None] if field == "kernel" else np.ones(1)
            np.add.at(found[item.stream.posterior], item.ids, np.broadcast_to(squares, item.shape))
            np.add.at(calls[item.stream.posterior], item.ids, 1.0)
    means = {
        item.name: (found[item.name] / np.maximum(calls[item.name], 1.0)).reshape(item.shape)
        for item in network.posteriors
    }
    return Activations(means, len(inputs))


def _means(op: Op) -> Mapping[str, Any]:
    """The weights of an operation at their means, by field, float32."""
    return {field: _mean(item) for field, item in weights_of(op).items()}


def _mean(weights: Weights) -> AnyArray:
    if weights.scale is None:
        return weights.loc
    mean = FAMILIES[weights.family].mean(weights.loc.astype(np.float64), weights.scale.astype(np.float64))
    return mean.astype(np.float32)


def _squares(program: Program, weights: Mapping[str, Mapping[str, Any]], inputs: AnyArray) -> dict[str, Float64Array]:
    """By operation with a sampled kernel, `[in]`: the mean square of its inputs."""
    tensors: dict[str, Any] = {program.input: inputs}
    found = {}
    for op in program.ops:
        tensors[op.name] = emit(op, [tensors[name] for name in op.inputs], weights[op.name])
        if isinstance(op, (Dense, Conv, DepthwiseConv)) and op.kernel.is_sampled:
            found[op.name] = _mean_square(op, np.asarray(tensors[op.inputs[0]], np.float64))
    return found


def _mean_square(op: Dense | Conv | DepthwiseConv, x: AnyArray) -> Float64Array:
    squares = np.square(x).reshape(-1, x.shape[-1]).mean(0)
    constant: AnyArray | None = getattr(op, "constant", None)
    if constant is not None:  # units that are the same for every example stand behind the others
        fixed = np.square(constant.astype(np.float64)).reshape(-1, constant.shape[-1]).mean(0)
        squares = np.concatenate([squares, fixed])
    if not np.isfinite(squares).all():
        raise SelfCheckError(
            f"the input of {op.layer or op.name} is not finite on this data", hint="Look at the data and its --scale."
        )
    return np.asarray(squares, np.float64)
