"""Run the draws of prepared networks into a results file, and what is needed for it: data, and a record of the run."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case.case import Case
from bprune.engines.base import Engine
from bprune.engines.choose import Prepared
from bprune.engines.compilation import CompilationClock, watch_compilation
from bprune.errors import MissingFileError, UsageError
from bprune.inference.amount import Amount
from bprune.inference.data import Dataset, fit_inputs, fit_labels, read_data
from bprune.inference.dispatch import check_divisible
from bprune.inference.ensemble import run_members
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import smallest
from bprune.inference.stopping import Stopping
from bprune.posterior.posterior import Network
from bprune.posterior.snr import summarise_snr
from bprune.pruning.counts import count_layers
from bprune.pruning.record import read_pruning_record
from bprune.pruning.threshold import Rule
from bprune.results.ensemble import member_layers
from bprune.results.read import Results, open_results
from bprune.results.schema import LayerRecord, RunRecord
from bprune.results.write import ResultsWriter
from bprune.scale.workers import Workers
from bprune.versions import library_versions

__all__ = [
    "AUTO_MC_ITERS",
    "Member",
    "choose_amount",
    "choose_stopping",
    "given_data",
    "layer_records",
    "load_data",
    "load_inputs",
    "new_run",
    "open_writer",
    "record_draws",
]

AUTO_MC_ITERS = "auto"
"""In place of a number of draws: as many as an example needs."""


def choose_stopping(mc_iters: int | str | None, max_mc_iters: int, target_stderr: float | None) -> Stopping | None:
    """When draws end, from what was asked for; None where their number is fixed.

    Args:
        mc_iters: A number, "auto", or None where nothing was said.
        max_mc_iters: The most draws where their number is not fixed.
        target_stderr: The standard error that is wanted, or None.

    Raises:
        UsageError: If a number is out of range, or a fixed number and a target come together.
    """
    if isinstance(mc_iters, str) and mc_iters != AUTO_MC_ITERS:
        raise UsageError(f"the number of draws is {mc_iters!r}; a number is needed, or {AUTO_MC_ITERS!r}")
    if mc_iters == AUTO_MC_ITERS or (mc_iters is None and target_stderr is not None):
        return Stopping(max_mc_iters, target_stderr)
    if target_stderr is not None:
        raise UsageError(
            f"a fixed number of draws, {mc_iters}, does not go with a target standard error",
            hint="Leave --mc-iters out; --max-mc-iters says how many draws there may be.",
        )
    return None


def new_run(
    case: Case,
    prepared: Prepared,
    *,
    mc_iters: int,
    seed: int,
    rule: Rule | None,
    command: str,
    antithetic: bool = False,
    stopping: Stopping | None = None,
) -> RunRecord:
    """What a results file says of a run.

    The criterion and threshold are those of this run; else those with which the case itself was pruned.
    """
    threshold, criterion = _pruned_with(case) if rule is None else (rule.threshold, rule.criterion.name)
    return RunRecord(
        mc_iters=mc_iters if stopping is None else stopping.max_mc_iters,
        seed=seed,
        engine=prepared.plan.engine,
        sampling=prepared.plan.sampling,
        precision=prepared.plan.precision,
        plan=prepared.plan.to_json(),
        checkpoint_digest=case.checkpoint.digest(),
        case=case.name,
        command=command,
        threshold=threshold if threshold is not None and math.isfinite(threshold) else None,
        criterion=criterion,
        antithetic=antithetic,
        stopping="" if stopping is None else stopping.to_json(),
        versions=library_versions(),
    )


def _pruned_with(case: Case) -> tuple[float | None, str]:
    if case.files.pruning is None:
        return None, "none"
    record = read_pruning_record(case.files.pruning)
    return record.threshold, record.criterion


def given_data(data: Dataset | str | Path | None) -> Dataset | Path | None:
    """Data as a program hands it in.

    Raises:
        UsageError: If it is neither a data set nor a path.
    """
    if data is None or isinstance(data, Dataset):
        return data
    if not isinstance(data, (str, os.PathLike)):
        raise UsageError(
            f"data is a {type(data).__name__}; the path of a file is needed, or a Dataset",
            hint='Arrays: bprune.inference.Dataset(inputs, labels, "my data").',
        )
    return Path(data)


def load_data(
    case: Case,
    engine: Engine,
    data: Dataset | Path | None,
    *,
    labels: Path | None = None,
    x_key: str | None = None,
    y_key: str | None = None,
    scale: float | None = None,
) -> Dataset:
    """Read data and bring it into the shape that the network takes.

    Args:
        case: The case.
        engine: Its engine, which knows how many outputs there are.
        data: Data, a file, or None for the case's heldout.npz.
        labels: A file of labels, where the data file has none.
        x_key: Name of the inputs in the file.
        y_key: Name of the labels in the file.
        scale: Divide integer inputs by this number.

    Raises:
        MissingFileError: If no data is given and the case has none.
        InputError: If the data does not fit the network.
    """
    fitted = load_inputs(case, data, labels=labels, x_key=x_key, y_key=y_key, scale=scale)
    return fit_labels(fitted, task=case.task, outputs=engine.output_size)


def load_inputs(
    case: Case,
    data: Dataset | Path | None,
    *,
    labels: Path | None = None,
    x_key: str | None = None,
    y_key: str | None = None,
    scale: float | None = None,
) -> Dataset:
    """Read data and bring its inputs into the shape that the network takes; see `load_data`. Labels stay."""
    if data is None:
        if case.files.heldout is None:
            raise MissingFileError(
                f"the case {case.name} has no heldout.npz", hint="Pass the data with --data FILE (.npz, .npy, .h5)."
            )
        data = case.files.heldout
    raw = data if isinstance(data, Dataset) else read_data(data, labels=labels, x_key=x_key, y_key=y_key)
    shape = case.graph.input_shape
    return fit_inputs(raw, shape=shape, dtype=case.graph.input_dtype, scale=scale) if shape else raw


def layer_records(network: Network, masks: Mapping[str, BoolArray]) -> list[LayerRecord]:
    """What a results file says of the layers with a posterior."""
    return [
        LayerRecord(item.name, item.weights, item.nonzeros, summarise_snr(network.of_layer(item.name), 0.0).quantiles)
        for item in count_layers(network, masks)
    ]


@dataclass(frozen=True, eq=False)
class Member:
    """A network that is ready to draw: the one of a run, or one of several.

    Attributes:
        network: Its posteriors.
        prepared: Its engine, with its own noise.
    """

    network: Network
    prepared: Prepared

    @property
    def case(self) -> Case:
        """The case that it is."""
        return self.prepared.origin.case

    def layers(self) -> list[LayerRecord]:
        """What a results file says of its layers; those of a network without a posterior have no weights.

        Raises:
            UsageError: If it names no layer.
        """
        layers = layer_records(self.network, self.prepared.origin.masks)
        layers = layers or [LayerRecord(layer.name, 0, 0) for layer in self.case.layer_names.layers]
        if not layers:
            raise UsageError(f"the case {self.case.name} names no layer")
        return layers


def record_draws(
    members: Sequence[Member],
    data: Dataset,
    out: Path,
    run_record: RunRecord,
    *,
    stopping: Stopping | None = None,
    keep_draws: bool | None = None,
    batch_size: int | None = None,
    workers: Workers | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Results:
    """Run the draws of one network, or of the members of an ensemble, into a results file; see `bprune.infer`.

    Args:
        members: The network; or the members that the record names, in its order.
        data: The data.
        out: The results file.
        run_record: What it says of the run.
        stopping: When the draws of an example end; None for a fixed number.
        keep_draws: Store all draws, or their summary alone; None stores them where their number is fixed.
        batch_size: Examples that are run together; None chooses.
        workers: Who works; None for this process.
        overwrite: Whether an existing file is replaced.
        progress: Told the share of the work that is done.

    Raises:
        UsageError: If a network has no layer to tell about, draws are to be stored whose number is not fixed, or the
            noise of an engine cannot be divided among workers.
    """
    if workers is not None:
        for member in members:
            check_divisible(member.prepared)
    amount = choose_amount(run_record, stopping, keep_draws, batch_size)
    start, clock = time.perf_counter(), CompilationClock()
    with watch_compilation(clock), open_writer(members, data, out, run_record, amount, overwrite) as writer:
        networks, sinks = [item.prepared for item in members], [writer.of_member(i) for i in range(len(members))]
        run_members(networks, data.inputs, data.labels, amount, sinks=sinks, workers=workers, progress=progress)
        writer.finish(time.perf_counter() - start - clock.seconds)  # a machine's first run compiles kernels
    return open_results(out)


def choose_amount(
    run_record: RunRecord, stopping: Stopping | None, keep_draws: bool | None, batch_size: int | None
) -> Amount:
    """How many draws a results file is to have, and whether they are stored.

    Raises:
        UsageError: If draws are to be stored whose number is not fixed.
    """
    if keep_draws and stopping is not None:
        raise UsageError(
            "draws are stored where all examples have the same number of them",
            hint="Give --mc-iters a number, or keep the summary alone with --draws none.",
        )
    stored = stopping is None and keep_draws is not False
    return Amount(run_record.mc_iters, stopping, run_record.antithetic, batch_size, stored)


def open_writer(
    members: Sequence[Member], data: Dataset, out: Path, run_record: RunRecord, amount: Amount, overwrite: bool
) -> ResultsWriter:
    """The writer of a results file.

    Raises:
        UsageError: If a network has no layer to tell about.
    """
    case, engines = members[0].case, [item.prepared.engine for item in members]
    outputs = engines[0].output_size
    blocks = smallest([amount.blocks(engine, len(data)) for engine in engines])
    return ResultsWriter(
        out,
        run_record,
        member_layers([item.layers() for item in members]),
        task=case.task,
        inputs=data.inputs,
        labels=data.labels,
        outputs=outputs,
        predicts_scale=case.roles.scale is not None,
        keep_draws=amount.stored,
        draws_at_once=blocks.stored_at_once(amount.mc_iters, outputs),
        overwrite=overwrite,
    )
