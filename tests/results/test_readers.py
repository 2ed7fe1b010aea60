"""Other software opens a results file: xarray, netCDF4 and ArviZ see the values, axes and names that h5py sees."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr

from bprune.case.task import Task
from bprune.results import SNR_QUANTILES
from bprune.results.layout import coordinate, layout
from tests.results.results_world import DRAWS, RUN, WORLDS, read_everything, variables, write

GROUPS = ("posterior_predictive", "summary", "blocks", "observed_data", "constant_data", "layers", "sample_stats")
NAMES = ("classification", "regression")


@pytest.fixture(params=NAMES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write(tmp_path / "r.h5", WORLDS[request.param])


def expected_dims(path: Path) -> dict[str, dict[str, tuple[str, ...]]]:
    name = "classification" if "class" in variables(path)["summary"] else "regression"
    world = WORLDS[name]
    groups = layout(world.task, world.inputs.ndim)
    return {group: {name: variable.dims for name, variable in items.items()} for group, items in groups.items()}


def assert_agrees(dataset: xr.Dataset, path: Path, group: str) -> None:
    """Values, dtypes, axes, coordinates and units of one group."""
    stored, dims = variables(path)[group], expected_dims(path)[group]
    assert set(dataset.variables) == set(stored)
    assert set(dataset.data_vars) == set(dims)
    assert set(dataset.coords) == set(stored) - set(dims)
    for name, axes in dims.items():
        assert dataset[name].dims == axes
        assert dataset[name].dtype == stored[name].dtype
        np.testing.assert_array_equal(dataset[name].values, stored[name])
        assert set(dataset[name].attrs) >= {"long_name", "units"}
    for dim in map(str, dataset.coords):
        assert dataset[dim].dims == (dim,)
        assert dataset[dim].values.tolist() == stored[dim].tolist()
        assert dataset[dim].attrs["long_name"] == coordinate(dim).long_name


def test_xarray_opens_the_tree(path: Path) -> None:
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert set(tree.children) == set(GROUPS)
        for group in GROUPS:
            assert_agrees(tree[group].to_dataset(), path, group)
        assert tree.attrs["case"] == RUN.case
        assert tree.attrs["seed"] == RUN.seed
        assert tree["layers"].attrs["weights_total"] == 31


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4", None])
@pytest.mark.parametrize("group", GROUPS)
def test_xarray_opens_each_group(path: Path, group: str, engine: str | None) -> None:
    options: dict[str, Any] = {} if engine is None else {"engine": engine}
    with xr.open_dataset(path, group=group, **options) as dataset:
        assert_agrees(dataset, path, group)


def test_xarray_selects_by_coordinate(tmp_path: Path) -> None:
    path = write(tmp_path / "r.h5", WORLDS["classification"])
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        layers = tree["layers"].to_dataset()
        assert layers["weights"].sel(layer="dénse_2").item() == 11
        assert layers["snr_quantiles"].sel(layer="conv_1", quantile=0.5).item() == 2.0
        assert np.isnan(layers["snr_quantiles"].sel(layer="den_3")).all()
        draws = tree["posterior_predictive"].to_dataset()["probabilities"]
        mean = tree["summary"].to_dataset()["mean"]
        np.testing.assert_allclose(draws.mean(["chain", "draw"]), mean, rtol=1e-6)
        assert draws.sizes == {"chain": 1, "draw": DRAWS, "example": 6, "class": 3}


def test_netcdf4_opens_the_file(path: Path) -> None:
    with netCDF4.Dataset(path) as file:
        assert set(file.groups) == set(GROUPS)
        assert file.getncattr("Conventions") == "CF-1.11"
        for group, dims in expected_dims(path).items():
            stored = variables(path)[group]
            for name, axes in dims.items():
                variable = file[group][name]
                assert variable.dimensions == axes
                np.testing.assert_array_equal(np.asarray(variable[...]), stored[name])
                assert variable.filters()["fletcher32"]
        assert file["layers/layer"][:].tolist() == ["conv_1", "dénse_2", "den_3"]
        assert tuple(file["layers/quantile"][:]) == SNR_QUANTILES
        assert not any(dim.isunlimited() for group in file.groups.values() for dim in group.dimensions.values())


def test_netcdf4_adds_to_a_copy_that_bprune_still_reads(path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path / "copy.h5"))
    with netCDF4.Dataset(copy, "a") as file:
        file.note = "looked at"
        file["summary"].createVariable("votes", "i8", ("example",))[:] = 1
    assert read_everything(copy) == read_everything(path)


def test_strings_are_text_in_every_reader(path: Path) -> None:
    with xr.open_datatree(path, engine="h5netcdf") as tree, netCDF4.Dataset(path) as file:
        for name in ("command", "versions", "provenance"):
            assert isinstance(tree.attrs[name], str)
            assert tree.attrs[name] == file.getncattr(name)
        assert "dénse_2" in tree.attrs["provenance"]


def test_arviz_opens_the_file(path: Path) -> None:
    with warnings.catch_warnings():
        # ArviZ 0.x announces its successor on import, and does not know the groups `summary` and `layers`
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".* group is not defined in the InferenceData", category=UserWarning)
        arviz = pytest.importorskip("arviz")
        has_own_reader = arviz.__version__.startswith("0.")  # from 1.0 on ArviZ takes xarray's tree
        data: Any = arviz.from_netcdf(path) if has_own_reader else xr.open_datatree(path, engine="h5netcdf")
        name = "probabilities" if read_everything(path)["task"] is Task.CLASSIFICATION else "mean"
        draws = data["posterior_predictive"][name]
        assert tuple(draws.dims)[:2] == ("chain", "draw")
        np.testing.assert_array_equal(draws.values, variables(path)["posterior_predictive"][name])
        table = arviz.summary(data, group="posterior_predictive", var_names=[name], kind="stats", round_to="none")
    mean = np.ravel(draws.mean(["chain", "draw"]).values)
    np.testing.assert_allclose(table["mean"].to_numpy(dtype=float), mean, rtol=1e-5)


@pytest.mark.parametrize("name", WORLDS)
def test_files_without_draws_or_labels_open_too(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "r.h5", WORLDS[name], keep_draws=False, labels=False)
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert set(tree.children) == set(GROUPS) - {"posterior_predictive", "observed_data"}
    with netCDF4.Dataset(path) as file:
        assert "x" in file["constant_data"].variables
