"""`bprune verify`: compare the fast engine with the graph on a case and its data."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import CaseChoice, DataChoice, RuleChoice
from bprune.commands.options import case_options, data_options, output_options, rule_options
from bprune.commands.output import Output, number, print_json, print_table
from bprune.commands.sizes import print_sizes
from bprune.errors import TargetError

if TYPE_CHECKING:
    from bprune.inference.agreement import Agreement, Detectable
    from bprune.inference.verify import Verification
    from bprune.pruning import Rule

__all__ = ["command"]

_EXAMPLES = 64
_MC_ITERS = 1000
_FALSE_ALARM = 1e-6


@click.command("verify")
@case_options
@data_options
@rule_options
@click.option(
    "--mc-iters",
    type=click.IntRange(min=100),
    default=_MC_ITERS,
    show_default=True,
    help="Draws per example and engine; more find smaller differences.",
)
@click.option(
    "--seed", type=click.IntRange(min=0, max=2**63 - 1), default=0, show_default=True, help="Seed of the noise."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "tensorflow", "native"]),
    default="auto",
    show_default=True,
    help="The engine that is compared with the graph. auto: the one that infer takes, native on a CPU.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="The number format of its products.",
)
@click.option(
    "--false-alarm",
    type=click.FloatRange(min=0.0, max=1.0, min_open=True, max_open=True),
    default=_FALSE_ALARM,
    show_default=True,
    metavar="RATE",
    help="Probability, at most, that equal laws are told apart.",
)
@output_options
def command(
    choice: CaseChoice,
    data: DataChoice,
    pruning: RuleChoice,
    mc_iters: int,
    seed: int,
    engine: str,
    precision: str,
    false_alarm: float,
    tell: Output,
) -> None:
    """Compare the engine that runs the lowered network with the graph as it was trained.

    Without noise both must give the same numbers; with noise, each example's draws must have the same law, which a
    statistical test decides with a stated false-alarm rate; and leaving out what pruning has made useless must not
    change a draw. With --threshold, --sparsity or --criterion the network is pruned on the fly first. Of the data, the
    first 64 examples are taken unless --examples says otherwise; labels play no part.

    \b
    Example:
      bprune verify --case-dir sample_checkpoints/digits_conv
      bprune verify --case-dir sample_checkpoints/digits_conv --threshold 2 --mc-iters 4000
    """
    with tell.tensorflow():
        from bprune.engines.choose import EngineName, engine_of_machine
        from bprune.engines.graph import GraphEngine
        from bprune.engines.tensorflow import Precision
        from bprune.inference.verify import verify
        from bprune.posterior import read_network

        if engine == "auto":
            engine = engine_of_machine()
        rule = pruning.rule() if pruning.is_given else None
        case = choice.load()
        network = read_network(case)
        masks = pruning.plan(rule, case, network, data, tell).masks if rule is not None else network.masks
        oracle = GraphEngine(case, network, masks, seed)
        dataset = replace(data, examples=data.examples or _EXAMPLES).read(case, oracle)
        for note in dataset.notes:
            tell.assumption(note)
        with tell.progress(f"{case.name}: {mc_iters} draws of graph and {engine}") as progress:
            result = verify(
                case,
                network,
                masks,
                oracle,
                dataset.inputs,
                mc_iters=mc_iters,
                seed=seed,
                precision=Precision(precision),
                engine=EngineName(engine),
                false_alarm=false_alarm,
                progress=progress,
            )
    failure = TargetError("; ".join(result.failures), hint="Run with --engine graph, and report this with --json.")
    if tell.as_json:
        print_json(_content(case.name, rule, seed, result, failure))
    elif not tell.quiet:
        _print(result)
    if result.failures:
        _fail(failure, tell)


def _fail(failure: TargetError, tell: Output) -> None:
    """End with the exit code of a failure. With --json the object is printed already, so that there is one alone."""
    if not tell.as_json:
        raise failure
    click.echo(f"Error: {failure.message}\nHint: {failure.hint}", err=True)
    raise click.exceptions.Exit(failure.exit_code)


def _content(case: str, rule: Rule | None, seed: int, result: Verification, failure: TargetError) -> dict[str, Any]:
    laws = result.laws
    error = {"message": failure.message, "hint": failure.hint, "exit_code": failure.exit_code}
    return {
        "schema": "bprune-verify 1",
        "case": case,
        "engine": result.engine,
        "precision": result.precision.value,
        "criterion": rule.criterion.name if rule else None,
        "threshold": rule.threshold if rule else None,
        "sparsity_target": rule.sparsity if rule else None,
        "seed": seed,
        "holds": result.holds,
        "layers": [asdict(row) for row in result.sizes.rows],
        "total": asdict(result.sizes.total),
        "zero_scale": {"holds": result.zero_scale.within, **asdict(result.zero_scale)},
        "laws": {"holds": laws.agrees, "level": laws.level, **asdict(laws)},
        "same_draws": {"holds": result.same_draws.within, **asdict(result.same_draws)},
        "failures": list(result.failures),
        **({} if result.holds else {"error": error}),
    }


def _print(result: Verification) -> None:
    print_sizes(result.sizes)
    zero, same, laws = result.zero_scale, result.same_draws, result.laws
    print_table(
        ["law", "", "found", "allowed"],
        [
            ["without noise, program = graph", _verdict(zero.within), number(zero.error), f"{zero.tolerance:g}"],
            [
                "compacted = masked, same draws",
                _verdict(same.within),
                number(same.error),
                f"{same.tolerance:g}",
            ],
            [
                "same law per example",
                _verdict(laws.agrees),
                f"p = {number(laws.worst.p_value)}",
                f"p >= {number(laws.level)}",
            ],
        ],
        text_columns=2,
    )
    for line in _law_lines(laws):
        click.echo(line)


def _verdict(holds: bool) -> str:
    return "holds" if holds else "FAILS"


def _law_lines(laws: Agreement) -> list[str]:
    lines = [
        f"{laws.comparisons:,} comparisons of {laws.draws:,} draws of {laws.examples:,} examples; "
        f"equal laws would be told apart with a probability of {laws.false_alarm:g} at most.",
        f"Most different: {laws.worst.describe()} in graph and program.",
        f"In one example, {_detectable(laws.in_one_example, ' would have been found with a probability of 95 %')}.",
    ]
    if laws.in_all_examples is not None:
        lines.append(f"In all examples at once, {_detectable(laws.in_all_examples)}.")
    return lines


def _detectable(effect: Detectable, told: str = "") -> str:
    """Effects in words, then what is told of them; those that so few draws never show are named after it."""
    effects = [
        ("a shift", f"by {effect.shift:.2g} standard deviations", effect.shift),
        ("a change of the standard deviation", f"by {effect.ratio - 1.0:.0%}", effect.ratio),
    ]
    if effect.correlation is not None:
        effects.append(("a change of a correlation", f"by {effect.correlation:.2g}", effect.correlation))
    found = [f"{what} {size}" for what, size, value in effects if math.isfinite(value)] or ["nothing"]
    missed = [what for what, _, value in effects if not math.isfinite(value)]
    text = _or(found) + told
    return f"{text} ({_or(missed)} cannot be found with so few draws)" if missed else text


def _or(items: list[str]) -> str:
    return " or ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
