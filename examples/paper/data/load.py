"""From what stands behind `--data` to pictures."""

from __future__ import annotations

from pathlib import Path

from bprune.errors import InputError, MissingFileError
from bprune.inference.data.npz import list_names
from examples.paper.data import cifar_binary, download, jpeg, npz
from examples.paper.data.images import Images

__all__ = ["DOWNLOAD", "load"]

DOWNLOAD = "keras"


def load(source: str, shape: tuple[int, int, int]) -> Images:
    """Read pictures of a size; the form is found from the content.

    Args:
        source: "keras" to download, or a path: the folder of CIFAR-10's binary version, or an `.npz` file with pixels
            (`npz`) or JPEG files (`jpeg`).
        shape: Rows, columns and channels that the network takes.

    Raises:
        InputError: If nothing readable is there, or the pictures have another size.
    """
    images = download.fetch(shape) if source == DOWNLOAD else _read(Path(source))
    if images.shape != shape:
        raise InputError(
            f"{images.source} holds pictures of {_size(images.shape)}; this network takes {_size(shape)}",
            hint="vgg16 and resnet18 take CIFAR-10, bnn_conv and bnn_fc take MNIST.",
        )
    return images


def _size(shape: tuple[int, int, int]) -> str:
    rows, columns, channels = shape
    return f"{rows} x {columns} pixels and {channels} channel{'s' if channels > 1 else ''}"


def _read(path: Path) -> Images:
    if path.is_dir():
        return cifar_binary.read(path)
    if not path.exists():
        raise MissingFileError(
            f"{path} does not exist", hint=f"Pass an .npz file, a folder, or {DOWNLOAD!r} to download."
        )
    names = list_names(path)
    if set(jpeg.KEYS) <= set(names):
        return jpeg.read(path)
    if set(npz.KEYS) <= set(names):
        return npz.read(path)
    raise InputError(
        f"{path} holds {', '.join(names) or 'no arrays'}; needed are {', '.join(npz.KEYS)}, or {', '.join(jpeg.KEYS)}"
    )
