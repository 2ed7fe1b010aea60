"""The versions of the libraries that decide what a run computes."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

__all__ = ["library_versions"]

_LIBRARIES = ("bprune", "tensorflow", "tensorflow-probability", "tf-keras", "numpy", "numba", "h5py")


def library_versions() -> dict[str, str]:
    """Version by library name; "unknown" where a library is installed under another name."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return versions
