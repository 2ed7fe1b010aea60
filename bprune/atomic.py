"""Files and directories that appear whole or not at all.

One routine each: content goes to a temporary name in the target's folder, is flushed to disk, and is renamed.
A reader sees the old content, the new content, or nothing; an interrupted writer leaves no target.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bprune.errors import BPruneError, OutputError

__all__ = [
    "TEMPORARY_PREFIX",
    "check_target",
    "output_errors",
    "publish",
    "whole_directory",
    "whole_file",
    "write_bytes",
    "write_text",
]

TEMPORARY_PREFIX = ".bprune-"
"""Names that begin so are unfinished and safe to delete when no BPrune process is running."""


def _flush_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network and FUSE file systems cannot sync a directory
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _flush_file(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def _apply_umask(path: Path, mode: int) -> None:
    """Give `path` the mode that a plain open() would have given it; temporary files start as private."""
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, mode & ~umask)


@contextlib.contextmanager
def output_errors(target: Path) -> Iterator[None]:
    """Translate the operating system's write errors into OutputError.

    Raises:
        OutputError: If the body raises OSError.
    """
    try:
        yield
    except BPruneError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        hint = {
            errno.ENOSPC: "Free disk space or choose another place with --out.",
            errno.EDQUOT: "Your disk quota is used up: free space or choose another place with --out.",
            errno.EACCES: "Choose a folder that you may write to with --out.",
            errno.EPERM: "Choose a folder that you may write to with --out.",
            errno.EROFS: "The file system is read-only: choose another place with --out.",
        }.get(error.errno or 0)
        raise OutputError(f"cannot write {target}: {reason}", hint=hint) from error


def publish(temporary: Path, target: Path, *, overwrite: bool = False) -> None:
    """Rename a finished temporary file to its target, after flushing both to disk.

    Raises:
        OutputError: If the target exists and `overwrite` is false, or the rename fails.
    """
    with output_errors(target):
        _flush_file(temporary)
        _apply_umask(temporary, 0o666)
        if overwrite:
            os.replace(temporary, target)
        else:
            _rename_exclusively(temporary, target)
        _flush_directory(target.parent)


def _rename_exclusively(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without hard links: the check and the rename are two steps there
        if target.exists():
            raise _exists(target) from None
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def _exists(target: Path) -> OutputError:
    return OutputError(
        f"{target} exists already and was left as it is",
        hint="Choose another name with --out, or pass --overwrite (overwrite=True in Python).",
    )


def check_target(target: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that could not be written, before any work is done for it.

    Raises:
        OutputError: If it exists and may not be replaced, or its folder does not exist.
    """
    if target.exists() and not overwrite:
        raise _exists(target)
    if not target.absolute().parent.is_dir():
        raise OutputError(f"cannot write {target}: its folder does not exist", hint="Create it first.")


@contextlib.contextmanager
def whole_file(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path in the target's folder that becomes the target when the body ends without an error.

    Args:
        target: The file to write. Its folder must exist.
        overwrite: Whether an existing target is replaced.

    Yields:
        The path to write to; it does not exist yet.

    Raises:
        OutputError: If the target exists and `overwrite` is false, or the file system refuses the write.
    """
    target = _follow_link(Path(target))
    with output_errors(target):
        if target.exists() and not overwrite:
            raise _exists(target)
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=target.suffix, dir=target.parent)
        os.close(descriptor)
    temporary = Path(name)
    try:
        with output_errors(target):
            temporary.unlink()
            yield temporary
        publish(temporary, target, overwrite=overwrite)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_directory(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary directory beside the target that becomes the target when the body ends without an error.

    Args:
        target: The directory to create. Its parent must exist.
        overwrite: Whether an existing target directory is replaced.

    Yields:
        An existing, empty directory to fill.

    Raises:
        OutputError: If the target exists and `overwrite` is false, or the file system refuses the write.
    """
    target = _follow_link(Path(target))
    with output_errors(target):
        if target.exists() and not overwrite:
            raise _exists(target)
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent))
    try:
        with output_errors(target):
            yield temporary
            for path in sorted(temporary.rglob("*")):
                _apply_umask(path, 0o777 if path.is_dir() else 0o666)
                if path.is_file():
                    _flush_file(path)
            _apply_umask(temporary, 0o777)
            _swap_in(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap_in(temporary: Path, target: Path) -> None:
    """Rename the directory; an old target steps aside first and comes back if the rename fails."""
    if not target.exists():
        os.rename(temporary, target)
    else:
        aside = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=target.parent)) / target.name
        os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(aside, target)
            raise
        finally:
            shutil.rmtree(aside.parent, ignore_errors=True)
    _flush_directory(target.parent)


def _follow_link(target: Path) -> Path:
    """A symbolic link keeps pointing where it points: the file behind it is replaced, not the link."""
    return target.resolve() if target.is_symlink() else target


def write_bytes(target: Path, content: bytes, *, overwrite: bool = False) -> None:
    """Write a small file whole.

    Raises:
        OutputError: If the target exists and `overwrite` is false, or the file system refuses the write.
    """
    with whole_file(target, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


def write_text(target: Path, content: str, *, overwrite: bool = False) -> None:
    """Write a small UTF-8 text file whole.

    Raises:
        OutputError: If the target exists and `overwrite` is false, or the file system refuses the write.
    """
    write_bytes(target, content.encode("utf-8"), overwrite=overwrite)
