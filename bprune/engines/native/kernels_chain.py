"""The kernel that runs a chain of dense layers, one tile of 64 examples after the other, for all draws of a call.

A tile's activations, `[unit, 64]`, go through all layers while they are in the core's fastest caches. What an example
gets does not depend on the examples beside it, to the last bit: each has a place of its own in the vectors, and sums
are added in the order of the inputs.

Layers, weight tensors and their places come as rows of tables (`chain.py` builds them), so that one compiled kernel
serves all chains.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bprune.engines.native.jit import inlined, kernel
from bprune.engines.native.kernels import NORMAL, _fma, _next_group, sample_chosen, sample_whole
from bprune.engines.native.kernels_dense import COLUMNS, ROWS, TILE, add_products
from bprune.engines.native.kernels_softmax import _sum_powers
from bprune.engines.native.kernels_sparse import add_live_products

__all__ = ["fill_units", "run_chain"]

_f = np.float32
_u = np.uint32
_WIDTH = 16
_LINE = 16
"""Numbers of a cache line."""


@inlined
def _start_on_line(memory: Any) -> Any:
    return -(memory.ctypes.data // 4) % _LINE


@inlined
def _fill_units(noise: Any, units: Any, draw: Any, key: Any) -> None:
    """The noise of units for the 64 places of examples, twice: `[unit, 2 * 64]`, flat."""
    for unit in range(units.size):
        part = noise[2 * TILE * unit : 2 * TILE * unit + TILE]
        _next_group(part, 0, NORMAL, draw, units[unit], key)
        again = noise[2 * TILE * unit + TILE : 2 * TILE * (unit + 1)]
        for lane in range(TILE):
            again[lane] = part[lane]


@kernel
def fill_units(noise: Any, units: Any, draw: Any, key: Any) -> None:
    """The noise of some units in one draw.

    Args:
        noise: `[unit * 128]`, float32, written: for every unit the numbers of the 64 places of examples, twice.
        units: Ids of the units, `[unit]`, uint32.
        draw: See `kernels`.
        key: See `kernels`.
    """
    _fill_units(noise, units, draw, key)


@kernel
def _sample(
    values: Any,
    draw: Any,
    sign: Any,
    tensors: Any,
    keys: Any,
    loc: Any,
    scale: Any,
    counters: Any,
    ends: Any,
    sources: Any,
    targets: Any,
) -> None:
    """Draw all weight tensors of the chain to their places in `values`."""
    for t in range(tensors.shape[0]):
        family, place, size, start, count = tensors[t, 0], tensors[t, 1], tensors[t, 2], tensors[t, 3], tensors[t, 4]
        counters_at, counted, ends_at, blocks = tensors[t, 5], tensors[t, 6], tensors[t, 7], tensors[t, 8]
        targets_at, targeted = tensors[t, 9], tensors[t, 10]
        out, key = values[place : place + size], (keys[t, 0], keys[t, 1])
        where, width = loc[start : start + count], scale[start : start + count]
        if counted == 0:
            sample_whole(out[:count], where, width, family, sign, draw, key)
        else:
            sample_chosen(
                out,
                where,
                width,
                counters[counters_at : counters_at + counted],
                ends[ends_at : ends_at + blocks],
                sources[start : start + count],
                targets[targets_at : targets_at + targeted],
                family,
                sign,
                draw,
                key,
            )


@inlined
def _from_moments(x: Any, mean: Any, std: Any, noise: Any, places: Any, sign: Any, relu: Any) -> None:
    """mean + std z for a tile; the places of examples are consecutive nearly always."""
    floor = _f(0.0) if relu else _f(-np.inf)
    consecutive = True
    for lane in range(TILE):
        consecutive = consecutive and places[lane] == (places[0] + lane) % TILE
    for unit in range(mean.size // TILE):
        centre, width = mean[unit * TILE : (unit + 1) * TILE], std[unit * TILE : (unit + 1) * TILE]
        out = x[unit * TILE : (unit + 1) * TILE]
        if consecutive:
            z = noise[2 * TILE * unit + places[0] : 2 * TILE * unit + places[0] + TILE]
            for lane in range(TILE):
                value = _fma(sign * width[lane], z[lane], centre[lane])
                out[lane] = floor if value < floor else value
        else:
            for lane in range(TILE):
                value = _fma(sign * width[lane], noise[2 * TILE * unit + places[lane]], centre[lane])
                out[lane] = floor if value < floor else value


@inlined
def _from_rows(x: Any, rows: Any, features: Any) -> None:
    """A tile of `[example, feature]`, flat, to `[feature, 64]`; missing examples are 0."""
    count = rows.size // max(features, 1)
    for first in range(0, features, 16):
        for lane in range(count):
            for j in range(first, min(first + 16, features)):
                x[j * TILE + lane] = rows[lane * features + j]
    if count < TILE:
        for j in range(features):
            x[j * TILE + count : (j + 1) * TILE] = _f(0.0)


@inlined
def _layer(out: Any, x: Any, layer: Any, values: Any, constants: Any, ends: Any, places: Any) -> None:
    """One dense layer of a tile."""
    is_sparse, inputs, fixed, outputs, relu = layer[0], layer[1], layer[2], layer[3], layer[4]
    kernel_at, bias_at, constants_at, ends_at, places_at = layer[5], layer[6], layer[7], layer[8], layer[10]
    for j in range(fixed):
        x[(inputs - fixed + j) * TILE : (inputs - fixed + j + 1) * TILE] = constants[constants_at + j]
    for r in range(outputs):
        out[r * TILE : (r + 1) * TILE] = values[bias_at + r]
    if is_sparse:
        start = 0
        for block in range(layer[9]):
            for r in range(outputs):
                end = ends[ends_at + block * outputs + r]
                if end > start:
                    add_live_products(
                        out,
                        r * TILE,
                        x,
                        0,
                        _WIDTH,
                        TILE // _WIDTH,
                        places,
                        TILE,
                        values,
                        kernel_at + start,
                        kernel_at + end,
                        places_at - kernel_at,
                    )
                start = end
    elif inputs > 0:
        for column in range(0, TILE // _WIDTH, COLUMNS):
            for r in range(0, outputs, ROWS):
                sums_at, at = r * TILE + column * _WIDTH, column * _WIDTH
                add_products(out, sums_at, x, at, values, kernel_at + r, outputs, inputs, min(ROWS, outputs - r))
    if relu:
        for i in range(outputs * TILE):
            out[i] = _f(0.0) if out[i] < _f(0.0) else out[i]


@inlined
def _put_probabilities(out: Any, logits: Any, width: Any, powers: Any, top: Any, total: Any, tilt: Any) -> Any:
    """Class probabilities of a tile to `[example, class]`, flat; whether all are finite."""
    classes = powers.shape[0]
    if width == 1:
        for lane in range(TILE):
            powers[0, lane], powers[1, lane] = _f(0.0), logits[lane]
    else:
        for c in range(classes):
            for lane in range(TILE):
                powers[c, lane] = logits[c * TILE + lane]
    _sum_powers(powers, top, total, tilt)
    for lane in range(TILE):
        top[lane] = _f(1.0 / total[lane])
    finite = True
    for lane in range(out.size // classes):
        for c in range(classes):
            value = powers[c, lane] * top[lane]
            out[lane * classes + c] = value
            finite = finite and value - value == _f(0.0)
    return finite


@inlined
def _put_units(out: Any, values: Any, width: Any) -> Any:
    """A tile to `[example, unit]`, flat; whether all are finite."""
    finite = True
    for lane in range(out.size // max(width, 1)):
        for u in range(width):
            value = values[u * TILE + lane]
            out[lane * width + u] = value
            finite = finite and value - value == _f(0.0)
    return finite


@kernel
def run_chain(
    out: Any,
    begin: Any,
    start: Any,
    examples: Any,
    is_softmax: Any,
    draws: Any,
    signs: Any,
    group: Any,
    mean: Any,
    std: Any,
    rows: Any,
    given: Any,
    places: Any,
    units: Any,
    units_key: Any,
    units_relu: Any,
    layers: Any,
    constants: Any,
    ends: Any,
    inputs: Any,
    template: Any,
    tensors: Any,
    keys: Any,
    loc: Any,
    scale: Any,
    counters: Any,
    sampled_ends: Any,
    sources: Any,
    targets: Any,
) -> Any:
    """Some draws of a chain of dense layers for a block of examples.

    The chain begins with one of: a layer from cached moments (`mean`, `std`); inputs that are the same in every draw
    (`mean`, while `std` has length 0); inputs of every draw (`rows`, while `mean` has length 0).

    Args:
        out: `[draw, example, unit]`, float32, written in part: from draw `begin` and example `start` on.
        begin: See above.
        start: See above.
        examples: How many examples there are; the last tile may be filled up.
        is_softmax: Whether `out` takes class probabilities in place of the chain's outputs; of one output, it is the
            logit of the second of two classes.
        draws: Numbers of the draws' noise, `[draw, 2]`, uint32, low half first.
        signs: `[draw]`, float32: 1 or -1.
        group: Draws whose weights are kept at a time.
        mean: `[tile, given, 64]`, flat, float32.
        std: Likewise.
        rows: `[draw, example, given]`, flat, float32.
        given: How many features, or units of the first layer, come in.
        places: The places of examples: their numbers modulo 64, `[tile * 64]`, int64.
        units: Ids of the first layer's units, `[given]`, uint32.
        units_key: The key of their noise.
        units_relu: Whether their negative values become 0.
        layers: `[layer, 11]`, int64: whether it is sparse, inputs with constants, constants, outputs, whether negative
            outputs become 0; where its kernel, its bias (in `template`), its constants, its ends begin; blocks of
            inputs; where the inputs of its live weights begin.
        constants: Features that are the same for all examples, float32.
        ends: Where weights of outputs end, of sparse layers, int64; see `sparse.SparseProduct`.
        inputs: Inputs of live weights, of sparse layers, uint32.
        template: `[value]`, float32: all weights of a draw; sampled ones are replaced.
        tensors: `[tensor, 11]`, int64, of sampled tensors: family; where it begins in `template`, and its size; where
            its sampled elements begin, and their number; counters, ends of blocks and targets likewise.
        keys: `[tensor, 2]`, uint32.
        loc: Locations of sampled elements, float32.
        scale: Their scales, float32.
        counters: See `kernels.sample_chosen`, as all that follow.
        sampled_ends: See `counters`.
        sources: See `counters`.
        targets: See `counters`.

    Returns:
        The index of the first draw with a value that is not finite, or -1.
    """
    widest = given
    for i in range(layers.shape[0]):
        widest = max(widest, layers[i, 1], layers[i, 3])
    width = layers[layers.shape[0] - 1, 3] if layers.shape[0] else given
    memory = np.empty(2 * widest * TILE + _LINE, np.float32)
    line = _start_on_line(memory)
    first, second = memory[line : line + widest * TILE], memory[line + widest * TILE : line + 2 * widest * TILE]
    values, noise_size = np.empty(group * template.size, np.float32), 2 * TILE * units.size
    pool = np.empty(group * noise_size + _LINE, np.float32)
    noise_line = _start_on_line(pool)
    noise = pool[noise_line : noise_line + group * noise_size]
    powers = np.empty((out.shape[2] if is_softmax else 1, TILE), np.float32)
    top, total, tilt = np.empty(TILE, np.float32), np.empty(TILE, np.float64), np.empty(TILE, np.float64)
    flat = out.reshape(-1)
    tiles = (examples + TILE - 1) // TILE
    not_finite = draws.shape[0]
    for i in range(group):
        values[i * template.size : (i + 1) * template.size] = template
    for opening in range(0, draws.shape[0], group):
        members = min(group, draws.shape[0] - opening)
        for i in range(members):
            draw, sign = (draws[opening + i, 0], draws[opening + i, 1]), signs[opening + i]
            _sample(
                values[i * template.size : (i + 1) * template.size],
                draw,
                sign,
                tensors,
                keys,
                loc,
                scale,
                counters,
                sampled_ends,
                sources,
                targets,
            )
            _fill_units(noise[i * noise_size : (i + 1) * noise_size], units, draw, units_key)
        for tile in range(tiles):
            begin_at, count = tile * TILE, min(TILE, examples - tile * TILE)
            tile_places = places[begin_at : begin_at + TILE]
            for i in range(members):
                x, y = first, second
                part = slice(tile * given * TILE, (tile + 1) * given * TILE)
                if std.size:
                    z = noise[i * noise_size : (i + 1) * noise_size]
                    _from_moments(x, mean[part], std[part], z, tile_places, signs[opening + i], units_relu)
                elif mean.size:
                    x[: given * TILE] = mean[part]
                else:
                    at = ((opening + i) * examples + begin_at) * given
                    _from_rows(x, rows[at : at + count * given], given)
                mine = values[i * template.size : (i + 1) * template.size]
                for number in range(layers.shape[0]):
                    _layer(y, x, layers[number], mine, constants, ends, inputs)
                    x, y = y, x
                at = ((begin + opening + i) * out.shape[1] + start + begin_at) * out.shape[2]
                place = flat[at : at + count * out.shape[2]]
                if is_softmax:
                    finite = _put_probabilities(place, x, width, powers, top, total, tilt)
                else:
                    finite = _put_units(place, x, width)
                if not finite:
                    not_finite = min(not_finite, opening + i)
    return not_finite if not_finite < draws.shape[0] else -1
