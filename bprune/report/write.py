"""Write a report: run what is missing, and put all of it into one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bprune.atomic import check_target, write_text
from bprune.case.case import Case, load_case
from bprune.engines.base import Engine
from bprune.inference.data import Dataset
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import DEFAULT_MC_ITERS
from bprune.judgement.measure import Draws
from bprune.pruning.threshold import Rule
from bprune.report.content import content_of
from bprune.report.examples import uncertain_examples
from bprune.report.figures import draw_pictures
from bprune.report.findings import Findings
from bprune.report.gather import Request, collect
from bprune.report.meaning import meaning_of
from bprune.report.page import render, require_report
from bprune.report.tables import facts_of, provenance_of, tables
from bprune.report.words import summary
from bprune.results.record import load_data
from bprune.scale.workers import Executor, Workers, open_workers

__all__ = ["Report", "make_page", "run_report", "write_report"]


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Attributes:
        path: The HTML file.
        content: What it says, as the JSON object that it carries.
    """

    path: Path
    content: Mapping[str, Any]


def write_report(
    case: Case | str | Path,
    data: Dataset | str | Path | None = None,
    out: str | Path | None = None,
    *,
    rule: Rule | None = None,
    threshold: float | None = None,
    sparsity: float | None = None,
    results: Sequence[str | Path] = (),
    sweep: str | Path | None = None,
    with_sweep: bool = True,
    mc_iters: int | None = None,
    seed: int | None = None,
    scale: float | None = None,
    engine: str = "auto",
    allow_empty_layers: bool = False,
    workers: int | None = None,
    executor: Executor | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Report:
    """Write a report on what pruning does to a case: one HTML file that needs nothing else.

    What is not there is run: inference before and after pruning, and a sweep of a few sparsities.

    Args:
        case: The case, or a path of it.
        data: Held-out data, or a file of it; None takes that of `results`, or the case's heldout.npz.
        out: The file to write; None for CASE-report.html in the current folder.
        rule: Which weights to prune; see `bprune.pruning.Rule`.
        threshold: In place of a rule: the smallest SNR that is kept.
        sparsity: In place of a rule: the share of the weights to prune, lowest SNR first.
        results: Results files of the case, before or after pruning, that are there already.
        sweep: A sweep of the case that is there already.
        with_sweep: Whether a sweep is run where none is there.
        mc_iters: Draws per example; None takes those of `results`, or 400.
        seed: Seed of the noise; None takes that of `results`, or 0.
        scale: Divide integer inputs by this number.
        engine: Which engine runs the draws.
        allow_empty_layers: Whether a layer may lose all its weights.
        workers: How many processes work; with an executor how many workers it has.
        executor: Who works: any executor as in `concurrent.futures`. Its workers see the case under the same path.
        overwrite: Whether an existing file is replaced.
        progress: Told the share of the work that is done.

    Raises:
        MissingExtraError: If jinja2 or matplotlib is not installed.
        UsageError: If arguments do not go together.
        InputError: If case, data, results or sweep cannot be used.
        TargetError: If a layer would lose all its weights.
        EngineError: If the network cannot be run, or a worker is lost.
        OutputError: If the file cannot be written.

    Example:
        >>> write_report("sample_checkpoints/digits_conv", sparsity=0.8, mc_iters=400).content["summary"]
    """
    if rule is None and (threshold is not None or sparsity is not None):
        rule = Rule(threshold, sparsity)
    loaded = case if isinstance(case, Case) else load_case(case)
    source = data if data is None or isinstance(data, Dataset) else Path(data)

    def read(engine: Engine) -> Dataset:
        return load_data(loaded, engine, source, scale=scale)

    known = data is not None or (not results and loaded.files.heldout is not None)
    given = {"mc_iters": mc_iters, "seed": seed}
    request = Request(
        loaded,
        rule,
        read if known else None,
        Draws(DEFAULT_MC_ITERS if mc_iters is None else mc_iters, seed or 0, engine),
        frozenset([name for name, value in given.items() if value is not None] + ["engine"] * (engine != "auto")),
        tuple(Path(item) for item in results),
        None if sweep is None else Path(sweep),
        with_sweep,
        allow_empty_layers,
    )
    target = Path(f"{loaded.name}-report.html") if out is None else Path(out)
    with open_workers(executor, workers) as crew:
        return run_report(request, target, workers=crew, overwrite=overwrite, progress=progress)


def run_report(
    request: Request,
    out: Path,
    *,
    workers: Workers | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Report:
    """Run what is missing and write the file; see `write_report`."""
    require_report()
    check_target(out, overwrite=overwrite)
    with collect(request, workers, progress) as findings:
        page, content = make_page(findings)
    write_text(out, page, overwrite=overwrite)
    return Report(out, content)


def make_page(findings: Findings) -> tuple[str, dict[str, Any]]:
    """The HTML text of some findings, and the object that it carries."""
    meaning = meaning_of(findings)
    sentences, examples = summary(findings, meaning), uncertain_examples(findings)
    content = content_of(findings, meaning, sentences, examples)
    parts = {
        "content": content,
        "case": findings.case.name,
        "sentences": sentences,
        "verdict": content["verdict"],
        "missing": findings.missing,
        "facts": facts_of(findings),
        "figures": draw_pictures(findings),
        "tables": tables(findings, meaning),
        "notes": () if findings.sweep is None else findings.sweep.notes,
        "examples": examples,
        "side": findings.last.name,
        "sides": len(findings.sides),
        "is_classification": findings.case.task.value == "classification",
        "provenance": provenance_of(content["provenance"]),
    }
    return render(parts), content
