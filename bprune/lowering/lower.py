"""The compiler: a case becomes a program, and a program with masks becomes a smaller one."""

from __future__ import annotations

from collections.abc import Mapping

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.lowering.passes import (
    drop_identities,
    fold_affine,
    fold_padding,
    fuse_activations,
    mask_weights,
    remove_dead_units,
    remove_unused,
)
from bprune.lowering.program import Program, check_program
from bprune.lowering.read import read_program
from bprune.posterior.posterior import Network

__all__ = ["lower", "simplify", "specialise"]

_SIMPLIFICATIONS = (
    drop_identities,  # dropout and casts leave multiplications by 1 behind, which hide what stands next to what
    fuse_activations,  # GELU and swish, while their parts are still as the framework wrote them
    fold_padding,  # a padding layer becomes part of the convolution behind it
    fold_affine,  # batch normalisation and biases become part of the weights beside them
    drop_identities,  # what folding has emptied
    remove_unused,  # the mean path of flipout layers, and what only training reads
)
_COMPACTION = (
    remove_dead_units,  # constants fold into what reads them, and what nothing reads goes
    drop_identities,  # selections of all units, sums of one
    fold_affine,  # a branch that became a constant left a shift behind; masks are applied, so it may be folded
    drop_identities,
    remove_unused,
)


def lower(case: Case, network: Network) -> Program:
    """Turn the graph of a case into a program. Nothing of the graph is run.

    Args:
        case: The case.
        network: Its posteriors.

    Returns:
        The program, with the weights that the checkpoint holds; `specialise` applies masks.

    Raises:
        NotLoweredError: If something in the graph is not recognised; the message names it.
        DamagedFileError: If a value cannot be read.
    """
    return simplify(read_program(case, network))


def simplify(program: Program) -> Program:
    """The same network in fewer operations; every draw stays what it is, up to rounding.

    Raises:
        SelfCheckError: If the result is not a legal program.
    """
    for run in _SIMPLIFICATIONS:
        program = run(program)
    check_program(program)
    return program


def specialise(program: Program, masks: Mapping[str, BoolArray], *, compact: bool = True) -> Program:
    """The program of a pruned network.

    Args:
        program: The program of the whole network.
        masks: True where a weight is kept, by posterior name.
        compact: Whether units that no longer do anything are removed. The draws are the same either way (law 6).

    Raises:
        SelfCheckError: If the result is not a legal program.
    """
    program = mask_weights(program, masks)
    for run in _COMPACTION if compact else ():
        program = run(program)
    check_program(program)
    return program
