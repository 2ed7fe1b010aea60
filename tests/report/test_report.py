"""What a report says, of every kind of case, and what it must not let through."""

from __future__ import annotations

import html
import html.parser
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bprune
from bprune.case import load_case
from bprune.errors import InputError, MissingExtraError, OutputError, TargetError, UsageError
from bprune.judgement.measure import Draws
from bprune.posterior import Network, read_network
from bprune.pruning import Rule
from bprune.report import Report, collect, make_page, run_report, write_report
from bprune.report.examples import most_uncertain
from bprune.report.figures import draws_of_example
from bprune.report.page import json_text
from bprune.scale import Workers
from tests.commands.test_commands import run_json
from tests.report.report_world import HOSTILE, data_of, embedded, request, without_data
from tests.scale.here import Here

pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def digits(samples: Path) -> Path:
    return samples / "digits_conv"


@pytest.fixture(scope="module")
def page(written: Report) -> str:
    return written.path.read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, written: Report) -> None:
    """One example in place of six, and short times, in all reports but the first."""
    monkeypatch.setattr("bprune.report.examples.EXAMPLES", 1)
    monkeypatch.setattr("bprune.report.gather._TIMED_S", 0.01)


class _Reader(html.parser.HTMLParser):
    """Collects the elements of a page, and checks that they are closed in order."""

    VOID = frozenset({"meta", "img", "path", "use", "rect", "br", "image"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def read_page(page: str) -> _Reader:
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_else_and_runs_nothing(page: str) -> None:
    elements = read_page(page).elements
    assert [attributes for tag, attributes in elements if tag == "script"] == [
        {"type": "application/json", "id": "report-data"}
    ]
    assert not {tag for tag, _ in elements} & {"link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in {"src", "href", "xlink:href", "action", "srcset"}:
                assert value is not None
                assert value.startswith(("#", "data:image/png;base64,")), (tag, value)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(page.encode()) < 2e6


def test_names_in_pictures_are_found_and_used_once(page: str) -> None:
    elements = read_page(page).elements
    names = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(names) == len(set(names))
    used = {value for _, attributes in elements for name, value in attributes.items() if "href" in name}
    used |= {f"#{name}" for name in re.findall(r"url\(#([^)]+)\)", page)}
    assert used <= {f"#{name}" for name in names}


def test_it_tells_every_part(page: str, written: Report) -> None:
    sections = [a["id"] for tag, a in read_page(page).elements if tag == "section"]
    assert sections == "summary loaded signal sweep cost calibration examples provenance".split()
    assert page.count("<h3>Example") == 6
    assert page.count("data:image/png;base64,") == 6
    assert page.count("<svg") == 5 + 6
    assert 'lang="en"' in page
    for sentence in ("sets 17,024 of 21,280 weights (80.0%) to zero", "On 60 held-out examples", "chosen: 80.0%"):
        assert sentence in page
    assert written.content["verdict"].replace("+-", "± ") in html.unescape(page)
    for tag, attributes in read_page(page).elements:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes["role"] == "img"


def test_text_of_files_is_only_text(page: str, written: Report) -> None:
    assert HOSTILE not in page
    assert page.count("alert(") == page.count(html.escape(HOSTILE)) + 1
    assert HOSTILE in embedded(page)["assumptions"]
    assert page.count("</script>") == 1
    assert HOSTILE in written.content["assumptions"]


def test_the_embedded_object_is_the_result(page: str, written: Report) -> None:
    assert embedded(page) == written.content
    content = written.content
    before, after = content["sides"]
    assert (before["nonzeros"], after["nonzeros"]) == (21280, 4256)
    assert after["multiply_adds"] < before["multiply_adds"]
    assert after["parameter_bytes"] < before["parameter_bytes"]
    change = after["metrics"]["nll"]["value"] - before["metrics"]["nll"]["value"]
    assert content["changes"]["nll"]["value"] == pytest.approx(change, abs=1e-12)
    assert any(point["nonzeros"] == 4256 for point in content["sweep"]["points"])
    assert content["meaning"]["largest_pruned"] < content["meaning"]["smallest_kept"]
    assert content["provenance"]["checkpoint_digest"].startswith("sha256:")


@pytest.mark.parametrize("text", ["</script>", "<!--<script>", "]]>", "\u2028\u2029", '"\\'])
def test_no_value_ends_the_element_with_the_object(text: str) -> None:
    told = json_text({text: [text]})
    assert not re.search(r"[<>&\u2028\u2029]", told)
    assert json.loads(told) == {text: [text]}


def test_same_findings_same_page(digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hostile names of layers in legends and tables as well; no data, which is quick."""
    case = load_case(digits)
    names = dict(zip(read_network(case).layers, ("<b>$\\frac", "a$b$<i>", "_hidden"), strict=True))
    renamed = tuple(replace(item, layer=names[item.layer]) for item in read_network(case).posteriors)
    with collect(request(digits, 0, network=Network(renamed))) as findings:
        first, content = make_page(findings)
        second, _ = make_page(findings)
    times = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d"
    assert re.sub(times, "", first) == re.sub(times, "", second)
    assert not {tag for tag, _ in read_page(first).elements} & {"b", "i"}
    assert "&lt;b&gt;$\\frac/kernel" in first
    assert [layer["name"] for layer in content["layers"]] == list(names.values())


def test_densities_are_of_the_draws_of_the_run(samples: Path) -> None:
    """The draws of a single example are made again, and are those of the run; with another number they would not be."""
    with collect(request(samples / "digits_fc", 40, with_sweep=False)) as findings:
        assert findings.data is not None
        for side in findings.sides:
            assert side.results is not None
            assert side.prepared is not None
            number = int(most_uncertain(side.results)[0])
            mean = side.results.summary.mean[number]
            again = draws_of_example(side, findings, number)
            assert again is not None
            np.testing.assert_allclose(again.mean(axis=0), mean, atol=1e-6)
            alone = findings.data.inputs[number : number + 1]
            other = side.prepared.engine.draw(alone, range(20), number + 1).values[:, 0]
            assert np.abs(other.mean(axis=0) - mean).max() > 1e-4


def test_a_regression_has_bands(samples: Path, tmp_path: Path) -> None:
    asked = request(samples / "regression_1d", 40, rule=None, with_sweep=False)
    report = run_report(asked, tmp_path / "r.html")
    page = report.path.read_text(encoding="utf-8")
    assert report.content["pruning"]["sparsity_target"] == 0.5
    assert "Nothing was asked for, and the default does not work here" in page
    assert "Coverage of 95 % intervals" in page
    assert page.count("The dark band is what the network does not know") == 2
    assert "one standard deviation" in page
    assert "The sweep over other thresholds was not asked for" in page
    assert read_page(page).open == []


def test_without_data_it_says_what_is_missing(digits: Path, tmp_path: Path) -> None:
    case = without_data(digits, tmp_path)
    report = write_report(case, out=tmp_path / "r.html", sparsity=0.8)
    assert report.content["sides"][1]["metrics"] == {}
    assert report.content["sides"][1]["draw_us"] is None
    assert "No held-out data is known" in report.content["missing"][0]
    page = report.path.read_text(encoding="utf-8")
    assert "No held-out data is known" in page
    assert "Multiply-adds per example and draw fall" in page
    assert "Least certain" not in page


def test_a_pruned_case_is_told_about_as_it_is(digits: Path, tmp_path: Path) -> None:
    """Alone, and beside results of what it was pruned from."""
    pruned = tmp_path / "pruned"
    bprune.prune(digits, pruned, sparsity=0.8)
    alone = run_report(request(pruned, rule=None), tmp_path / "alone.html")
    assert [side["name"] for side in alone.content["sides"]] == ["this case"]
    assert alone.content["summary"][0].startswith("The case pruned keeps 4,256 of 21,280 weights")
    assert "what it was pruned from is not here" in alone.content["missing"][0]
    with bprune.infer(digits, data_of(digits), tmp_path / "source.h5", mc_iters=20) as results:
        beside = run_report(request(pruned, rule=None, results=(results.path,)), tmp_path / "beside.html")
    assert [side["nonzeros"] for side in beside.content["sides"]] == [21280, 4256]
    assert beside.content["changes"] is not None
    assert "fall from 315,904 to" in beside.content["summary"][2]
    page = beside.path.read_text(encoding="utf-8")
    assert "What the draws say" in page
    assert "are not stored" not in page
    assert beside.content["sides"][0]["draw_us"] is None


def test_workers_find_the_same(digits: Path) -> None:
    found = []
    for workers in (None, Workers(Here(), 2)):
        with collect(request(digits, 20, draws=Draws(6)), workers) as findings:
            assert findings.sweep is not None
            found.append((findings.sweep.points[-1].metrics, [side.metrics for side in findings.sides]))
    assert found[0] == found[1]


def test_results_and_sweep_that_are_there_are_not_run_again(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, rule = data_of(digits, 20), Rule(sparsity=0.8)
    before = bprune.infer(digits, data, tmp_path / "before.h5", mc_iters=30, seed=5)
    after = bprune.infer(digits, data, tmp_path / "after.h5", mc_iters=30, seed=5, rule=rule)
    bprune.sweep(digits, data, tmp_path / "s.h5", sparsities=[0.5, 0.8], mc_iters=10)
    for module, name in (("gather", "run_sweep"), ("gather", "record_draws")):
        monkeypatch.setattr(f"bprune.report.{module}.{name}", None)
    paths = [tmp_path / "after.h5", tmp_path / "before.h5"]
    report = write_report(digits, out=tmp_path / "r.html", sparsity=0.8, results=paths, sweep=tmp_path / "s.h5")
    for side, results in zip(report.content["sides"], (before, after), strict=True):
        assert side["metrics"]["nll"]["value"] == results.metrics(["nll"])["nll"].value
        results.close()
    assert (report.content["provenance"]["mc_iters"], report.content["provenance"]["seed"]) == (30, 5)
    assert len(report.content["sweep"]["points"]) == 3

    def refused(message: str, kind: type[Exception], **changes: Any) -> None:
        arguments: dict[str, Any] = {"sparsity": 0.8, "results": paths[:1], **changes}
        with pytest.raises(kind, match=message):
            write_report(digits, out=tmp_path / "other.html", **arguments)

    refused("keeps 4,256 weights; the case has 21,280", InputError, sparsity=0.5)
    refused("has seed 5, and 4 was asked for", UsageError, seed=4)
    refused("are of the same network", UsageError, results=[paths[0], paths[0]])
    refused(
        "is a sweep by snr", InputError, sparsity=None, rule=Rule(criterion=_bmr()), results=[], sweep=tmp_path / "s.h5"
    )
    assert not (tmp_path / "other.html").exists()


def _bmr() -> Any:
    from bprune.pruning import find_criterion

    return find_criterion("bmr")


def test_files_of_another_case_are_refused(samples: Path, digits: Path, tmp_path: Path) -> None:
    fc = samples / "digits_fc"
    bprune.infer(fc, out=tmp_path / "fc.h5", mc_iters=2).close()
    bprune.sweep(fc, out=tmp_path / "fc-sweep.h5", sparsities=[0.5], mc_iters=2)
    with pytest.raises(InputError, match="of the case digits_fc with another checkpoint"):
        run_report(request(digits, results=(tmp_path / "fc.h5",)), tmp_path / "r.html")
    with pytest.raises(InputError, match="a sweep of digits_fc with another checkpoint"):
        run_report(request(digits, sweep=tmp_path / "fc-sweep.h5"), tmp_path / "r.html")


def test_mistakes_leave_nothing_behind(samples: Path, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        run_report(request(digits), tmp_path / "there.html")
    assert (tmp_path / "there.html").read_text() == "mine"
    with pytest.raises(TargetError, match="leaves no weight in"):
        run_report(request(samples / "digits_fc", rule=Rule()), tmp_path / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]


def test_without_jinja2_it_says_what_to_install(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtraError, match="reports need jinja2, which is not installed") as caught:
        run_report(request(digits), tmp_path / "r.html")
    assert 'pip install "bprune[report]"' in str(caught.value.hint)


def test_the_command_prints_what_the_page_carries(digits: Path, tmp_path: Path) -> None:
    options = ("--sparsity", "0.8", "--examples", "30", "--mc-iters", "10", "--no-sweep", "--criterion", "bmr")
    content = run_json("report", "--case-dir", digits, *options, cwd=tmp_path)
    page = (tmp_path / "digits_conv-report.html").read_text(encoding="utf-8")
    assert embedded(page) == content
    assert content["pruning"]["criterion"] == "bmr"
    assert content["provenance"]["command"].startswith("bprune")
    error = run_json("report", "--case-dir", digits, *options, cwd=tmp_path, code=6)["error"]
    assert "exists already" in error["message"]
    error = run_json("report", "--case-dir", digits, "--no-sweep", "--sweep", "s.h5", cwd=tmp_path, code=2)["error"]
    assert "do not go together" in error["message"]


def test_a_network_that_runs_as_a_graph_has_no_size(digits: Path, tmp_path: Path) -> None:
    asked = request(digits, 0, draws=Draws(mc_iters=2, engine="graph"))
    report = run_report(asked, tmp_path / "r.html")
    assert report.content["sides"][1]["multiply_adds"] is None
    assert "runs as a TensorFlow graph" in report.content["summary"][1]
