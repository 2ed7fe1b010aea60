"""Held-out examples, as they stand in a file or as a network takes them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bprune.arrays import AnyArray
from bprune.errors import InputError, UsageError

__all__ = ["Dataset", "first_examples"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Inputs with or without labels, and what was assumed on the way.

    Args:
        inputs: `[example, ...]`, bool, integer or real.
        labels: `[example]` or `[example, class]` or `[example, output]`, or None.
        source: The file that the inputs came from, for messages.
        notes: One sentence per assumption: keys chosen, rescaled by, reshaped from and to.

    Raises:
        InputError: If an array has no example axis, or the two have different numbers of examples.
    """

    inputs: AnyArray
    labels: AnyArray | None
    source: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, array in (("inputs", self.inputs), ("labels", self.labels)):
            if array is not None and array.ndim == 0:
                raise InputError(f"{self.source}: the {name} are a single number; the first axis has to be the example")
        if self.labels is not None and len(self.labels) != len(self.inputs):
            raise InputError(
                f"{self.source}: {len(self.inputs)} inputs but {len(self.labels)} labels; "
                "each example needs exactly one label",
                hint="Check that inputs and labels come from the same split (--x-key, --y-key, --labels).",
            )

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.inputs)

    def noting(self, *notes: str) -> Dataset:
        """The same data with more notes."""
        return replace(self, notes=self.notes + notes)


def first_examples(data: Dataset, count: int | None) -> Dataset:
    """The first examples of a data set, without a copy.

    Args:
        data: Any data set.
        count: How many examples to keep, at least 1; None or more than there are keeps all.

    Returns:
        The first `count` examples, with a note if that left some out.

    Raises:
        UsageError: If `count` is below 1.
    """
    if count is not None and count < 1:
        raise UsageError(f"the number of examples is {count}; allowed is 1 or more")
    if count is None or count >= len(data):
        return data
    labels = None if data.labels is None else data.labels[:count]
    return replace(data, inputs=data.inputs[:count], labels=labels).noting(f"first {count} of {len(data)} examples")
