"""Read a results file, after checking that it is one."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py

from bprune.arrays import AnyArray
from bprune.case.task import Task
from bprune.cells import counted
from bprune.engines.base import Draws
from bprune.errors import DamagedFileError, UsageError
from bprune.inference.predict import mixture_of, predictions_of
from bprune.inference.statistics import ClassificationSummary, RegressionSummary
from bprune.metrics import Estimate, Predictions, evaluate
from bprune.results.chains import joined, member_summaries
from bprune.results.checks import (
    check_objects,
    check_readable,
    check_variables,
    read_attribute,
    read_attributes,
    reading,
)
from bprune.results.describe import describe_metrics
from bprune.results.digest import digest_of
from bprune.results.layout import layout
from bprune.results.notebook import results_html
from bprune.results.schema import BLOCKS_ADDED, WIDENED, LayerRecord, RunRecord, provenance, sparsity, text_digest

__all__ = ["Results", "open_results"]


@dataclass(frozen=True, eq=False, repr=False)
class Results:
    """An open results file. The statistics are in memory; inputs and draws are read when asked for.

    Attributes:
        path: The file.
        task: Classification or regression.
        run: How the draws were made.
        layers: The network's layers, in order.
        summary: Statistics over draws of each example; of an ensemble those of the mixture of its members.
        labels: Class numbers `[example]`, int64, or targets `[example, output]`, float32; None when not known.
        draws_made: Number of draws made for each example, by each member of an ensemble, `[example]`, int64.
        members: The same statistics of each member of an ensemble; none for one network. `run.members` says which
            networks they are.
    """

    path: Path
    task: Task
    run: RunRecord
    layers: tuple[LayerRecord, ...]
    summary: ClassificationSummary | RegressionSummary
    labels: AnyArray | None
    draws_made: AnyArray
    members: tuple[ClassificationSummary, ...] | tuple[RegressionSummary, ...]
    _file: h5py.File

    @functools.cached_property
    def inputs(self) -> AnyArray:
        """The inputs that were run, `[example, ...]`, in their own dtype.

        Raises:
            DamagedFileError: If they cannot be read.
            UsageError: If the file was closed before they were read.
        """
        dataset = self._group("constant_data")["x"]
        with reading(self.path):
            values: AnyArray = dataset[...]
            if "original_dtype" not in dataset.attrs:
                return values
            dtype = read_attribute(dataset, "original_dtype", str)
            if dtype not in WIDENED:
                raise DamagedFileError(f"the inputs in {self.path} claim the dtype {dtype}, which is stored as it is")
            return values.astype(dtype)

    def draws(self, examples: slice | None = None, *, member: int | None = None) -> Draws | None:
        """The draws of some examples, or None when the file keeps the summary alone.

        Args:
            examples: Which examples; all when None.
            member: Which member of an ensemble; None gives the draws of all, one member after the other.

        Returns:
            Arrays `[draw, example, class or output]`; a draw that was not made for an example is NaN.

        Raises:
            DamagedFileError: If they cannot be read.
            UsageError: If the slice runs backwards, there is no such member, or the file is closed.
        """
        wanted = self._chains(member)
        start, stop, step = (examples or slice(None)).indices(len(self.summary.mean))
        if step < 0:
            raise UsageError(f"examples are read forwards; the slice {examples} runs backwards")
        group = self._group("posterior_predictive")
        if group is None:
            return None
        where = (slice(None), slice(start, max(start, stop), step))
        name = "probabilities" if self.task is Task.CLASSIFICATION else "mean"
        with reading(self.path):
            values = [group[name][(chain, *where)] for chain in wanted]
            scales = [group["scale"][(chain, *where)] for chain in wanted if "scale" in group]
        return Draws(joined(values), joined(scales) if scales else None)

    def predictions(self, member: int | None = None) -> Predictions:
        """What metrics and comparisons are computed from.

        Args:
            member: Which member of an ensemble; None for the whole, the mixture of its members.

        Raises:
            UsageError: If there is no such member.
        """
        chosen = [(self.members or (self.summary,))[chain] for chain in self._chains(member)]
        found = [predictions_of(item, self.draws_made, paired=self.run.antithetic) for item in chosen]
        return found[0] if len(found) == 1 else mixture_of(found)

    def metrics(
        self, names: Iterable[str] | None = None, *, ood: Results | None = None, member: int | None = None
    ) -> dict[str, Estimate]:
        """Metrics of the mean prediction, each with the standard errors of finite data and of finite draws.

        Args:
            names: Names of metrics; None takes all that apply. Without labels those that need none are left.
            ood: Results of the same network for examples of another kind; adds the AUROC of telling them apart.
            member: Which member of an ensemble; None for the mixture of all.

        Raises:
            UsageError: If there is no metric of some name, no such member, or `ood` is given with a regression.
            InputError: If a label is not a class number of this network, or `ood` has other classes.

        Example:
            >>> open_results("digits-results.h5").metrics()["accuracy"].value
        """
        other = None if ood is None else ood.predictions(member)
        return evaluate(self.predictions(member), self.labels, names=names, ood=other)

    def _chains(self, member: int | None) -> Sequence[int]:
        chains = range(max(len(self.members), 1))
        if member is None:
            return chains
        if member not in chains:
            raise UsageError(
                f"there is no member {member} in {self.path}; it has {counted(len(chains), 'member')}, counted from 0"
            )
        return (member,)

    def digest(self) -> str:
        """A digest of all that does not depend on when, where and by how many workers it was run.

        Raises:
            DamagedFileError: If a part cannot be read.
            UsageError: If the file is closed.

        Example:
            >>> open_results("digits-results.h5").digest()
        """
        return digest_of(self)

    @property
    def is_closed(self) -> bool:
        """Whether the file was closed; the statistics are there still."""
        return not self._file

    def close(self) -> None:
        """Close the file; what is in memory stays."""
        self._file.close()

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        examples = len(self.summary.mean)
        members = f"{len(self.members)} members of " if self.members else ""
        return f"<Results of {self.path}: {self.task.value}, {examples} examples, {members}{self.run.mc_iters} draws>"

    def _repr_html_(self) -> str:
        return results_html(self)

    def describe(self) -> str:
        """The file in a few lines, for people."""
        return "\n".join(f"{name:<9}{text}" for name, text in (self.facts() | describe_metrics(self)).items())

    def facts(self) -> dict[str, str]:
        """What the file holds, by heading, for people."""
        examples, outputs = self.summary.mean.shape
        noun = "classes" if self.task is Task.CLASSIFICATION else "output" if outputs == 1 else "outputs"
        weights = sum(layer.weights for layer in self.layers)
        nonzeros = sum(layer.nonzeros for layer in self.layers)
        rule = "not pruned" if self.run.criterion == "none" else self.run.criterion
        if self.run.threshold is not None:
            rule += f" threshold {self.run.threshold:g}"
        return {
            "results": str(self.path),
            "case": f"{self.run.case} ({self.run.checkpoint_digest})",
            "task": f"{self.task.value}, {counted(examples, 'example')}, {outputs} {noun}",
            "run": f"{self._draws_text()}, seed {self.run.seed}, engine {self.run.engine}, "
            f"sampling {self.run.sampling}, {self.run.precision}, {self.run.inference_runtime_s or 0.0:.1f} s",
            "weights": f"{nonzeros:,} of {weights:,} kept, sparsity {sparsity(weights, nonzeros):.3f}; {rule}",
        }

    def _draws_text(self) -> str:
        text = counted(self.run.mc_iters, "draw")
        if self.run.stopping:
            least, most = int(self.draws_made.min()), int(self.draws_made.max())
            text = f"{least} to {most} draws, {float(self.draws_made.mean()):.1f} on average"
        each = " of each member" if self.members else ""
        return text + (" in antithetic pairs" if self.run.antithetic else "") + each

    def _group(self, name: str) -> Any:
        if self.is_closed:
            raise UsageError(f"{self.path} is closed", hint="Read from it inside the with block, before close().")
        with reading(self.path):
            return self._file.get(name)


def open_results(path: Path | str) -> Results:
    """Open a results file for reading.

    Args:
        path: The file that `bprune infer` wrote.

    Returns:
        The results; use them in a `with` block, or call `close`.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is a file of another program.
        UnsupportedError: If it is of a newer schema version.
        DamagedFileError: If it is damaged, or reaches into other files.

    Example:
        >>> with open_results("digits-results.h5") as results:
        ...     print(results.describe())
    """
    path = Path(path)
    check_readable(path)
    with reading(path):
        file = h5py.File(path, "r")
        try:
            return _read(file, path)
        except BaseException:
            file.close()
            raise


def _read(file: h5py.File, path: Path) -> Results:
    attributes = read_attributes(file, path)
    check_objects(file)
    task = Task(attributes["task"])
    run = RunRecord.from_attributes(attributes)
    check_variables(file, task, run.mc_iters, attributes["schema_version"], len(run.members))
    record = attributes["provenance"]
    if text_digest(record) != attributes["provenance_digest"]:
        raise DamagedFileError(f"{path} has a provenance record that was altered: its digest differs")
    names = [layer["name"] for layer in json.loads(record)["layers"]]
    layers = _read_layers(file["layers"], names, is_ensemble=bool(run.members))
    _check_provenance(json.loads(record), json.loads(provenance(run, task, layers, attributes["schema_version"])))
    summary_type = ClassificationSummary if task is Task.CLASSIFICATION else RegressionSummary
    known = layout(task, file["constant_data/x"].ndim, is_ensemble=bool(run.members))
    values = _read_group(file["summary"], known["summary"])
    blocks = _read_group(file["blocks"], known["blocks"]) if attributes["schema_version"] >= BLOCKS_ADDED else {}
    members: tuple[Any, ...] = ()
    if run.members:
        members = member_summaries(task, _read_group(file["members"], known["members"]), blocks)
    else:
        values |= {f"block_{name}": item for name, item in blocks.items()}
    labels = None
    if "observed_data" in file:
        labels = file["observed_data"]["label" if task is Task.CLASSIFICATION else "target"][...]
    draws_made = file["sample_stats/draws"][...]
    return Results(path, task, run, layers, summary_type(**values), labels, draws_made, members, file)


def _read_group(group: h5py.Group, known: Iterable[str]) -> dict[str, AnyArray]:
    return {name: group[name][...] for name in known if name in group}


def _read_layers(group: h5py.Group, names: Sequence[str], *, is_ensemble: bool) -> tuple[LayerRecord, ...]:
    """The layers; their names come from the provenance record, since HDF5 keeps those of the group unchecked."""
    columns = [group[name][...].tolist() for name in ("weights", "nonzeros", "snr_quantiles")]
    columns.append(group["member"][...].tolist() if is_ensemble else [0] * len(names))
    return tuple(
        LayerRecord(name, weights, nonzeros, tuple(quantiles), member)
        for name, weights, nonzeros, quantiles, member in zip(names, *columns, strict=True)
    )


def _check_provenance(stored: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, value in stored.items():
        if name not in expected or expected[name] != value:
            raise DamagedFileError(
                f"the file's provenance record says {name} = {value!r}, the rest of the file does not"
            )
