"""Text as HDF5 attributes can hold it, and its digest."""

from __future__ import annotations

import hashlib

__all__ = ["plain_text", "text_digest"]


def plain_text(text: str) -> str:
    """Text that HDF5 can hold: command lines and paths may carry bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def text_digest(text: str) -> str:
    """SHA-256 of a text: HDF5 keeps long attributes without a checksum."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8")).hexdigest()
