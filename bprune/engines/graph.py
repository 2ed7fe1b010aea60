"""The engine `graph`: run the rebuilt TensorFlow graph once per draw.

It is the oracle of the other engines and the way out for networks that cannot be lowered.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bprune.arrays import AnyArray, BoolArray, FloatArray
from bprune.case.case import Case
from bprune.case.output import Output
from bprune.engines.base import MOST_DRAWS, Draws, Sampling
from bprune.engines.graph_session import GraphSession
from bprune.engines.head import check_finite, class_probabilities, predicted_values
from bprune.errors import EngineError, UnsupportedError
from bprune.posterior.posterior import Network
from bprune.posterior.values import pruned_values

__all__ = ["GraphEngine"]


class GraphEngine:
    """The rebuilt graph, ready to draw.

    Noise comes from the graph's own random operations, which continue from call to call: the same seed gives the same
    draws for the same sequence of calls.

    Args:
        case: The case.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name. A pruned weight is exactly 0 in every draw.
        seed: Seed of the noise, at least 0.

    Raises:
        UnsupportedError: If this TensorFlow cannot run the graph.
        DamagedFileError: If a variable cannot be read.
    """

    name = "graph"
    sampling = Sampling.AS_TRAINED
    block = 1
    most_draws = MOST_DRAWS

    def __init__(self, case: Case, network: Network, masks: Mapping[str, BoolArray], seed: int) -> None:
        self._kind = case.roles.kind
        values = case.checkpoint.read_all(variable.name for variable in case.graph.variables)
        values.update(pruned_values(network, masks, values))
        self._session = GraphSession(case, values, network.scale_masks(masks), seed)
        self.output_size = self._count_outputs(case)

    def _count_outputs(self, case: Case) -> int:
        """The columns of a draw: two examples of zeros are run, because a graph need not know its own shapes.

        A graph that was built for a batch size and takes no other (flipout draws signs for each example) is then run
        with batches of that size.
        """
        shape = case.graph.input_shape
        if shape is None:
            raise UnsupportedError(
                f"the graph does not say which shape its input {case.roles.input!r} has",
                hint="Name an operation behind it that has a shape, such as a Reshape, with --input-op.",
            )
        probe = np.zeros([2, *(size or 1 for size in shape[1:])], case.graph.input_dtype)
        try:
            return int(self.draw(probe, range(1)).values.shape[2])
        except (EngineError, UnsupportedError):
            if not self._session.use_stated_batch_size():
                raise
        return int(self.draw(probe, range(1)).values.shape[2])

    def prepare(self, examples: int) -> None:
        """Nothing: every call runs as many examples as it is given."""

    def example_bytes(self) -> int:
        """The bytes of all tensors of one draw that grow with the number of examples, per example."""
        return self._session.example_bytes

    def draw(self, inputs: AnyArray, draws: range, first: int = 0) -> Draws:
        """Run the graph once per draw; see `bprune.engines.base.Engine.draw`."""
        values: list[FloatArray] = []
        scales: list[FloatArray] = []
        for number in draws:
            output, *rest = self._session.evaluate(inputs)
            if self._kind is Output.PREDICTION:
                values.append(predicted_values(output, inputs.shape[0]))
                scales.extend(predicted_values(item, inputs.shape[0]) for item in rest)
            else:
                values.append(class_probabilities(output, inputs.shape[0], self._kind))
            check_finite(number, *(item[-1] for item in (values, scales) if item))
        return Draws(np.stack(values), np.stack(scales) if scales else None)
