"""The compacted network of a pruned case, checked and written as a case of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.engines.check import check_lowering
from bprune.engines.tensorflow.export import save_program_case
from bprune.lowering.lower import lower, specialise
from bprune.lowering.program import Program
from bprune.lowering.size import SizeComparison, compare_sizes
from bprune.posterior.posterior import Network
from bprune.pruning.save import check_target, pruning_record
from bprune.pruning.threshold import Rule

__all__ = ["Compacted", "compact_network"]


@dataclass(frozen=True)
class Compacted:
    """A compacted network that was checked and is not yet written.

    Attributes:
        case: The source.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name.
        program: The compacted program.
        sizes: What compaction removed.
    """

    case: Case
    network: Network
    masks: Mapping[str, BoolArray]
    program: Program
    sizes: SizeComparison

    def write(
        self, out: Path, rule: Rule, *, search: Mapping[str, object] | None = None, overwrite: bool = False
    ) -> None:
        """Write it as a case: smaller variables, a plain graph.

        Args:
            out: The directory to create.
            rule: How the masks were chosen.
            search: How the sparsity was found, for the record.
            overwrite: Whether a pruned case that is there already is replaced.

        Raises:
            OutputError: If `out` exists and may not be replaced, or cannot be written; nothing is left then.
            UsageError: If `out` is the source or holds it.
        """
        check_target(self.case, out, overwrite=overwrite)
        record = pruning_record(self.case, self.network, self.masks, rule, search)
        save_program_case(self.case, self.program, out, record, overwrite=overwrite)


def compact_network(case: Case, network: Network, masks: Mapping[str, BoolArray]) -> Compacted:
    """Lower a case, remove what its masks made useless, and check the result against the graph.

    Args:
        case: The case.
        network: Its posteriors.
        masks: True where a weight is kept, by posterior name.

    Raises:
        NotLoweredError: If the network cannot be lowered.
        SelfCheckError: If the program is not the network of the graph.

    Example:
        >>> compact_network(case, network, masks).write(Path("digits-compact"), rule)
    """
    whole = lower(case, network)
    program = specialise(whole, masks)
    check_lowering(case, network, program, masks)
    return Compacted(case, network, masks, program, compare_sizes(whole, program))
