"""Tests that share costly fixtures stay in one process."""

from __future__ import annotations

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="tests run in one process")
@pytest.mark.xdist_group("probe")
def test_groups_reach_the_scheduler(request: pytest.FixtureRequest) -> None:
    """Some versions of pytest and pytest-xdist do not fit, and then every process makes every fixture."""
    assert request.node.nodeid.endswith("@probe")
