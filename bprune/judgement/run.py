"""Run a sweep: every point is in the file as soon as it is finished, and a sweep that was killed goes on from there."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bprune.case.case import Case, load_case
from bprune.engines.base import Sampling
from bprune.engines.choose import EngineName, Prepared
from bprune.engines.tensorflow import Precision
from bprune.inference.data import Dataset
from bprune.inference.dispatch import is_divisible
from bprune.inference.progress import Progress, no_progress
from bprune.judgement.budget import Budget
from bprune.judgement.find import check_budget, check_found, search_levels
from bprune.judgement.levels import DEFAULT_SPARSITIES, Level, Levels, choose_levels
from bprune.judgement.measure import (
    DEFAULT_SWEEP_MC_ITERS,
    Draws,
    Study,
    data_digest,
    measure_level,
    prepare_draws,
    time_draws,
)
from bprune.judgement.record import Record
from bprune.judgement.search import BISECTIONS, Search
from bprune.judgement.sweep import Sweep, SweepPoint
from bprune.judgement.workers import measure_by_workers
from bprune.metrics import Predictions
from bprune.posterior.recognise import read_network
from bprune.pruning.criteria import Context, Criterion, find_criterion
from bprune.pruning.threshold import Rule, Scope, find_scope
from bprune.results.record import given_data, load_data
from bprune.scale.workers import Executor, Workers, open_workers
from bprune.versions import library_versions

__all__ = ["Given", "Grid", "SweepRun", "header_of", "run_sweep", "sweep"]

Given = Callable[[Level], tuple[Mapping[str, int], Predictions]]
"""Predictions that others have made of a network, with the numbers of `bprune.engines.plan.Plan.after`."""


@dataclass(frozen=True)
class Grid:
    """What is swept.

    Attributes:
        rule: Criterion, scope and context; its own threshold or sparsity plays no part.
        sparsities: Sparsities; None for the default where there are no thresholds either.
        thresholds: Thresholds in units of the criterion.
        allow_empty_layers: Whether a layer may lose all its weights.
        budget: What is searched for when the grid is known; None for nothing.
    """

    rule: Rule
    sparsities: tuple[float, ...] | None = None
    thresholds: tuple[float, ...] | None = None
    allow_empty_layers: bool = False
    budget: Budget | None = None

    def to_json(self, antithetic: bool) -> str:
        """All of it but criterion and scope, and whether draws are antithetic pairs."""
        content = {
            "sparsities": self.sparsities,
            "thresholds": self.thresholds,
            "allow_empty_layers": self.allow_empty_layers,
            "parameters": dict(self.rule.parameters()),
            "antithetic": antithetic,
            "budget": dataclasses.asdict(self.budget) if self.budget else None,
        }
        return json.dumps(content, sort_keys=True)


def run_sweep(
    study: Study,
    prepared: Prepared,
    grid: Grid,
    out: Path | None,
    *,
    workers: Workers | None = None,
    overwrite: bool = False,
    command: str = "bprune.sweep",
    progress: Progress = no_progress,
) -> tuple[Sweep, Search | None]:
    """Run a sweep of a case whose engine and data are ready; see `sweep`.

    Args:
        study: Case, data and draws, without a reference.
        prepared: The engine of the whole network.
        grid: What is swept.
        out: The file, or None.
        workers: Who measures points; None for this process.
        overwrite: Whether an existing file is replaced.
        command: The command line, for the file.
        progress: Told the share of the work that is done.

    Returns:
        The sweep, and the search for the budget where there is one; `check_found` tells whether it has an answer.
    """
    if grid.budget is not None:
        check_budget(grid.budget, study)
    levels = choose_levels(
        study.network,
        grid.rule,
        sparsities=grid.sparsities,
        thresholds=grid.thresholds,
        allow_empty_layers=grid.allow_empty_layers,
    )
    run = SweepRun(study, prepared, grid, levels, Record(out, overwrite), progress, workers=workers)
    run.measure_grid(header_of(study, prepared, grid, levels, command))
    found = run.search() if grid.budget is not None else None
    run.measure_times()
    return run.finish(found), found


def header_of(study: Study, prepared: Prepared, grid: Grid, levels: Levels, command: str) -> dict[str, Any]:
    """All that a sweep says but its points."""
    rule = grid.rule
    return {
        "case": study.case.name,
        "criterion": rule.criterion.name,
        "unit": rule.criterion.unit,
        "scope": rule.scope.value,
        "mc_iters": study.draws.mc_iters,
        "seed": study.draws.seed,
        "engine": prepared.plan.engine,
        "task": study.case.task.value,
        "examples": len(study.data),
        "sampling": prepared.plan.sampling,
        "precision": prepared.plan.precision,
        "checkpoint_digest": study.case.checkpoint.digest(),
        "data_digest": data_digest(study.data),
        "options": grid.to_json(study.draws.antithetic),
        "notes": levels.notes,
        "finished": False,
        "command": command,
        "created_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "library_version": library_versions()["bprune"],
    }


class SweepRun:
    """A sweep that is being run: its parts, and how far it is.

    Args:
        study: Case, data and draws, without a reference.
        prepared: The engine of the whole network.
        grid: What is swept.
        levels: Its networks.
        record: The points so far.
        progress: Told the share of the work that is done.
        workers: Who measures points; None for this process.
        given: The predictions, where others have made all of them.
    """

    def __init__(
        self,
        study: Study,
        prepared: Prepared,
        grid: Grid,
        levels: Levels,
        record: Record,
        progress: Progress,
        *,
        workers: Workers | None = None,
        given: Given | None = None,
    ) -> None:
        self._study, self._prepared, self._grid, self._levels = study, prepared, grid, levels
        self._record, self._workers, self._given, self._progress = record, workers, given, progress
        self._header: dict[str, Any] = {}
        self._done, self._total = 0, 1

    def measure_grid(self, header: dict[str, Any]) -> None:
        """Measure the points of the grid that are not in the file."""
        self._header = header
        self._record.begin(header)
        levels = self._levels.levels
        missing = [level for level in levels if not self._known(level)]
        self._total = len(missing) + (BISECTIONS if self._grid.budget is not None else 0) + 1
        if not missing:
            return
        self._refer()
        missing = [level for level in missing if not self._known(level)]
        if self._given is not None:
            for level in missing:
                self._keep(measure_level(self._study, level, *self._given(level)))
        elif self._workers is None:
            for level in missing:
                self._measure(level)
        else:
            for point in measure_by_workers(self._study, self._prepared, missing, self._workers):
                self._keep(point)

    def _known(self, level: Level) -> SweepPoint | None:
        return None if self._record.sweep is None else self._record.sweep.find(level.total.nonzeros)

    def _refer(self) -> None:
        """Draw the whole network, if that was not done yet; its point comes first in every file."""
        if self._study.reference is not None:
            return
        whole = self._levels.levels[0]
        predictions = self._predict(self._prepared) if self._given is None else self._given(whole)[1]
        if self._known(whole) is None:
            point = measure_level(self._study, whole, self._prepared.plan.after, predictions)
            self._keep(replace(point, draw_us=time_draws(self._prepared.engine, self._study.data)))
        self._study = replace(self._study, reference=predictions)

    def _measure(self, level: Level) -> SweepPoint:
        self._refer()
        prepared = self._study.prepare(level)
        point = measure_level(self._study, level, prepared.plan.after, self._predict(prepared))
        point = replace(point, draw_us=time_draws(prepared.engine, self._study.data))
        self._keep(point)
        return point

    def _predict(self, prepared: Prepared) -> Predictions:
        workers = self._workers if is_divisible(prepared) else None
        return self._study.predict(prepared, self._tell, workers)

    def _keep(self, point: SweepPoint) -> None:
        self._record.keep(self._header, point)
        self._done += 1
        self._tell(0.0)

    def _tell(self, share: float) -> None:
        self._progress(min((self._done + share) / self._total, 1.0))

    def search(self) -> Search:
        """Search within the budget; the points of the grid are known."""
        assert self._grid.budget is not None
        assert self._record.sweep is not None
        whole = self._record.sweep.points[0]
        self._grid.budget.check(whole.metrics)
        sparsities = self._grid.sparsities or DEFAULT_SPARSITIES
        if self._grid.thresholds:
            sparsities = tuple(level.total.sparsity for level in self._levels.levels)
        return search_levels(
            self._study,
            self._grid.rule,
            self._grid.budget,
            sparsities,
            lambda level: self._known(level) or self._measure(level),
            allow_empty_layers=self._grid.allow_empty_layers,
        )

    def measure_times(self) -> None:
        """Time the points that other processes measured, one by one, now that nothing else runs."""
        assert self._record.sweep is not None
        by_count = {level.total.nonzeros: level for level in self._levels.levels}
        for point in self._record.sweep.untimed:
            level = by_count[point.nonzeros]
            prepared = self._study.prepare(level)
            prepared.engine.prepare(len(self._study.data))
            self._record.keep(self._header, replace(point, draw_us=time_draws(prepared.engine, self._study.data)))
            self._tell(0.0)

    def finish(self, found: Search | None) -> Sweep:
        """Say that all is there."""
        assert self._record.sweep is not None
        record = "" if found is None else found.to_json()
        sweep = self._record.sweep
        if not sweep.finished or sweep.search != record:
            sweep = self._record.keep(self._header, finished=True, search=record)
        self._progress(1.0)
        return sweep


def sweep(
    case: Case | str | os.PathLike[str],
    data: Dataset | str | Path | None = None,
    out: str | Path | None = None,
    *,
    criterion: Criterion | str = "snr",
    context: Context | None = None,
    scope: Scope | str = Scope.GLOBAL,
    sparsities: Sequence[float] | None = None,
    thresholds: Sequence[float] | None = None,
    mc_iters: int = DEFAULT_SWEEP_MC_ITERS,
    seed: int = 0,
    scale: float | None = None,
    engine: EngineName | str = EngineName.AUTO,
    sampling: Sampling | str | None = None,
    precision: Precision | str = Precision.FLOAT32,
    batch_size: int | None = None,
    antithetic: bool = False,
    budget: Budget | None = None,
    allow_empty_layers: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Sweep:
    """Measure what pruning costs at many sparsities, with the same examples and the same noise.

    Args:
        case: The case, or a path of it.
        data: Held-out data, or a file of it; None takes the case's heldout.npz.
        out: The file to write; every point is there as soon as it is finished, and a sweep that ended early goes on
            from there. None writes nothing.
        criterion: What weights are scored by.
        context: What the criterion needs beside the posteriors: a prior, an inclusion probability, activations.
        scope: Of what a sparsity is a fraction: `global` or `layer`.
        sparsities: The grid, in [0, 1].
        thresholds: The grid in units of the criterion, in place of sparsities.
        mc_iters: Draws per example.
        seed: Seed of the noise, the same at all points.
        scale: Divide integer inputs by this number.
        engine: Which engine runs the draws.
        sampling: How weights are shared between the examples of a draw; None takes what the engine does.
        precision: In which number format products are computed.
        batch_size: Examples that are run together; None chooses.
        antithetic: Draw pairs of opposite noise; the engine native alone.
        budget: Search for the largest sparsity within it as well; see `bprune.judgement.budget_of`.
        allow_empty_layers: Whether a layer may lose all its weights; else such points are left out, with a note.
        workers: How many processes work; with an executor how many workers it has. The values are the same.
        executor: Who works: any executor as in `concurrent.futures`. Its workers see the case under the same path.
        overwrite: Whether an existing file is replaced.
        progress: Told the share of the work that is done.

    Returns:
        The points by sparsity; the first is the network as it is.

    Raises:
        UsageError: If arguments do not go together.
        InputError: If case or data cannot be used.
        TargetError: If no sparsity keeps the budget; the file has the points.
        EngineError: If the network cannot be run, or a worker is lost.
        OutputError: If the file cannot be written, or holds another sweep.

    Example:
        >>> curve = sweep("sample_checkpoints/digits_conv", out="digits-sweep.h5", sparsities=[0.5, 0.8])
        >>> [point.metrics["accuracy"].value for point in curve.points]
    """
    loaded = case if isinstance(case, Case) else load_case(case)
    found = find_criterion(criterion) if isinstance(criterion, str) else criterion
    rule = Rule(None, 0.0, {}, found, find_scope(scope), context if context is not None else Context())
    grid = Grid(
        rule,
        None if sparsities is None else tuple(sparsities),
        None if thresholds is None else tuple(thresholds),
        allow_empty_layers,
        budget,
    )
    draws = Draws(mc_iters, seed, engine, sampling, precision, batch_size, antithetic)
    network = read_network(loaded)
    prepared = prepare_draws(loaded, network, network.masks, draws)
    dataset = load_data(loaded, prepared.engine, given_data(data), scale=scale)
    with open_workers(executor, workers) as crew:
        measured, searched = run_sweep(
            Study(loaded, network, dataset, draws),
            prepared,
            grid,
            None if out is None else Path(out),
            workers=crew,
            overwrite=overwrite,
            progress=progress,
        )
    if searched is not None:
        check_found(searched, len(dataset))
    return measured
