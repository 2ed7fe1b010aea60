"""Kernels that make noise, alone or fused with what it is used for. `bprune.engines.native.noise` says which noise.

Groups of 16 counters give 64 numbers: a vectorised loop over the 16 lanes writes the four outputs of each counter to
four runs of 16 numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from bprune.arrays import AnyArray, FloatArray
from bprune.engines.native.jit import inlined, kernel

__all__ = ["fill_noise", "philox_words"]

_f = np.float32
_u = np.uint32
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (_u(0x9E3779B9), _u(0xBB67AE85))
_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_ROUNDS = 7
_LANES = 16
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_LN_2 = _f(0.6931471805599453)


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


@intrinsic  # type: ignore[untyped-decorator]
def _sqrt(context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.FloatType()]), values)

    return types.float32(types.float32), generate


@intrinsic  # type: ignore[untyped-decorator]
def _fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once where the CPU can."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = ir.FloatType()
        function = ir.FunctionType(number, [number] * 3)
        return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [number], function), values)

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
def _fill_normals(out: Any, counters: Any, first: Any, groups: Any, d0: Any, d1: Any, row: Any, k0: Any, k1: Any) -> None:
    """Normals of groups of counters from the group `first` on, to the start of `out`, 64 for a group."""
    for group in range(groups):
        source = (first + group) * _LANES
        target = group * (4 * _LANES)
        for lane in range(_LANES):
            a, b, c, d = _philox(counters[source + lane], d0, d1, row, k0, k1, _ROUNDS)
            z0, z1 = _normal_pair(a, b)
            z2, z3 = _normal_pair(c, d)
            out[target + lane] = z0
            out[target + _LANES + lane] = z1
            out[target + 2 * _LANES + lane] = z2
            out[target + 3 * _LANES + lane] = z3

@kernel
def fill_noise(out,counters,d0,d1,row,k0,k1):
    _fill_normals(out,counters,0,counters.size//16,d0,d1,row,k0,k1)
