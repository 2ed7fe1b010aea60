"""HTML for notebooks: it says what the values say, shows any text as text, and never raises."""

from __future__ import annotations

import dataclasses
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import bprune
from bprune.cells import counted, number, percent, with_error
from bprune.html import MOST_ROWS, escaped, panel, shown, table
from bprune.judgement import compare_results
from bprune.posterior import Network, Unrecognised, read_network
from bprune.posterior.notebook import network_html
from bprune.pruning import Counts, Pruned, Rule
from bprune.results import LayerRecord
from tests.judgement.sweep_world import point, sweep
from tests.plots import plots_world
from tests.results.results_world import WORLDS, write

HOSTILE = "</td><script>alert('x')</script>\"&\N{RIGHT-TO-LEFT OVERRIDE}\x07 $\\alpha$ \udc80"


class Reader(HTMLParser):
    """The rows and the tags of a page; every tag must be closed, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.rows: list[list[str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name in ("class", "style", "scope", "colspan") for name, _ in attrs)
        self.tags.add(tag)
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and self._open[-1] in ("td", "th"):
            self.rows[-1][-1] += data

    def row(self, first: str) -> list[str]:
        """The only row whose first cell is this, without it."""
        (found,) = [row[1:] for row in self.rows if row and row[0] == first]
        return found


def read(value: object) -> Reader:
    """What a notebook shows of a value."""
    page = value._repr_html_()  # type: ignore[attr-defined]
    page.encode("utf-8")
    reader = Reader(page)
    assert "cannot be shown" not in page
    assert reader.tags <= {"div", "strong", "p", "table", "thead", "tbody", "tr", "th", "td"}
    return reader


def test_numbers() -> None:
    assert [counted(count, "draw") for count in (0, 1, 2)] == ["0 draws", "1 draw", "2 draws"]
    assert [number(value) for value in (None, math.nan, 0.123456, 12345.6)] == ["-", "-", "0.1235", "1.235e+04"]
    assert [percent(value) for value in (math.nan, 0.0, 0.0001, 0.25, 0.9999, 1.0)] == [
        *("-", "0.0%", "<0.1%", "25.0%", ">99.9%", "100.0%")
    ]
    assert with_error(0.5, 0.0123) == "0.5 +- 0.012"
    assert with_error(0.5, math.nan, signed=True) == "+0.5"
    assert with_error(math.nan, 1.0) == "-"


def test_any_text_is_text() -> None:
    page = panel(HOSTILE, table([HOSTILE], [[HOSTILE]]))
    reader = Reader(page)
    assert reader.tags == {"div", "strong", "table", "thead", "tbody", "tr", "th", "td"}
    assert reader.rows[1] == ["</td><script>alert('x')</script>\"&\\u202e\\x07 $\\alpha$ \\udc80"]
    assert len(escaped("x" * 10**6)) < 1100
    assert escaped("x" * 10**6).endswith("... (1000000 characters)")


def test_long_tables_are_cut_but_for_the_last_row() -> None:
    rows = Reader(table(["a", "b"], [[str(index), "1"] for index in range(1000)])).rows
    assert len(rows) == MOST_ROWS + 2
    assert rows[-2:] == [["940 rows are not shown"], ["999", "1"]]
    whole = Reader(table(["a"], [[str(index)] for index in range(MOST_ROWS)])).rows
    assert [row[0] for row in whole[1:]] == [str(index) for index in range(MOST_ROWS)]


def test_what_goes_wrong_is_said() -> None:
    @shown
    def broken(value: object) -> str:
        raise RuntimeError("<b>no</b>")

    assert Reader(broken(3)).text == "intIt cannot be shown: <b>no</b>"
    assert "b" not in Reader(broken(3)).tags


def test_a_case_shows_itself_without_reading_weights(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bprune.load_case(samples / "digits_conv")

    def refuse(*arguments: object) -> None:
        raise AssertionError("a weight was read")

    for name in ("read", "read_all"):
        monkeypatch.setattr(type(case.checkpoint), name, refuse)
    page = read(case)
    assert page.row("checkpoint") == ["model-4500.ckpt, of 1"]
    assert page.row("input") == ["input:0 (8x8x1 float32)"]
    assert page.row("conv_1") == ["Conv2DFlipout", "Normal", "3x3x1x32; 3x3x1x32; 32", "608"]


def test_a_network_shows_its_snr(samples: Path) -> None:
    network = read_network(bprune.load_case(samples / "regression_1d"))
    page = read(network)
    snr = np.concatenate([item.snr.reshape(-1) for item in network.posteriors])
    expected = [number(float(value)) for value in np.quantile(snr, (0.05, 0.5, 0.95, 1.0))]
    assert page.row("all") == ["", "", "", "1,760", "1,760", *expected, percent(float(np.mean(snr < 1)))]
    assert repr(network) == "<Network: 3 layers, 1,760 prunable weights>"
    assert repr(network.posteriors[0]) == "<Posterior of den_1/kernel: Normal, 20x32>"


def test_a_network_with_nothing_to_prune(monkeypatch: pytest.MonkeyPatch) -> None:
    page = read(Network((), (Unrecognised(HOSTILE, "because <i>"),)))
    assert page.rows[-1][1] == "because <i>"
    monkeypatch.setattr("bprune.posterior.notebook._MOST_WEIGHTS", 3)
    large = Reader(network_html(plots_world.network(den_1=np.ones(4))))
    assert large.row("all") == ["", "", "", "4", "4"]
    assert "summarise_snr" in large.text


def test_pruned() -> None:
    layers = (Counts(HOSTILE, 30, 10), Counts("den_2", 10, 10))
    pruned = Pruned(Path("out"), Rule(sparsity=0.5), layers, Counts("total", 40, 20))
    assert read(pruned).row("total") == ["40", "20", "50.0%"]
    assert repr(pruned) == "<Pruned case out: 20 of 40 weights kept, sparsity 0.500>"


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("closed", [False, True])
def test_results(world: str, closed: bool, tmp_path: Path) -> None:
    with bprune.open_results(write(tmp_path / "a.h5", WORLDS[world])) as results:
        if closed:
            results.close()
        page = read(results)
        expected = results.metrics()
    assert ("file is closed" in page.text) is closed
    assert page.row("conv_1") == ["20", "7", "65.0%", "0.5", "2", "8", "16"]
    assert page.row("den_3") == ["0", "0", "0.0%", "-", "-", "-", "-"]
    title, name = ("accuracy",) * 2 if world == "classification" else ("root mean squared error", "rmse")
    item = expected[name]
    assert page.row(title) == [number(item.value), number(item.data_stderr), number(item.mc_stderr)]
    measure = "predictive entropy, nats" if world == "classification" else "standard deviation"
    values = getattr(results.summary, "predictive_entropy" if world == "classification" else "stddev")
    assert page.row(measure)[1] == number(float(np.quantile(values, 0.5)))


def test_results_without_labels_and_of_many_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bprune.open_results(write(tmp_path / "a.h5", WORLDS["classification"], labels=False)) as results:
        assert all(row[:1] != ["accuracy"] for row in read(results).rows)
        monkeypatch.setattr("bprune.results.notebook._MOST_NUMBERS", 1)
        assert "results.metrics()" in read(results).text
        hostile = dataclasses.replace(results, layers=(LayerRecord("<script>", 3, 2),))
        assert read(hostile).row("<script>")[:2] == ["3", "2"]


def test_comparison(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5", WORLDS["classification"])
    with bprune.open_results(first) as a, bprune.open_results(first) as b:
        comparison = compare_results(a, b)
    page = read(comparison)
    assert page.row("accuracy")[2] == "+0"
    assert comparison.verdict in page.text
    assert repr(comparison).startswith(f"<Comparison of {first} and {first}: classification, ")


def test_sweep() -> None:
    page = read(sweep(case=HOSTILE))
    assert page.rows[0][0] == "criterion"
    assert page.row("50.0%") == ["500", "5", "0.88", "-0.02 +- 0.004", "0.8", "+0.5 +- 0.01", "1"]
    assert page.row("0.0%")[3] == ""
    assert page.row("90.0%")[1] == "-"
    assert "Not finished" in page.text
    assert "Not finished" not in read(sweep(finished=True)).text
    assert read(sweep(points=(point(1000),))).row("0.0%")
    assert repr(sweep()) == "<Sweep of toy: snr, 3 points, 50 examples>"
