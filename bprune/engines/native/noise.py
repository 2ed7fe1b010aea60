"""Keyed noise of the engine `native`: a standard number for every weight or unit, whatever else is computed.

Native noise version 1, a part of what a seed means:

1. A stream has a key of 64 bits, `BLAKE2b-64("bprune native noise 1|PURPOSE|SEED|NAME")` read as two little-endian
   32-bit numbers `k0, k1`. PURPOSE is `normal` for the weights of Normal and LogNormal posteriors, `laplace` for those
   of Laplace posteriors, `unit` for the units of a layer; NAME is the key of the stream, of a layer that of its kernel.
2. The element with the id `i` (that of a weight; of a unit's noise, the example's number modulo 64) has the place
   `c = 16 (i div 64) + i mod 16`, and takes the output `q = (i div 16) mod 4` of that place: 64 elements share 16
   places, so that 16 of them are made at once. Examples that are 64 apart share the noise of a unit in a draw.
3. Philox4x32-7 (Salmon et al. 2011) with the key `(k0, k1)` and the counter `(c, DRAW mod 2^32, DRAW div 2^32, ROW)`
   gives four words `w0 ... w3`. ROW is 0 for weights, the unit's id for units.
4. A word `w` has the uniform number `u(w) = (w div 2 + 1/2) 2^-31`, rounded to float32, in (0, 1].
5. Normals: `r0 = sqrt(-2 ln u(w0))`, `t0 = 2 pi 2^-32 w1` with w1 as a signed number, likewise `r1, t1` of `w2, w3`;
   the four outputs are `r0 cos t0, r0 sin t0, r1 cos t1, r1 sin t1` (Box and Muller 1958). |z| is at most 6.66.
6. Laplace: the output q is `-ln u(wq)`, negative if wq is odd. |z| is at most 22.2.
7. In antithetic runs the draws 2k and 2k + 1 take z and -z of DRAW = 2k. All families are symmetric in z.

The integers are the same everywhere. The floats are the same to the last bit on all CPUs that fuse multiplication and
addition, whichever elements are made beside them; on others they differ by rounding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from bprune.arrays import AnyArray, FloatArray
from bprune.lowering.weights import Stream

__all__ = [
    "NATIVE_NOISE_VERSION",
    "DrawNoise",
    "SampleTable",
    "WeightSampler",
    "noise_key",
    "standard_noise",
    "unit_noise",
]

NATIVE_NOISE_VERSION = 1

_LANES = 16
_GROUP = 64
_BLOCK = 256
_PURPOSES = {"Normal": "normal", "LogNormal": "normal", "Laplace": "laplace"}


def noise_key(seed: int, name: str, purpose: str) -> tuple[np.uint32, np.uint32]:
    """The key of a stream.

    Args:
        seed: The run's seed.
        name: The stream's name; for weights `Stream.key`.
        purpose: `normal`, `laplace` or `unit`.
    """
    text = f"bprune native noise {NATIVE_NOISE_VERSION}|{purpose}|{seed}|{name}"
    return _halves(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little"))


class DrawNoise(NamedTuple):
    """Which noise a draw takes.

    Attributes:
        number: The number of the draw that the noise belongs to.
        sign: 1, or -1 for the second draw of an antithetic pair.
    """

    number: int
    sign: float = 1.0

    @classmethod
    def of(cls, draw: int, *, antithetic: bool) -> DrawNoise:
        """The noise of a draw; in antithetic runs an odd draw takes that of the draw before it, with the other sign."""
        return cls(draw - 1, -1.0) if antithetic and draw % 2 else cls(draw)


@dataclass(frozen=True, eq=False)
class SampleTable:
    """What the kernels need to draw some elements.

    Attributes:
        family: The code of their family; see `kernels`.
        key: The key of their noise.
        loc: Locations in the order in which numbers are made, `[element]`, float32.
        scale: Scales, likewise.
        counters: See `kernels.sample_chosen`; of length 0 where the ids are 0, 1, 2, ... and elements go one after the
            other, for `kernels.sample_whole`.
        ends: See `counters`.
        sources: See `counters`.
        targets: See `counters`.
    """

    family: int
    key: tuple[np.uint32, np.uint32]
    loc: FloatArray
    scale: FloatArray
    counters: AnyArray = field(default_factory=lambda: np.zeros(0, np.uint32))
    ends: AnyArray = field(default_factory=lambda: np.zeros(0, np.int64))
    sources: AnyArray = field(default_factory=lambda: np.zeros(0, np.uint16))
    targets: AnyArray = field(default_factory=lambda: np.zeros(0, np.uint32))


class WeightSampler:
    """Weights of a posterior that are ready to be drawn: loc + scale z, or its exponential for a LogNormal.

    Args:
        seed: The run's seed.
        stream: The posterior's stream.
        family: The posterior's family: Normal, LogNormal or Laplace.
        loc: `[element]`, float32.
        scale: `[element]`, float32.
        ids: The elements' original ids, `[element]`, in any order; None for 0, 1, 2, ...
        targets: Where an element goes in the flat array that is filled, `[element]`; None for one after the other.

    Raises:
        ValueError: If ids are repeated, or the arguments differ in size.
    """

    def __init__(
        self,
        seed: int,
        stream: Stream,
        family: str,
        loc: AnyArray,
        scale: AnyArray,
        ids: AnyArray | None = None,
        targets: AnyArray | None = None,
    ) -> None:
        from bprune.engines.native import kernels

        self._kernels = kernels
        code = {"Laplace": kernels.LAPLACE, "LogNormal": kernels.LOG_NORMAL}.get(family, kernels.NORMAL)
        loc, scale = (np.require(item, np.float32, ["C", "W"]).reshape(-1) for item in (loc, scale))
        if any(item is not None and item.size != loc.size for item in (scale, ids, targets)):
            raise ValueError("locations, scales, ids and targets of weights differ in number")
        self._reach = loc.size if targets is None or not loc.size else int(targets.max()) + 1
        targets = None if targets is None or _counts_up(targets) else targets
        self.table = SampleTable(code, noise_key(seed, stream.key, _PURPOSES[family]), loc, scale)
        if targets is not None or not (ids is None or _counts_up(ids)):
            self.table = _choose(self.table, np.arange(loc.size) if ids is None else ids.reshape(-1), targets)

    def sample(self, out: FloatArray, draw: int, sign: float = 1.0) -> None:
        """Draw the weights.

        Args:
            out: Flat or of the tensor's shape, float32, contiguous. Elements that are nobody's target are left alone.
            draw: The draw's number.
            sign: 1, or -1 for the antithetic draw.

        Raises:
            ValueError: If `out` is not contiguous, or too small.
        """
        flat, table = out.reshape(-1), self.table
        if not out.flags.c_contiguous or flat.size < self._reach:
            raise ValueError(f"weights are drawn to a contiguous array of at least {self._reach} numbers")
        weights, common = (table.loc, table.scale), (table.family, np.float32(sign), _halves(draw), table.key)
        if not table.counters.size:
            self._kernels.sample_whole(flat[: table.loc.size], *weights, *common)
        else:
            choice = (table.counters, table.ends, table.sources, table.targets)
            self._kernels.sample_chosen(flat, *weights, *choice, *common)


def _choose(table: SampleTable, ids: AnyArray, targets: AnyArray | None) -> SampleTable:
    """The same elements in the order in which numbers are made."""
    counters, places = _needed(ids)
    blocks = places // (4 * _BLOCK)
    order = np.argsort(places, kind="stable")
    ends = np.searchsorted(blocks[order], np.arange(-(-counters.size // _BLOCK)), side="right").astype(np.int64)
    if np.any(np.diff(ends, prepend=0) > 4 * _BLOCK):
        raise ValueError("some ids of sampled weights are the same; each element has one of its own")
    if targets is None and np.array_equal(order, np.arange(order.size)):
        goals = np.zeros(0, np.uint32)
    else:
        goals = (order if targets is None else targets.reshape(-1)[order]).astype(np.uint32)
    sources = (places[order] % (4 * _BLOCK)).astype(np.uint16)
    return SampleTable(table.family, table.key, table.loc[order], table.scale[order], counters, ends, sources, goals)


def standard_noise(seed: int, stream: Stream, family: str, ids: AnyArray, draw: int) -> FloatArray:
    """The standard noise of some elements in one draw, `[element]`; that of a LogNormal is normal.

    Args:
        seed: The run's seed.
        stream: The posterior's stream.
        family: The posterior's family.
        ids: The elements' original ids, `[element]`.
        draw: The draw's number.
    """
    out = np.empty(ids.size, np.float32)
    law = "Normal" if family == "LogNormal" else family
    WeightSampler(seed, stream, law, np.zeros(ids.size), np.ones(ids.size), ids).sample(out, draw)
    return out


def unit_noise(seed: int, name: str, units: AnyArray, draw: int) -> FloatArray:
    """Standard normals of the units of a layer in one draw, `[place, unit]`; an example's place: its number modulo 64.

    Examples that are 64 apart share the noise of a draw (local reparameterization): each has draws of its own law, and
    making noise costs next to nothing where examples are many.

    Args:
        seed: The run's seed.
        name: What the noise belongs to; for a layer the key of its kernel's stream.
        units: The units' original ids, `[unit]`, in any order.
        draw: The draw's number.
    """
    from bprune.engines.native.kernels_chain import fill_units

    out = np.empty((units.size, 2, _GROUP), np.float32)
    fill_units(out.reshape(-1), units.astype(np.uint32), _halves(draw), noise_key(seed, name, "unit"))
    return np.ascontiguousarray(out[:, 0].T)


def _halves(number: int) -> tuple[np.uint32, np.uint32]:
    return np.uint32(number & 0xFFFFFFFF), np.uint32(number >> 32)


def _counts_up(numbers: AnyArray) -> bool:
    return np.array_equal(numbers.reshape(-1), np.arange(numbers.size))


def _needed(ids: AnyArray) -> tuple[AnyArray, AnyArray]:
    """The counters that some elements need, and where among the numbers of these the elements' numbers are.

    Returns:
        `[counter]`, uint32, ascending, the last one repeated up to a multiple of 16; `[element]`, int64.
    """
    wide = ids.reshape(-1).astype(np.int64)
    counters, index = np.unique(_LANES * (wide // _GROUP) + wide % _LANES, return_inverse=True)
    places = _GROUP * (index // _LANES) + _LANES * (wide // _LANES % 4) + index % _LANES
    padded = np.pad(counters, (0, -counters.size % _LANES), mode="edge") if counters.size else counters
    return padded.astype(np.uint32), places
