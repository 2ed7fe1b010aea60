"""Values of checkpoints: round trips, and every kind of damage ends as a typed error or as the same values."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bprune.arrays import AnyArray
from bprune.case.bundle_index import VALUE_DTYPES, index_path, read_index
from bprune.case.checkpoint import Checkpoint, open_checkpoint, write_checkpoint
from bprune.errors import DamagedFileError, InputError, MissingFileError, UnsupportedError
from tests.case.bundle_builder import bundle, header, resealed, seals, tensor
from tests.case.checkpoint_values import VALUES, data, same

ROOT = Path(__file__).resolve().parents[2]


def test_round_trip(prefix: Path) -> None:
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.prefix == prefix
    assert list(checkpoint.entries) == sorted(VALUES)
    values = checkpoint.read_all()
    assert same(values, VALUES)
    assert not any(value.flags.writeable for value in values.values())
    assert sorted(path.name for path in prefix.parent.iterdir()) == [
        "model-7.ckpt.data-00000-of-00001",
        "model-7.ckpt.index",
    ]


@pytest.mark.parametrize("dtype", sorted(VALUE_DTYPES))
def test_every_dtype_round_trips(tmp_path: Path, dtype: str) -> None:
    kind = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    values = {
        "matrix": np.arange(6).astype(kind).reshape(2, 3),
        "one": np.ones((), kind),
        "none": np.ones((0, 2), kind),
    }
    write_checkpoint(tmp_path / "m", values)
    assert same(open_checkpoint(tmp_path / "m").read_all(), values)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=40).filter(str.isprintable),
        npst.arrays(st.sampled_from([np.float32, np.int16, np.bool_]), npst.array_shapes(min_dims=0, min_side=0)),
        min_size=1,
        max_size=5,
    )
)
def test_any_names_and_shapes_round_trip(tmp_path: Path, values: dict[str, AnyArray]) -> None:
    write_checkpoint(tmp_path / "m", values, overwrite=True)
    assert same(open_checkpoint(tmp_path / "m").read_all(), values)


def test_layout_and_byte_order_of_the_array_do_not_matter(tmp_path: Path) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    given_values = {"fortran": np.asfortranarray(values), "big": values.astype(">f4"), "strided": values[:, ::2]}
    write_checkpoint(tmp_path / "m", given_values)
    read = open_checkpoint(tmp_path / "m").read_all()
    assert all(np.array_equal(read[name], value) for name, value in given_values.items())


def test_tensorflow_restores_what_was_written(prefix: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        restored = {name: v1.get_variable(name, value.shape, value.dtype) for name, value in VALUES.items()}
        v1.train.Saver().restore(session, str(prefix))
        assert same(session.run(restored), VALUES)


def test_writing_inside_graphs_of_the_caller(tmp_path: Path) -> None:
    import tensorflow as tf

    @tf.function(autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def traced() -> Any:
        write_checkpoint(tmp_path / "traced", VALUES)
        return tf.constant(same(open_checkpoint(tmp_path / "traced").read_all(), VALUES))

    with tf.Graph().as_default() as graph, tf.device("/gpu:7"), tf.control_dependencies([tf.constant(1.0)]):
        operations = len(graph.get_operations())
        write_checkpoint(tmp_path / "outer", VALUES)
        assert len(graph.get_operations()) == operations
    assert same(open_checkpoint(tmp_path / "outer").read_all(), VALUES)
    assert bool(traced())


@pytest.mark.parametrize("folder", ["a[1]", "what?*", "two words", "new\nline", "ünï", "{a,b}"])
def test_folders_with_odd_names(tmp_path: Path, folder: str) -> None:
    """TensorFlow takes brackets in a checkpoint's path for a pattern and then does not find it."""
    prefix = tmp_path / folder / "m[0].ckpt"
    prefix.parent.mkdir()
    write_checkpoint(prefix, VALUES)
    assert same(open_checkpoint(prefix).read_all(), VALUES)


def test_folder_with_the_prefix_as_name(prefix: Path) -> None:
    """TensorFlow would follow the `checkpoint` file in it to another checkpoint."""
    prefix.mkdir()
    write_checkpoint(prefix / "other", {"other": np.ones(3)})
    (prefix / "checkpoint").write_text('model_checkpoint_path: "other"\n')
    assert same(open_checkpoint(prefix).read_all(), VALUES)


def test_relative_path(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prefix.parent)
    assert same(open_checkpoint(Path(prefix.name)).read_all(), VALUES)
    write_checkpoint(Path("again"), VALUES)
    assert open_checkpoint(Path("again")).digest() == open_checkpoint(prefix).digest()


def test_read_some(prefix: Path) -> None:
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.read("global_step") == 14000
    assert list(checkpoint.read_all(["global_step", "den_1/bias_posterior_loc"])) == [
        "global_step",
        "den_1/bias_posterior_loc",
    ]


def test_unknown_name(prefix: Path) -> None:
    with pytest.raises(InputError, match="no tensor 'globalstep'\nDid you mean global_step"):
        open_checkpoint(prefix).read("globalstep")
    with pytest.raises(InputError, match="no tensor 'xyz'\nIt has 4 others"):
        open_checkpoint(prefix).read("xyz")


def test_strings_are_unsupported(tmp_path: Path) -> None:
    import tensorflow as tf

    prefix = tmp_path / "m"
    tf.train.Checkpoint(loc=tf.Variable(tf.constant([1.5, 2.5]))).write(str(prefix))
    checkpoint = open_checkpoint(prefix)
    assert list(checkpoint.read_all()) == ["loc/.ATTRIBUTES/VARIABLE_VALUE"]
    with pytest.raises(UnsupportedError, match=r"'_CHECKPOINTABLE_OBJECT_GRAPH' in .* holds strings"):
        checkpoint.read("_CHECKPOINTABLE_OBJECT_GRAPH")


def test_digest(prefix: Path, tmp_path: Path) -> None:
    content = index_path(prefix).read_bytes() + data(prefix).read_bytes()
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.digest() == f"sha256:{hashlib.sha256(content).hexdigest()}"
    write_checkpoint(tmp_path / "other", dict(reversed(VALUES.items())))
    assert open_checkpoint(tmp_path / "other").digest() == checkpoint.digest()
    write_checkpoint(tmp_path / "third", {**VALUES, "global_step": np.asarray(14001)})
    assert open_checkpoint(tmp_path / "third").digest() != checkpoint.digest()
    data(prefix).unlink()
    with pytest.raises(InputError, match=r"cannot read .*data-00000-of-00001: No such file"):
        checkpoint.digest()


# Damage


@pytest.mark.parametrize("missing", [".index", ".data-00000-of-00001"])
def test_missing_file(prefix: Path, missing: str) -> None:
    (prefix.parent / (prefix.name + missing)).unlink()
    with pytest.raises(MissingFileError, match=f"{missing}.* is missing|{missing}: this file is missing") as caught:
        open_checkpoint(prefix)
    assert "names" in str(caught.value) or "which tensors" in str(caught.value)


def outcome(checkpoint: Checkpoint) -> str:
    try:
        values = checkpoint.read_all()
    except DamagedFileError:
        return "refused"
    return "same" if same(values, VALUES) else "WRONG"


def test_every_flipped_byte_of_the_data_is_refused(prefix: Path) -> None:
    """1,268 cases, a random bit of each byte."""
    checkpoint, content, rng = open_checkpoint(prefix), data(prefix).read_bytes(), random.Random(3)
    outcomes = []
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 1 << rng.randrange(8)
        data(prefix).write_bytes(altered)
        outcomes.append(outcome(checkpoint))
    assert outcomes == ["refused"] * 1268
    data(prefix).write_bytes(content + b"more")
    assert outcome(checkpoint) == "same"


def test_every_truncation_of_the_data_is_refused(prefix: Path) -> None:
    """1,268 cases before the check, and 127 of files that shrink after it."""
    checkpoint, content = open_checkpoint(prefix), data(prefix).read_bytes()
    for end in reversed(range(len(content))):
        os.truncate(data(prefix), end)
        with pytest.raises(DamagedFileError, match="truncated, or of another save"):
            open_checkpoint(prefix)
        if end % 10 == 0:
            assert outcome(checkpoint) == "refused"


def test_overwritten_data(prefix: Path) -> None:
    """200 cases of 32 random bytes, and the data of another step."""
    checkpoint, content, rng = open_checkpoint(prefix), data(prefix).read_bytes(), random.Random(4)
    for _ in range(200):
        at = rng.randrange(len(content) - 32)
        data(prefix).write_bytes(content[:at] + rng.randbytes(32) + content[at + 32 :])
        assert outcome(checkpoint) == "refused"
    write_checkpoint(prefix.parent / "other", {name: value + 1 for name, value in VALUES.items()})
    shutil.copy(data(prefix.parent / "other"), data(prefix))
    assert outcome(checkpoint) == "refused"


def test_files_that_change_after_the_check(prefix: Path) -> None:
    checkpoint = open_checkpoint(prefix)
    content = index_path(prefix).read_bytes()
    write_checkpoint(prefix, {name: value + 1 for name, value in VALUES.items()}, overwrite=True)
    with pytest.raises(DamagedFileError, match=r"model-7.ckpt.index changed since it was opened"):
        checkpoint.read_all()
    index_path(prefix).write_bytes(content[:-1])
    with pytest.raises(DamagedFileError, match=r"model-7.ckpt.index changed since it was opened"):
        checkpoint.read_all()
    index_path(prefix).unlink()
    with pytest.raises(InputError, match=r"cannot read .*No such file"):
        checkpoint.read_all()


def test_data_file_that_vanishes_after_the_check(prefix: Path) -> None:
    checkpoint = open_checkpoint(prefix)
    data(prefix).unlink()
    with pytest.raises(DamagedFileError, match="the values cannot be read"):
        checkpoint.read_all()


@pytest.mark.parametrize("error", [IndexError, KeyError, MemoryError, TypeError, ValueError])
def test_foreign_errors_are_translated(prefix: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    import tensorflow as tf

    def failing(path: str) -> Any:
        raise error("Read less bytes\nand more")

    monkeypatch.setattr(tf.train, "load_checkpoint", failing)
    with pytest.raises(DamagedFileError, match=r"model-7.ckpt: the values cannot be read: .*Read less bytes") as caught:
        open_checkpoint(prefix).read_all()
    assert isinstance(caught.value.__cause__, error)


def test_value_that_contradicts_the_index(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    class Reader:
        def get_tensor(self, name: str) -> AnyArray:
            return VALUES[name].T if name.endswith("kernel_posterior_loc") else VALUES[name]

    monkeypatch.setattr(tf.train, "load_checkpoint", lambda path: Reader())
    assert open_checkpoint(prefix).read("global_step") == 14000
    with pytest.raises(DamagedFileError, match=r"float32 \[15, 10\], but the index says float32 \[10, 15\]"):
        open_checkpoint(prefix).read("den_1/kernel_posterior_loc")


def hostile_indexes(content: bytes, count: int) -> list[bytes]:
    """The index with 1 to 8 bytes of its blocks changed, and right checksums."""
    rng, spans = random.Random(5), seals(content)
    found = []
    for _ in range(count):
        altered = bytearray(content)
        start, end = spans[rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 2, 2])]
        for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
            altered[rng.randrange(start, end + 1)] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        found.append(resealed(bytes(altered), spans))
    return found


CHILD = """
import json, sys
from pathlib import Path
import numpy as np
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
from bprune.case.checkpoint import open_checkpoint, write_checkpoint
from bprune.errors import InputError

folder = Path(sys.argv[1])
for index in sorted(folder.glob("*.index")):
    try:
        values = open_checkpoint(index.with_suffix("")).read_all()
        print("values", len(values), flush=True)
    except InputError as error:
        print(type(error).__name__, flush=True)
write_checkpoint(folder / "written", {"loc": np.arange(3.0)})
print(json.dumps(open_checkpoint(folder / "written").read("loc").tolist()), flush=True)
"""


def test_hostile_indexes_with_right_checksums_do_not_abort(prefix: Path, tmp_path: Path) -> None:
    """4,000 altered indexes. Those that pass the check go to TensorFlow, without eager mode, in a child process."""
    folder = tmp_path / "passed"
    folder.mkdir()
    refused = 0
    huge = bundle(header(), tensor(b"loc", (3, 0, 1 << 50)))
    altered = [*hostile_indexes(index_path(prefix).read_bytes(), 4000), huge]
    for number, content in enumerate(altered):
        index_path(prefix).write_bytes(content)
        try:
            shards = read_index(index_path(prefix), require_data=False).shards
        except InputError:
            refused += 1
        else:
            index_path(folder / f"{number:05d}").write_bytes(content)
            for shard in range(min(shards, 4)):
                data(folder / f"{number:05d}", shard, shards).symlink_to(data(prefix))
    passed = len(altered) - refused
    assert refused > 3000
    assert passed > 100
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        timeout=300,
    )
    lines = child.stdout.splitlines()
    assert child.returncode == 0, f"{signal.strsignal(-child.returncode)} at {len(lines)}: {child.stderr[-2000:]}"
    assert len(lines) == passed + 1
    assert json.loads(lines[-1]) == [0.0, 1.0, 2.0]
