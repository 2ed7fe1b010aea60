"""The pictures of the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bprune.plots import KINDS

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_are_there_and_of_modest_size(page: Path) -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        picture = page.parent / target
        assert picture.is_file(), target
        assert picture.stat().st_size <= 120 * 1024, target


def test_every_kind_is_described() -> None:
    text = (ROOT / "docs" / "plots.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        assert f"\n## {kind.name}\n" in text
