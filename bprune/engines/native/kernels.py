"""Kernels that make noise, fused with its use. `bprune.engines.native.noise` says which noise, and calls them.

A group of 16 counters gives 64 numbers: a vectorised loop over the 16 lanes writes the four outputs of each counter to
four runs of 16. Arithmetic of the noise is exact to the last bit (`inlined`); what is made of it may be rounded freely.

Arguments that all kernels have in common: `draw` and `key` are pairs of uint32, low half first; `sign` is 1 or -1, a
float32 by which the noise is multiplied (antithetic pairs).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from bprune.engines.native.jit import inlined, intrinsic, kernel

__all__ = [
    "LANES",
    "LAPLACE",
    "LOG_NORMAL",
    "NORMAL",
    "SCRATCH",
    "philox_words",
    "sample_chosen",
    "sample_whole",
]

_f = np.float32
_u = np.uint32
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (_u(0x9E3779B9), _u(0xBB67AE85))
_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 7
LANES = 16
"""Counters of a group."""
_GROUP = 4 * LANES
SCRATCH = 1024
"""Numbers that `sample_chosen` makes at a time: 16 groups."""
NORMAL, LAPLACE, LOG_NORMAL = 0, 1, 2
"""Codes of the families of weights."""
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_LN_2 = _f(0.6931471805599453)


def _llvm(builder: Any, name: str, *values: Any) -> Any:
    """A call of LLVM's own function of floats."""
    number = ir.FloatType()
    function = ir.FunctionType(number, [number] * len(values))
    return builder.call(builder.module.declare_intrinsic(name, [number], function), values)


def _unary(result: Any, argument: Any, build: Any) -> Any:
    """An intrinsic of one argument, made by a method of LLVM's builder."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return build(builder, values[0])

    def typing(context: Any, x: Any) -> Any:
        return result(argument), generate

    return intrinsic(typing)


_bits = _unary(types.int32, types.float32, lambda builder, x: builder.bitcast(x, ir.IntType(32)))
_from_bits = _unary(types.float32, types.int32, lambda builder, x: builder.bitcast(x, ir.FloatType()))
_to_float = _unary(types.float32, types.int32, lambda builder, x: builder.sitofp(x, ir.FloatType()))
_signed = _unary(types.int32, types.uint32, lambda builder, x: x)
_to_int = _unary(types.int32, types.float32, lambda builder, x: builder.fptosi(x, ir.IntType(32)))
_sqrt = _unary(types.float32, types.float32, lambda builder, x: _llvm(builder, "llvm.sqrt", x))
_floor = _unary(types.float32, types.float32, lambda builder, x: _llvm(builder, "llvm.floor", x))


@intrinsic
def _fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once where the CPU can."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _llvm(builder, "llvm.fmuladd", *values)

    return types.float32(types.float32, types.float32, types.float32), generate


@inlined
def _philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any, rounds: Any) -> Any:
    """Philox4x32 (Salmon et al. 2011): four random words of a counter and a key, all uint32."""
    for _ in range(rounds):
        p0 = _MULTIPLIERS[0] * np.uint64(c0)
        p1 = _MULTIPLIERS[1] * np.uint64(c2)
        high0, low0 = _u(p0 >> _HALF), _u(p0 & _MASK)
        high1, low1 = _u(p1 >> _HALF), _u(p1 & _MASK)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = _u(k0 + _WEYL[0])
        k1 = _u(k1 + _WEYL[1])
    return c0, c1, c2, c3


@inlined
def _ln(u: Any) -> Any:
    """ln u of a positive normal number: exponent and mantissa in [sqrt(1/2), sqrt(2)), the polynomial of Cephes."""
    bits = _bits(u) - _SQRT_HALF_BITS
    exponent = bits >> np.int32(23)
    x = _from_bits((bits - (exponent << np.int32(23))) + _SQRT_HALF_BITS) - _f(1.0)
    y = _fma(_f(7.0376836292e-2), x, _f(-1.1514610310e-1))
    y = _fma(y, x, _f(1.1676998740e-1))
    y = _fma(y, x, _f(-1.2420140846e-1))
    y = _fma(y, x, _f(1.4249322787e-1))
    y = _fma(y, x, _f(-1.6668057665e-1))
    y = _fma(y, x, _f(2.0000714765e-1))
    y = _fma(y, x, _f(-2.4999993993e-1))
    y = _fma(y, x, _f(3.3333331174e-1))
    z = x * x
    y = _fma(y * x, z, _f(-0.5) * z)
    return _fma(_to_float(exponent), _LN_2, x + y)


@inlined
def _uniform(word: Any) -> Any:
    """The upper 31 bits of a word in (0, 1]: (w div 2 + 1/2) 2^-31, rounded to float32."""
    return (_to_float(_signed(word >> _u(1))) + _f(0.5)) * _f(2.0**-31)


@inlined
def _radius(word: Any) -> Any:
    """sqrt(-2 ln u)."""
    return _sqrt(max(_f(-2.0) * _ln(_uniform(word)), _f(0.0)))


@inlined
def _sine(q: Any) -> Any:
    """sin(2 pi q) for |q| <= 1/4, by Taylor's series: the error is below 6e-8."""
    s = q * q
    y = _fma(_f(-15.094642576822984), s, _f(42.05869394489765))
    y = _fma(y, s, _f(-76.70585975306136))
    y = _fma(y, s, _f(81.60524927607504))
    y = _fma(y, s, _f(-41.341702240399755))
    y = _fma(y, s, _f(6.283185307179586))
    return q * y


@inlined
def _normal_pair(first: Any, second: Any) -> Any:
    """Two standard normals of two words (Box and Muller 1958); the second word is an angle in 2^-32 turns, signed."""
    radius = _radius(first)
    turns = _to_float(_signed(second)) * _f(2.0**-32)
    size = abs(turns)
    sine = _sine(min(size, _f(0.5) - size))
    return radius * _sine(_f(0.25) - size), radius * (-sine if turns < _f(0.0) else sine)


@inlined
def _laplace(word: Any) -> Any:
    """A standard Laplace number: -ln u with the sign of the word's lowest bit."""
    size = max(-_ln(_uniform(word)), _f(0.0))
    return -size if (word & _u(1)) != _u(0) else size


@inlined
def _words(counter: Any, draw: Any, row: Any, key: Any) -> Any:
    return _philox(counter, draw[0], draw[1], row, key[0], key[1], _ROUNDS)


@inlined
def _put_normals(out: Any, lane: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    out[lane], out[LANES + lane] = _normal_pair(a, b)
    out[2 * LANES + lane], out[3 * LANES + lane] = _normal_pair(c, d)


@inlined
def _put_laplace(out: Any, lane: Any, a: Any, b: Any, c: Any, d: Any) -> None:
    out[lane] = _laplace(a)
    out[LANES + lane] = _laplace(b)
    out[2 * LANES + lane] = _laplace(c)
    out[3 * LANES + lane] = _laplace(d)


@inlined
def _next_group(out: Any, group: Any, family: Any, draw: Any, row: Any, key: Any) -> None:
    """The 64 numbers of the counters from 16 `group` on."""
    if family == LAPLACE:
        for lane in range(LANES):
            a, b, c, d = _words(_u(group * LANES + lane), draw, row, key)
            _put_laplace(out, lane, a, b, c, d)
    else:
        for lane in range(LANES):
            a, b, c, d = _words(_u(group * LANES + lane), draw, row, key)
            _put_normals(out, lane, a, b, c, d)


@inlined
def _chosen_group(out: Any, counters: Any, family: Any, draw: Any, row: Any, key: Any) -> None:
    """The 64 numbers of 16 counters."""
    if family == LAPLACE:
        for lane in range(LANES):
            a, b, c, d = _words(counters[lane], draw, row, key)
            _put_laplace(out, lane, a, b, c, d)
    else:
        for lane in range(LANES):
            a, b, c, d = _words(counters[lane], draw, row, key)
            _put_normals(out, lane, a, b, c, d)


@inlined
def _exp(x: Any) -> Any:
    """e^x, relative error below 2e-7; exactly 0 below -87, infinite above 88.7."""
    inside = x if x > _f(-87.3) else _f(-87.3)
    inside = inside if inside < _f(88.72) else _f(88.72)
    power = _floor(_fma(inside, _f(1.4426950408889634), _f(0.5)))
    r = _fma(power, _f(-0.693359375), inside)
    r = _fma(power, _f(2.12194440e-4), r)
    y = _fma(_f(1.9875691500e-4), r, _f(1.3981999507e-3))
    y = _fma(y, r, _f(8.3334519073e-3))
    y = _fma(y, r, _f(4.1665795894e-2))
    y = _fma(y, r, _f(1.6666665459e-1))
    y = _fma(y, r, _f(5.0000001201e-1))
    y = _fma(y, r * r, r) + _f(1.0)
    # 2^power in two factors, as 2^128 is no float.
    half = _to_int(power) >> np.int32(1)
    rest = _to_int(power) - half
    y = y * _from_bits((half + np.int32(127)) << np.int32(23)) * _from_bits((rest + np.int32(127)) << np.int32(23))
    y = _f(0.0) if x < _f(-87.3) else y
    y = _f(np.inf) if x > _f(88.72) else y
    return x if x != x else y  # NaN stays


@kernel
def philox_words(out: Any, counter: Any, key: Any, rounds: Any) -> None:
    """The four words of one counter, to `out`, `[4]`, uint32. `counter` are four uint32, `rounds` is 7 in all noise."""
    out[0], out[1], out[2], out[3] = _philox(counter[0], counter[1], counter[2], counter[3], key[0], key[1], rounds)


@kernel
def sample_whole(out: Any, loc: Any, scale: Any, family: Any, sign: Any, draw: Any, key: Any) -> None:
    """Weights of one draw whose ids are 0, 1, 2, ...: loc + scale z, or its exponential.

    Args:
        out: `[element]`, float32, written.
        loc: `[element]`, float32.
        scale: `[element]`, float32.
        family: NORMAL, LAPLACE or LOG_NORMAL.
        sign: See above.
        draw: See above.
        key: See above.
    """
    noise = np.empty(_GROUP, np.float32)
    for group in range((out.size + _GROUP - 1) // _GROUP):
        _next_group(noise, group, family, draw, _u(0), key)
        start = group * _GROUP
        place, where, width = out[start : start + _GROUP], loc[start : start + _GROUP], scale[start : start + _GROUP]
        for i in range(place.size):
            place[i] = _fma(sign * width[i], noise[i], where[i])
        if family == LOG_NORMAL:
            for i in range(place.size):
                place[i] = _exp(place[i])


@kernel
def sample_chosen(
    out: Any,
    loc: Any,
    scale: Any,
    counters: Any,
    ends: Any,
    sources: Any,
    targets: Any,
    family: Any,
    sign: Any,
    draw: Any,
    key: Any,
) -> None:
    """Some weights of one draw: `out[targets] = loc + scale z`, or its exponential; other elements are left alone.

    Numbers are made 1 024 at a time, of 256 counters, and used at once.

    Args:
        out: `[place]`, float32, written in part.
        loc: `[element]`, float32, in the order in which numbers are made.
        scale: `[element]`, float32, in the same order.
        counters: `[counter]`, uint32, a multiple of 16.
        ends: `[block]`, int64: which elements a block of 256 counters serves ends before `ends[block]`.
        sources: `[element]`, uint16: the place of an element's number among the 1 024 of its block.
        targets: `[element]`, uint32: where an element goes; of length 0 for one place after the other.
        family: NORMAL, LAPLACE or LOG_NORMAL.
        sign: See above.
        draw: See above.
        key: See above.
    """
    noise, made = np.empty(SCRATCH, np.float32), np.empty(SCRATCH, np.float32)
    start = 0
    for block in range(ends.size):
        first = block * (SCRATCH // 4)
        for group in range(min(SCRATCH // 4, counters.size - first) // LANES):
            offset = first + group * LANES
            _chosen_group(
                noise[group * _GROUP : (group + 1) * _GROUP],
                counters[offset : offset + LANES],
                family,
                draw,
                _u(0),
                key,
            )
        end = ends[block]
        source, where, width = sources[start:end], loc[start:end], scale[start:end]
        values = made[: end - start] if targets.size else out[start:end]
        for i in range(values.size):
            values[i] = _fma(sign * width[i], noise[source[i]], where[i])
        if family == LOG_NORMAL:
            for i in range(values.size):
                values[i] = _exp(values[i])
        if targets.size:
            target = targets[start:end]
            for i in range(values.size):
                out[target[i]] = values[i]
        start = end
