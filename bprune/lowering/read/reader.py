"""Reading a case: what the walk starts from, and what its end has to be."""

from __future__ import annotations

from bprune.case.case import Case
from bprune.case.nodes import node_of
from bprune.errors import NotLoweredError
from bprune.lowering.program import Program, check_program
from bprune.lowering.read.builder import Builder
from bprune.lowering.read.context import Context, settled
from bprune.lowering.read.groups import groups_of
from bprune.lowering.read.interpreter import Interpreter
from bprune.lowering.read.sizes import Size
from bprune.lowering.read.values import Filled, RefusedError, Tensor, Unknown, Value
from bprune.lowering.shapes import Shape
from bprune.posterior.posterior import Network

__all__ = ["read_program"]

_COPIES = 32  # how often the elements of a variable may go through constant arithmetic
_HINT = "Run it as it is, with --engine graph."


def read_program(case: Case, network: Network) -> Program:
    """Turn the graph of a case into a program, with the weights that the checkpoint holds.

    Args:
        case: The case.
        network: Its posteriors.

    Returns:
        The program, operation by operation as the graph computes; nothing is simplified but what makes a layer.

    Raises:
        NotLoweredError: If something that the outputs need is not recognised; the message names it.
        DamagedFileError: If a value or constant cannot be read.
    """
    graph = case.graph
    source = node_of(graph.input)
    builder = Builder(source, _input_shape(case))
    examples = graph.batch_size or Size(1)
    owners = {name: layer.name for layer in case.layer_names.layers for name in layer.variables}
    context = Context(builder, examples, groups_of(network.posteriors), owners)
    values = case.checkpoint.read_all(variable.name for variable in graph.variables)
    context.allowance += _COPIES * sum(item.size for item in values.values())
    given: dict[str, Value] = {source: Tensor(source, (examples, *builder.shapes[source]))}
    found = Interpreter(graph.nodes, graph.graph_def.library, context, values).run(given, graph.outputs)
    try:
        outputs = _outputs(context, graph.outputs, [settled(item) for item in found])
        program = builder.finish(outputs)
    except RefusedError as refusal:
        raise NotLoweredError(str(refusal), hint=_HINT) from None
    check_program(program)
    return program


def _input_shape(case: Case) -> Shape:
    shape = case.graph.input_shape
    if shape is None:
        raise NotLoweredError(f"the graph does not say which shape its input {case.graph.input!r} has", hint=_HINT)
    sizes = [size for size in shape[1:] if size is not None]
    if len(sizes) != len(shape) - 1 or 0 in sizes:
        raise NotLoweredError(
            f"the graph leaves the size of its input open: {_text(shape)}; a program needs to know it", hint=_HINT
        )
    return Shape(sizes)


def _text(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"


def _outputs(context: Context, names: tuple[str, ...], found: list[Value]) -> tuple[str, ...]:
    """The program's tensors that hold the outputs.

    Raises:
        RefusedError: If one is not known, or does not begin with the example axis.
    """
    tensors = [item for item in found if isinstance(item, Tensor)]
    made = []
    for name, value in zip(names, found, strict=True):
        if isinstance(value, Unknown):
            raise RefusedError(value.reason)
        if isinstance(value, Filled) and tensors:
            value = context.fixed(node_of(name), value, tensors[0])
        if not isinstance(value, Tensor):
            raise RefusedError(f"the output {name!r} is not computed from the input alone")
        try:
            context.per_example(value)
        except RefusedError as refusal:
            raise RefusedError(f"the output {name!r} {refusal}") from None
        made.append(value.name)
    return tuple(made)
