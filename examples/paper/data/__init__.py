"""Pictures to train on: read from files or downloaded, and batched without starving the cores.

In the order in which data passes: `load` (one reader per form: `npz`, `jpeg`, `cifar_binary`, `download`), `images`,
`pipeline`.
"""

from examples.paper.data.images import Images, pixels
from examples.paper.data.load import load
from examples.paper.data.pipeline import batches, ordered_batches

__all__ = ["Images", "batches", "load", "ordered_batches", "pixels"]
