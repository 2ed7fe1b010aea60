"""A small run and its results file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.results.results_world import World, classification, write


@pytest.fixture
def world() -> World:
    return classification()


@pytest.fixture
def good(tmp_path: Path, world: World) -> Path:
    return write(tmp_path / "good.h5", world)
