"""Predictive densities per example and class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bprune import open_results
from bprune.arrays import AnyArray
from bprune.errors import InputError, UnsupportedError, UsageError
from bprune.plots import binned_density, pdf_data
from bprune.plots.pdf import PdfData
from tests.plots.plots_world import classification, regression


def _draws(seed: int = 0, mc_iters: int = 40) -> AnyArray:
    """Three examples of five classes; the second is the least certain of its weights."""
    strength = np.array([[0.2], [6.0], [1.0]])
    logits = np.random.default_rng(seed).normal(size=(mc_iters, 3, 5)) * strength + np.arange(5.0)
    return np.asarray(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))


LABELS = np.array([4, 0, 3])


def _data(paths: list[Path], examples: Sequence[int] = (), classes: Sequence[int] = ()) -> PdfData:
    files = [open_results(path) for path in paths]
    try:
        return pdf_data(files, examples, classes)
    finally:
        for file in files:
            file.close()


def test_densities_are_those_of_the_draws(tmp_path: Path) -> None:
    draws = _draws().astype(np.float32)
    data = _data([classification(tmp_path / "a.h5", draws, LABELS)], [2, 0], [1, 3])
    assert [item.example for item in data.examples] == [2, 0]
    assert [item.label for item in data.examples] == [3, 4]
    for item in data.examples:
        assert item.classes == (1, 3)
        expected = binned_density(draws[:, item.example, [1, 3]])
        np.testing.assert_allclose(item.densities[0], expected, rtol=1e-6)
        np.testing.assert_allclose(item.means[0], draws[:, item.example, [1, 3]].mean(axis=0), rtol=1e-5)
        assert item.picture is None


def test_defaults_are_the_least_certain_example_and_its_classes(tmp_path: Path) -> None:
    data = _data([classification(tmp_path / "a.h5", _draws(), LABELS)])
    assert [item.example for item in data.examples] == [1]
    likely = np.argsort(-_draws()[:, 1].mean(axis=0))[:2]
    assert set(data.examples[0].classes) == {0, *likely}  # the true class is among them


def test_several_files_are_named_by_what_differs(tmp_path: Path) -> None:
    whole = classification(tmp_path / "a.h5", _draws(), LABELS)
    pruned = classification(tmp_path / "b.h5", _draws(1), LABELS, nonzeros=2)
    fewer = classification(tmp_path / "c.h5", _draws(1)[:20], LABELS)
    other = classification(tmp_path / "d.h5", _draws(2), LABELS)
    assert _data([whole, pruned]).names == ("unpruned", "80% pruned")
    assert _data([whole, fewer]).names == ("40 draws", "20 draws")
    assert _data([whole, pruned, fewer]).names == ("unpruned, 40 draws", "80% pruned, 40 draws", "unpruned, 20 draws")
    assert _data([whole, other]).names == ("a", "d")
    assert _data([whole, pruned]).examples[0].densities.shape == (2, 3, 201)


def test_an_input_that_is_a_picture_is_shown(tmp_path: Path) -> None:
    pixels = np.arange(3 * 784.0).reshape(3, 784)
    data = _data([classification(tmp_path / "a.h5", _draws(), inputs=pixels)], [1])
    np.testing.assert_array_equal(data.examples[0].picture, pixels[1].reshape(28, 28))
    assert data.examples[0].label is None


def test_missing_requirements_say_what_to_do(tmp_path: Path) -> None:
    whole = classification(tmp_path / "a.h5", _draws(), LABELS)
    with pytest.raises(UsageError, match="there is no example 3;.*\n.*from 0 to 2"):
        _data([whole], [3])
    with pytest.raises(UsageError, match="there is no class 5"):
        _data([whole], [0], [5])
    summary = classification(tmp_path / "b.h5", _draws(), LABELS, keep_draws=False)
    with pytest.raises(InputError, match=r"holds the summary alone.*\n.*--draws all"):
        _data([summary])
    with pytest.raises(UsageError, match="at least one results file"):
        _data([])
    with open_results(whole) as results, pytest.raises(UsageError, match="2 names came for 1"):
        pdf_data([results], names=("a", "b"))


def test_files_of_other_examples_are_refused(tmp_path: Path) -> None:
    whole = classification(tmp_path / "a.h5", _draws(), LABELS)
    others = classification(tmp_path / "b.h5", _draws(), LABELS, inputs=np.ones((3, 2)))
    with pytest.raises(InputError, match="are of different examples"):
        _data([whole, others])
    fewer = classification(tmp_path / "c.h5", _draws()[:, :2])
    with pytest.raises(InputError, match="2 examples and 5 classes"):
        _data([whole, fewer])
    values = np.ones((4, 3, 5))
    other_task = regression(tmp_path / "d.h5", values, values, np.ones((3, 2)), None)
    with pytest.raises(InputError, match="needs files of the same examples"):
        _data([whole, other_task])
    with pytest.raises(UnsupportedError, match="is of a regression"):
        _data([other_task])


def test_draws_that_were_not_made_are_left_out(tmp_path: Path) -> None:
    draws = _draws().astype(np.float32)
    path = classification(tmp_path / "a.h5", draws, LABELS, made=np.array([40, 10, 40]))
    item = _data([path], [1], [0]).examples[0]
    np.testing.assert_allclose(item.densities[0], binned_density(draws[:10, 1, [0]]), rtol=1e-6)
