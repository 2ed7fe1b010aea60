"""A report in a real browser, without a screen: it shows, prints, and neither complains nor asks for anything."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bprune.report import Report

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("report")]

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --enable-logging=stderr --log-level=0"
).split()


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no chromium is installed, so pages cannot be looked at")
    return found


@pytest.fixture(scope="module")
def page(browser: str, written: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(written.path, tmp_path_factory.mktemp("browser") / "report.html"))


def _look(browser: str, page: Path, *options: str) -> tuple[str, str]:
    """What the browser writes, and what pages complain about."""
    folder = page.parent
    arguments = [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", *options, page.as_uri()]
    done = subprocess.run(
        arguments, cwd=folder, capture_output=True, text=True, timeout=120, check=True, env={**os.environ, "LANG": "C"}
    )
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_it_shows_without_complaint(browser: str, page: Path) -> None:
    shown, complaints = _look(browser, page, "--dump-dom")
    assert complaints == ""
    sections = re.findall(r'<section id="(\w+)"', shown)
    assert sections == "summary loaded signal sweep cost calibration examples provenance".split()
    assert len(re.findall("<script", shown)) == 1
    assert "<title>digits_conv: pruning report</title>" in shown


def test_what_a_page_must_not_do_is_noticed(browser: str, page: Path) -> None:
    """The negative control of the test above: the policy blocks a script and a picture from elsewhere, and says so."""
    bad = page.with_name("bad.html")
    text = page.read_text(encoding="utf-8")
    harm = "<script>document.title = 'ran'</script><img src='https://example.invalid/x.png' alt=''>"
    bad.write_text(text.replace("</main>", f"</main>{harm}"), encoding="utf-8")
    shown, complaints = _look(browser, bad, "--dump-dom")
    assert "Content Security Policy" in complaints
    assert "<title>ran</title>" not in shown


def test_it_prints_on_few_pages(browser: str, page: Path) -> None:
    _look(browser, page, "--no-pdf-header-footer", "--print-to-pdf=report.pdf")
    content = (page.parent / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 12


@pytest.mark.parametrize("width", [1280, 500])
def test_it_fits_the_window(browser: str, page: Path, width: int) -> None:
    """A picture of the page is not blank, and nothing but tables, which scroll, is wider than the page."""
    name = f"shot-{width}.png"
    _look(browser, page, f"--window-size={width},3000", "--hide-scrollbars", f"--screenshot={name}")
    from matplotlib.image import imread

    pixels = imread(page.parent / name)[:, :, :3]
    assert pixels.shape[1] == width
    ink = np.asarray((pixels < 0.6).any(axis=(0, 2)))
    assert 0.3 < (pixels.min(axis=(1, 2)) < 0.6).mean() < 1.0
    assert not ink[-4:].any()
