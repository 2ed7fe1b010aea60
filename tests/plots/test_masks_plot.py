"""Masks as pictures."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.arrays import AnyArray
from bprune.errors import UnsupportedError
from bprune.plots import masks_data
from bprune.plots.masks import MaskPanel
from bprune.posterior import Network
from tests.plots.plots_world import network


def _panel(mask: AnyArray) -> MaskPanel:
    return masks_data(network(den_1=np.ones(mask.shape)), {"den_1/kernel": mask.astype(bool)}).panels[0]


def test_a_dense_kernel_is_shown_as_it_is_the_longer_side_across() -> None:
    mask = np.array([[1, 0, 0], [1, 1, 0]])
    panel = _panel(mask)
    np.testing.assert_array_equal(panel.density, mask)
    assert (panel.rows, panel.columns, panel.cell) == ("input", "output", 1)
    assert (panel.weights, panel.nonzeros, panel.shape) == (6, 3, (2, 3))
    turned = _panel(mask.T)
    np.testing.assert_array_equal(turned.density, mask)
    assert (turned.rows, turned.columns) == ("output", "input")


def test_filters_stand_side_by_side() -> None:
    mask = np.zeros((3, 2, 5, 7))
    mask[2, 1, 4, 6] = 1
    panel = _panel(mask)
    assert panel.density.shape == (14, 15)  # turned: 5 inputs x 3 rows, 7 filters x 2 columns
    assert np.argwhere(panel.density == 1.0).tolist() == [[13, 14]]


def test_filters_of_one_channel_are_tiles_with_gaps() -> None:
    mask = np.ones((3, 3, 1, 8))
    mask[..., 0, 0] = 0
    panel = _panel(mask)
    assert np.nansum(panel.density) == mask.sum() == panel.nonzeros
    assert panel.density.shape == (7, 15)  # 2 x 4 tiles of 3 x 3, one cell between
    assert (panel.density[:3, :3] == 0.0).all()
    assert np.isnan(panel.density[3]).all()
    assert panel.square


def test_large_kernels_become_shares_that_keep_the_mean() -> None:
    mask = np.random.default_rng(0).random((5, 5, 100, 60)) < 0.3
    panel = _panel(mask)
    np.testing.assert_allclose(panel.density, mask.mean(axis=(0, 1)).T)
    assert panel.cell == 25
    dense = np.random.default_rng(0).random((1024, 300)) < 0.3
    panel = _panel(dense)
    assert panel.density.shape == (150, 256)
    assert panel.cell == 8
    np.testing.assert_allclose(panel.density.mean(), dense.mean())
    np.testing.assert_allclose(panel.density[0, 1], dense[4:8, :2].mean())


def test_blocks_at_the_border_count_what_is_there() -> None:
    panel = _panel(np.ones((1, 300)))
    np.testing.assert_array_equal(panel.density, np.ones((1, 150)))
    assert _panel(np.ones(300)[:299]).density.shape == (1, 150)


@pytest.mark.parametrize("shape", [(5,), (3, 4, 6), (2, 2, 2, 1, 6), (2, 3, 2, 5, 6)])
def test_every_rank_keeps_its_weights(shape: tuple[int, ...]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    panel = _panel(mask)
    assert np.nansum(panel.density) == mask.sum() == panel.nonzeros


def test_the_masks_of_the_checkpoint_are_the_default() -> None:
    assert masks_data(network(den_1=np.ones((2, 2)))).panels[0].nonzeros == 4
    with pytest.raises(UnsupportedError, match="no weight with a recognised posterior"):
        masks_data(Network(()))
