"""Run what a report needs and is not there yet: inference before and after pruning, a sweep, times."""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.engines.base import Engine
from bprune.engines.choose import Prepared
from bprune.inference.data import Dataset
from bprune.inference.data.labels import fit_labels
from bprune.inference.dispatch import is_divisible
from bprune.inference.progress import Progress, no_progress
from bprune.inference.timing import DrawLoop, median_s, time_in_turns
from bprune.judgement.compare import compare_results
from bprune.judgement.measure import Draws, Study, prepare_draws
from bprune.judgement.run import Grid, run_sweep
from bprune.judgement.sweep import Sweep
from bprune.posterior.posterior import Network
from bprune.posterior.recognise import read_network
from bprune.pruning.record import read_pruning_record
from bprune.pruning.threshold import Rule
from bprune.report.choose import choose
from bprune.report.findings import Choice, Findings, Side
from bprune.report.supplied import draws_of, match_results, matching_sweep
from bprune.results import Results
from bprune.results.record import Member, new_run, record_draws
from bprune.scale.workers import Workers

__all__ = ["SWEEP_MC_ITERS", "SWEEP_SPARSITIES", "Request", "collect"]

SWEEP_SPARSITIES = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)
"""The sparsities of a report's own sweep, besides that of the pruning itself."""

SWEEP_MC_ITERS = 50
"""Draws per example of a report's own sweep, at most; `bprune sweep` measures finer."""

_TIMED_EXAMPLES = 512
_TIMED_S = 0.1
_MOST_TIMED_DRAWS = 100
_ROUNDS = 5


@dataclass(frozen=True, eq=False)
class Request:
    """What a report is asked for.

    Attributes:
        case: The case.
        rule: Which weights to prune; None for a default.
        read_data: Reads held-out data for an engine; None where none is known.
        draws: How draws are made.
        asked: The names of the parts of `draws` that were asked for on purpose.
        results: Results files that are there already.
        sweep: A sweep that is there already, or None.
        with_sweep: Whether a sweep is run where none is there.
        allow_empty_layers: Whether a layer may lose all its weights.
        network: The posteriors; None reads them from the case.
        command: The command line, or the Python call.
    """

    case: Case
    rule: Rule | None
    read_data: Callable[[Engine], Dataset] | None
    draws: Draws
    asked: frozenset[str] = frozenset()
    results: tuple[Path, ...] = ()
    sweep: Path | None = None
    with_sweep: bool = True
    allow_empty_layers: bool = False
    network: Network | None = None
    command: str = "bprune.report.write_report"


@contextlib.contextmanager
def collect(request: Request, workers: Workers | None = None, progress: Progress = no_progress) -> Iterator[Findings]:
    """Run what is missing.

    Args:
        request: What is asked for.
        workers: Who runs the draws; None for this process.
        progress: Told the share of the work that is done.

    Yields:
        What was found; its results files are open, and gone behind the body.

    Raises:
        TargetError: If a layer would lose all its weights.
        InputError: If data, results or sweep do not belong to the case.
        UsageError: If what was asked for does not go with the results that are there.
    """
    case = request.case
    network = request.network if request.network is not None else read_network(case)
    record = read_pruning_record(case.files.pruning) if case.files.pruning is not None else None
    choice = choose(case, network, request.rule, record, allow_empty_layers=request.allow_empty_layers)
    with contextlib.ExitStack() as stack:
        found = match_results(request.results, stack, case, network, choice, record)
        sweep = None if request.sweep is None else matching_sweep(request.sweep, case, choice)
        draws = draws_of(found, request.draws, request.asked)
        work = _Work(request, network, choice, draws, Path(stack.enter_context(tempfile.TemporaryDirectory())), workers)
        work.prepare(found)
        if sweep is None and work.data is not None and request.with_sweep and choice.rule is not None:
            sweep = work.sweep(_part(progress, 0.0, 0.5))
        sides = work.sides(found, stack, _part(progress, 0.5, 1.0))
        results = [side.results for side in sides if side.results is not None]
        comparison = compare_results(*results) if len(results) == 2 else None
        progress(1.0)
        yield Findings(
            case,
            network,
            record,
            choice,
            sides,
            work.data,
            draws,
            sweep,
            comparison,
            tuple(_missing(request, choice, sides, work.data, sweep)),
            tuple(work.assumptions),
            request.command,
        )


class _Work:
    """A report that is being made: engines and data, then runs."""

    def __init__(
        self, request: Request, network: Network, choice: Choice, draws: Draws, folder: Path, workers: Workers | None
    ) -> None:
        self._workers = workers
        self._request, self._case, self._network = request, request.case, network
        self._choice, self._draws, self._folder = choice, draws, folder
        self._engines: dict[int, Prepared] = {}
        self._times: dict[int, float] = {}
        self.data: Dataset | None = None
        self.assumptions: list[str] = []

    def prepare(self, found: Mapping[int, Results]) -> None:
        """Make the engines, and read the data."""
        if self._choice.rule is not None:
            self._engines[0] = self._prepared(self._network.masks)
        self._engines[1] = self._prepared(self._choice.masks)
        engine = self._engines[1].engine
        if self._request.read_data is not None:
            self.data = self._request.read_data(engine)
        elif found:
            first = next(iter(found.values()))
            stored = Dataset(first.inputs, first.labels, str(first.path)).noting(f"data of {first.path}")
            self.data = fit_labels(stored, task=self._case.task, outputs=engine.output_size)
        if self.data is not None:
            self.assumptions += self.data.notes
        self.assumptions += self._case.roles.found

    def _prepared(self, masks: Mapping[str, BoolArray]) -> Prepared:
        return prepare_draws(self._case, self._network, masks, self._draws)

    def sweep(self, progress: Progress) -> Sweep:
        """What pruning costs at a few sparsities, and at that of the pruning."""
        assert self.data is not None
        assert self._choice.rule is not None
        rule = replace(self._choice.rule, threshold=None, sparsity=0.0, layer_thresholds={})
        even = SWEEP_MC_ITERS if not self._draws.antithetic else SWEEP_MC_ITERS - SWEEP_MC_ITERS % 2
        draws = replace(self._draws, mc_iters=min(even, self._draws.mc_iters))
        own = () if self._choice.rule.layer_thresholds else (self._choice.total.sparsity,)
        grid = Grid(rule, (*SWEEP_SPARSITIES, *own), None, self._request.allow_empty_layers)
        study = Study(self._case, self._network, self.data, draws)
        return run_sweep(
            study,
            self._engines[0],
            grid,
            None,
            workers=self._workers,
            command=self._request.command,
            progress=progress,
        )[0]

    def sides(self, found: Mapping[int, Results], stack: contextlib.ExitStack, progress: Progress) -> tuple[Side, ...]:
        """The networks, with their predictions where there is data."""
        names = {0: "before pruning", 1: "after pruning"}
        numbers = sorted({*self._engines, *found})
        if len(numbers) == 1:
            names[1] = "this case"
        made = []
        self._times = self._measure_times()
        for place, number in enumerate(numbers):
            part = _part(progress, place / len(numbers), (place + 1) / len(numbers))
            results = found.get(number)
            if results is None and self.data is not None:
                results = stack.enter_context(self._run(number, self.data, part))
            made.append(self._side(names[number], number, results))
        return tuple(made)

    def _measure_times(self) -> dict[int, float]:
        """Microseconds per example and draw of every engine, in turns, so that what else runs strikes all of them."""
        if self.data is None:
            return {}
        inputs = self.data.inputs[:_TIMED_EXAMPLES]
        for prepared in self._engines.values():
            prepared.engine.prepare(len(self.data))

        def times(draws: int, rounds: int) -> dict[int, float]:
            loops = {str(name): DrawLoop(item.engine, inputs, draws) for name, item in self._engines.items()}
            return {int(name): median_s(seconds) for name, seconds in time_in_turns(loops, rounds).items()}

        draws = int(np.clip(_TIMED_S / max(*times(1, 1).values(), 1e-9), 1, _MOST_TIMED_DRAWS))
        return {name: 1e6 * seconds / draws / len(inputs) for name, seconds in times(draws, _ROUNDS).items()}

    def _side(self, name: str, number: int, results: Results | None) -> Side:
        prepared = self._engines.get(number)
        if prepared is None:
            assert results is not None
            layers = results.layers
            weights, nonzeros = sum(item.weights for item in layers), sum(item.nonzeros for item in layers)
            size = json.loads(results.run.plan).get("after", {}) if results.run.plan else {}
            return Side(name, weights, nonzeros, size, math.nan, results, None, results.metrics())
        total = self._choice.total
        nonzeros = total.nonzeros if number else sum(int(mask.sum()) for mask in self._network.masks.values())
        metrics = {} if results is None else results.metrics()
        return Side(
            name,
            total.weights,
            nonzeros,
            prepared.plan.after,
            self._times.get(number, math.nan),
            results,
            prepared,
            metrics,
        )

    def _run(self, number: int, data: Dataset, progress: Progress) -> Results:
        prepared, draws = self._engines[number], self._draws
        run = new_run(
            self._case,
            prepared,
            mc_iters=draws.mc_iters,
            seed=draws.seed,
            rule=self._choice.rule if number else None,
            command=self._request.command,
            antithetic=draws.antithetic,
        )
        return record_draws(
            [Member(self._network, prepared)],
            data,
            self._folder / f"{number}.h5",
            run,
            keep_draws=False,
            batch_size=draws.batch_size,
            workers=self._workers if is_divisible(prepared) else None,
            progress=progress,
        )


def _part(progress: Progress, low: float, high: float) -> Progress:
    return lambda share: progress(low + (high - low) * share)


def _missing(
    request: Request, choice: Choice, sides: Sequence[Side], data: Dataset | None, sweep: Sweep | None
) -> Iterator[str]:
    if data is None:
        yield (
            "No held-out data is known, so nothing can be said about accuracy, calibration, uncertainty or time. "
            "Pass a file of inputs and labels with --data."
        )
    elif data.labels is None:
        yield (
            "No labels are known, so accuracy, calibration and errors cannot be told. Pass them with --labels, or in "
            "the file of --data."
        )
    if choice.rule is None and len(sides) == 1:
        yield (
            "The case was pruned before, and what it was pruned from is not here, so there is no comparison with it. "
            "Pass results of the unpruned case with --results."
        )
    if data is not None and sweep is None:
        asked = "was not asked for" if not request.with_sweep else "is not run for a case that is pruned already"
        yield f"The sweep over other thresholds {asked}; bprune sweep measures it."
