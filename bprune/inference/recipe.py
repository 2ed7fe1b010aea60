"""What a process needs to know to make the engine of another one: paths, digests and options, plain data alone."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bprune.arrays import AnyArray, BoolArray
from bprune.case.case import Case, Loading, load_case
from bprune.engines.base import Engine
from bprune.engines.choose import Origin, Prepared, prepare_engine
from bprune.errors import EngineError, InputError
from bprune.inference.antithetic import pair_draws
from bprune.posterior.recognise import read_network
from bprune.versions import library_versions

__all__ = ["Recipe", "pack_masks", "unpack_masks"]


@dataclass(frozen=True)
class Recipe:
    """An engine, as plain data.

    Attributes:
        case: The checkpoint of the case, an absolute path without suffix.
        checkpoint_digest: What the checkpoint holds.
        graph_digest: What the files beside it hold.
        loading: How the case is loaded.
        masks: The masks, as `pack_masks` gives them.
        seed: Seed of the noise.
        engine: The engine.
        sampling: How weights are shared between the examples of a draw, or None.
        precision: In which number format products are computed.
        antithetic: Whether draws are pairs.
        examples: How many examples the whole run has.
        block: The size of the engine's blocks for them; None where this process does not know.
        versions: The libraries that decide what is computed.
    """

    case: str
    checkpoint_digest: str
    graph_digest: str
    loading: Loading
    masks: str
    seed: int
    engine: str
    sampling: str | None
    precision: str
    antithetic: bool
    examples: int
    block: int | None
    versions: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, origin: Origin, examples: int, *, engine: Engine | None = None, paired: bool = False) -> Recipe:
        """The recipe of an engine.

        Args:
            origin: What it is made of.
            examples: How many examples the whole run has.
            engine: The engine itself, where it was made, ready for these examples.
            paired: Whether it draws antithetic pairs.
        """
        case = origin.case
        return cls(
            case=str(case.files.iteration.prefix.absolute()),
            checkpoint_digest=case.checkpoint.digest(),
            graph_digest=_graph_digest(case),
            loading=case.loading,
            masks=pack_masks(origin.masks),
            seed=origin.seed,
            engine=origin.engine.value,
            sampling=None if origin.sampling is None else origin.sampling.value,
            precision=origin.precision.value,
            antithetic=paired,
            examples=examples,
            block=None if engine is None else engine.block,
            versions=tuple(library_versions().items()),
        )

    @cached_property
    def digest(self) -> str:
        """What tells recipes apart."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """The recipe as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_json`.

        Raises:
            TypeError: If a part is missing, or there is one too many.
        """
        loading = dict(content["loading"])
        loading["feeds"] = tuple((str(name), float(value)) for name, value in loading["feeds"])
        versions = tuple((str(name), str(version)) for name, version in content["versions"])
        return cls(**{**content, "loading": Loading(**loading), "versions": versions})

    def load(self) -> Case:
        """The case.

        Raises:
            InputError: If it is not what it was any more.
            EngineError: If libraries are of other versions here.
        """
        odd = [f"{name} {library_versions().get(name)}, not {other}" for name, other in self.versions]
        odd = [text for text, known in zip(odd, self.versions, strict=True) if known not in library_versions().items()]
        if odd:
            raise EngineError(
                f"this worker has other versions of libraries, which may compute other draws: {'; '.join(odd)}",
                hint="Give all workers the same environment.",
            )
        loading = asdict(self.loading) | {"feeds": dict(self.loading.feeds)}
        case = load_case(self.case, **loading)
        if (case.checkpoint.digest(), _graph_digest(case)) != (self.checkpoint_digest, self.graph_digest):
            raise InputError(
                f"{self.case} is not what it was when the run was planned: its digest differs",
                hint="Plan or start the run again.",
            )
        return case

    def prepare(self) -> Prepared:
        """The engine, ready to draw for the run.

        Raises:
            InputError: If the case is not what it was any more.
            EngineError: If the engine is another one here.
        """
        case = self.load()
        prepared = prepare_engine(
            case,
            read_network(case),
            unpack_masks(self.masks),
            seed=self.seed,
            name=self.engine,
            sampling=self.sampling,
            precision=self.precision,
        )
        prepared = pair_draws(prepared) if self.antithetic else prepared
        prepared.engine.prepare(self.examples)
        if self.block not in (None, prepared.engine.block):
            raise EngineError(
                f"the engine {self.engine} runs blocks of {prepared.engine.block} examples here, and of {self.block} "
                "where the run began",
                hint="Run on machines of one kind.",
            )
        return prepared


def _graph_digest(case: Case) -> str:
    digest = hashlib.sha256()
    for path in (case.files.meta, case.files.ops_names, case.files.layer_names):
        digest.update(b"" if path is None else hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"


def pack_masks(masks: Mapping[str, BoolArray]) -> str:
    """Masks as text: one JSON object of names to shape and compressed bits."""
    content = {
        name: [list(mask.shape), base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 6)).decode("ascii")]
        for name, mask in sorted(masks.items())
    }
    return json.dumps(content, ensure_ascii=False)


def unpack_masks(text: str) -> dict[str, BoolArray]:
    """The inverse of `pack_masks`.

    Raises:
        ValueError: If the text is none that it gives.
    """
    masks: dict[str, BoolArray] = {}
    for name, (shape, packed) in json.loads(text).items():
        count = int(np.prod(shape))
        try:
            raw = zlib.decompress(base64.b64decode(packed, validate=True))
        except zlib.error as error:
            raise ValueError(f"the mask of {name} is damaged: {error}") from error
        bits: AnyArray = np.unpackbits(np.frombuffer(raw, np.uint8), count=count)
        masks[name] = bits.astype(bool).reshape(shape)
    return masks
