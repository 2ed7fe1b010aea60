"""Networks, results files and sweeps with known answers, for pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.inference.statistics import ClassificationMoments, RegressionMoments
from bprune.judgement import Sweep, SweepPoint
from bprune.metrics import Estimate
from bprune.posterior import FAMILIES, Network, Posterior, ScaleTransform, Stored
from bprune.results import LayerRecord, ResultsWriter, RunRecord


def posterior(name: str, snr: AnyArray, mask: BoolArray | None = None) -> Posterior:
    """A Normal posterior of this SNR: the scale is 0.5, the sign of the location alternates."""
    layer, part = name.split("/")
    signs = np.where(np.arange(snr.size).reshape(snr.shape) % 2, -1.0, 1.0)
    return Posterior(
        layer,
        part,
        "DenseFlipout",
        FAMILIES["Normal"],
        0.5 * snr * signs,
        np.full(snr.shape, 0.5),
        np.ones(snr.shape, bool) if mask is None else mask,
        Stored(f"{name}_loc", 0, snr.size),
        Stored(f"{name}_scale", 0, snr.size),
        ScaleTransform(0.0),
        (),
    )


def network(**layers: AnyArray) -> Network:
    """A network of kernels with these SNRs, by layer."""
    return Network(tuple(posterior(f"{name}/kernel", np.asarray(snr, np.float64)) for name, snr in layers.items()))


def classification(
    path: Path,
    draws: AnyArray,
    labels: AnyArray | None = None,
    *,
    inputs: AnyArray | None = None,
    nonzeros: int = 10,
    keep_draws: bool = True,
    antithetic: bool = False,
    made: AnyArray | None = None,
) -> Path:
    """A results file of these draws, `[draw, example, class]`; `made` draws of each example, all when None."""
    values = np.asarray(draws, np.float32)
    mc_iters, examples, classes = values.shape
    run = RunRecord(mc_iters, 0, "native", "per-example", "sha256:0", "toy", "bprune infer", antithetic=antithetic)
    with ResultsWriter(
        path,
        run,
        [LayerRecord("den_1", 10, nonzeros)],
        task=Task.CLASSIFICATION,
        inputs=np.arange(2.0 * examples).reshape(examples, 2) if inputs is None else inputs,
        labels=labels,
        outputs=classes,
        predicts_scale=False,
        keep_draws=keep_draws,
        overwrite=False,
    ) as file:
        step = examples if made is None else 1
        for example in range(0, examples, step):
            count = mc_iters if made is None else int(made[example])
            part = values[:count, example : example + step]
            file.add(example, 0, Draws(part))
            moments = ClassificationMoments.start(step, classes, paired=antithetic).update(Draws(part))
            file.add_summary(example, moments.summary(), draws=count)
        file.finish(1.0)
    return path


def regression(path: Path, mean: AnyArray, scale: AnyArray, inputs: AnyArray, targets: AnyArray | None) -> Path:
    """A results file of these predictive means and scales, `[draw, example, output]`."""
    draws = Draws(np.asarray(mean, np.float32), np.asarray(scale, np.float32))
    run = RunRecord(len(mean), 0, "native", "per-example", "sha256:0", "toy", "bprune infer")
    with ResultsWriter(
        path,
        run,
        [LayerRecord("den_1", 10, 10)],
        task=Task.REGRESSION,
        inputs=inputs,
        labels=targets,
        outputs=mean.shape[2],
        predicts_scale=True,
        keep_draws=True,
        overwrite=False,
    ) as file:
        file.add(0, 0, draws)
        file.add_summary(0, RegressionMoments.start(*mean.shape[1:]).update(draws, targets).summary())
        file.finish(1.0)
    return path


def two_classes(first: AnyArray) -> AnyArray:
    """Probabilities of two classes from those of the first, on a new last axis."""
    return np.stack([first, 1.0 - first], axis=-1)


def sweep(criterion: str = "snr", unit: str = "SNR", *, task: str = "classification", timed: bool = True) -> Sweep:
    """Four points; accuracy 0.9 - sparsity / 10, NLL 0.3 + sparsity."""
    main = "accuracy" if task == "classification" else "rmse"

    def point(pruned: int) -> SweepPoint:
        share = pruned / 10
        values: Mapping[str, tuple[float, float]] = {main: (0.9, -0.1 * share), "nll": (0.3, share)}
        return SweepPoint(
            sparsity=share,
            threshold=2.0 * share,
            nonzeros=10 - pruned,
            weights=10,
            multiply_adds=100 - 10 * pruned,
            draw_us=0.5 - 0.04 * pruned if timed else np.nan,
            metrics={name: Estimate(whole + change, 0.03, 0.01) for name, (whole, change) in values.items()},
            differences={name: Estimate(change, 0.003, 0.004) for name, (_, change) in values.items()},
            layer_sparsity={"den_1": share},
        )

    points = tuple(point(pruned) for pruned in (0, 4, 8, 9))
    return Sweep("toy", criterion, unit, "global", 50, 0, "native", task, 100, points)
