"""The tables of a report: cells of text, ready to be shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bprune.case.task import Task
from bprune.cells import percent
from bprune.engines.tensorflow import Precision
from bprune.judgement.change import ClassChange
from bprune.judgement.compare import Comparison
from bprune.judgement.sweep import NOT_LOWERED
from bprune.judgement.verdict import VERDICT_METRICS
from bprune.metrics.registry import METRICS
from bprune.posterior.posterior import Posterior
from bprune.posterior.snr import summarise_snr
from bprune.report.findings import Findings, Side
from bprune.report.meaning import Meaning, decibel
from bprune.report.words import capital, count, estimate, metric_number, outcome, plain_number, with_error

__all__ = ["Table", "facts_of", "provenance_of", "tables"]

_CHANGED = 5
_TIMES = " x "
_TITLES = {"case_dir": "Case", "created_at": "Written", "mc_iters": "Draws per example"}
_SNR_COLUMNS = {"5 %": 1, "median": 3, "95 %": 5}


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows.
        columns: Headings.
        rows: Cells, as many as headings.
        text_columns: How many columns, from the left, are text; the others are numbers and stand right.
        total: Whether the last row is a total.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    total: bool = False


def tables(findings: Findings, meaning: Meaning) -> dict[str, Table]:
    """All tables, by name; those without rows are left out."""
    made = {
        "layers": _layers(findings),
        "meaning": _meaning(findings, meaning),
        "sweep": _sweep(findings),
        "metrics": _metrics(findings),
        "sizes": _sizes(findings),
        "changed": _changed(findings),
    }
    return {name: table for name, table in made.items() if table is not None and table.rows}


def _layers(findings: Findings) -> Table:
    names = (f"SNR {name}" for name in _SNR_COLUMNS)
    columns = ("Tensor", "Layer class", "Posterior", "Shape", "Weights", *names, "Median, dB", "Kept", "Pruned")
    rows = [
        (item.name, item.kind, item.family.name, _TIMES.join(map(str, item.shape)), *_counted(findings, [item]))
        for item in findings.network.posteriors
    ]
    rows.append(("All", "", "", "", *_counted(findings, findings.network.posteriors)))
    caption = "Signal-to-noise ratio (SNR, |loc| / scale) of every weight tensor with a posterior, and what is kept."
    return Table(caption, columns, tuple(rows), text_columns=4, total=True)


def _counted(findings: Findings, posteriors: Sequence[Posterior]) -> Iterator[str]:
    found = summarise_snr(posteriors, math.nan)
    kept = sum(int(findings.choice.masks[item.name].sum()) for item in posteriors)
    yield count(found.weights)
    for place in _SNR_COLUMNS.values():
        yield plain_number(found.quantiles[place])
    yield _number_of_decibel(found.quantiles[3])
    yield count(kept)
    yield percent(1.0 - kept / found.weights if found.weights else math.nan)


def _meaning(findings: Findings, meaning: Meaning) -> Table:
    rows: list[tuple[str, str]] = []
    if findings.choice.rule is not None:
        told = plain_number(meaning.threshold) if not math.isnan(meaning.threshold) else "none for all layers"
        rows.append((f"Threshold, in {meaning.unit}", told))
        if meaning.criterion == "snr" and not math.isnan(meaning.threshold):
            rows.append(("The same in dB, 20 log10(SNR)", _number_of_decibel(meaning.threshold)))
    rows.append(("Smallest SNR that is kept", _both(meaning.smallest_kept)))
    if not math.isnan(meaning.largest_pruned):
        rows.append(("Largest SNR that is pruned", _both(meaning.largest_pruned)))
    rows.append(("Chance that the least certain kept weight has the other sign", plain_number(meaning.wrong_sign)))
    return Table("What the threshold means.", ("", ""), tuple(rows))


def _number_of_decibel(snr: float) -> str:
    value = decibel(snr)
    return "-inf" if math.isinf(value) else "-" if math.isnan(value) else f"{value:.1f}"


def _both(snr: float) -> str:
    return "-" if math.isnan(snr) else f"{plain_number(snr)} ({_number_of_decibel(snr)} dB)"


def _sweep(findings: Findings) -> Table | None:
    sweep = findings.sweep
    if sweep is None:
        return None
    names = [name for name in ("accuracy", "rmse", "nll") if name in sweep.metric_names]
    titles = [METRICS[Task(sweep.task)][name].title for name in names]
    heads = [column for title in titles for column in (capital(title), "Change")]
    rows = []
    for point in sweep.points:
        here = "▸ " if findings.choice.rule is not None and point.nonzeros == findings.choice.total.nonzeros else ""
        cells = [f"{here}{percent(point.sparsity)}", plain_number(point.threshold), count(point.nonzeros)]
        for name in names:
            change = point.differences[name]
            told = "" if point is sweep.points[0] else with_error(change.value, change.stderr, signed=True)
            cells += [metric_number(point.metrics[name].value), told]
        size = "-" if point.multiply_adds == NOT_LOWERED else count(point.multiply_adds)
        rows.append((*cells, size, plain_number(point.draw_us)))
    caption = (
        f"The same in numbers: {count(sweep.examples)} examples, {sweep.mc_iters} draws; changes to the whole network, "
        "± one standard error of the paired difference; multiply-adds and microseconds (us) are per example and draw. "
        "▸ marks the pruning of this report."
    )
    columns = ("Pruned", f"Threshold, {sweep.unit}", "Kept", *heads, "Multiply-adds", "us")
    return Table(caption, columns, tuple(rows), text_columns=0)


def _metrics(findings: Findings) -> Table | None:
    titles = METRICS[findings.case.task]
    if findings.comparison is None:
        rows = [(capital(titles[name].title), estimate(item)) for name, item in findings.last.metrics.items()]
        return Table("Metrics, ± one standard error.", ("Metric", findings.last.name), tuple(rows))
    main = ", ".join(title for name, title in VERDICT_METRICS.items() if name in findings.comparison.metrics)
    ways = {name: metric.better for name, metric in titles.items()}
    made = []
    for name, item in findings.comparison.metrics.items():
        change = with_error(item.difference.value, item.half_width, signed=True)
        cells = (capital(titles[name].title), estimate(item.first), estimate(item.second), change)
        made.append((*cells, outcome(ways, name, item)))
    caption = (
        "Metrics before and after pruning, ± one standard error (of finite examples and finite draws together), and "
        "their change with a 95 % interval of the paired difference: same examples, same noise. The last column takes "
        f"wider intervals, which hold together for {main}."
    )
    return Table(caption, ("Metric", "Before", "After", "Change", "Outcome"), tuple(made))


def _sizes(findings: Findings) -> Table:
    sides = findings.sides
    rows = [
        ("Weights that are not zero", *(count(side.nonzeros) for side in sides)),
        ("Parameters, location and scale", *(count(2 * side.nonzeros) for side in sides)),
        ("Multiply-adds per example and draw", *(_size(side, "multiply_adds") for side in sides)),
        ("Bytes of parameters that run", *(_size(side, "parameter_bytes") for side in sides)),
        ("Microseconds per example and draw", *(plain_number(side.draw_us) for side in sides)),
    ]
    caption = "What runs. The compacted network: units without a live weight are removed."
    return Table(caption, ("Size and speed", *(capital(side.name) for side in sides)), tuple(rows))


def _size(side: Side, name: str) -> str:
    return count(side.size[name]) if name in side.size else "-"


def _changed(findings: Findings) -> Table | None:
    comparison = findings.comparison
    if comparison is None:
        return None
    rows = [_changed_row(comparison, int(number), findings) for number in comparison.most_changed(_CHANGED)]
    if isinstance(comparison.change, ClassChange):
        caption = "The predictions that pruning changes most; total variation is 0 for equal and 1 for disjoint ones."
        return Table(caption, ("Example", "True class", "Before", "After", "Total variation"), tuple(rows), 0)
    caption = "The predictions that pruning changes most; the shift is in predictive standard deviations."
    return Table(caption, ("Example", "True value", "Before", "After", "Shift"), tuple(rows), 0)


def _changed_row(comparison: Comparison, number: int, findings: Findings) -> tuple[str, ...]:
    label = "-" if comparison.labels is None else plain_number(float(comparison.labels[number].reshape(-1)[0]))
    means = [results.summary.mean[number] for results in findings.results]
    if isinstance(comparison.change, ClassChange):
        told = [f"{int(mean.argmax())} ({percent(float(mean.max()))})" for mean in means]
        label = label if comparison.labels is None else str(int(comparison.labels[number]))
    else:
        told = [plain_number(float(mean[0])) for mean in means]
    return (str(number), label, *told, metric_number(float(comparison.change.size[number])))


def facts_of(findings: Findings) -> list[tuple[str, str]]:
    """What was loaded, as pairs of name and text."""
    case, draws, network = findings.case, findings.draws, findings.network
    shape = case.graph.input_shape
    sizes = _TIMES.join("?" if size is None else str(size) for size in shape[1:]) if shape else "any"
    facts = [
        ("Case", f"{case.name} ({case.files.root})"),
        ("Checkpoint", f"{case.files.iteration.name}, one of {len(case.files.iterations)}"),
        ("Task", case.task.value),
        ("Input", f"{case.roles.input}, {sizes} {case.graph.input_dtype}"),
        ("Output", f"{case.roles.output}, {case.roles.kind.value}"),
        ("Layers with a posterior", f"{len(network.layers)}: {', '.join(network.layers)}"),
    ]
    facts += [("Not prunable", f"{item.name}: {item.reason}") for item in network.unrecognised]
    if findings.record is not None:
        facts.append(("Pruned before", findings.record.describe()))
    facts.append(("Which weights go", findings.choice.reason))
    if findings.data is None:
        facts.append(("Held-out data", "none"))
    else:
        labelled = "with" if findings.data.labels is not None else "without"
        facts.append(
            ("Held-out data", f"{findings.data.source}: {count(len(findings.data))} examples {labelled} labels")
        )
        pairs = " in antithetic pairs" if draws.antithetic else ""
        facts.append(
            (
                "Draws",
                f"{count(draws.mc_iters)} per example{pairs}, seed {draws.seed}, {Precision(draws.precision).value}",
            )
        )
    plans = [side.prepared.plan for side in findings.sides if side.prepared is not None]
    facts.append(("Engine", f"{plans[-1].engine}, sampling {plans[-1].sampling}"))
    facts += [("Assumed", sentence) for sentence in findings.assumptions]
    return facts


def provenance_of(content: dict[str, object]) -> list[tuple[str, str]]:
    """Where the numbers come from, as pairs of name and text."""
    rows = []
    for name, value in content.items():
        text = ", ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
        if value not in (None, ""):
            rows.append((_TITLES.get(name, capital(name.replace("_", " "))), text))
    return rows
