"""Reports: one HTML file that tells what was loaded, what was pruned, what it cost, and how sure that is."""

from __future__ import annotations

from bprune.report.findings import Findings, Side
from bprune.report.gather import Request, collect
from bprune.report.write import Report, make_page, run_report, write_report

__all__ = ["Findings", "Report", "Request", "Side", "collect", "make_page", "run_report", "write_report"]
