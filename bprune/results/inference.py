"""Run MC inference of a case, or of an ensemble of cases, into a results file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bprune.case.case import Case, load_case
from bprune.engines.base import Sampling
from bprune.engines.choose import EngineName, prepare_engine
from bprune.engines.tensorflow import Precision
from bprune.errors import UsageError
from bprune.inference.antithetic import check_pairs, pair_draws
from bprune.inference.data import Dataset
from bprune.inference.progress import Progress, no_progress
from bprune.inference.run import DEFAULT_MC_ITERS
from bprune.inference.stopping import DEFAULT_MAX_MC_ITERS
from bprune.posterior.recognise import read_network
from bprune.pruning.threshold import Rule, choose_masks
from bprune.results.ensemble import check_members, check_outputs, ensemble_run
from bprune.results.members import member_seed
from bprune.results.read import Results
from bprune.results.record import Member, choose_stopping, given_data, load_data, new_run, record_draws
from bprune.scale.workers import Executor, open_workers

__all__ = ["infer"]


def infer(
    case: Case | str | os.PathLike[str] | Sequence[Case | str | os.PathLike[str]],
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
    """Run MC inference of a case, or of an ensemble of cases, into a results file.

    The prediction of an ensemble is the mixture of its members, each with the same weight and the same number of draws.
    Member 0 makes the draws that it makes alone, the others those of seeds made of this one; see `Results.members`.

    Args:
        case: The case, or a path of it; a list of them is an ensemble, whose layers may differ.
        data: Held-out data, or a file of it; None takes the heldout.npz of the case, or of an ensemble's first.
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
        UsageError: If engine, sampling, precision, pairs and numbers of draws do not go together, or two cases are the
            same checkpoint.
        InputError: If case or data cannot be used, or the cases cannot be one ensemble.
        EngineError: If the network cannot be run, or a worker is lost.
        SelfCheckError: If a value is not finite.
        OutputError: If the file cannot be written; nothing is left then.

    Example:
        >>> infer("sample_checkpoints/digits_conv", out="digits.h5", mc_iters=400).metrics()["accuracy"]
        >>> both = ["sample_checkpoints/digits_fc", "sample_checkpoints/digits_conv"]
        >>> infer(both, out="both.h5", mc_iters=20).metrics()["between_members"]
    """
    if threshold is not None and rule is not None:
        raise UsageError("give either a threshold or a rule")
    stopping = choose_stopping(mc_iters, max_mc_iters, target_stderr)
    fixed = DEFAULT_MC_ITERS if mc_iters is None or isinstance(mc_iters, str) else mc_iters
    if antithetic:
        check_pairs(engine, stopping.max_mc_iters if stopping else fixed)
    cases = _cases(case)
    if stopping:
        stopping.check(cases[0].task)
    rule = Rule(threshold) if threshold is not None else rule
    members, runs = [], []
    with open_workers(executor, workers) as crew:
        for number, loaded in enumerate(cases):
            network = read_network(loaded)
            masks = choose_masks(network, rule) if rule is not None else network.masks
            own = member_seed(seed, number)
            prepared = prepare_engine(
                loaded, network, masks, seed=own, name=engine, sampling=sampling, precision=precision
            )
            prepared = pair_draws(prepared) if antithetic else prepared
            members.append(Member(network, prepared))
            runs.append(
                new_run(
                    loaded,
                    prepared,
                    mc_iters=fixed,
                    seed=own,
                    rule=rule,
                    command="bprune.infer",
                    antithetic=antithetic,
                    stopping=stopping,
                )
            )
        engines = [member.prepared.engine for member in members]
        check_outputs(cases, [item.output_size for item in engines])
        return record_draws(
            members,
            load_data(cases[0], engines[0], given_data(data), scale=scale),
            Path(out),
            ensemble_run(runs),
            stopping=stopping,
            keep_draws=keep_draws,
            batch_size=batch_size,
            workers=crew,
            overwrite=overwrite,
            progress=progress,
        )


def _cases(given: Any) -> list[Case]:
    """The cases that were asked for, loaded, and fit for one ensemble if there are several."""
    several = list(given) if isinstance(given, (list, tuple)) else [given]
    if not several:
        raise UsageError("there is no case; give at least one")
    cases = [item if isinstance(item, Case) else load_case(item) for item in several]
    check_members(cases)
    return cases
