"""What a run tells while kernels are compiled, in lines and in a bar."""

from __future__ import annotations

import io

import pytest

from bprune.engines.compilation import CompilationClock, tell_watchers, watch_compilation
from bprune.inference.progress import show_progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_tell_of_compilation_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("bprune.engines.compilation.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("bprune.inference.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    with show_progress("digits", stream=stream) as display, watch_compilation(display.compiling):
        for kernel, seconds in (("noise", 7.0), ("", 0.0), ("softmax", 5.0), ("", 6.0)):
            tell_watchers(kernel)
            now[0] += seconds
        assert stream.getvalue() == "digits: compiling kernels for this machine\n"
        display(0.5)
    assert stream.getvalue().splitlines()[1:] == [
        "digits: compiled in 12 s; later runs load them",
        "digits: 50%, 6 s, about 6 s left",
    ]


def test_where_nothing_is_compiled_nothing_is_told() -> None:
    stream = io.StringIO()
    with show_progress("digits", stream=stream) as display, watch_compilation(display.compiling):
        display(1.0)
    tell_watchers("too late")
    assert stream.getvalue() == ""


def test_kernels_that_cannot_be_kept_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from bprune.engines.native import jit

    monkeypatch.setattr(jit, "cache_folder", lambda: None)
    stream = io.StringIO()
    with show_progress("digits", stream=stream) as display:
        display.compiling("noise")
        display.compiling("")
    assert stream.getvalue().endswith("s; no folder can be written to keep them, see bprune doctor\n")


@pytest.mark.parametrize("quiet", [False, True])
def test_a_bar_tells_which_kernel(quiet: bool) -> None:
    stream = _Terminal()
    with show_progress("digits", stream=stream, quiet=quiet) as display:
        display.compiling("softmax_statistics")
        display.compiling("")
        display(1.0)
    told = stream.getvalue()
    assert ("compiling kernels for this machine: softmax_statistics" in told) is not quiet
    assert ("digits" in told) is not quiet


def test_the_clock_counts_compilation_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("bprune.engines.compilation.time.perf_counter", lambda: now[0])
    clock = CompilationClock()
    with watch_compilation(clock):
        for kernel, seconds in (("a", 2.0), ("", 30.0), ("b", 3.0), ("", 40.0)):
            tell_watchers(kernel)
            now[0] += seconds
    assert clock.seconds == 5.0


def test_threads_that_compile_at_once_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("bprune.engines.compilation.time.perf_counter", lambda: now[0])
    clock = CompilationClock()
    with watch_compilation(clock):
        for kernel, seconds in (("a", 2.0), ("b", 30.0), ("", 3.0), ("", 40.0)):
            tell_watchers(kernel)
            now[0] += seconds
    assert clock.seconds == 35.0
