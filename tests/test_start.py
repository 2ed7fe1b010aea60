"""How commands start TensorFlow: what is left out, what stays possible, and the memory that is given back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bprune.pages import _unchanged

pytestmark = pytest.mark.xdist_group("start")  # its fixtures are made once

_START = """
import sys
from bprune.start import start_tensorflow

def resident():
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmRSS"))

with start_tensorflow(show=False):
    import tensorflow as tf
print([name for name in ("keras", "tf_keras", "pandas", "matplotlib") if name in sys.modules])
print([finder for finder in sys.meta_path if type(finder).__module__ == "bprune.start"])
before = resident() if sys.platform == "linux" else 0
total = float(tf.reduce_sum(tf.ones([3, 4])))
import keras
print(total, tf.keras.layers.Dense is keras.layers.Dense, before)
"""

_SMAPS = """\
7f0000000000-7f0000800000 r-xp 00001000 fe:00 42                         /lib/code.so
Size:               8192 kB
Rss:                4096 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
7f0000800000-7f0000900000 r--p 00801000 fe:00 42                         /lib/code.so
Rss:                1024 kB
Anonymous:             4 kB
VmFlags: rd mr mw me
7f0000900000-7f0000a00000 rw-p 00901000 fe:00 42                         /lib/code.so
Rss:                1024 kB
Anonymous:             0 kB
VmFlags: rd wr mr mw me
7f0000a00000-7f0000b00000 r--p 00000000 00:00 0
Rss:                1024 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f0000b00000-7f0000c00000 r--p 00000000 fe:00 43                         /lib/a name with spaces (deleted)
Rss:                1024 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f0000c00000-7f0000d00000 r--s 00000000 fe:00 44                         /lib/shared
Rss:                1024 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f0000d00000-7f0000e00000 r--p 00000000 fe:00 45                         /lib/small
Rss:                 512 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
"""


@pytest.fixture(scope="module")
def told() -> list[str]:
    done = subprocess.run([sys.executable, "-c", _START], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_tensorflow_starts_without_keras_which_can_be_loaded_later(told: list[str]) -> None:
    assert told[:2] == ["[]", "[]"]
    assert told[2].split()[:2] == ["12.0", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's list of mapped files")
def test_the_pages_of_starting_are_given_back(told: list[str]) -> None:
    """TensorFlow's own anonymous memory is below 200 MB; loading it takes more than 600 MB."""
    assert int(told[2].split()[2]) < 400


def test_only_pages_that_are_as_in_their_file_are_given_back() -> None:
    found = [(hex(start), hex(end)) for start, end in _unchanged(_SMAPS.splitlines(keepends=True))]
    assert found == [("0x7f0000000000", "0x7f0000800000"), ("0x7f0000b00000", "0x7f0000c00000")]
