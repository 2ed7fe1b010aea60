"""What a results file says about each member of an ensemble."""

from __future__ import annotations

import dataclasses
import json
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bprune.errors import UsageError
from bprune.results.text import plain_text

__all__ = ["MemberRecord", "common", "ensemble_name", "member_seed", "members_from_json", "members_json"]

_NAMES = 3


@dataclass(frozen=True)
class MemberRecord:
    """How the draws of one member came to be; see `bprune.results.schema.RunRecord` for the attributes.

    A run of the case alone with this seed, and otherwise the same options, makes the same draws.
    """

    case: str
    checkpoint_digest: str
    seed: int
    engine: str
    sampling: str
    precision: str
    plan: str
    threshold: float | None
    criterion: str

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed of a member is {self.seed}; it must be in 0 ... 2^63 - 1")
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if isinstance(value, str):
                object.__setattr__(self, item.name, plain_text(value))
        object.__setattr__(self, "seed", operator.index(self.seed))
        if self.threshold is not None:
            if not math.isfinite(self.threshold):
                raise UsageError(f"the threshold of a member is {self.threshold}; it must be a finite number or None")
            object.__setattr__(self, "threshold", float(self.threshold))


def member_seed(seed: int, member: int) -> int:
    """The seed of a member's noise: that of the run for member 0, and one that has nothing to do with it for others.

    Args:
        seed: The seed of the run.
        member: The member's position, from 0.

    Returns:
        A number in [0, 2^63), of NumPy's SeedSequence with the member as spawn key.
    """
    if member == 0:
        return seed
    words = np.random.SeedSequence(seed, spawn_key=(member,)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def members_json(members: Sequence[MemberRecord]) -> str:
    """The members as a JSON list."""
    return json.dumps([dataclasses.asdict(member) for member in members], sort_keys=True, ensure_ascii=False)


def members_from_json(text: str) -> tuple[MemberRecord, ...]:
    """The inverse of `members_json`.

    Raises:
        ValueError: If it is not a list of at least two members.
        TypeError: If a member lacks an attribute, or one has another type.
    """
    found = json.loads(text)
    if not isinstance(found, list) or len(found) < 2:
        raise ValueError("the attribute members is not a list of at least two members")
    return tuple(_member(item) for item in found)


def _member(item: Any) -> MemberRecord:
    member = MemberRecord(**item)
    texts = [getattr(member, field.name) for field in dataclasses.fields(member) if field.type == "str"]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("an attribute of a member is not the text that it is in every results file")
    return member


def ensemble_name(cases: Sequence[str]) -> str:
    """What an ensemble is called: its size and its first members."""
    more = ", ..." if len(cases) > _NAMES else ""
    return f"ensemble of {len(cases)}: {', '.join(cases[:_NAMES])}{more}"


def common(values: Sequence[str]) -> str:
    """What all members have; several values, each once, with a plus between them."""
    return "+".join(dict.fromkeys(values))
