"""A program as a case of its own: plain operations over smaller variables, which loads wherever a case does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import whole_directory
from bprune.case.case import Case
from bprune.case.names import LayerNote
from bprune.case.output import Output
from bprune.case.write import CaseContent, fill_case, meta_graph_of
from bprune.engines.tensorflow.emit import emit
from bprune.lowering.ops import Bias, Conv, Dense, DepthwiseConv, Op
from bprune.lowering.program import Program, weights_of
from bprune.lowering.weights import Weights
from bprune.posterior.transform import ScaleTransform

__all__ = ["save_program_case"]

_INPUT = "input"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.\-/]")
_TRANSFORM = ScaleTransform(float(np.finfo(np.float32).eps))
"""How TFP's layers make a scale of a variable: epsilon + softplus."""


@dataclass
class _Draft:
    """What a case holds, while its graph is built."""

    values: dict[str, AnyArray] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)
    samples: list[str] = field(default_factory=list)
    layers: list[LayerNote] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)


def save_program_case(
    case: Case, program: Program, out: Path, record: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write a program as a case.

    Its graph draws weights by reparameterization, with fresh noise in every run: it has the program's law, not its
    draws. A weight that is exactly 0 in every draw is stored like any pruned weight.

    Args:
        case: The case that the program comes from; it gives the checkpoint's name, the input's type, the meaning of the
            output, and the held-out data.
        program: The program.
        out: The directory to create.
        record: The content of pruning.json.
        overwrite: Whether a pruned case that is there already is replaced.

    Raises:
        OutputError: If the case cannot be written; nothing is left then.
    """
    import tensorflow as tf

    draft = _Draft()
    with tf.Graph().as_default() as graph:
        outputs = _build(program, case.graph.input_dtype, draft)
        operations = tuple(operation.name for operation in graph.get_operations())
        meta = meta_graph_of(graph, draft.variables)
    roles: dict[str, tuple[str, ...]] = {"input": (_INPUT,), case.roles.kind.value: (outputs[0],)}
    if len(outputs) > 1 and case.roles.kind is Output.PREDICTION:
        roles["prediction_scale"] = (outputs[1],)
    content = CaseContent(
        name=case.files.iteration.name,
        values=draft.values,
        meta=meta,
        layers=draft.layers,
        operations=operations,
        roles={**roles, "sample": tuple(draft.samples)},
        record=record,
        heldout=case.files.heldout,
    )
    with whole_directory(out, overwrite=overwrite) as folder:
        fill_case(folder, content)


def _build(program: Program, dtype: str, draft: _Draft) -> list[str]:
    """Add the program to the default graph.

    Returns:
        The names of the output operations.
    """
    import tensorflow as tf

    source = tf.compat.v1.placeholder(dtype, [None, *program.input_shape], name=_INPUT)
    tensors = {program.input: source if dtype == "float32" else tf.cast(source, tf.float32)}
    for op in program.ops:
        scope = _unique(_clean(_layer(op) or op.name), draft.taken)
        weights = _weights(op, scope, draft)
        with tf.name_scope(f"{scope}/"):
            inputs = [tensors[name] for name in op.inputs]
            tensors[op.name] = tf.ensure_shape(emit(op, inputs, weights), [None, *program.shapes[op.name]])
    names = ("output", "output_scale")
    ends = [tf.identity(tensors[item], name=name) for item, name in zip(program.outputs, names, strict=False)]
    return [str(end.op.name) for end in ends]


def _weights(op: Op, scope: str, draft: _Draft) -> dict[str, Any]:
    """The weight tensors of an operation; its variables and its layer go into the draft."""
    tensors: dict[str, Any] = {}
    names: list[str] = []
    for part, weights in weights_of(op).items():
        stem = f"{scope}/{part}"
        if weights.scale is None:
            names.append(stem)
            tensors[part] = _variable(stem, weights.loc, draft).read_value()
        else:
            names += [f"{stem}_posterior_loc", f"{stem}_posterior_untransformed_scale"]
            tensors[part] = _sampled(stem, weights, draft)
    if names:
        trainable = sum(int(draft.values[name].size) for name in names)
        families = [item.family for item in weights_of(op).values() if item.family]
        note = LayerNote(scope, _kind(op), families[0] if families else None, trainable, tuple(names))
        draft.layers.append(note)
    return tensors


def _sampled(stem: str, weights: Weights, draft: _Draft) -> Any:
    """Draw a weight tensor by reparameterization, in the way that TFP's layers do."""
    import tensorflow as tf

    assert weights.scale is not None
    loc = _variable(f"{stem}_posterior_loc", weights.loc, draft).read_value()
    stored = _untransformed(weights.scale, weights.live)
    untransformed = _variable(f"{stem}_posterior_untransformed_scale", stored, draft).read_value()
    with tf.name_scope(f"{stem}/sample/"):
        scale = np.float32(_TRANSFORM.floor) + tf.nn.softplus(untransformed)
        if weights.family == "Laplace":
            uniform = tf.random.uniform(weights.shape, np.nextafter(np.float32(-1.0), np.float32(0.0)), 1.0)
            sample = loc - scale * tf.sign(uniform) * tf.math.log1p(-tf.abs(uniform))
        else:
            uniform = tf.random.normal(weights.shape)
            sample = loc + scale * uniform
        draft.samples.append(str(sample.op.name))
        return tf.exp(sample) if weights.family == "LogNormal" else sample


def _untransformed(scale: AnyArray, live: AnyArray) -> AnyArray:
    """The variable whose transform is |scale|; that of a pruned weight where the weight is 0 in every draw."""
    excess = np.maximum(np.abs(scale.astype(np.float64)) - _TRANSFORM.floor, 1e-30)
    inverse = np.where(excess > 30.0, excess, np.log(np.expm1(np.minimum(excess, 30.0))))
    return np.asarray(np.where(live, inverse, _TRANSFORM.pruned), np.float32)


def _variable(name: str, value: AnyArray, draft: _Draft) -> Any:
    import tensorflow as tf

    draft.values[name] = np.asarray(value, np.float32)
    draft.variables[name] = tf.compat.v1.Variable(
        lambda: tf.zeros(value.shape), name=name, use_resource=True, trainable=False, dtype=tf.float32
    )
    return draft.variables[name]


def _layer(op: Op) -> str:
    return op.layer if isinstance(op, (Bias, Conv, Dense, DepthwiseConv)) else ""


def _kind(op: Op) -> str:
    """The layer's class, as TFP and Keras name it."""
    axes = f"{len(op.kernel.shape) - 2}D" if isinstance(op, (Conv, DepthwiseConv)) else ""
    kernel = weights_of(op).get("kernel")
    return f"{type(op).__name__}{axes}{'Reparameterization' if kernel is not None and kernel.is_sampled else ''}"


def _clean(name: str) -> str:
    """A name that TensorFlow allows for a scope."""
    clean = _NOT_IN_NAMES.sub("_", name).strip("/")
    return clean if re.match(r"[A-Za-z0-9.]", clean) else f"v{clean}"


def _unique(name: str, taken: set[str]) -> str:
    candidate, number = name, 0
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    taken.add(candidate)
    return candidate
