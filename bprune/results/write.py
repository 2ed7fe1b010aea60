"""Write a results file: HDF5 that xarray, netCDF4 and ArviZ open, complete or not there at all."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from bprune.arrays import AnyArray
from bprune.atomic import output_errors, whole_file
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import OutputError, UsageError
from bprune.inference.mixture import mix_summaries, split_uncertainty
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.results.chains import member_summaries
from bprune.results.contents import plan_contents
from bprune.results.hdf5 import HDF5Output
from bprune.results.schema import (
    CONVENTIONS,
    LIBRARY,
    WIDENED,
    LayerRecord,
    RunRecord,
    provenance,
    sparsity,
    text_digest,
)

__all__ = ["MemberSink", "ResultsWriter"]


class _UnfinishedError(Exception):
    """The writer's context was left before `finish`."""


class ResultsWriter:
    """A results file being written, block by block; the file appears when the context is left after `finish`.

    Left without `finish`, or by an exception, the context leaves no file. Draws and summaries of an ensemble come from
    its members, in any order; its own summary is made of theirs at the end.

    Args:
        path: The file to write; its folder must exist.
        run: How the draws are made.
        layers: The network's layers, in order; at least one.
        task: Classification or regression.
        inputs: The inputs that are run, `[example, ...]`.
        labels: Class numbers `[example]` or targets `[example, output]`, or None when they are not known.
        outputs: Number of classes or outputs.
        predicts_scale: Whether a regression network predicts its noise.
        keep_draws: Whether the draws are stored; the summary always is.
        draws_at_once: How many draws of many examples come before others; None where all draws of some examples do.
        overwrite: Whether an existing file is replaced.

    Raises:
        InputError: If the inputs are empty or of a dtype that results files cannot hold, or labels do not fit.
        UsageError: If there is no layer, or two have the same name.
        OutputError: On entering the context: if the file exists, cannot be written, or the disk is too small.

    Example:
        with ResultsWriter(path, run, layers, task=task, ...) as writer:
            writer.add(0, 0, draws)
            writer.add_summary(0, moments.summary())
            writer.finish(runtime_s)
    """

    def __init__(
        self,
        path: Path | str,
        run: RunRecord,
        layers: Sequence[LayerRecord],
        *,
        task: Task,
        inputs: AnyArray,
        labels: AnyArray | None,
        outputs: int,
        predicts_scale: bool,
        keep_draws: bool,
        overwrite: bool,
        draws_at_once: int | None = None,
    ) -> None:
        self._path, self._run, self._layers, self._task = Path(path), run, tuple(layers), task
        self._keep_draws, self._overwrite, self._draws_at_once = keep_draws, overwrite, draws_at_once
        self._contents = plan_contents(
            self._layers,
            task=task,
            inputs=inputs,
            labels=labels,
            outputs=outputs,
            mc_iters=run.mc_iters,
            predicts_scale=predicts_scale,
            keep_draws=keep_draws,
            members=len(run.members),
        )
        self._stored = np.zeros((max(len(run.members), 1), self._contents.examples), np.int64)
        self._summarised = np.zeros_like(self._stored)
        self._finished = False

    def __enter__(self) -> ResultsWriter:
        self._check_space()
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(whole_file(self._path, overwrite=self._overwrite))
            self._file = HDF5Output(temporary, self._path, self._draws_at_once)
            stack.callback(self._file.abandon)
            self._write_known()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._finished:
            kind, error = _UnfinishedError, _UnfinishedError()
        self._stack.__exit__(kind, error, trace)

    def of_member(self, number: int) -> MemberSink:
        """What takes the draws and summaries of one member of an ensemble, by its position from 0."""
        return MemberSink(self, number)

    def add(self, start: int, draws_start: int, draws: Draws, *, member: int = 0) -> None:
        """Write draws of a block of examples; does nothing when draws are not kept.

        Args:
            start: Position of the first example.
            draws_start: Number of the first draw.
            draws: The draws, `[draw, example, class or output]`.
            member: Whose draws they are, where the file is of an ensemble.

        Raises:
            UsageError: If the block does not lie within the file's examples, draws and outputs.
            OutputError: If the file cannot be written.
        """
        if not self._keep_draws:
            return
        parts = {"probabilities": draws.values, "mean": draws.values, "scale": draws.scale}
        for name in self._contents.groups["posterior_predictive"]:
            part = parts[name]
            self._put("posterior_predictive", name, (member, draws_start, start), None if part is None else part[None])
        self._stored[member, start : start + draws.values.shape[1]] += len(draws.values)

    def add_summary(
        self,
        start: int,
        summary: ClassificationSummary | RegressionSummary,
        *,
        draws: AnyArray | int | None = None,
        member: int = 0,
    ) -> None:
        """Write the summary of a block of examples.

        Args:
            start: Position of the first example.
            summary: The statistics of the examples from `start` on.
            draws: Number of draws made for these examples, one or `[example]`; `run.mc_iters` when None.
            member: Whose summary it is, where the file is of an ensemble.

        Raises:
            UsageError: If the block does not lie within the file's examples and outputs, or is of another task.
            OutputError: If the file cannot be written.
        """
        own = "members" if self._run.members else "summary"
        for group, prefix in ((own, ""), ("blocks", "block_")):
            for name in self._contents.groups[group]:
                values = getattr(summary, prefix + name, None)
                if self._run.members:
                    self._put(group, name, (member, start), None if values is None else values[None])
                else:
                    self._put(group, name, (start,), values)
        made = np.empty(len(summary.mean), np.int64)
        made[:] = self._run.mc_iters if draws is None else draws
        self._put("sample_stats", "draws", (start,), made)
        self._summarised[member, start : start + len(made)] = made

    def finish(self, runtime_s: float) -> None:
        """Write what is known at the end and close the file. It appears when the context is left.

        Args:
            runtime_s: Seconds that the draws took.

        Raises:
            UsageError: If an example has no summary, or if its stored draws are not those of its summary.
            OutputError: If the file cannot be written.
        """
        self._check_complete()
        if self._run.members:
            self._write_mixture()
        run = dataclasses.replace(self._run, inference_runtime_s=runtime_s)
        if run.stopping and not self._keep_draws:  # the axis of stored draws has the length that was asked for
            run = dataclasses.replace(run, mc_iters=int(self._summarised.max()))
        record = provenance(run, self._task, self._layers)
        attributes = {
            "Conventions": CONVENTIONS,
            "title": f"BPrune: MC inference of {run.case}",
            "history": f"{run.created_at} {run.command}",
            "source": f"{LIBRARY} {run.inference_library_version}",
            **run.attributes(self._task),
            "provenance": record,
            "provenance_digest": text_digest(record),
        }
        self._file.set_attributes(attributes)
        self._file.close()
        self._finished = True

    def _write_known(self) -> None:
        """Create every group, and write the values that do not depend on draws."""
        for group, variables in self._contents.groups.items():
            self._file.create_group(group, variables, self._contents.coordinates)
        for (group, name), values in self._contents.known.items():
            self._file.write(group, name, values)
            if values.dtype.name in WIDENED:
                self._file.set_attributes({"original_dtype": values.dtype.name}, group, name)
        weights = sum(layer.weights for layer in self._layers)
        nonzeros = sum(layer.nonzeros for layer in self._layers)
        totals = {"weights_total": weights, "nonzeros_total": nonzeros, "sparsity_total": sparsity(weights, nonzeros)}
        self._file.set_attributes(totals, "layers")

    def _check_complete(self) -> None:
        wrong = (self._summarised < 1) | (self._keep_draws & (self._stored != self._summarised))
        if wrong.any():
            member, example = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            of_member = f" by member {member}" if self._run.members else ""
            raise UsageError(
                f"the results are not complete: the summary of example {example}{of_member} has "
                f"{self._summarised[member, example]} draws, and {self._stored[member, example]} draws are stored"
            )
        if (self._summarised != self._summarised[0]).any():
            raise UsageError("members of the ensemble have other numbers of draws; all must have the same")

    def _write_mixture(self) -> None:
        """The summary of an ensemble, from those of its members."""
        stored = {name: self._file.read("members", name) for name in self._contents.groups["members"]}
        members = member_summaries(self._task, stored)
        for group, values in (("summary", mix_summaries(members)), ("split", split_uncertainty(members))):
            for name in self._contents.groups[group]:
                self._put(group, name, (0,), getattr(values, name))

    def _put(self, group: str, name: str, starts: tuple[int, ...], values: AnyArray | None) -> None:
        """Write a block that begins at `starts`, after checking that it lies within the variable."""
        if values is None:
            raise UsageError(f"{name} of the group {group} is missing; this file was begun for results that have it")
        shape, leading = self._file.shape(group, name), len(starts)
        parts = zip(starts, values.shape, shape, strict=False)
        inside = all(start >= 0 and start + size <= limit for start, size, limit in parts)
        if not inside or values.shape[leading:] != shape[leading:]:
            raise UsageError(
                f"a block of the shape {values.shape} at {starts} is not inside {group}/{name} of the shape {shape}"
            )
        self._file.write(group, name, values, starts)

    def _check_space(self) -> None:
        folder = Path(os.path.realpath(self._path)).parent
        needed = self._contents.largest_bytes()
        with output_errors(self._path):
            free = shutil.disk_usage(folder).free
        if needed > free:
            raise OutputError(
                f"cannot write {self._path}: up to {needed:,} bytes are needed and {free:,} bytes are free in {folder}",
                hint="Free disk space, choose another place with --out, or keep the summary alone with --draws none.",
            )


class MemberSink:
    """Takes the draws and summaries of one member of an ensemble, as the writer takes those of one network."""

    def __init__(self, writer: ResultsWriter, number: int) -> None:
        self._writer, self._number = writer, number

    def add(self, start: int, draws_start: int, draws: Draws) -> None:
        """See `ResultsWriter.add`."""
        self._writer.add(start, draws_start, draws, member=self._number)

    def add_summary(
        self, start: int, summary: ClassificationSummary | RegressionSummary, *, draws: AnyArray | int | None = None
    ) -> None:
        """See `ResultsWriter.add_summary`."""
        self._writer.add_summary(start, summary, draws=draws, member=self._number)
