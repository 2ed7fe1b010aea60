"""How a scale tensor is used in a graph: which family it samples from, by which estimator, and where the location is.

Nothing is guessed: a use that is not one of the known ones gives the reason why it cannot be pruned.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bprune.case.nodes import Nodes, node_of
from bprune.posterior.families import FAMILIES, Family
from bprune.posterior.storage import is_zeros, scalar_operand

__all__ = ["Usage", "scale_usage"]

_SHAPE_ONLY = frozenset({"BroadcastGradientArgs", "OnesLike", "Rank", "Shape", "ShapeN", "Size", "ZerosLike"})
_SAME_VALUES = frozenset(
    {"BroadcastTo", "Cast", "EnsureShape", "ExpandDims", "Identity", "Reshape", "Slice", "Split", "SplitV", "Squeeze"}
    | {"StopGradient", "StridedSlice", "Transpose"}
)
_WEIGHT_USES = frozenset(
    {"Add", "AddV2", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "BiasAdd", "BiasAddV1", "Conv2D", "Conv3D"}
    | {"Conv2DBackpropInput", "Conv3DBackpropInputV2", "DepthwiseConv2dNative", "Einsum", "MatMul", "Mul", "Sub"}
)
_STANDARD_NORMALS = frozenset({"RandomStandardNormal", "StatelessRandomNormal", "StatelessRandomNormalV2"})
_SUMS = frozenset({"Add", "AddV2"})


@dataclass(frozen=True)
class Usage:
    """One use of a scale tensor.

    Attributes:
        family: The family that is sampled; None when the use is not recognised.
        estimator: `Flipout`, `Reparameterization` or `LocalReparameterization`.
        loc: The location tensor; None where it enters the layer's output elsewhere (flipout, local
            reparameterization).
        sample: The node that holds the sampled weights; None with local reparameterization.
        noise: The nodes that draw this use's noise.
        reason: Why the use is not recognised.
    """

    family: Family | None
    estimator: str = ""
    loc: str | None = None
    sample: str | None = None
    noise: frozenset[str] = frozenset()
    reason: str = ""


def scale_usage(nodes: Nodes, site: str) -> list[Usage]:
    """All uses of a scale tensor, shapes aside."""
    usages = []
    for name in _consumers(nodes, site):
        node = nodes[name]
        operands = [node_of(item) for item in node.input]
        if node.op in _SAME_VALUES:
            usages.extend(scale_usage(nodes, name))
        elif node.op == "Square" or (node.op == "Mul" and operands == [site, site]):
            usages.append(_local(nodes, name))
        elif node.op == "Mul":
            other = operands[1] if operands[0] == site else operands[0]
            usages.append(_sampled(nodes, name, other))
        else:
            usages.append(Usage(None, reason=f"its scale is used by {node.op} ({name})"))
    return usages


def _consumers(nodes: Nodes, name: str) -> list[str]:
    return [user for user in nodes.consumers[name] if nodes[user].op not in _SHAPE_ONLY]


def _local(nodes: Nodes, squared: str) -> Usage:
    """scale^2 that goes through the layer's product and a square root, and is multiplied with noise there."""
    waiting, seen = [squared], {squared}
    while waiting and len(seen) < 12:
        name = waiting.pop(0)
        if nodes[name].op == "Sqrt":
            for user in _consumers(nodes, name):
                others = [node_of(item) for item in nodes[user].input if node_of(item) != name]
                if nodes[user].op == "Mul" and others and (noise := _standard_normal(nodes, others[0])):
                    return Usage(FAMILIES["Normal"], "LocalReparameterization", noise=frozenset({noise}))
        fresh = [user for user in _consumers(nodes, name) if user not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    return Usage(None, reason=f"its squared scale ({squared}) is used in an unknown way")


def _standard_normal(nodes: Nodes, name: str) -> str | None:
    """The node that draws, when a tensor is standard normal noise; else None."""
    while True:
        node = nodes[name]
        if node.op in _STANDARD_NORMALS:
            return name
        operand = scalar_operand(nodes, node)
        if node.op in _SAME_VALUES:
            name = nodes.inputs(name)[0]
        elif operand is not None and operand[0] == (1.0 if node.op == "Mul" else 0.0):
            name = node_of(operand[1])
        else:
            return None


def _sampled(nodes: Nodes, product: str, factor: str) -> Usage:
    noise = _standard_normal(nodes, factor)
    if noise is not None:
        return _normal(nodes, product, noise)
    if nodes[factor].op == "Sign":
        return _laplace(nodes, product, factor)
    return Usage(None, reason=f"its noise ({factor}, {nodes[factor].op}) is not of a known family")


def _normal(nodes: Nodes, product: str, noise: str) -> Usage:
    for name in _consumers(nodes, product):
        node = nodes[name]
        if node.op in _SUMS:
            loc = next((item for item in node.input if node_of(item) != product), None)
            if loc is not None:
                return _finish(nodes, "Normal", loc, name, frozenset({noise}))
    return Usage(None, reason=f"the noise {product} is not added to a location")


def _laplace(nodes: Nodes, product: str, sign: str) -> Usage:
    """loc - scale * sign(u) * log1p(-|u|), u uniform on (-1, 1): how TFP samples a Laplace distribution."""
    for middle in _consumers(nodes, product):
        if nodes[middle].op == "Mul" and any(nodes[item].op == "Log1p" for item in nodes.inputs(middle)):
            for name in _consumers(nodes, middle):
                node = nodes[name]
                if node.op == "Sub" and node_of(node.input[1]) == middle:
                    source = nodes.inputs(sign)[0]
                    noise = {item for item in nodes.ancestors([source]) if "RandomUniform" in nodes[item].op}
                    return _finish(nodes, "Laplace", node.input[0], name, frozenset(noise))
    return Usage(None, reason=f"{product} is signed noise, but not of a Laplace distribution")


def _finish(nodes: Nodes, family: str, loc: str, sample: str, noise: frozenset[str]) -> Usage:
    """Follow the sample to where it is used as a weight; a bijector on the way decides the family."""
    operations = set(_ends(nodes, sample))
    if operations == {"Exp"} and family == "Normal":
        family = "LogNormal"
        operations = {end for name in _named_ends(nodes, sample) for end in _ends(nodes, name)}
    strange = operations - _WEIGHT_USES
    if strange or not operations:
        return Usage(None, reason=f"its samples ({sample}) go through {', '.join(sorted(strange)) or 'nothing known'}")
    estimator = "Flipout" if is_zeros(nodes, loc) else "Reparameterization"
    return Usage(FAMILIES[family], estimator, None if estimator == "Flipout" else loc, sample, noise)


def _named_ends(nodes: Nodes, name: str) -> Iterator[str]:
    for user in _consumers(nodes, name):
        if nodes[user].op in _SAME_VALUES:
            yield from _named_ends(nodes, user)
        else:
            yield user


def _ends(nodes: Nodes, name: str) -> Iterator[str]:
    return (nodes[end].op for end in _named_ends(nodes, name))
