"""Deformed digits depend on the seed and their number alone, and stay digits of the same label."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from examples.paper import deform
from examples.paper.data import Images, load
from tests.examples.paper.tiny_data import LABELS, digits, write_npz


def images() -> Images:
    return Images("test", digits(), LABELS, digits(4, 1), LABELS[:4])


def test_pictures_do_not_depend_on_what_is_made_with_them() -> None:
    whole, labels = deform.deform(images(), 25, seed=1)
    parts = [deform.deform(images(), 12, seed=1), deform.deform(images(), 13, seed=1, first=12)]
    np.testing.assert_array_equal(whole, np.concatenate([part[0] for part in parts]))
    np.testing.assert_array_equal(labels, np.concatenate([part[1] for part in parts]))
    np.testing.assert_array_equal(labels, np.resize(LABELS, 25))
    assert whole.dtype == labels.dtype == np.uint8


def test_pictures_differ_by_number_and_seed() -> None:
    first, other = deform.deform(images(), 20, seed=1)[0], deform.deform(images(), 20, seed=2)[0]
    assert len({item.tobytes() for item in (*first, *other)}) == 40  # picture 10 is made of picture 0 as well


def test_no_displacement_is_the_identity_and_a_shift_is_a_shift() -> None:
    picture = digits(1)[0]
    np.testing.assert_array_equal(deform.deformed(picture, np.zeros((2, 28, 28))), picture)
    down = np.zeros((2, 28, 28))
    down[0] = -3.0
    moved = deform.deformed(picture, down)
    np.testing.assert_array_equal(moved[3:], picture[:-3])
    assert not moved[:3].any()


def test_displacements_are_as_large_as_documented() -> None:
    """1,000 fields: shifts uniform in [-2, 2], elastic displacements of standard deviation 34 / sqrt(3) / (8 sqrt(pi)).

    Means of 1,000 values within six standard errors: false-alarm rate below 1e-8. At the centre the Gaussian (sigma 4)
    is cut at 3.5 sigma only.
    """
    moved = np.stack([deform.displacement(5, number, (28, 28)) for number in range(1000)])
    shift = deform.SHIFT / np.sqrt(3.0)
    elastic = deform.ELASTICITY / np.sqrt(3.0) / (2.0 * deform.SMOOTHNESS * np.sqrt(np.pi))
    assert elastic == pytest.approx(1.384, abs=1e-3)
    for axis in (0, 1):
        centre = moved[:, axis, 14, 14]
        assert abs(centre.mean()) < 6 * np.hypot(shift, elastic) / np.sqrt(1000)
        assert centre.var() == pytest.approx(shift**2 + elastic**2, rel=6 * np.sqrt(2 / 1000))
        apart = moved[:, axis, 14, 21] - moved[:, axis, 14, 7]  # without the shift
        assert apart.var() > elastic**2
    assert np.abs(moved).max() < deform.SHIFT + 6 * elastic
    assert abs(np.corrcoef(moved[:, 0, 14, 14], moved[:, 1, 14, 14])[0, 1]) < 6 / np.sqrt(1000)


def test_the_script_writes_what_train_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, sheet = tmp_path / "deformed.npz", tmp_path / "sheet.png"
    source = write_npz(tmp_path / "mnist.npz")
    command = ["deform.py", "--data", str(source), "--examples", "35", "--out", str(out), "--sheet", str(sheet)]
    monkeypatch.setattr(sys, "argv", command)
    deform.main()
    made = load(str(out), (28, 28, 1))
    np.testing.assert_array_equal(made.x_train[..., 0], deform.deform(images(), 35, seed=0)[0])
    np.testing.assert_array_equal(made.x_test[..., 0], digits(4, 1))
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_the_script_refuses_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deformed.npz"
    source = write_npz(tmp_path / "mnist.npz")
    for extra, code, message in (
        (["--data", str(tmp_path / "none.npz")], 4, "none.npz does not exist"),
        (["--data", str(source), "--examples", "0"], 2, "--examples must be at least 1"),
        (["--data", str(source), "--examples", "9", "--sheet", str(out)], 2, "needs at least 16 pictures"),
    ):
        monkeypatch.setattr(sys, "argv", ["deform.py", "--out", str(out), *extra])
        with pytest.raises(SystemExit, match=str(code)):
            deform.main()
        assert message in capsys.readouterr().err
        assert not out.exists()
