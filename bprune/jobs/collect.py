"""Putting together what the tasks of a plan gave: the file that one process would have written."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bprune.engines.choose import Prepared
from bprune.errors import DamagedFileError, MissingFileError
from bprune.inference.data import Dataset
from bprune.inference.dispatch import merge
from bprune.inference.kept import KeptSummaries
from bprune.inference.predict import predictions_of
from bprune.inference.progress import Progress, no_progress, parts_of
from bprune.inference.recipe import unpack_masks
from bprune.inference.share import Done
from bprune.jobs.plan import Plan, Unit, read_plan
from bprune.jobs.task import folder_of, missing_tasks
from bprune.jobs.unit_file import read_unit
from bprune.judgement.levels import Level, Levels
from bprune.judgement.measure import Draws, Study
from bprune.judgement.record import Record
from bprune.judgement.run import Grid, SweepRun
from bprune.judgement.sweep import Sweep
from bprune.metrics import Predictions
from bprune.posterior.recognise import read_network
from bprune.pruning.counts import count_layers, count_total
from bprune.pruning.threshold import Rule
from bprune.results.members import MemberRecord
from bprune.results.read import Results, open_results
from bprune.results.record import Member, open_writer
from bprune.results.schema import RunRecord

__all__ = ["collect"]


def collect(
    path: str | Path, out: str | Path | None = None, *, overwrite: bool = False, progress: Progress = no_progress
) -> Results | Sweep:
    """Put together what the tasks of a plan gave.

    Args:
        path: The plan.
        out: The file to write; None for the one that the plan names.
        overwrite: Whether an existing file is replaced.
        progress: Told the share of the work that is done.

    Returns:
        The results, open for reading, or the sweep.

    Raises:
        MissingFileError: If tasks have not ended; the message lists them.
        InputError: If the plan cannot be used, or case or data are not what they were.
        OutputError: If the file cannot be written.
    """
    path = Path(path)
    plan = read_plan(path)
    missing = missing_tasks(path)
    if missing:
        numbers = _ranges(missing)
        raise MissingFileError(
            f"{len(missing)} of {len(plan.tasks)} tasks of {path} have not ended: {numbers}",
            hint=f"Run them, as in: sbatch --array={numbers} job.sh, or bprune run-task {path} --index {missing[0]}.",
        )
    target = Path(plan.out if out is None else out)
    prepared = plan.recipes[0].prepare()
    data = plan.data.read(prepared.origin.case, prepared.engine)
    parts = _Parts(plan, folder_of(path))
    if plan.kind == "infer":
        return _infer(plan, parts, prepared, data, target, overwrite, progress)
    return _sweep(plan, parts, prepared, data, target, overwrite, progress)


class _Parts:
    """The files of a plan's units, read one by one, and how long they took."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self.seconds = 0.0

    def units(self, member: int) -> list[Unit]:
        """The units of a network, in order."""
        return [unit for unit in self._plan.units if unit.member == member]

    def done(self, prepared: Prepared, member: int) -> Iterator[Done]:
        """What they gave."""
        for unit in self.units(member):
            file = self._folder / self._plan.unit_name(unit)
            found = read_unit(file, self._plan, unit, prepared.origin.case.task)
            self.seconds += found.seconds
            yield found.done


def _infer(
    plan: Plan, parts: _Parts, first: Prepared, data: Dataset, out: Path, overwrite: bool, progress: Progress
) -> Results:
    networks = [first, *(recipe.prepare() for recipe in plan.recipes[1:])]
    members, task = [Member(read_network(item.origin.case), item) for item in networks], first.origin.case.task
    with open_writer(members, data, out, _run_record(plan.about), plan.amount, overwrite) as writer:
        for number, tell in enumerate(parts_of(progress, len(members))):
            shares = [unit.share for unit in parts.units(number)]
            done, sink = parts.done(networks[number], number), writer.of_member(number)
            merge(shares, done, data.labels, task, plan.amount, sink=sink, progress=tell)
        writer.finish(parts.seconds)
    return open_results(out)


def _run_record(about: Mapping[str, Any]) -> RunRecord:
    try:
        members = tuple(MemberRecord(**item) for item in about["run"]["members"])
        return RunRecord(**{**about["run"], "members": members})
    except (LookupError, TypeError, ValueError) as error:
        raise DamagedFileError(f"the plan's record of the run is damaged: {error}", hint="Plan again.") from error


def _sweep(
    plan: Plan, parts: _Parts, prepared: Prepared, data: Dataset, out: Path, overwrite: bool, progress: Progress
) -> Sweep:
    case = prepared.origin.case
    network, recipe, amount = read_network(case), plan.recipes[0], plan.amount
    header = dict(plan.about["header"])
    header["notes"] = tuple(header["notes"])
    levels = []
    for own, threshold in zip(plan.recipes, plan.about["thresholds"], strict=True):
        masks = unpack_masks(own.masks)
        number = math.nan if threshold is None else float(threshold)
        levels.append(Level(masks, count_layers(network, masks), count_total(network, masks), number))
    members = {level.total.nonzeros: number for number, level in enumerate(levels)}
    draws = Draws(
        amount.mc_iters,
        recipe.seed,
        recipe.engine,
        recipe.sampling,
        recipe.precision,
        amount.batch_size,
        amount.paired,
    )

    def given(level: Level) -> tuple[Mapping[str, int], Predictions]:
        member, sink = members[level.total.nonzeros], KeptSummaries(amount.mc_iters)
        first, rest = _first(parts.done(prepared, member))
        shares = [unit.share for unit in parts.units(member)]
        merge(shares, rest, data.labels, case.task, amount, sink=sink)
        return first.size, predictions_of(sink.summary(), sink.counts(), paired=amount.paired)

    run = SweepRun(
        Study(case, network, data, draws),
        prepared,
        Grid(Rule(None, 0.0)),
        Levels(tuple(levels), (), header["notes"]),
        Record(out, overwrite),
        progress,
        given=given,
    )
    run.measure_grid(header)
    run.measure_times()
    return run.finish(None)


def _first(done: Iterator[Done]) -> tuple[Done, Iterator[Done]]:
    first = next(done)
    return first, itertools.chain([first], done)


def _ranges(numbers: tuple[int, ...]) -> str:
    """Numbers as batch systems write them, such as 0,3-5."""
    texts = []
    for _, group in itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        texts.append(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}")
    return ",".join(texts)
