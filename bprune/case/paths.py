"""Where the files of a case are: any path that a user may reasonably give leads to the same answer."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bprune.atomic import TEMPORARY_PREFIX
from bprune.errors import AmbiguousCaseError, InputError, MissingFileError

__all__ = [
    "HELDOUT",
    "LAYER_NAMES",
    "OPS_NAMES",
    "PRUNING_RECORD",
    "STATE_FILE",
    "CaseFiles",
    "Iteration",
    "checkpoint_name",
    "find_case",
]

LAYER_NAMES = "LayerNames.txt"
OPS_NAMES = "OpsNames.txt"
LEGACY_OPS_NAMES = "Ops_name_BNN.txt"
HELDOUT = "heldout.npz"
PRUNING_RECORD = "pruning.json"
STATE_FILE = "checkpoint"

_STATE_FILE_LIMIT_BYTES = 1 << 20
_CHECKPOINT_FILE = re.compile(r"^(?P<prefix>.+)\.(index|meta|data-\d{5}-of-\d{5})$")
_ITERATION = re.compile(r"(?:^|[-_.])(\d+)(?:\.ckpt)?$")
_LATEST = re.compile(rb'^[ \t]*model_checkpoint_path:\s*"((?:[^"\\\n]|\\.)*)"', re.MULTILINE)
_ESCAPE = re.compile(rb"""\\(?:(?P<octal>[0-7]{3})|(?P<itself>["'\\]))""")


@dataclass(frozen=True)
class Iteration:
    """One checkpoint of a case.

    Attributes:
        prefix: The checkpoint's path without `.index`.
        number: The training iteration in its name, or None when the name has none.
    """

    prefix: Path
    number: int | None

    @property
    def name(self) -> str:
        """The checkpoint's file name without `.index`."""
        return self.prefix.name


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case.

    Attributes:
        root: The case directory.
        iteration: The chosen checkpoint.
        iterations: All checkpoints, oldest first.
        meta: The MetaGraph that describes the chosen checkpoint.
        layer_names: LayerNames.txt, or None.
        ops_names: OpsNames.txt (or the predecessor's Ops_name_BNN.txt), or None.
        heldout: heldout.npz, or None.
        pruning: pruning.json, or None when the case was not pruned by BPrune.
    """

    root: Path
    iteration: Iteration
    iterations: tuple[Iteration, ...]
    meta: Path
    layer_names: Path | None
    ops_names: Path | None
    heldout: Path | None
    pruning: Path | None


def checkpoint_name(iteration: int) -> str:
    """The file name, without suffix, of the checkpoint of a training iteration."""
    return f"model-{iteration}.ckpt"


def find_case(path: str | Path, checkpoint: str | None = None) -> CaseFiles:
    """Find the files of a case.

    Args:
        path: The case directory, its checkpoint folder, a checkpoint prefix, or any file of the case.
        checkpoint: Which iteration: its number, its name (`model-1400.ckpt`), or None for the latest.

    Returns:
        The files, all of which exist.

    Raises:
        MissingFileError: If the path, a checkpoint or the MetaGraph is not there.
        AmbiguousCaseError: If several checkpoints could be meant.
        InputError: If `checkpoint` names none of the iterations, or the operating system refuses to look.
    """
    try:
        return _find(Path(path), checkpoint)
    except InputError as error:
        if not Path(path).is_file() or _CHECKPOINT_FILE.match(Path(path).name):
            raise
        message = f"{path} is a file, so that its folder was taken for the case, and {error.message}"
        raise type(error)(message, hint=error.hint) from error
    except OSError as error:
        where = error.filename if error.filename is not None else path
        raise InputError(f"cannot read {where}: {error.strerror}") from error


def _find(path: Path, checkpoint: str | None) -> CaseFiles:
    folder, named = _folder_and_checkpoint(path)
    root = _root(folder)
    checkpoints = _checkpoint_folder(folder)
    iterations = _iterations(checkpoints)
    if named is not None and checkpoint is None:
        iteration = next((item for item in iterations if item.name == named), None)
        if iteration is None:
            raise MissingFileError(
                f"{checkpoints / named}.index is missing: the checkpoint {named} is incomplete",
                hint=f"Complete checkpoints there: {_list(item.name for item in iterations)}.",
            )
    elif checkpoint is not None:
        iteration = _chosen(iterations, checkpoint)
    else:
        iteration = _latest(checkpoints, iterations)
    return CaseFiles(
        root=root,
        iteration=iteration,
        iterations=iterations,
        meta=_meta(iteration, iterations),
        layer_names=_existing(root, LAYER_NAMES),
        ops_names=_existing(root, OPS_NAMES) or _existing(root, LEGACY_OPS_NAMES),
        heldout=_existing(root, HELDOUT),
        pruning=_existing(root, PRUNING_RECORD),
    )


def _folder_and_checkpoint(path: Path) -> tuple[Path, str | None]:
    if path.is_dir():
        return path, None
    parts = _CHECKPOINT_FILE.match(path.name)
    if path.is_file():
        return path.parent, parts["prefix"] if parts else None
    siblings = (_CHECKPOINT_FILE.match(name) for name in _children(path.parent))
    if any(sibling and sibling["prefix"] == path.name for sibling in siblings):
        return path.parent, path.name
    missing = path
    while not missing.parent.is_dir() and missing.parent != missing:
        missing = missing.parent
    near = difflib.get_close_matches(missing.name, _children(missing.parent), n=1)
    raise MissingFileError(
        f"{path} does not exist",
        hint=f"Did you mean {missing.parent / near[0]}?"
        if near
        else "Give the case directory that holds LayerNames.txt.",
    )


def _children(folder: Path) -> list[str]:
    """The names in a folder, but for what an interrupted writer left behind."""
    names = [child.name for child in folder.iterdir()] if folder.is_dir() else []
    return sorted(name for name in names if not name.startswith(TEMPORARY_PREFIX))


def _with_ending(folder: Path, ending: str) -> list[str]:
    return [name for name in _children(folder) if name.endswith(ending)]


def _root(folder: Path) -> Path:
    names = (LAYER_NAMES, OPS_NAMES, LEGACY_OPS_NAMES)
    for candidate in (folder, folder.resolve().parent):
        if any((candidate / name).is_file() for name in names):
            return candidate
    return folder


def _existing(root: Path, name: str) -> Path | None:
    return root / name if (root / name).is_file() else None


def _checkpoint_folder(folder: Path) -> Path:
    if _with_ending(folder, ".index"):
        return folder
    below = [folder / name for name in _children(folder) if _with_ending(folder / name, ".index")]
    if len(below) == 1:
        return below[0]
    if below:
        raise AmbiguousCaseError(
            f"{folder} has checkpoints in several subfolders: {_list(child.name for child in below)}",
            hint="Give the path of the one that you mean.",
        )
    found = _list(_children(folder)[:10]) or "nothing"
    raise MissingFileError(
        f"no checkpoint (*.index) in {folder} or one folder down; found: {found}",
        hint="A case holds model-<iteration>.ckpt.index, .data-* and .meta, written by the training hooks.",
    )


def _iterations(folder: Path) -> tuple[Iteration, ...]:
    found = []
    for index in _with_ending(folder, ".index"):
        name = index.removesuffix(".index")
        match = _ITERATION.search(name)
        found.append(Iteration(folder / name, int(match[1]) if match else None))
    return tuple(sorted(found, key=lambda item: (-1 if item.number is None else item.number, item.name)))


def _chosen(iterations: tuple[Iteration, ...], checkpoint: str) -> Iteration:
    match = _CHECKPOINT_FILE.match(checkpoint)
    name = match["prefix"] if match else checkpoint
    name = name.replace("\\", "/").rsplit("/", 1)[-1]
    hits = [item for item in iterations if item.name == name]
    hits = hits or [item for item in iterations if item.number is not None and str(item.number) == name]
    if len(hits) == 1:
        return hits[0]
    names = [item.name for item in iterations]
    if hits:
        raise AmbiguousCaseError(
            f"{checkpoint!r} fits several checkpoints: {_list(item.name for item in hits)}",
            hint="Give the whole name with --checkpoint.",
        )
    near = difflib.get_close_matches(name, names, n=1)
    question = f"Did you mean {near[0]}? " if near else ""
    raise InputError(f"there is no checkpoint {checkpoint!r}", hint=f"{question}These exist: {_list(names)}.")


def _latest(folder: Path, iterations: tuple[Iteration, ...]) -> Iteration:
    """What the state file says, if that file is here; else the highest iteration.

    The state file often holds absolute paths of another machine: only the last part of the path counts.
    """
    name = _state_file_name(folder / STATE_FILE)
    for item in iterations:
        if item.name == name:
            return item
    latest = [item for item in iterations if item.number == iterations[-1].number]
    if len(latest) == 1:
        return latest[0]
    which = "without an iteration number" if latest[0].number is None else f"of iteration {latest[0].number}"
    raise AmbiguousCaseError(
        f"{folder} has several checkpoints {which}: {_list(item.name for item in latest)}",
        hint="Choose one with --checkpoint NAME.",
    )


def _state_file_name(path: Path) -> str | None:
    if not path.is_file() or path.stat().st_size > _STATE_FILE_LIMIT_BYTES:
        return None
    match = _LATEST.search(path.read_bytes())
    if match is None:
        return None
    value = _ESCAPE.sub(_unescaped, match[1]).decode("utf-8", errors="replace")
    return re.split(r"[/\\]", value)[-1]


def _unescaped(escape: re.Match[bytes]) -> bytes:
    """A character of a quoted text: TensorFlow escapes quotes, and older ones every byte that is not ASCII."""
    return escape["itself"] or bytes([int(escape["octal"], 8) & 0xFF])


def _meta(iteration: Iteration, iterations: tuple[Iteration, ...]) -> Path:
    """The iteration's own MetaGraph, else the nearest iteration's: the graph is the same for the whole training."""
    own = _with_suffix(iteration.prefix, ".meta")
    if own.is_file():
        return own
    others = [item for item in iterations if _with_suffix(item.prefix, ".meta").is_file()]
    if others:
        here = iteration.number or 0
        return _with_suffix(min(others, key=lambda item: abs((item.number or 0) - here)).prefix, ".meta")
    loose = _with_ending(iteration.prefix.parent, ".meta")
    if len(loose) == 1:
        return iteration.prefix.parent / loose[0]
    raise MissingFileError(
        f"{own} is missing: without a MetaGraph the network cannot be rebuilt",
        hint="BPruneCallback, BPruneHook and write_case of bprune.training make the .meta file.",
    )


def _with_suffix(prefix: Path, suffix: str) -> Path:
    return prefix.parent / (prefix.name + suffix)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)
