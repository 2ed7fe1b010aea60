"""From a case to the posteriors of its weights: read the graph, then the values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bprune.arrays import AnyArray
from bprune.case.case import Case
from bprune.case.names import LayerNote
from bprune.case.nodes import Nodes, node_of
from bprune.case.roles import RANDOM_OPERATIONS
from bprune.case.subgraph import GraphVariable
from bprune.errors import DamagedFileError
from bprune.posterior.families import Family
from bprune.posterior.posterior import Network, Posterior, Stored, Unrecognised
from bprune.posterior.storage import affine_of_variable, scalar_operand, stored_tensor
from bprune.posterior.transform import ScaleTransform
from bprune.posterior.usage import Usage, scale_usage

__all__ = ["Site", "find_sites", "read_network"]

_SCALE_SUFFIX = "_untransformed_scale"
_FORM = "a form that is not recognised; the layer is run as it is and not pruned"


@dataclass(frozen=True)
class Site:
    """A recognised posterior in the graph, before its values are read.

    Attributes:
        loc: Where the location is stored.
        scale: Where the untransformed scale is stored.
        transform: How the untransformed scale becomes a standard deviation.
        family: The family.
        estimator: How the layer samples.
        tensors: The graph's tensors that hold the scale.
        sample: A node that holds the sampled weights, or None.
    """

    loc: Stored
    scale: Stored
    transform: ScaleTransform
    family: Family
    estimator: str
    tensors: tuple[str, ...]
    sample: str | None


def read_network(case: Case) -> Network:
    """Read the posteriors of a case.

    Returns:
        The posteriors in the order of LayerNames.txt, and what could not be recognised.

    Raises:
        DamagedFileError: If a value cannot be read or is not finite.
    """
    sites, unrecognised = find_sites(case)
    names = {site.loc.variable for site in sites} | {site.scale.variable for site in sites}
    values = case.checkpoint.read_all(sorted(names))
    order = {name: position for position, name in enumerate(case.layer_names.variables)}
    posteriors = [posterior for site in sites for posterior in _posteriors(case, site, values)]
    posteriors.sort(key=lambda item: (order.get(item.stored_loc.variable, len(order)), item.stored_loc.start))
    return Network(tuple(posteriors), tuple(unrecognised))


def find_sites(case: Case) -> tuple[list[Site], list[Unrecognised]]:
    """Find the posteriors in a case's graph; no value is read.

    Raises:
        DamagedFileError: If operations follow each other in a chain that is deeper than any network's.
    """
    try:
        return _find_sites(case)
    except RecursionError:
        raise DamagedFileError("the graph's operations follow each other in an endless-looking chain") from None


def _find_sites(case: Case) -> tuple[list[Site], list[Unrecognised]]:
    nodes = case.graph.nodes
    variables = {variable.name: variable for variable in _with_shapes(case)}
    groups: dict[Stored, list[tuple[ScaleTransform, str]]] = {}
    for node in nodes:
        if node.op == "Softplus":
            found = affine_of_variable(nodes, variables, node.input[0])
            if found is not None:
                groups.setdefault(found[0], []).extend(_scale_tensors(nodes, node.name, found[1]))
    sites: list[Site] = []
    unrecognised: list[Unrecognised] = []
    covered: set[str] = set()
    for stored, tensors in groups.items():
        usages = [usage for _, name in tensors for usage in scale_usage(nodes, name)]
        if not usages:
            continue
        site = _site(nodes, variables, stored, tensors, usages)
        if isinstance(site, Site):
            sites.append(site)
            covered.update(name for usage in usages for name in usage.noise)
        elif site:
            unrecognised.append(Unrecognised(stored.variable, site))
    unrecognised += _uncovered(case, nodes, covered, sites, unrecognised)
    return sites, unrecognised


def _with_shapes(case: Case) -> list[GraphVariable]:
    entries = case.checkpoint.entries
    return [
        GraphVariable(variable.name, entries[variable.name].shape, variable.dtype, variable.is_resource)
        for variable in case.graph.variables
    ]


def _scale_tensors(nodes: Nodes, softplus: str, transform: ScaleTransform) -> list[tuple[ScaleTransform, str]]:
    """The tensors `floor + softplus(..)`; softplus itself where nothing is added."""
    found = []
    for name in nodes.consumers[softplus]:
        operand = scalar_operand(nodes, nodes[name])
        if operand is not None and nodes[name].op in {"Add", "AddV2"} and node_of(operand[1]) == softplus:
            found.append((ScaleTransform(operand[0], transform.gain, transform.shift), name))
        else:
            return [(transform, softplus)]
    return found


def _site(
    nodes: Nodes,
    variables: dict[str, GraphVariable],
    stored: Stored,
    tensors: list[tuple[ScaleTransform, str]],
    usages: list[Usage],
) -> Site | str:
    """The site, or the reason why there is none; an empty reason when the variable samples nothing."""
    reasons = [usage.reason for usage in usages if usage.family is None]
    if reasons:
        return reasons[0] if any(usage.family for usage in usages) or _SCALE_SUFFIX in stored.variable else ""
    families = {usage.family.name: usage.family for usage in usages if usage.family is not None}
    transforms = {transform for transform, _ in tensors}
    if len(families) != 1 or len(transforms) != 1:
        return "it is used as several different posteriors"
    transform = transforms.pop()
    if not transform.reaches_zero:
        return f"its scale, {transform}, cannot be driven to its floor by a stored value"
    loc = _location(nodes, variables, stored, usages)
    if isinstance(loc, str):
        return loc
    sample = next((usage.sample for usage in usages if usage.sample), None)
    return Site(
        loc=loc,
        scale=stored,
        transform=transform,
        family=families.popitem()[1],
        estimator=usages[0].estimator,
        tensors=tuple(dict.fromkeys(name for _, name in tensors)),
        sample=sample,
    )


def _location(nodes: Nodes, variables: dict[str, GraphVariable], stored: Stored, usages: list[Usage]) -> Stored | str:
    """The location that the graph adds to the noise; where it is added elsewhere, the variable named like the scale."""
    tensors = {usage.loc for usage in usages if usage.loc is not None}
    found = {stored_tensor(nodes, variables, tensor) for tensor in tensors}
    if not found:
        name = stored.variable.removesuffix(_SCALE_SUFFIX) + "_loc"
        variable = variables.get(name)
        if not stored.variable.endswith(_SCALE_SUFFIX) or variable is None:
            return f"its location is not to be found ({name} does not exist)"
        found = {Stored(name, 0, int(np.prod(variable.shape or (), dtype=np.int64)))}
    loc = found.pop()
    if found or loc is None:
        return "its location is not a variable"
    if loc.stop - loc.start != stored.stop - stored.start:
        return "its location and its scale differ in size"
    return loc


def _posteriors(case: Case, site: Site, values: Mapping[str, AnyArray]) -> list[Posterior]:
    note = _note(case, site.scale.variable)
    split = _packed_parts(case.graph.nodes, site)
    if split is None:
        stem = _stem(site.scale.variable)
        shape = case.checkpoint.entries[site.loc.variable].shape
        whole = site.loc.stop - site.loc.start == int(np.prod(shape, dtype=np.int64))
        split = [(stem, shape if whole else (site.loc.stop - site.loc.start,))]
    found, offset = [], 0
    for part, shape in split:
        size = int(np.prod(shape, dtype=np.int64))
        stored_loc = Stored(site.loc.variable, site.loc.start + offset, site.loc.start + offset + size)
        stored_scale = Stored(site.scale.variable, site.scale.start + offset, site.scale.start + offset + size)
        loc = stored_loc.take(values[site.loc.variable]).reshape(shape)
        untransformed = stored_scale.take(values[site.scale.variable]).reshape(shape)
        pruned_loc = np.asarray(site.family.pruned_loc, loc.dtype)
        pruned_scale = np.asarray(site.transform.pruned, untransformed.dtype)
        found.append(
            Posterior(
                layer=note.name,
                part=part,
                kind=note.kind if note.kind != "unknown" else _kind(site, shape),
                family=site.family,
                loc=loc,
                scale=site.transform.scale(untransformed),
                mask=np.asarray(~((loc == pruned_loc) & (untransformed == pruned_scale))),
                stored_loc=stored_loc,
                stored_scale=stored_scale,
                transform=site.transform,
                sites=site.tensors,
            )
        )
        offset += size
    return found


def _note(case: Case, variable: str) -> LayerNote:
    for layer in case.layer_names.layers:
        if variable in layer.variables:
            return layer
    return LayerNote(variable.rsplit("/", 1)[0], "unknown", None, None, (variable,))


def _stem(variable: str) -> str:
    """`kernel` of `den_1/kernel_posterior_untransformed_scale`."""
    last = variable.rsplit("/", 1)[-1]
    return re.sub(r"(_posterior)?(_untransformed_scale)?$", "", last) or last


def _kind(site: Site, shape: tuple[int, ...]) -> str:
    """The name of the TFP layer class, from how it samples and from the rank of its kernel."""
    if site.loc.variable == site.scale.variable:
        return "DenseVariational"
    base = "Dense" if len(shape) <= 2 else f"Conv{len(shape) - 2}D"
    return base + site.estimator


def _packed_parts(nodes: Nodes, site: Site) -> list[tuple[str, tuple[int, ...]]] | None:
    """Kernel and bias of a DenseVariational layer, whose posterior is one vector; None for other layers."""
    if site.loc.variable != site.scale.variable or site.sample is None:
        return None
    size = site.loc.stop - site.loc.start
    reached = _forward(nodes, site.sample)
    for node in (nodes[name] for name in reached if nodes[name].op == "SplitV"):
        sizes = nodes.constant(node_of(node.input[1]))
        if sizes is not None and sizes.size == 2 and sizes.sum() == size and sizes[1] > 0:
            kernel, units = (int(item) for item in sizes)
            return [("kernel", (kernel // units, units)), ("bias", (units,))]
    for node in (nodes[name] for name in reached if nodes[name].op == "Reshape"):
        trailing = _trailing_sizes(nodes, node_of(node.input[1]))
        multiplied = any(nodes[user].op == "MatMul" for user in nodes.consumers[node.name])
        if multiplied and len(trailing) == 2 and trailing[0] * trailing[1] == size:
            return [("kernel", (trailing[0], trailing[1]))]
    return None


def _forward(nodes: Nodes, start: str) -> list[str]:
    """What holds the same values as a sample, or parts of them."""
    reached, waiting = [], [start]
    while waiting:
        name = waiting.pop()
        reached.append(name)
        waiting += [user for user in nodes.consumers[name] if nodes[user].op in {"Identity", "Reshape", "SplitV"}]
    return reached


def _trailing_sizes(nodes: Nodes, name: str) -> tuple[int, ...]:
    """The constant sizes at the end of a shape that is put together in the graph."""
    node = nodes[name]
    if node.op == "ConcatV2":
        name = node_of(node.input[len(node.input) - 2])
    value = nodes.constant(name)
    return () if value is None else tuple(int(size) for size in np.atleast_1d(value))


def _uncovered(
    case: Case, nodes: Nodes, covered: set[str], sites: list[Site], known: list[Unrecognised]
) -> list[Unrecognised]:
    """What draws random numbers without belonging to a recognised posterior."""
    found: dict[str, str] = {}
    prunable = {_note(case, site.scale.variable).name for site in sites}
    explained = {item.name.rsplit("/", 1)[0] for item in known}
    for node in nodes:
        if node.op in RANDOM_OPERATIONS and node.name not in covered:
            layer = _layer_of_operation(case, node.name)
            if layer not in explained:
                other = (
                    "noise beside its posterior, such as dropout" if layer in prunable else f"a posterior of {_FORM}"
                )
                found.setdefault(layer or node.name, other if layer else f"draws random numbers ({node.op}) in {_FORM}")
    for note in case.layer_names.layers:
        if note.family is not None and note.name not in prunable | explained | set(found):
            found[note.name] = f"LayerNames.txt calls it {note.family}, but the graph samples it in {_FORM}"
    return [Unrecognised(name, reason) for name, reason in found.items()]


def _layer_of_operation(case: Case, operation: str) -> str | None:
    """The layer whose name is a run of parts of the operation's name; the longest such name."""
    fits = [layer.name for layer in case.layer_names.layers if f"/{layer.name}/" in f"/{operation}/"]
    return max(fits, key=len, default=None)
