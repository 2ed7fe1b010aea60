"""What a newcomer hands to the functions at the top of the package: it works, or the error says what is needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprune
from bprune.errors import UsageError
from bprune.inference import Dataset


def test_a_pruned_case_is_a_path_of_it(samples: Path, tmp_path: Path) -> None:
    pruned = bprune.prune(samples / "digits_fc", tmp_path / "half", sparsity=0.5)
    assert os.fspath(pruned) == str(tmp_path / "half")
    assert bprune.load_case(pruned).name == "half"
    data = Dataset(np.zeros((3, 8, 8, 1), np.float32), np.arange(3), "zeros")
    with bprune.infer(pruned, data, tmp_path / "r.h5", mc_iters=2) as results:
        assert results.run.case == "half"
        assert list(results.metrics("accuracy")) == ["accuracy"]


@pytest.mark.parametrize("data", [np.zeros((3, 8, 8, 1)), (np.zeros((3, 8, 8, 1)), np.arange(3)), 7])
def test_data_that_is_no_path(data: Any, samples: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data is a (ndarray|tuple|int); .*\nArrays: bprune.inference.Dataset"):
        bprune.infer(samples / "digits_fc", data, tmp_path / "r.h5", mc_iters=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 3, ["digits"]])
def test_a_case_that_is_no_path(path: Any) -> None:
    with pytest.raises(UsageError, match=r"a case is the path of a directory; a (NoneType|int|list) was given"):
        bprune.load_case(path)
