"""What every test may use: the shared data where it is there, and a TensorFlow that says little."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data folder beside the project; the test is skipped where there is none."""
    folder = Path(os.environ.get("BPRUNE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist.npz").is_file():
        pytest.skip(f"{folder} does not exist; set BPRUNE_SHARED_DATA to the data folder")
    return folder


@pytest.fixture(scope="session")
def samples() -> Path:
    """The bundled sample cases."""
    return ROOT / "sample_checkpoints"


@pytest.fixture(scope="session")
def mixed_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with one layer of every family and estimator; do not write into it."""
    from tests.networks import write_mixed_case

    return write_mixed_case(tmp_path_factory.mktemp("mixed") / "mixed")


@pytest.fixture(scope="session")
def variational_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regression of DenseVariational layers; do not write into it."""
    from tests.networks import write_variational_case

    return write_variational_case(tmp_path_factory.mktemp("variational") / "variational")
