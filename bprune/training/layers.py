"""The layers of a Keras model as LayerNames.txt lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from bprune.case.names import LayerNote

__all__ = ["layers_of_model", "layers_of_variables", "node_name", "unique"]

_TFP_MODULE = "tensorflow_probability."
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-/>]")


def node_name(name: str) -> str:
    """A name that TensorFlow allows for an operation: `den_1/kernel` of `den_1/kernel:0`; odd characters become `_`."""
    clean = _NOT_IN_NAMES.sub("_", name.rsplit(":", 1)[0] if re.search(r":\d+$", name) else name)
    return clean if re.match(r"[A-Za-z0-9.]", clean) else f"v{clean}"


def unique(name: str, taken: set[str]) -> str:
    """`name`, or `name_1`, `name_2`, .. when it is taken; the result is added to `taken`."""
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate


def layers_of_model(model: Any, names: dict[int, str], order: dict[str, int]) -> tuple[LayerNote, ...]:
    """The layers of a Keras model that hold variables.

    Args:
        model: The model.
        names: The variables' names in the case, by `id`.
        order: The position at which the graph first reads a variable, by name.

    Returns:
        One note per layer, in graph order.
    """
    taken: set[str] = set()
    listed: set[int] = set()
    notes = []
    for layer in _leaves(model):
        own = [variable for variable in layer.weights if id(variable) in names and id(variable) not in listed]
        if not own:
            continue
        listed.update(id(variable) for variable in own)
        notes.append(_note(layer, own, names, taken))
    rest = [names[key] for key in names if key not in listed]
    notes += layers_of_variables(rest, taken)
    last = len(order)
    return tuple(sorted(notes, key=lambda note: min(order.get(name, last) for name in note.variables)))


def layers_of_variables(variables: Iterable[str], taken: set[str] | None = None) -> list[LayerNote]:
    """Layers from variable names alone: a variable belongs to the scope that it is in."""
    groups: dict[str, list[str]] = {}
    for name in variables:
        groups.setdefault(name.rsplit("/", 1)[0], []).append(name)
    taken = set() if taken is None else taken
    return [LayerNote(unique(scope, taken), "unknown", None, None, tuple(found)) for scope, found in groups.items()]


def _leaves(layer: Any) -> Iterator[Any]:
    """Layers without inner layers; a TFP layer counts as one although a DenseVariational holds models."""
    inner = [item for item in layer._flatten_layers(recursive=False, include_self=False) if item.weights]
    if type(layer).__module__.startswith(_TFP_MODULE) or not inner:
        yield layer
        return
    for item in inner:
        yield from _leaves(item)
    yield layer  # what a composite layer holds beside its inner layers


def _note(layer: Any, own: list[Any], names: dict[int, str], taken: set[str]) -> LayerNote:
    trained = {id(variable) for variable in layer.trainable_weights}
    return LayerNote(
        name=unique(node_name(layer.name), taken),
        kind=type(layer).__name__,
        family=_family(layer),
        trainable=sum(int(variable.shape.num_elements()) for variable in own if id(variable) in trained),
        variables=tuple(names[id(variable)] for variable in own),
    )


def _family(layer: Any) -> str | None:
    """The class of the distribution behind a TFP layer's kernel; None for a layer without one."""
    if not type(layer).__module__.startswith(_TFP_MODULE):
        return None
    distribution = getattr(layer, "kernel_posterior", None)
    if distribution is None and hasattr(layer, "_posterior"):  # DenseVariational makes it anew in every call
        import tensorflow as tf

        distribution = layer._posterior(tf.zeros([1, layer.input_spec.axes[-1]], layer.compute_dtype))
    if distribution is None:
        return None
    for wrapper, inner in (("_TensorCoercible", "tensor_distribution"), ("Independent", "distribution")):
        while type(distribution).__name__ == wrapper:
            distribution = getattr(distribution, inner)
    return type(distribution).__name__
