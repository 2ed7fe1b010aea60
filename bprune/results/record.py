"""Run MC inference into a results file."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case.case import Case, load_case
from bprune.engines.base import Engine, Sampling
from bprune.engines.choose import EngineName, Prepared, prepare_engine
from bprune.engines.compilation import CompilationClock, watch_compilation
from bprune.engines.tensorflow import Precision
from bprune.errors import MissingFileError, UsageError
from bprune.inference.amount import Amount
from bprune.inference.antithetic import check_pairs, pair_draws
from bprune.inference.data import Dataset, fit_inputs, fit_labels, read_data
from bprune.inference.dispatch import check_divisible, run
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import DEFAULT_MC_ITERS
from bprune.inference.stopping import DEFAULT_MAX_MC_ITERS, Stopping
from bprune.posterior.posterior import Network
from bprune.posterior.recognise import read_network
from bprune.posterior.snr import summarise_snr
from bprune.pruning.counts import count_layers
from bprune.pruning.record import read_pruning_record
from bprune.pruning.threshold import Rule, choose_masks
from bprune.results.read import Results, open_results
from bprune.results.schema import LayerRecord, RunRecord
from bprune.results.write import ResultsWriter
from bprune.scale.workers import Executor, Workers, open_workers
from bprune.versions import library_versions

__all__ = [
    "AUTO_MC_ITERS",
    "choose_stopping",
    "infer",
    "layer_records",
    "load_data",
    "load_inputs",
    "new_run",
    "record_draws",
]

AUTO_MC_ITERS = "auto"
"""In place of a number of draws: as many as an example needs."""


def infer(
    case: Case | str | os.PathLike[str],
    data: Dataset | str | Path | None = None,
    out: str | Path = "results.h5",
    *,
    mc_iters: int | str | None = None,
    max_mc_iters: int = DEFAULT_MAX_MC_ITERS,
    target_stderr: float | None = None,
    antithetic: bool = False,
    seed: int = 0,
    threshold: float | None = None,
    rule: Rule | None = None,
    scale: float | None = None,
    keep_draws: bool | None = None,
    batch_size: int | None = None,
    engine: EngineName | str = EngineName.AUTO,
    sampling: Sampling | str | None = None,
    precision: Precision | str = Precision.FLOAT32,
    workers: int | None = None,
    executor: Executor | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Results:
    """Run MC inference of a case into a results file.

    Args:
        case: The case, or a path of it.
        data: Held-out data, or a file of it; None takes the case's heldout.npz.
        out: The results file to write.
        mc_iters: Draws per example. "auto" draws until it is settled which class has the largest mean probability, with
            an error rate of 1 % per example. None takes 400, or "auto" with `target_stderr`.
        max_mc_iters: The most draws per example where their number is not fixed.
        target_stderr: Draw until the MC standard error of each probability, or of each mean of a regression, is at most
            this; see `bprune.inference.stopping`.
        antithetic: Draw pairs of opposite noise; the engine native alone. Numbers of draws are even then.
        seed: Seed of the noise, at least 0.
        threshold: Prune on the fly: weights with a smaller signal-to-noise ratio are 0. Nothing of that is written.
        rule: In place of a threshold: prune on the fly by any rule.
        scale: Divide integer inputs by this number.
        keep_draws: Store all draws, not their summary alone; None stores them where their number is fixed.
        batch_size: Examples that are run together; None chooses.
        engine: Which engine runs the draws: auto, graph, tensorflow, native.
        sampling: How weights are shared between the examples of a draw: weights, per-example, as-trained; None takes
            what the engine does.
        precision: In which number format products are computed: float32, bfloat16.
        workers: How many processes work; with an executor how many workers it has. The results are the same.
        executor: Who works: any executor as in `concurrent.futures`. Its workers see the case under the same path.
        overwrite: Whether an existing results file is replaced.
        progress: Told the share of the work that is done.

    Returns:
        The results, open for reading.

    Raises:
        UsageError: If engine, sampling, precision, pairs and numbers of draws do not go together.
        InputError: If case or data cannot be used.
        EngineError: If the network cannot be run, or a worker is lost.
        SelfCheckError: If a value is not finite.
        OutputError: If the file cannot be written; nothing is left then.

    Example:
        >>> infer("sample_checkpoints/digits_conv", out="digits.h5", mc_iters=400).metrics()["accuracy"]
    """
    if threshold is not None and rule is not None:
        raise UsageError("give either a threshold or a rule")
    stopping = choose_stopping(mc_iters, max_mc_iters, target_stderr)
    fixed = DEFAULT_MC_ITERS if mc_iters is None or isinstance(mc_iters, str) else mc_iters
    if antithetic:
        check_pairs(engine, stopping.max_mc_iters if stopping else fixed)
    loaded = case if isinstance(case, Case) else load_case(case)
    if stopping:
        stopping.check(loaded.task)
    network = read_network(loaded)
    rule = Rule(threshold) if threshold is not None else rule
    masks = choose_masks(network, rule) if rule is not None else network.masks
    with open_workers(executor, workers) as crew:
        prepared = prepare_engine(
            loaded, network, masks, seed=seed, name=engine, sampling=sampling, precision=precision
        )
        prepared = pair_draws(prepared) if antithetic else prepared
        dataset = load_data(loaded, prepared.engine, given_data(data), scale=scale)
        record = new_run(
            loaded,
            prepared,
            mc_iters=fixed,
            seed=seed,
            rule=rule,
            command="bprune.infer",
            antithetic=antithetic,
            stopping=stopping,
        )
        return record_draws(
            network,
            prepared,
            dataset,
            Path(out),
            record,
            stopping=stopping,
            keep_draws=keep_draws,
            batch_size=batch_size,
            workers=crew,
            overwrite=overwrite,
            progress=progress,
        )


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


def record_draws(
    network: Network,
    prepared: Prepared,
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
    """Run the draws of a prepared engine into a results file; see `infer`.

    Raises:
        UsageError: If the network has no stochastic layer to tell about, draws are to be stored whose number is not
            fixed, or the noise of the engine cannot be divided among workers.
    """
    if workers is not None:
        check_divisible(prepared)
    amount = choose_amount(run_record, stopping, keep_draws, batch_size)
    start, clock = time.perf_counter(), CompilationClock()
    with watch_compilation(clock), open_writer(network, prepared, data, out, run_record, amount, overwrite) as writer:
        run(prepared, data.inputs, data.labels, amount, sink=writer, workers=workers, progress=progress)
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
    network: Network,
    prepared: Prepared,
    data: Dataset,
    out: Path,
    run_record: RunRecord,
    amount: Amount,
    overwrite: bool,
) -> ResultsWriter:
    """The writer of a results file.

    Raises:
        UsageError: If the network has no stochastic layer to tell about.
    """
    case, engine = prepared.origin.case, prepared.engine
    layers = layer_records(network, prepared.origin.masks)
    if not layers:
        layers = [LayerRecord(name, 0, 0) for name in (layer.name for layer in case.layer_names.layers)]
    if not layers:
        raise UsageError(f"the case {case.name} names no layer")
    return ResultsWriter(
        out,
        run_record,
        layers,
        task=case.task,
        inputs=data.inputs,
        labels=data.labels,
        outputs=engine.output_size,
        predicts_scale=case.roles.scale is not None,
        keep_draws=amount.stored,
        draws_at_once=amount.blocks(engine, len(data)).stored_at_once(amount.mc_iters, engine.output_size),
        overwrite=overwrite,
    )
