"""The report that many tests look at; do not write into its folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from bprune.report import Report, run_report
from tests.report.report_world import request


@pytest.fixture(scope="session")
def written(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A report with a sweep, on data with a hostile name."""
    return run_report(request(samples / "digits_conv", hostile=True), tmp_path_factory.mktemp("report") / "r.html")
