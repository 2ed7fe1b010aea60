"""Standard error without what C++ libraries write to it while they are loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["discarded_stderr"]


@contextmanager
def discarded_stderr() -> Iterator[None]:
    """Run the body with file descriptor 2 pointing nowhere: no setting of Python reaches what writes there."""
    sys.stderr.flush()
    saved, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)
