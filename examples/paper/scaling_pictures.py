"""Pictures of how training scales, after the paper's Figs. 2, 3, 6 and 7: speed, efficiency, accuracy, BNN and CNN."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bprune.plots.save import draw_figure, write_figure
from bprune.plots.style import GREY, line_style
from examples.paper.scaling_report import Measurement

__all__ = ["draw_all"]

_SIZE = (5.0, 3.6)


def draw_all(measurements: Sequence[Measurement], folder: Path, target: float | None) -> list[Path]:
    """Write the pictures that the measurements allow.

    Args:
        measurements: What was measured.
        folder: Where they go; those that are there are replaced.
        target: The accuracy whose time was asked for, or None.

    Returns:
        The files.
    """
    pictures: dict[str, Callable[[Any], None]] = {
        "throughput": lambda figure: _throughput(figure.subplots(), measurements),
        "efficiency": lambda figure: _efficiency(figure.subplots(), measurements),
        "accuracy": lambda figure: _accuracy(figure.subplots(), measurements, target),
    }
    if any(item.time_ratio is not None for item in measurements):
        pictures["bnn-over-cnn"] = lambda figure: _time_ratio(figure.subplots(), measurements)
    for name, draw in pictures.items():
        write_figure(draw_figure(draw, _SIZE), folder / f"{name}.png", overwrite=True)
    return [folder / f"{name}.png" for name in pictures]


def _series(measurements: Sequence[Measurement]) -> dict[str, list[Measurement]]:
    found: dict[str, list[Measurement]] = {}
    for item in measurements:
        found.setdefault(f"{item.training.kind} {item.training.model}", []).append(item)
    return found


def _workers(axes: Any, measurements: Sequence[Measurement]) -> list[int]:
    """Put the numbers of workers on the x axis, doublings at equal distances."""
    counts = sorted({item.training.workers for item in measurements})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("workers")
    return counts


def _throughput(axes: Any, measurements: Sequence[Measurement]) -> None:
    for number, (name, items) in enumerate(_series(measurements).items()):
        counts = [item.training.workers for item in items]
        rates = [item.samples_per_s for item in items]
        deviations = [item.samples_per_s_stddev for item in items]
        style = line_style(number, markers=True)
        axes.errorbar(counts, rates, yerr=deviations, capsize=3, label=name, **style)
        ideal = [rates[0] * count / counts[0] for count in counts]
        axes.plot(counts, ideal, color=style["color"], linewidth=0.8, linestyle=":")
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("samples/s (bars: standard deviation of a step)")
    axes.set_title("Training speed; dotted: perfect scaling")
    _workers(axes, measurements)
    axes.legend()


def _efficiency(axes: Any, measurements: Sequence[Measurement]) -> None:
    for number, (name, items) in enumerate(_series(measurements).items()):
        counts = [item.training.workers for item in items]
        axes.plot(counts, [item.efficiency for item in items], label=name, **line_style(number, markers=True))
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.set_ylim(0.0, max(1.1, *(1.05 * item.efficiency for item in measurements)))
    axes.set_ylabel("$T_1 / (T_N N)$")
    axes.set_title("Weak-scaling efficiency")
    _workers(axes, measurements)
    axes.legend()


def _accuracy(axes: Any, measurements: Sequence[Measurement], target: float | None) -> None:
    for number, item in enumerate(measurements):
        training = item.training
        plural = "" if training.workers == 1 else "s"
        label = f"{training.kind} {training.model}, {training.workers} worker{plural}"
        axes.plot(training.seconds, training.accuracies, label=label, **line_style(number, markers=True))
    if target is not None:
        axes.axhline(target, color=GREY, linewidth=0.8)
    validated = all(item.training.validated for item in measurements)
    axes.set_ylabel("validation accuracy" if validated else "accuracy (of training where there is no other)")
    axes.set_xlabel("seconds of training")
    axes.set_title("Accuracy against runtime" + (f"; line: {target:g}" if target is not None else ""))
    axes.legend()


def _time_ratio(axes: Any, measurements: Sequence[Measurement]) -> None:
    known = [item for item in measurements if item.time_ratio is not None]
    for number, (name, items) in enumerate(_series(known).items()):
        counts = [item.training.workers for item in items]
        axes.plot(counts, [item.time_ratio for item in items], label=name, **line_style(number, markers=True))
    axes.axhline(1.0, color=GREY, linewidth=0.8)
    axes.set_ylim(0.0, 1.2 * max(item.time_ratio or 1.0 for item in known))
    axes.set_ylabel("time of an example, BNN over CNN")
    axes.set_title("What the posterior costs in training")
    _workers(axes, known)
    axes.legend()
