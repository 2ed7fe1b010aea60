"""What a picture needs of results files, and what to do where it is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bprune.arrays import AnyArray, IntArray
from bprune.case.task import Task
from bprune.engines.base import Draws
from bprune.errors import InputError, UnsupportedError, UsageError
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.results.read import Results

__all__ = [
    "check_examples",
    "classification",
    "known_labels",
    "regression",
    "same_examples",
    "series_names",
    "stored_draws",
]


def classification(results: Results, picture: str) -> ClassificationSummary:
    """The summary of a classification.

    Raises:
        UnsupportedError: If the file is of a regression.
    """
    if not isinstance(results.summary, ClassificationSummary):
        raise UnsupportedError(
            f"{results.path} is of a regression; the picture {picture} needs class probabilities",
            hint="Pictures of a regression: bprune plot regression, bprune plot convergence.",
        )
    return results.summary


def regression(results: Results, picture: str) -> RegressionSummary:
    """The summary of a regression.

    Raises:
        UnsupportedError: If the file is of a classification.
    """
    if not isinstance(results.summary, RegressionSummary):
        raise UnsupportedError(
            f"{results.path} is of a classification; the picture {picture} needs predicted values",
            hint="Pictures of a classification: bprune plot --help lists them.",
        )
    return results.summary


def known_labels(results: Results, picture: str) -> IntArray:
    """The class numbers of a classification, `[example]`.

    Raises:
        InputError: If the file has no labels, or not all are classes of the network.
    """
    if results.labels is None:
        raise InputError(
            f"{results.path} has no labels, which the picture {picture} needs",
            hint="Run bprune infer again with labels in --data, or with --labels.",
        )
    classes = results.summary.mean.shape[1]
    if results.task is Task.CLASSIFICATION and not (0 <= results.labels.min() <= results.labels.max() < classes):
        raise InputError(f"{results.path} has labels outside of the {classes} classes")
    return np.asarray(results.labels)


def stored_draws(results: Results, examples: slice, member: int | None = None) -> Draws:
    """The draws of some examples, by one member of an ensemble or by all, one after the other.

    Raises:
        InputError: If the file keeps the summary alone.
    """
    draws = results.draws(examples, member=member)
    if draws is None:
        raise InputError(
            f"{results.path} holds the summary alone; this picture needs every draw",
            hint="Run bprune infer again with --draws all and a fixed --mc-iters.",
        )
    return draws


def check_examples(results: Results, examples: Sequence[int]) -> None:
    """Refuse numbers of examples that the file does not have.

    Raises:
        UsageError: If one is out of range.
    """
    count = len(results.summary.mean)
    for example in examples:
        if not 0 <= example < count:
            raise UsageError(
                f"there is no example {example}; {results.path} has {count}",
                hint=f"Give a number from 0 to {count - 1}.",
            )


def same_examples(files: Sequence[Results]) -> None:
    """Refuse files that are laid over each other but are of different examples.

    Raises:
        UsageError: If there is no file.
        InputError: If their examples, labels or classes differ.
    """
    if not files:
        raise UsageError("give at least one results file")
    first = files[0]
    for other in files[1:]:
        if other.task is not first.task or other.summary.mean.shape != first.summary.mean.shape:
            raise InputError(f"{_size(other)}, {_size(first)}; one picture needs files of the same examples")
        if not _equal(first.labels, other.labels) or not np.array_equal(first.inputs, other.inputs):
            raise InputError(
                f"{first.path} and {other.path} are of different examples",
                hint="Run bprune infer with the same --data and --examples for each.",
            )


def _size(results: Results) -> str:
    examples, outputs = results.summary.mean.shape
    noun = "classes" if results.task is Task.CLASSIFICATION else "outputs"
    return f"{results.path} has {examples} examples and {outputs} {noun}"


def _equal(first: AnyArray | None, second: AnyArray | None) -> bool:
    return first is None or second is None or bool(np.array_equal(first, second))


def series_names(files: Sequence[Results], names: Sequence[str] = ()) -> tuple[str, ...]:
    """What tells several files apart in a legend: members, pruned share and number of draws, or else the file's name.

    Args:
        files: The files.
        names: Names that the user chose, one for each file; none for the ones above.

    Raises:
        UsageError: If there are names, but not one for each file.
    """
    if names:
        if len(names) != len(files):
            raise UsageError(f"{len(names)} names came for {len(files)} results files; give one for each, or none")
        return tuple(names)
    shares = [_pruned(item) for item in files]
    draws = [f"{item.run.mc_iters} draws" for item in files]
    networks = [f"ensemble of {len(item.members)}" if item.members else "one network" for item in files]
    parts = [column for column in (networks, shares, draws) if len(set(column)) > 1]
    told = [", ".join(item) for item in zip(*parts, strict=True)] if parts else ["" for _ in files]
    if len(set(told)) == len(files) and len(files) > 1:
        return tuple(told)
    stems = [item.path.stem for item in files]
    return tuple(stems if len(set(stems)) == len(files) else [str(item.path) for item in files])


def _pruned(results: Results) -> str:
    weights = sum(layer.weights for layer in results.layers)
    pruned = weights - sum(layer.nonzeros for layer in results.layers)
    return f"{100.0 * pruned / weights:.3g}% pruned" if pruned else "unpruned"
