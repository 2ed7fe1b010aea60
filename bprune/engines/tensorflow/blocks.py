"""How many examples run together."""

from __future__ import annotations

from collections.abc import Sequence

from bprune.lowering.program import Program, weights_of

__all__ = ["block_size", "example_bytes"]

_BLOCK_BYTES = 8 << 20
_BYTES_PER_KERNEL_BYTE = 8
"""A kernel is brought into another layout for every block, which large kernels earn back in larger blocks alone."""
_LARGEST_BLOCK = 4096
_ROWS = 16
_ROUNDED_FROM = 256
"""Blocks of this size are rounded up to whole vector registers; for smaller ones the filling would cost more."""


def block_size(program: Program, examples: int | None) -> int:
    """Examples per block: the number is a function of the program and of how many examples the whole run has.

    Args:
        program: The program.
        examples: How many examples the whole run has; None where that is not known.
    """
    widest = max(shape.size for shape in program.shapes.values()) * 4
    kernels = [item.loc.nbytes for op in program.ops for item in weights_of(op).values()]
    fitting_bytes = max(_BLOCK_BYTES, _BYTES_PER_KERNEL_BYTE * max(kernels, default=0))
    fitting = max(2, min(fitting_bytes // max(widest, 1), _LARGEST_BLOCK))
    if examples is None:
        return fitting
    count = -(-max(examples, 1) // fitting)
    size = -(-max(examples, 1) // count)
    return size if size < _ROUNDED_FROM else -(-size // _ROWS) * _ROWS


def example_bytes(program: Program, passed: Sequence[str]) -> int:
    """Bytes of an example's passed tensors and outputs."""
    shapes = program.shapes
    return 4 * sum(shapes[name].size for name in (*passed, *program.outputs))
