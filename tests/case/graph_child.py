"""A process that loads cases, builds their graphs and draws once, so that a crash of TensorFlow costs only itself.

Each line of its input is a path of a case; each line of its output says what came of it: `ok`, the name of a BPrune
error, or `untyped` with a traceback.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType

__all__ = ["GraphChild"]

_ROOT = Path(__file__).resolve().parents[2]


class GraphChild:
    """The process, started again when it dies or hangs.

    Args:
        folder: Its working directory.
        timeout_s: How long one case may take.
    """

    def __init__(self, folder: Path, timeout_s: float = 60.0) -> None:
        self.folder = folder
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[str] | None = None
        self._replies: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> GraphChild:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def run(self, case: Path) -> str:
        """What came of one case; `died` or `hung` when the process did."""
        process = self._process or self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps(str(case)) + "\n")
        process.stdin.flush()
        try:
            reply = self._replies.get(timeout=self._timeout_s)
        except queue.Empty:
            reply = json.dumps("hung")
        if not reply or json.loads(reply) == "hung":
            self._stop()
        return str(json.loads(reply)) if reply else "died"

    def _start(self) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
        self._replies = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__ if __name__ != "__main__" else "tests.case.graph_child"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        threading.Thread(target=self._listen, args=(self._process, self._replies), daemon=True).start()
        return self._process

    @staticmethod
    def _listen(process: subprocess.Popen[str], replies: queue.Queue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            replies.put(line)
        replies.put("")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
        self._process = None


def _try(path: str) -> str:
    import numpy as np

    from bprune.case import load_case
    from bprune.engines.graph import GraphEngine
    from bprune.errors import BPruneError
    from bprune.posterior import read_network

    try:
        case = load_case(path)
        network = read_network(case)
        engine = GraphEngine(case, network, network.masks, 0)
        shape = [2, *(size or 1 for size in (case.graph.input_shape or (None,))[1:])]
        engine.draw(np.ones(shape, case.graph.input_dtype), range(1))
    except BPruneError as error:
        return type(error).__name__
    except Exception:
        return f"untyped {traceback.format_exc()}"
    return "ok"


def _main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the replies
    for line in sys.stdin:
        replies.write(json.dumps(_try(json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    _main()
