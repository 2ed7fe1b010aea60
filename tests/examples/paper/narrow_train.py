"""`train.py` for several narrow networks in one job: `python narrow_train.py MODE FOLDER MODEL...`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from bprune.training.distribute import distribute
from examples.paper import train
from examples.paper.networks import build


def main() -> None:
    """Two steps of two examples on every worker."""
    mode, folder, *models = sys.argv[1:]
    vars(train)["build"] = functools.partial(build, width=1 / 8)
    with distribute(mode, seed=0) as workers:
        for model in models:
            data = Path(folder) / ("grey.npz" if model.startswith("bnn") else "colour.npz")
            arguments = ["--model", model, "--data", str(data), "--out", str(Path(folder) / model)]
            short = ["--epochs", "1", "--steps-per-epoch", "2", "--batch", "2", "--validation-examples", "2"]
            sys.argv = ["train.py", *arguments, *short]
            train.train(train.parse(), workers)


if __name__ == "__main__":
    main()
