"""Sweeps as values, as HDF5 files and as tables."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

import h5py
import numpy as np
import pytest

from bprune import open_results
from bprune.errors import DamagedFileError, InputError, MissingFileError, OutputError, UnsupportedError, UsageError
from bprune.judgement import Sweep, SweepPoint, read_sweep, write_sweep, write_sweep_csv
from tests.judgement.sweep_world import point, sweep


def _same(first: Sweep, second: Sweep) -> bool:
    return repr(dataclasses.asdict(first)) == repr(dataclasses.asdict(second))  # NaN equals itself in text


def test_a_sweep_comes_back_as_it_was(tmp_path: Path) -> None:
    written = sweep()
    write_sweep(written, tmp_path / "s.h5")
    assert _same(read_sweep(tmp_path / "s.h5"), written)
    assert [item.name for item in tmp_path.iterdir()] == ["s.h5"]


def test_other_values_are_not_the_same() -> None:
    assert not _same(sweep(), sweep(points=(point(1000), point(500, 0.87), point(100, 0.5, threshold=math.nan))))


def test_a_sweep_is_no_results_file(tmp_path: Path) -> None:
    write_sweep(sweep(), tmp_path / "s.h5")
    with pytest.raises(InputError, match=r"s\.h5 is not a results file: it holds a sweep"):
        open_results(tmp_path / "s.h5")


def test_xarray_opens_it(tmp_path: Path) -> None:
    import xarray as xr

    write_sweep(sweep(), tmp_path / "s.h5")
    tree = xr.open_datatree(tmp_path / "s.h5", engine="h5netcdf")
    np.testing.assert_array_equal(tree["metrics/value"].sel(metric="accuracy"), [0.9, 0.88, 0.5])
    np.testing.assert_array_equal(tree["points/layer_sparsity"].sel(layer="den_1"), [0.0, 0.25, 0.45])
    assert tree.attrs["criterion"] == "snr"
    tree.close()


def test_netcdf4_opens_it(tmp_path: Path) -> None:
    import netCDF4

    write_sweep(sweep(), tmp_path / "s.h5")
    with netCDF4.Dataset(tmp_path / "s.h5") as file:
        assert list(file["points/nonzeros"][:]) == [1000, 500, 100]
        assert list(file["differences/metric"][:]) == ["accuracy", "nll"]


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    write_sweep(sweep(), tmp_path / "s.h5")
    with pytest.raises(OutputError, match="exists already"):
        write_sweep(sweep(seed=4), tmp_path / "s.h5")
    write_sweep(sweep(seed=4), tmp_path / "s.h5", overwrite=True)
    assert read_sweep(tmp_path / "s.h5").seed == 4


def test_csv_has_a_row_for_every_point(tmp_path: Path) -> None:
    write_sweep_csv(sweep(), tmp_path / "s.csv")
    with (tmp_path / "s.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["accuracy"]) for row in rows] == [0.9, 0.88, 0.5]
    assert float(rows[1]["accuracy_difference"]) == pytest.approx(-0.02)
    assert float(rows[1]["accuracy_difference_mc_stderr"]) == 0.0005
    assert rows[2]["threshold"] == ""
    assert rows[1]["nll_mc_stderr"] == ""
    assert rows[2]["den_2_sparsity"] == "0.9"


def test_a_network_that_was_not_lowered_has_no_multiply_adds(tmp_path: Path) -> None:
    write_sweep_csv(sweep(points=(point(1000, multiply_adds=-1),)), tmp_path / "s.csv")
    assert ",1000,1000,,1.5," in (tmp_path / "s.csv").read_text()


def test_points_stay_in_order_and_are_replaced() -> None:
    more = sweep().with_point(point(300))
    assert [item.nonzeros for item in more.points] == [1000, 500, 300, 100]
    again = more.with_point(point(300, draw_us=math.nan))
    assert [item.nonzeros for item in again.untimed] == [300]
    found = again.find(500)
    assert found is not None
    assert found.metrics["accuracy"].value == 0.88
    assert again.find(501) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": ()}, "at least one point"),
        ({"points": (point(5), point(10))}, "not in the order"),
        ({"points": (point(10), point(5, weights=2000))}, "the same metrics, layers and weights"),
        ({"points": (point(10), point(5, layer_sparsity={"den_1": 0.5}))}, "the same metrics, layers and weights"),
    ],
)
def test_impossible_sweeps_are_refused(changes: dict[str, tuple[SweepPoint, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sweep(**changes)


def test_impossible_points_are_refused() -> None:
    with pytest.raises(UsageError, match="1001 non-zeros of 1000"):
        point(1001)
    with pytest.raises(UsageError, match="accuracy"):
        point(10, differences={})


def test_what_is_no_sweep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="there is no sweep file"):
        read_sweep(tmp_path / "s.h5")
    (tmp_path / "s.h5").write_bytes(b"\x93NUMPY and more")
    with pytest.raises(InputError, match="looks like a NumPy array"):
        read_sweep(tmp_path / "s.h5")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(InputError, match="not the file of a sweep"):
        read_sweep(tmp_path / "other.h5")


def test_a_results_file_is_no_sweep() -> None:
    with pytest.raises(InputError, match="not the file of a sweep"):
        read_sweep(Path(__file__).parent.parent / "results" / "golden_v3.h5")


def _damage(path: Path, kind: str) -> None:
    with h5py.File(path, "r+") as file:
        if kind == "newer":
            file.attrs.modify("schema_version", 2)
        elif kind == "missing":
            del file["metrics/value"]
        elif kind == "link":
            file["points/more"] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "shape":
            del file["points/nonzeros"]
            file["points/nonzeros"] = np.arange(7)
        elif kind == "names":
            file.attrs.modify("layers", np.bytes_(b"{}"))


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("newer", UnsupportedError, "schema version 2"),
        ("missing", DamagedFileError, "cannot be read as a sweep file"),
        ("link", DamagedFileError, "holds a link"),
        ("shape", DamagedFileError, r"of the shape \(7,\)"),
        ("names", DamagedFileError, "layers"),
    ],
)
def test_damage_is_found(tmp_path: Path, kind: str, error: type[Exception], message: str) -> None:
    write_sweep(sweep(), tmp_path / "s.h5")
    _damage(tmp_path / "s.h5", kind)
    with pytest.raises(error, match=message):
        read_sweep(tmp_path / "s.h5")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write_sweep(sweep(), tmp_path / "s.h5")
    content = (tmp_path / "s.h5").read_bytes()
    (tmp_path / "s.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedFileError, match="s.h5"):
        read_sweep(tmp_path / "s.h5")
