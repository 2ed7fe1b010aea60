"""The hint of a refused threshold works when it is followed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bprune import prune
from bprune.errors import TargetError


def test_following_the_hint_succeeds(mixed_case: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="every layer a weight") as caught:
        prune(mixed_case, tmp_path / "out", threshold=1e6)
    found = re.search(r"every layer a weight: ([0-9.e+-]+)\. ", str(caught.value))
    assert found
    assert prune(mixed_case, tmp_path / "out", threshold=float(found[1])).total.sparsity > 0.0
