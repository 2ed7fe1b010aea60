"""Draw the pictures of the documentation, as PNG under docs/images/.

Those of MNIST need the data folder beside the project (see CONTRIBUTING.md) and are left as they are without it:

    python docs/make_images.py --work build/images

What was run is kept in the folder of --work and taken from there the next time: cases, results, sweeps. A sweep of the
large convolutional network takes some minutes per point of a thousand images; --examples says how many images it gets.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
SAMPLES = ROOT / "sample_checkpoints"
DPI = "90"
PRUNED = ("0.8", "0.95")
EXAMPLES = ("18", "247")
"""Test images of MNIST: one that the network is fairly sure of until too much is pruned, and one that it is not."""


def bprune(*arguments: str | Path) -> None:
    """Run the command line."""
    subprocess.run([sys.executable, "-m", "bprune", *map(str, arguments), "--quiet"], check=True)


def plot(kind: str, name: str, *arguments: str | Path) -> None:
    """Draw one picture."""
    bprune("plot", kind, *arguments, "--out", IMAGES / f"{name}.png", "--dpi", DPI, "--overwrite")


def made(path: Path, *arguments: str | Path) -> Path:
    """A file or case that a command writes with --out, unless it is there already."""
    if not path.exists():
        bprune(*arguments, "--out", path)
    return path


def draw_samples(work: Path) -> None:
    """The pictures of the bundled sample cases."""
    plot("snr", "snr", "--case-dir", SAMPLES / "digits_conv")
    plot("masks", "masks", "--case-dir", SAMPLES / "digits_conv")
    values = made(work / "regression_1d.h5", "infer", "--case-dir", SAMPLES / "regression_1d")
    plot("regression", "regression", values)


def write_mnist(work: Path, name: str) -> tuple[Path, Path]:
    """One of the paper's networks as a case, and its test images."""
    case, data = work / f"mnist_{name}", work / f"mnist_{name}.npz"
    if not case.exists() or not data.exists():
        from benchmarks.networks import load

        trained = load(name)
        np.savez(data, x=trained.inputs, y=trained.labels)
        trained.write(case)
    return case, data


def draw_results(work: Path) -> None:
    """The pictures of results: BNN-FC, whole and pruned, on the first thousand test images."""
    case, data = write_mnist(work, "fc")
    run = ("--data", data, "--examples", "1000", "--mc-iters", "400", "--draws", "all")
    files = [made(work / "fc.h5", "infer", "--case-dir", case, *run)]
    for share in PRUNED:
        pruned = made(work / f"fc-{share}", "prune", "--case-dir", case, "--sparsity", share, "--no-infer")
        files.append(made(work / f"fc-{share}.h5", "infer", "--case-dir", pruned, *run))
    chosen = [item for example in EXAMPLES for item in ("--example", example)]
    plot("pdf", "pdf", *files, *chosen, "--width", "0.5")
    plot("convergence", "convergence", *files)
    plot("reliability", "reliability", *files)
    plot("risk-coverage", "risk-coverage", *files)
    plot("uncertainty", "uncertainty", files[0])


def draw_sweeps(work: Path, examples: str) -> None:
    """Figure 8 of the paper for both networks, SNR beside Bayesian model reduction."""
    for name in ("fc", "conv"):
        case, data = write_mnist(work, name)
        limit = ("--examples", examples) if name == "conv" else ()
        files = [
            made(
                work / f"{name}-{criterion}.h5",
                *("sweep", "--case-dir", case, "--data", data, "--criterion", criterion, "--mc-iters", "50", *limit),
            )
            for criterion in ("snr", "bmr")
        ]
        images = f"{int(examples):,}" if limit else "10,000"
        title = f"BNN-{'FC' if name == 'fc' else 'Conv'}, {images} MNIST test images, 50 draws"
        plot("sweep", f"sweep-{name}", *files, "--name", "SNR", "--name", "Bayesian model reduction", "--title", title)


def main() -> int:
    """Draw all pictures that can be drawn here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is run; made where it is missing")
    parser.add_argument("--examples", default="1000", help="test images of the sweep of BNN-Conv (default 1000)")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    draw_samples(chosen.work)
    sys.path.insert(0, str(ROOT))
    from benchmarks.networks import shared_data

    if shared_data() is None:
        print("there is no shared data: the pictures of MNIST were left as they are", file=sys.stderr)
        return 0
    draw_results(chosen.work)
    draw_sweeps(chosen.work, chosen.examples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
