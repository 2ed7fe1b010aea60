"""The rebuilt graph of a case, bound to variables of our own and ready to run.

The graph is foreign: its initialisers and its saver are not even imported, and its variables are filled from the
checkpoint by us.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.case.case import Case
from bprune.case.nodes import node_of
from bprune.case.subgraph import GraphVariable
from bprune.errors import EngineError, UnsupportedError

__all__ = ["GraphSession"]

_LARGEST_BATCH = 1 << 16
_MASK = "bprune_mask"
_MASKED = "bprune_masked"


class GraphSession:
    """The inference sub-graph of a case in a TensorFlow session.

    Noise comes from the graph's own random operations, which continue from call to call: the same seed gives the same
    numbers for the same sequence of calls.

    Args:
        case: The case.
        values: The values of its variables, by name.
        scale_masks: By the name of a scale tensor, flat: False where the scale is 0 in every draw.
        seed: Seed of the noise, at least 0.

    Attributes:
        example_bytes: The bytes of all tensors that grow with the number of examples, per example.

    Raises:
        UnsupportedError: If this TensorFlow cannot run the graph.
    """

    def __init__(
        self, case: Case, values: Mapping[str, AnyArray], scale_masks: Mapping[str, BoolArray], seed: int
    ) -> None:
        import tensorflow as tf

        graph_def = _seeded(_masked(case.graph.graph_def, scale_masks), seed)
        graph = tf.Graph()
        with graph.as_default():
            feeds: dict[Any, AnyArray] = {}
            input_map = {f"{item.name}:0": _variable(item, values[item.name], feeds) for item in case.graph.variables}
            for number, (site, mask) in enumerate(scale_masks.items()):
                kept = mask.astype(_numpy_dtype(case, site))
                input_map[f"{_MASK}_{number}:0"] = _own_variable(kept, feeds).value()
            names = [case.graph.input, *case.graph.outputs]
            input_map = {name: tensor for name, tensor in input_map.items() if _is_used(graph_def, name)}
            source, *outputs = _import(graph_def, input_map, names)
            initialise = tf.compat.v1.global_variables_initializer()
            self.example_bytes = _bytes_per_example(graph)
        graph.finalize()
        config = tf.compat.v1.ConfigProto(allow_soft_placement=True)
        config.graph_options.rewrite_options.disable_meta_optimizer = True  # it aborts on some altered graphs
        self._session = tf.compat.v1.Session(graph=graph, config=config)
        self._session.run(initialise, feeds)
        self._run = self._session.make_callable(outputs, feed_list=[source])
        self._stated = case.graph.batch_size
        self._batch_size: int | None = None

    def use_stated_batch_size(self) -> bool:
        """From now on run batches of the size that the graph was built for: some take no other.

        Returns:
            Whether the graph states one.
        """
        if self._stated is None or not 1 <= self._stated <= _LARGEST_BATCH:
            return False
        self._batch_size = self._stated
        return True

    def evaluate(self, inputs: AnyArray) -> list[AnyArray]:
        """The outputs of one draw, float32.

        Args:
            inputs: `[example, ...]`.

        Raises:
            EngineError: If the graph cannot be run.
        """
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
            batches.append([item[: len(block)] for item in self.evaluate(np.concatenate([block, padding]))])
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
