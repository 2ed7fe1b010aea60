"""`bprune report`: one HTML file that tells what pruning does to a case."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bprune.commands.choices import CaseChoice, DataChoice, RuleChoice
from bprune.commands.options import case_options, data_options, group_options, output_options, rule_options
from bprune.commands.output import Output, print_json
from bprune.commands.working import WorkersChoice, worker_options

if TYPE_CHECKING:
    from bprune.judgement.measure import Draws

__all__ = ["command"]


@dataclass(frozen=True)
class ReportDraws:
    """How draws are made; None where nothing was said."""

    mc_iters: int | None
    seed: int | None
    antithetic: bool
    batch_size: int | None
    engine: str | None
    sampling: str | None
    precision: str | None

    def draws(self) -> Draws:
        """The same as a value of the library, with its defaults."""
        from bprune.inference import DEFAULT_MC_ITERS
        from bprune.judgement.measure import Draws

        return Draws(
            mc_iters=DEFAULT_MC_ITERS if self.mc_iters is None else self.mc_iters,
            seed=self.seed or 0,
            engine=self.engine or "auto",
            sampling=None if self.sampling in (None, "auto") else self.sampling,
            precision=self.precision or "float32",
            batch_size=self.batch_size,
            antithetic=self.antithetic,
        )

    @property
    def asked(self) -> frozenset[str]:
        """What was said on purpose."""
        return frozenset(name for name, value in vars(self).items() if value not in (None, False, "auto"))


draws_options = group_options(
    "drawn",
    ReportDraws,
    click.option(
        "--mc-iters",
        type=click.IntRange(min=1),
        metavar="N",
        help="Draws per example.  [default: those of --results, or 400]",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0, max=2**63 - 1),
        help="Seed of the noise.  [default: that of --results, or 0]",
    ),
    click.option("--antithetic", is_flag=True, help="Draw pairs of opposite noise; engine native alone."),
    click.option("--batch-size", type=click.IntRange(min=1), help="Examples run together. Default: what fits."),
    click.option(
        "--engine",
        type=click.Choice(["auto", "graph", "tensorflow", "native"]),
        help="native, tensorflow: the compacted network, on the CPU or any device. graph: as it was trained.  "
        "[default: auto]",
    ),
    click.option(
        "--sampling",
        type=click.Choice(["auto", "per-example", "weights", "as-trained"]),
        help="weights: one set for all examples of a draw. per-example: the fastest that is exact for each example.  "
        "[default: auto]",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16"]),
        help="Number format of products.  [default: float32]",
    ),
)


@click.command("report")
@case_options
@click.option(
    "--results",
    "known",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="R.h5",
    help="Results of this case that are there already, before or after pruning. Repeatable. What is missing is run "
    "with the same data, draws and seed.",
)
@click.option(
    "--sweep", type=click.Path(path_type=Path), metavar="S.h5", help="A sweep of this case that is there already."
)
@click.option("--no-sweep", is_flag=True, help="Run no sweep where none is there.")
@rule_options
@data_options
@draws_options
@worker_options
@click.option("--out", type=click.Path(path_type=Path), help="The report.  [default: CASE-report.html here]")
@click.option("--overwrite", is_flag=True, help="Replace a report that is there already.")
@output_options
def command(
    choice: CaseChoice,
    known: tuple[Path, ...],
    sweep: Path | None,
    no_sweep: bool,
    pruning: RuleChoice,
    data: DataChoice,
    drawn: ReportDraws,
    out: Path | None,
    overwrite: bool,
    working: WorkersChoice,
    tell: Output,
) -> None:
    """Write a report on what pruning does to a case: one HTML file that opens offline and prints.

    It tells what was loaded, how much signal the weights carry, what pruning costs at the chosen threshold and at
    others, whether the uncertainty survived, the examples that the network is least sure of, and where all numbers
    come from. What is not there is run: inference before and after pruning, and a sweep of a few sparsities.

    Without --threshold, --sparsity or --criterion the default threshold, an SNR of 10, is taken; half of the weights
    where that would empty a layer; and nothing of a case that is pruned already.

    --json prints the object that the page carries along. Reports need the extra report: pip install "bprune[report]".

    \b
    Example:
      bprune report --case-dir sample_checkpoints/digits_conv
      bprune report --case-dir runs/mnist --sparsity 0.8 --data mnist.npz --scale 255 --out mnist.html
      bprune report --case-dir runs/mnist --sparsity 0.8 --results mnist-results.h5 --sweep mnist-sweep.h5
    """
    if sweep is not None and no_sweep:
        raise click.UsageError("--sweep and --no-sweep do not go together")
    with working.open() as workers, tell.tensorflow():
        from bprune.atomic import check_target
        from bprune.inference.share import begin
        from bprune.posterior import read_network
        from bprune.report import Request, run_report
        from bprune.report.page import require_report

        require_report()
        rule = pruning.rule() if pruning.is_given else None
        draws = drawn.draws()
        case = choice.load()
        target = out if out is not None else Path(f"{case.name}-report.html")
        check_target(target, overwrite=overwrite)
        if workers is not None:
            workers.begin(begin)
        network = read_network(case)
        if rule is not None:
            rule = replace(rule, context=data.measured(rule.criterion, rule.context, case, network))
        is_known = data.data is not None or (not known and case.files.heldout is not None)
        request = Request(
            case,
            rule,
            (lambda engine: data.read(case, engine)) if is_known else None,
            draws,
            drawn.asked,
            known,
            sweep,
            not no_sweep,
            pruning.allow_empty_layers,
            network,
            " ".join(["bprune", *sys.argv[1:]]),
        )
        with tell.progress(f"{case.name}: report, {draws.mc_iters} draws") as progress:
            report = run_report(request, target, workers=workers, overwrite=overwrite, progress=progress)
    if tell.as_json:
        print_json(report.content)
    elif not tell.quiet:
        for sentence in report.content["summary"]:
            click.echo(sentence)
        for sentence in report.content["missing"]:
            tell.notice(sentence)
        click.echo(f"report: {report.path}")
