"""Reports that tests share: small, quick, and full of text that must not become HTML."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bprune.case import load_case
from bprune.engines import Engine
from bprune.inference.data import Dataset, first_examples
from bprune.judgement.measure import Draws
from bprune.pruning import Rule
from bprune.report import Request
from bprune.results.record import load_data

HOSTILE = "</script><script>alert('x')</script><!-- $a & $"
"""A text that ends a script element, opens another, begins a comment, and looks like mathematics to matplotlib."""


def reader(case_dir: Path, examples: int, *, hostile: bool = False) -> Callable[[Engine], Dataset]:
    """Reads the first examples of a case's held-out data."""

    def read(engine: Engine) -> Dataset:
        data = first_examples(load_data(load_case(case_dir), engine, None), examples)
        return replace(data, source=HOSTILE).noting(HOSTILE) if hostile else data

    return read


def data_of(case_dir: Path, examples: int = 60) -> Dataset:
    """The same data as a file has it."""
    with np.load(case_dir / "heldout.npz") as file:
        return Dataset(file["x"][:examples], file["y"][:examples], "heldout.npz")


def request(case_dir: Path, examples: int = 60, **changes: Any) -> Request:
    """A request with few examples and draws."""
    hostile = changes.pop("hostile", False)
    case = load_case(case_dir)
    read = reader(case_dir, examples, hostile=hostile) if examples else None
    return replace(Request(case, Rule(sparsity=0.8), read, Draws(mc_iters=20)), **changes)


def without_data(case_dir: Path, folder: Path) -> Path:
    """A copy of a case without its held-out data."""
    return Path(shutil.copytree(case_dir, folder / "bare", ignore=shutil.ignore_patterns("heldout.npz")))


def embedded(page: str) -> Any:
    """The object that a page carries along."""
    found = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])
