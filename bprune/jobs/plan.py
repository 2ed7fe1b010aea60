"""A plan: what is run, of what, in which parts. A JSON file of paths, digests and options; it holds no weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bprune.atomic import write_text
from bprune.case.case import Case
from bprune.engines.base import Engine
from bprune.errors import DamagedFileError, InputError, MissingFileError, UnsupportedError
from bprune.inference.amount import Amount
from bprune.inference.data import Dataset, first_examples
from bprune.inference.recipe import Recipe
from bprune.inference.stopping import Stopping
from bprune.judgement.measure import data_digest
from bprune.results.record import load_data
from bprune.scale.divide import Share

__all__ = ["DataSource", "Plan", "Unit", "read_plan", "write_plan"]

_SCHEMA = "bprune-plan 1"


@dataclass(frozen=True)
class DataSource:
    """Where examples come from; see `bprune.results.record.load_data`.

    Attributes:
        path: The file, or None for the case's heldout.npz.
        labels: A file of labels, or None.
        x_key: Name of the inputs in the file, or None.
        y_key: Name of the labels in the file, or None.
        scale: What integer inputs are divided by, or None.
        examples: How many examples are used; None for all.
        digest: What they are, as `bprune.judgement.measure.data_digest` tells it; empty where it is not known yet.
    """

    path: str | None = None
    labels: str | None = None
    x_key: str | None = None
    y_key: str | None = None
    scale: float | None = None
    examples: int | None = None
    digest: str = ""

    def read(self, case: Case, engine: Engine) -> Dataset:
        """The examples, in the shape that the network takes.

        Raises:
            InputError: If they cannot be used, or are not those of the plan.
        """
        data = load_data(
            case,
            engine,
            None if self.path is None else Path(self.path),
            labels=None if self.labels is None else Path(self.labels),
            x_key=self.x_key,
            y_key=self.y_key,
            scale=self.scale,
        )
        data = first_examples(data, self.examples)
        if self.digest and data_digest(data) != self.digest:
            raise InputError(
                f"the data of {data.source} is not what it was when the run was planned: its digest differs",
                hint="Plan the run again.",
            )
        return data

    def of(self, data: Dataset) -> DataSource:
        """The same with absolute paths, and the digest of what was read."""
        return replace(self, path=_absolute(self.path), labels=_absolute(self.labels), digest=data_digest(data))


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())


@dataclass(frozen=True)
class Unit:
    """A share of one network.

    Attributes:
        member: Which recipe of the plan.
        share: Which draws of which examples.
    """

    member: int
    share: Share


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes:
        kind: `infer` or `sweep`.
        out: The file that will hold the whole.
        recipes: The networks.
        amount: How many draws.
        data: The examples.
        tasks: The units of each task; by network, example and draw.
        about: What the whole says of itself: a run record, or a sweep's header and thresholds.
    """

    kind: str
    out: str
    recipes: tuple[Recipe, ...]
    amount: Amount
    data: DataSource
    tasks: tuple[tuple[Unit, ...], ...]
    about: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """What tells plans apart."""
        return "sha256:" + hashlib.sha256(_text(self.to_json()).encode()).hexdigest()

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units, in the order in which they are put together."""
        return tuple(unit for task in self.tasks for unit in task)

    def unit_name(self, unit: Unit) -> str:
        """The name of the file of a unit: it belongs to this plan alone."""
        address = (unit.member, *asdict(unit.share).values())
        return hashlib.sha256(f"{self.digest} {address}".encode()).hexdigest()[:32] + ".h5"

    def to_json(self) -> dict[str, Any]:
        """The plan as a JSON object."""
        return {
            "schema": _SCHEMA,
            "kind": self.kind,
            "out": self.out,
            "recipes": [recipe.to_json() for recipe in self.recipes],
            "amount": asdict(self.amount),
            "data": asdict(self.data),
            "tasks": [[[unit.member, *asdict(unit.share).values()] for unit in task] for task in self.tasks],
            "about": dict(self.about),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """The inverse of `to_json`.

        Raises:
            LookupError: If a part is missing.
            TypeError: If a part has parts that it should not have.
            ValueError: If a number is out of range.
        """
        amount = dict(content["amount"])
        if amount["stopping"] is not None:
            amount["stopping"] = Stopping(**amount["stopping"])
        return cls(
            str(content["kind"]),
            str(content["out"]),
            tuple(Recipe.from_json(item) for item in content["recipes"]),
            Amount(**amount),
            DataSource(**content["data"]),
            tuple(tuple(Unit(member, Share(*share)) for member, *share in task) for task in content["tasks"]),
            content["about"],
        )


def write_plan(plan: Plan, path: Path, *, overwrite: bool = False) -> None:
    """Write a plan.

    Raises:
        OutputError: If the file exists and may not be replaced, or cannot be written.
    """
    write_text(path, _text(plan.to_json() | {"digest": plan.digest}) + "\n", overwrite=overwrite)


def read_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        MissingFileError: If there is no such file.
        InputError: If it is not a plan, or of a newer version.
        DamagedFileError: If it was altered.
    """
    if not path.is_file():
        raise MissingFileError(f"there is no plan {path}", hint="bprune plan writes one.")
    try:
        content = json.loads(path.read_bytes())
        schema = content.get("schema", "") if isinstance(content, dict) else ""
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as a plan: {error}") from error
    if not str(schema).startswith("bprune-plan "):
        raise InputError(f"{path} is not a plan", hint="Give the file that bprune plan wrote.")
    if schema != _SCHEMA:
        raise UnsupportedError(f"{path} is a plan of another version: {schema}, not {_SCHEMA}", hint="Plan again.")
    try:
        plan = Plan.from_json(content)
        whole = plan.digest == content["digest"]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFileError(f"the plan {path} is damaged: {error}", hint="Plan again.") from error
    if not whole or not _is_complete(plan.units, len(plan.recipes)):
        raise DamagedFileError(f"the plan {path} was altered: its digest differs", hint="Plan again.")
    return plan


def _is_complete(units: Sequence[Unit], members: int) -> bool:
    return [unit.member for unit in units] == sorted(unit.member for unit in units) and {
        unit.member for unit in units
    } == set(range(members))


def _text(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1)
