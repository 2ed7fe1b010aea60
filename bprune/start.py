"""How commands start TensorFlow: without its messages, and without Keras, of which they need nothing.

TensorFlow loads Keras when it is imported, and Keras loads whatever of pandas, matplotlib, scikit-learn and others is
installed: half of the time that starting takes, and 60 to 140 MB. Commands read graphs and checkpoints, and run
operations; none of that is in Keras. TensorFlow does without it where it is missing, and so is told that it cannot be
loaded while TensorFlow itself is. Later it can; programs that import BPrune as a library are left alone.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from bprune.pages import release_program_pages
from bprune.stderr import discarded_stderr

__all__ = ["start_tensorflow"]

_LEFT_OUT = frozenset({"keras", "tf_keras"})


@contextmanager
def start_tensorflow(*, show: bool) -> Iterator[None]:
    """Import TensorFlow, and run the body without third-party warnings.

    TensorFlow's C++ code writes to file descriptor 2 before any of its settings are read, so the descriptor itself
    points elsewhere while it is imported.

    Args:
        show: Leave messages and warnings alone.
    """
    if show:
        with _without_keras():
            import tensorflow as tf
        release_program_pages()
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with discarded_stderr(), _without_keras():
            import tensorflow as tf
        release_program_pages()
        tf.get_logger().setLevel("ERROR")
        yield


class _Absent(importlib.abc.Loader):
    """The loader of a module that is there, and cannot be loaded now."""

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(f"{module.__name__} is not loaded while TensorFlow starts")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are left out, with a loader that fails: TensorFlow keeps where they are for later."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path, target) if fullname in _LEFT_OUT else None
        if spec is not None:
            spec.loader = _Absent()
        return spec


@contextmanager
def _without_keras() -> Iterator[None]:
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
