"""Run MC inference into a results file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case.case import Case, load_case
from bprune.engines.base import Engine, Sampling
from bprune.engines.choose import EngineName, Prepared, prepare_engine
from bprune.engines.tensorflow import Precision
from bprune.errors import MissingFileError, UsageError
from bprune.inference.data import Dataset, fit_inputs, fit_labels, read_data
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import DEFAULT_MC_ITERS, choose_blocks, run_draws
from bprune.posterior.posterior import Network
from bprune.posterior.recognise import read_network
from bprune.posterior.snr import summarise_snr
from bprune.pruning.counts import count_layers
from bprune.pruning.record import read_pruning_record
from bprune.pruning.threshold import Rule, choose_masks
from bprune.results.read import Results, open_results
from bprune.results.schema import LayerRecord, RunRecord
from bprune.results.write import ResultsWriter
from bprune.versions import library_versions

__all__ = ["infer", "layer_records", "load_data", "new_run", "record_draws"]


def infer(
    case: Case | str | Path,
    data: Dataset | str | Path | None = None,
    out: str | Path = "results.h5",
    *,
    mc_iters: int = DEFAULT_MC_ITERS,
    seed: int = 0,
    threshold: float | None = None,
    scale: float | None = None,
    keep_draws: bool = True,
    batch_size: int | None = None,
    engine: EngineName | str = EngineName.AUTO,
    sampling: Sampling | str | None = None,
    precision: Precision | str = Precision.FLOAT32,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Results:
    """Run MC inference of a case into a results file.

    Args:
        case: The case, or a path of it.
        data: Held-out data, or a file of it; None takes the case's heldout.npz.
        out: The results file to write.
        mc_iters: Draws per example.
        seed: Seed of the noise, at least 0.
        threshold: Prune on the fly: weights with a smaller signal-to-noise ratio are 0. Nothing of that is written.
        scale: Divide integer inputs by this number.
        keep_draws: Store all draws, not their summary alone.
        batch_size: Examples that are run together; None chooses.
        engine: Which engine runs the draws: auto, graph, tensorflow.
        sampling: How weights are shared between the examples of a draw: weights, as-trained; None takes what the engine
            does.
        precision: In which number format products are computed: float32, bfloat16.
        overwrite: Whether an existing results file is replaced.
        progress: Told the share of the work that is done.

    Returns:
        The results, open for reading.

    Raises:
        UsageError: If engine, sampling and precision do not go together.
        InputError: If case or data cannot be used.
        EngineError: If the network cannot be run.
        SelfCheckError: If a value is not finite.
        OutputError: If the file cannot be written; nothing is left then.

    Example:
        >>> infer("sample_checkpoints/digits_conv", out="digits.h5", mc_iters=400).scores().accuracy
    """
    loaded = case if isinstance(case, Case) else load_case(case)
    network = read_network(loaded)
    rule = Rule(threshold) if threshold is not None else None
    masks = choose_masks(network, rule) if rule is not None else network.masks
    prepared = prepare_engine(loaded, network, masks, seed=seed, name=engine, sampling=sampling, precision=precision)
    dataset = load_data(loaded, prepared.engine, data if isinstance(data, Dataset) else _path(data), scale=scale)
    run = new_run(loaded, prepared, mc_iters=mc_iters, seed=seed, rule=rule, command="bprune.infer")
    return record_draws(
        loaded,
        network,
        masks,
        prepared.engine,
        dataset,
        Path(out),
        run,
        keep_draws=keep_draws,
        batch_size=batch_size,
        overwrite=overwrite,
        progress=progress,
    )


def new_run(case: Case, prepared: Prepared, *, mc_iters: int, seed: int, rule: Rule | None, command: str) -> RunRecord:
    """What a results file says of a run.

    The criterion and threshold are those of this run; else those with which the case itself was pruned.
    """
    threshold, criterion = _pruned_with(case) if rule is None else (rule.threshold, rule.criterion.name)
    return RunRecord(
        mc_iters=mc_iters,
        seed=seed,
        engine=prepared.plan.engine,
        sampling=prepared.plan.sampling,
        precision=prepared.plan.precision,
        plan=prepared.plan.to_json(),
        checkpoint_digest=case.checkpoint.digest(),
        case=case.name,
        command=command,
        threshold=threshold,
        criterion=criterion,
        versions=library_versions(),
    )


def _pruned_with(case: Case) -> tuple[float | None, str]:
    if case.files.pruning is None:
        return None, "none"
    record = read_pruning_record(case.files.pruning)
    return record.threshold, record.criterion


def _path(data: str | Path | None) -> Path | None:
    return Path(data) if data is not None else None


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
    if data is None:
        if case.files.heldout is None:
            raise MissingFileError(
                f"the case {case.name} has no heldout.npz", hint="Pass the data with --data FILE (.npz, .npy, .h5)."
            )
        data = case.files.heldout
    raw = data if isinstance(data, Dataset) else read_data(data, labels=labels, x_key=x_key, y_key=y_key)
    shape = case.graph.input_shape
    fitted = fit_inputs(raw, shape=shape, dtype=case.graph.input_dtype, scale=scale) if shape else raw
    return fit_labels(fitted, task=case.task, outputs=engine.output_size)


def layer_records(network: Network, masks: Mapping[str, BoolArray]) -> list[LayerRecord]:
    """What a results file says of the layers with a posterior."""
    return [
        LayerRecord(item.name, item.weights, item.nonzeros, summarise_snr(network.of_layer(item.name), 0.0).quantiles)
        for item in count_layers(network, masks)
    ]


def record_draws(
    case: Case,
    network: Network,
    masks: Mapping[str, BoolArray],
    engine: Engine,
    data: Dataset,
    out: Path,
    run: RunRecord,
    *,
    keep_draws: bool = True,
    batch_size: int | None = None,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> Results:
    """Run the draws of a prepared engine into a results file; see `infer`.

    Raises:
        UsageError: If the network has no stochastic layer to tell about.
    """
    blocks = choose_blocks(engine, len(data), run.mc_iters, batch_size)
    layers = layer_records(network, masks)
    if not layers:
        layers = [LayerRecord(name, 0, 0) for name in (layer.name for layer in case.layer_names.layers)]
    if not layers:
        raise UsageError(f"the case {case.name} names no layer")
    start = time.perf_counter()
    with ResultsWriter(
        out,
        run,
        layers,
        task=case.task,
        inputs=data.inputs,
        labels=data.labels,
        outputs=engine.output_size,
        predicts_scale=case.roles.scale is not None,
        keep_draws=keep_draws,
        overwrite=overwrite,
    ) as writer:
        run_draws(
            engine,
            data.inputs,
            data.labels,
            case.task,
            mc_iters=run.mc_iters,
            blocks=blocks,
            sink=writer,
            progress=progress,
        )
        writer.finish(time.perf_counter() - start)
    return open_results(out)
