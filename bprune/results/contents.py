"""What one results file will hold, decided before it is created: its variables, their axes, and the known values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.metrics.blocks import BLOCKS
from bprune.metrics.labels import class_labels, regression_targets
from bprune.results.layout import Variable, layout
from bprune.results.schema import SNR_QUANTILES, WIDENED, LayerRecord

__all__ = ["Contents", "plan_contents"]

_INPUT_DTYPES = frozenset({"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})
_METADATA_BYTES = 2**20


@dataclass(frozen=True)
class Contents:
    """The plan of a results file.

    Attributes:
        examples: Number of examples.
        groups: The variables of each group.
        coordinates: The coordinate values of each dimension.
        known: The values that do not depend on draws, by group and variable.
    """

    examples: int
    groups: Mapping[str, Mapping[str, Variable]]
    coordinates: Mapping[str, AnyArray]
    known: Mapping[tuple[str, str], AnyArray]

    def largest_bytes(self) -> int:
        """The file's size if nothing could be compressed."""
        return _METADATA_BYTES + sum(
            math.prod(len(self.coordinates[dim]) for dim in variable.dims) * np.dtype(variable.dtype).itemsize
            for variables in self.groups.values()
            for variable in variables.values()
        )


def plan_contents(
    layers: Sequence[LayerRecord],
    *,
    task: Task,
    inputs: AnyArray,
    labels: AnyArray | None,
    outputs: int,
    mc_iters: int,
    predicts_scale: bool,
    keep_draws: bool,
    members: int = 0,
) -> Contents:
    """Choose the variables of the schema that a file holds; see `ResultsWriter` for the arguments.

    `members` is the number of members of an ensemble, 0 for one network.

    Raises:
        InputError: If the inputs are empty or of a dtype that results files cannot hold, or labels do not fit.
        UsageError: If there is no layer, or two have the same name.
    """
    names = [layer.name for layer in layers]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"layers need at least one name, each once; these came: {names}")
    inputs = np.asarray(inputs)
    dtype = WIDENED.get(inputs.dtype.name, inputs.dtype.str[1:])
    if not inputs.ndim or not inputs.size or dtype not in _INPUT_DTYPES:
        raise InputError(
            f"inputs are {inputs.dtype} of the shape {inputs.shape}; "
            "numbers of the shape [example, ...] are needed, at least one"
        )
    groups = layout(task, inputs.ndim, dtype, is_ensemble=members > 0)
    known = {("constant_data", "x"): inputs}
    for name in groups["layers"]:
        known["layers", name] = np.array([getattr(layer, name) for layer in layers])
    if labels is None:
        del groups["observed_data"]
    elif task is Task.CLASSIFICATION:
        known["observed_data", "label"] = class_labels(labels, len(inputs), outputs)
    else:
        known["observed_data", "target"] = regression_targets(labels, len(inputs), outputs)
    if not predicts_scale:
        groups["posterior_predictive"].pop("scale", None)
    if not predicts_scale or labels is None:
        for group in ("summary", "blocks", "members"):
            groups.get(group, {}).pop("log_likelihood", None)
    if not keep_draws:
        del groups["posterior_predictive"]
    return Contents(len(inputs), groups, _coordinates(names, inputs.shape, outputs, mc_iters, max(members, 1)), known)


def _coordinates(
    names: Sequence[str], input_shape: Sequence[int], outputs: int, mc_iters: int, chains: int
) -> dict[str, AnyArray]:
    sizes = {"chain": chains, "draw": mc_iters, "example": input_shape[0], "class": outputs, "output": outputs}
    sizes["block"] = BLOCKS
    sizes |= {f"input_dim_{axis}": size for axis, size in enumerate(input_shape[1:])}
    coordinates: dict[str, AnyArray] = {dim: np.arange(size) for dim, size in sizes.items()}
    coordinates["layer"] = np.array(names, dtype=object)
    coordinates["quantile"] = np.array(SNR_QUANTILES)
    return coordinates
