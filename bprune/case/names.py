"""LayerNames.txt and OpsNames.txt: the two plain-text files that describe a case.

LayerNames.txt lists one training variable per line, in graph order. OpsNames.txt lists one operation per line, in
graph order. Lines that begin with `#` are annotations; files of the predecessor have none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from bprune.errors import DamagedFileError

__all__ = [
    "LayerNames",
    "LayerNote",
    "OpsNames",
    "format_layer_names",
    "format_ops_names",
    "read_layer_names",
    "read_ops_names",
]

_LIMIT_BYTES = 256 << 20
_NAME_LIMIT = 1024
_DIGITS_LIMIT = 20
_LAYERS_HEADER = "# bprune-layers 1"
_OPS_HEADER = "# bprune-ops 1"

ROLE_NAMES = (
    "input",
    "label",
    "logits",
    "probabilities",
    "prediction",
    "prediction_scale",
    "log_prob",
    "accuracy",
    "sample",
)
"""The roles that OpsNames.txt may give; `sample` may repeat."""


@dataclass(frozen=True)
class LayerNote:
    """What LayerNames.txt says of one layer.

    Attributes:
        name: The layer's name.
        kind: The layer's class, such as `DenseFlipout`; `unknown` without annotation.
        family: The posterior's family, such as `Normal`; None for a deterministic layer or without annotation.
        trainable: Number of trainable parameters; None without annotation.
        variables: Names of the layer's variables, without `:0`, in graph order.
    """

    name: str
    kind: str
    family: str | None
    trainable: int | None
    variables: tuple[str, ...]


@dataclass(frozen=True)
class LayerNames:
    """The content of LayerNames.txt.

    Attributes:
        layers: The layers in graph order.
        annotated: Whether the file had annotations.
    """

    layers: tuple[LayerNote, ...]
    annotated: bool

    @property
    def variables(self) -> tuple[str, ...]:
        """All variable names, without `:0`, in graph order."""
        return tuple(name for layer in self.layers for name in layer.variables)


@dataclass(frozen=True)
class OpsNames:
    """The content of OpsNames.txt.

    Attributes:
        operations: Operation names in graph order.
        roles: Tensor or operation names by role; one name each, but for `sample`.
        annotated: Whether the file had annotations.
    """

    operations: tuple[str, ...]
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    annotated: bool = False

    def role(self, name: str) -> str | None:
        """The operation or tensor with a role, or None."""
        return self.roles[name][0] if self.roles.get(name) else None


def read_layer_names(path: Path) -> LayerNames:
    """Read LayerNames.txt, with or without annotations.

    Without annotations a variable belongs to the layer that its name begins with (`den_1` of
    `den_1/kernel_posterior_loc:0`).

    Raises:
        DamagedFileError: If the file is not a list of names.
    """
    layers: list[tuple[LayerNote, list[str]]] = []
    annotated = False
    for number, line in _lines(path):
        if _is_annotation(line, "layer"):
            if layers and not annotated:
                raise DamagedFileError(f"{path}, line {number}: the first layer annotation comes after variables")
            annotated = True
            layers.append((_parse_layer(line, path, number), []))
        elif not line.startswith("#"):
            name = _variable(line, path, number)
            if not annotated and (not layers or layers[-1][0].name != _layer_of(name)):
                layers.append((LayerNote(_layer_of(name), "unknown", None, None, ()), []))
            layers[-1][1].append(name)
    counts = Counter(name for _, names in layers for name in names)
    for name, count in counts.items():
        if count > 1:
            raise DamagedFileError(f"{path}: the variable {name!r} is listed {count} times")
    return LayerNames(tuple(replace(note, variables=tuple(names)) for note, names in layers), annotated)


def _is_annotation(line: str, word: str) -> bool:
    return line.startswith("#") and line.split(None, 2)[:2] == ["#", word]


def _parse_layer(line: str, path: Path, number: int) -> LayerNote:
    words = line.split()[2:]
    if not words:
        raise DamagedFileError(f"{path}, line {number}: a layer annotation without a name")
    pairs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    family = pairs.get("family")
    trainable = pairs.get("trainable", "")
    return LayerNote(
        name=_word(words[0], path, number),
        kind=_word(pairs.get("kind", "unknown"), path, number),
        family=None if family in (None, "-") else _word(family, path, number),
        trainable=int(trainable) if trainable.isdecimal() and len(trainable) < _DIGITS_LIMIT else None,
        variables=(),
    )


def _word(word: str, path: Path, number: int) -> str:
    """A word that may be shown: a terminal obeys some characters that cannot be printed."""
    if not word.isprintable() or len(word) > _NAME_LIMIT:
        raise DamagedFileError(f"{path}, line {number}: {word[:60]!r} is not a name")
    return word


def _layer_of(variable: str) -> str:
    return variable.rsplit("/", 1)[0] if "/" in variable else variable


def _variable(line: str, path: Path, number: int) -> str:
    name = line[:-2] if line.endswith(":0") else line
    if not name.isprintable() or " " in name or len(name) > _NAME_LIMIT:
        raise DamagedFileError(
            f"{path}, line {number}: {line[:60]!r} is not a variable name",
            hint="One variable per line, such as den_1/kernel_posterior_loc:0.",
        )
    return name


def read_ops_names(path: Path) -> OpsNames:
    """Read OpsNames.txt, or the predecessor's Ops_name_BNN.txt whose first two lines are input and label.

    Raises:
        DamagedFileError: If the file is not a list of names.
    """
    operations: list[str] = []
    roles: dict[str, list[str]] = {}
    annotated = False
    for number, line in _lines(path):
        if _is_annotation(line, "role"):
            annotated = True
            words = line.split()[2:]
            if len(words) != 2 or words[0] not in ROLE_NAMES:
                raise DamagedFileError(
                    f"{path}, line {number}: {line[:80]!r} is not a role", hint=f"Roles: {', '.join(ROLE_NAMES)}."
                )
            if words[0] in roles and words[0] != "sample":
                raise DamagedFileError(f"{path}, line {number}: a second {words[0]!r}")
            roles.setdefault(words[0], []).append(_word(words[1], path, number))
        elif not line.startswith("#"):
            operations.append(_variable(line, path, number))
    return OpsNames(tuple(operations), {role: tuple(found) for role, found in roles.items()}, annotated)


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    if path.stat().st_size > _LIMIT_BYTES:
        raise DamagedFileError(f"{path} is larger than {_LIMIT_BYTES >> 20} MiB: not a list of names")
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors may begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def format_layer_names(layers: Iterable[LayerNote]) -> str:
    """The text of LayerNames.txt, with annotations."""
    lines = [_LAYERS_HEADER]
    for layer in layers:
        words = [f"# layer {layer.name}", f"kind={layer.kind}", f"family={layer.family or '-'}"]
        if layer.trainable is not None:
            words.append(f"trainable={layer.trainable}")
        lines.append(" ".join(words))
        lines.extend(f"{name}:0" for name in layer.variables)
    return "\n".join(lines) + "\n"


def format_ops_names(operations: Iterable[str], roles: dict[str, tuple[str, ...]]) -> str:
    """The text of OpsNames.txt, with annotations."""
    lines = [_OPS_HEADER]
    lines.extend(f"# role {role} {name}" for role in ROLE_NAMES for name in roles.get(role, ()))
    lines.extend(operations)
    return "\n".join(lines) + "\n"
