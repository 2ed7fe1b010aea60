"""Results and sweeps that are there already: are they of this case, and of which side?"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bprune.case.case import Case
from bprune.errors import InputError, UsageError
from bprune.judgement.measure import Draws
from bprune.judgement.sweep import Sweep
from bprune.judgement.sweep_file import read_sweep
from bprune.posterior.posterior import Network
from bprune.pruning.counts import count_layers
from bprune.pruning.record import PruningRecord
from bprune.report.findings import Choice
from bprune.results import Results, open_results

__all__ = ["draws_of", "match_results", "matching_sweep"]


def match_results(
    paths: Sequence[Path],
    stack: contextlib.ExitStack,
    case: Case,
    network: Network,
    choice: Choice,
    record: PruningRecord | None,
) -> dict[int, Results]:
    """Open results files, and find out which network each is of.

    Args:
        paths: The files.
        stack: What closes them.
        case: The case.
        network: Its posteriors.
        choice: Which weights go.
        record: How the case was pruned before, or None.

    Returns:
        By side: 0 for the network before pruning, 1 for the one after. Of a case that is told about as it is, 1 is the
        case and 0 what it was pruned from.

    Raises:
        InputError: If a file is of another case or another pruning, or has no fixed number of draws.
        UsageError: If two files are of the same network.
    """
    found: dict[int, Results] = {}
    for path in paths:
        results = stack.enter_context(open_results(path))
        if results.members:
            raise InputError(
                f"{path} is of an {results.run.case}; a report is about one case",
                hint="Give results of the case alone; bprune metrics and bprune compare tell about ensembles.",
            )
        side = _side(results, case, network, choice, record)
        if results.run.stopping:
            raise InputError(
                f"{path} has a number of draws that differs between examples, which cannot be paired with another run",
                hint="Run bprune infer with --mc-iters NUMBER.",
            )
        if side in found:
            raise UsageError(f"{found[side].path} and {path} are of the same network; give one of them")
        found[side] = results
    return found


def _side(results: Results, case: Case, network: Network, choice: Choice, record: PruningRecord | None) -> int:
    digest, counts = results.run.checkpoint_digest, [item.nonzeros for item in results.layers]
    own = [item.nonzeros for item in count_layers(network, network.masks)]
    if digest == case.checkpoint.digest():
        if counts == own:
            return 1 if choice.rule is None else 0
        if counts == [item.nonzeros for item in choice.layers]:
            return 1
        raise InputError(
            f"{results.path} keeps {sum(counts):,} weights; the case has {sum(own):,}, and the pruning that was asked "
            f"for keeps {choice.total.nonzeros:,}",
            hint="Give the same --threshold, --sparsity or --criterion as the results were made with.",
        )
    if choice.rule is None and record is not None and digest == record.source_digest:
        return 0
    raise InputError(
        f"{results.path} is of the case {results.run.case} with another checkpoint",
        hint=f"Give results of {case.files.root}, {case.files.iteration.name}, or leave --results out.",
    )


def draws_of(found: dict[int, Results], wanted: Draws, asked: frozenset[str]) -> Draws:
    """How the missing draws are made: as those that are there, so that both pair.

    Args:
        found: The results that are there, by side.
        wanted: What was asked for.
        asked: The names of what was asked for on purpose; the rest are defaults.

    Raises:
        UsageError: If something else was asked for than what the results have.
    """
    for results in found.values():
        run = results.run
        own = Draws(run.mc_iters, run.seed, run.engine, run.sampling, run.precision, wanted.batch_size, run.antithetic)
        for name in ("mc_iters", "seed", "engine", "sampling", "precision", "antithetic"):
            there, here = getattr(own, name), getattr(wanted, name)
            if name in asked and there != here:
                raise UsageError(
                    f"{results.path} has {name} {there}, and {here} was asked for; both runs need the same",
                    hint="Leave the option out: the draws that are missing are made like those that are there.",
                )
        wanted = replace(own, batch_size=wanted.batch_size)
    return wanted


def matching_sweep(path: Path, case: Case, choice: Choice) -> Sweep:
    """Read a sweep of this case.

    Raises:
        InputError: If it is of another checkpoint, or of another criterion or scope than the pruning.
    """
    sweep = read_sweep(path)
    if sweep.checkpoint_digest != case.checkpoint.digest():
        raise InputError(
            f"{path} is a sweep of {sweep.case} with another checkpoint",
            hint=f"Give a sweep of {case.files.root}, or leave --sweep out.",
        )
    rule = choice.rule
    if rule is not None and (sweep.criterion, sweep.scope) != (rule.criterion.name, rule.scope.value):
        raise InputError(
            f"{path} is a sweep by {sweep.criterion} ({sweep.scope}), and pruning is by {rule.criterion.name} "
            f"({rule.scope.value})",
            hint="Give --criterion and --scope as the sweep has them.",
        )
    return sweep
