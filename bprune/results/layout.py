"""The groups and variables of a results file: names, axes, dtypes, units.

Writer and reader both follow these tables, so that a variable is described once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bprune.case.task import Task

__all__ = ["Variable", "coordinate", "layout"]


@dataclass(frozen=True)
class Variable:
    """One variable of a group.

    Attributes:
        dims: The names of its axes.
        dtype: NumPy's letter and size, or "str" for UTF-8 strings.
        long_name: What it is, for people and plot axes.
        units: UDUNITS spelling; "1" for plain numbers.
    """

    dims: tuple[str, ...]
    dtype: str
    long_name: str
    units: str = "1"


_COORDINATES = {
    "chain": "chain of draws, one for each network",
    "draw": "MC iteration",
    "example": "position of the example in the input data",
    "block": "block of draws: draw number modulo 20, antithetic pairs counted as one",
    "class": "class number",
    "output": "output number",
    "layer": "layer name",
    "quantile": "probability of the quantile",
    "metric": "metric name",
    "point": "point of the sweep, by sparsity",
}


def coordinate(dim: str) -> Variable:
    """The variable that holds the coordinate values of a dimension."""
    dtype = {"layer": "str", "metric": "str", "quantile": "f8"}.get(dim, "i8")
    return Variable((dim,), dtype, _COORDINATES.get(dim, "position along " + dim.replace("_", " ")))


def layout(
    task: Task, input_rank: int, input_dtype: str = "f4", *, is_ensemble: bool = False
) -> dict[str, dict[str, Variable]]:
    """Every variable that a file of this task may hold, by group, in new dictionaries; coordinates apart.

    Args:
        task: Classification or regression.
        input_rank: Number of axes of the inputs, the example axis included.
        input_dtype: The inputs' dtype.
        is_ensemble: Whether it is of several networks, each with its chain of draws.
    """
    axes = ("example", *(f"input_dim_{axis}" for axis in range(input_rank - 1)))
    groups = {
        "posterior_predictive": dict(_DRAWS[task]),
        "summary": dict(_SUMMARY[task]),
        "blocks": dict(_BLOCKS[task]),
        "observed_data": dict(_OBSERVED[task]),
        "constant_data": {"x": Variable(axes, input_dtype, "inputs of the network")},
        "layers": dict(_LAYERS),
        "sample_stats": {"draws": Variable(("example",), "i8", "number of draws made")},
    }
    if is_ensemble:
        groups["blocks"] = _of_members(_BLOCKS[task])
        groups["members"] = _of_members({name: _SUMMARY[task][name] for name in _MEMBERS[task]})
        groups["split"] = dict(_SPLIT[task])
        groups["layers"]["member"] = Variable(("layer",), "i8", "the member of the ensemble that has this layer")
    return groups


def _of_members(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """The same of every member."""
    return {name: replace(item, dims=("chain", *item.dims)) for name, item in variables.items()}


_PER_CLASS = ("example", "class")
_PER_OUTPUT = ("example", "output")
_EXAMPLE = ("example",)
_BLOCK = ("example", "block")

_DRAWS = {
    Task.CLASSIFICATION: {
        "probabilities": Variable(("chain", "draw", *_PER_CLASS), "f4", "probability of each class in each draw"),
    },
    Task.REGRESSION: {
        "mean": Variable(("chain", "draw", *_PER_OUTPUT), "f4", "predictive mean of each draw"),
        "scale": Variable(("chain", "draw", *_PER_OUTPUT), "f4", "predictive standard deviation of each draw"),
    },
}
_SUMMARY = {
    Task.CLASSIFICATION: {
        "mean": Variable(_PER_CLASS, "f4", "mean probability over draws"),
        "stddev": Variable(_PER_CLASS, "f4", "standard deviation of the probability over draws"),
        "predictive_entropy": Variable(_EXAMPLE, "f4", "entropy of the mean probability", "nat"),
        "expected_entropy": Variable(_EXAMPLE, "f4", "mean entropy of the draws (aleatoric)", "nat"),
        "mutual_information": Variable(_EXAMPLE, "f4", "mutual information (epistemic)", "nat"),
        "mc_stderr": Variable(_PER_CLASS, "f4", "MC standard error of the mean probability"),
    },
    Task.REGRESSION: {
        "mean": Variable(_PER_OUTPUT, "f4", "predictive mean"),
        "stddev": Variable(_PER_OUTPUT, "f4", "total predictive standard deviation"),
        "aleatoric_stddev": Variable(_PER_OUTPUT, "f4", "standard deviation of the noise (aleatoric)"),
        "epistemic_stddev": Variable(_PER_OUTPUT, "f4", "standard deviation over draws (epistemic)"),
        "mc_stderr": Variable(_PER_OUTPUT, "f4", "MC standard error of the predictive mean"),
        "log_likelihood": Variable(_EXAMPLE, "f4", "log of the mean likelihood of the target over draws", "nat"),
    },
}
_BLOCKS = {
    Task.CLASSIFICATION: {
        "mean": Variable((*_BLOCK, "class"), "f4", "mean probability over the draws of a block"),
        "expected_entropy": Variable(_BLOCK, "f4", "mean entropy of the draws of a block", "nat"),
        "votes": Variable((*_BLOCK, "class"), "i4", "draws of a block that have this class as the most probable"),
    },
    Task.REGRESSION: {
        "mean": Variable((*_BLOCK, "output"), "f4", "predictive mean over the draws of a block"),
        "squares": Variable((*_BLOCK, "output"), "f4", "sum of squared deviations from the mean of a block"),
        "noise_variance": Variable((*_BLOCK, "output"), "f4", "mean variance of the noise over a block"),
        "log_likelihood": Variable(_BLOCK, "f4", "log of the mean likelihood over the draws of a block", "nat"),
    },
}
"""A group of its own, the fields `block_...` of a summary: HDF5 keeps more than eight links of a group in a structure
that does not survive damage, see tests/results/test_results_damaged.py."""

_MEMBERS = {
    Task.CLASSIFICATION: ("mean", "stddev", "predictive_entropy", "expected_entropy", "mc_stderr"),
    Task.REGRESSION: ("mean", "aleatoric_stddev", "epistemic_stddev", "mc_stderr", "log_likelihood"),
}
"""What a file keeps of each member's summary, in a group of no more than eight links; the rest follows from it."""

_SPLIT = {
    Task.CLASSIFICATION: {
        "within_members": Variable(_EXAMPLE, "f4", "mean mutual information of the members", "nat"),
        "between_members": Variable(_EXAMPLE, "f4", "mutual information between members and predictions", "nat"),
    },
    Task.REGRESSION: {
        "within_members": Variable(_PER_OUTPUT, "f4", "mean variance over draws of the members"),
        "between_members": Variable(_PER_OUTPUT, "f4", "variance over members of their predictive means"),
    },
}
"""They add up to the mutual information, or to the square of the epistemic standard deviation."""

_OBSERVED = {
    Task.CLASSIFICATION: {"label": Variable(_EXAMPLE, "i8", "true class number")},
    Task.REGRESSION: {"target": Variable(_PER_OUTPUT, "f4", "true value")},
}
_LAYERS = {
    "weights": Variable(("layer",), "i8", "number of prunable weights"),
    "nonzeros": Variable(("layer",), "i8", "number of weights kept"),
    "sparsity": Variable(("layer",), "f8", "fraction of the prunable weights that are pruned"),
    "snr_quantiles": Variable(("layer", "quantile"), "f8", "quantiles of the signal-to-noise ratio |loc|/scale"),
}
