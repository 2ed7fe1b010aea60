"""Curves of sweeps."""

from __future__ import annotations

import numpy as np
import pytest

from bprune.errors import InputError, UsageError
from bprune.plots import SweepAxis, figure_of, sweep_data
from tests.plots.plots_world import sweep


def test_curves_are_those_of_the_sweep() -> None:
    data = sweep_data([sweep()])
    assert [panel.metric for panel in data.panels] == ["accuracy", "nll"]
    accuracy = data.panels[0].curves[0]
    np.testing.assert_allclose(accuracy.places, [0.0, 0.4, 0.8, 0.9])
    np.testing.assert_allclose(accuracy.values, [0.9, 0.86, 0.82, 0.81])
    np.testing.assert_allclose(accuracy.stderr, 0.01)  # of draws alone
    assert accuracy.whole == 0.9
    assert data.unit == "SNR"


def test_differences_have_both_errors() -> None:
    data = sweep_data([sweep()], ["nll"], difference=True)
    curve = data.panels[0].curves[0]
    np.testing.assert_allclose(curve.values, [0.0, 0.4, 0.8, 0.9], atol=1e-12)
    np.testing.assert_allclose(curve.stderr, 0.005)
    assert data.panels[0].title.startswith("change of ")


def test_sizes_and_times_are_quantities_too() -> None:
    data = sweep_data([sweep()], ["multiply_adds", "draw_us"])
    np.testing.assert_allclose(data.panels[0].curves[0].values, [100.0, 60.0, 20.0, 10.0])
    np.testing.assert_allclose(data.panels[1].curves[0].values, [0.5, 0.34, 0.18, 0.14])
    assert np.isnan(data.panels[0].curves[0].stderr).all()


def test_the_axis_of_thresholds_leaves_out_what_has_none() -> None:
    data = sweep_data([sweep()], axis=SweepAxis.THRESHOLD)
    np.testing.assert_allclose(data.panels[0].curves[0].places, [0.8, 1.6, 1.8])
    assert data.panels[0].curves[0].whole == 0.9


def test_sweeps_are_named_by_what_differs() -> None:
    def names(*sweeps: object, chosen: tuple[str, ...] = ()) -> list[str]:
        return [curve.name for curve in sweep_data(sweeps, names=chosen).panels[0].curves]  # type: ignore[arg-type]

    assert names(sweep()) == ["snr"]
    assert names(sweep(), sweep("bmr", "nat")) == ["snr", "bmr"]
    assert names(sweep(), sweep()) == ["sweep 1", "sweep 2"]
    assert names(sweep(), sweep(), chosen=("a", "b")) == ["a", "b"]
    with pytest.raises(UsageError, match="1 names came for 2 sweeps"):
        names(sweep(), sweep(), chosen=("a",))


def test_missing_requirements_say_what_to_do() -> None:
    with pytest.raises(UsageError, match="at least one sweep"):
        sweep_data([])
    with pytest.raises(UsageError, match=r"no 'ece' to show\nIt has: accuracy, nll, multiply_adds, draw_us"):
        sweep_data([sweep()], ["ece"])
    with pytest.raises(UsageError, match="no 'draw_us' to show"):
        sweep_data([sweep()], ["draw_us"], difference=True)
    with pytest.raises(InputError, match="did not measure draw_us"):
        sweep_data([sweep(timed=False)], ["draw_us"])
    with pytest.raises(InputError, match=r"different units: SNR, nat\n.*against sparsity"):
        sweep_data([sweep(), sweep("bmr", "nat")], axis=SweepAxis.THRESHOLD)
    with pytest.raises(InputError, match="different tasks"):
        sweep_data([sweep(), sweep(task="regression")])


@pytest.mark.parametrize(
    ("axis", "place", "told"), [(SweepAxis.SPARSITY, 80.0, "80.0%"), (SweepAxis.THRESHOLD, 0.8, "0.8")]
)
def test_what_was_chosen_is_marked(axis: SweepAxis, place: float, told: str) -> None:
    assert sweep_data([sweep()], axis=axis).chosen is None
    figure = figure_of(sweep_data([sweep()], axis=axis, chosen=0.8))
    for axes in figure.axes:
        (mark,) = [line for line in axes.lines if line.get_label() == f"chosen: {told}"]
        assert np.asarray(mark.get_xdata()).tolist() == [place, place]
