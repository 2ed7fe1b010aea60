"""Giving back the pages of program files that starting has touched.

Loading TensorFlow touches some 400 MB of its libraries: tables of symbols and relocations, and code that runs once.
They count as memory of the process until the system needs room, and batch systems that watch a job's memory do not wait
for that. The pages are copies of a file that nobody has changed, so they can go at once; those that are needed again
come back from the system's cache of files.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import sys
from collections.abc import Iterable, Iterator

__all__ = ["release_program_pages"]

_DONT_NEED = 4  # MADV_DONTNEED of Linux
_LEAST_BYTES = 1 << 20
_RANGE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r-[-x]p) \S+ \S+ [1-9]\d* +(/.*)")


def release_program_pages() -> None:
    """Give back unchanged pages of files that are mapped to be read or run; does nothing where that is not Linux."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError, ValueError):
        madvise = ctypes.CDLL(None, use_errno=True).madvise
        madvise.argtypes, madvise.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), ctypes.c_int
        with open("/proc/self/smaps", encoding="utf-8", errors="replace") as file:
            found = list(_unchanged(file))
        for start, end in found:
            madvise(start, end - start, _DONT_NEED)


def _unchanged(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    """The ranges of addresses, from the kernel's list, of which no page differs from its file.

    A page that differs, such as one with relocated addresses, is anonymous memory, and would be lost.
    """
    start = end = resident = 0
    for line in lines:
        match = _RANGE.fullmatch(line.rstrip("\n"))
        if match:
            start, end = int(match[1], 16), int(match[2], 16)
            continue
        words = line.split()
        if words[0] == "Rss:":
            resident = int(words[1]) << 10
        elif words[0] == "Anonymous:" and words[1] == "0" and resident >= _LEAST_BYTES and end:
            yield start, end
        elif words[0] == "VmFlags:":  # the last line of a range
            start = end = 0
