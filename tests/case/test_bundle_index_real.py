"""The strict index check passes what TensorFlow writes, today and in 2020."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.case.bundle_index import read_index
from bprune.case.checkpoint import open_checkpoint, write_checkpoint
from bprune.errors import MissingFileError, UnsupportedError

ORIGINAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "original_case" / "checkout"


@pytest.fixture(scope="module")
def tensorflow_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of every kind that TensorFlow writes, in one folder."""
    import tensorflow as tf
    import tf_keras

    v1, folder = tf.compat.v1, tmp_path_factory.mktemp("written")

    def variable(name: str, shape: tuple[int, ...], **options: Any) -> Any:
        return v1.get_variable(name, shape, use_resource=False, **options)

    with tf.Graph().as_default(), v1.Session(config=v1.ConfigProto(device_count={"CPU": 3})) as session:
        for number_ in range(6):
            with tf.device(f"/cpu:{number_ % 3}"):
                variable(f"den_{number_}/loc", (number_, 2))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "saver"))
        v1.train.Saver(sharded=True).save(session, str(folder / "sharded"))
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, str(folder / "v1"))
    with tf.Graph().as_default(), v1.Session() as session:
        variable("whole", (2, 2))
        variable("parts", (4, 3), partitioner=v1.fixed_size_partitioner(2))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / "parts"))
    kinds = {name: tf.zeros((2, 0, 3), name) for name in ("float16", "bfloat16", "complex128", "uint64", "int8")}
    objects = {name: tf.Variable(value) for name, value in kinds.items()}
    kinds = {"text": tf.constant(["a", "", "ccc"]), "no_text": tf.zeros([0], tf.string), "flag": tf.constant(True)}
    objects |= {name: tf.Variable(value) for name, value in kinds.items()}
    tf.train.Checkpoint(**objects).write(str(folder / "objects"))
    model = tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(2,)), tf_keras.layers.BatchNormalization()])
    model.save_weights(str(folder / "keras"))
    return folder


@pytest.mark.parametrize(("name", "tensors", "shards"), [("saver", 6, 1), ("sharded", 6, 3), ("objects", 9, 1)])
def test_tensorflow_files_pass(tensorflow_files: Path, name: str, tensors: int, shards: int) -> None:
    index = read_index(tensorflow_files / f"{name}.index")
    assert (len(index.entries), index.shards) == (tensors, shards)
    assert {entry.shard for entry in index.entries.values()} == set(range(shards))
    checkpoint = open_checkpoint(tensorflow_files / name)
    assert len(checkpoint.read_all()) == sum(entry.dtype != "string" for entry in index.entries.values())


def test_keras_weights_pass(tensorflow_files: Path) -> None:
    entries = read_index(tensorflow_files / "keras.index").entries
    shapes = {name: entry.shape for name, entry in entries.items() if name.endswith(".ATTRIBUTES/VARIABLE_VALUE")}
    assert shapes["layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"] == (2, 3)
    assert entries["_CHECKPOINTABLE_OBJECT_GRAPH"].dtype == "string"


def test_partitioned_variables_are_unsupported(tensorflow_files: Path) -> None:
    with pytest.raises(UnsupportedError, match="partitioned variable"):
        read_index(tensorflow_files / "parts.index")


def test_v1_checkpoint_is_unsupported(tensorflow_files: Path) -> None:
    with pytest.raises(UnsupportedError, match="old V1 format"):
        read_index(tensorflow_files / "v1.index")
    with pytest.raises(UnsupportedError, match="old V1 format"):
        read_index(tensorflow_files / "v1")


def test_index_of_many_blocks(tmp_path: Path) -> None:
    """TensorFlow begins a new block after 256 KiB."""
    rng = random.Random(2)
    values = {f"{rng.randbytes(500).hex()}": np.asarray(float(i)) for i in range(600)}
    write_checkpoint(tmp_path / "m", values)
    assert (tmp_path / "m.index").stat().st_size > 2 << 18
    assert open_checkpoint(tmp_path / "m").read_all() == values


@pytest.mark.shared_data
@pytest.mark.skipif(not ORIGINAL.exists(), reason="the data folder is not there")
def test_predecessors_index() -> None:
    """Written by TensorFlow 1.15 in 2020; its data file is lost."""
    index = ORIGINAL / "model.ckpt-14000.index"
    entries = read_index(index, require_data=False).entries
    assert len(entries) == 28
    assert entries["global_step"].shape == ()
    with pytest.raises(MissingFileError, match="data-00000-of-00001 is missing"):
        read_index(index)
