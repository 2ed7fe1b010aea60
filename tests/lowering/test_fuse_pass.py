"""Activations that are written out are recognised by what they compute."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from bprune.lowering.ops import Activation, Function, Op
from bprune.lowering.passes import fuse_activations
from bprune.lowering.program import Program, check_program
from tests.lowering.agreement import same_numbers
from tests.lowering.programs import Builder

ROOT = math.sqrt(0.5)
CUBIC = math.sqrt(2.0 / math.pi)


def _erf(b: Builder, x: str, scale: float = ROOT) -> str:
    return b.affine(b.act(b.affine(x, scale), Function.ERF), None, 1.0)


def _erfc(b: Builder, x: str) -> str:
    """erfc(-x / sqrt 2), where erfc is 1 - erf."""
    return b.affine(b.act(b.affine(x, -ROOT), Function.ERF), -1.0, 1.0)


def _cube(b: Builder, x: str) -> str:
    return b.multiply(b.act(x, Function.SQUARE), x)


def _tanh(b: Builder, x: str, cube: str, factor: float = 0.044715) -> str:
    inner = b.affine(b.add(x, b.affine(cube, factor)), CUBIC)
    return b.affine(b.act(inner, Function.TANH), None, 1.0)


def _swish(b: Builder, x: str, slope: float = 1.0) -> str:
    return b.multiply(x, b.act(b.affine(x, slope) if slope != 1.0 else x, Function.SIGMOID))


FORMS: dict[str, tuple[Function, Callable[[Builder, str], str]]] = {
    "x halved first": (Function.GELU, lambda b, x: b.multiply(b.affine(x, 0.5), _erf(b, x))),
    "halved last": (Function.GELU, lambda b, x: b.affine(b.multiply(x, _erf(b, x)), 0.5)),
    "the bracket halved": (Function.GELU, lambda b, x: b.multiply(b.affine(_erf(b, x), 0.5), x)),
    "the halves apart": (
        Function.GELU,
        lambda b, x: b.multiply(x, b.affine(b.act(b.affine(x, ROOT), Function.ERF), 0.5, 0.5)),
    ),
    "erfc": (Function.GELU, lambda b, x: b.multiply(b.affine(x, 0.5), _erfc(b, x))),
    "constants as arrays": (
        Function.GELU,
        lambda b, x: b.affine(b.multiply(x, _erf(b, x)), np.full(b.shapes[x].units, 0.5)),
    ),
    "tanh, cube by product": (
        Function.GELU_TANH,
        lambda b, x: b.multiply(b.affine(x, 0.5), _tanh(b, x, _cube(b, x))),
    ),
    "tanh, x times x times x": (
        Function.GELU_TANH,
        lambda b, x: b.affine(b.multiply(x, _tanh(b, x, b.multiply(x, b.multiply(x, x)))), 0.5),
    ),
    "tanh, x (1 + c x^2)": (
        Function.GELU_TANH,
        lambda b, x: b.multiply(
            b.affine(
                b.act(
                    b.affine(b.multiply(x, b.affine(b.act(x, Function.SQUARE), 0.044715, 1.0)), CUBIC), Function.TANH
                ),
                0.5,
                0.5,
            ),
            x,
        ),
    ),
    "swish": (Function.SWISH, _swish),
    "swish, sigmoid by exp": (
        Function.SWISH,
        lambda b, x: b.multiply(
            x, b.act(b.affine(b.act(b.affine(x, -1.0), Function.EXP), None, 1.0), Function.RECIPROCAL)
        ),
    ),
}


def kinds(program: Program) -> list[type[Op]]:
    return [type(op) for op in program.ops]


def functions(program: Program) -> list[Function]:
    return [op.function for op in program.ops if isinstance(op, Activation)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("behind", ["input", "relu", "affine"])
def test_forms(form: str, behind: str) -> None:
    function, write = FORMS[form]
    b = Builder(4, 3)
    x = "input" if behind == "input" else b.act("input") if behind == "relu" else b.norm("input")
    before = len(b.ops)
    program = b.build(b.dense(write(b, x), 2))
    new = fuse_activations(program)
    check_program(new)
    assert same_numbers(program, new)
    assert len(new.ops) == before + 2
    assert functions(new)[-1] is function


NEARLY: dict[str, Callable[[Builder, str], str]] = {
    "not halved": lambda b, x: b.multiply(x, _erf(b, x)),
    "a wrong root": lambda b, x: b.multiply(b.affine(x, 0.5), _erf(b, x, 0.7)),
    "the sigmoid approximation of gelu": lambda b, x: _swish(b, x, 1.702),
    "a wrong cubic": lambda b, x: b.multiply(b.affine(x, 0.5), _tanh(b, x, _cube(b, x), 0.0444)),
    "two tensors": lambda b, x: b.multiply(b.norm(x), b.act(x, Function.SIGMOID)),
    "a gain per unit": lambda b, x: b.multiply(x, b.act(b.norm(x), Function.SIGMOID)),
}


@pytest.mark.parametrize("form", NEARLY)
def test_what_is_nearly_one_stays(form: str) -> None:
    b = Builder(4, 3)
    program = b.build(NEARLY[form](b, b.act("input", Function.TANH)))
    new = fuse_activations(program)
    assert kinds(new) == kinds(program)
    assert same_numbers(program, new)


def test_a_step_that_something_else_reads_stays() -> None:
    b = Builder(5)
    x = b.dense("input", 3)
    gate = b.act(x, Function.SIGMOID)
    program = b.build(b.add(b.multiply(gate, x), gate))
    new = fuse_activations(program)
    assert same_numbers(program, new)
    assert functions(new) == [Function.SIGMOID, Function.SWISH]


def test_one_inside_the_other() -> None:
    b = Builder(5)
    program = b.build(_swish(b, _swish(b, _swish(b, "input"))))
    assert functions(fuse_activations(program)) == [Function.SWISH] * 3


def test_long_chains_of_sums_are_searched_in_no_time() -> None:
    b = Builder(3)
    x = "input"
    for _ in range(60):
        x = b.multiply(b.add(x, x), x)
    program = b.build(x)
    assert len(fuse_activations(program).ops) == len(program.ops)
