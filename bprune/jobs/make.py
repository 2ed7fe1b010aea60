"""Making plans: the same choices as a run makes, written down."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from bprune.engines.choose import Prepared
from bprune.errors import UsageError
from bprune.inference.amount import Amount
from bprune.inference.data import Dataset
from bprune.inference.dispatch import check_divisible, is_divisible, shares_of
from bprune.inference.recipe import Recipe
from bprune.jobs.plan import DataSource, Plan, Unit
from bprune.judgement.levels import Level, choose_levels
from bprune.judgement.measure import Study
from bprune.judgement.run import Grid, header_of
from bprune.results.schema import RunRecord
from bprune.scale.divide import Share

__all__ = ["plan_infer", "plan_sweep"]


def plan_infer(
    members: Sequence[Prepared],
    data: Dataset,
    source: DataSource,
    amount: Amount,
    record: RunRecord,
    out: Path,
    *,
    tasks: int,
) -> Plan:
    """The plan of an inference run.

    Args:
        members: The engine of the network, or those of an ensemble's members, in the order of the record.
        data: The examples.
        source: Where they come from.
        amount: How many draws, of each member.
        record: What the results file says of the run.
        out: The results file.
        tasks: How many tasks there may be; there are fewer where the work cannot be divided so far.

    Raises:
        UsageError: If there is no task, the noise of an engine cannot be divided, or members have to draw together.
    """
    _check_tasks(tasks)
    if len(members) > 1 and amount.stopping is not None:
        raise UsageError(
            "the members of an ensemble draw an example together until it is settled, which tasks cannot do",
            hint="Give --mc-iters a number, or use bprune infer with --workers, --mpi or --dask.",
        )
    recipes, units, parts = [], [], max(1, tasks // len(members))
    for number, member in enumerate(members):
        check_divisible(member)
        amount.blocks(member.engine, len(data))
        recipes.append(Recipe.of(member.origin, len(data), engine=member.engine, paired=amount.paired))
        shares = shares_of(member.engine, len(data), amount, workers=parts, most=parts)
        units.append([Unit(number, share) for share in shares])
    return Plan(
        "infer",
        str(out.absolute()),
        tuple(recipes),
        amount,
        source.of(data),
        _grouped(units, tasks),
        {"run": asdict(record), "task": members[0].origin.case.task.value},
    )


def plan_sweep(
    study: Study, prepared: Prepared, grid: Grid, source: DataSource, out: Path, *, tasks: int, command: str
) -> Plan:
    """The plan of a sweep; see `bprune.judgement.run.run_sweep` for the arguments.

    Raises:
        UsageError: If there is no task, or a budget is searched for, which takes one step after the other.
    """
    _check_tasks(tasks)
    if grid.budget is not None:
        raise UsageError("a search within a budget goes step by step, and cannot be planned")
    levels = choose_levels(
        study.network,
        grid.rule,
        sparsities=grid.sparsities,
        thresholds=grid.thresholds,
        allow_empty_layers=grid.allow_empty_layers,
    )
    recipes, units = [], []
    parts = max(1, tasks // len(levels.levels)) if is_divisible(prepared) else 1
    for member, level in enumerate(levels.levels):
        recipe, shares = _divided(study, prepared, level, parts)
        recipes.append(recipe)
        units.append([Unit(member, share) for share in shares])
    header = header_of(study, prepared, grid, levels, command)
    thresholds = [None if math.isnan(level.threshold) else level.threshold for level in levels.levels]
    return Plan(
        "sweep",
        str(out.absolute()),
        tuple(recipes),
        study.draws.amount,
        source.of(study.data),
        _grouped(units, tasks),
        {"header": header | {"notes": list(levels.notes)}, "thresholds": thresholds, "task": header["task"]},
    )


def _check_tasks(tasks: int) -> None:
    if tasks < 1:
        raise UsageError(f"the number of tasks is {tasks}; at least 1 is needed")


def _divided(study: Study, prepared: Prepared, level: Level, parts: int) -> tuple[Recipe, Sequence[Share]]:
    """The recipe of a network of a sweep, and its shares; its engine is made only where there are several."""
    amount, examples = study.draws.amount, len(study.data)
    if parts == 1:
        origin = replace(prepared.origin, masks=level.masks)
        return Recipe.of(origin, examples, paired=amount.paired), [Share(0, examples, 0, amount.mc_iters)]
    own = study.prepare(level)
    amount.blocks(own.engine, examples)
    recipe = Recipe.of(own.origin, examples, engine=own.engine, paired=amount.paired)
    return recipe, shares_of(own.engine, examples, amount, workers=parts, most=parts)


def _grouped(units: Sequence[Sequence[Unit]], tasks: int) -> tuple[tuple[Unit, ...], ...]:
    """One unit for each task, or several where there are fewer tasks."""
    flat = [unit for member in units for unit in member]
    count = min(tasks, len(flat))
    edges = [len(flat) * number // count for number in range(count + 1)]
    return tuple(tuple(flat[start:stop]) for start, stop in itertools.pairwise(edges))
