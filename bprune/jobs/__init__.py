"""Runs as jobs of a batch system, without any library: a plan, tasks that may run anywhere, and their collection."""

from bprune.jobs.collect import collect
from bprune.jobs.make import plan_infer, plan_sweep
from bprune.jobs.plan import DataSource, Plan, read_plan, write_plan
from bprune.jobs.task import missing_tasks, run_task

__all__ = [
    "DataSource",
    "Plan",
    "collect",
    "missing_tasks",
    "plan_infer",
    "plan_sweep",
    "read_plan",
    "run_task",
    "write_plan",
]
