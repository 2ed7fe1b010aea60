"""Make more digits: MNIST's training pictures, each shifted and deformed at random, as a new `.npz` for `train.py`.

A deformation is that of Simard, Steinkraus and Platt (2003), "Best practices for convolutional neural networks applied
to visual document analysis": every pixel comes from a place beside it, and these displacements are uniform noise,
smoothed with a Gaussian. Picture k depends on the seed and on k alone; it is made from training picture k modulo their
number.

Example:
  python examples/paper/deform.py --data mnist.npz --examples 100000 --out mnist_deformed.npz --sheet sheet.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file: the imports below start at the repository's root
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

from bprune.arrays import AnyArray
from bprune.atomic import whole_file
from bprune.errors import BPruneError, MissingExtraError, UsageError
from examples.paper.data import Images, load

ELASTICITY = 34.0
"""Factor of the smoothed noise; the displacements that come out have a standard deviation of 1.4 pixels."""

SMOOTHNESS = 4.0
"""Standard deviation of the Gaussian, in pixels."""

SHIFT = 2.0
"""Largest shift in each direction, in pixels."""


def displacement(seed: int, number: int, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Where the pixels of a picture come from, relative to their own places.

    Args:
        seed: The data set's seed.
        number: The picture's number.
        shape: Rows and columns.

    Returns:
        `[axis, row, column]`, in pixels, float64; the shift is its mean in expectation.
    """
    generator = np.random.default_rng([seed, number])
    noise = generator.uniform(-1.0, 1.0, (2, *shape))
    elastic = np.stack([gaussian_filter(field, SMOOTHNESS, mode="constant") for field in noise])
    return np.asarray(ELASTICITY * elastic) + generator.uniform(-SHIFT, SHIFT, (2, 1, 1))


def deformed(picture: AnyArray, moved: npt.NDArray[np.float64]) -> AnyArray:
    """A picture read at displaced places, by linear interpolation; black outside.

    Args:
        picture: `[row, column]`, uint8.
        moved: `[axis, row, column]`, in pixels.

    Returns:
        `[row, column]`, uint8.
    """
    places = np.indices(picture.shape) + moved
    values = map_coordinates(picture.astype(np.float32), places, order=1, mode="constant")
    return np.asarray(np.rint(values), np.uint8)


def deform(images: Images, examples: int, seed: int, first: int = 0) -> tuple[AnyArray, AnyArray]:
    """Pictures `first` to `first + examples - 1` of the deformed training set.

    Args:
        images: The originals, of one channel.
        examples: How many pictures.
        seed: The data set's seed.
        first: Number of the first.

    Returns:
        Pictures `[example, row, column]`, uint8, and labels `[example]`, uint8.
    """
    rows, columns, _ = images.shape
    pictures = np.empty((examples, rows, columns), np.uint8)
    sources = np.arange(first, first + examples) % len(images.x_train)
    for place, source in enumerate(sources):
        moved = displacement(seed, first + place, (rows, columns))
        pictures[place] = deformed(images.x_train[source, ..., 0], moved)
    return pictures, images.y_train[sources].astype(np.uint8)


def draw_sheet(path: Path, images: Images, pictures: AnyArray, columns: int = 16) -> None:
    """Write a picture of originals, each above what became of it.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib import image
    except ImportError:
        raise MissingExtraError("--sheet needs matplotlib", hint="pip install bprune[plots]") from None
    count = min(4, len(pictures) // columns) * columns
    if not count:
        raise UsageError(f"--sheet needs at least {columns} pictures; there are {len(pictures)}")
    originals = images.x_train[np.arange(count) % len(images.x_train), ..., 0]
    both = np.stack([originals, pictures[:count]], axis=1)
    tiles = np.pad(both, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=128)
    side = tiles.shape[-1]
    grid = tiles.reshape(-1, columns, 2, side, side).transpose(0, 2, 3, 1, 4).reshape(-1, columns * side)
    with whole_file(path, overwrite=True) as temporary:
        image.imsave(temporary, 255 - grid, cmap="gray", vmin=0, vmax=255, format="png")


def write(path: Path, images: Images, pictures: AnyArray, labels: AnyArray) -> None:
    """Write deformed pictures for training and the original ones for testing, in the layout of `mnist.npz`."""
    arrays: dict[str, Any] = {
        "x_train": pictures,
        "y_train": labels,
        "x_test": images.x_test[..., 0],
        "y_test": images.y_test.astype(np.uint8),
    }
    with whole_file(path, overwrite=True) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, metavar="SOURCE", help="mnist.npz, or keras to download")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new .npz")
    parser.add_argument("--examples", type=int, default=100_000, metavar="N", help="default: 100000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="also draw some originals above their deformations")
    options = parser.parse_args()
    if options.examples < 1 or options.seed < 0:
        parser.error("--examples must be at least 1 and --seed at least 0")
    return options


def main() -> None:
    """Read, deform, write."""
    options = parse()
    try:
        images = load(options.data, (28, 28, 1))
        pictures, labels = deform(images, options.examples, options.seed)
        if options.sheet is not None:
            draw_sheet(options.sheet, images, pictures)
        write(options.out, images, pictures, labels)
    except BPruneError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"{options.examples} pictures in {options.out}")


if __name__ == "__main__":
    main()
