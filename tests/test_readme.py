"""The README's Python blocks run as they stand, and its output block is what the command prints."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bprune.judgement.bounds import paired_proportion_bound
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a case at runs/digits."""
    shutil.copytree(samples / "digits_conv", tmp_path / "runs" / "digits")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_prune_infer_and_read(folder: Path) -> None:
    use = next(block for block in BLOCKS if "bprune.prune(" in block)
    read = next(block for block in BLOCKS if "open_datatree" in block)
    names: dict[str, object] = {}
    exec(compile(use.replace("mc_iters=400", "mc_iters=5"), "README.md", "exec"), names)
    assert names["pruned"].total.sparsity == pytest.approx(0.8, abs=1e-4)  # type: ignore[attr-defined]
    exec(compile(read, "README.md", "exec"), names)
    assert names["tree"]["summary"].sizes["example"] == 360  # type: ignore[index]
    names["tree"].close()  # type: ignore[attr-defined]


def test_callback_and_restore(folder: Path) -> None:
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    import bprune

    train = next(block for block in BLOCKS if "BPruneCallback" in block)
    restore = next(block for block in BLOCKS if "Saver" in block)
    model = tf_keras.Sequential([tf_keras.Input((4,)), tfp.layers.DenseFlipout(3, activation="softmax", name="den")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0])
    names: dict[str, object] = {"model": model, "x": x, "y": y, "x_test": x, "y_test": y, "tf": tf}
    shutil.rmtree(folder / "runs")
    exec(compile(train, "README.md", "exec"), names)
    bprune.prune("runs/digits", "digits-pruned", sparsity=0.5)
    (index,) = Path("digits-pruned").glob("*.index")
    exec(compile(restore.replace("model-4500.ckpt", index.stem), "README.md", "exec"), names)
    loc = model.get_layer("den").kernel_posterior.distribution.loc.numpy()
    assert (loc == 0.0).sum() == 6


def test_distributed_training(folder: Path) -> None:
    """One process, and batches of two in place of MPI and batches of a hundred."""
    import tensorflow as tf
    import tensorflow_probability as tfp
    import tf_keras

    import bprune
    from bprune.inference import Dataset
    from bprune.training import BPruneCallback

    block = next(block for block in BLOCKS if "workers.fit" in block)
    for given, tiny in (('"mpi"', '"none"'), ("batch(100", "batch(2"), ("epochs=20", "epochs=1")):
        assert given in block
        block = block.replace(given, tiny)

    def build(kl_weight: float) -> Any:
        layer = tfp.layers.DenseFlipout(
            3,
            activation="softmax",
            kernel_divergence_fn=lambda q, p, _: tfp.distributions.kl_divergence(q, p) * kl_weight,
        )
        return tf_keras.Sequential([tf_keras.Input((4,)), layer])

    examples = tf.data.Dataset.from_tensor_slices((np.eye(4, dtype=np.float32), np.array([0, 1, 2, 0])))
    loss = "sparse_categorical_crossentropy"
    names = {"build": build, "examples": examples, "n_train": 4, "loss": loss, "BPruneCallback": BPruneCallback}
    exec(compile(block, "README.md", "exec"), names)
    with bprune.infer("runs/mine", Dataset(np.eye(4, dtype=np.float32), None, "mine"), mc_iters=2) as results:
        assert [layer.weights for layer in results.layers] == [12]


def test_the_printed_table_is_what_prune_prints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bprune.cli import run

    assert run(["prune", "--case-dir", "runs/digits", "--out", "digits_conv-pruned", "--no-infer"]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    shown = [line for line in README.splitlines() if line.strip()]
    for line in printed:
        assert line in shown


def test_the_printed_metrics_are_those_that_prune_prints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bprune.cli import run

    assert run(["prune", "--case-dir", "runs/digits", "--out", "digits_conv-pruned", "--mc-iters", "20"]) == 0
    printed = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    (block,) = [text for text in README.split("```") if " metric " in text and "pruned case:" in text]
    shown = [line.split() for line in block.splitlines() if line.strip()]
    assert [line[0][:6] for line in printed] == [line[0][:6] for line in shown]
    for line, expected in zip(printed, shown, strict=True):
        if line[0] in ("accuracy", "nll", "brier"):
            for column in (1, 4):
                assert float(line[column]) == pytest.approx(float(expected[column]), rel=0.03)


def test_sweep_and_budget(folder: Path) -> None:
    import bprune

    judge = next(block for block in BLOCKS if "largest_sparsity(" in block)
    names: dict[str, Any] = {"bprune": bprune}
    exec(compile(judge.replace("mc_iters=100", "mc_iters=20"), "README.md", "exec"), names)
    assert [point.nonzeros for point in names["curve"].points] == [21280, 10640, 4256, 2128]
    assert 0.8 <= names["found"].best.sparsity < 0.9
    assert (folder / "sweep.h5").is_file()
    assert "360 of them none below 0.014" in README
    assert round(paired_proportion_bound(0, 0, 360, 0.0125), 3) == 0.014
