"""The pruned case: what is in it, who can restore it, and what happens when it cannot be written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bprune import prune
from bprune.case import load_case
from bprune.errors import DamagedFileError, OutputError, TargetError, UsageError
from bprune.posterior import read_network
from bprune.pruning import PruningRecord, read_pruning_record
from tests.networks import INPUTS, mixed_model


def test_record_counts_and_names_the_source(mixed_case: Path, tmp_path: Path) -> None:
    pruned = prune(mixed_case, tmp_path / "out", threshold=1.0)
    record = json.loads((tmp_path / "out" / "pruning.json").read_text())
    assert record["criterion"] == "snr"
    assert record["threshold"] == 1.0
    assert record["total"]["nonzeros"] == pruned.total.nonzeros
    assert record["source"]["digest"] == load_case(mixed_case).checkpoint.digest()
    assert [item["name"] for item in record["layers"]] == ["flip", "laplace", "lognormal", "local"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "LayerNames.txt",
        "OpsNames.txt",
        "checkpoint",
        "heldout.npz",
        "model-10.ckpt.data-00000-of-00001",
        "model-10.ckpt.index",
        "model-10.ckpt.meta",
        "pruning.json",
    }


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_users_own_model_restores_it(mixed_case: Path, tmp_path: Path) -> None:
    """TFP's sampled kernels have scales of 1.2e-7 where pruned (33 of them is less than 1e-12 likely for a Laplace)."""
    import tensorflow as tf

    prune(mixed_case, tmp_path / "out", sparsity=0.8, allow_empty_layers=True)
    network = read_network(load_case(tmp_path / "out"))
    model = mixed_model()
    names = {variable.name.removesuffix(":0"): variable for variable in model.variables}
    tf.compat.v1.train.Saver(names).restore(None, str(tmp_path / "out" / "model-10.ckpt"))
    for posterior in network.posteriors:
        layer = model.get_layer(posterior.layer)
        distribution = layer.kernel_posterior if posterior.part == "kernel" else layer.bias_posterior
        samples = distribution.sample(20, seed=1).numpy()
        assert (~posterior.mask).any()
        assert np.abs(samples[:, ~posterior.mask]).max() < 4e-6
        assert np.abs(samples[:, posterior.mask]).min(axis=0).max(initial=0.0) > 0.0 or not posterior.mask.any()
        np.testing.assert_array_equal(
            np.asarray(distribution.distribution.loc if posterior.family.name == "Normal" else posterior.loc)[
                posterior.mask
            ],
            posterior.loc[posterior.mask],
        )
    assert np.isfinite(model(INPUTS).numpy()).all()


def test_a_tf1_graph_restores_it(mixed_case: Path, tmp_path: Path) -> None:
    """The classic route of TensorFlow 1: the saver of the MetaGraph itself finds every variable."""
    import tensorflow as tf

    prune(mixed_case, tmp_path / "out", threshold=2.0)
    prefix = tmp_path / "out" / "model-10.ckpt"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(f"{prefix}.meta").restore(session, str(prefix))
        value = session.run("flip/kernel_posterior_loc/Read/ReadVariableOp:0")
    np.testing.assert_array_equal(value, read_network(load_case(tmp_path / "out")).posteriors[0].loc)


def test_an_existing_directory_is_left_alone(mixed_case: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    with pytest.raises(OutputError, match="out exists already and was left as it is"):
        prune(mixed_case, tmp_path / "out", threshold=1.0)
    with pytest.raises(OutputError, match="out is not a pruned case, so it is not replaced"):
        prune(mixed_case, tmp_path / "out", threshold=1.0, overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["precious.txt"]


def test_overwrite_replaces_a_pruned_case(mixed_case: Path, tmp_path: Path) -> None:
    prune(mixed_case, tmp_path / "out", threshold=1.0)
    prune(mixed_case, tmp_path / "out", threshold=2.0, overwrite=True)
    assert json.loads((tmp_path / "out" / "pruning.json").read_text())["threshold"] == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_source_is_no_target(mixed_case: Path) -> None:
    for target in (mixed_case, mixed_case.parent):
        with pytest.raises(UsageError, match="is or holds the source case, which is never written"):
            prune(mixed_case, target, threshold=1.0, overwrite=True)


def test_refused_pruning_writes_nothing(mixed_case: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="leaves no weight in"):
        prune(mixed_case, tmp_path / "out", threshold=1e9)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_writing_leaves_nothing(mixed_case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bprune.case.write as write

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "format_ops_names", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        prune(mixed_case, tmp_path / "out", threshold=1.0)
    assert list(tmp_path.iterdir()) == []


def test_the_record_reads_back(mixed_case: Path, tmp_path: Path) -> None:
    prune(mixed_case, tmp_path / "out", threshold=1.5)
    record = read_pruning_record(tmp_path / "out" / "pruning.json")
    assert record == PruningRecord(
        "snr", 1.5, None, "mixed", "model-10.ckpt", source_digest=load_case(mixed_case).checkpoint.digest()
    )
    assert record.describe() == "pruned from mixed (model-10.ckpt): snr below 1.5"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"criterion": "snr", "threshold": "ten"}',
        "[" * 100_000,
        "\udcff",
        '{"criterion": NaN}',
        '{"criterion": "snr", "threshold": null, "sparsity_target": null, "source": {"case": "a", "checkpoint": "b"}}',
    ],
)
def test_a_damaged_record_is_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "pruning.json").write_text(content, errors="surrogateescape")
    with pytest.raises(DamagedFileError, match="pruning.json is not a pruning record"):
        read_pruning_record(tmp_path / "pruning.json")
