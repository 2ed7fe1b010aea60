"""`bprune sweep`: what pruning costs, at many sparsities."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bprune.commands.choices import BudgetChoice, CaseChoice, CriterionChoice, DataChoice
from bprune.commands.found import search_line
from bprune.commands.options import (
    budget_options,
    case_options,
    criterion_options,
    data_options,
    draw_parts,
    engine_parts,
    group_options,
    output_options,
)
from bprune.commands.output import Output, number, percent, print_json, print_table
from bprune.commands.working import WorkersChoice, worker_options

if TYPE_CHECKING:
    from bprune.case import Case
    from bprune.judgement import Budget, Sweep, SweepPoint
    from bprune.judgement.measure import Draws
    from bprune.judgement.run import Grid
    from bprune.metrics import Estimate
    from bprune.posterior import Network

__all__ = ["DrawsChoice", "GridChoice", "command", "draws_options", "grid_options", "with_activations"]

_SHOWN = {"classification": ("accuracy", "nll", "ece"), "regression": ("rmse", "nll", "crps")}


@dataclass(frozen=True)
class GridChoice:
    """What is swept."""

    sparsities: tuple[float, ...]
    thresholds: tuple[float, ...]
    scope: str | None
    allow_empty_layers: bool

    def grid(self, scored: CriterionChoice, budget: Budget | None) -> Grid:
        """The same as a value of the library; the rule's own sparsity plays no part."""
        from bprune.judgement.run import Grid
        from bprune.pruning import Rule, Scope

        rule = Rule(None, 0.0, {}, scored.find(), Scope(self.scope or "global"), scored.context())
        return Grid(rule, self.sparsities or None, self.thresholds or None, self.allow_empty_layers, budget)


@dataclass(frozen=True)
class DrawsChoice:
    """How draws are made."""

    mc_iters: int | None
    seed: int
    antithetic: bool
    batch_size: int | None
    engine: str
    sampling: str
    precision: str

    def draws(self) -> Draws:
        """The same as a value of the library."""
        from bprune.judgement.measure import DEFAULT_SWEEP_MC_ITERS, Draws

        return Draws(
            mc_iters=DEFAULT_SWEEP_MC_ITERS if self.mc_iters is None else self.mc_iters,
            seed=self.seed,
            engine=self.engine,
            sampling=None if self.sampling == "auto" else self.sampling,
            precision=self.precision,
            batch_size=self.batch_size,
            antithetic=self.antithetic,
        )


grid_options = group_options(
    "chosen",
    GridChoice,
    click.option(
        "--sparsity",
        "sparsities",
        type=click.FloatRange(0.0, 1.0),
        multiple=True,
        metavar="SHARE",
        help="Prune this share of the weights, lowest score first. Repeatable.  [default: 0 0.2 0.4 0.5 0.6 0.7 0.75 "
        "0.8 0.85 0.9 0.925 0.95 0.975 0.98 0.99, as far as every layer keeps a weight]",
    ),
    click.option(
        "--threshold",
        "thresholds",
        type=float,
        multiple=True,
        metavar="NUMBER",
        help="Prune weights with a smaller score, in place of a share. Repeatable.",
    ),
    click.option(
        "--scope",
        type=click.Choice(["global", "layer"]),
        help="Of what --sparsity is a share: all weights, or those of every layer.  [default: global]",
    ),
    click.option("--allow-empty-layers", is_flag=True, help="Keep points that leave a layer without a weight."),
)

draws_options = group_options(
    "drawn",
    DrawsChoice,
    click.option(
        "--mc-iters",
        type=click.IntRange(min=1),
        metavar="N",
        help="Draws per example. All points have the same noise, so that their differences need fewer draws than a "
        "single run; every metric is told with its MC error.  [default: 100]",
    ),
    *draw_parts,
    *engine_parts,
)


@click.command("sweep")
@case_options
@grid_options
@criterion_options
@data_options
@draws_options
@budget_options
@worker_options
@click.option("--out", type=click.Path(path_type=Path), help="The sweep, HDF5.  [default: CASE-sweep.h5 here]")
@click.option("--csv", "table", type=click.Path(path_type=Path), help="The same as a table.")
@click.option("--plot", "picture", type=click.Path(path_type=Path), help="A picture of it: .png, .svg or .pdf.")
@click.option("--overwrite", is_flag=True, help="Replace outputs of an earlier run; else a sweep goes on from --out.")
@output_options
def command(
    choice: CaseChoice,
    chosen: GridChoice,
    scored: CriterionChoice,
    data: DataChoice,
    drawn: DrawsChoice,
    allowance: BudgetChoice,
    working: WorkersChoice,
    out: Path | None,
    table: Path | None,
    picture: Path | None,
    overwrite: bool,
    tell: Output,
) -> None:
    """Measure what pruning costs at many sparsities: all metrics, non-zeros, multiply-adds, time.

    All points have the same examples and the same noise; changes are told with their errors, paired. A point is in the
    file as soon as it is finished, and the same command goes on from there when it was interrupted.

    With a budget, such as --max-accuracy-drop, the largest sparsity is searched that keeps it, by bisection from the
    points; exit code 3 if none does.

    \b
    Example:
      bprune sweep --case-dir sample_checkpoints/digits_conv --csv digits.csv
      bprune sweep --case-dir runs/mnist --data mnist.npz --scale 255 --criterion bmr --plot mnist.png
      bprune sweep --case-dir sample_checkpoints/digits_conv --max-accuracy-drop 0.02 --max-nll-rise 0.02
    """
    with working.open() as workers, tell.tensorflow():
        from bprune.inference.share import begin
        from bprune.judgement import write_sweep_csv
        from bprune.judgement.find import check_found
        from bprune.judgement.measure import Study, prepare_draws
        from bprune.judgement.run import run_sweep
        from bprune.posterior import read_network

        grid, draws = chosen.grid(scored, allowance.budget()), drawn.draws()
        case = choice.load()
        target = out if out is not None else Path(f"{case.name}-sweep.h5")
        goes_on = target.exists() or overwrite
        _check_outputs(table, picture, overwrite=goes_on)
        if workers is not None:
            workers.begin(begin)
        network = read_network(case)
        grid = with_activations(grid, data, case, network)
        prepared = prepare_draws(case, network, network.masks, draws)
        for line in prepared.plan.lines:
            tell.assumption(line)
        dataset = data.read(case, prepared.engine)
        for note in dataset.notes:
            tell.assumption(note)
        if dataset.labels is None:
            tell.notice("No labels are known, so that accuracy and the like are left out; pass --labels FILE.")
        with tell.progress(f"{case.name}: sweep, {draws.mc_iters} draws") as progress:
            sweep, found = run_sweep(
                Study(case, network, dataset, draws),
                prepared,
                grid,
                target,
                workers=workers,
                overwrite=overwrite,
                command=" ".join(["bprune", *sys.argv[1:]]),
                progress=progress,
            )
        for note in sweep.notes:
            tell.notice(f"Note: {note}.")
        if table is not None:
            write_sweep_csv(sweep, table, overwrite=goes_on)
        if picture is not None:
            _draw(sweep, picture, overwrite=goes_on)
        if found is not None:
            check_found(found, len(dataset))
    if tell.as_json:
        print_json(_content(sweep, target))
    elif not tell.quiet:
        _print(sweep, [target, table, picture])


def with_activations(grid: Grid, data: DataChoice, case: Case, network: Network) -> Grid:
    """The grid with activations on the first examples, where the criterion needs them."""
    rule = grid.rule
    context = data.measured(rule.criterion, rule.context, case, network)
    return replace(grid, rule=replace(rule, context=context))


def _check_outputs(table: Path | None, picture: Path | None, *, overwrite: bool) -> None:
    """Refuse what could not be written, before hours of work.

    Raises:
        OutputError: If a file exists and may not be replaced, or a folder is missing.
        UsageError: If the picture is of an unknown format.
        MissingExtraError: If pictures need a library that is not there.
    """
    if table is not None:
        from bprune.atomic import check_target

        check_target(table, overwrite=overwrite)
    if picture is not None:
        from bprune.plots.save import check_target as check_picture

        check_picture(picture, overwrite=overwrite)


def _draw(sweep: Sweep, picture: Path, *, overwrite: bool) -> None:
    from bprune.plots import figure_of, sweep_data, write_figure

    write_figure(figure_of(sweep_data([sweep])), picture, overwrite=overwrite)


def _content(sweep: Sweep, target: Path) -> dict[str, Any]:
    content = asdict(sweep)
    content["options"] = json.loads(sweep.options)
    content["search"] = json.loads(sweep.search) if sweep.search else None
    return {"schema": "bprune-sweep 1", "sweep": str(target), **content}


def _print(sweep: Sweep, files: Sequence[Path | None]) -> None:
    names = [name for name in _SHOWN[sweep.task] if name in sweep.metric_names]
    columns = ["pruned", "threshold", "kept", "multiply-adds", "us"]
    columns += [column for name in names for column in (name, "change")]
    print_table(columns, [_cells(point, names) for point in sweep.points], text_columns=0)
    click.echo(
        f"{sweep.criterion}, {sweep.examples:,} examples, {sweep.mc_iters} draws of the same noise everywhere; us: "
        "microseconds per example and draw.\nchange: to the network as it is, +- one standard error of examples and "
        "draws together, paired."
    )
    if sweep.search:
        click.echo(search_line(json.loads(sweep.search)))
    for what, path in zip(("sweep", "table", "picture"), files, strict=True):
        if path is not None:
            click.echo(f"{what + ':':<8} {path}")


def _cells(point: SweepPoint, names: Sequence[str]) -> list[str]:
    from bprune.judgement import NOT_LOWERED

    size = "-" if point.multiply_adds == NOT_LOWERED else f"{point.multiply_adds:,}"
    cells = [percent(point.sparsity), number(point.threshold), f"{point.nonzeros:,}", size, number(point.draw_us)]
    for name in names:
        cells += [f"{point.metrics[name].value:.4f}", _change(point.differences[name])]
    return cells


def _change(difference: Estimate) -> str:
    return f"{difference.value:+.4f} +- {difference.stderr:.4f}"
