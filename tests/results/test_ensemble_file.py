"""Files of ensembles: a chain for each member, and a summary that is the mixture of theirs."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from bprune.errors import DamagedFileError, UsageError
from bprune.inference.mixture import mix_summaries
from bprune.results import MemberRecord, Results, RunRecord, open_results
from bprune.results.ensemble import ensemble_run
from bprune.results.members import ensemble_name, member_seed
from tests.results.ensemble_world import (
    DRAWS,
    ENSEMBLE,
    ENSEMBLE_LAYERS,
    MEMBERS,
    RUNS,
    ensemble_writer,
    members_of,
    write_ensemble,
)
from tests.results.results_world import RUNTIME_S, WORLDS, variables

GOLDEN = Path(__file__).with_name("golden_v5.h5")


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("keep_draws", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_what_is_written_is_read(tmp_path: Path, name: str, keep_draws: bool, labels: bool) -> None:
    worlds = members_of(name)
    path = write_ensemble(tmp_path / "r.h5", name, keep_draws=keep_draws, labels=labels)
    with open_results(path) as results:
        assert results.run == dataclasses.replace(ENSEMBLE, inference_runtime_s=RUNTIME_S)
        assert [(layer.name, layer.member, layer.weights) for layer in results.layers] == [
            (layer.name, layer.member, layer.weights) for layer in ENSEMBLE_LAYERS
        ]
        expected = [world.summary() for world in worlds]
        _check_members(results, expected, has_labels=labels)
        draws, second = results.draws(), results.draws(slice(1, 4), member=1)
    assert (draws is not None) == (second is not None) == keep_draws
    if draws is not None and second is not None:
        assert draws.values.shape == (MEMBERS * DRAWS, *worlds[0].draws.values.shape[1:])
        np.testing.assert_array_equal(draws.values, np.concatenate([world.draws.values for world in worlds]))
        np.testing.assert_array_equal(second.values, worlds[1].draws.values[:, 1:4])
        if worlds[1].draws.scale is not None:
            np.testing.assert_array_equal(second.scale, worlds[1].draws.scale[:, 1:4])


def _check_members(results: Results, expected: list[Any], *, has_labels: bool) -> None:
    mixture = mix_summaries(expected)
    for found, wanted in zip((results.summary, *results.members), (mixture, *expected), strict=True):
        for item in dataclasses.fields(wanted):
            value = getattr(wanted, item.name)
            if item.name.endswith("log_likelihood") and not has_labels:
                assert getattr(found, item.name) is None
            elif value is None:
                assert getattr(found, item.name) is None, item.name
            else:  # what is not stored of a member follows from the rest, up to rounding
                np.testing.assert_allclose(getattr(found, item.name), value, rtol=1e-6, atol=1e-7, err_msg=item.name)


def test_the_groups_of_a_file(tmp_path: Path) -> None:
    found = variables(write_ensemble(tmp_path / "r.h5", "classification"))
    names = ("mean", "stddev", "predictive_entropy", "expected_entropy", "mc_stderr")
    assert set(found["members"]) == {"chain", "example", "class", *names}
    assert set(found["split"]) == {"example", "within_members", "between_members"}
    assert set(found["blocks"]) == {"chain", "example", "block", "class", "mean", "expected_entropy", "votes"}
    assert found["layers"]["member"].tolist() == [0, 0, 0, 1, 2, 2, 2]
    assert found["layers"]["layer"].tolist()[3:5] == ["1/conv_1", "2/den_3"]
    assert all(len(members) <= 8 for members in found.values())  # more survive no damage
    assert found["posterior_predictive"]["probabilities"].shape == (MEMBERS, DRAWS, 6, 3)
    assert found["posterior_predictive"]["chain"].tolist() == [0, 1, 2]
    split = found["split"]["within_members"] + found["split"]["between_members"]
    np.testing.assert_allclose(split, found["summary"]["mutual_information"], atol=1e-6)


@pytest.mark.parametrize("name", ["classification", "regression"])
def test_other_software_reads_it(tmp_path: Path, name: str) -> None:
    path = write_ensemble(tmp_path / "r.h5", name)
    stored = variables(path)
    with xr.open_datatree(path, engine="h5netcdf") as tree, netCDF4.Dataset(path) as file:
        for group, members in stored.items():
            for variable, values in members.items():
                np.testing.assert_array_equal(tree[group][variable].values, values)
                np.testing.assert_array_equal(file[group][variable][...], values)
        assert [member["case"] for member in json.loads(tree.attrs["members"])] == [run.case for run in RUNS]
        assert float(tree["members/mean"].sel(chain=2).mean()) == pytest.approx(stored["members"]["mean"][2].mean())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"\s*ArviZ is undergoing a major refactor", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".* group is not defined in the InferenceData", category=UserWarning)
        arviz = pytest.importorskip("arviz")
        if arviz.__version__.startswith("0."):
            draws = arviz.from_netcdf(path)["posterior_predictive"]
            assert draws.sizes["chain"] == MEMBERS


def test_metrics_of_the_whole_and_of_members(tmp_path: Path) -> None:
    with open_results(write_ensemble(tmp_path / "r.h5", "classification")) as results:
        whole, second = results.metrics(), results.metrics(member=1)
        assert {"within_members", "between_members"} <= set(whole)
        assert not {"within_members", "between_members"} & set(second)
        together = whole["within_members"].value + whole["between_members"].value
        assert together == pytest.approx(whole["mutual_information"].value, abs=1e-7)
        assert second["nll"].value != whole["nll"].value
        text = results.describe()
        assert "member 2 member_2, seed" in text
        assert "5 draws of each member" in text
        assert "3 members" in repr(results)
        html = results._repr_html_()
        assert "ensemble of 3: member_0, member_1, member_2" in html
        assert "mutual information between members" in html
        with pytest.raises(UsageError, match=r"no member 3 in .*; it has 3 members"):
            results.draws(member=3)
        with pytest.raises(UsageError, match="no member -1"):
            results.predictions(-1)


def test_incomplete_and_uneven_ensembles_are_refused(tmp_path: Path) -> None:
    worlds = members_of("classification")
    with (
        pytest.raises(UsageError, match="summary of example 0 by member 1 has 0 draws"),
        ensemble_writer(tmp_path / "r.h5", "classification", keep_draws=False) as file,
    ):
        file.of_member(0).add_summary(0, worlds[0].summary())
        file.finish(RUNTIME_S)
    with (
        pytest.raises(UsageError, match="other numbers of draws"),
        ensemble_writer(tmp_path / "r.h5", "classification", keep_draws=False) as file,
    ):
        for number, world in enumerate(worlds):
            file.of_member(number).add_summary(0, world.summary(), draws=4 + (number == 2))
        file.finish(RUNTIME_S)
    with (
        pytest.raises(UsageError, match="is not inside"),
        ensemble_writer(tmp_path / "r.h5", "classification") as file,
    ):
        file.of_member(3).add_summary(0, worlds[0].summary())
    assert not list(tmp_path.iterdir())


def _attribute(value: str) -> Callable[[h5py.File], None]:
    def alter(file: h5py.File) -> None:
        file.attrs.create("members", value.encode(), dtype=h5py.string_dtype("utf-8", len(value.encode())))

    return alter


def _fewer(file: h5py.File) -> None:
    members = json.loads(file.attrs["members"])[:2]
    _attribute(json.dumps(members))(file)


def _of_type(file: h5py.File) -> None:
    members = json.loads(file.attrs["members"])
    members[1]["case"] = 7
    _attribute(json.dumps(members))(file)


def _renamed(file: h5py.File) -> None:
    members = json.loads(file.attrs["members"])
    members[1]["checkpoint_digest"] = "sha256:other"
    _attribute(json.dumps(members))(file)


def _without_members(file: h5py.File) -> None:
    del file["members"]


@pytest.mark.parametrize(
    ("alter", "message"),
    [
        (_attribute("[]"), "not a list of at least two members"),
        (_attribute("{"), "cannot be read as a results file"),
        (_fewer, "fits the rest of the file"),
        (_of_type, "cannot be read as a results file"),
        (_renamed, "provenance record says members"),
        (_without_members, "cannot be read as a results file"),
    ],
)
def test_altered_files_are_refused(tmp_path: Path, alter: Callable[[h5py.File], None], message: str) -> None:
    path = write_ensemble(tmp_path / "r.h5", "classification")
    with h5py.File(path, "r+") as file:
        alter(file)
    with pytest.raises(DamagedFileError, match=message):
        open_results(path)


def test_a_golden_file_is_read() -> None:
    with open_results(GOLDEN) as results:
        assert results.run == dataclasses.replace(ENSEMBLE, inference_runtime_s=RUNTIME_S)
        np.testing.assert_allclose(results.members[2].mean, members_of("classification")[2].summary().mean, rtol=1e-6)


def test_seeds_of_members_are_pinned() -> None:
    """Draws of a published run depend on them."""
    assert [member_seed(7, number) for number in range(3)] == [7, 2021251017632032385, 8779501138110131270]
    seeds = {member_seed(seed, number) for seed in (0, 1, 2**63 - 1) for number in range(50)}
    assert len(seeds) == 150
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_record_of_an_ensemble() -> None:
    assert ENSEMBLE.case == "ensemble of 3: member_0, member_1, member_2"
    assert (ENSEMBLE.threshold, ENSEMBLE.criterion) == (None, "bmr+snr")
    assert ENSEMBLE.checkpoint_digest.startswith("sha256:")
    assert [member.threshold for member in ENSEMBLE.members] == [1.5, 2.5, 2.5]
    assert ensemble_run(RUNS[:1]) is RUNS[0]
    assert ensemble_name(list("abcde")) == "ensemble of 5: a, b, c, ..."
    with pytest.raises(UsageError, match="at least two members"):
        RunRecord(1, 0, "graph", "graph", "sha256:0", "case", "infer", members=ENSEMBLE.members[:1])
    with pytest.raises(UsageError, match="seed of a member"):
        MemberRecord("a", "sha256:0", -1, "graph", "as-trained", "float32", "", None, "none")
    with pytest.raises(UsageError, match="threshold of a member"):
        MemberRecord("a", "sha256:0", 1, "graph", "as-trained", "float32", "", float("inf"), "none")
