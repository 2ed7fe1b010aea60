"""What is written is what is read; what cannot be written or read leaves nothing behind and says why."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bprune.case.task import Task
from bprune.engines.base import Draws, Sampling
from bprune.errors import UsageError
from bprune.inference.statistics import ClassificationMoments
from bprune.results import SNR_QUANTILES, LayerRecord, ResultsWriter, RunRecord, open_results
from bprune.results.hdf5 import chunk_shape
from tests.results.results_world import (
    LAYERS,
    RUN,
    RUNTIME_S,
    WORLDS,
    World,
    child,
    classification,
    read_everything,
    regression,
    variables,
    write,
    writer,
)

GOLDEN = {version: Path(__file__).with_name(f"golden_v{version}.h5") for version in (1, 2, 3, 4)}
"""Files as each version wrote them; version 1 knew no precision and no plan, version 2 no pairs and no stopping."""

INDEPENDENT = {"antithetic": False, "stopping": ""}
"""What files older than version 3 say of their draws."""


# Round trips


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize("keep_draws", [True, False])
@pytest.mark.parametrize("labels", [True, False])
def test_what_is_written_is_read(tmp_path: Path, name: str, keep_draws: bool, labels: bool) -> None:
    world = WORLDS[name]
    path = write(tmp_path / "r.h5", world, keep_draws=keep_draws, labels=labels)
    with open_results(path) as results:
        assert results.task is world.task
        assert results.run == dataclasses.replace(RUN, inference_runtime_s=RUNTIME_S)
        for got, expected in zip(results.layers, LAYERS, strict=True):
            assert (got.name, got.weights, got.nonzeros) == (expected.name, expected.weights, expected.nonzeros)
            np.testing.assert_array_equal(got.snr_quantiles, expected.snr_quantiles)
        expected_summary = world.summary()
        for item in dataclasses.fields(expected_summary):
            value = getattr(expected_summary, item.name)
            value = None if item.name.endswith("log_likelihood") and not labels else value
            np.testing.assert_array_equal(getattr(results.summary, item.name), value, err_msg=item.name)
        assert results.inputs.dtype == world.inputs.dtype
        np.testing.assert_array_equal(results.inputs, world.inputs)
        assert results.draws_made.tolist() == [5] * 6
        draws = results.draws()
        if keep_draws:
            assert draws is not None
            np.testing.assert_array_equal(draws.values, world.draws.values)
            np.testing.assert_array_equal(draws.scale, world.draws.scale)
        else:
            assert draws is None
        if labels:
            np.testing.assert_array_equal(results.labels, world.labels)
        else:
            assert results.labels is None
            assert not {"accuracy", "rmse", "nll"} & set(results.metrics())


def test_metrics_after_reloading_equal_those_before(good: Path, world: World) -> None:
    with open_results(good) as results:
        metrics = results.metrics()
    assert metrics["accuracy"].value == np.mean(world.summary().mean.argmax(axis=-1) == world.labels)
    assert metrics["nll"].mc_stderr > 0.0


def test_a_regression_has_its_metrics(tmp_path: Path) -> None:
    with open_results(write(tmp_path / "r.h5", regression())) as results:
        metrics = results.metrics()
    assert {"rmse", "nll", "crps", "coverage_95", "width_95"} <= set(metrics)


@pytest.mark.parametrize("part", [slice(None), slice(1, 4), slice(-2, None), slice(0, 6, 2), slice(4, 2), slice(5, 99)])
def test_draws_of_some_examples(good: Path, world: World, part: slice) -> None:
    with open_results(good) as results:
        draws = results.draws(part)
    assert draws is not None
    np.testing.assert_array_equal(draws.values, world.draws.values[:, part])


def test_draws_that_were_not_made_are_nan(tmp_path: Path, world: World) -> None:
    with writer(tmp_path / "r.h5", world) as file:
        file.add(0, 0, Draws(world.draws.values[:2]))
        file.add(1, 2, Draws(world.draws.values[2:, 1:]))
        file.add_summary(0, world.summary(0, 1), draws=2)
        file.add_summary(1, world.summary(1))
        file.finish(RUNTIME_S)
    with open_results(tmp_path / "r.h5") as results:
        draws = results.draws()
        assert results.draws_made.tolist() == [2, 5, 5, 5, 5, 5]
    assert draws is not None
    assert np.isnan(draws.values[2:, 0]).all()
    np.testing.assert_array_equal(draws.values[:, 1:], world.draws.values[:, 1:])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "uint64", "float16", "float32", "float64", ">f4", ">i2"])
def test_inputs_keep_their_dtype(tmp_path: Path, world: World, dtype: str) -> None:
    inputs = (world.inputs % 5).astype(dtype)
    path = write(tmp_path / "r.h5", dataclasses.replace(world, inputs=inputs))
    with open_results(path) as results:
        assert results.inputs.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(results.inputs, inputs)


def test_inputs_without_inner_axes(tmp_path: Path, world: World) -> None:
    path = write(tmp_path / "r.h5", dataclasses.replace(world, inputs=np.arange(6.0)))
    with open_results(path) as results:
        assert results.inputs.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@settings(deadline=None, max_examples=20)
@given(
    names=st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True),
    command=st.text(max_size=30),
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    seed=st.integers(0, 2**63 - 1),
    threshold=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(2, 4)),
)
def test_any_record_survives(
    names: list[str],
    command: str,
    versions: dict[str, str],
    seed: int,
    threshold: float | None,
    sizes: tuple[int, int, int],
) -> None:
    examples, mc_iters, classes = sizes
    run = dataclasses.replace(
        RUN, command=command, versions=versions, seed=seed, threshold=threshold, mc_iters=mc_iters
    )
    layers = [LayerRecord(name, 3, 2, (1.0,) * len(SNR_QUANTILES)) for name in names]
    if len({layer.name for layer in layers}) < len(layers):
        return  # names that differ in characters that HDF5 cannot hold
    values = np.random.default_rng(seed).random((mc_iters, examples, classes)).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.h5"
        with ResultsWriter(
            path,
            run,
            layers,
            task=Task.CLASSIFICATION,
            inputs=np.zeros((examples, 2)),
            labels=None,
            outputs=classes,
            predicts_scale=False,
            keep_draws=True,
            overwrite=False,
        ) as file:
            file.add(0, 0, Draws(values))
            file.add_summary(0, ClassificationMoments.start(examples, classes).update(Draws(values)).summary())
            file.finish(0.5)
        with open_results(path) as results:
            assert results.run == dataclasses.replace(run, inference_runtime_s=0.5)
            assert results.layers == tuple(layers)
            draws = results.draws()
        assert draws is not None
        np.testing.assert_array_equal(draws.values, values)


# Records


def test_a_record_takes_members_of_enums_and_numpy_numbers() -> None:
    numbers: dict[str, Any] = {"mc_iters": np.int64(7), "threshold": np.float32(0.5)}
    run = dataclasses.replace(RUN, sampling=Sampling.AS_TRAINED, **numbers)
    assert type(run.sampling) is str
    assert (run.sampling, run.mc_iters, run.threshold) == ("as-trained", 7, 0.5)
    json.dumps(dataclasses.asdict(run))


def test_a_command_line_that_is_not_utf8_is_kept_readable() -> None:
    assert dataclasses.replace(RUN, command="infer \udcff.npz").command == "infer \N{REPLACEMENT CHARACTER}.npz"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mc_iters": 0}, "mc_iters is 0"),
        ({"seed": -1}, "the seed is -1"),
        ({"seed": 2**63}, "the seed is 9223372036854775808"),
        ({"threshold": math.nan}, "threshold is nan"),
    ],
)
def test_records_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(RUN, **change)


def test_layers_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError, match="5 non-zeros of 4 weights"):
        LayerRecord("den_1", 4, 5)
    with pytest.raises(UsageError, match="1 quantiles, 7 needed"):
        LayerRecord("den_1", 4, 4, (0.5,))
    assert LayerRecord("den_1", 8, 2).sparsity == 0.75
    assert LayerRecord("den_1", 0, 0).sparsity == 0.0


# The file as it is


def test_every_axis_has_its_scale_and_every_variable_its_checksum(good: Path) -> None:
    with h5py.File(good) as file:
        for group in file.values():
            for name, dataset in group.items():
                assert dataset.attrs["long_name"]
                assert dataset.attrs["units"] in {b"1", b"nat", b"s"}
                if dataset.is_scale:
                    assert dataset.ndim == 1
                else:
                    assert all(len(axis) == 1 for axis in dataset.dims), name
                if dataset.dtype.kind != "O":
                    is_draws = group.name == "/posterior_predictive" and not dataset.is_scale
                    filters = (True, False, None) if is_draws else (True, True, "gzip")
                    assert (dataset.fletcher32, dataset.shuffle, dataset.compression) == filters


def test_one_dimension_name_has_one_size(good: Path) -> None:
    sizes: dict[str, set[int]] = {}
    with h5py.File(good) as file:
        for group in file.values():
            for name, dataset in group.items():
                if dataset.is_scale:
                    sizes.setdefault(name, set()).add(len(dataset))
    assert all(len(found) == 1 for found in sizes.values()), sizes


def test_root_attributes(good: Path) -> None:
    with h5py.File(good) as file:
        attributes = dict(file.attrs)
        totals = dict(file["layers"].attrs)
    assert attributes["Conventions"] == b"CF-1.11"
    assert attributes["source"] == b"bprune 0.1.0"
    assert attributes["history"].decode().endswith(RUN.command)
    assert attributes["schema_version"] == 4
    assert attributes["inference_runtime_s"] == RUNTIME_S
    assert json.loads(attributes["provenance"])["layers"][0] == {"name": "conv_1", "weights": 20, "nonzeros": 7}
    assert totals == {"weights_total": 31, "nonzeros_total": 18, "sparsity_total": pytest.approx(13 / 31)}


def test_a_run_without_threshold_says_nan(tmp_path: Path, world: World) -> None:
    run = dataclasses.replace(RUN, threshold=None, criterion="none")
    path = tmp_path / "r.h5"
    with ResultsWriter(
        path,
        run,
        LAYERS,
        task=world.task,
        inputs=world.inputs,
        labels=None,
        outputs=3,
        predicts_scale=False,
        keep_draws=False,
        overwrite=False,
    ) as file:
        file.add_summary(0, world.summary())
        file.finish(RUNTIME_S)
    with h5py.File(path) as raw:
        assert math.isnan(raw.attrs["threshold"])
    with open_results(path) as results:
        assert results.run.threshold is None
        assert "not pruned" in results.describe()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 400, 10_000, 10), (1, 400, 65, 10)),
        ((1, 5, 6, 3), (1, 5, 6, 3)),
        ((1, 400, 50, 1000), (1, 262, 1, 1000)),
        ((1, 400, 50, 10**6), (1, 1, 1, 262_144)),
    ],
)
def test_chunks_hold_all_draws_where_they_can(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert chunk_shape(("chain", "draw", "example", "class"), shape, 4) == expected


# Reading


def test_the_description_says_what_matters(good: Path) -> None:
    with open_results(good) as results:
        text = results.describe()
        assert repr(results) == f"<Results of {good}: classification, 6 examples, 5 draws>"
    for part in (
        "cases/mnist",
        "5 to 5 draws, 5.0 on average in antithetic pairs, seed",
        "18 of 31 kept",
        "snr threshold 2.5",
        "accuracy 0.3333",
        "nll",
    ):
        assert part in text


def test_a_closed_file_keeps_its_summary_only(good: Path) -> None:
    results = open_results(good)
    results.close()
    assert results.summary.mean.shape == (6, 3)
    with pytest.raises(UsageError, match="is closed"):
        results.draws()
    with pytest.raises(UsageError, match="is closed"):
        _ = results.inputs


def test_draws_are_not_read_backwards(good: Path) -> None:
    with open_results(good) as results, pytest.raises(UsageError, match="runs backwards"):
        results.draws(slice(None, None, -1))


def test_reading_changes_nothing(good: Path) -> None:
    before = good.read_bytes()
    os.chmod(good, 0o400)
    read_everything(good)
    assert good.read_bytes() == before


def test_importing_and_reading_needs_no_tensorflow(good: Path) -> None:
    code = "import sys, bprune.results as r; r.open_results(sys.argv[1]).close(); print('tensorflow' in sys.modules)"
    assert child(code, str(good)).stdout == "False\n"


@pytest.mark.parametrize(
    ("version", "changes"),
    [(1, {"precision": "float32", "plan": "", **INDEPENDENT}), (2, INDEPENDENT), (3, {}), (4, {})],
)
def test_golden_files_of_all_versions_are_read(version: int, changes: dict[str, Any]) -> None:
    world = classification()
    with open_results(GOLDEN[version]) as results:
        draws = results.draws()
        assert results.run == dataclasses.replace(RUN, inference_runtime_s=RUNTIME_S, **changes)
        assert [layer.name for layer in results.layers] == ["conv_1", "dénse_2", "den_3"]
        np.testing.assert_allclose(results.summary.mean, world.summary().mean, rtol=1e-6)
        np.testing.assert_array_equal(results.inputs, world.inputs)
        np.testing.assert_array_equal(results.labels, world.labels)
        nll = results.metrics()["nll"]
    assert draws is not None
    np.testing.assert_array_equal(draws.values, world.draws.values)
    assert nll.data_stderr > 0.0
    assert math.isnan(nll.mc_stderr) == (version < 4)  # the blocks of draws came with version 4


def test_every_variable_of_the_schema_is_in_the_file(good: Path) -> None:
    names = [item.name for item in dataclasses.fields(classification().summary())]
    found = {group: set(members) for group, members in variables(good).items()}
    assert found == {
        "posterior_predictive": {"chain", "draw", "example", "class", "probabilities"},
        "summary": {"example", "class", *(name for name in names if not name.startswith("block_"))},
        "blocks": {"example", "class", "block", "mean", "expected_entropy", "votes"},
        "observed_data": {"example", "label"},
        "constant_data": {"example", "input_dim_0", "input_dim_1", "x"},
        "layers": {"layer", "quantile", "weights", "nonzeros", "sparsity", "snr_quantiles"},
        "sample_stats": {"example", "draws"},
    }


def test_a_run_record_knows_when_it_was_made() -> None:
    run = RunRecord(1, 0, "graph", "graph", "sha256:0", "case", "infer")
    assert run.created_at.endswith("+00:00")
    assert run.inference_library_version
