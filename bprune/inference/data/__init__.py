"""Held-out data: read a user's file, then fit it to a network's input and outputs.

In the order in which data passes: `read` (by content: `npz`, `npy`, `hdf5`, `idx`), `dataset`, `inputs`, `labels`.
Every format module has the same names in the same order: `NAME, KEYED, matches, list_names, read_array`.
"""

from bprune.inference.data.dataset import Dataset, first_examples
from bprune.inference.data.guard import LIMIT_BYTES
from bprune.inference.data.inputs import fit_inputs
from bprune.inference.data.labels import fit_labels
from bprune.inference.data.read import read_data

__all__ = ["LIMIT_BYTES", "Dataset", "first_examples", "fit_inputs", "fit_labels", "read_data"]
