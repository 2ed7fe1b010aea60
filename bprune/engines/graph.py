"""The engine `graph`: run the rebuilt TensorFlow graph once per draw.

It is the oracle of the other engines and the way out for networks that cannot be lowered. The graph is foreign, so
it is bound to variables of our own here, filled from the checkpoint; its initialisers and its saver are not even
imported.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, BoolArray, FloatArray
from bprune.case.case import Case
from bprune.case.nodes import node_of
from bprune.case.output import Output
from bprune.case.subgraph import GraphVariable
from bprune.engines.base import Draws, Sampling
from bprune.engines.head import class_probabilities, predicted_values
from bprune.errors import EngineError, SelfCheckError, UnsupportedError
from bprune.posterior.posterior import Network
from bprune.posterior.values import pruned_values

__all__ = ["GraphEngine"]

_LARGEST_BATCH = 1 << 16
_MASK = "bprune_mask"
_MASKED = "bprune_masked"


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

    def __init__(self, case: Case, network: Network, masks: Mapping[str, BoolArray], seed: int) -> None:
        import tensorflow as tf

        self._kind = case.roles.kind
        values = case.checkpoint.read_all(variable.name for variable in case.graph.variables)
        values.update(pruned_values(network, masks, values))
        scale_masks = network.scale_masks(masks)
        graph_def = _seeded(_masked(case.graph.graph_def, scale_masks), seed)
        self._graph = tf.Graph()
        with self._graph.as_default():
            feeds: dict[Any, AnyArray] = {}
            input_map = {f"{item.name}:0": _variable(item, values[item.name], feeds) for item in case.graph.variables}
            for number, (site, mask) in enumerate(scale_masks.items()):
                kept = mask.astype(_numpy_dtype(case, site))
                input_map[f"{_MASK}_{number}:0"] = _own_variable(kept, feeds).value()
            names = [case.graph.input, *case.graph.outputs]
            input_map = {name: tensor for name, tensor in input_map.items() if _is_used(graph_def, name)}
            self._input, *self._outputs = _import(graph_def, input_map, names)
            initialise = tf.compat.v1.global_variables_initializer()
            self._example_bytes = _bytes_per_example(self._graph)
        self._graph.finalize()
        config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
        config.graph_options.rewrite_options.disable_meta_optimizer = True  # it aborts on some altered graphs
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        self._session.run(initialise, feeds)
        self._run = self._session.make_callable(self._outputs, feed_list=[self._input])
        self._batch_size: int | None = None
        self.output_size = self._count_outputs(case)

    def _count_outputs(self, case: Case) -> int:
        """The columns of a draw: one example of zeros is run, because a graph need not know its own shapes.

        A graph that was built for a batch size and takes no other (flipout draws signs for each example) is then run
        with batches of that size.
        """
        shape, batch_size = case.graph.input_shape, case.graph.batch_size
        if shape is None:
            raise UnsupportedError(
                f"the graph does not say which shape its input {case.roles.input!r} has",
                hint="Name an operation behind it that has a shape, such as a Reshape, with --input-op.",
            )
        probe = np.zeros([1, *(size or 1 for size in shape[1:])], case.graph.input_dtype)
        try:
            return int(self.draw(probe, range(1)).values.shape[2])
        except (EngineError, UnsupportedError):
            if batch_size is None or not 1 < batch_size <= _LARGEST_BATCH:
                raise
        self._batch_size = batch_size
        return int(self.draw(probe, range(1)).values.shape[2])

    def example_bytes(self) -> int:
        """The bytes of all tensors of one draw that grow with the number of examples, per example."""
        return self._example_bytes

    def draw(self, inputs: AnyArray, draws: range) -> Draws:
        """Run the graph once per draw; see `bprune.engines.base.Engine.draw`."""
        values: list[FloatArray] = []
        scales: list[FloatArray] = []
        for number in draws:
            output, *rest = self._evaluate(inputs)
            if self._kind is Output.PREDICTION:
                values.append(predicted_values(output, inputs.shape[0]))
                scales.extend(predicted_values(item, inputs.shape[0]) for item in rest)
            else:
                values.append(class_probabilities(output, inputs.shape[0], self._kind))
            if not all(np.isfinite(item[-1]).all() for item in (values, scales) if item):
                raise SelfCheckError(
                    f"draw {number} gives values that are not finite",
                    hint="Check the scaling of the inputs and that the training had converged.",
                )
        return Draws(np.stack(values), np.stack(scales) if scales else None)

    def _evaluate(self, inputs: AnyArray) -> list[AnyArray]:
        import tensorflow as tf

        if self._batch_size is not None and len(inputs) != self._batch_size:
            return self._evaluate_padded(inputs, self._batch_size)
        try:
            return [np.asarray(item, np.float32) for item in self._run(inputs)]
        except tf.errors.ResourceExhaustedError as error:
            raise EngineError(
                f"{inputs.shape[0]} examples at a time do not fit in memory", hint="Pass a smaller --batch-size."
            ) from error
        except (tf.errors.OpError, TypeError, ValueError) as error:
            reason = error.__context__ or error  # what came before TensorFlow added its graph's story
            raise EngineError(f"TensorFlow cannot run the graph: {str(reason).splitlines()[0]}") from error

    def _evaluate_padded(self, inputs: AnyArray, size: int) -> list[AnyArray]:
        """Run batches of the size that the graph was built for; the last one is filled up with zeros."""
        batches = []
        for start in range(0, len(inputs), size):
            block = inputs[start : start + size]
            padding = np.zeros((size - len(block), *block.shape[1:]), block.dtype)
            batches.append([item[: len(block)] for item in self._evaluate(np.concatenate([block, padding]))])
        return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def _masked(graph_def: Any, masks: Mapping[str, BoolArray]) -> Any:
    """Multiply the scale tensors with their masks: who used the tensor now uses the product."""
    import tensorflow as tf

    result = tf.compat.v1.GraphDef()
    result.CopyFrom(graph_def)
    numbers = {site: number for number, site in enumerate(masks)}
    dtypes: dict[str, int] = {}
    for node in result.node:
        if node.name in numbers:
            dtypes[node.name] = node.attr["T"].type
        for position, reference in enumerate(node.input):
            if node_of(reference) in numbers and not reference.startswith("^"):
                node.input[position] = f"{_MASKED}_{numbers[node_of(reference)]}"
    for site, number in numbers.items():
        shape = result.node.add(name=f"{_MASK}_{number}/shape", op="Shape", input=[site])
        shape.attr["T"].type = dtypes[site]
        shaped = result.node.add(
            name=f"{_MASK}_{number}/shaped", op="Reshape", input=[f"{_MASK}_{number}:0", f"{_MASK}_{number}/shape"]
        )
        shaped.attr["T"].type = dtypes[site]
        product = result.node.add(name=f"{_MASKED}_{number}", op="Mul", input=[site, f"{_MASK}_{number}/shaped"])
        product.attr["T"].type = dtypes[site]
    return result


def _numpy_dtype(case: Case, site: str) -> Any:
    import tensorflow as tf

    return tf.as_dtype(case.graph.nodes[site].attr["T"].type).as_numpy_dtype


def _seeded(graph_def: Any, seed: int) -> Any:
    """Give every random operation its own seed, made from the run's seed and the operation's name."""
    groups = [("", graph_def.node)] + [(item.signature.name, item.node_def) for item in graph_def.library.function]
    for where, nodes in groups:
        for node in nodes:
            if "seed" in node.attr and "seed2" in node.attr:
                node.attr["seed"].i = seed
                node.attr["seed2"].i = zlib.crc32(f"{where}/{node.name}".encode()) + 1
    return graph_def


def _own_variable(value: AnyArray, feeds: dict[Any, AnyArray]) -> Any:
    """A resource variable whose value is fed once, so that it is not stored in the graph."""
    import tensorflow as tf

    initial = tf.compat.v1.placeholder(value.dtype, value.shape, name=f"bprune_values/{len(feeds)}")
    feeds[initial] = value
    return tf.compat.v1.Variable(initial, trainable=False, use_resource=True, name=f"bprune_variables/{len(feeds)}")


def _variable(variable: GraphVariable, value: AnyArray, feeds: dict[Any, AnyArray]) -> Any:
    own = _own_variable(value, feeds)
    return own.handle if variable.is_resource else own.value()


def _is_used(graph_def: Any, tensor: str) -> bool:
    names = {tensor, tensor.removesuffix(":0")}
    return any(reference in names for node in graph_def.node for reference in node.input)


def _import(graph_def: Any, input_map: Mapping[str, Any], names: list[str]) -> list[Any]:
    import tensorflow as tf

    try:
        return list(tf.import_graph_def(graph_def, input_map=input_map, return_elements=names, name=""))
    except (ValueError, KeyError, TypeError, tf.errors.OpError) as error:
        raise UnsupportedError(
            f"TensorFlow {tf.__version__} cannot build this graph: {str(error).splitlines()[0]}",
            hint="The .meta file may be altered, or come from a newer TensorFlow.",
        ) from error


def _bytes_per_example(graph: Any) -> int:
    total = 0
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            if tensor.shape.rank and tensor.shape[0] is None:
                total += int(np.prod([size or 1 for size in tensor.shape[1:]])) * max(tensor.dtype.size or 1, 1)
    return max(total, 1)
