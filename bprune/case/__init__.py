"""The case side: find the files of a case, read them as data, and cut the inference sub-graph out of its MetaGraph."""

from __future__ import annotations

from bprune.case.case import Case, load_case
from bprune.case.task import Task

__all__ = ["Case", "Task", "load_case"]
