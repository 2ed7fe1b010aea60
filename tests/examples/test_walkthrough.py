"""The walkthrough runs from its first cell to its last, in a kernel of its own, and a cell that fails is noticed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import ROOT

NOTEBOOK = ROOT / "examples" / "walkthrough.ipynb"


def read() -> Any:
    """The notebook."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def execute(notebook: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run all cells in a folder; the kernel imports this source tree and writes its files below the folder."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])))
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
    monkeypatch.setenv("TMPDIR", str(folder))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()


def outputs(notebook: Any, kind: str) -> list[str]:
    """What cells gave of a media type, in order."""
    given = [item for cell in notebook.cells if cell.cell_type == "code" for item in cell.outputs]
    return [item.data[kind] for item in given if kind in item.get("data", {})]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(samples, tmp_path / "sample_checkpoints")
    (tmp_path / "examples").mkdir()
    notebook = read()
    execute(notebook, tmp_path / "examples", monkeypatch)
    pages = outputs(notebook, "text/html")
    titles = [page.split("<strong>")[1].split("</strong>")[0].split(" ")[0].rstrip(":") for page in pages]
    assert titles == ["Case", "Network", "Pruned", "Results", "Comparison", "Sweep", "Pruned"]
    assert str(tmp_path / "sample_checkpoints") in pages[0]
    assert not any("cannot be shown" in page for page in pages)
    assert len(outputs(notebook, "image/png")) == 5
    told = [item.text for cell in notebook.cells for item in cell.get("outputs", []) if item.output_type == "stream"]
    assert not any("Traceback" in text or "retracing" in text for text in told)
    (found,) = [text for text in told if "can go" in text]
    assert 70.0 < float(found.split("%")[0]) < 95.0


@pytest.mark.filterwarnings("ignore")
def test_a_failing_cell_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = read()
    planted = nbformat.v4.new_code_cell("bprune.load_case('nowhere')")  # type: ignore[no-untyped-call]
    notebook.cells = [notebook.cells[1], planted]
    with pytest.raises(CellExecutionError, match="MissingFileError"):
        execute(notebook, tmp_path, monkeypatch)


def test_no_outputs_are_committed() -> None:
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
