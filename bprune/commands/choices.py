"""The options that commands share, as values: what the user chose, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
    from bprune.inference.stopping import Stopping
    from bprune.judgement import Budget
    from bprune.posterior import Network
    from bprune.pruning import Context, Criterion, Plan, Rule

__all__ = [
    "BudgetChoice",
    "CaseChoice",
    "CasesChoice",
    "CriterionChoice",
    "DataChoice",
    "RuleChoice",
    "RunChoice",
    "parse_pairs",
]


@dataclass(frozen=True)
class ReadingChoice:
    """How to read a case."""

    checkpoint: str | None
    input_op: str | None
    output_op: str | None
    task: str | None
    feed: tuple[str, ...]
    trust_graph: bool

    def read(self, folder: Path, checkpoint: str | None) -> Case:
        """Load the case in a folder."""
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
class CaseChoice(ReadingChoice):
    """Which case, and how to read it."""

    case_dir: Path

    def load(self) -> Case:
        """Load the case that the user named."""
        return self.read(self.case_dir, self.checkpoint)

    def load_pruned(self, folder: Path) -> Case:
        """Load the case that was just made of it, in the same way."""
        return self.read(folder, None)


@dataclass(frozen=True)
class CasesChoice(ReadingChoice):
    """Which cases, and how to read all of them."""

    case_dirs: tuple[Path, ...]

    def load(self) -> list[Case]:
        """Load the cases that the user named; several must be fit for one ensemble."""
        from bprune.results.ensemble import check_members

        cases = [self.read(folder, self.checkpoint) for folder in self.case_dirs]
        check_members(cases)
        return cases

    @staticmethod
    def results(cases: Sequence[Case]) -> Path:
        """Where results go unless the user says so."""
        return Path(f"{cases[0].name if len(cases) == 1 else 'ensemble'}-results.h5")


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

    def other(self, path: Path) -> DataChoice:
        """Inputs of another kind, in a file like that of the data; their labels mean nothing to the network."""
        return OtherData(path, None, self.x_key, None, self.scale, self.examples)

    def measured(self, criterion: Criterion, context: Context, case: Case, network: Network) -> Context:
        """The context with activations on the first examples, where the criterion needs them."""
        if "activations" not in criterion.uses:
            return context
        from bprune.engines import DEFAULT_ACTIVATION_EXAMPLES, measure_activations
        from bprune.results.record import load_inputs

        inputs = load_inputs(case, self.data, x_key=self.x_key, y_key=self.y_key, scale=self.scale).inputs
        count = min(DEFAULT_ACTIVATION_EXAMPLES, self.examples or DEFAULT_ACTIVATION_EXAMPLES)
        return replace(context, activations=measure_activations(case, inputs[:count], network))


@dataclass(frozen=True)
class OtherData(DataChoice):
    """Data of another kind: inputs alone."""

    def read(self, case: Case, engine: Engine) -> Dataset:
        """The inputs in the shape that the network takes."""
        from bprune.inference.data import first_examples
        from bprune.results.record import load_inputs

        dataset = load_inputs(case, self.data, x_key=self.x_key, scale=self.scale)
        return first_examples(replace(dataset, labels=None), self.examples)


@dataclass(frozen=True)
class CriterionChoice:
    """What weights are scored by."""

    criterion: str | None
    prior_loc: float | None
    prior_scale: float | None
    reduced_scale: float | None
    prior_inclusion: float | None

    def find(self) -> Criterion:
        """The criterion; the signal-to-noise ratio where none was named."""
        from bprune.pruning import find_criterion

        return find_criterion(self.criterion or "snr")

    def context(self) -> Context:
        """What was said about priors."""
        from bprune.pruning import Context, Prior

        prior = None
        if self.prior_loc is not None or self.prior_scale is not None:
            loc, scale = self.prior_loc, self.prior_scale
            prior = Prior(0.0 if loc is None else loc, 1.0 if scale is None else scale)
        return Context(prior, self.reduced_scale, self.prior_inclusion)


@dataclass(frozen=True)
class RuleChoice(CriterionChoice):
    """Which weights to prune."""

    threshold: float | None
    sparsity: float | None
    layer_threshold: tuple[str, ...]
    scope: str | None
    allow_empty_layers: bool

    @property
    def is_given(self) -> bool:
        """Whether anything was said about what to prune."""
        values = vars(self)
        return any(values[name] not in (None, ()) for name in values if name != "allow_empty_layers")

    def rule(self) -> Rule:
        """The rule, complete but for activations; the criterion's own threshold where none was chosen."""
        from bprune.pruning import Rule, Scope

        return Rule(
            self.threshold,
            self.sparsity,
            parse_pairs("--layer-threshold", self.layer_threshold),
            self.find(),
            Scope(self.scope or "global"),
            self.context(),
        )

    def plan(self, rule: Rule, case: Case, network: Network, data: DataChoice, tell: Output) -> Plan:
        """The masks of a rule; activations are measured on the data where its criterion needs them."""
        from bprune.pruning import plan_pruning

        rule = replace(rule, context=data.measured(rule.criterion, rule.context, case, network))
        told = ", ".join(f"{name} {value:g}" for name, value in rule.parameters().items())
        if told:
            tell.assumption(f"criterion {rule.criterion.name}: {told}")
        return plan_pruning(case, network, rule, allow_empty_layers=self.allow_empty_layers)


@dataclass(frozen=True)
class BudgetChoice:
    """How much worse the network may become."""

    max_accuracy_drop: float | None
    max_nll_rise: float | None
    max_ece_rise: float | None
    max_rmse_rise: float | None
    confidence: float | None

    def budget(self) -> Budget | None:
        """The budget; None where none was given.

        Raises:
            click.UsageError: If there is a confidence and nothing to be sure of.
        """
        from bprune.judgement import DEFAULT_CONFIDENCE, budget_of

        budget = budget_of(
            DEFAULT_CONFIDENCE if self.confidence is None else self.confidence,
            max_accuracy_drop=self.max_accuracy_drop,
            max_nll_rise=self.max_nll_rise,
            max_ece_rise=self.max_ece_rise,
            max_rmse_rise=self.max_rmse_rise,
        )
        if budget is None and self.confidence is not None:
            raise click.UsageError("--confidence goes with a budget, such as --max-accuracy-drop")
        return budget


@dataclass(frozen=True)
class RunChoice:
    """How to run the draws."""

    wanted_draws: int | str | None
    max_mc_iters: int | None
    target_stderr: float | None
    antithetic: bool
    seed: int
    batch_size: int | None
    draws: str | None
    engine: str
    sampling: str
    precision: str
    overwrite: bool

    @property
    def mc_iters(self) -> int:
        """Draws per example.

        Raises:
            click.UsageError: If their number is not fixed.
        """
        from bprune.inference import DEFAULT_MC_ITERS

        if self.stopping() is not None:
            raise click.UsageError("this command needs a fixed number of draws: give --mc-iters a number")
        return self.wanted_draws if isinstance(self.wanted_draws, int) else DEFAULT_MC_ITERS

    def stopping(self) -> Stopping | None:
        """When the draws of an example end; None where their number is fixed."""
        from bprune.inference.stopping import DEFAULT_MAX_MC_ITERS
        from bprune.results.record import choose_stopping

        largest = DEFAULT_MAX_MC_ITERS if self.max_mc_iters is None else self.max_mc_iters
        stopping = choose_stopping(self.wanted_draws, largest, self.target_stderr)
        if stopping is None and self.max_mc_iters is not None:
            raise click.UsageError("--max-mc-iters goes with --mc-iters auto or --target-stderr")
        return stopping

    @property
    def most_draws(self) -> int:
        """Draws per example; the most of them where their number is not fixed."""
        stopping = self.stopping()
        return self.mc_iters if stopping is None else stopping.max_mc_iters

    @property
    def keep_draws(self) -> bool | None:
        """Whether draws are stored; None where nothing was said."""
        return None if self.draws is None else self.draws == "all"

    @property
    def told_draws(self) -> str:
        """The number of draws in words."""
        return f"{'' if self.stopping() is None else 'at most '}{self.most_draws} draws"

    def prepare(
        self, case: Case, network: Network, masks: Mapping[str, BoolArray], tell: Output, *, seed: int | None = None
    ) -> Prepared:
        """The engine that was chosen, ready to draw; what it does is told with -v, why auto takes the graph always.

        `seed` is that of a member of an ensemble, where it has its own.
        """
        from bprune.engines.choose import prepare_engine
        from bprune.inference.antithetic import check_pairs, pair_draws

        stopping = self.stopping()
        if stopping is not None:
            stopping.check(case.task)
        if self.antithetic:
            check_pairs(self.engine, self.most_draws)

        prepared = prepare_engine(
            case,
            network,
            masks,
            seed=self.seed if seed is None else seed,
            name=self.engine,
            sampling=None if self.sampling == "auto" else self.sampling,
            precision=self.precision,
        )
        if self.antithetic:
            prepared = pair_draws(prepared)
        if prepared.plan.reason and self.engine == self.sampling == "auto":
            tell.notice(f"The graph runs as it was trained, which is slower: {prepared.plan.reason}")
        for line in prepared.plan.lines:
            tell.assumption(line)
        return prepared


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
