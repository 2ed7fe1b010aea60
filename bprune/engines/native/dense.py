"""Dense layers as steps of the engine `native`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.block import Block
from bprune.engines.native.chain import Chain, Link, Opening, tiles_of
from bprune.engines.native.layers import MomentsLayer, ProductLayer, unit_ids
from bprune.lowering.ops import Dense

__all__ = ["ChainStep", "ProductStep"]


class ChainStep:
    """Dense layers one behind the other, with features as inputs; each but the last is read by the next alone.

    Args:
        seed: The run's seed.
        links: The layers.
        name: The tensor of the last one, its relu included.
        is_fixed: Whether the inputs of the first layer are the same in every draw.
        cached: Whether the outputs of the first layer are drawn from cached moments.
    """

    def __init__(self, seed: int, links: Sequence[Link], name: str, *, is_fixed: bool, cached: bool) -> None:
        first = links[0].op
        self.source, self.name = first.inputs[0], name
        self.is_fixed, self.is_cached = is_fixed, cached
        made = {link.op.name for link in links} | {link.op.inputs[0] for link in links[1:]}
        self.hidden = frozenset(made - {name})
        self._units = links[-1].op.kernel.shape[1]
        self._moments: MomentsLayer | None = None
        opening = None
        if cached:
            self._moments, opening = MomentsLayer(first), _opening(links[0])
        self._chain = Chain(seed, links[1:] if cached else links, opening)
        parts = [f"{first.layer or first.name}: normals with cached moments"] if cached else []
        parts += [_describe(link) for link in (links[1:] if cached else links)]
        self.describe = ", then ".join(parts)

    def prepare(self, fixed: Mapping[str, AnyArray]) -> tuple[FloatArray, ...]:
        """What is the same in every draw of a block, from the tensors that are."""
        if self._moments is not None:
            moments = self._moments.moments(fixed[self.source])
            return tiles_of(moments.mean), tiles_of(moments.std)
        return (tiles_of(fixed[self.source]),) if self.is_fixed else ()

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        out = np.empty((len(block.draws), len(block.examples), self._units), np.float32)
        self._run(block, out, 0, 0, len(block.examples), softmax=False)
        block.random[self.name] = out

    def run_last(self, block: Block, out: FloatArray, begin: int, start: int, examples: int) -> int:
        """Make class probabilities of the chain's outputs, to their place in `out`; see `Chain.run`."""
        return self._run(block, out, begin, start, examples, softmax=True)

    def _run(self, block: Block, out: FloatArray, begin: int, start: int, examples: int, *, softmax: bool) -> int:
        known = block.prepared.get(self.name, ())
        rows = None if known else block.random[self.source][:, :examples]
        mean, std = (*known, None, None)[:2]
        numbers = block.examples[:examples]
        return self._chain.run(out, begin, start, numbers, block.draws, mean=mean, std=std, rows=rows, softmax=softmax)


def _opening(link: Link) -> Opening:
    stream, units = link.op.kernel.stream, unit_ids(link.op.kernel)
    if stream is None or units is None:
        raise ValueError(f"{link.op.name!r} has no units with a name")
    return Opening(stream.key, units, link.relu)


def _describe(link: Link) -> str:
    how = "drawn live weights, sparse product" if link.sparse else "drawn weights, dense product"
    return f"{link.op.layer or link.op.name}: {how}"


class ProductStep:
    """A dense layer along the last axis of pictures, by a product with weights that all examples of a draw share."""

    def __init__(self, seed: int, op: Dense, name: str, relu: bool) -> None:
        self._op, self._layer = op, ProductLayer(seed, op)
        self._name, self._relu = name, relu
        self.describe = f"{op.layer or op.name}: drawn weights, one product for each draw"

    def run(self, block: Block) -> None:
        """See `Step.run`."""
        source = self._op.inputs[0]
        shape = block.of_draw(source, 0).shape[:-1]
        out = np.empty((len(block.draws), *shape, self._op.kernel.shape[1]), np.float32)
        for index, noise in enumerate(block.draws):
            inputs = np.asarray(block.of_draw(source, index), np.float32)
            rows = inputs.reshape(-1, inputs.shape[-1])
            self._layer.draw(rows, noise, out[index].reshape(-1, out.shape[-1]), self._relu)
        block.random[self._name] = out
