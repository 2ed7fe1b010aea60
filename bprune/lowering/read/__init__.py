"""From a case's graph to a program, by following what every operation does. Nothing of the graph is run.

The graph is interpreted abstractly: the value of a node is a known array, a tensor of the program, sampled weights,
signs, a layer's noise and so on (`values`), and rules say what an operation makes of them. So a Bayesian layer, twenty
operations in a graph, becomes one, by what it computes and not by its names. What no rule knows is unknown; where an
output needs it, the network is not lowered, and the message names the operation.
"""

from __future__ import annotations

from bprune.lowering.read.reader import read_program

__all__ = ["read_program"]
