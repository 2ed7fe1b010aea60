"""Which weights are kept: the mask of each weight tensor as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bprune.arrays import AnyArray, BoolArray, Float64Array
from bprune.cells import percent
from bprune.errors import UnsupportedError
from bprune.plots.style import COLOURS
from bprune.posterior.posterior import Network, Posterior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MaskPanel", "MasksData", "draw_masks", "masks_data", "size_masks"]

_LARGEST = 256
"""Cells along one side of a picture, beyond which blocks of cells become one."""
_FEW_INPUTS = 4


@dataclass(frozen=True)
class MaskPanel:
    """The mask of one weight tensor.

    Attributes:
        name: Layer and tensor.
        shape: The tensor's shape.
        weights: Number of weights.
        nonzeros: Number of them that are kept.
        rows: What runs down the picture.
        columns: What runs across it.
        density: Share of the weights kept in each cell, `[row, column]`, float64, in [0, 1]; NaN between filters.
        cell: Weights in a cell; the last row and column may have fewer.
        square: Whether a cell is drawn as a square.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    nonzeros: int
    rows: str
    columns: str
    density: Float64Array = field(metadata={"json": False})
    cell: int
    square: bool


@dataclass(frozen=True)
class MasksData:
    """What the picture of masks shows: the weight tensors in order."""

    panels: tuple[MaskPanel, ...]


def masks_data(network: Network, masks: Mapping[str, BoolArray] | None = None) -> MasksData:
    """Arrange the masks of a network.

    A dense kernel is shown as it is, the longer side across. A convolution's kernel is shown as filters side by side,
    or, where these are too many, as the share kept of each filter. What is still too large is averaged in blocks.

    Args:
        network: The posteriors of a case.
        masks: True where a weight is kept, by posterior name; those of the checkpoint when None.

    Raises:
        UnsupportedError: If the network has no recognised posterior.
    """
    if not network.posteriors:
        raise UnsupportedError(
            "the network has no weight with a recognised posterior, so there is no mask",
            hint="; ".join(f"{item.name}: {item.reason}" for item in network.unrecognised) or None,
        )
    masks = network.masks if masks is None else masks
    return MasksData(tuple(_panel(item, masks[item.name]) for item in network.posteriors))


def _panel(posterior: Posterior, mask: BoolArray) -> MaskPanel:
    cells, rows, columns, inside = _arrange(mask)
    if cells.shape[0] > cells.shape[1] and rows:
        cells, rows, columns = cells.T, columns, rows
    height, width = (-(-side // _LARGEST) for side in cells.shape)
    return MaskPanel(
        posterior.name,
        posterior.shape,
        int(mask.size),
        int(mask.sum()),
        rows,
        columns,
        _block_means(cells, height, width),
        inside * height * width,
        columns == "filters",
    )


def _arrange(mask: BoolArray) -> tuple[Float64Array, str, str, int]:
    """The weights as cells `[row, column]`, what the axes are, and how many weights a cell holds."""
    kept = mask.astype(np.float64)
    if kept.ndim == 0:
        return kept.reshape(1, 1), "", "weight", 1
    if kept.ndim == 1:
        return kept[None, :], "", "weight", 1
    if kept.ndim == 2:
        return kept, "input", "output", 1
    inputs, outputs = kept.shape[-2:]
    filters = kept.reshape(kept.shape[0], -1, inputs, outputs)
    height, width = filters.shape[:2]
    if inputs < _FEW_INPUTS:
        return _tiles(filters), "", "filters", 1
    if inputs * height > _LARGEST or outputs * width > _LARGEST:
        return filters.mean(axis=(0, 1)), "input channel", "filter", height * width
    return filters.transpose(2, 0, 3, 1).reshape(inputs * height, outputs * width), "input channel", "filter", 1


def _tiles(filters: Float64Array) -> Float64Array:
    """All filters in a grid about twice as wide as high, a gap of one cell between them."""
    height, width, inputs, outputs = filters.shape
    count = inputs * outputs
    across = max(1, min(count, round(math.sqrt(2.0 * count * (height + 1) / (width + 1)))))
    down = -(-count // across)
    grid = np.full((down * across, height + 1, width + 1), np.nan)
    grid[:count, :height, :width] = filters.transpose(2, 3, 0, 1).reshape(count, height, width)
    picture = grid.reshape(down, across, height + 1, width + 1).transpose(0, 2, 1, 3)
    return np.asarray(picture.reshape(down * (height + 1), across * (width + 1))[:-1, :-1])


def _block_means(cells: Float64Array, height: int, width: int) -> Float64Array:
    if height == width == 1:
        return cells
    padded = np.full(
        [-(-side // block) * block for side, block in zip(cells.shape, (height, width), strict=True)], np.nan
    )
    padded[: cells.shape[0], : cells.shape[1]] = cells
    blocks = padded.reshape(padded.shape[0] // height, height, padded.shape[1] // width, width)
    known = np.isfinite(blocks)
    total: AnyArray = np.where(known, blocks, 0.0).sum(axis=(1, 3))
    count = known.sum(axis=(1, 3))
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


_COLUMNS = 3


def size_masks(data: MasksData) -> tuple[float, float]:
    """Width and height that suit the data, inches."""
    count = len(data.panels)
    return 3.2 * min(count, _COLUMNS) + 0.6, 2.5 * -(-count // _COLUMNS) + 0.3


def draw_masks(data: MasksData, figure: Figure) -> None:
    """Draw a panel for each weight tensor: dark where weights are kept, pale where they are pruned."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("kept", ["#E4E4E4", COLOURS[0], "#002B49"])
    columns = min(len(data.panels), _COLUMNS)
    panels = figure.subplots(-(-len(data.panels) // columns), columns, squeeze=False).reshape(-1)
    for axes, panel in zip(panels, data.panels, strict=False):
        aspect = "equal" if panel.square else "auto"
        image = axes.imshow(panel.density, cmap=colours, vmin=0.0, vmax=1.0, aspect=aspect, interpolation="nearest")
        shape = "x".join(map(str, panel.shape))
        axes.set_title(f"{panel.name} {shape}\n{percent(panel.nonzeros / max(panel.weights, 1))} kept")
        axes.set_xlabel(panel.columns)
        axes.set_ylabel(panel.rows)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(True)
    for axes in panels[len(data.panels) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=panels, label="share of weights kept", fraction=0.03, pad=0.015)
