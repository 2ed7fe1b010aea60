"""Antithetic pairs: the draws 2k and 2k + 1 take the noise of 2k, with opposite signs.

Every posterior is symmetric in its noise, so that each draw has the law that it has without pairs; the two draws of a
pair depend on each other, pairs do not. Where a network is nearly monotone in its weights, the errors of a pair cancel
in part and the mean over draws is more precise. Standard errors are then those of pair means.

Source: Hammersley and Morton (1956), "A new Monte Carlo technique: antithetic variates".
"""

from __future__ import annotations

from dataclasses import replace

from bprune.engines.choose import EngineName, Prepared
from bprune.errors import UsageError

__all__ = ["check_pairs", "pair_draws"]

_HINT = "Leave --antithetic out, or choose --engine native."


def check_pairs(engine: EngineName | str, mc_iters: int) -> None:
    """Refuse early what antithetic pairs cannot do.

    Args:
        engine: The engine that was asked for.
        mc_iters: Draws per example, the most where that is chosen while drawing.

    Raises:
        UsageError: If the engine draws no pairs, or the number of draws is odd.
    """
    if engine not in (EngineName.AUTO, EngineName.NATIVE):
        name = engine.value if isinstance(engine, EngineName) else engine
        raise UsageError(f"the engine {name} does not draw antithetic pairs; native does", hint=_HINT)
    if mc_iters % 2:
        raise UsageError(
            f"{mc_iters} draws cannot be paired; antithetic runs need an even number",
            hint=f"Run with --mc-iters {mc_iters + 1}.",
        )


def pair_draws(prepared: Prepared) -> Prepared:
    """Let an engine that is ready draw antithetic pairs.

    Args:
        prepared: The engine; it is changed.

    Returns:
        The same engine, with a plan that says so.

    Raises:
        UsageError: If it is not the engine native.
    """
    from bprune.engines.native import NativeEngine

    engine, plan = prepared.engine, prepared.plan
    if not isinstance(engine, NativeEngine):
        why = f": {plan.reason}" if plan.reason else ""
        raise UsageError(
            f"antithetic pairs are drawn by the engine native alone, and this run uses {plan.engine}{why}", hint=_HINT
        )
    engine.antithetic = True
    lines = (*plan.lines, "antithetic pairs: draws 2k and 2k + 1 share noise")
    return replace(prepared, plan=replace(plan, lines=lines))
