"""Options that commands share, as decorators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["case_options", "common_options", "data_options", "parse_pairs", "rule_options", "run_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Decorator = Callable[[_Function], _Function]


def _stack(*options: Callable[[Any], Any]) -> Callable[[_Function], _Function]:
    def decorate(function: _Function) -> _Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


case_options: Callable[[Any], Any] = _stack(
    click.option(
        "--case-dir",
        "case_dir",
        type=click.Path(path_type=Path),
        required=True,
        help="The case: its directory, its checkpoint folder, a checkpoint prefix, or any file of it.",
    ),
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
"""Which case, and how to read it."""

data_options: Callable[[Any], Any] = _stack(
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
"""Which data."""

run_options: Callable[[Any], Any] = _stack(
    click.option("--mc-iters", type=click.IntRange(min=1), default=400, show_default=True, help="Draws per example."),
    click.option(
        "--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, show_default=True, help="Seed of the noise."
    ),
    click.option(
        "--batch-size", type=click.IntRange(min=1), help="Examples that are run together. Default: what fits."
    ),
    click.option(
        "--draws",
        type=click.Choice(["all", "none"]),
        default="all",
        show_default=True,
        help="Store every draw, or the summary alone.",
    ),
    click.option("--overwrite", is_flag=True, help="Replace an output of an earlier run."),
)
"""How to run the draws."""

rule_options: Callable[[Any], Any] = _stack(
    click.option("--threshold", type=float, metavar="SNR", help="Prune weights with a smaller SNR.  [default: 10]"),
    click.option("--sparsity", type=float, metavar="SHARE", help="Prune this share of all weights, lowest SNR first."),
    click.option("--layer-threshold", multiple=True, metavar="LAYER=SNR", help="Threshold of one layer. Repeatable."),
    click.option("--allow-empty-layers", is_flag=True, help="Let a layer lose all its weights."),
)
"""Which weights to prune."""

common_options: Callable[[Any], Any] = _stack(
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output, errors included."),
    click.option("-q", "--quiet", is_flag=True, help="Print errors alone."),
    click.option("-v", "--verbose", count=True, help="Tell more: -v assumptions, -vv TensorFlow's own messages."),
    click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."),
)
"""How to tell."""


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
            number: float | None = words[value.lower()] if value.lower() in words else float(value)
        except ValueError:
            number = None
        if not separator or not name or number is None:
            raise click.UsageError(f"{option} {pair}: give NAME=NUMBER")
        if name in result:
            raise click.UsageError(f"{option} {pair}: {name} is given twice")
        result[name] = number
    return result
