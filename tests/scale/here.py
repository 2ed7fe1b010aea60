"""An executor without processes, for tests of what workers are given and give back."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

__all__ = ["Here"]


class Here:
    """An executor whose calls happen at once, from data that has travelled; every other call happens twice."""

    def __init__(self) -> None:
        self.calls = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        self.calls += 1
        sent = pickle.dumps((function, arguments))
        assert b"tensorflow.python" not in sent
        assert b"bprune.case.case\x94\x8c\x04Case" not in sent
        function, arguments = pickle.loads(sent)
        value = function(*arguments)
        return _Known(function(*arguments) if self.calls % 2 else value)


@dataclasses.dataclass
class _Known:
    value: Any

    def result(self) -> Any:
        return self.value
