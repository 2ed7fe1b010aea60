"""Options that commands share, as decorators. Each group arrives at the command as one value of `choices`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from bprune.commands.choices import (
    BudgetChoice,
    CaseChoice,
    CasesChoice,
    CriterionChoice,
    DataChoice,
    RuleChoice,
    RunChoice,
)
from bprune.commands.output import Output

__all__ = [
    "CRITERION_NAMES",
    "NumberOfDraws",
    "budget_options",
    "case_options",
    "cases_options",
    "criterion_options",
    "data_options",
    "draw_parts",
    "engine_parts",
    "group_options",
    "output_options",
    "rule_options",
    "run_options",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class NumberOfDraws(click.IntRange):
    """A number of at least 1, or auto."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or `auto` as it is."""
        return value if value == "auto" else super().convert(value, param, ctx)


def group_options(name: str, kind: type[Any], *options: Callable[[Any], Any]) -> Callable[[_Function], _Function]:
    """A decorator that adds options and hands them to the command as one argument `name` of the type `kind`."""
    members = [item.name for item in fields(kind)]

    def decorate(function: _Function) -> _Function:
        @functools.wraps(function)
        def collected(**arguments: Any) -> Any:
            chosen = kind(**{member: arguments.pop(member) for member in members})
            return function(**arguments, **{name: chosen})

        wrapped: Any = collected
        for option in reversed(options):
            wrapped = option(wrapped)
        result: _Function = wrapped
        return result

    return decorate


_reading_parts: tuple[Callable[[Any], Any], ...] = (
    click.option("--checkpoint", metavar="NAME", help="Which iteration: its number or name. Default: the latest."),
    click.option("--input-op", metavar="NAME", help="The input operation, where the graph leaves a choice."),
    click.option("--output-op", metavar="NAME", help="The output operation, where the graph leaves a choice."),
    click.option(
        "--task", type=click.Choice(["classification", "regression"]), help="What the network predicts, where unclear."
    ),
    click.option("--feed", multiple=True, metavar="NAME=VALUE", help="Value of a further placeholder. Repeatable."),
    click.option(
        "--trust-graph", is_flag=True, help="Run operations that are not on the allow-list. Your own graphs only."
    ),
)
"""How to read a case."""


def _one_case(context: click.Context, parameter: click.Parameter, given: tuple[Path, ...]) -> Path:
    """The case of a command that takes one; click would take the last of several."""
    if len(given) > 1:
        raise click.UsageError("this command takes one --case-dir; several are an ensemble, which bprune infer runs")
    return given[0]


_CASE_HELP = "The case: its directory, its checkpoint folder, a checkpoint prefix, or any file of it."

case_options: Callable[[Any], Any] = group_options(
    "choice",
    CaseChoice,
    click.option(
        "--case-dir",
        "case_dir",
        type=click.Path(path_type=Path),
        required=True,
        multiple=True,
        callback=_one_case,
        help=_CASE_HELP,
    ),
    *_reading_parts,
)
"""Which case: the argument `choice`."""

cases_options: Callable[[Any], Any] = group_options(
    "choice",
    CasesChoice,
    click.option(
        "--case-dir",
        "case_dirs",
        type=click.Path(path_type=Path),
        required=True,
        multiple=True,
        help=f"{_CASE_HELP} Repeated: an ensemble, whose members are averaged.",
    ),
    *_reading_parts,
)
"""Which cases: the argument `choice`."""

data_options: Callable[[Any], Any] = group_options(
    "data",
    DataChoice,
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        help="Inputs and labels: .npz, .npy, .h5 or MNIST's IDX. Default: the case's heldout.npz.",
    ),
    click.option("--labels", type=click.Path(path_type=Path), help="Labels, when --data holds inputs alone."),
    click.option("--x-key", metavar="KEY", help="Name of the inputs in --data."),
    click.option("--y-key", metavar="KEY", help="Name of the labels in --data."),
    click.option("--scale", type=float, metavar="S", help="Divide the inputs by S; integer images need it (255 or 1)."),
    click.option("--examples", type=click.IntRange(min=1), metavar="N", help="Use the first N examples."),
)
"""Which data: the argument `data`."""

draw_parts: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--antithetic",
        is_flag=True,
        help="Draw pairs of opposite noise, which can make means far more precise; engine native alone.",
    ),
    click.option(
        "--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, show_default=True, help="Seed of the noise."
    ),
    click.option("--batch-size", type=click.IntRange(min=1), help="Examples run together. Default: what fits."),
)
"""How draws are made."""

engine_parts: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--engine",
        type=click.Choice(["auto", "graph", "tensorflow", "native"]),
        default="auto",
        show_default=True,
        help="native, tensorflow: the compacted network, on the CPU or any device. graph: as it was trained.",
    ),
    click.option(
        "--sampling",
        type=click.Choice(["auto", "per-example", "weights", "as-trained"]),
        default="auto",
        show_default=True,
        help="weights: one set for all examples of a draw. per-example: the fastest that is exact for each example. "
        "as-trained: flipout and so on, graph alone.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Number format of products.",
    ),
)
"""What makes them."""

run_options: Callable[[Any], Any] = group_options(
    "run",
    RunChoice,
    click.option(
        "--mc-iters",
        "wanted_draws",
        type=NumberOfDraws(),
        metavar="N|auto",
        help="Draws per example; auto: until it is settled which class has the largest mean probability, wrong with a "
        "probability of 1 % at most.  [default: 400]",
    ),
    click.option(
        "--target-stderr",
        type=click.FloatRange(min=0.0, min_open=True),
        metavar="E",
        help="Draw until the MC standard error of each probability, or of each mean of a regression, is at most E.",
    ),
    click.option(
        "--max-mc-iters",
        type=click.IntRange(min=1),
        help="Most draws per example with --mc-iters auto or --target-stderr.  [default: 4000]",
    ),
    *draw_parts,
    click.option(
        "--draws",
        type=click.Choice(["all", "none"]),
        help="Store every draw, or the summary alone.  [default: all; none where their number is not fixed]",
    ),
    *engine_parts,
    click.option("--overwrite", is_flag=True, help="Replace an output of an earlier run."),
)
"""How to run the draws: the argument `run`."""

CRITERION_NAMES = (
    "snr",
    "snr-db",
    "mse",
    "sign",
    "bmr",
    "bmr-reduced",
    "inclusion",
    "magnitude",
    "expected-magnitude",
    "second-moment",
    "signal-plus-noise",
    "activation-magnitude",
    "activation-moment",
    "group-snr",
    "group-bmr",
    "kl-bits",
)
"""The names of `bprune.pruning.CRITERIA`, which would take a second to import."""

_criterion_parts: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--criterion",
        type=click.Choice(CRITERION_NAMES),
        metavar="NAME",
        help="What weights are scored by; docs/criteria.md lists them.  [default: snr]",
    ),
    click.option("--prior-loc", type=float, metavar="M", help="Mean of the weights' Normal prior.  [default: 0]"),
    click.option(
        "--prior-scale", type=float, metavar="S", help="Standard deviation of the weights' prior.  [default: 1]"
    ),
    click.option(
        "--reduced-scale", type=float, metavar="S", help="Standard deviation of the reduced prior of bmr-reduced."
    ),
    click.option(
        "--prior-inclusion",
        type=float,
        metavar="P",
        help="Prior probability that a weight is there.  [default: 0.5]",
    ),
)
"""What weights are scored by."""

criterion_options: Callable[[Any], Any] = group_options("scored", CriterionChoice, *_criterion_parts)
"""What weights are scored by: the argument `scored`."""

rule_options: Callable[[Any], Any] = group_options(
    "pruning",
    RuleChoice,
    click.option(
        "--threshold",
        type=float,
        metavar="NUMBER",
        help="Prune weights with a smaller score.  [default: the criterion's own, an SNR of 10]",
    ),
    click.option("--sparsity", type=float, metavar="SHARE", help="Prune this share of the weights, lowest first."),
    click.option(
        "--layer-threshold", multiple=True, metavar="LAYER=NUMBER", help="Threshold of one layer. Repeatable."
    ),
    *_criterion_parts,
    click.option(
        "--scope",
        type=click.Choice(["global", "layer"]),
        help="Of what --sparsity is a share: all weights, or those of every layer.  [default: global]",
    ),
    click.option("--allow-empty-layers", is_flag=True, help="Let a layer lose all its weights."),
)
"""Which weights to prune: the argument `pruning`."""

budget_options: Callable[[Any], Any] = group_options(
    "allowance",
    BudgetChoice,
    click.option(
        "--max-accuracy-drop",
        type=click.FloatRange(min=0.0),
        metavar="X",
        help="Find the largest sparsity at which accuracy drops by X at most (0.005: half a percent).",
    ),
    click.option("--max-nll-rise", type=click.FloatRange(min=0.0), metavar="X", help="The same for the NLL, in nats."),
    click.option(
        "--max-ece-rise", type=click.FloatRange(min=0.0), metavar="X", help="The same for the calibration error."
    ),
    click.option(
        "--max-rmse-rise", type=click.FloatRange(min=0.0), metavar="X", help="The same for the RMSE of a regression."
    ),
    click.option(
        "--confidence",
        type=click.FloatRange(min=0.5, max=1.0, max_open=True),
        metavar="P",
        help="How sure the budget must be kept on new examples of the same kind and with other draws: a sparsity "
        "qualifies when upper confidence bounds of the paired differences are within the limits. The share of searches "
        "that go beyond the budget is at most 1 - P; that they look at several sparsities on the same held-out data is "
        "allowed for.  [default: 0.95]",
    ),
)
"""How much worse the network may become: the argument `allowance`."""

output_options: Callable[[Any], Any] = group_options(
    "tell",
    Output,
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, errors included."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors alone."),
    click.option("-v", "--verbose", count=True, help="Tell more: -v assumptions, -vv TensorFlow's own messages."),
    click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."),
)
"""How to tell: the argument `tell`."""
