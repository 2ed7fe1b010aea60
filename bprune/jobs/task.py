"""One task of a plan, on whatever machine; what it has done already is not done again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from bprune.atomic import output_errors
from bprune.case.task import Task
from bprune.errors import InputError, UsageError
from bprune.inference.progress import Progress, no_progress
from bprune.inference.share import Done, do_share, prepared_for
from bprune.jobs.plan import Plan, Unit, read_plan
from bprune.jobs.unit_file import Finished, read_unit, write_unit

__all__ = ["TaskDone", "folder_of", "missing_tasks", "run_task"]


@dataclass(frozen=True)
class TaskDone:
    """What a task has done.

    Attributes:
        index: Its number.
        tasks: How many tasks the plan has.
        files: The files of its units.
        was_there: How many of them were there already.
    """

    index: int
    tasks: int
    files: tuple[Path, ...]
    was_there: int


def folder_of(plan: Path) -> Path:
    """The folder beside a plan with the files of its tasks."""
    return plan.with_name(f"{plan.stem}.tasks")


def run_task(path: str | Path, index: int, *, progress: Progress = no_progress) -> TaskDone:
    """Run a task of a plan; may be called again, and at the same time elsewhere.

    Args:
        path: The plan.
        index: Which task, from 0.
        progress: Told the share of the work that is done.

    Returns:
        What was done.

    Raises:
        UsageError: If there is no such task.
        InputError: If the plan cannot be used, or case or data are not what they were.
        EngineError: If the engine is another one here.
        SelfCheckError: If a value is not finite.
        OutputError: If a file cannot be written.
    """
    path = Path(path)
    plan = read_plan(path)
    if not 0 <= index < len(plan.tasks):
        raise UsageError(
            f"there is no task {index}; the plan has {len(plan.tasks)}",
            hint=f"Give --index a number in 0 ... {len(plan.tasks) - 1}.",
        )
    folder, units = folder_of(path), plan.tasks[index]
    with output_errors(folder):
        folder.mkdir(exist_ok=True)
    files = tuple(folder / plan.unit_name(unit) for unit in units)
    missing = [unit for unit, file in zip(units, files, strict=True) if not _is_there(file, plan, unit)]
    for number, unit in enumerate(missing):

        def tell(share: float, number: int = number) -> None:
            progress((number + share) / len(missing))

        write_unit(folder / plan.unit_name(unit), plan, unit, _run(plan, unit, tell))
    progress(1.0)
    return TaskDone(index, len(plan.tasks), files, len(units) - len(missing))


def missing_tasks(path: str | Path) -> tuple[int, ...]:
    """The numbers of the tasks of a plan that have not ended; a file that is damaged does not count."""
    path = Path(path)
    plan, folder = read_plan(path), folder_of(path)
    return tuple(
        index
        for index, units in enumerate(plan.tasks)
        if not all(_is_there(folder / plan.unit_name(unit), plan, unit) for unit in units)
    )


def _is_there(file: Path, plan: Plan, unit: Unit) -> bool:
    """Whether the file of a unit is there, and whole; which task it was makes no difference for that."""
    if not file.exists():
        return False
    try:
        read_unit(file, plan, unit, Task(plan.about["task"]))
    except InputError:
        return False
    return True


def _run(plan: Plan, unit: Unit, progress: Progress) -> Finished:
    recipe, share = plan.recipes[unit.member], unit.share
    prepared = prepared_for(recipe)
    case = prepared.origin.case
    data = plan.data.read(case, prepared.engine)
    start, rows = time.perf_counter(), slice(share.start, share.stop)
    draws, summary, counts = do_share(
        prepared.engine,
        case.task,
        recipe.examples,
        plan.amount,
        share,
        data.inputs[rows],
        None if data.labels is None else data.labels[rows],
        progress,
    )
    return Finished(Done(draws, summary, counts, dict(prepared.plan.after)), time.perf_counter() - start)
