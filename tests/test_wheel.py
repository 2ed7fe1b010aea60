"""What is in the wheel: the package, its type marker, its licence, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.conftest import ROOT


def test_wheel_holds_the_package_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    for name in ("bprune", "tests", "examples"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.h5"))
    build = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--no-build-isolation", "--quiet"]
    done = subprocess.run(
        [*build, "--wheel-dir", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("bprune-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = {name.split(".dist-info/")[1] for name in archive.namelist() if ".dist-info/" in name}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "bprune").rglob("*.py")} | {"bprune/py.typed"}
    sources |= {str(path.relative_to(ROOT)) for path in (ROOT / "bprune/report/templates").iterdir()}
    assert packed == sources
    assert {"METADATA", "entry_points.txt"} <= metadata
    assert any(name.endswith("LICENSE") for name in metadata)
