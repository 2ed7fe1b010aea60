"""Every kind of picture in every format: valid files, labels that are there, and the same bytes each time."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from bprune import open_results
from bprune.errors import MissingExtraError, OutputError, UsageError
from bprune.plots import (
    KINDS,
    SnrAxis,
    SweepAxis,
    convergence_data,
    figure_of,
    masks_data,
    pdf_data,
    regression_data,
    reliability_data,
    risk_coverage_data,
    snr_data,
    svg_text,
    sweep_data,
    uncertainty_data,
    write_figure,
)
from bprune.plots.save import check_target
from bprune.results import Results
from tests.plots.plots_world import classification, network, regression, sweep, two_classes

RNG = np.random.default_rng(0)
NETWORK = network(den_1=RNG.lognormal(1.0, 1.0, (6, 5)), conv_1=RNG.lognormal(1.0, 1.0, (3, 3, 1, 4)))
MEAN = RNG.normal(size=(8, 6, 1))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Results]]:
    folder = tmp_path_factory.mktemp("results")
    draws = two_classes(np.random.default_rng(1).random((30, 12)))
    labels = np.arange(12) % 2
    pixels = np.random.default_rng(2).random((12, 8, 8, 1))
    classes = [
        classification(folder / "a.h5", draws, labels, inputs=pixels),
        classification(folder / "b.h5", draws[::-1], labels, inputs=pixels, nonzeros=3),
    ]
    plain = regression(folder / "r.h5", MEAN, np.ones_like(MEAN), np.arange(6.0)[:, None], np.zeros((6, 1)))
    wide = regression(folder / "w.h5", MEAN, np.ones_like(MEAN), np.ones((6, 2)), np.arange(6.0)[:, None])
    return {
        "classes": [open_results(path) for path in classes],
        "plain": [open_results(plain)],
        "wide": [open_results(wide)],
    }


PICTURES: dict[str, tuple[Callable[[dict[str, list[Results]]], object], tuple[str, ...]]] = {
    "snr": (
        lambda _: snr_data(NETWORK),
        ("SNR |loc| / scale", "share of weights below", "den_1 (30)", "threshold 10: "),
    ),
    "snr in dB": (lambda _: snr_data(NETWORK, 3.0, SnrAxis.DB), ("[dB]", "all layers (66)")),
    "masks": (lambda _: masks_data(NETWORK), ("den_1/kernel 6x5", "share of weights kept", "100.0% kept")),
    "sweep": (lambda _: sweep_data([sweep(), sweep("bmr", "nat")]), ("pruned weights [%]", "accuracy", "bmr")),
    "sweep by threshold": (
        lambda _: sweep_data([sweep()], ["accuracy", "nll", "multiply_adds", "draw_us"], axis=SweepAxis.THRESHOLD),
        ("threshold [SNR]", "multiply-adds per example and draw", "[us]"),
    ),
    "pdf": (lambda files: pdf_data(files["classes"][:1], [1, 4]), ("softmax value", "density", "class 1, true")),
    "pdf of two": (
        lambda files: pdf_data(files["classes"], [1], [0]),
        ("softmax value", "class 0", "70% pruned", "true class 1"),
    ),
    "convergence": (
        lambda files: convergence_data(files["classes"]),
        ("draws", "accuracy", "negative log-likelihood [nat]", "unpruned"),
    ),
    "convergence of values": (
        lambda files: convergence_data(files["plain"]),
        ("draws", "root mean squared error", "mean output 0"),
    ),
    "reliability": (lambda files: reliability_data(files["classes"]), ("accuracy", "confidence", "ECE", "perfect")),
    "risk-coverage": (lambda files: risk_coverage_data(files["classes"]), ("coverage", "risk", "AURC")),
    "uncertainty": (
        lambda files: uncertainty_data(files["classes"][0]),
        ("predictive entropy [nat]", "mutual information [nat]", "right", "wrong", "AUROC"),
    ),
    "regression": (lambda files: regression_data(files["plain"][0]), ("input", "output 0", "95% epistemic", "mean")),
    "regression of pairs": (lambda files: regression_data(files["wide"][0]), ("true value of output 0", "predicted")),
}


@pytest.mark.parametrize("name", PICTURES)
def test_svg_holds_the_labels_as_text_and_is_the_same_each_time(name: str, files: dict[str, list[Results]]) -> None:
    make, labels = PICTURES[name]
    data = make(files)
    text = svg_text(figure_of(data, title="heading $1"))
    root = ElementTree.fromstring(text)
    assert root.tag.endswith("svg")
    words = "\n".join("".join(item.itertext()) for item in root.iter("{http://www.w3.org/2000/svg}text"))
    for label in (*labels, "heading $1"):
        assert label in words
    assert svg_text(figure_of(data, title="heading $1")) == text
    assert len(text) < 300_000


@pytest.mark.parametrize("kind", sorted({kind.name for kind in KINDS.values()}))
def test_every_format_is_valid(kind: str, files: dict[str, list[Results]], tmp_path: Path) -> None:
    figure = figure_of(PICTURES[kind][0](files))
    ends = {"png": b"IEND\xaeB`\x82", "svg": b"</svg>\n", "pdf": b"%%EOF\n"}
    starts = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}
    for suffix, start in starts.items():
        write_figure(figure, tmp_path / f"1.{suffix}", dpi=60)
        content = (tmp_path / f"1.{suffix}").read_bytes()
        assert content.startswith(start)
        assert content.endswith(ends[suffix])


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    for suffix in ("png", "svg", "pdf"):
        for number in (1, 2):
            write_figure(figure_of(snr_data(NETWORK)), tmp_path / f"{number}.{suffix}", dpi=60)
        assert (tmp_path / f"1.{suffix}").read_bytes() == (tmp_path / f"2.{suffix}").read_bytes()


def test_size_and_dpi_are_those_asked_for(tmp_path: Path) -> None:
    write_figure(figure_of(snr_data(NETWORK), size=(5.0, 3.0)), tmp_path / "a.png", dpi=80)
    header = (tmp_path / "a.png").read_bytes()[16:24]
    assert (int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")) == (400, 240)


def test_settings_of_the_user_do_not_matter_and_come_back(tmp_path: Path) -> None:
    data = snr_data(NETWORK)
    before = svg_text(figure_of(data))
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.fonttype": "path", "text.usetex": True}):
        assert svg_text(figure_of(data)) == before
        assert mpl.rcParams["font.size"] == 20
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_figures_share_no_names_on_a_page() -> None:
    text = svg_text(figure_of(sweep_data([sweep()])))
    assert 'id="figure_1"' not in text
    assert 'id="axes_1"' not in text


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    figure = figure_of(snr_data(NETWORK))
    with pytest.raises(UsageError, match=r"the suffix \.jpg; pictures are written as png, svg, pdf"):
        write_figure(figure, tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        write_figure(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"mine"
    write_figure(figure, tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").stat().st_size > 1000
    with pytest.raises(OutputError, match="the folder .* does not exist"):
        write_figure(figure, tmp_path / "none" / "a.png")
    with pytest.raises(UsageError, match="is not between 0.5 and 100 inches"):
        figure_of(snr_data(NETWORK), size=(0.0, 3.0))
    with pytest.raises(TypeError, match="no picture of str"):
        figure_of("text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r'pip install "bprune\[plots\]"'):
        figure_of(snr_data(NETWORK))
    with pytest.raises(MissingExtraError, match="matplotlib, which is not installed"):
        check_target(Path("a.png"))


def test_data_needs_no_matplotlib() -> None:
    code = "import sys, bprune.plots; print([m for m in ('matplotlib', 'tensorflow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_notebook_shows_a_figure_without_pyplot() -> None:
    figure = figure_of(snr_data(NETWORK), size=(4.0, 2.0))
    image, size = figure._repr_png_()  # type: ignore[attr-defined]
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    assert size == {"width": 384, "height": 192}
    assert np.frombuffer(image[16:24], ">u4").tolist() == [600, 300]
