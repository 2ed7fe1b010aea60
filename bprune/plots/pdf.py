"""The predictive density of the softmax value, per example and class: what the draws agree on, and where they differ.

Source: Sharma and Jennings (2020), figures 4, 5 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import AnyArray, Float64Array
from bprune.errors import UsageError
from bprune.plots.density import GRID_POINTS, binned_density
from bprune.plots.pictures import picture_of
from bprune.plots.requirements import check_examples, classification, same_examples, series_names, stored_draws
from bprune.plots.style import legend_below, line_style
from bprune.results.read import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PdfData", "PdfExample", "draw_pdf", "pdf_data", "size_pdf"]

_CLASSES = 3
"""Classes that are shown where none are asked for: those with the largest mean probability."""


@dataclass(frozen=True)
class PdfExample:
    """The densities of one example.

    Attributes:
        example: Its number in the files.
        label: Its true class, or None.
        classes: The classes that are shown.
        densities: `[file, class, point]`, float64, of the classes that are shown; each integrates to 1.
        means: Mean probability over draws, `[file, class]`, float64.
        picture: The input as a picture, `[row, column]` or `[row, column, colour]`; None when it is not one.
    """

    example: int
    label: int | None
    classes: tuple[int, ...]
    densities: Float64Array
    means: Float64Array
    picture: AnyArray | None


@dataclass(frozen=True)
class PdfData:
    """What the picture of predictive densities shows.

    Attributes:
        grid: The softmax values, `[point]`, float64, from 0 to 1.
        names: What tells the files apart.
        examples: The examples.
    """

    grid: Float64Array
    names: tuple[str, ...]
    examples: tuple[PdfExample, ...]


def pdf_data(
    files: Sequence[Results],
    examples: Sequence[int] = (),
    classes: Sequence[int] = (),
    names: Sequence[str] = (),
    width: float = 1.0,
) -> PdfData:
    """Estimate the densities of the softmax values over draws.

    Args:
        files: Results of the same examples: other prunings, or other numbers of draws.
        examples: Numbers of examples; where there are none, the one with the largest mutual information in the first.
        classes: Class numbers; where there are none, for each example the true class and those with the largest mean
            probability in the first file, three in all.
        names: What tells the files apart; see `series_names`.
        width: What Scott's width of the estimate is multiplied with; see `binned_density`.

    Raises:
        UnsupportedError: If a file is of a regression.
        InputError: If a file keeps the summary alone, or the files are of different examples.
        UsageError: If an example or class does not exist, the width is not above 0, or there is not one name for each
            file.
    """
    same_examples(files)
    first = classification(files[0], "pdf")
    chosen = list(dict.fromkeys(examples)) or [int(first.mutual_information.argmax())]
    check_examples(files[0], chosen)
    _check_classes(classes, first.mean.shape[1])
    return PdfData(
        np.linspace(0.0, 1.0, GRID_POINTS),
        series_names(files, names),
        tuple(_example(files, example, classes, width) for example in chosen),
    )


def _check_classes(classes: Sequence[int], count: int) -> None:
    for class_ in classes:
        if not 0 <= class_ < count:
            raise UsageError(f"there is no class {class_}; the network has {count}", hint=f"From 0 to {count - 1}.")


def _example(files: Sequence[Results], example: int, classes: Sequence[int], width: float) -> PdfExample:
    labels = files[0].labels
    label = None if labels is None else int(labels[example])
    shown = tuple(dict.fromkeys(classes)) or _most_likely(files[0].summary.mean[example], label)
    densities, means = zip(*(_of_file(item, example, shown, width) for item in files), strict=True)
    picture = picture_of(files[0].inputs[example])
    return PdfExample(example, label, shown, np.stack(densities), np.stack(means), picture)


def _of_file(results: Results, example: int, classes: Sequence[int], width: float) -> tuple[Float64Array, Float64Array]:
    """Densities and means of some classes; those of an ensemble are means over members, each with its own width."""
    members = range(max(len(results.members), 1))
    parts = [stored_draws(results, slice(example, example + 1), member) for member in members]
    draws = [part.values[:, 0, list(classes)] for part in parts]
    densities = [binned_density(item, width) for item in draws]
    means = [np.nanmean(item.astype(np.float64), axis=0) for item in draws]
    return np.asarray(np.mean(densities, axis=0)), np.asarray(np.mean(means, axis=0))


def _most_likely(mean: AnyArray, label: int | None) -> tuple[int, ...]:
    ranked = [int(class_) for class_ in np.argsort(-mean, kind="stable")]
    if label is not None and 0 <= label < len(ranked) and label not in ranked[:_CLASSES]:
        ranked = [*ranked[: _CLASSES - 1], label]
    return tuple(sorted(ranked[:_CLASSES]))


def size_pdf(data: PdfData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    columns = _columns(data)
    pictures = 1.3 if any(item.picture is not None for item in data.examples) else 0.0
    width = pictures + 2.4 * columns if columns > 1 else pictures + 4.6
    return max(width, 4.6), 2.2 * len(data.examples) + 0.7


def _columns(data: PdfData) -> int:
    """One panel for each class where several files are laid over each other, otherwise one for all."""
    return max(len(item.classes) for item in data.examples) if len(data.names) > 1 else 1


def draw_pdf(data: PdfData, figure: Figure) -> None:
    """Draw a row for each example: its picture, then the densities."""
    columns = _columns(data)
    pictures = any(item.picture is not None for item in data.examples)
    ratios = [0.45] * pictures + [1.0] * columns
    grid = figure.subplots(len(data.examples), len(ratios), squeeze=False, width_ratios=ratios)
    for row, item in zip(grid, data.examples, strict=True):
        _draw_picture(item, row[0]) if pictures else None
        panels = row[int(pictures) :]
        if len(data.names) > 1:
            _draw_files(data, item, panels)
        else:
            _draw_classes(data, item, panels[0])
        panels[0].set_ylabel(f"example {item.example}\ndensity" if not pictures else "density")
    for axes in grid[-1][int(pictures) :]:
        axes.set_xlabel("softmax value")
    if len(data.names) > 1:
        legend_below(figure, grid[0][int(pictures)])
    figure.align_ylabels(grid[:, int(pictures)])


def _draw_picture(item: PdfExample, axes: Axes) -> None:
    if item.picture is not None:
        axes.imshow(item.picture, cmap="gray_r" if item.picture.ndim == 2 else None, interpolation="nearest")
    label = "" if item.label is None else f"\ntrue class {item.label}"
    axes.set_title(f"example {item.example}{label}", fontsize=8)
    axes.set_axis_off()


def _draw_files(data: PdfData, item: PdfExample, panels: Sequence[Axes]) -> None:
    for column, axes in enumerate(panels):
        if column >= len(item.classes):
            axes.set_axis_off()
            continue
        for index, name in enumerate(data.names):
            axes.plot(data.grid, item.densities[index, column], label=name, **line_style(index))
        class_ = item.classes[column]
        axes.set_title(f"class {class_}{' (true)' if class_ == item.label else ''}")
        _limit(axes)


def _draw_classes(data: PdfData, item: PdfExample, axes: Axes) -> None:
    for index, class_ in enumerate(item.classes):
        true = ", true" if class_ == item.label else ""
        style = line_style(index)
        axes.plot(
            data.grid, item.densities[0, index], label=f"class {class_}{true}: {item.means[0, index]:.3f}", **style
        )
        axes.axvline(float(item.means[0, index]), color=style["color"], linewidth=0.8, alpha=0.6)
    axes.legend(title="mean softmax value (thin lines)", title_fontsize=8)
    _limit(axes)


def _limit(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(bottom=0.0)
    axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "", "0.5", "", "1"])
