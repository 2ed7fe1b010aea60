"""The options that commands share, as values: what the user chose, and what follows from it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bprune.commands.output import Output

if TYPE_CHECKING:
    from bprune.arrays import BoolArray
    from bprune.case import Case
    from bprune.engines import Engine
    from bprune.engines.choose import Prepared
    from bprune.inference import Dataset
    from bprune.posterior import Network
    from bprune.pruning import Rule
    from bprune.results import Results

__all__ = ["CaseChoice", "DataChoice", "RuleChoice", "RunChoice", "parse_pairs"]


@dataclass(frozen=True)
class CaseChoice:
    """Which case, and how to read it."""

    case_dir: Path
    checkpoint: str | None
    input_op: str | None
    output_op: str | None
    task: str | None
    feed: tuple[str, ...]
    trust_graph: bool

    def load(self) -> Case:
        """Load the case that the user named."""
        return self._load(self.case_dir, self.checkpoint)

    def load_pruned(self, folder: Path) -> Case:
        """Load the case that was just made of it, in the same way."""
        return self._load(folder, None)

    def _load(self, folder: Path, checkpoint: str | None) -> Case:
        from bprune.case import load_case

        return load_case(
            folder,
            checkpoint=checkpoint,
            input_op=self.input_op,
            output_op=self.output_op,
            task=self.task,
            feeds=parse_pairs("--feed", self.feed),
            trust_graph=self.trust_graph,
        )


@dataclass(frozen=True)
class DataChoice:
    """Which data."""

    data: Path | None
    labels: Path | None
    x_key: str | None
    y_key: str | None
    scale: float | None
    examples: int | None

    def read(self, case: Case, engine: Engine) -> Dataset:
        """The data in the shape that the network takes."""
        from bprune.inference.data import first_examples
        from bprune.results.record import load_data

        dataset = load_data(
            case,
            engine,
            self.data,
            labels=self.labels,
            x_key=self.x_key,
            y_key=self.y_key,
            scale=self.scale,
        )
        return first_examples(dataset, self.examples)


@dataclass(frozen=True)
class RuleChoice:
    """Which weights to prune."""

    threshold: float | None
    sparsity: float | None
    layer_threshold: tuple[str, ...]
    allow_empty_layers: bool

    def rule(self) -> Rule:
        """The rule; the default threshold where nothing was chosen."""
        from bprune.pruning import DEFAULT_THRESHOLD, Rule

        threshold = DEFAULT_THRESHOLD if self.threshold is None and self.sparsity is None else self.threshold
        return Rule(threshold, self.sparsity, parse_pairs("--layer-threshold", self.layer_threshold))


@dataclass(frozen=True)
class RunChoice:
    """How to run the draws."""

    mc_iters: int
    seed: int
    batch_size: int | None
    draws: str
    engine: str
    sampling: str
    precision: str
    overwrite: bool

    def prepare(self, case: Case, network: Network, masks: Mapping[str, BoolArray], tell: Output) -> Prepared:
        """The engine that was chosen, ready to draw; what it does is told with -v, why auto takes the graph always."""
        from bprune.engines.choose import prepare_engine

        prepared = prepare_engine(
            case,
            network,
            masks,
            seed=self.seed,
            name=self.engine,
            sampling=None if self.sampling == "auto" else self.sampling,
            precision=self.precision,
        )
        if prepared.plan.reason and self.engine == self.sampling == "auto":
            tell.notice(f"The graph runs as it was trained, which is slower: {prepared.plan.reason}")
        for line in prepared.plan.lines:
            tell.assumption(line)
        return prepared

    def record(
        self,
        case: Case,
        network: Network,
        masks: Mapping[str, BoolArray],
        data: DataChoice,
        out: Path,
        *,
        rule: Rule | None,
        tell: Output,
    ) -> Results:
        """Run MC inference into a results file."""
        from bprune.results.record import new_run, record_draws

        prepared = self.prepare(case, network, masks, tell)
        dataset = data.read(case, prepared.engine)
        for note in dataset.notes:
            tell.assumption(note)
        command = " ".join(["bprune", *sys.argv[1:]])
        run = new_run(case, prepared, mc_iters=self.mc_iters, seed=self.seed, rule=rule, command=command)
        with tell.progress(f"{case.name}: {self.mc_iters} draws") as progress:
            return record_draws(
                case,
                network,
                masks,
                prepared.engine,
                dataset,
                out,
                run,
                keep_draws=self.draws == "all",
                batch_size=self.batch_size,
                overwrite=self.overwrite,
                progress=progress,
            )


def parse_pairs(option: str, pairs: tuple[str, ...]) -> dict[str, float]:
    """`NAME=NUMBER` options as a mapping; true and false count as 1 and 0.

    Raises:
        click.UsageError: If a pair has another form, or a name comes twice.
    """
    words = {"true": 1.0, "false": 0.0}
    result: dict[str, float] = {}
    for pair in pairs:
        name, separator, value = pair.rpartition("=")
        try:
            number = words[value.lower()] if value.lower() in words else float(value)
        except ValueError:
            separator = ""
        if not separator or not name:
            raise click.UsageError(f"{option} {pair}: give NAME=NUMBER")
        if name in result:
            raise click.UsageError(f"{option} {pair}: {name} is given twice")
        result[name] = number
    return result
