"""Just-in-time compilation: the two decorators of kernels, and the folder in which compiled kernels are kept.

A kernel is compiled when it is first called, for the CPU at hand, and kept on disk for the next process. All kernels
release the interpreter's lock: work is spread over Python threads, never inside a kernel.

The folder is the user's, not the package's, so that read-only installations work and uninstalling leaves nothing
behind. Where no folder can be written, kernels are compiled in every process, silently. Its name holds everything that
decides what machine code is right: the versions, the CPU, and the text of all kernels, since numba itself does not
notice that a function which a kernel calls has changed in another file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import binding  # type: ignore[import-untyped]
from numba import extending
from numba.core import caching, event
from numba.core.registry import cpu_target

from bprune.engines.compilation import tell_watchers

__all__ = ["cache_folder", "inlined", "intrinsic", "kernel", "ready_kernels", "target_has"]

F = TypeVar("F", bound=Callable[..., Any])

_numba: Any = numba
_FunctionCache: Any = caching.FunctionCache
_event: Any = event
_Listener: Any = event.Listener

_FAST = {"contract", "reassoc", "arcp", "nsz"}
"""Freedoms of float arithmetic that let loops be vectorised. Infinities and NaN keep their meaning."""

_lock = threading.Lock()
_kernels: list[Any] = []


def kernel(function: F) -> F:
    """Compile a function that Python calls: without the interpreter's lock, with fast arithmetic, kept on disk.

    Args:
        function: The kernel. It should be called with one combination of argument types only.
    """
    compiled: Any = _numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")(function)
    folder = cache_folder()
    if folder is not None:
        # Whatever is wrong with the cache, or with what this module knows of numba, the kernel works without it.
        with contextlib.suppress(Exception), _lock:
            compiled._cache = _cache_in(folder, function)
    _kernels.append(compiled)
    return compiled  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """Compile a function that kernels call, into each of them, with exactly the arithmetic that is written.

    Its result is the same to the last bit in every kernel and in every part of a vectorised loop: noise must not
    depend on what is computed around it.

    Args:
        function: The function.
    """
    compiled: F = _numba.njit(fastmath=False, error_model="numpy", forceinline=True)(function)
    return compiled


def intrinsic(generate: Callable[..., Any]) -> Any:
    """A function that kernels call, whose machine code is written by hand.

    Args:
        generate: See numba's `extending.intrinsic`.
    """
    return extending.intrinsic(generate)


def ready_kernels() -> dict[str, list[str]]:
    """The combinations of argument types with which kernels were called in this process, by the kernel's name."""
    return {item.__name__: [str(types) for types in item.signatures] for item in _kernels if item.signatures}


class _Compilations(_Listener):  # type: ignore[misc]
    """Passes on what numba tells of compilation: of kernels, not of what is compiled into them."""

    def on_start(self, event: Any) -> None:
        self._tell(event, is_start=True)

    def on_end(self, event: Any) -> None:
        self._tell(event, is_start=False)

    def _tell(self, event: Any, *, is_start: bool) -> None:
        dispatcher = event.data.get("dispatcher")
        if any(dispatcher is item for item in _kernels):
            tell_watchers(dispatcher.__name__ if is_start else "")


_event.register("numba:compile", _Compilations())


@functools.cache
def target_has(feature: str) -> bool:
    """Whether kernels are compiled for CPUs with a feature: those of this one, or what NUMBA_CPU_FEATURES says.

    Args:
        feature: LLVM's name of it, like `avx512f`.
    """
    context: Any = cpu_target.target_context
    _, _, features = context.codegen().magic_tuple()
    return f"+{feature}" in features.split(",")


class _KernelCache(_FunctionCache):  # type: ignore[misc]
    """numba's cache of one kernel, for which a damaged file is an absent one, and a full disk none of its business."""

    def load_overload(self, *args: Any) -> Any:
        try:
            return super().load_overload(*args)
        except Exception:
            return None

    def save_overload(self, *args: Any) -> None:
        try:
            super().save_overload(*args)
        except Exception:
            # A damaged index cannot be added to: start anew.
            with contextlib.suppress(Exception):
                self.flush()
                super().save_overload(*args)


def _cache_in(folder: Path, function: Callable[..., Any]) -> _KernelCache:
    """The cache of a kernel in a folder. numba reads its setting while the cache is made, and only then."""
    before = _numba.config.CACHE_DIR
    _numba.config.CACHE_DIR = str(folder)
    try:
        return _KernelCache(function)
    finally:
        _numba.config.CACHE_DIR = before


@functools.cache
def cache_folder() -> Path | None:
    """Where compiled kernels are kept: below NUMBA_CACHE_DIR if it is set, else below the user's folder for caches.

    Returns:
        An existing folder that can be written, or None if there is none.
    """
    try:
        folder = _root() / _fingerprint()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        trusted = not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        probe = folder / f".{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    return folder if trusted else None  # what another user wrote is not run


def _root() -> Path:
    if _numba.config.CACHE_DIR:
        return Path(_numba.config.CACHE_DIR) / "bprune"
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if os.path.isabs(caches) else Path.home() / ".cache") / "bprune"


def _fingerprint() -> str:
    """Name of the folder of this version's kernels on this CPU."""
    try:
        ours = version("bprune")
    except PackageNotFoundError:
        ours = "unknown"
    digest = hashlib.blake2b(digest_size=8)
    for part in (sys.version, binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()):
        digest.update(part.encode())
    for path in sorted(Path(__file__).parent.glob("kernels*.py")):
        digest.update(path.read_bytes())
    return f"{ours}-numba-{numba.__version__}-{digest.hexdigest()}"
