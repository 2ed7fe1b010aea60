"""What `prune` and `infer` both do before they run: make the engine and read the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bprune.arrays import BoolArray
from bprune.case import Case
from bprune.engines.graph import GraphEngine
from bprune.inference.data import Dataset, first_examples
from bprune.posterior import Network
from bprune.results.record import load_data

__all__ = ["DataChoice", "prepare_engine"]


@dataclass(frozen=True)
class DataChoice:
    """The data options of a command."""

    data: Path | None
    labels: Path | None
    x_key: str | None
    y_key: str | None
    scale: float | None
    examples: int | None


def prepare_engine(
    case: Case, network: Network, masks: Mapping[str, BoolArray], seed: int, choice: DataChoice
) -> tuple[GraphEngine, Dataset]:
    """The engine, and the data in the shape that the network takes."""
    engine = GraphEngine(case, network, masks, seed)
    dataset = load_data(
        case,
        engine,
        choice.data,
        labels=choice.labels,
        x_key=choice.x_key,
        y_key=choice.y_key,
        scale=choice.scale,
    )
    return engine, first_examples(dataset, choice.examples)
